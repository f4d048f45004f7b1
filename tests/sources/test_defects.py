# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from simulated import NOISE, bands, galaxy, open_images, star

from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.sources.defects import sharp_pixels, trail_pixels
from galvae_affiliated.sources.detection import detection_image, map_sources, scaled_bands

SHAPE = (200, 200)


@pytest.fixture
def plain():
    return bands(galaxy(60, 70, 3.0, 4.0, SHAPE) + star(140, 130, 3.0, SHAPE))


def artefacts(images):
    """Places of sources that are artefacts, and of the others."""
    sources = map_sources(open_images(images))
    places = np.array([sources.x, sources.y]).T
    is_artefact = (sources.flags & GalvaeFlags.ARTIFACT) != 0
    return places[is_artefact], places[~is_artefact]


def is_near(places, x, y, reach=4.0):
    return len(places) > 0 and np.hypot(*(places - [x, y]).T).min() < reach


def test_galaxies_and_stars_are_no_artefacts(plain):
    bad, good = artefacts(plain)
    assert len(bad) == 0
    assert len(good) == 2


@pytest.mark.parametrize('band', ['g', 'r', 'z'])
@pytest.mark.parametrize('length', [1, 2, 8, 20])
def test_a_cosmic_ray_is_no_galaxy(plain, band, length):
    plain[band][150, 40 : 40 + length] += 60 * NOISE[band]
    _, good = artefacts(plain)
    assert len(good) == 2
    assert sharp_pixels(scaled_bands(open_images(plain))).sum() >= length


def test_a_wide_cosmic_ray_is_flagged(plain):
    plain['r'][150:153, 40:52] += 60 * NOISE['r']
    bad, good = artefacts(plain)
    assert is_near(bad, 45.5, 151)
    assert len(good) == 2


def test_a_cosmic_ray_before_a_galaxy_leaves_it_one(plain):
    plain['g'][72, 55:66] += 80 * NOISE['g']
    bad, good = artefacts(plain)
    assert len(bad) == 0
    assert is_near(good, 60, 70, 1.0)
    assert len(good) == 2


def test_a_galaxy_of_one_band_is_one():
    """Far galaxies drop out of the blue bands: round smooth light is believed."""
    images = bands(galaxy(60, 70, 3.0, 4.0, SHAPE))
    images['z'] = images['z'] + galaxy(150, 120, 2.0, 3.0, SHAPE)
    bad, good = artefacts(images)
    assert len(bad) == 0
    assert is_near(good, 150, 120)


def test_a_trail(plain):
    y, x = np.indices(SHAPE)
    plain['r'] += 8 * NOISE['r'] * np.exp(-0.5 * ((x - 0.4 * y - 70) / 2.0 / 1.077) ** 2)
    trails = trail_pixels(scaled_bands(open_images(plain)))
    assert trails[1].sum() > 1000
    assert not trails[[0, 2]].any()
    _, good = artefacts(plain)
    assert len(good) == 2


def test_a_saturated_star_and_its_spikes():
    light = star(100, 100, 4000.0, SHAPE, sigma=2.5)
    y, x = np.indices(SHAPE)
    for along, across in ((x - 100, y - 100), (y - 100, x - 100)):
        light += 0.8 * np.exp(-0.5 * (across / 1.3) ** 2) / (1 + (along / 12.0) ** 2)
    images = {band: np.minimum(image, 20.0) for band, image in bands(light).items()}
    bad, good = artefacts(images)
    assert is_near(bad, 100, 100)
    assert len(good) == 0


def test_a_bright_star_is_not_saturated(plain):
    images = bands(star(100, 100, 500.0, SHAPE))
    bad, good = artefacts(images)
    assert len(bad) == 0
    assert is_near(good, 100, 100)


def test_no_sources():
    images = bands(np.zeros(SHAPE))
    sources = map_sources(open_images(images))
    assert len(sources.x) == len(sources.flags) == 0
    assert detection_image(open_images(images)).shape == SHAPE
