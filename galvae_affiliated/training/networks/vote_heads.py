# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A small network that predicts vote fractions from latents."""

import torch
from torch import nn
from torch.nn import functional

__all__ = ['VoteHeads']



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
        return torch.cat([x.exp() for x in self.log_fractions(latent)], dim=1)
