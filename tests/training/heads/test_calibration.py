# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Temperatures, offsets, scatter and prediction sets of known truths."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('lightning')

import torch
from head_sets import QUESTIONS, QUICK, VOLUNTEERS, N, make, true_fractions

from galvae_affiliated.training.heads.calibration import calibrate, prediction_sets
from galvae_affiliated.training.heads.choice import head_estimator
from galvae_affiliated.training.heads.labelled import LabelledLatents
from galvae_affiliated.training.heads.votes import fit_votes
from galvae_affiliated.training.networks.vote_heads import dirichlet_loss

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore::DeprecationWarning'),
]


@pytest.fixture(scope='module')
def data():
    return make()


def test_calibration_makes_sure_heads_less_sure(data):
    sure = [4.0 * torch.log(f.clamp(0.02)) for f in true_fractions(data)]
    calibration = calibrate([torch.log_softmax(x, 1) for x in sure], data)
    assert (calibration.log_temperature.exp() > 2.0).all()


def test_the_held_out_galaxies_say_how_sure_to_be_of_others(data):
    """Heads that know what they learnt from by heart; logits of others have to be halved."""
    truth = [torch.log(f) for f in true_fractions(data)]
    held_out = torch.arange(N) % 3 == 0
    logs = [torch.log_softmax(torch.where(held_out[:, None], 2.0, 1.0) * x, 1) for x in truth]
    marked = replace(data, held_out=held_out)
    with_held_out, without = calibrate(logs, marked), calibrate(logs, data)
    # of galaxies that the encoder did not learn from, the logits are to be halved
    assert with_held_out.log_temperature.exp().numpy() == pytest.approx([2.5, 2.5], abs=0.6)
    assert (without.log_temperature.exp() < 1.6).all()


def test_an_answer_that_is_rarer_among_unselected_galaxies_is_made_rarer(data):
    other = make(random_state=1, shift=2.0)
    both = LabelledLatents(
        *(torch.cat([getattr(data, name), getattr(other, name)]) for name in ('latent', 'error')),
        *(
            [torch.cat(pair) for pair in zip(getattr(data, name), getattr(other, name))]
            for name in ('fractions', 'weights')
        ),
        torch.arange(2 * N) >= N,
        torch.zeros(2 * N, dtype=torch.bool),
        QUESTIONS,
    )
    logs = [torch.log(f) for f in true_fractions(both)]
    calibration = calibrate(logs, both)
    offset = calibration.offsets[1]
    assert float(offset[0] - offset[1]) == pytest.approx(-2.0, abs=0.25)
    predicted = calibration.log_fractions(logs)[1].exp()[N:]
    asked = both.weights[1][N:] > 0
    assert float(predicted[asked, 0].mean()) == pytest.approx(
        float(both.fractions[1][N:][asked, 0].mean()), abs=0.02
    )


@pytest.mark.parametrize('scatter', [4.0, 25.0])
def test_the_concentration_is_that_of_the_votes(scatter):
    data = make(n=3000, scatter=scatter)
    calibration = calibrate(
        [torch.log(f) for f in true_fractions(data)], data, n_volunteers=VOLUNTEERS
    )
    found = calibration.concentration(data.latent)[:, 1].median()
    assert float(found) == pytest.approx(scatter, rel=0.25)
    # the fractions of the other question scatter by the chance of 40 votes alone
    assert float(calibration.concentration(data.latent)[:, 0].median()) > 100


def test_dirichlet_loss_is_least_at_the_truth():
    rng = np.random.default_rng(0)
    p = np.array([0.7, 0.3])
    votes = np.stack([rng.multinomial(40, q) for q in rng.dirichlet(8 * p, 4000)]) / 40
    votes, one = torch.from_numpy(votes.astype(np.float32)), torch.ones(4000)

    def loss(share, c):
        logs = torch.log(torch.tensor([[share, 1 - share]])).expand(4000, 2)
        return float(dirichlet_loss([logs], torch.full((4000, 1), c), [votes], [one], 40))

    best = loss(0.7, 8.0)
    assert all(best < loss(*other) for other in ((0.6, 8.0), (0.8, 8.0), (0.7, 4.0), (0.7, 16.0)))


def test_sets_cover_other_galaxies_as_often_as_they_should(data):
    fitted = fit_votes(data, head_estimator('logistic', **QUICK))
    sets, other = fitted.manifest['prediction_sets'], make(n=4000, random_state=5)
    for i, question in enumerate(QUESTIONS):
        threshold = sets['questions'][question]['thresholds'][sets['coverages'].index(0.9)]
        asked = other.weights[i] >= 0.5
        winner = other.fractions[i][asked].argmax(1, keepdim=True)
        inside = (
            fitted.log_fractions(other.latent[asked])[i].exp().gather(1, winner) >= 1 - threshold
        )
        assert float(inside.float().mean()) == pytest.approx(0.9, abs=0.04)
        assert sets['questions'][question]['galaxies'] == (N if question == 'shape' else 450)


def test_a_question_of_few_galaxies_has_no_sets(data):
    some = data[torch.arange(N) < 24]
    assert set(prediction_sets(some.fractions, some)['questions']) == {'shape'}
