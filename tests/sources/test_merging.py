# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from simulated import bands, galaxy, open_images, star

from galvae_affiliated.sources._merging import is_separate, merge_pieces
from galvae_affiliated.sources._pieces import cut_at_peaks
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


def merged(heights):
    """The source of each pixel of an image of bright pixels, after noise of one."""
    pieces, pairs, saddles = cut_at_peaks(heights.astype(np.float32), heights > 0)
    flux = np.bincount(pieces.ravel(), heights.ravel())
    peak = np.array([heights[pieces == i].max() for i in range(len(flux))])
    return merge_pieces(flux, peak, pairs, saddles, 1.0)[pieces]


def test_pieces_are_numbered_without_a_gap():
    heights = np.zeros((7, 24))
    heights[1:6, 1:10], heights[1:6, 12:17] = 30.0, 10.0
    heights[3, 3], heights[3, 8] = 40.0, 33.0  # the second is noise on the first
    heights[3, 14] = 20.0
    labels = merged(heights)
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert labels[3, 3] == labels[3, 8] != labels[3, 14]
    assert (labels > 0).sum() == (heights > 0).sum()


def test_a_plateau_is_one_piece():
    heights = np.zeros((20, 20), dtype=np.float32)
    heights[4:16, 4:16] = 5.0
    pieces, pairs, _ = cut_at_peaks(heights, heights > 0)
    assert pieces.max() == 1
    assert pairs.shape == (2, 0)


def test_nothing_bright():
    pieces, pairs, saddles = cut_at_peaks(np.zeros((4, 5), np.float32), np.zeros((4, 5), bool))
    assert not pieces.any()
    assert pairs.shape[1] == len(saddles) == 0


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
