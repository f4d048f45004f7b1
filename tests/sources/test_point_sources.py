# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from simulated import PIXEL, SIGMA, STAR_R90, bands, open_images, star_field

from galvae_affiliated import make_cutouts
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.sources.detection import map_sources
from galvae_affiliated.sources.point_sources import psf_from_fwhm


def is_point(sources, places):
    """Of the source nearest to each place."""
    far = np.hypot(sources.x - places[:, :1], sources.y - places[:, 1:])
    assert far.min(axis=1).max() < 1.0
    return (sources.flags[far.argmin(axis=1)] & GalvaeFlags.POINT_SOURCE) != 0


@pytest.mark.parametrize('psf_fwhm', [None, 2.355 * SIGMA])
def test_stars_are_told_from_galaxies(psf_fwhm):
    light, stars, galaxies = star_field()
    sources = map_sources(open_images(bands(light)), psf_fwhm=psf_fwhm)
    assert is_point(sources, stars).mean() > 0.95
    assert not is_point(sources, galaxies).any()


def test_size_of_a_star():
    light, _, _ = star_field()
    assert map_sources(open_images(bands(light))).psf_r90 == pytest.approx(STAR_R90, rel=0.1)


def test_a_field_without_stars_has_no_locus():
    light, _, _ = star_field(n_stars=0, n_galaxies=20)
    sources = map_sources(open_images(bands(light)))
    assert np.isnan(sources.psf_r90)
    assert not (sources.flags & GalvaeFlags.POINT_SOURCE).any()


def test_radii_of_a_seeing():
    r50, r90 = psf_from_fwhm(4.0)
    assert 2.0 < r50 < r90 < 6.0


def test_resolution_of_cutouts():
    light, stars, _ = star_field()
    images = open_images(bands(light))
    stack = make_cutouts(images)
    assert (stack.resolution < 1.3).sum() >= 0.9 * len(stars)
    assert np.allclose(stack.resolution, stack.radius / map_sources(images).psf_r90)


def test_a_seeing_is_enough_where_radii_are_given(field, galaxies):
    stack = make_cutouts(field, galaxies, psf_fwhm=1.2)
    assert np.allclose(stack.resolution, stack.radius / psf_from_fwhm(1.2 / PIXEL)[1])
    assert np.isnan(make_cutouts(field, galaxies).resolution).all()


@pytest.mark.parametrize('value', [0.0, -1.0, np.nan, np.inf])
def test_impossible_seeing(field, galaxies, value):
    with pytest.raises(ValueError, match='psf_fwhm'):
        make_cutouts(field, galaxies, psf_fwhm=value)
