# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Random forests as heads, and as graphs."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('skl2onnx')

import torch
from head_sets import N, make

from galvae_affiliated.exceptions import ParityError
from galvae_affiliated.models._runner import GraphRunner
from galvae_affiliated.training.heads.forest import ForestHeads, check_forest_parity
from galvae_affiliated.training.heads.labelled import mean_divergence
from galvae_affiliated.training.heads.votes import fit_votes

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore::DeprecationWarning'),
]


@pytest.fixture(scope='module')
def data():
    return make()


@pytest.fixture(scope='module')
def fitted_forest(data):
    return fit_votes(data, ForestHeads(30))


def test_the_forest_answers_as_scikit_learn_does_on_every_row(data, fitted_forest):
    latent = torch.cat([make(n=2000, random_state=7).latent, data.latent])
    graph = fitted_forest.graph(latent)
    found, concentration = GraphRunner(graph, device='cpu')(
        {'latent': latent.numpy()}, ['fractions', 'concentration']
    )
    expected = torch.cat([x.exp() for x in fitted_forest.log_fractions(latent)], 1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found[:, :3].argmax(1), expected[:, :3].argmax(1))
    assert np.isfinite(concentration).all() and concentration.shape == (len(latent), 2)


def test_calibration_is_outside_the_forest(data, fitted_forest):
    """Balanced trees overrate what is rare; the calibrated fractions have the voted mean."""
    logs = fitted_forest.log_fractions(data.latent)
    np.testing.assert_allclose(logs[0].exp().mean(0), data.fractions[0].mean(0), atol=0.05)


def test_trees_that_saw_a_galaxy_do_not_judge_it(data):
    heads = ForestHeads(30).fit(data)
    in_bag, others = heads.predict_log_proba(data), heads.cross_log_proba(data)
    in_bag, others = (data.split_answers(logs) for logs in (in_bag, others))
    assert mean_divergence(in_bag, data) < mean_divergence(others, data)


def test_an_answer_that_no_galaxy_has_is_kept(data):
    fractions = [torch.cat([data.fractions[0], torch.zeros(N, 1)], 1), data.fractions[1]]
    wider = replace(data, fractions=fractions)
    fitted = fit_votes(wider, ForestHeads(10))
    assert fitted.log_fractions(data.latent)[0].exp()[:, 3].max() < 0.02
    graph = fitted.graph(data.latent[:20])
    assert GraphRunner(graph, device='cpu')({'latent': data.latent[:2].numpy()}, ['fractions'])[
        0
    ].shape == (2, 6)


def test_a_graph_of_another_forest_is_refused(data, fitted_forest):
    other = fit_votes(make(random_state=9), ForestHeads(10))
    latent = {'latent': data.latent.numpy()}
    (found,) = GraphRunner(other.graph(data.latent[:10]), device='cpu')(latent, ['fractions'])
    logs = fitted_forest.log_fractions(data.latent)
    expected = torch.cat([x.exp() for x in logs], 1).numpy()
    with pytest.raises(ParityError, match='differs between scikit-learn and ONNX Runtime'):
        check_forest_parity(found, expected, data.n_answers)
