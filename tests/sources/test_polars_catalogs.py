# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Data frames of polars as catalogues."""

import datetime

import numpy as np
import pytest

from galvae_affiliated import encode_catalog
from galvae_affiliated.sources.positions import as_table, read_positions

pl = pytest.importorskip('polars')


def mask_of(column):
    return np.ma.getmaskarray(np.ma.asarray(column)).tolist()


def test_identifiers_flags_and_nulls_are_kept():
    frame = pl.DataFrame({
        'id': pl.Series([2**63 - 1, None, -5], dtype=pl.Int64),
        'object': pl.Series([2**64 - 1, 2**53 + 1, 0], dtype=pl.UInt64),
        'good': pl.Series([True, None, False]),
        'x': pl.Series([1.5, None, float('nan')]),
        'y': pl.Series([1, 2, 3], dtype=pl.Float32),
    })
    table = as_table(frame)
    assert table['id'].dtype == np.int64 and mask_of(table['id']) == [False, True, False]
    assert table['id'][0] == 2**63 - 1
    assert table['object'].dtype == np.uint64
    assert table['object'].tolist() == [2**64 - 1, 2**53 + 1, 0]
    assert table['good'].dtype == bool and mask_of(table['good']) == [False, True, False]
    assert mask_of(table['x']) == [False, True, False] and np.isnan(table['x'][2])
    assert table['y'].dtype == np.float32


@pytest.mark.parametrize('dtype', [pl.String, pl.Categorical, pl.Enum(['NGC 1', 'x\u00e9', ''])])
def test_text_is_text(dtype):
    column = as_table(pl.DataFrame({'name': pl.Series(['NGC 1', None, ''], dtype=dtype)}))['name']
    assert column.dtype.kind == 'U' and mask_of(column) == [False, True, False]
    assert column[0] == 'NGC 1' and column[2] == ''


def test_dates_and_lists():
    table = as_table(pl.DataFrame({'day': [datetime.date(2026, 1, 2)], 'v': [[1.0, 2.0]]}))
    assert table['day'][0] == '2026-01-02' and table['v'].shape == (1, 2)


def test_structures_are_refused():
    with pytest.raises(ValueError, match="column 's' holds struct"):
        as_table(pl.DataFrame({'s': [{'a': 1}]}))


def test_chunks_and_no_rows():
    frame = pl.concat([pl.DataFrame({'x': [1.0], 'name': ['a']})] * 3, rechunk=False)
    assert as_table(frame)['name'].tolist() == ['a', 'a', 'a']
    assert len(as_table(frame.clear())) == 0


def test_a_lazy_frame_is_refused():
    with pytest.raises(TypeError, match='LazyFrame'):
        as_table(pl.DataFrame({'x': [1.0]}).lazy())


def test_positions_and_radii_of_a_frame():
    frame = pl.DataFrame({'x': [3.0, 4.0], 'y': [5.0, None], 'petro_r90': [2.0, None]})
    positions = read_positions(as_table(frame))
    np.testing.assert_array_equal(positions.y, [5.0, np.nan])
    np.testing.assert_array_equal(positions.radius, [2.0, np.nan])


def test_a_frame_through_the_whole_way():
    y, x = np.mgrid[:96, :96] - 47.5
    image = 4 * np.exp(-np.hypot(x, y) / 5) + np.random.default_rng(0).normal(0, 0.02, (96, 96))
    frame = pl.DataFrame({'objid': [2**60 + 1, 7], 'x': [47.5, None], 'y': [47.5, 3.0],
                          'petro_r90': [15.0, 15.0]})
    table = encode_catalog(dict.fromkeys('grz', image), frame, unit='nmgy', pixel_scale=0.262,
                           reconstruction=False, morphology=False)
    assert table['objid'].tolist() == [2**60 + 1, 7]
    assert table['galvae_latent'].mask.all(axis=1).tolist() == [False, True]
