# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Vote heads, calibrated on galaxies that the network did not learn from."""

import torch
from torch import nn
from torch.nn import functional

from galvae_affiliated.training.losses import vote_loss

__all__ = ['CalibratedHeads', 'calibrate']


class CalibratedHeads(nn.Module):
    """
    Heads whose logits are divided by a temperature a question.

    A network is surer of the galaxies that it learnt from than of others; one
    number a question mends most of that (Guo et al. 2017).

    Parameters
    ----------
    heads : `~galvae_affiliated.training.networks.VoteHeads`
    """

    def __init__(self, heads):
        super().__init__()
        self.heads = heads
        self.log_temperature = nn.Parameter(torch.zeros(len(heads.n_answers)))

    def log_fractions(self, latent):
        """List of (N, n_answers) log-fractions, a question each."""
        return [functional.log_softmax(x * torch.exp(-t), dim=1)
                for x, t in zip(self.heads.log_fractions(latent), self.log_temperature)]

    def forward(self, latent):
        return torch.cat([x.exp() for x in self.log_fractions(latent)], dim=1)


def calibrate(heads, latent, fractions, weights, *, prior=0.02):
    """
    Find the temperatures that make held-out votes most likely.

    Parameters
    ----------
    heads : `~galvae_affiliated.training.networks.VoteHeads`
    latent : (N, n_latents) tensor
    fractions : list of (N, n_answers) tensors
    weights : list of (N,) tensors
        See `~galvae_affiliated.training.losses.vote_loss`.
    prior : float, optional
        Cost of a squared logarithm of a temperature: few galaxies are asked the rare questions.

    Returns
    -------
    heads : `CalibratedHeads`
    """
    calibrated = CalibratedHeads(heads).eval()
    heads.requires_grad_(False)
    optimizer = torch.optim.LBFGS([calibrated.log_temperature], max_iter=100)

    def closure():
        optimizer.zero_grad()
        loss = vote_loss(calibrated.log_fractions(latent), fractions, weights)
        loss = loss + prior * (calibrated.log_temperature ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return calibrated.requires_grad_(False)
