# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Heads that predict vote fractions from latents that do not change any more."""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from galvae_affiliated.models.votes import ASKED
from galvae_affiliated.training.networks.vote_heads import VoteHeads
from galvae_affiliated.training.objectives.losses import dirichlet_loss, vote_loss

__all__ = ['DirichletHeads', 'HEADS', 'HeadEnsemble', 'LabelledLatents', 'LogisticHeads', 'cross_fit', 'fit_heads']

BATCH = 512
FOLDS = 5
UNSELECTED_FACTOR = 2.0  # how much oftener galaxies are drawn that were not selected by their votes


@dataclass(frozen=True)
class LabelledLatents:
    """
    What heads learn from: latents of N galaxies and their votes.

    Attributes
    ----------
    latent, error : (N, n_latents) float32 tensors
        Mean and standard deviation of the posteriors.
    fractions : list of (N, n_answers) float32 tensors
        Voted fractions of each question; zero in rows without votes.
    weights : list of (N,) float32 tensors
        Share of the volunteers who were asked; zero in rows without votes.
    unselected : (N,) bool tensor
        Galaxies that were not selected by their votes.
    held_out : (N,) bool tensor
        Galaxies that the encoder did not learn from, where others of the set were.
    """

    latent: torch.Tensor
    error: torch.Tensor
    fractions: list
    weights: list
    unselected: torch.Tensor
    held_out: torch.Tensor

    def __len__(self):
        return len(self.latent)

    def __getitem__(self, rows):
        """Some of the rows, by a bool or int tensor."""
        values = [getattr(self, field.name) for field in fields(self)]
        return type(self)(*([x[rows] for x in value] if isinstance(value, list) else value[rows] for value in values))

    @property
    def n_answers(self):
        """list of int : Answers of each question."""
        return [f.shape[1] for f in self.fractions]

    @property
    def representative(self):
        """(N,) bool tensor: the unselected galaxies; all, where nobody said which these are."""
        return self.unselected if self.unselected.any() else torch.ones(len(self), dtype=torch.bool)


class LogisticHeads(VoteHeads):
    """
    Multinomial logistic regression of every question's fractions.

    Parameters
    ----------
    n_latents : int
    n_answers : list of int
    """

    def __init__(self, n_latents, n_answers):
        super().__init__(n_latents, n_answers)
        self.layers = nn.Linear(n_latents, sum(self.n_answers))


class DirichletHeads(VoteHeads):
    """
    A small network whose answers are drawn from a Dirichlet distribution, and their votes from a multinomial one.

    After the loss of Walmsley et al. (2022). What it says of the scatter is
    replaced when the heads are calibrated.

    References
    ----------
    Walmsley, M. et al. 2022, MNRAS 509, 3966.

    Parameters
    ----------
    n_latents : int
    n_answers : list of int
    """

    def __init__(self, n_latents, n_answers):
        super().__init__(n_latents, n_answers)
        self.scatter = nn.Linear(n_latents, len(self.n_answers))
        nn.init.zeros_(self.scatter.weight)
        nn.init.constant_(self.scatter.bias, math.log(10.0))

    def loss(self, latent, fractions, weights, n_volunteers):
        concentration = self.scatter(latent).exp().clamp(0.5, 500.0)
        return dirichlet_loss(self.log_fractions(latent), concentration, fractions, weights, n_volunteers)
# kind of head: its class, learning rate, and the weight decays between which an inner cross-validation chooses
HEADS = {'network': (VoteHeads, 3e-3, (0.02, 0.2)), 'dirichlet': (DirichletHeads, 3e-3, (0.02, 0.2)),
         'logistic': (LogisticHeads, 1e-2, (0.02, 0.2))}


