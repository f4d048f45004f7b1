# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from simulated import bands, galaxy, open_images, star

from galvae_affiliated import make_cutouts
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.sources.detection import map_sources
from galvae_affiliated.sources.petrosian import petrosian_r90
from galvae_affiliated.sources.sizes import measure_sizes

SHAPE = (240, 240)


def measured(light, x, y, seed=0):
    """Radius at a position and whether it is uncertain, and what it is without noise."""
    images = open_images(bands(light, seed))
    r90, is_uncertain = measure_sizes(images, map_sources(images), np.array([x]), np.array([y]))
    return float(r90[0]), bool(is_uncertain[0])


@pytest.mark.parametrize(('peak', 'scale'), [(3.0, 3.0), (3.0, 8.0), (0.6, 5.0)])
def test_radius_of_a_galaxy(peak, scale):
    light = galaxy(120, 120, peak, scale, SHAPE)
    radius, is_uncertain = measured(light, 120.0, 120.0)
    assert radius == pytest.approx(petrosian_r90(light, 120.0, 120.0), rel=0.1)
    assert not is_uncertain


def test_a_neighbour_is_replaced_by_symmetry():
    light = galaxy(110, 120, 3.0, 5.0, SHAPE)
    expected = petrosian_r90(light, 110.0, 120.0)
    radius, is_uncertain = measured(light + galaxy(140, 126, 3.0, 4.0, SHAPE), 110.0, 120.0)
    assert is_uncertain or radius == pytest.approx(expected, rel=0.15)


def test_a_bright_star_does_not_let_a_radius_run_away():
    light = galaxy(110, 120, 1.5, 4.0, SHAPE)
    expected = petrosian_r90(light, 110.0, 120.0)
    radius, is_uncertain = measured(light + star(150, 120, 300.0, SHAPE, sigma=4.0), 110.0, 120.0)
    assert is_uncertain or radius == pytest.approx(expected, rel=0.2)


def test_a_slope_of_the_sky_is_followed():
    light = galaxy(120, 120, 2.0, 5.0, SHAPE)
    slope = np.linspace(-0.1, 0.1, SHAPE[1])
    radius, _ = measured(light + slope, 120.0, 120.0)
    assert radius == pytest.approx(petrosian_r90(light, 120.0, 120.0), rel=0.12)


def test_faint_radii_are_uncertain():
    light = galaxy(120, 120, 0.045, 3.0, SHAPE)
    for seed in range(3):
        images = open_images(bands(light, seed))
        sources = map_sources(images)
        if len(sources.x):
            assert measure_sizes(images, sources, sources.x, sources.y)[1].all()


def test_nothing_to_measure():
    images = open_images(bands(galaxy(120, 120, 2.0, 5.0, SHAPE)))
    sources = map_sources(images)
    r90, is_uncertain = measure_sizes(images, sources, np.zeros(0), np.zeros(0))
    assert r90.shape == is_uncertain.shape == (0,)


def test_the_flag_of_a_row():
    """A row that is half hidden by a neighbour says so."""
    light = galaxy(120, 120, 0.5, 6.0, SHAPE) + star(126, 120, 60.0, SHAPE)
    stack = make_cutouts(open_images(bands(light)))
    assert len(stack) >= 1
    clear = make_cutouts(open_images(bands(galaxy(120, 120, 2.0, 6.0, SHAPE))))
    assert not clear.flags.any()
    assert not (clear.flags & GalvaeFlags.RADIUS_UNCERTAIN).any()
