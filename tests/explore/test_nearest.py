# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Exact nearest rows, block by block."""

import numpy as np
import pytest

from galvae_affiliated.explore import _nearest
from galvae_affiliated.explore._nearest import nearest_rows


def blocks_of(rows, size, counts=None):
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        yield start, rows[part], None if counts is None else counts[part]


def brute_force(queries, rows, k):
    """The slow twin: all distances in double precision."""
    away = np.linalg.norm(queries[:, None].astype(float) - rows[None].astype(float), axis=2)
    order = np.argsort(away, axis=1, kind='stable')[:, :k]
    return np.take_along_axis(away, order, axis=1), order


@pytest.mark.parametrize(('n_rows', 'size'), [(3000, 500), (3000, 4096), (700, 1), (5, 2)])
def test_the_nearest_are_those_of_all_distances(n_rows, size, monkeypatch):
    monkeypatch.setattr(_nearest, 'BLOCK_DISTANCES', 7000)  # many blocks
    rng = np.random.default_rng(1)
    rows = rng.normal(3.0, 1.0, (n_rows, 6)).astype('f4')
    queries = rng.normal(3.0, 1.0, (23, 6)).astype('f4')
    k = min(7, n_rows)
    distances, found = nearest_rows(queries, blocks_of(rows, size), k, n_threads=2)
    expected, order = brute_force(queries, rows, k)
    np.testing.assert_array_equal(found, order)
    np.testing.assert_allclose(distances, expected, rtol=1e-6)


def test_rows_that_follow_a_line_to_the_queries_are_all_found():
    """Each block is nearer than all before: nothing may be left out by an old limit."""
    rows = np.linspace(100.0, 1.0, 5000)[:, None].astype('f4')
    _, found = nearest_rows(np.zeros((1, 1)), blocks_of(rows, 100), 5)
    assert found[0].tolist() == [4999, 4998, 4997, 4996, 4995]


def test_a_row_far_from_the_origin_finds_itself():
    """Single precision alone would lose the small distances there."""
    rng = np.random.default_rng(0)
    rows = (1000.0 + rng.normal(size=(2000, 5))).astype('f4')
    distances, found = nearest_rows(rows[:50], blocks_of(rows, 512), 3)
    np.testing.assert_array_equal(found[:, 0], np.arange(50))
    np.testing.assert_array_equal(distances[:, 0], 0.0)
    np.testing.assert_array_equal(found, brute_force(rows[:50], rows, 3)[1])


def test_equal_distances_are_in_the_order_of_the_rows():
    rows = np.zeros((50, 3), dtype='f4')
    _, found = nearest_rows(np.ones((2, 3)), blocks_of(rows, 50), 4)
    assert found.tolist() == [[0, 1, 2, 3]] * 2


def test_rows_that_do_not_count_are_not_found():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 4)).astype('f4')
    counts = np.zeros(300, dtype=bool)
    counts[[4, 77, 210]] = True
    rows[5] = np.nan  # nor those without latents
    distances, found = nearest_rows(rows[:2], blocks_of(rows, 64, counts), 5)
    assert set(found[0, :3]) == {4, 77, 210}
    assert found[:, 3:].tolist() == [[-1, -1]] * 2
    assert np.isinf(distances[:, 3:]).all()
    _, found = nearest_rows(rows[:2], blocks_of(rows, 64), 299)
    assert 5 not in found


def test_no_queries():
    distances, found = nearest_rows(np.zeros((0, 3)), blocks_of(np.zeros((9, 3), 'f4'), 9), 2)
    assert distances.shape == found.shape == (0, 2)
