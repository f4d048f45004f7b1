# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Vote heads, calibrated on galaxies that the network did not learn from, and against the selection of the votes."""

import math

import torch
from torch import nn
from torch.nn import functional

from galvae_affiliated.training.losses import vote_loss
from galvae_affiliated.training.networks import VoteHeads

__all__ = ['CalibratedHeads', 'HeadEnsemble', 'calibrate', 'fit_heads']

BATCH = 512
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 0.02


class HeadEnsemble(nn.Module):
    """
    The mean of the fractions that several heads predict.

    Parameters
    ----------
    heads : list of `~galvae_affiliated.training.networks.VoteHeads`
    """

    def __init__(self, heads):
        super().__init__()
        self.members = nn.ModuleList(heads)
        self.n_answers = heads[0].n_answers

    def log_fractions(self, latent):
        """List of (N, n_answers) log-fractions, a question each."""
        every = [member.log_fractions(latent) for member in self.members]
        return [torch.logsumexp(torch.stack(logs), 0) - math.log(len(every)) for logs in zip(*every)]


def fit_heads(config, latent, error, galaxies):
    """
    Fit an ensemble of heads on latents that do not change any more.

    The heads that guided the latents followed them while they moved. Each
    member here starts from other weights, and sees latents drawn from their
    posteriors, in batches as the network saw them.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    latent, error : (N, n_latents) tensors
        Mean and standard deviation of the posterior of every galaxy of the set.
    galaxies : `~galvae_affiliated.training.dataset.GalaxySet`

    Returns
    -------
    heads : `HeadEnsemble`
    """
    fractions, weights = galaxies.vote_tensors()
    members = []
    for i in range(config.n_heads):
        torch.manual_seed(config.seed + i)
        head = VoteHeads(latent.shape[1], [f.shape[1] for f in fractions])
        optimizer = torch.optim.AdamW(head.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, config.head_steps)
        for batch in galaxies.batches(config, batch_size=BATCH, steps=config.head_steps, seed=config.seed + i):
            rows = torch.tensor(batch)
            drawn = latent[rows] + error[rows] * torch.randn(len(rows), latent.shape[1])
            loss = vote_loss(head.log_fractions(drawn), [f[rows] for f in fractions], [w[rows] for w in weights])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        members.append(head.eval())
    return HeadEnsemble(members)


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
