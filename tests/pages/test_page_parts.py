# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What pages are made of: numbers in few bytes, pictures, texts that cannot break out."""

import base64
import io
import json
import zlib

import astropy.units as u
import numpy as np
import page_tables
import pytest
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from PIL import Image

from galvae_affiliated import get_model, make_cutouts
from galvae_affiliated.pages import _points, _template, open_table_cutouts
from galvae_affiliated.pages._encoding import category_block, number_block, pack_coordinates
from galvae_affiliated.pages._thumbnails import make_sheets, shrink


def bytes_of(block):
    return zlib.decompress(base64.b64decode(block.content))


@pytest.mark.parametrize('bits', [8, 16, 32])
def test_numbers_come_back_within_half_a_step(bits):
    values = np.random.default_rng(0).normal(size=1000)
    values[5] = np.nan
    block = number_block(values, bits)
    codes = np.frombuffer(bytes_of(block), f'<u{bits // 8}').astype(float)
    step = (block.about['high'] - block.about['low']) / (2**bits - 2)
    found = block.about['low'] + codes * step
    assert codes[5] == 2**bits - 1
    found[5] = np.nan
    assert np.nanmax(np.abs(found - values)) <= 0.501 * step


def test_a_few_values_far_away_do_not_take_all_steps():
    values = np.random.default_rng(0).normal(size=10_000)
    values[7] = 1e6
    block = number_block(values, 8)
    assert block.about['cut']
    assert block.about['high'] < 10
    assert np.frombuffer(bytes_of(block), 'u1')[7] == 254


def test_numbers_that_are_none():
    assert number_block(np.full(4, np.nan)) is None
    block = number_block(np.array([3.0, 3.0]), 8)
    assert bytes_of(block) == b'\0\0'
    assert (block.about['low'], block.about['high']) == (3.0, 3.0)


def test_labels_are_those_that_are_frequent_first():
    block = category_block(np.array(['b', 'a', 'b', '']))
    assert block.about['labels'] == ['b', 'a']
    assert list(bytes_of(block)) == [0, 1, 0, 255]
    assert category_block(np.array([f'{i}' for i in range(300)])) is None
    assert category_block(np.array(['', ''])) is None


def test_coordinates_keep_distances():
    values = np.random.default_rng(0).normal(size=(300, 7)) * [9, 5, 3, 1, 1, 0.05, 0.05]
    values[7] = np.nan
    block = pack_coordinates(values, np.delete(values, 7, axis=0))
    about = block.about
    assert about['width'] == 5  # the last two have next to no variance
    steps = np.frombuffer(bytes_of(block), 'u1').reshape(300, 5)
    found = (steps / 127.5 - 1) * about['limit'] * np.array(about['scale'])
    pairs = np.random.default_rng(1).integers(8, 300, (200, 2))
    exact, rounded = (np.linalg.norm(v[pairs[:, 0]] - v[pairs[:, 1]], axis=1)
                      for v in (values, found))
    assert np.abs(exact - rounded).max() < 0.4
    assert np.abs(found[7]).max() < 0.2


def test_columns_of_all_kinds():
    table = Table(
        {
            'name': [f'n{i}' for i in range(300)],
            'kind': ['a', 'b', 'c'] * 100,
            'whole': np.arange(300) % 3,
            'yes': np.arange(300) % 2 == 0,
            'value': MaskedColumn(np.arange(300.0), mask=np.arange(300) == 4, unit='arcsec'),
            'pair': np.zeros((300, 2)),
            'ra': np.linspace(0, 1, 300),
        }
    )
    entries = {e['name']: e for e in _points.encode_columns(table, np.arange(300))}
    assert list(entries) == ['kind', 'whole', 'yes', 'value', 'pair 0', 'pair 1', 'ra']
    assert entries['kind']['block'].about['labels'] == ['a', 'b', 'c']
    assert entries['whole']['block'].about['labels'] == ['0', '1', '2']
    assert entries['yes']['block'].about['labels'] == ['no', 'yes']
    assert entries['value']['unit'] == 'arcsec'
    assert entries['ra']['block'].about['bits'] == 32


def test_columns_with_units_are_numbers():
    table = QTable({'radius': [1.0, 2.0, 4.0] * u.arcsec})
    table['masked'] = Masked([1.0, 2.0, 4.0] * u.arcsec, mask=[True, False, False])
    first, second = (e['block'] for e in _points.encode_columns(table, np.arange(3)))
    assert (first.about['low'], first.about['high']) == (1.0, 4.0)
    assert (second.about['low'], second.about['high']) == (2.0, 4.0)
    assert np.frombuffer(bytes_of(second), '<u2').tolist() == [65535, 0, 65534]


def test_kept_rows_are_among_the_sampled():
    placed = np.ones(1000, dtype=bool)
    placed[:100] = False
    rows = _points.sample_rows(1000, placed, np.array([500, 999]), 50)
    assert len(rows) == 50 and len(set(rows)) == 50
    assert {500, 999} <= set(rows.tolist())
    assert rows.min() >= 100
    assert (np.diff(rows) > 0).all()
    assert len(_points.sample_rows(1000, placed, np.array([500]), 2000)) == 900


