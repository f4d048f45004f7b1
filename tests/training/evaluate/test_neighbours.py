# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whether codes are kept, and whether training galaxies are repeated."""

import numpy as np
import pytest

from galvae_affiliated.training.density import fit_mixture
from galvae_affiliated.training.evaluate import neighbours
from galvae_affiliated.training.evaluate.neighbours import (
    halves_test,
    nearest_distance,
    own_is_nearest,
)

RNG = np.random.default_rng(0)


def mixture_of(n_components):
    """What fits so many components."""
    return lambda values: fit_mixture(values, n_components)


def test_nearest_distance_is_that_of_all_pairs(monkeypatch):
    points, among = RNG.standard_normal((50, 3)), RNG.standard_normal((30, 3))
    slow = np.sqrt(((points[:, None] - among) ** 2).sum(-1)).min(1)
    monkeypatch.setattr(neighbours, 'BLOCK', 7)
    np.testing.assert_allclose(nearest_distance(points, among), slow)
    assert nearest_distance(points[:0], among).shape == (0,)


def test_latents_that_are_kept_are_their_own_nearest(monkeypatch):
    latent = RNG.standard_normal((200, 5))
    monkeypatch.setattr(neighbours, 'BLOCK', 64)
    assert own_is_nearest(latent + 1e-3, latent) == {'plain': 1.0, 'whitened': 1.0}
    assert own_is_nearest(latent[::-1], latent) == {'plain': 0.0, 'whitened': 0.0}


def test_what_metric_tells_where_a_narrow_direction_is_lost():
    latent = RNG.standard_normal((300, 2)) * [1e4, 1.0]
    again = latent.copy()
    again[:, 1] = RNG.permutation(again[:, 1])
    shares = own_is_nearest(again, latent)
    assert shares['plain'] > 0.6 > 0.3 > shares['whitened']


def test_densities_of_few_components_repeat_nothing():
    latent = RNG.standard_normal((3000, 3)) @ RNG.standard_normal((3, 3))
    found = halves_test(latent[:2000], latent[2000:], mixture_of(2), n_samples=800)
    assert abs(found['nearer to own'] - 0.5) < 4 * found['error']
    assert found['mean log density: samples, other half'] == pytest.approx(
        found['mean log density: held out'], abs=0.15
    )
    assert found['galaxies a half'] == 1000


def test_a_density_on_each_galaxy_is_found_out():
    latent = RNG.standard_normal((240, 6))
    found = halves_test(latent, RNG.standard_normal((200, 6)), mixture_of(100), n_samples=300)
    assert found['nearer to own'] > 0.8
    assert found['nearest: own half'] < 0.6 * found['nearest: other half']
    assert found['mean log density: training, own half'] > 5 + found['mean log density: held out']
