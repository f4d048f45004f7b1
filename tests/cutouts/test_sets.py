# Licensed under a 3-clause BSD style license - see LICENSE.rst
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from composite_images import FAST, GOOD, R90, composite, encode_in, encoded, flags, write

from galvae_affiliated import get_model
from galvae_affiliated.catalog import encode_cutout_set
from galvae_affiliated.exceptions import GalvaeWarning


@pytest.fixture
def encode(tmp_path):
    return encode_in(tmp_path)


def test_columns_of_a_set(tmp_path):
    bundle = get_model()
    path = write(
        tmp_path / 'set.parquet', [GOOD, encoded(composite(r90=15))], ids=['b', 'a'], votes=[1, 2]
    )
    table = encode_cutout_set(path)
    assert list(table['id_str']) == ['b', 'a']
    assert table.colnames[0] == 'id_str'
    assert {'galvae_latent', 'galvae_latent_err', 'galvae_recon_chi2', 'galvae_flags'} < set(
        table.colnames
    )
    assert {f'{q}_{a}_fraction' for q, answers in bundle.questions.items() for a in answers} < set(
        table.colnames
    )
    assert np.isfinite(table['galvae_latent']).all()
    assert not np.allclose(table['galvae_latent'][0], table['galvae_latent'][1])


def test_rows_stay_with_their_images(encode):
    images = [encoded(composite(r90=r)) for r in (10, 20, 30)]
    table, turned = encode(images), encode(images[::-1])
    assert np.allclose(table['galvae_latent'], turned['galvae_latent'][::-1], atol=1e-3)


def test_set_of_unreadable_images(tmp_path):
    table = encode_cutout_set(write(tmp_path / 'set.parquet', [None, b'']))
    assert flags(table) == [['UNREADABLE']] * 2
    assert all(np.all(table[name].mask) for name in table.colnames if name.endswith('_fraction'))


def test_image_column_of_bytes(tmp_path, encode):
    path = tmp_path / 'bytes.parquet'
    pq.write_table(pa.table({'id_str': ['a'], 'image': [GOOD]}), path)
    assert np.allclose(
        encode_cutout_set(path, **FAST)['galvae_latent'], encode([GOOD])['galvae_latent'], atol=1e-3
    )


@pytest.mark.parametrize('column', [['text'], [3], [[1.0, 2.0]]])
def test_image_column_of_something_else(tmp_path, column):
    path = tmp_path / 'set.parquet'
    pq.write_table(pa.table({'id_str': ['a'], 'image': column}), path)
    assert flags(encode_cutout_set(path, **FAST)) == [['UNREADABLE']]


def test_identifiers_become_text(encode):
    assert list(encode([GOOD, GOOD], {'ids': [587722981742084144, 5]})['id_str']) == [
        '587722981742084144',
        '5',
    ]


def test_pixel_scale_of_each_row(encode):
    """Where a row has none, the cutout is at the model's scale; all radii are then in pixels."""
    images = [encoded(composite(200, r90=15))] * 3
    table = encode(images, {'pixel_scale_arcsec': [0.5, None, np.nan]})
    alone = encode(images, pixel_scale=0.5)
    already_scaled = encode(images)
    assert np.allclose(table['galvae_latent'][0], alone['galvae_latent'][0], atol=1e-3)
    assert np.allclose(table['galvae_latent'][1:], already_scaled['galvae_latent'][1:], atol=1e-3)
    assert table['galvae_radius'].unit == 'pix'
    assert np.allclose(
        table['galvae_radius'],
        [alone['galvae_radius'][0] / 0.5, *already_scaled['galvae_radius'][1:]],
    )


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


def test_empty_set(tmp_path):
    table = encode_cutout_set(write(tmp_path / 'set.parquet', []))
    assert len(table) == 0
    assert table['galvae_latent'].shape == (0, get_model().n_latents)
    assert table.colnames[0] == 'id_str'


@pytest.mark.parametrize(
    'columns', [{'id_str': ['a']}, {'image': [GOOD]}, {'name': ['a'], 'picture': [GOOD]}]
)
def test_missing_columns(tmp_path, columns):
    pq.write_table(pa.table(columns), tmp_path / 'set.parquet')
    with pytest.raises(
        ValueError,
        match=r"set\.parquet: there is no column '.*'; expected id_str and image, there are",
    ):
        encode_cutout_set(tmp_path / 'set.parquet')


def test_file_that_is_no_set(tmp_path):
    path = tmp_path / 'set.parquet'
    with pytest.raises(FileNotFoundError, match=r'set\.parquet: there is no such file'):
        encode_cutout_set(path)
    for content in (
        b'',
        b'id_str,image\n1,2\n',
        write(tmp_path / 'whole.parquet', [GOOD]).read_bytes()[:-50],
    ):
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
    """Cubes around two galaxies, named as surveys name galaxies, and a file that is none."""
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
