# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from galvae_affiliated.sources._centroids import windowed_centroids
from galvae_affiliated.sources._segments import SegmentPixels, border_pairs


@pytest.fixture
def labels():
    result = np.zeros((30, 40), dtype=np.int32)
    result[2:9, 3:20], result[9:20, 3:12], result[22:28, 30:38] = 2, 1, 3
    return result


def test_sums_and_maxima(labels):
    values = np.random.default_rng(1).normal(size=labels.shape)
    pixels = SegmentPixels(labels)
    some = pixels.of(values)
    for i in range(3):
        own = values[labels == i + 1]
        assert np.isclose(pixels.sum(some)[i], own.sum())
        assert pixels.maximum(some)[i] == some[pixels.brightest(some)[i]] == own.max()
        assert pixels.area[i] == len(own)
    assert pixels.of(np.array([values, values])).shape == (2, pixels.area.sum())
    assert (labels[pixels.rows, pixels.columns] == pixels.source + 1).all()


def test_half_of_the_light(labels):
    y, x = np.indices(labels.shape)
    values = np.exp(-0.5 * ((x - 34) ** 2 + (y - 25) ** 2) / 1.5 ** 2)
    pixels = SegmentPixels(np.ones_like(labels))
    far = pixels.distances(np.array([34.0]), np.array([25.0]))
    radius = np.sqrt(pixels.half_light_areas(pixels.of(values), far) / np.pi)
    assert radius[0] == pytest.approx(1.5 * 1.177, abs=0.2)


def test_borders(labels):
    own, other, sides = border_pairs(labels)
    touch = {(a, b): n for a, b, n in zip(own.tolist(), other.tolist(), sides.tolist())}
    assert touch[1, 2] == touch[2, 1] == 9
    assert touch[3, 0] == 2 * (6 + 8)
    assert (1, 3) not in touch


def test_centroids(labels):
    y, x = np.indices(labels.shape)
    light = np.exp(-np.hypot(x - 7.3, y - 14.6) / 2) + np.exp(-np.hypot(x - 33.6, y - 24.8))
    light[5, 10] = 3.0
    pixels = SegmentPixels(labels)
    cx, cy = windowed_centroids(pixels, pixels.of(light), pixels.of(light))
    assert cx == pytest.approx([7.3, 10.0, 33.6], abs=0.15)
    assert cy == pytest.approx([14.6, 5.0, 24.8], abs=0.15)


def test_nothing():
    pixels = SegmentPixels(np.zeros((4, 5), dtype=int))
    assert pixels.sum(np.zeros(0)).shape == pixels.maximum(np.zeros(0)).shape == (0,)
    x, y = windowed_centroids(pixels, np.zeros(0), np.zeros(0))
    assert len(x) == len(y) == 0
