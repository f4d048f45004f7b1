# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from simulated import bands, galaxy, open_images

from galvae_affiliated.sources._arcs import _is_bent
from galvae_affiliated.sources.detection import map_sources

SHAPE = (200, 200)


@pytest.mark.parametrize('lopsided', [0.2, 0.6])
def test_a_ring_is_a_part_of_its_galaxy(lopsided):
    y, x = np.indices(SHAPE)
    r, angle = np.hypot(x - 100, y - 100), np.arctan2(y - 100, x - 100)
    ring = np.exp(-0.5 * ((r - 20) / 3) ** 2) * (1 + lopsided * np.cos(2 * angle))
    sources = map_sources(open_images(bands(3 * np.exp(-r / 3) + ring)))
    assert len(sources.x) == 1
    assert np.hypot(sources.x - 100, sources.y - 100)[0] < 1.0


def test_a_neighbour_is_none():
    light = galaxy(90, 100, 3.0, 5.0, SHAPE) + galaxy(118, 100, 2.0, 4.0, SHAPE)
    assert len(map_sources(open_images(bands(light))).x) == 2


@pytest.mark.parametrize(('width', 'expected'), [(3.0, True), (1.2, True), (0.5, False)])
def test_how_far_it_bends(width, expected):
    y, x = np.indices((81, 81)) - 40
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    arc = (np.abs(r - 25) < 3) & (np.abs(np.abs(angle) - np.pi) < width)
    assert _is_bent(x[arc], y[arc], np.ones(arc.sum())) == expected
