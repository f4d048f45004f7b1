# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from simulated import bands, galaxy, open_images, star

from galvae_affiliated.sources._companions import find_companions
from galvae_affiliated.sources._segments import SegmentPixels
from galvae_affiliated.sources.detection import map_sources

SHAPE = (200, 200)


def found(light, seed=0):
    sources = map_sources(open_images(bands(light, seed)))
    return np.array([sources.x, sources.y]).T


@pytest.mark.parametrize('angle', [0.3, 2.0, 4.0])
def test_a_companion_without_a_peak(angle):
    """On the slope of a bright star, where its light has a shoulder and no maximum."""
    x, y = 100 + 9 * np.cos(angle), 100 + 9 * np.sin(angle)
    light = star(100, 100, 10.0, SHAPE, sigma=2.5) + galaxy(x, y, 0.8, 2.0, SHAPE)
    positions = found(light)
    assert len(positions) == 2
    assert np.hypot(*(positions - [100, 100]).T).min() < 0.7
    assert np.hypot(*(positions - [x, y]).T).min() < 3.0


def test_symmetric_sources_have_none():
    light = galaxy(60, 70, 3.0, 6.0, SHAPE) + star(140, 130, 300.0, SHAPE)
    assert len(found(light)) == 2


def test_arcs_and_noise_are_none():
    y, x = np.indices(SHAPE)
    r, angle = np.hypot(x - 100, y - 100), np.arctan2(y - 100, x - 100)
    light = 2 * np.exp(-r / 8) + np.exp(-0.5 * ((r - 22) / 2) ** 2) * (np.abs(angle) < 1)
    smooth = light.astype(np.float32)
    labels = (light > 0.01).astype(np.int32)
    assert find_companions(SegmentPixels(labels), smooth, smooth, 0.01, 0.004) == []


def test_no_sources():
    nothing = np.zeros((8, 9), np.float32)
    assert find_companions(SegmentPixels(nothing.astype(int)), nothing, nothing, 1.0, 0.4) == []
