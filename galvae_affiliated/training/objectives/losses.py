# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The terms of the objectives; each is a mean a galaxy. Those of votes are with the vote heads."""

import torch
from torch.nn import functional

from galvae_affiliated.training.networks.noise import noise_level

__all__ = ['active_units', 'class_loss', 'contrast_loss', 'divergence', 'noise_weights',
           'posterior_divergence', 'reconstruction_loss']


def reconstruction_loss(image, target, weight):
    """
    Half the logarithm of the mean square residual, and that mean, over the pixels that count.

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

    Parameters
    ----------
    target : (N, 3, H, W) tensor
    aperture : (H, W) tensor
        Pixels that count.
    floor : float, optional
        Variance that a decoder leaves of an image without noise, in normalised units.

    Returns
    -------
    weight : (N, 3, H, W) tensor
    """
    return aperture / (1.0 + noise_level(target, aperture) ** 2 / floor)


def active_units(mean, *, threshold=0.01):
    """
    Number of latents whose mean varies from galaxy to galaxy by a variance above ``threshold``.

    A latent that does not has collapsed to its prior and says nothing (Burda et al. 2016).

    Parameters
    ----------
    mean : (N, n_latents) tensor
    threshold : float, optional

    Returns
    -------
    n_active : int

    References
    ----------
    Burda, Y., Grosse, R., Salakhutdinov, R. 2016, ICLR (arXiv:1509.00519).
    """
    return int((mean.var(0) > threshold).sum())


def divergence(mean, logvar, free_bits):
    """
    Kullback-Leibler divergence from the unit normal, a sum over dimensions.

    Parameters
    ----------
    mean, logvar : (N, n_dimensions) tensors
    free_bits : float
        Nats of each dimension that cost nothing.

    Returns
    -------
    loss : tensor
    """
    nats = 0.5 * (mean ** 2 + logvar.exp() - 1.0 - logvar)
    return nats.mean(0).clamp(min=free_bits).sum()


def posterior_divergence(known_mean, known_logvar, mean, logvar):
    """
    Kullback-Leibler divergence of a normal distribution from one that is known.

    Parameters
    ----------
    known_mean, known_logvar, mean, logvar : (N, n_dimensions) tensors

    Returns
    -------
    loss : tensor
        A mean over dimensions too.
    """
    square = (known_logvar.exp() + (mean - known_mean) ** 2) * torch.exp(-logvar)
    return 0.5 * (logvar - known_logvar + square - 1.0).mean()


def class_loss(logits, classes):
    """
    Cross-entropy of the coarse classes.

    Parameters
    ----------
    logits : (N, n_classes) tensor
    classes : (N,) int tensor
        Galaxies without one (-1) do not count.

    Returns
    -------
    loss : tensor
    """
    total = functional.cross_entropy(logits, classes, ignore_index=-1, reduction='sum')
    return total / len(classes)


def contrast_loss(first, second, log_scale):
    """
    Cross-entropy of finding a galaxy's other view among the batch, by distance of the latents.

    The nearest neighbour in latent space shall be the galaxy itself, however
    it is turned (Chen et al. 2020, with distance in place of the cosine, since
    distance is what users measure).

    Parameters
    ----------
    first, second : (N, n_latents) tensors
        Latents of two views of N galaxies.
    log_scale : tensor
        Scalar, learnt too.

    Returns
    -------
    loss : tensor
    """
    logits = -torch.cdist(first, second) ** 2 * torch.exp(log_scale)
    own = torch.arange(len(first), device=first.device)
    return 0.5 * (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own))
