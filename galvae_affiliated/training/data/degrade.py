# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies as another survey would show them: its bands, seeing, depth and stretch."""

import math

import torch

from galvae_affiliated.cutouts._grey import middle_band
from galvae_affiliated.training.data.augment import lose_edge, noise_fields, turned_views

__all__ = ['in_grey', 'survey_view']


def survey_view(images, config, generator):
    """
    Another survey's view of each galaxy: what is known of it stays, what is seen of it does not.

    Each galaxy is turned, flipped, shifted and zoomed; made brighter or
    fainter, with another contrast; blurred; covered with noise, of which half
    is smooth from pixel to pixel as resampled images have it; and seen in
    grey, in two bands, or through other filters.

    Parameters
    ----------
    images : (N, 3, H, W) float tensor in [0, 1]
        Composites.
    config : `~galvae_affiliated.training.config.AugmentationConfig`
    generator : `torch.Generator`
        Source of all random numbers.

    Returns
    -------
    view : (N, 3, H, W) tensor
        What the encoder reads; NaN past an edge that was made missing.
    clean : (N, 3, H, W) tensor
        The same without its noise: what the decoder shall give.
    """
    def uniform(*shape):
        return 2.0 * torch.rand(*shape, generator=generator) - 1.0

    n = len(images)
    clean = turned_views(images, config.survey_zoom, config.max_shift, generator)
    gain = torch.exp(config.survey_gain * uniform(n, 1, 1, 1))
    power = torch.exp(config.survey_contrast * uniform(n, 1, 1, 1))
    clean = (gain * clean.clamp(min=1e-4) ** power).clamp(max=1.0)
    is_blurred = uniform(n) < 2.0 * config.survey_blurred_share - 1.0
    # as many narrow ones as wide ones: what a PSF does grows with the square of its width
    width = config.survey_psf * (0.5 + 0.5 * uniform(n))
    if is_blurred.any():
        clean[is_blurred] = _blur(clean[is_blurred], width[is_blurred])
    filters = _filters(n, config, generator)
    level = config.survey_noise * uniform(n, 1, 1, 1).clamp(min=0.0) ** 2
    fields = noise_fields(images, generator)
    smooth = _blur(fields, torch.full((len(fields),), 0.7))
    smooth = smooth / smooth.std()
    fields = torch.where(uniform(len(fields), 1, 1, 1) < 0.0, fields, smooth)
    noise = level * fields[torch.randperm(n, generator=generator) % len(fields)]
    view = torch.einsum('nij,njhw->nihw', filters, clean + noise)
    clean = torch.einsum('nij,njhw->nihw', filters, clean)
    view = view + config.sky_jitter * uniform(n, 1, 1, 1).clamp(min=0.0)
    view = lose_edge(view.clamp(0.0, 1.0), uniform(n, 2), uniform(n), config.cut_share)
    return view, clean.clamp(0.0, 1.0)


def in_grey(composites):
    """(N, 3, H, W) composites as their middle band alone shows them: r of SDSS's i, r, g."""
    return middle_band(composites)


def _filters(n, config, generator):
    """(n, 3, 3): how each channel is made of the three that were observed."""
    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    mixed = torch.eye(3) + config.survey_mixing * normal(n, 3, 3)
    mixed = mixed / mixed.sum(2, keepdim=True).clamp(min=0.5)
    kind = torch.rand(n, generator=generator)
    is_grey, is_two = kind < config.grey_share, kind > 1.0 - config.two_band_share
    # a broad band sees what lies between two: their shares are drawn, and half are one band alone
    share = torch.rand(n, 3, generator=generator) ** 2
    alone = torch.nn.functional.one_hot(torch.randint(3, (n,), generator=generator), 3)
    share = torch.where(torch.rand(n, 1, generator=generator) < 0.5, alone.float(), share)
    grey = (share / share.sum(1, keepdim=True))[:, None].expand(n, 3, 3)
    two = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 1.0]]).expand(n, 3, 3)
    mixed = torch.where(is_two.view(n, 1, 1), two, mixed)
    return torch.where(is_grey.view(n, 1, 1), grey, mixed)


def _blur(images, sigma):
    """Convolve each image with a Gaussian of its own (N,) ``sigma`` pixels, by its transform."""
    height, width = images.shape[2:]
    y = torch.fft.fftfreq(height).view(1, 1, -1, 1)
    x = torch.fft.rfftfreq(width).view(1, 1, 1, -1)
    transfer = torch.exp(-2.0 * (math.pi * sigma.view(-1, 1, 1, 1)) ** 2 * (x ** 2 + y ** 2))
    return torch.fft.irfft2(torch.fft.rfft2(images) * transfer, s=(height, width))
