# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A small network that predicts vote fractions from latents, and the likelihoods of votes."""

import torch
from torch import nn
from torch.nn import functional

__all__ = ['VoteHeads', 'dirichlet_loss', 'vote_loss']


class VoteHeads(nn.Module):
    """
    Latents to the vote fractions of every question.

    Parameters
    ----------
    n_latents : int
        Length of the latent vector.
    n_answers : list of int
        Answers of each question; the fractions of a question sum to one.
    """

    def __init__(self, n_latents, n_answers, *, hidden=128, dropout=0.1):
        super().__init__()
        self.n_answers = list(n_answers)
        self.layers = nn.Sequential(nn.Linear(n_latents, hidden), nn.ReLU(), nn.Dropout(dropout),
                                    nn.Linear(hidden, sum(self.n_answers)))

    def log_fractions(self, latent):
        """List of (N, n_answers) log-fractions, a question each."""
        with torch.autocast(latent.device.type, enabled=False):
            logits = self.layers(latent)
        return [functional.log_softmax(x, dim=1) for x in logits.split(self.n_answers, dim=1)]

    def forward(self, latent):
        """(N, n_latents) -> (N, n_columns) fractions, the questions one after the other."""
        return torch.cat([x.exp() for x in self.log_fractions(latent)], dim=1)


def vote_loss(log_fractions, fractions, weights):
    """
    Cross-entropy between voted and predicted fractions, weighted by the share who were asked.

    Parameters
    ----------
    log_fractions, fractions : list of (N, n_answers) tensors
    weights : list of (N,) tensors

    Returns
    -------
    loss : tensor
        A scalar, a mean a galaxy.
    """
    total = 0.0
    for predicted, voted, weight in zip(log_fractions, fractions, weights):
        total = total - (weight * (voted * predicted).sum(1)).sum() / len(weight)
    return total


def dirichlet_loss(log_fractions, concentration, fractions, weights, n_volunteers):
    """
    Negative log-likelihood of votes whose probabilities scatter around the predicted fractions.

    Of a Dirichlet-multinomial distribution, without its constant, and divided
    by the number of volunteers, so that it has the size of `vote_loss`.

    Parameters
    ----------
    log_fractions, fractions : list of (N, n_answers) tensors
    concentration : (N, n_questions) tensor
        Sum of the Dirichlet parameters: the larger, the less the scatter.
    weights : list of (N,) tensors
        Share of the volunteers who were asked.
    n_volunteers : int
        Votes of a question that everybody was asked.

    Returns
    -------
    loss : tensor
        A scalar, a mean a galaxy.
    """
    total = 0.0
    for predicted, c, voted, weight in zip(log_fractions, concentration.T, fractions, weights):
        votes = (n_volunteers * weight)[:, None] * voted
        alpha = c[:, None] * predicted.exp() + 1e-3
        c = alpha.sum(1)
        likelihood = (torch.lgamma(c) - torch.lgamma(c + n_volunteers * weight)
                      + (torch.lgamma(alpha + votes) - torch.lgamma(alpha)).sum(1))
        total = total - likelihood.sum() / len(weight)
    return total / n_volunteers
