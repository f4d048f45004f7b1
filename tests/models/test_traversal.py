# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Walks through latents."""

import numpy as np
import pytest

from galvae_affiliated import Engine, get_model
from galvae_affiliated.models import interpolate, traverse


@pytest.fixture(scope='module')
def model():
    return get_model()


def fractions(model, latents):
    found = Engine(device='cpu').runner(model, 'heads')({'latent': latents}, ['fractions'])[0]
    names = [(q, a) for q, answers in model.questions.items() for a in answers]
    return {name: found[:, i] for i, name in enumerate(names)}


def test_one_latent_goes_and_the_others_stay(model):
    middle = np.linspace(-1, 1, model.n_latents)
    walk = traverse(middle, 3, model, n_steps=5, extent=2.0)
    np.testing.assert_allclose(walk[:, 3] - middle[3], [-2, -1, 0, 1, 2], atol=1e-6)
    np.testing.assert_allclose(np.delete(walk, 3, 1), np.delete(middle, 3)[None].repeat(5, 0),
                               atol=1e-6)


@pytest.mark.parametrize('answer', ['bar=yes', 'disk-edge-on=yes'])
def test_an_answer_grows_and_the_others_are_held(model, answer):
    """More than along the bare slope, on which everything changes."""
    middle = np.zeros(model.n_latents)
    walk = traverse(middle, answer, model, n_steps=5, extent=1.0)
    np.testing.assert_allclose(walk[2], middle, atol=1e-6)
    found = fractions(model, walk)
    asked = found.pop(tuple(answer.split('=')))
    assert (np.diff(asked) > 0).all()
    assert asked[-1] - asked[0] > 0.1
    question = answer.split('=')[0]
    others = [np.ptp(values) for (q, _), values in found.items() if q != question]
    assert np.mean(others) < 0.3 * np.ptp(asked)


def test_interpolation_ends_at_both(model):
    one, two = np.zeros(model.n_latents), np.ones(model.n_latents)
    way = interpolate(one, two, model, n_steps=3)
    np.testing.assert_allclose(way[:, 0], [0.0, 0.5, 1.0])


@pytest.mark.parametrize(('along', 'message'), [
    (40, 'there is no latent 40; expected 0 to 39'),
    ('colour=red', "has no question 'colour'; expected a number of a latent or"),
    ('bar', "bar has no answer ''; expected one of yes, no"),
    ('bar=maybe', "bar has no answer 'maybe'"),
])
def test_a_direction_that_there_is_not_is_refused(model, along, message):
    with pytest.raises(ValueError, match=message):
        traverse(np.zeros(model.n_latents), along, model)


def test_a_galaxy_without_latents_is_refused(model):
    with pytest.raises(ValueError, match='could not be measured'):
        traverse(np.full(model.n_latents, np.nan), 0, model)
    with pytest.raises(ValueError, match=r'shape \(3,\); expected \(40,\)'):
        interpolate(np.zeros(3), np.zeros(40), model)
