# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Painted galaxies are of the kinds, sizes and shapes that they say."""

import numpy as np
import pytest

from galvae_affiliated import LatentTransformer
from galvae_affiliated.simulation import paint_galaxies

KINDS = ['smooth', 'edge-on', 'spiral', 'barred', 'ring', 'merging']


@pytest.fixture(scope='module')
def galaxies():
    return paint_galaxies(36, random_state=3)


def light(images):
    """(N, grid, grid) mean over the channels, above the sky."""
    planes = images.mean(axis=1)
    return planes - np.median(planes, axis=(1, 2))[:, None, None]


def test_each_kind_is_as_frequent(galaxies):
    kinds, counts = np.unique(galaxies.truth['kind'], return_counts=True)
    assert sorted(kinds) == sorted(KINDS)
    assert set(counts) == {6}
    assert len(galaxies) == 36


def test_images_are_composites(galaxies):
    assert galaxies.images.shape == (36, 3, 128, 128)
    assert galaxies.images.dtype == np.float32
    assert galaxies.images.min() >= 0.0
    assert galaxies.images.max() <= 1.0
    assert np.ptp(galaxies.images, axis=(1, 2, 3)).min() > 0.4


def test_the_same_number_gives_the_same_galaxies():
    first, second, other = (paint_galaxies(2, 'spiral', random_state=state) for state in (1, 1, 2))
    np.testing.assert_array_equal(first.images, second.images)
    assert not np.array_equal(first.images, other.images)


def test_galaxies_may_be_named_one_by_one():
    kinds = ['ring', 'ring', 'smooth']
    assert paint_galaxies(3, kinds, grid=32).truth['kind'].tolist() == kinds


def test_major_axes_lie_where_the_truth_says():
    galaxies = paint_galaxies(6, 'edge-on', noise=0.0, random_state=0)
    y, x = np.mgrid[:128, :128] - 63.5
    for plane, angle in zip(light(galaxies.images), galaxies.truth['angle']):
        weight = np.maximum(plane, 0.0)
        measured = 0.5 * np.degrees(np.arctan2(2 * (weight * x * y).sum(),
                                               (weight * (x * x - y * y)).sum()))
        assert abs((measured - angle + 90) % 180 - 90) < 2.0


def test_smooth_galaxies_are_red_and_arms_are_blue():
    color = {kind: np.ptp(paint_galaxies(8, kind, noise=0.0, random_state=1).images.mean(
        axis=(2, 3))[:, [0, 2]], axis=1).mean() for kind in ('smooth', 'spiral')}
    smooth = paint_galaxies(8, 'smooth', noise=0.0, random_state=1).images.mean(axis=(2, 3))
    assert (smooth[:, 0] > 1.5 * smooth[:, 2]).all()
    assert color['spiral'] < color['smooth']


def test_arms_are_stated_where_there_are_some(galaxies):
    truth = galaxies.truth
    has_arms = np.isin(truth['kind'], ['spiral', 'barred', 'merging'])
    np.testing.assert_array_equal(truth['n_arms'].mask, ~has_arms)
    assert truth['pitch'][has_arms].min() >= 12.0


def test_the_sky_has_the_noise_that_was_asked_for():
    images = paint_galaxies(2, 'edge-on', noise=0.02, random_state=0).images
    assert images[:, :, :8, :8].std() == pytest.approx(0.02, rel=0.2)


def test_the_default_model_takes_them_and_tells_the_kinds(galaxies):
    latents = LatentTransformer().fit_transform(galaxies.images)
    assert np.isfinite(latents).all()
    distance = np.linalg.norm(latents[:, None] - latents, axis=-1) + np.diag([np.inf] * 36)
    kinds = np.array(galaxies.truth['kind'])
    plain = np.isin(kinds, ['smooth', 'edge-on'])
    assert np.mean(kinds[distance.argmin(axis=1)] == kinds) > 0.5
    assert np.mean((kinds[distance.argmin(axis=1)] == kinds)[plain]) > 0.9


@pytest.mark.parametrize(('n', 'kinds', 'options', 'message'), [
    (2, 'elliptical', {}, "kinds are .'elliptical'.; expected some of smooth"),
    (2, [], {}, 'kinds are'),
    (-1, 'smooth', {}, '-1 galaxies'),
    (1, 'smooth', {'grid': 4}, 'of 4 pixels'),
    (1, 'smooth', {'noise': -0.1}, 'noise of -0.1'),
])
def test_wrong_calls_are_refused(n, kinds, options, message):
    with pytest.raises(ValueError, match=message):
        paint_galaxies(n, kinds, **options)


def test_no_galaxies_are_none():
    assert paint_galaxies(0).images.shape == (0, 3, 128, 128)
