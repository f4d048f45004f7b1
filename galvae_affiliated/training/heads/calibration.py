# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Calibrated heads: temperatures, offsets, scatter, and the thresholds of prediction sets."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from galvae_affiliated.models.votes import ASKED
from galvae_affiliated.training.networks.vote_heads import dirichlet_loss, vote_loss

__all__ = ['Calibration', 'calibrate', 'prediction_sets']

LEAST_HELD_OUT = 20  # galaxies with votes; fewer say nothing of a temperature
TEMPERATURE_PRIOR = 8.0
SELECTION_PRIOR = 1.0
SCATTER_PRIOR = 3.0
USUAL_CONCENTRATION = 10.0
COVERAGES = [round(0.5 + 0.01 * i, 2) for i in range(50)]
LEAST_FOR_SETS = 20


class Calibration(nn.Module):
    """
    Logits divided by a temperature a question, shifted by an offset an answer, and the scatter.

    A network is surer of the galaxies that it learnt from than of others; one
    number a question mends most of that (Guo et al. 2017). Where galaxies were
    chosen by their votes, an answer is commoner among them than in the sky;
    an offset of its logit mends that (Saerens et al. 2002). What the votes
    scatter beyond this is the concentration of a Dirichlet distribution.

    Parameters
    ----------
    n_answers : list of int
    n_latents : int

    References
    ----------
    Guo, C. et al. 2017, ICML (arXiv:1706.04599).
    Saerens, M., Latinne, P., Decaestecker, C. 2002, Neural Computation 14, 21.
    """

    def __init__(self, n_answers, n_latents):
        super().__init__()
        self.log_temperature = nn.Parameter(torch.zeros(len(n_answers)))
        self.offsets = nn.ParameterList([torch.zeros(n) for n in n_answers])
        self.scatter = nn.Linear(n_latents, len(n_answers))
        nn.init.zeros_(self.scatter.weight)
        nn.init.constant_(self.scatter.bias, math.log(USUAL_CONCENTRATION))
        self.requires_grad_(False)

    def log_fractions(self, logs):
        """Calibrated log-fractions of those of the heads, a (N, n_answers) tensor a question."""
        return [functional.log_softmax(log * torch.exp(-t) + offset, dim=1)
                for log, t, offset in zip(logs, self.log_temperature, self.offsets)]

    def concentration(self, latent):
        """(N, n_questions) sums of the Dirichlet parameters."""
        return self.scatter(latent).exp().clamp(0.5, 500.0)


def calibrate(logs, data, *, n_volunteers=40):
    """
    Find the calibration that makes votes most likely.

    The temperatures and offsets are those of the representative galaxies (see
    `~galvae_affiliated.training.heads.labelled.LabelledLatents`). Most of these are
    galaxies that the encoder learnt from; how much less sure the heads should
    be of others is read from the galaxies held out.

    Parameters
    ----------
    logs : list of (N, n_answers) tensors
        Log-fractions by heads that did not learn from these galaxies.
    data : `~galvae_affiliated.training.heads.labelled.LabelledLatents`
    n_volunteers : int, optional
        Votes of a question that everybody was asked; 0 and 1 hold nothing of their scatter.

    Returns
    -------
    calibration : `Calibration`
    """
    calibration = Calibration(data.n_answers, data.latent.shape[1])
    temperature = calibration.log_temperature
    offsets = list(calibration.offsets)

    def fit(parameters, rows, prior):
        some = data[rows]
        own = [log[rows] for log in logs]

        def loss():
            return vote_loss(calibration.log_fractions(own), some.fractions, some.weights)

        _minimise(loss, parameters, prior / len(some))

    overfit = torch.zeros_like(temperature)
    if data.held_out.sum() >= LEAST_HELD_OUT and not data.held_out.all():
        fit([temperature], ~data.held_out, TEMPERATURE_PRIOR)
        learnt = temperature.clone()
        fit([temperature], data.held_out, TEMPERATURE_PRIOR)
        overfit = temperature - learnt
        temperature.copy_(learnt)
    fit([temperature, *offsets], data.representative, SELECTION_PRIOR)
    temperature.add_(overfit)
    if n_volunteers > 1:
        _fit_scatter(calibration, logs, data, n_volunteers)
    return calibration


def _fit_scatter(calibration, logs, data, n_volunteers):
    """The concentrations at which the representative galaxies' votes are most likely."""
    some = data[data.representative]
    fractions = calibration.log_fractions([log[data.representative] for log in logs])

    def loss():
        concentration = calibration.concentration(some.latent)
        return n_volunteers * dirichlet_loss(fractions, concentration, some.fractions, some.weights,
                                             n_volunteers)

    parameters = [calibration.scatter.weight, calibration.scatter.bias]
    _minimise(loss, parameters, SCATTER_PRIOR / len(some))


def _minimise(loss, parameters, prior):
    """The parameters at the least loss and prior, which is that they stay where they are."""
    centres = [parameter.clone() for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn='strong_wolfe')

    def closure():
        optimizer.zero_grad()
        moved = sum(((p - c) ** 2).sum() for p, c in zip(parameters, centres))
        value = loss() + prior * moved
        value.backward()
        return value

    optimizer.step(closure)
    for parameter in parameters:
        parameter.requires_grad_(False)


def prediction_sets(logs, data):
    """
    Thresholds of split conformal prediction: how unlikely an answer may be and still be in the set.

    A set holds each answer whose predicted fraction is at least one minus the
    threshold. The threshold of a coverage is the quantile, with the correction
    for a finite number, of one minus the fraction of the answer with most
    votes (Sadinle et al. 2019), over the representative galaxies that at least
    half of their volunteers were asked of.

    Parameters
    ----------
    logs : list of (N, n_answers) tensors
        Calibrated log-fractions by heads that did not learn from these galaxies.
    data : `~galvae_affiliated.training.heads.labelled.LabelledLatents`

    Returns
    -------
    sets : dict
        For the manifest: ``coverages``, and by question ``galaxies`` and ``thresholds``. A
        question that fewer than 20 galaxies were asked is left out.

    References
    ----------
    Sadinle, M., Lei, J., Wasserman, L. 2019, JASA 114, 223.
    """
    found = {}
    answered = zip(data.questions, logs, data.fractions, data.weights)
    for question, log, fractions, weight in answered:
        rows = data.representative & (weight >= ASKED)
        n = int(rows.sum())
        if n < LEAST_FOR_SETS:
            continue
        winner = fractions[rows].argmax(1, keepdim=True)
        scores = 1.0 - log[rows].exp().gather(1, winner)[:, 0].double().numpy()
        levels = np.minimum(np.ceil((n + 1) * np.array(COVERAGES)) / n, 1.0)
        thresholds = np.quantile(scores, levels, method='inverted_cdf')
        found[question] = {'galaxies': n,
                           'thresholds': [round(float(t), 5) for t in thresholds]}
    return {'coverages': COVERAGES, 'questions': found}