def test_texts_cannot_end_their_script():
    text = _template.to_json({'a': '</script><!--\u2028&'})
    assert not set('<>&\u2028') & set(text)
    assert json.loads(text) == {'a': '</script><!--\u2028&'}


def test_what_is_put_into_a_page_is_not_filled_again():
    page = _template.fill_page(
        'label/label.html',
        styles=['label/label.css'],
        scripts=['label/label.js'],
        parts={'answers': '{{policy}}'},
    )
    assert '>{{policy}}<' in page


def test_cells_are_escaped():
    assert '<td>&lt;b&gt;</td>' in _template.table_rows([('<b>', 1)])


def test_shrinking_keeps_the_light():
    picture = np.random.default_rng(0).random((2, 3, 128, 128)).astype(np.float32)
    for side in (128, 64, 48, 24):
        small = shrink(picture, side)
        assert small.shape == (2, side, side, 3)
        assert np.allclose(small.mean(axis=(1, 2)) / 255, picture.mean(axis=(2, 3)), atol=0.01)
    exact = picture.reshape(2, 3, 64, 2, 64, 2).mean(axis=(3, 5))
    assert np.abs(shrink(picture, 64) / 255 - np.moveaxis(exact, 1, -1)).max() < 0.003


def test_sheets_hold_the_pictures_in_their_order():
    pictures = shrink(page_tables.make_pictures(), 128)
    asked = []

    def give(points, side):
        asked.append(len(points))
        return shrink(np.moveaxis(pictures[points % 60], -1, 1) / np.float32(255), side or 128)

    sheets = make_sheets(give, 130, 10**9)
    assert (sheets.side, len(sheets.contents)) == (128, 2)
    image = Image.open(io.BytesIO(base64.b64decode(sheets.contents[1])))
    assert image.size == (1280, 3 * 128)
    second = np.asarray(image.crop((128, 0, 256, 128)))
    assert np.abs(second.astype(int) - pictures[101 % 60]).mean() < 3
    with pytest.raises(ValueError, match='do not fit in 100 bytes'):
        make_sheets(give, 130, 100)


def test_cutouts_of_a_field_are_found_again(field, galaxies):
    from galvae_affiliated import encode_catalog

    table = encode_catalog(field, galaxies, reconstruction=False, morphology=False)
    table['galvae_radius'].mask[2] = True
    cutouts = open_table_cutouts(field, table)
    found = cutouts.pictures([3, 0, 2, 3])
    assert found.shape == (4, 128, 128, 3)
    assert not found[2].any()  # nothing is known of its size
    assert np.array_equal(found[0], found[3])
    stack = make_cutouts(field, galaxies)
    frames = cutouts.encoder.frames(stack)[[3, 0], :, ::-1]
    assert np.abs(found[:2] / 255 - np.moveaxis(frames.clip(0, 1), 1, -1)).max() < 0.01


def test_cutouts_of_a_set_are_found_by_their_names(tiny_parquet):
    import pyarrow.parquet as pq

    names = pq.read_table(tiny_parquet, columns=['id_str'])['id_str'].to_pylist()
    table = Table({'id_str': [names[30], names[2], 'unknown', names[31], names[30]]})
    cutouts = open_table_cutouts(tiny_parquet, table)
    assert cutouts.place.tolist() == [30, 2, -1, 31, 30]
    found = cutouts.pictures(np.arange(5), 32)
    assert found.shape == (5, 32, 32, 3)
    assert np.array_equal(found[0], found[4])
    assert not found[2].any()
    one_by_one = np.concatenate([cutouts.pictures([row], 32) for row in range(5)])
    assert np.array_equal(found, one_by_one)
    whole = open_table_cutouts(tiny_parquet, Table({'x': np.zeros(48)}))
    assert np.array_equal(whole.pictures([30, 2], 32), found[:2])


def test_cutouts_of_a_stack_are_those_of_its_rows():
    pictures = page_tables.make_pictures(5)
    cutouts = open_table_cutouts(pictures, Table({'x': np.zeros(5)}))
    assert np.abs(cutouts.pictures([4])[0] / 255 - np.moveaxis(pictures[4], 0, -1)).max() < 0.003


@pytest.mark.parametrize(
    ('table', 'options', 'error', 'message'),
    [
        (Table({'x': [1.0]}), {}, ValueError, 'id_column'),
        (Table({'id_str': ['no']}), {}, ValueError, "such as 'no'"),
        (Table({'id_str': ['no']}), {'id_column': 'a'}, KeyError, "'a'"),
        (Table({'x': [1.0]}), {'unit': 'nonsense'}, ValueError, 'unit'),
    ],
)
def test_wrong_sets_are_refused(tiny_parquet, table, options, error, message):
    with pytest.raises(error, match=message):
        open_table_cutouts(tiny_parquet, table, **options)


def test_wrong_fields_are_refused(field, galaxies):
    with pytest.raises(KeyError, match='galvae_radius'):
        open_table_cutouts(field, galaxies)
    galaxies['galvae_radius'] = galaxies['petro_r90']
    with pytest.raises(ValueError, match='already_scaled goes with a set'):
        open_table_cutouts(field, galaxies, already_scaled=True)
    with pytest.raises(ValueError, match='2 cutouts for 6 rows'):
        open_table_cutouts(np.zeros((2, 3, get_model().grid, get_model().grid)), galaxies)
