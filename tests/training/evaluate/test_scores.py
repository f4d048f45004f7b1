# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scores of images, votes and quantities."""

import numpy as np
import pytest

pytest.importorskip('torch')

from galvae_affiliated.training.data.labels import Votes
from galvae_affiliated.training.evaluate.images import (
    image_mse,
    image_ssim,
    noiseless_ssim,
)
from galvae_affiliated.training.evaluate.quantities import quantity_scores
from galvae_affiliated.training.evaluate.votes import (
    answer_areas,
    calibration_error,
    cumulative_rmse,
    latent_scores,
    question_scores,
    vote_scores,
)


def test_noise_sets_a_limit_to_the_similarity():
    x = np.arange(64) - 31.5
    clean = np.tile(0.8 * np.exp(-(x[None] ** 2 + x[:, None] ** 2) / 200), (2, 3, 1, 1))
    noise = np.random.default_rng(0).normal(size=clean.shape)
    assert noiseless_ssim(clean, clean) > 0.99
    assert (
        0.99
        > noiseless_ssim(clean, clean + 0.02 * noise)
        > noiseless_ssim(clean, clean + 0.1 * noise)
    )


def test_images_are_compared_where_they_count():
    images = np.zeros((2, 3, 16, 16), np.float32)
    decoded = images.copy()
    decoded[..., :8] = 0.5
    assert image_mse(images, images) == 0 and image_ssim(images, images) == 1
    assert image_mse(decoded, images) == pytest.approx(0.125)
    assert image_mse(decoded, images, np.arange(16) < 8) == pytest.approx(0.25)
    assert image_ssim(decoded, images) < 1


def random_votes(n=200, random_state=0):
    """Predicted fractions, and those of 40 volunteers, of three answers."""
    rng = np.random.default_rng(random_state)
    predicted = rng.dirichlet([1.0, 1.0, 1.0], n)
    voted = np.array([rng.multinomial(40, p) for p in predicted]) / 40
    return predicted, voted


def test_fractions_that_are_right_score_better_than_others():
    predicted, voted = random_votes()
    right, wrong = (question_scores(p, voted) for p in (predicted, predicted[::-1]))
    for name in ('accuracy', 'balanced', 'auc'):
        assert right[name] > 0.8 > 0.5 > wrong[name] - 0.1
    for name in ('calibration', 'rmse'):
        assert right[name] < 0.1 < wrong[name]
    assert right['rmse'] == pytest.approx(np.sqrt(np.mean((predicted - voted) ** 2)))


def test_a_galaxy_without_a_prediction_is_an_error():
    predicted, voted = random_votes()
    missing = np.where(np.arange(200)[:, None] < 100, np.nan, predicted)
    found, whole = question_scores(missing, voted), question_scores(predicted, voted)
    assert found['accuracy'] < 0.6 * whole['accuracy']
    assert 0.5 < found['auc'] < whole['auc']


def test_scores_are_of_those_who_were_asked():
    predicted, voted = random_votes()
    asked = np.where(np.arange(200) < 150, 1.0, 0.4)
    votes = {'a': Votes(voted, asked), 'b': Votes(voted, np.where(np.arange(200) < 39, 1.0, 0.0))}
    rows = vote_scores({'a': predicted, 'b': predicted}, votes, n_boot=20)
    assert [row['question'] for row in rows] == ['a']  # of the other too few were asked
    row = rows[0]
    assert row['n'] == 150
    assert row['auc'] == question_scores(predicted[:150], voted[:150])['auc']
    assert row['auc_lo'] < row['auc'] < row['auc_hi']
    assert row['majority'] == np.bincount(voted[:150].argmax(1)).max() / 150


def test_areas_need_five_galaxies():
    predicted, voted = random_votes()
    voted[:, 2] = 0.0
    areas = answer_areas({'a': predicted}, {'a': Votes(voted, np.ones(200))})['a']
    assert np.isnan(areas[2]) and np.isfinite(areas[:2]).all()


def test_a_constant_shift_is_the_calibration_error():
    predicted = np.tile([0.35, 0.65], (50, 1))
    assert calibration_error(predicted, predicted) == 0
    assert calibration_error(predicted, predicted + [0.1, -0.1]) == pytest.approx(0.1)


def test_cumulative_fractions_are_products_along_the_tree():
    tree = {
        'smooth': {'answers': ['yes', 'no'], 'parent': None},
        'bar': {'answers': ['yes', 'no'], 'parent': ['smooth', 'no']},
    }
    half = np.full((3, 2), 0.5)
    votes = {'smooth': Votes(half, np.ones(3)), 'bar': Votes(half, np.full(3, 0.5))}
    complete = np.array([True, True, False])
    predicted = {'smooth': 3.0 * half, 'bar': half}  # fractions need not be normalised
    assert cumulative_rmse(predicted, votes, tree, complete) == 0
    predicted['bar'] = np.tile([1.0, 0.0], (3, 1))
    expected = np.sqrt(2 * 0.25**2 / 4)
    assert cumulative_rmse(predicted, votes, tree, complete) == pytest.approx(expected)


def test_latents_that_hold_the_answer_tell_it():
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((300, 4))
    answer = (latent[:, 0] > 0).astype(int)
    votes = {'a': Votes(np.eye(2)[answer], np.ones(300))}
    first, last = slice(0, 200), slice(200, 300)
    learnt, other = ({'a': votes['a'].subset(rows)} for rows in (first, last))
    auc, balanced = latent_scores(latent[first], learnt, latent[last], other)
    assert auc > 0.97 and balanced > 0.9
    auc, balanced = latent_scores(latent[first, 1:], learnt, latent[last, 1:], other)
    assert 0.3 < auc < 0.7 and 0.3 < balanced < 0.7
    one = {'a': Votes(np.tile([1.0, 0.0], (100, 1)), np.ones(100))}
    assert np.isnan(latent_scores(latent[first], learnt, latent[last], one)).all()


def test_scores_of_quantities():
    true = np.arange(10.0)
    scores = quantity_scores(true, true + 2.0, np.full(10, 3.0))
    assert scores['rmse'] == scores['bias'] == 2.0 and scores['scatter'] == 0.0
    assert scores['within 1 error'] == 1.0
    assert scores['r2'] == pytest.approx(1 - 4 / true.var())
