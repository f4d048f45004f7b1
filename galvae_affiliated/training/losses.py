# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The terms of the loss; each is a mean a galaxy."""

import torch
from torch.nn import functional

__all__ = ['class_loss', 'contrast_loss', 'divergence', 'reconstruction_loss', 'vote_loss']


def reconstruction_loss(image, target, weight):
    """
    Half the logarithm of the mean square residual, and that mean, over the pixels that ``weight`` counts.

    It is the Gaussian log-likelihood a pixel with the variance at its best
    value (Rybkin et al. 2021), so no noise level has to be guessed.
    """
    square = (weight * (image - target) ** 2).mean() / weight.mean()
    return 0.5 * torch.log(square + 1e-6), square.detach()


def divergence(mean, logvar, free_bits):
    """Kullback-Leibler divergence from the unit normal, a dimension's first ``free_bits`` nats for nothing."""
    nats = 0.5 * (mean ** 2 + logvar.exp() - 1.0 - logvar)
    return nats.mean(0).clamp(min=free_bits).sum()


def vote_loss(log_fractions, fractions, weights):
    """
    Cross-entropy between voted and predicted fractions, weighted by the share who were asked.

    Parameters
    ----------
    log_fractions, fractions : list of (N, n_answers) tensors
    weights : list of (N,) tensors
    """
    total = 0.0
    for predicted, voted, weight in zip(log_fractions, fractions, weights):
        total = total - (weight * (voted * predicted).sum(1)).sum() / len(weight)
    return total


def class_loss(logits, classes):
    """Cross-entropy of the coarse classes; galaxies without one (-1) do not count."""
    return functional.cross_entropy(logits, classes, ignore_index=-1, reduction='sum') / len(classes)


def contrast_loss(first, second, log_scale):
    """
    Cross-entropy of finding a galaxy's other view among the batch, by Euclidean distance of the latents.

    The nearest neighbour in latent space shall be the galaxy itself, however
    it is turned (Chen et al. 2020, with distance in place of the cosine, since
    distance is what users measure).
    """
    logits = -torch.cdist(first, second) ** 2 * torch.exp(log_scale)
    own = torch.arange(len(first), device=first.device)
    return 0.5 * (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own))
