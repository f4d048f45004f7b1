# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Random views of a batch of composites, from one seed."""

import math

import torch
from torch.nn import functional

__all__ = ['lose_edge', 'noise_fields', 'random_view', 'turned_views']

NOISE_FIELDS = 16


def random_view(images, config, generator):
    """
    Rotate, flip, shift, zoom, and change the colours, sky, seeing and noise.

    Parameters
    ----------
    images : (N, 3, H, W) float tensor in [0, 1]
        Composites.
    config : `~galvae_affiliated.training.config.AugmentationConfig`
        The strengths.
    generator : `torch.Generator`
        Source of all random numbers.

    Returns
    -------
    view : (N, 3, H, W) tensor
        What the encoder reads; NaN past an edge that was made missing.
    clean : (N, 3, H, W) tensor
        The same view before anything but its geometry changed: what the
        decoder shall give.
    """
    def uniform(*shape):
        return 2.0 * torch.rand(*shape, generator=generator) - 1.0

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    n = len(images)
    clean = turned_views(images, config.max_zoom, config.max_shift, generator)

    view = clean
    if torch.rand((), generator=generator) < config.blurred_share:
        # below a third of a pixel a Gaussian changes nothing
        least = config.psf / 3.0
        share = float(torch.rand((), generator=generator))
        view = _blur(clean, least + (config.psf - least) * share)
    gain = torch.exp(config.color_jitter * (normal(n, 1, 1, 1) + normal(n, 3, 1, 1)))
    power = torch.exp(config.color_jitter * normal(n, 1, 1, 1))
    view = gain * view.clamp(min=1e-4) ** power
    view = view + config.sky_jitter * normal(n, 3, 1, 1).abs() * (uniform(n, 1, 1, 1) > 0)
    noise = config.noise * uniform(n, 1, 1, 1).clamp(min=0.0)
    fields = noise_fields(images, generator)
    view = (view + noise * fields[torch.arange(n) % NOISE_FIELDS]).clamp(0.0, 1.0)
    return lose_edge(view, uniform(n, 2), uniform(n), config.cut_share), clean


def turned_views(images, max_zoom, max_shift, generator):
    """
    Rotate each image by any angle, flip half of them, shift and zoom.

    Parameters
    ----------
    images : (N, 3, H, W) tensor
    max_zoom : float
        Natural logarithm of the largest zoom, in or out.
    max_shift : float
        Pixels.
    generator : `torch.Generator`

    Returns
    -------
    turned : (N, 3, H, W) tensor
        What lies past the edges is mirrored.
    """
    def uniform(*shape):
        return 2.0 * torch.rand(*shape, generator=generator) - 1.0

    n, _, side, _ = images.shape
    angle, zoom = math.pi * uniform(n), torch.exp(max_zoom * uniform(n))
    flip = torch.where(uniform(n) < 0, -1.0, 1.0)
    shift = max_shift * 2.0 / side * uniform(n, 2)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    matrix = torch.stack([torch.stack([cos * flip, -sin, shift[:, 0]], 1),
                          torch.stack([sin * flip, cos, shift[:, 1]], 1)], 1)
    grid = functional.affine_grid(matrix, images.shape, align_corners=False)
    return functional.grid_sample(images, grid, padding_mode='reflection', align_corners=False)


def noise_fields(images, generator):
    """
    A few images of unit white noise, of the shape of others.

    Normal deviates are the slowest part of a view, so that several images share one field, each
    at its own strength.
    """
    return torch.randn(*images[:NOISE_FIELDS].shape, generator=generator)


def _blur(images, sigma):
    """Convolve with a Gaussian of ``sigma`` pixels."""
    x = torch.arange(-3, 4, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 7)
    images = functional.conv2d(images, kernel, padding=(0, 3), groups=3)
    return functional.conv2d(images, kernel.transpose(2, 3), padding=(3, 0), groups=3)


def lose_edge(images, direction, depth, share):
    """
    Make everything past a random straight line missing, in a ``share`` of the images.

    Parameters
    ----------
    images : (N, 3, H, W) tensor
    direction : (N, 2) tensor
        Of the line's normal.
    depth : (N,) tensor
        From -1 to 1, evenly: which images, and how far the line lies from the middle.
    share : float

    Returns
    -------
    images : (N, 3, H, W) tensor
    """
    n, _, side, _ = images.shape
    x = torch.linspace(-1.0, 1.0, side)
    along = direction[:, :1, None] * x[None, None, :] + direction[:, 1:, None] * x[None, :, None]
    along = along / direction.norm(dim=1).clamp(min=1e-3).view(-1, 1, 1)
    chosen = depth > 1.0 - 2.0 * share
    limit = torch.where(chosen, 0.5 + 0.5 * (1.0 - depth) / (2.0 * share), torch.inf)
    return images.masked_fill((along > limit.view(-1, 1, 1))[:, None], torch.nan)
