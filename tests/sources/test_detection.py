# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.nddata import CCDData

from galvae_affiliated.images.field import FieldImages
from galvae_affiliated.sources.detection import detect, detection_image, segment

PIXEL = 0.262
TYPICAL = {band: {'noise': 0.1, 'flux': 1.0} for band in 'grz'}


def open_images(images, **options):
    return FieldImages(images, band_sets=[('z', 'r', 'g')], typical=TYPICAL, **options)


@pytest.fixture
def arrays(field):
    return {band: image.data for band, image in field.items()}


def found(arrays, **options):
    table, sources = detect(open_images(arrays, unit='nmgy', pixel_scale=PIXEL, **options))
    labels = sources.labels
    assert labels.shape == arrays['r'].shape
    assert len(table) == labels.max()
    return np.array([table['x_centroid'], table['y_centroid']]).T


def assert_all_found(positions, galaxies, atol=0.3):
    """Every galaxy is found once, and nothing else."""
    assert len(positions) == len(galaxies)
    distance = np.hypot(*(positions[:, None] - np.array([galaxies['x'], galaxies['y']]).T).T)
    assert np.all(distance.min(axis=0) < atol)
    assert np.all(distance.min(axis=1) < atol)


def test_galaxies_are_found(arrays, galaxies):
    assert_all_found(found(arrays), galaxies)


def test_table_of_sources(field, galaxies):
    table, sources = detect(open_images(field))
    labels = sources.labels
    assert table.colnames == ['id', 'x_centroid', 'y_centroid', 'ra', 'dec']
    assert list(table['id']) == list(range(1, 7))
    for row in table:
        assert labels[int(round(row['y_centroid'])), int(round(row['x_centroid']))] == row['id']
    sky = field['r'].wcs.pixel_to_world(table['x_centroid'], table['y_centroid'])
    assert np.allclose(table['ra'].to_value('deg'), sky.ra.deg)
    assert np.allclose(table['dec'].to_value('deg'), sky.dec.deg)


@pytest.mark.parametrize(
    ('sky', 'subtract_sky'),
    [
        (0.3, None),
        (0.45, None),
        (0.9, None),
        (-0.9, None),
        (50.0, None),
        (-50.0, None),
        (0.45, False),
        (-0.9, False),
    ],
)
def test_sky_level_does_not_matter(arrays, galaxies, sky, subtract_sky):
    """A sky that was left in the images, in units of the noise, is no source."""
    raised = {
        band: arrays[band] + np.float32(sky * noise)
        for band, noise in {'g': 0.012, 'r': 0.02, 'z': 0.05}.items()
    }
    assert_all_found(found(raised, subtract_sky=subtract_sky), galaxies)


def test_touching_galaxies_are_told_apart(arrays):
    y, x = np.mgrid[:200, :200]
    pair = {
        band: a
        + 3 * np.exp(-np.hypot(x - 178, y - 100) / 3)
        + 3 * np.exp(-np.hypot(x - 178, y - 120) / 3)
        for band, a in arrays.items()
    }
    positions = found(pair)
    assert len(positions) == 8
    for centre in ((178, 100), (178, 120)):
        assert np.hypot(*(positions - centre).T).min() < 1.0


def test_source_of_one_band_is_found(arrays, galaxies):
    y, x = np.mgrid[:200, :200]
    red = {**arrays, 'z': arrays['z'] + 2 * np.exp(-np.hypot(x - 170, y - 20) / 3)}
    assert len(found(red)) == len(galaxies) + 1


def test_missing_pixels_are_no_sources(arrays, galaxies):
    holes = {band: np.array(a) for band, a in arrays.items()}
    for image in holes.values():
        image[:20] = np.nan
    holes['g'][:, 180:] = np.nan
    assert_all_found(found(holes), galaxies)


def test_nothing_but_noise():
    rng = np.random.default_rng(5)
    images = {band: rng.normal(0, 0.02, (100, 100)) for band in 'grz'}
    table, sources = detect(open_images(images, unit='nmgy', pixel_scale=PIXEL))
    labels = sources.labels
    assert len(table) == 0
    assert table.colnames == ['id', 'x_centroid', 'y_centroid']
    assert not labels.any()


def test_nothing_in_a_field_with_wcs(field):
    empty = {
        band: CCDData(np.zeros((50, 50)), unit=image.unit, wcs=image.wcs)
        for band, image in field.items()
    }
    table, _ = detect(open_images(empty))
    assert len(table) == 0
    assert 'ra' in table.colnames


@pytest.mark.parametrize('content', [0.0, 1.0, np.nan])
def test_flat_image(content):
    images = open_images(np.full((3, 40, 40), content), bands='grz', unit='nmgy', pixel_scale=PIXEL)
    table, sources = detect(images)
    labels = sources.labels
    assert len(table) == 0
    assert labels.shape == (40, 40)


def test_detection_image_has_unit_noise(arrays):
    images = open_images(arrays, unit='nmgy', pixel_scale=PIXEL)
    image = detection_image(images)
    assert np.std(image[175:, :100]) == pytest.approx(1.0, abs=0.1)
    assert image.shape == (200, 200)


def test_labels_of_the_sources(arrays):
    labels = segment(detection_image(open_images(arrays, unit='nmgy', pixel_scale=PIXEL)))[0]
    assert sorted(np.unique(labels)) == list(range(7))
    assert not segment(np.full((20, 20), np.nan))[0].any()
