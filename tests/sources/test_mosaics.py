# Licensed under a 3-clause BSD style license - see LICENSE.rst
import pickle

import numpy as np
import pytest
from astropy.table import Table
from simulated import bands, galaxy, open_images, star_field

from galvae_affiliated import make_cutouts
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.sources import mosaics
from galvae_affiliated.sources.detection import map_sources
from galvae_affiliated.sources.sizes import measure_sizes


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(mosaics, 'TILE', 150)
    monkeypatch.setattr(mosaics, 'MARGIN', 60)
    monkeypatch.setattr(mosaics, 'LARGE', 10_000)


@pytest.fixture(scope='module')
def images():
    shape = (240, 400)
    light = sum(galaxy(x, y, 2.0, 3.5, shape)
                for x, y in ((40, 40), (148, 60), (152, 160), (300, 149), (360, 80)))
    return open_images(bands(light))


def test_tiles_find_what_the_whole_does(images):
    whole = map_sources(images)
    table, sources = mosaics.detect_tiled(images)
    assert len(table) == len(sources.x) == len(whole.x) == 5
    far = np.hypot(sources.x[:, None] - whole.x, sources.y[:, None] - whole.y)
    same = far.argmin(axis=1)
    assert far.min(axis=1).max() < 0.05
    assert sorted(same) == list(range(5))
    radius, is_uncertain = measure_sizes(images, whole, whole.x, whole.y)
    assert np.allclose(sources.radius, radius[same], rtol=0.05)
    assert not is_uncertain.any()
    assert not (sources.flags & GalvaeFlags.RADIUS_UNCERTAIN).any()


def test_radii_at_positions(images):
    x, y = np.array([40.0, np.nan, 300.0, 390.0, 152.0]), np.array([40.0, 3.0, 149.0, -60.0, 160.0])
    sources = mosaics.measure_tiled(images, x, y)
    _, found = mosaics.detect_tiled(images)
    assert np.isnan(sources.radius[[1, 3]]).all()
    assert np.allclose(sources.radius[[0, 2, 4]], np.median(found.radius), rtol=0.1)


def test_stars_of_tiles(monkeypatch):
    light, stars, _ = star_field()
    monkeypatch.setattr(mosaics, 'TILE', max(light.shape))
    images = open_images(bands(light))
    _, sources = mosaics.detect_tiled(images)
    assert np.isclose(sources.psf_r90, map_sources(images).psf_r90, rtol=1e-6)
    assert (sources.flags & GalvaeFlags.POINT_SOURCE > 0).sum() >= 0.9 * len(stars)


def test_cutouts_of_a_mosaic(images):
    stack = make_cutouts(images)
    assert len(stack) == 5
    assert np.isfinite(stack.radius).all()
    catalog = Table({'x': [40.0, 300.0], 'y': [40.0, 149.0]})
    some = make_cutouts(images, catalog)
    _, found = mosaics.detect_tiled(images)
    assert np.allclose(some.radius, np.median(found.radius), rtol=0.1)
    assert not some.flags.any()


def test_only_tiles_with_positions_are_read(images, monkeypatch):
    seen = []
    monkeypatch.setattr(mosaics, 'map_sources', lambda part, psf_fwhm=None:
                        seen.append(part.x_range) or map_sources(part, psf_fwhm=psf_fwhm))
    mosaics.measure_tiled(images, np.array([40.0]), np.array([40.0]))
    assert seen == [(0, 210)]


def test_an_empty_mosaic():
    arrays = {band: np.full((240, 400), np.nan, dtype=np.float32) for band in 'grz'}
    table, sources = mosaics.detect_tiled(open_images(arrays))
    assert len(table) == len(sources.radius) == 0
    assert np.isnan(sources.psf_r90)


def test_no_pixel_is_kept(images):
    _, sources = mosaics.detect_tiled(images)
    assert len(pickle.dumps(sources)) < 2000
