# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from simulated import bands, galaxy, open_images, star

from galvae_affiliated.sources._merging import is_separate, merge_pieces, shared_borders
from galvae_affiliated.sources.detection import map_sources

SHAPE = (240, 240)


def found(light, seed=0):
    sources = map_sources(open_images(bands(light, seed)))
    return np.array([sources.x, sources.y]).T


def spiral(x, y, scale, peak, knots=0.0):
    """A disc with two arms of high contrast and knots on them."""
    yy, xx = np.indices(SHAPE)
    r, angle = np.hypot(xx - x, yy - y), np.arctan2(yy - y, xx - x)
    arms = 1 + 0.7 * np.cos(2 * (angle - np.log(r / scale + 0.1) / 0.35))
    light = peak * np.exp(-r / scale) * arms + 3 * peak * np.exp(-r / (0.2 * scale))
    rng = np.random.default_rng(1)
    for _ in range(25):
        rk = scale * rng.uniform(0.8, 2.5)
        ak = np.log(rk / scale + 0.1) / 0.35 + np.pi * rng.integers(2)
        bright = knots * peak * np.exp(-rk / scale)
        light += star(x + rk * np.cos(ak), y + rk * np.sin(ak), bright, SHAPE)
    return light


@pytest.mark.parametrize('knots', [0.0, 0.2, 0.4])
@pytest.mark.parametrize('scale', [8.0, 16.0])
def test_a_spiral_is_one_source(scale, knots):
    positions = found(spiral(120, 120, scale, 1.0, knots))
    inside = np.hypot(*(positions - 120).T) < 3 * scale
    assert inside.sum() == 1
    assert np.hypot(*(positions[inside] - 120).T)[0] < 2.0


def test_a_star_before_a_galaxy_is_kept():
    """With a twentieth of its light."""
    disc = galaxy(120, 120, 2.0, 10.0, SHAPE)
    peak = 0.05 * disc.sum() / (2 * np.pi * 1.7**2)
    positions = found(disc + star(140, 128, peak, SHAPE))
    assert np.hypot(*(positions - [140, 128]).T).min() < 1.0
    assert np.hypot(*(positions - 120).T).min() < 1.0
    assert len(positions) == 2


@pytest.mark.parametrize('ratio', [1.0, 0.5, 0.25])
def test_a_pair_is_two(ratio):
    light = galaxy(110, 120, 2.0, 4.0, SHAPE) + galaxy(132, 124, 2.0 * ratio, 4.0, SHAPE)
    positions = found(light)
    assert len(positions) == 2
    for centre in ((110, 120), (132, 124)):
        assert np.hypot(*(positions - centre).T).min() < 1.5


def test_noise_does_not_shred():
    for seed in range(4):
        positions = found(galaxy(120, 120, 0.3, 12.0, SHAPE), seed)
        assert (np.hypot(*(positions - 120).T) < 40).sum() == 1


def test_pieces_are_numbered_without_a_gap():
    labels = np.zeros((5, 12), dtype=int)
    labels[1:4, 1:5], labels[1:4, 5:8], labels[1:4, 9:11] = 1, 2, 3
    smooth = np.where(labels == 2, 4.0, 10.0 * (labels > 0))
    smooth[2, 6] = 4.5
    number = merge_pieces(labels, smooth, 1.0)
    assert number[0] == 0
    assert number[1] == number[2] != number[3]
    assert sorted(set(number)) == [0, 1, 2]


@pytest.mark.parametrize(
    ('share', 'contrast', 'expected'),
    [(0.02, 3.0, True), (0.02, 1.0, False), (0.25, 1.0, True), (0.25, 0.4, False),
     (0.45, 0.4, True), (0.45, 0.05, False)],
)
def test_what_is_separate(share, contrast, expected):
    saddle, noise = 100.0, 1.0
    peak = saddle * (1 + contrast)
    assert is_separate(share, 1 - share, peak, 10 * peak, saddle, noise) == expected
    assert is_separate(1 - share, share, 10 * peak, peak, saddle, noise) == expected
    assert not is_separate(share, 1 - share, saddle + 2 * noise, 10 * peak, saddle, noise)


def test_share_of_the_border():
    labels = np.zeros((6, 8), dtype=int)
    labels[1:5, 1:4], labels[1:5, 4:7] = 1, 2
    assert np.allclose(shared_borders(labels), 4 / 14)
    assert np.allclose(shared_borders(np.pad(np.ones((2, 2), dtype=int), 1)), 0)
