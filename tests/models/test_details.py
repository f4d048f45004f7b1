# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is drawn beside what latents hold."""

import numpy as np
import pytest
from scipy.stats import kstest, kurtosis

from galvae_affiliated import get_model
from galvae_affiliated.models import Encoder, generate_batches, reconstruct
from galvae_affiliated.models.details import _random_numbers


@pytest.fixture(scope='module')
def encoder():
    return Encoder(device='cpu')


@pytest.fixture(scope='module')
def galaxies():
    return get_model().generate(12, random_state=2)


def test_details_of_the_galaxy_leave_the_sky_to_the_smooth_decoder(encoder, galaxies):
    code = galaxies.latent, galaxies.pose
    smooth = encoder.decode(*code)
    drawn = {kind: encoder.draw(*code, details=kind, random_state=1)
             for kind in ('none', 'galaxy', 'all')}
    np.testing.assert_array_equal(drawn['none'], smooth)
    light = smooth.mean(1)
    faint = np.broadcast_to((light < light[:, :1, :1] + 0.004)[:, None], smooth.shape)
    bright = np.broadcast_to((light > 0.2)[:, None], smooth.shape)
    changed = {kind: np.abs(images - smooth) for kind, images in drawn.items()}
    assert changed['all'][faint].mean() > 10.0 * changed['galaxy'][faint].mean()
    both = [changed[kind][bright].mean() for kind in ('galaxy', 'all')]
    assert both[0] == pytest.approx(both[1], rel=0.02)
    again = encoder.draw(*code, details='galaxy', random_state=1)
    np.testing.assert_array_equal(again, drawn['galaxy'])


def test_every_door_takes_them(galaxies):
    model = get_model()
    plain, lit = (model.generate(12, random_state=2, details=kind) for kind in ('none', 'galaxy'))
    np.testing.assert_array_equal(plain.latent, galaxies.latent)
    assert 0.0 < np.abs(lit.images - plain.images).mean() < np.abs(
        galaxies.images - plain.images).mean()
    found = {kind: reconstruct(galaxies.images, model, details=kind, random_state=0)
             for kind in ('none', 'galaxy')}
    assert np.abs(found['galaxy'].decoded - found['none'].decoded).max() > 0.02
    np.testing.assert_array_equal(found['galaxy'].encoding.latent, found['none'].encoding.latent)


def test_a_model_without_a_sharp_decoder_has_none():
    model = get_model('gz2-sdss-v2')
    one, two = (model.generate(2, random_state=0, details=kind) for kind in ('none', 'all'))
    np.testing.assert_array_equal(one.images, two.images)


def test_nothing_drawn_has_no_details(encoder):
    model = encoder.model
    nothing = np.zeros((0, model.n_latents)), np.zeros((0, model.n_pose))
    assert encoder.draw(*nothing, details='galaxy').shape == (0, 3, model.grid, model.grid)


@pytest.mark.parametrize('call', [
    lambda encoder: encoder.draw(np.zeros((1, 40)), details='sharp'),
    lambda encoder: generate_batches(encoder.model, 1, details='sharp'),
    lambda encoder: reconstruct(np.zeros((1, 3, 128, 128)), encoder.model, details='sharp'),
])
def test_other_details_are_refused_at_once(encoder, call):
    with pytest.raises(ValueError, match="details is 'sharp'; expected 'none', 'galaxy', 'all'"):
        call(encoder)


def test_random_numbers_are_normal():
    numbers = _random_numbers(np.random.default_rng(0), (40, 5000))
    assert numbers.dtype == np.float32
    assert kstest(numbers.ravel(), 'norm').pvalue > 0.01
    assert kurtosis(numbers, axis=None) == pytest.approx(0.0, abs=0.05)
    assert abs(np.corrcoef(numbers)[np.triu_indices(40, 1)]).max() < 0.07