class HeadEnsemble(nn.Module):
    """
    The mean of the fractions that several heads predict.

    Parameters
    ----------
    heads : list of `~galvae_affiliated.training.networks.vote_heads.VoteHeads`
    """

    def __init__(self, heads):
        super().__init__()
        self.members = nn.ModuleList(heads)
        self.n_answers = heads[0].n_answers

    def log_fractions(self, latent):
        """List of (N, n_answers) log-fractions, a question each."""
        every = [member.log_fractions(latent) for member in self.members]
        return [torch.logsumexp(torch.stack(logs), 0) - math.log(len(every)) for logs in zip(*every)]


def fit_heads(data, kind='network', *, n_members=8, steps=1500, weight_decay=0.02, n_volunteers=40, random_state=0):
    """
    Fit an ensemble of heads.

    Each member starts from other weights, and sees latents drawn from their
    posteriors, so that it does not lean on what the encoder is not sure of.

    Parameters
    ----------
    data : `LabelledLatents`
    kind : {'network', 'dirichlet', 'logistic'}, optional
    n_members, steps : int, optional
        How many heads, and how often each is updated.
    weight_decay : float, optional
    n_volunteers : int, optional
        Votes of a question that everybody was asked; only 'dirichlet' uses it.
    random_state : int, optional

    Returns
    -------
    heads : `HeadEnsemble`
    """
    if kind not in HEADS:
        raise ValueError(f'the kind of head is {kind!r}; expected one of {", ".join(HEADS)}')
    make, rate, _ = HEADS[kind]
    drawn = 1.0 + (UNSELECTED_FACTOR - 1.0) * data.unselected
    heads = []
    for i in range(n_members):
        torch.manual_seed(random_state + i)
        head = make(data.latent.shape[1], data.n_answers)
        optimizer = torch.optim.AdamW(head.parameters(), rate, weight_decay=weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
        for rows in torch.multinomial(drawn, BATCH * steps, replacement=True).split(BATCH):
            error = data.error[rows]
            latent = data.latent[rows] + error * torch.randn_like(error)
            fractions, weights = [f[rows] for f in data.fractions], [w[rows] for w in data.weights]
            if kind == 'dirichlet':
                loss = head.loss(latent, fractions, weights, n_volunteers)
            else:
                loss = vote_loss(head.log_fractions(latent), fractions, weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        heads.append(head.eval().requires_grad_(False))
    return HeadEnsemble(heads)


def cross_fit(data, fit, *, folds=FOLDS, random_state=0):
    """
    What heads say of galaxies that they did not learn from.

    Parameters
    ----------
    data : `LabelledLatents`
    fit : callable
        `LabelledLatents` to heads with ``log_fractions``.
    folds : int, optional
    random_state : int, optional

    Returns
    -------
    logs : list of (N, n_answers) tensors
        Log-fractions, each by heads that were fitted without its fold.
    """
    fold = np.random.default_rng(random_state).permutation(len(data)) % folds
    logs = [torch.zeros_like(f) for f in data.fractions]
    for k in range(folds):
        rows = torch.from_numpy(np.flatnonzero(fold == k))
        heads = fit(data[torch.from_numpy(fold != k)])
        for log, found in zip(logs, heads.log_fractions(data.latent[rows])):
            log[rows] = found
    return logs


def mean_divergence(logs, data):
    """
    Mean over the questions of the Kullback-Leibler divergence of the predicted from the voted fractions.

    Of the representative galaxies that at least half of their volunteers were
    asked of; questions with fewer than 20 of them do not count, unless all have fewer.

    Parameters
    ----------
    logs : list of (N, n_answers) tensors
    data : `LabelledLatents`

    Returns
    -------
    divergence : float
    """
    values, numbers = [], []
    for log, fractions, weight in zip(logs, data.fractions, data.weights):
        rows = data.representative & (weight >= ASKED)
        if rows.any():
            values.append(float(functional.kl_div(log[rows], fractions[rows], reduction='batchmean')))
            numbers.append(int(rows.sum()))
    enough = [value for value, n in zip(values, numbers) if n >= 20]
    return float(np.mean(enough or values))
