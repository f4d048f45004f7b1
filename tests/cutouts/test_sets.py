# Licensed under a 3-clause BSD style license - see LICENSE.rst
import io
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from PIL import Image

from galvae_affiliated import get_model
from galvae_affiliated.catalog import encode_cutout_set
from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.flags import describe_flags

FAST = {'morphology': False, 'reconstruction': False}
R90 = 3.88  # of an exponential, in scale lengths


def composite(side=128, r90=25.0, *, sky=15, shape=None):
    """8-bit composite (H, W, 3) of an exponential galaxy in the middle."""
    height, width = shape or (side, side)
    y, x = np.mgrid[:height, :width]
    light = 180 * np.exp(-np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) * R90 / r90)
    noise = np.random.default_rng(0).normal(0, 2, (height, width))
    return np.clip(sky + light + noise, 0, 255)[..., None].repeat(3, axis=-1).astype(np.uint8)


def encoded(pixels, kind='JPEG', **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


GOOD = encoded(composite())


def write(path, images, ids=None, **columns):
    """A Parquet file as Galaxy Zoo's: ``image`` is a struct of bytes and path."""
    images = [None if image is None else {'bytes': image, 'path': None} for image in images]
    kind = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
    ids = [f'galaxy {i}' for i in range(len(images))] if ids is None else ids
    pq.write_table(pa.table({'id_str': ids, 'image': pa.array(images, kind), **columns}), path)
    return path


@pytest.fixture
def encode(tmp_path):
    """Encode a list of images as a set."""

    def function(images, columns=None, **options):
        return encode_cutout_set(write(tmp_path / 'set.parquet', images, **(columns or {})), **{**FAST, **options})

    return function


def flags(table):
    return [describe_flags(value) for value in table['galvae_flags']]


def test_columns_of_a_set(tmp_path):
    bundle = get_model()
    path = write(tmp_path / 'set.parquet', [GOOD, encoded(composite(r90=15))], ids=['b', 'a'], votes=[1, 2])
    table = encode_cutout_set(path)
    assert list(table['id_str']) == ['b', 'a']
    assert table.colnames[0] == 'id_str'
    assert {'galvae_latent', 'galvae_latent_err', 'galvae_recon_chi2', 'galvae_flags'} < set(table.colnames)
    assert {f'{q}_{a}_fraction' for q, answers in bundle.questions.items() for a in answers} < set(table.colnames)
    assert np.isfinite(table['galvae_latent']).all()
    assert not np.allclose(table['galvae_latent'][0], table['galvae_latent'][1])


def test_rows_stay_with_their_images(encode):
    images = [encoded(composite(r90=r)) for r in (10, 20, 30)]
    table, turned = encode(images), encode(images[::-1])
    assert np.allclose(table['galvae_latent'], turned['galvae_latent'][::-1], atol=1e-3)


@pytest.mark.parametrize(
    'bad',
    [None, b'', b'no image', GOOD[:400], GOOD[:100], b'\xff\xd8' + bytes(500), encoded(composite(), 'PNG')[:1000]],
    ids=['null', 'empty', 'text', 'truncated', 'header', 'zeros', 'truncated PNG'],
)
def test_unreadable_image_keeps_its_row(encode, bad):
    table = encode([GOOD, bad, GOOD])
    assert flags(table) == [[], ['UNREADABLE'], []]
    assert list(np.asarray(table['galvae_latent'].mask)[:, 0]) == [False, True, False]
    assert np.allclose(table['galvae_latent'][0], table['galvae_latent'][2], atol=1e-3)


def test_set_of_unreadable_images(tmp_path):
    table = encode_cutout_set(write(tmp_path / 'set.parquet', [None, b'']))
    assert flags(table) == [['UNREADABLE']] * 2
    assert all(np.all(table[name].mask) for name in table.colnames if name.endswith('_fraction'))


@pytest.mark.parametrize('side', [64, 96, 200])
@pytest.mark.parametrize('level', [0, 77, 255])
def test_flat_image_is_no_data(encode, side, level):
    assert flags(encode([encoded(np.full((side, side, 3), level, np.uint8), 'PNG')])) == [['NO_DATA']]


def test_image_formats(encode):
    """PNG, RGBA, palette, grey; the image as bytes without the struct."""
    pixels = composite()
    rgba = np.concatenate([pixels, np.full((128, 128, 1), 255, np.uint8)], axis=-1)
    table = encode(
        [encoded(pixels, 'PNG'), encoded(rgba, 'PNG'), encoded(pixels[..., 0], 'PNG'), encoded(pixels, quality=95)]
    )
    assert flags(table) == [[]] * 4
    latent = np.array(table['galvae_latent'])
    assert np.allclose(latent[1:3], latent[0], atol=1e-3)
    assert np.abs(latent[3] - latent[0]).max() < 0.5


def test_image_column_of_bytes(tmp_path, encode):
    path = tmp_path / 'bytes.parquet'
    pq.write_table(pa.table({'id_str': ['a'], 'image': [GOOD]}), path)
    assert np.allclose(encode_cutout_set(path, **FAST)['galvae_latent'], encode([GOOD])['galvae_latent'], atol=1e-3)


@pytest.mark.parametrize('column', [['text'], [3], [[1.0, 2.0]]])
def test_image_column_of_something_else(tmp_path, column):
    path = tmp_path / 'set.parquet'
    pq.write_table(pa.table({'id_str': ['a'], 'image': column}), path)
    assert flags(encode_cutout_set(path, **FAST)) == [['UNREADABLE']]


def test_identifiers_become_text(encode):
    assert list(encode([GOOD, GOOD], {'ids': [587722981742084144, 5]})['id_str']) == ['587722981742084144', '5']


def test_set_at_the_scale_of_the_model(encode):
    """Without pixel scale the side is 5.12 petroR90: petroR90 is 25 of 128 pixels; it is 50 in GZ2's frames of 424."""
    table = encode([GOOD, encoded(composite(256, r90=50)), encoded(composite(424, r90=50))])
    assert flags(table) == [[]] * 3
    assert np.allclose(table['galvae_radius'], [25, 50, 50])
    assert table['galvae_radius'].unit == 'pix'


def test_frames_of_galaxy_zoo_2(encode):
    """The central 256 pixels of the 424, averaged 2 x 2, are the model's cutout."""
    frame = composite(424, r90=50)
    centre = frame[84:-84, 84:-84].astype(float).reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    table = encode([encoded(frame, 'PNG'), encoded(np.round(centre).astype(np.uint8), 'PNG')])
    scale = np.std(table['galvae_latent'])
    assert np.abs(table['galvae_latent'][0] - table['galvae_latent'][1]).max() < 0.1 * scale


def test_measured_galaxies(encode):
    """A pixel scale says that the galaxy has to be measured."""
    sizes = np.array([8.0, 15.0, 25.0])
    images = [encoded(composite(200, r90=r), quality=95) for r in sizes]
    table = encode(images, pixel_scale=0.5)
    assert flags(table) == [[]] * 3
    assert table['galvae_radius'].unit == 'arcsec'
    radius = np.array(table['galvae_radius']) / 0.5
    # a composite is compressed, and its profile is not quite exponential: the order and the scale count
    assert np.all(np.diff(radius) > 0)
    assert np.allclose(radius / sizes, np.mean(radius / sizes), rtol=0.15)


def test_measured_galaxies_have_one_size(encode):
    """The same galaxy in pixels of two sizes has about the same latents when it is measured, other ones when not."""
    images = [encoded(composite(200, r90=r), quality=95) for r in (12, 24)]
    measured, already_scaled = (
        np.array(encode(images, pixel_scale=0.5, already_scaled=is_scaled)['galvae_latent']) for is_scaled in (False, True)
    )
    assert np.linalg.norm(measured[0] - measured[1]) < 0.7 * np.linalg.norm(already_scaled[0] - already_scaled[1])


def test_pixel_scale_of_each_row(encode):
    """Where a row has none, the cutout is at the model's scale; the radii of all are then in pixels."""
    images = [encoded(composite(200, r90=15))] * 3
    table = encode(images, {'pixel_scale_arcsec': [0.5, None, np.nan]})
    alone = encode(images, pixel_scale=0.5)
    already_scaled = encode(images)
    assert np.allclose(table['galvae_latent'][0], alone['galvae_latent'][0], atol=1e-3)
    assert np.allclose(table['galvae_latent'][1:], already_scaled['galvae_latent'][1:], atol=1e-3)
    assert table['galvae_radius'].unit == 'pix'
    assert np.allclose(table['galvae_radius'], [alone['galvae_radius'][0] / 0.5, *already_scaled['galvae_radius'][1:]])


@pytest.mark.parametrize('scales', [[0.5, 0.5, None, None], [None, None, 0.5, 0.5]])
def test_radii_have_one_unit_in_all_chunks(encode, monkeypatch, scales):
    images = [encoded(composite(200, r90=15))] * 4
    whole = encode(images, {'pixel_scale_arcsec': scales})
    monkeypatch.setattr('galvae_affiliated._batches.CHUNK', 2)
    parts = encode(images, {'pixel_scale_arcsec': scales})
    assert parts['galvae_radius'].unit == whole['galvae_radius'].unit
    assert np.allclose(parts['galvae_radius'], whole['galvae_radius'])


def test_scaled_counts_more_than_the_pixel_scale(encode):
    table = encode([GOOD], {'pixel_scale_arcsec': [0.5]}, already_scaled=True)
    assert np.allclose(table['galvae_latent'], encode([GOOD])['galvae_latent'], atol=1e-3)


@pytest.mark.parametrize('scale', [0.0, -0.262])
def test_pixel_scale_that_cannot_be(encode, scale):
    with pytest.raises(ValueError, match=f'pixel_scale is {scale}'):
        encode([GOOD], pixel_scale=scale)
    with pytest.raises(ValueError, match='pixel_scale'):
        encode([GOOD], {'pixel_scale_arcsec': [scale]})


def test_pixel_scale_column_of_text(encode):
    with pytest.raises((TypeError, ValueError), match='pixel_scale_arcsec'):
        encode([GOOD], {'pixel_scale_arcsec': ['0.262']})


@pytest.mark.parametrize('shape', [(1, 1), (2, 2), (3, 60), (60, 3), (5, 5), (128, 90)])
@pytest.mark.parametrize('pixel_scale', [None, 0.3])
def test_images_of_odd_shapes_keep_their_row(encode, shape, pixel_scale):
    table = encode([encoded(composite(shape=shape, r90=20), 'PNG'), GOOD], pixel_scale=pixel_scale)
    assert len(table) == 2
    assert np.isfinite(np.array(table['galvae_latent'])[1]).all()


def test_galaxy_that_cannot_be_measured(encode):
    """Where the middle is darker than the border, there is no radius."""
    table = encode([encoded(255 - composite(), 'PNG'), GOOD], pixel_scale=0.3)
    assert flags(table) == [['NO_RADIUS'], []]


def test_renderings(encode):
    names = [entry['name'] for entry in get_model().renderings if entry['kind'] != 'flux']
    latent = [np.array(encode([GOOD], rendering=name)['galvae_latent']) for name in names]
    assert np.allclose(latent[0], encode([GOOD])['galvae_latent'], atol=1e-3)
    assert len(latent) == 1 or not np.allclose(latent[0], latent[1])
    with pytest.raises(ValueError, match="no rendering 'none'.*; it has"):
        encode([GOOD], rendering='none')


def test_flux_rendering_is_not_for_composites(encode):
    flux = next(entry['name'] for entry in get_model().renderings if entry['kind'] == 'flux')
    with pytest.raises(ValueError, match=flux):
        encode([GOOD], rendering=flux)


def test_empty_set(tmp_path):
    table = encode_cutout_set(write(tmp_path / 'set.parquet', []))
    assert len(table) == 0
    assert table['galvae_latent'].shape == (0, get_model().n_latents)
    assert table.colnames[0] == 'id_str'


@pytest.mark.parametrize('columns', [{'id_str': ['a']}, {'image': [GOOD]}, {'name': ['a'], 'picture': [GOOD]}])
def test_missing_columns(tmp_path, columns):
    pq.write_table(pa.table(columns), tmp_path / 'set.parquet')
    with pytest.raises(
        ValueError, match=r"set\.parquet: there is no column '.*'; expected id_str and image, there are"
    ):
        encode_cutout_set(tmp_path / 'set.parquet')


def test_file_that_is_no_set(tmp_path):
    path = tmp_path / 'set.parquet'
    with pytest.raises(FileNotFoundError, match=r'set\.parquet: there is no such file'):
        encode_cutout_set(path)
    for content in (b'', b'id_str,image\n1,2\n', write(tmp_path / 'whole.parquet', [GOOD]).read_bytes()[:-50]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'set\.parquet: this is not a Parquet file'):
            encode_cutout_set(path)


def test_progress_and_chunks(encode, monkeypatch):
    images = [encoded(composite(r90=r)) for r in (10, 20, 25, 30, 35)]
    whole = encode(images)
    monkeypatch.setattr('galvae_affiliated._batches.CHUNK', 2)
    calls = []
    parts = encode(images, batch_size=2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(2, 5), (4, 5), (5, 5)]
    assert list(parts['id_str']) == list(whole['id_str'])
    assert np.allclose(parts['galvae_latent'], whole['galvae_latent'], atol=1e-3)


@pytest.fixture
def folder(field, tmp_path):
    """Cubes around two galaxies of the field, named as surveys name galaxies, and a file that is none."""
    folder = tmp_path / 'cutouts'
    folder.mkdir()
    header = fits.Header({'BANDS': 'grz', 'BUNIT': 'nanomaggies'})
    for name, x, y in (('J1000+02.1', 50, 49), ('J1000+02.2', 143, 61)):
        cube = np.array([image.data[y - 38 : y + 39, x - 38 : x + 39] for image in field.values()])
        wcs = field['r'].wcs.deepcopy()
        wcs.wcs.crpix -= [x - 38, y - 38]
        fits.writeto(folder / f'{name}.fits', cube, header + wcs.to_header())
    (folder / 'notes.txt').write_text('not a cutout')
    return folder


def test_folder_of_cubes(folder):
    table = encode_cutout_set(folder, **FAST)
    assert list(table['id_str']) == ['J1000+02.1', 'J1000+02.2']
    assert flags(table) == [[], []]
    assert table['galvae_radius'].unit == 'arcsec'
    assert np.allclose(table['galvae_radius'], np.array([3.0, 2.5]) * R90 * 0.262, rtol=0.1)


def test_folder_of_compressed_files(folder):
    for path in list(folder.glob('*.fits')):
        cube, header = fits.getdata(path, header=True)
        fits.writeto(folder / f'{path.stem}.fits.gz', cube, header)
        path.unlink()
    table = encode_cutout_set(folder, **FAST)
    assert list(table['id_str']) == ['J1000+02.1', 'J1000+02.2']
    assert flags(table) == [[], []]


def test_folder_of_scaled_cubes(folder):
    bundle = get_model()
    table = encode_cutout_set(folder, already_scaled=True, **FAST)
    assert np.allclose(table['galvae_radius'], 77 / bundle.field_of_view * 0.262)


def test_unreadable_file_keeps_its_row(folder, caplog):
    (folder / 'J0000.fits').write_bytes(b'text')
    (folder / 'J2000.fits').write_bytes((folder / 'J1000+02.1.fits').read_bytes()[:20000])
    with caplog.at_level(logging.WARNING):
        table = encode_cutout_set(folder, **FAST)
    assert flags(table) == [['UNREADABLE'], [], [], ['UNREADABLE']]
    assert 'J0000.fits' in caplog.text
    assert 'J2000.fits' in caplog.text


def test_folder_without_unit(folder):
    for path in folder.glob('*.fits'):
        fits.delval(path, 'BUNIT')
    with pytest.warns(GalvaeWarning, match='no flux unit is known'):
        table = encode_cutout_set(folder, **FAST)
    assert flags(table) == [['SCALE_ESTIMATED']] * 2


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'unit': 'K'}, 'not a flux unit'),
        ({'unit': 'furlong/'}, 'not a unit'),
        ({'pixel_scale': -1.0}, 'pixel_scale is -1'),
        ({'bands': 'g,g,r'}, 'twice'),
        ({'rendering': 'none'}, 'no rendering'),
        ({'zero_point': {'g': 25.0}}, 'zero_point'),
    ],
)
def test_wrong_call_is_no_unreadable_file(folder, options, message):
    with pytest.raises(ValueError, match=message):
        encode_cutout_set(folder, **options, **FAST)


def test_folder_whose_bands_nobody_names(folder):
    for path in folder.glob('*.fits'):
        fits.delval(path, 'BANDS')
    with pytest.raises(ValueError, match='expected the names of the bands'):
        encode_cutout_set(folder, **FAST)
    assert flags(encode_cutout_set(folder, bands='grz', **FAST)) == [[], []]


def test_folder_without_files(tmp_path):
    with pytest.raises(ValueError, match='there is no FITS file in this folder'):
        encode_cutout_set(tmp_path)
