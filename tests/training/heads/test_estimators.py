# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The contract of all kinds of heads, and which of them is chosen."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict

pytest.importorskip('torch')
pytest.importorskip('lightning')
pytest.importorskip('skl2onnx')

import torch
from head_sets import N_LATENTS, QUESTIONS, QUICK, N, make

from galvae_affiliated.models._runner import GraphRunner
from galvae_affiliated.training.data.labels import check_votes
from galvae_affiliated.training.heads.choice import head_estimator
from galvae_affiliated.training.heads.estimators import (
    GuideHeads,
    NetworkHeads,
    folds,
)
from galvae_affiliated.training.heads.forest import ForestHeads
from galvae_affiliated.training.heads.labelled import mean_divergence
from galvae_affiliated.training.heads.votes import fit_votes
from galvae_affiliated.training.networks.vote_heads import VoteHeads

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore::DeprecationWarning'),
]


@pytest.fixture(scope='module')
def data():
    return make()


EVERY_KIND = {
    'network': lambda: head_estimator('network', **QUICK),
    'dirichlet': lambda: head_estimator('dirichlet', **QUICK),
    'logistic': lambda: head_estimator('logistic', **QUICK),
    'forest': lambda: head_estimator('forest', n_trees=20),
    'guide': lambda: GuideHeads(VoteHeads(N_LATENTS, [3, 2]).eval().requires_grad_(False)),
}


@pytest.mark.parametrize('kind', EVERY_KIND)
def test_all_kinds_have_one_contract(data, kind):
    """They are fitted, predict, are calibrated and exported alike; nothing asks for their kind."""
    heads = EVERY_KIND[kind]()
    clone(heads)  # as scikit-learn's cross-validation does
    assert heads.fit(data) is heads and heads.kind == kind
    logs = heads.predict_log_proba(data)
    assert logs.shape == heads.cross_log_proba(data).shape == (N, 5)
    np.testing.assert_array_equal(logs, heads.predict_log_proba(data.latent))
    for part in data.split_answers(heads.predict(data)):
        np.testing.assert_allclose(part.sum(1), 1.0, rtol=0.02)
    assert heads.score(data) == pytest.approx(-mean_divergence(data.split_answers(logs), data))
    fitted = fit_votes(data, EVERY_KIND[kind]())
    assert fitted.manifest['heads']['kind'] == kind
    graph = GraphRunner(fitted.graph(data.latent[:20]), device='cpu')
    found, scatter = graph({'latent': data.latent[:7].numpy()}, ['fractions', 'concentration'])
    expected = torch.cat([x.exp() for x in fitted.log_fractions(data.latent[:7])], 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert scatter.shape == (7, 2) and np.isfinite(scatter).all()


def test_rows_of_labelled_latents(data):
    """As PyTorch, NumPy and scikit-learn ask for them."""
    rows = np.array([3, 5, 8])
    for some in (data[rows], data[rows, ...], data[torch.from_numpy(rows)]):
        assert len(some) == 3 and some.shape == (3, N_LATENTS) and some.questions == QUESTIONS
        torch.testing.assert_close(some.fractions[1], data.fractions[1][rows])
    assert len(data[np.arange(N) < 10]) == len(data[torch.arange(N) < 10]) == 10


@pytest.mark.parametrize('kind', ['network', 'dirichlet', 'logistic'])
def test_heads_learn_what_the_latents_hold(data, kind):
    logs = cross_val_predict(
        NetworkHeads(kind, **QUICK), data, cv=folds(3), method='predict_log_proba'
    )
    logs = data.split_answers(logs)
    unknown = [torch.log(f.mean(0).expand_as(f)) for f in data.fractions]
    assert mean_divergence(logs, data) < 0.3 * mean_divergence(unknown, data)
    for log in logs:
        np.testing.assert_allclose(log.exp().sum(1), 1.0, rtol=1e-5)


def test_an_unknown_kind_of_head(data):
    with pytest.raises(ValueError, match="is 'tree'; expected one of network, dirichlet, logistic"):
        NetworkHeads('tree').fit(data)
    with pytest.raises(ValueError, match="is 'tree'; expected one of auto, network"):
        head_estimator('tree')


def test_the_choice_is_the_best_of_a_nested_cross_validation(data):
    heads = head_estimator(n_members=1, steps=60).fit(data)
    scores = heads.scores_
    assert heads.kind == min(scores, key=scores.get)
    assert set(scores) == {'network', 'dirichlet', 'logistic'}
    assert heads.about['weight decay'] in (0.02, 0.2)
    assert heads.about['nested cross-validation'][heads.kind] == round(scores[heads.kind], 4)
    # classes are one vote a galaxy
    quick = head_estimator(n_members=1, steps=30, n_volunteers=1)
    assert set(quick.fit(data).scores_) == {'network', 'logistic'}


def test_a_kind_that_is_asked_for_is_not_compared(data):
    heads = head_estimator('logistic', n_members=1, steps=30).fit(data)
    assert (heads.kind, heads.scores_) == ('logistic', {})


def test_folds_are_judged_by_few_members(data):
    heads = head_estimator('logistic', n_members=5, steps=6).fit(data)
    assert heads.about['n_members'] == len(heads.best_.heads_.members) == 5
    heads.cross_log_proba(data)
    assert len(heads.best_.heads_.members) == 5


def test_votes_that_teach_nothing_are_refused(data):
    with pytest.raises(ValueError, match='19 galaxies have votes; expected 20 or more'):
        fit_votes(data[:19], head_estimator())
    weights, fractions = [np.ones(30)], [np.tile([1.0, 0.0], (30, 1))]
    with pytest.raises(ValueError, match="question 'bar' has one answer only"):
        check_votes(['bar'], fractions, weights)
    with pytest.raises(ValueError, match="question 'arms' has no votes"):
        check_votes(
            ['bar', 'arms'],
            [fractions[0][:, ::-1] / 2 + 0.25, fractions[0] * 0],
            [weights[0], weights[0] * 0],
        )


def test_a_forest_needs_two_answers(data):
    """All were mostly of one answer: enough for fractions, not for a forest."""
    fractions = [torch.tensor([[0.3, 0.7]]).expand(N, 2)]
    mostly = replace(data, fractions=fractions, weights=[torch.ones(N)], questions=('arms',))
    with pytest.raises(
        ValueError, match="question 'arms' has one answer only, among the 600 galaxies"
    ):
        ForestHeads().fit(mostly)
