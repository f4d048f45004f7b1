# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sky level and noise of an image, from a sample of its pixels that does not grow with it."""

import numpy as np
from astropy.stats import sigma_clipped_stats

from galvae_affiliated.images._lazy import LazyImage

MAX_SAMPLES = 1_000_000  # pixels
STRIP = 32  # rows of a sample that are read at a time


def sample_regions(shape):
    """
    Where to sample an image.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).

    Returns
    -------
    parts : list of tuple of 2 slice
        Strips of a regular sample.
    """
    stride = max(1, int(np.sqrt(shape[0] * shape[1] / MAX_SAMPLES)))
    return [(slice(y, y + STRIP * stride, stride), slice(None, None, stride))
            for y in range(0, shape[0], STRIP * stride)]


def sample_pixels(data, parts):
    """(M,) array: the pixels of some parts of an image."""
    values = []
    for part in parts:
        values.append(np.array(data[part]).ravel())
        if isinstance(data, LazyImage):
            data.release()
    return np.concatenate(values)


def sky_and_noise(plane):
    """Clipped median and standard deviation of a plane's pixels, from a sample of them."""
    parts = sample_regions(plane.data.shape)
    values = sample_pixels(plane.data, parts).astype(np.float64)
    good = np.isfinite(values)
    if plane.bad is not None:
        good &= ~sample_pixels(plane.bad, parts)
    if np.issubdtype(plane.data.dtype, np.floating):
        good &= values != 0
    if not good.any():
        return 0.0, 0.0
    _, median, deviation = sigma_clipped_stats(values[good], sigma=3.0, maxiters=10)
    return float(median), float(deviation)
