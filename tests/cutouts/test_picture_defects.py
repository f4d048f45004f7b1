# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from galvae_affiliated.cutouts._defects import has_defect, has_straight_edge, has_streak

SHAPE = (100, 100)


def picture(seed=0, noise=4.0, sky=40.0):
    """A galaxy on noise, in 8 bits."""
    y, x = np.indices(SHAPE)
    light = sky + 150 * np.exp(-np.hypot(x - 50, 1.5 * (y - 50)) / 3)
    light = light + np.random.default_rng(seed).normal(0, noise, SHAPE)
    return np.clip(light, 0, 255).astype(np.uint8)


def colored(grey):
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize('seed', range(5))
def test_a_galaxy_has_none(seed):
    assert not has_defect(colored(picture(seed)))


@pytest.mark.parametrize('turns', range(4))
@pytest.mark.parametrize('share', [0.08, 0.4, 0.7])
def test_a_gap(turns, share):
    image = picture()
    image[:int(share * len(image))] = 30
    assert has_straight_edge(np.rot90(image, turns).astype(int))
    assert has_defect(colored(np.rot90(image, turns)))


def test_a_dark_sky_without_noise_is_no_gap():
    """In 8 bits the sky of a bright galaxy may be constant, up to its outline."""
    assert not has_defect(colored(picture(noise=0.0, sky=0.0)))


def test_an_empty_picture_has_no_edge():
    assert not has_defect(colored(np.full(SHAPE, 7, dtype=np.uint8)))


@pytest.mark.parametrize('angle', [0.1, 0.45, 1.2, 2.3])
def test_a_streak(angle):
    y, x = np.indices(SHAPE)
    across = (y - 30) * np.cos(angle) - (x - 55) * np.sin(angle)
    image = np.clip(picture() + 60 * np.exp(-0.5 * (across / 2) ** 2), 0, 255).astype(np.uint8)
    assert has_streak(image.astype(int))
    assert has_defect(colored(image))


def test_an_edge_on_galaxy_is_no_streak():
    y, x = np.indices(SHAPE)
    light = 40 + 180 * np.exp(-np.abs(x - 50) / 12 - np.abs(y - 50) / 2)
    light = light + np.random.default_rng(3).normal(0, 4, SHAPE)
    assert not has_streak(np.clip(light, 0, 255).astype(int))


def test_a_small_picture():
    assert not has_defect(np.zeros((8, 8, 3), dtype=np.uint8))
