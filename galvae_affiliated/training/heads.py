# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Vote heads, calibrated on galaxies that the network did not learn from, and against the selection of the votes."""

import torch
from torch import nn
from torch.nn import functional

from galvae_affiliated.training.losses import vote_loss

__all__ = ['CalibratedHeads', 'calibrate']


class CalibratedHeads(nn.Module):
    """
    Heads whose logits are divided by a temperature a question, and shifted by an offset an answer.

    A network is surer of the galaxies that it learnt from than of others; one
    number a question mends most of that (Guo et al. 2017). Where galaxies were
    chosen by their votes, an answer is commoner among them than in the sky;
    an offset of its logit mends that (Saerens et al. 2002).

    References
    ----------
    Guo, C. et al. 2017, ICML (arXiv:1706.04599).
    Saerens, M., Latinne, P., Decaestecker, C. 2002, Neural Computation 14, 21.

    Parameters
    ----------
    heads : `~galvae_affiliated.training.networks.VoteHeads`
    """

    def __init__(self, heads):
        super().__init__()
        self.heads = heads
        self.log_temperature = nn.Parameter(torch.zeros(len(heads.n_answers)))
        self.offsets = nn.ParameterList([torch.zeros(n) for n in heads.n_answers])

    def log_fractions(self, latent):
        """List of (N, n_answers) log-fractions, a question each."""
        return [functional.log_softmax(x * torch.exp(-t) + offset, dim=1)
                for x, t, offset in zip(self.heads.log_fractions(latent), self.log_temperature, self.offsets)]

    def forward(self, latent):
        return torch.cat([x.exp() for x in self.log_fractions(latent)], dim=1)


def calibrate(heads, held_out, unselected=None, *, prior=8.0, offset_prior=3.0):
    """
    Find the temperatures and offsets that make votes most likely.

    Parameters
    ----------
    heads : `~galvae_affiliated.training.networks.VoteHeads`
    held_out : tuple of (latent, fractions, weights)
        Of galaxies that were not learnt from: (N, n_latents) tensor, and lists of (N, n_answers) and (N,) tensors as
        `~galvae_affiliated.training.losses.vote_loss` takes them. They tell the temperatures.
    unselected : tuple of (latent, fractions, weights), optional
        Of galaxies that were not selected by their votes. They tell the offsets; without them there are none.
    prior, offset_prior : float, optional
        Cost of a squared logarithm of a temperature, and of a squared offset, in the log-likelihood of a galaxy's
        votes: few galaxies are asked the rare questions, and these shall stay near what the network says.

    Returns
    -------
    heads : `CalibratedHeads`
    """
    calibrated = CalibratedHeads(heads).eval().requires_grad_(False)
    minimise(calibrated, [calibrated.log_temperature], held_out, prior)
    if unselected is not None and len(unselected[0]):
        minimise(calibrated, list(calibrated.offsets), unselected, offset_prior)
    return calibrated


def minimise(heads, parameters, votes, prior):
    """The parameters at the least vote loss and prior; the loss is convex in either."""
    latent, fractions, weights = votes
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.LBFGS(parameters, max_iter=200)

    def closure():
        optimizer.zero_grad()
        loss = vote_loss(heads.log_fractions(latent), fractions, weights)
        loss = loss + prior / len(latent) * sum((parameter ** 2).sum() for parameter in parameters)
        loss.backward()
        return loss

    optimizer.step(closure)
    for parameter in parameters:
        parameter.requires_grad_(False)
