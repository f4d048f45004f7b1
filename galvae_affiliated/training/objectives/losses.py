# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The terms of the loss; each is a mean a galaxy."""

import math

import torch
from torch.nn import functional

__all__ = ['active_units', 'class_loss', 'contrast_loss', 'divergence', 'noise_weights', 'posterior_divergence', 'reconstruction_loss', 'vote_loss']



def reconstruction_loss(image, target, weight):
    """
    Half the logarithm of the mean square residual, and that mean, over the pixels that ``weight`` counts.

    It is the Gaussian log-likelihood a pixel with the variance at its best
    value (Rybkin et al. 2021), so no noise level has to be guessed.

    Parameters
    ----------
    image, target : (N, 3, H, W) tensors
    weight : tensor that broadcasts to them

    Returns
    -------
    loss, square : tensors
        Scalars; the second, without a gradient, is the mean square residual.
    """
    weight = weight.expand_as(image)
    square = (weight * (image - target) ** 2).mean() / weight.mean()
    return 0.5 * torch.log(square + 1e-6), square.detach()


def noise_weights(target, aperture, *, floor=0.05):
    """
    Weight of each image and channel, from the noise of its pixels: 1 / (1 + variance / floor).

    The variance is that of the second differences of the target (Immerkaer
    1996), in which a galaxy's smooth light cancels; ``floor`` is the variance
    that a decoder leaves of an image without noise. Both in normalised units.

    References
    ----------
    Immerkaer, J. 1996, Computer Vision and Image Understanding 64, 300.

    Parameters
    ----------
    target : (N, 3, H, W) tensor
    aperture : (H, W) tensor
        Pixels that count.

    Returns
    -------
    weight : (N, 3, H, W) tensor
    """
    line = torch.tensor([1.0, -2.0, 1.0], dtype=target.dtype, device=target.device)
    kernel = torch.outer(line, line).expand(3, 1, 3, 3)
    rough = functional.conv2d(target, kernel, padding=1, groups=3).abs() * aperture
    level = (math.pi / 2) ** 0.5 / 6.0 * rough.sum((2, 3), keepdim=True) / aperture.sum()
    return aperture / (1.0 + level ** 2 / floor)


def active_units(mean, *, threshold=0.01):
    """
    Number of latents whose mean varies from galaxy to galaxy by a variance above ``threshold``.

    A latent that does not has collapsed to its prior and says nothing (Burda et al. 2016).

    References
    ----------
    Burda, Y., Grosse, R., Salakhutdinov, R. 2016, ICLR (arXiv:1509.00519).
    """
    return int((mean.var(0) > threshold).sum())


def divergence(mean, logvar, free_bits):
    """Kullback-Leibler divergence from the unit normal, a dimension's first ``free_bits`` nats for nothing."""
    nats = 0.5 * (mean ** 2 + logvar.exp() - 1.0 - logvar)
    return nats.mean(0).clamp(min=free_bits).sum()


def posterior_divergence(known_mean, known_logvar, mean, logvar):
    """
    Kullback-Leibler divergence of one normal distribution from another that is known, a mean over dimensions too.

    Parameters
    ----------
    known_mean, known_logvar, mean, logvar : (N, n_dimensions) tensors
    """
    square = (known_logvar.exp() + (mean - known_mean) ** 2) * torch.exp(-logvar)
    return 0.5 * (logvar - known_logvar + square - 1.0).mean()


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
    """
    total = 0.0
    for predicted, c, voted, weight in zip(log_fractions, concentration.T, fractions, weights):
        votes, alpha = (n_volunteers * weight)[:, None] * voted, c[:, None] * predicted.exp() + 1e-3
        c = alpha.sum(1)
        likelihood = (torch.lgamma(c) - torch.lgamma(c + n_volunteers * weight)
                      + (torch.lgamma(alpha + votes) - torch.lgamma(alpha)).sum(1))
        total = total - likelihood.sum() / len(weight)
    return total / n_volunteers
