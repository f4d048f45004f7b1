# Licensed under a 3-clause BSD style license - see LICENSE.rst
import gzip
import io
import logging
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from composite_images import FAST, GOOD, R90, composite, encode_in, encoded, flags, write

from galvae_affiliated import get_model
from galvae_affiliated.catalog import encode_cutout_set
from galvae_affiliated.cutouts import open_cutout_set
from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.streaming import stream_cutout_set


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


@pytest.mark.parametrize('scale', [0.0, -1.0, np.inf, -np.inf, 1e9])
def test_a_row_whose_pixel_scale_cannot_be_costs_itself_alone(encode, scale):
    images = [encoded(composite(200, r90=15))] * 4
    with pytest.warns(GalvaeWarning, match=f'a1: pixel_scale_arcsec is {scale}; expected') as told:
        table = encode(images, {'ids': ['a0', 'a1', 'a2', 'a3'],
                                'pixel_scale_arcsec': [0.5, scale, scale, 0.5]})
    assert len(told) == 1
    assert flags(table)[1:3] == [['BAD_RADIUS']] * 2
    assert table['galvae_latent'].mask.all(axis=1).tolist() == [False, True, True, False]


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


def band_planes(n=64):
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    noise = np.random.default_rng(0).normal(0, 0.02, (3, n, n))
    return (4 * np.exp(-np.hypot(x, y) / 5) + noise).astype('f4')


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='pipes are of Unix')
def test_what_is_no_file_in_a_folder_costs_its_row(tmp_path, caplog):
    content = io.BytesIO()
    fits.PrimaryHDU(band_planes()).writeto(content)
    packed = bytearray(gzip.compress(content.getvalue()))
    (tmp_path / 'a.fits').write_bytes(content.getvalue())
    os.mkfifo(tmp_path / 'b.fits')
    (tmp_path / 'c.fits').symlink_to(tmp_path / 'nowhere')
    (tmp_path / 'd.fits').mkdir()
    (tmp_path / 'e.fits.gz').write_bytes(packed)
    packed[len(packed) // 2] ^= 1
    (tmp_path / 'f.fits.gz').write_bytes(packed)
    options = {'bands': 'g,r,z', 'unit': 'nmgy', 'pixel_scale': 0.262}
    with caplog.at_level(logging.WARNING):
        table = encode_cutout_set(tmp_path, **options, **FAST)
    bad = [('UNREADABLE' in names) for names in flags(table)]
    assert bad == [False, True, True, True, False, True]
    latent = np.ma.filled(table['galvae_latent'], 0)
    np.testing.assert_allclose(latent[4], latent[0], atol=1e-5)
    said = [record.getMessage() for record in caplog.records]
    assert [any(f'{name}.fits' in line for line in said) for name in 'bdf'] == [True] * 3
    output = tmp_path.with_suffix('.parquet')
    assert stream_cutout_set(tmp_path, output, chunk_size=4, **options, **FAST) == 6


def test_rows_of_a_set_here_and_there(tmp_path):
    """As those that a picture shows; rows between them are not decoded."""
    images = [encoded(composite(96, r90=6 + i)) for i in range(12)]
    path = write(tmp_path / 'all.parquet', images)
    pq.write_table(pq.read_table(path), path, row_group_size=5)
    cutouts = open_cutout_set(path, get_model().frame)
    whole, = cutouts.stacks([slice(0, 12)])
    rows = [1, 3, 4, 9, 10, 11, 0, 7, 6]
    found = list(cutouts.stacks([slice(row, row + 1) for row in rows]))
    np.testing.assert_array_equal(np.concatenate([one.data for one in found]), whole.data[rows])
