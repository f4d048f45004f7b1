# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Predictors of a quantity: a ridge regression, and small networks that learn what it leaves."""

import math

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import nn
from torch.nn import functional

__all__ = ['Corrected', 'Networks', 'Ridge', 'apply_predictor', 'fit_networks', 'fit_ridge']

MEMBERS = 4
HIDDEN = 64
BATCH = 128
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 0.3
EPOCHS = 20  # how often a galaxy is seen
STEPS = (800, 8000)  # at least and at most
ALPHAS = np.logspace(-2, 4, 13)  # penalties of the ridge regression that are tried
# range of the natural logarithm of a network's errors, in units of a quantity's spread
LOG_ERRORS = (-7.0, 2.0)
LEAST_ERROR = 1e-6  # of a quantity that is exactly linear, in the same units


class Ridge(nn.Module):
    """A linear prediction, with one error for all."""

    def __init__(self, weights, intercept, error):
        super().__init__()
        self.linear = nn.Linear(len(weights), 1)
        self.linear.weight.data[:] = torch.from_numpy(weights)
        self.linear.bias.data[:] = float(intercept)
        self.register_buffer('error', torch.tensor(float(error)))

    def forward(self, features):
        value = self.linear(features)[:, 0]
        return value, self.error + torch.zeros_like(value)


class Networks(nn.Module):
    """
    Networks side by side, each with a value and the logarithm of its error.

    Parameters
    ----------
    weights, biases : sequences of (n_networks, n_in, n_out), (n_networks, 1, n_out) tensors
        A layer each.
    """

    def __init__(self, weights, biases):
        super().__init__()
        self.weights, self.biases = nn.ParameterList(weights), nn.ParameterList(biases)

    @classmethod
    def untrained(cls, errors, n_features, generator):
        """Networks that give zero with these errors, (n_networks,), until they learn."""
        sizes = (n_features, HIDDEN, HIDDEN, 2)
        n = len(errors)
        weights = [torch.randn(n, a, b, generator=generator) / math.sqrt(a)
                   for a, b in zip(sizes, sizes[1:])]
        biases = [torch.zeros(n, 1, b) for b in sizes[1:]]
        weights[-1][:] = 0.0
        biases[-1][:, 0, 1] = torch.log(errors)
        return cls(weights, biases)

    def subset(self, rows):
        """Some of the networks."""
        layers = (self.weights, self.biases)
        return Networks(*([p.detach()[rows] for p in parameters] for parameters in layers))

    def forward(self, features):
        """(n_networks or 1, N, n_features) -> (n_networks, N) values and logarithms of errors."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1]):
            features = functional.silu(features @ weight + bias)
        features = features @ self.weights[-1] + self.biases[-1]
        return features[..., 0], features[..., 1].clamp(*LOG_ERRORS)


class Corrected(nn.Module):
    """A `Ridge` and `Networks` of what it leaves; the error is larger where they disagree."""

    def __init__(self, ridge, networks):
        super().__init__()
        self.ridge = ridge
        self.networks = networks

    def forward(self, features):
        value, log_error = self.networks(features[None])
        mean = value.mean(0)
        variance = (torch.exp(2 * log_error) + (value - mean) ** 2).mean(0)
        return self.ridge(features)[0] + mean, torch.sqrt(variance)


@torch.no_grad()
def apply_predictor(predictor, features):
    """Values and errors of features, as arrays."""
    return [x.numpy() for x in predictor(torch.from_numpy(features.astype(np.float32)))]


def fit_ridge(features, value):
    """A `Ridge` with the penalty, and the error, of a leave-one-out cross-validation."""
    found = RidgeCV(ALPHAS).fit(features, value)
    error = math.sqrt(max(-found.best_score_, LEAST_ERROR ** 2))
    return Ridge(found.coef_, found.intercept_, error)


def fit_networks(ridges, features, error, value, learnt_from, random_state):
    """
    Ensembles of networks that learn side by side, each from its galaxies what a ridge leaves.

    Parameters
    ----------
    ridges : list of `Ridge`
        One an ensemble.
    features, error : (N, n_features) arrays
        Each galaxy is drawn anew whenever it is seen; an error of zero gives its mean.
    value : (N,) array
    learnt_from : (n_ensembles, N) bool array
    random_state : int

    Returns
    -------
    predictors : list of `Corrected`
    """
    left = [value - apply_predictor(ridge, features)[0] for ridge in ridges]
    left = np.repeat(left, MEMBERS, axis=0)
    features, error, left = (torch.from_numpy(x.astype(np.float32))
                             for x in (features, error, left))
    # each network's galaxies first in its row
    order = np.argsort(~learnt_from, axis=1, kind='stable')
    order = torch.from_numpy(np.repeat(order, MEMBERS, axis=0))
    count = torch.from_numpy(np.repeat(learnt_from.sum(axis=1), MEMBERS))[:, None]
    generator = torch.Generator().manual_seed(random_state)
    errors = torch.stack([ridge.error for ridge in ridges]).repeat_interleave(MEMBERS)
    networks = Networks.untrained(errors, features.shape[1], generator)
    steps = int(np.clip(EPOCHS * len(value) / BATCH, *STEPS))
    optimizer = torch.optim.AdamW(networks.parameters(), LEARNING_RATE,
                                  weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps)
    for _ in range(steps):
        place = (torch.rand(len(order), BATCH, generator=generator) * count).long()
        rows = order.gather(1, place.minimum(count - 1))  # a rounded product may reach the count
        normal = torch.randn(*rows.shape, features.shape[1], generator=generator)
        found, log_error = networks(features[rows] + error[rows] * normal)
        square = ((left.gather(1, rows) - found) * torch.exp(-log_error)) ** 2
        # a sum: the networks do not know of each other
        loss = (0.5 * square + log_error).mean(1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    networks.requires_grad_(False)
    return [Corrected(ridge, networks.subset(slice(MEMBERS * i, MEMBERS * (i + 1))))
            for i, ridge in enumerate(ridges)]
