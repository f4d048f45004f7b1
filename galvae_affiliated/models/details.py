# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Composites of latents, with details that the latents do not hold."""

from functools import cache

import numpy as np

__all__ = ['DETAILS', 'draw_composites']

DETAILS = 'none', 'galaxy', 'all'
"""What is drawn beside what latents hold, see `draw_composites`."""

BLUR = 2.0  # pixels: the standard deviation of what smooths the light that is a galaxy's
N_LEVELS = 1 << 16  # values that a random number may have
LIT = 0.013, 0.063  # of a composite above its sky: no detail below, all of them above


def check_details(details):
    """Raise `ValueError` for what is none of `DETAILS`."""
    if details not in DETAILS:
        raise ValueError(f'details is {details!r}; expected {", ".join(map(repr, DETAILS))}')


def draw_composites(model, latent, pose, rng, engine, details='all'):
    """
    Composites of latents by the decoders of a model.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    latent, pose : (N, n_latents), (N, n_pose) float32 arrays
    rng : `numpy.random.Generator`
        Of what latents do not hold: the place of each knot, and the noise.
    engine : `~galvae_affiliated.Engine`
    details : {'all', 'galaxy', 'none'}, optional
        'all': as the sharp decoder draws them, with the texture of the sky, so that they look
        like data. 'galaxy': the sharp decoder's knots and arms where the galaxy shines, on
        the smooth decoder's sky. 'none': the smooth decoder's. A model without a sharp decoder
        has none.

    Returns
    -------
    images : (N, 3, grid, grid) float32 array
        Red, green, blue in [0, 1].

    Raises
    ------
    ValueError
        For other ``details``.
    """
    check_details(details)
    code, shape = {'latent': latent, 'pose': pose}, model.manifest.noise_shape
    if details == 'none' or shape is None:
        return _run(model, engine, 'decoder', code)
    noise = _random_numbers(rng, (len(latent), *shape))
    sharp = _run(model, engine, 'generator', {**code, 'noise': noise})
    if details == 'all' or not len(sharp):
        return sharp
    smooth = _run(model, engine, 'decoder', code)
    return smooth + _lit(smooth) * (sharp - smooth)


def _random_numbers(rng, shape):
    """Standard normal numbers, each one of the quantiles: in a third of the usual time."""
    return _quantiles()[rng.integers(0, N_LEVELS, shape, dtype=np.uint16)]


@cache
def _quantiles():
    """(N_LEVELS,) float32 quantiles of a normal distribution, each as likely as the others."""
    from scipy.special import ndtri

    return ndtri((np.arange(N_LEVELS) + 0.5) / N_LEVELS).astype(np.float32)


def _run(model, engine, graph, inputs):
    return engine.runner(model, graph)(inputs, ['composite'])[0]


def _lit(smooth):
    """(N, 1, grid, grid) share of each pixel that is the galaxy's: 0 for the sky, 1 if bright."""
    from scipy.ndimage import gaussian_filter

    # the corners, outside of the circle that is decoded, are empty sky
    light = smooth.mean(axis=1) - smooth[:, :, 0, 0].mean(axis=1)[:, None, None]
    low, high = LIT
    share = np.clip((gaussian_filter(light, (0, BLUR, BLUR)) - low) / (high - low), 0.0, 1.0)
    return (share * share * (3.0 - 2.0 * share))[:, None].astype(np.float32)
