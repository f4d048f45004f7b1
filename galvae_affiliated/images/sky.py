# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sky level and noise of an image, from a sample of its pixels that does not grow with it."""

import numpy as np
from astropy.stats import sigma_clipped_stats

from galvae_affiliated.images._lazy import LazyImage

MAX_SAMPLES = 1_000_000  # pixels
REPEATED = 4  # pixels next to zero that are equal, in images of steps
AREA = 5  # side of the squares of zeros that are no chance
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
    return np.concatenate([values.ravel() for values in _sampled(data, parts)])


def _sampled(data, parts):
    """List of the pixels of some parts of an image."""
    values = []
    for part in parts:
        values.append(np.array(data[part]))
        if isinstance(data, LazyImage):
            data.release()
    return values


def kind_of_zeros(values):
    """
    What pixels of exactly zero are.

    Parameters
    ----------
    values : (M,) array
        A sample of an image's pixels, in its own type.

    Returns
    -------
    kind : {'data', 'missing', 'areas'}
        'missing' in an image of floats, whose noise is never exactly zero: no exposure reached
        there. 'areas' in one of whole numbers, or of steps, that are floats: of these zero is
        one, and only areas of nothing else are missing.
    """
    if not np.issubdtype(values.dtype, np.floating):
        return 'data'
    if not (values == 0).any():
        return 'missing'
    # numbers of steps come again and again, next to zero too
    above, below = values[values > 0], values[values < 0]
    next_to_zero = [side(v) for v, side in ((above, np.min), (below, np.max)) if len(v)]
    repeated = sum(int((values == value).sum()) for value in next_to_zero)
    return 'areas' if repeated >= REPEATED * len(next_to_zero) > 0 else 'missing'


def zero_areas(zero):
    """Of (..., h, w) pixels that are zero, bool array: those in squares of nothing else."""
    from scipy.ndimage import binary_dilation, binary_erosion

    square = np.ones((1,) * (zero.ndim - 2) + (AREA, AREA), dtype=bool)
    # what is beyond the window may be zero too
    return binary_dilation(binary_erosion(zero, square, border_value=1), square) & zero


def sky_and_noise(plane):
    """
    Clipped median and standard deviation of a plane's pixels, from a sample of them.

    Parameters
    ----------
    plane : Plane

    Returns
    -------
    level, noise : float
        Zero where nothing is known.
    zeros : str
        See `kind_of_zeros`.
    """
    parts = sample_regions(plane.data.shape)
    sampled = _sampled(plane.data, parts)
    values = np.concatenate([part.ravel() for part in sampled])
    zeros = kind_of_zeros(values)
    values = values.astype(np.float64)
    good = np.isfinite(values)
    if plane.bad is not None:
        good &= ~sample_pixels(plane.bad, parts)
    if zeros == 'missing':
        good &= values != 0
    elif zeros == 'areas':
        good &= ~np.concatenate([zero_areas(part == 0).ravel() for part in sampled])
    if not good.any():
        return 0.0, 0.0, zeros
    _, median, deviation = sigma_clipped_stats(values[good], sigma=3.0, maxiters=10)
    return float(median), float(deviation), zeros
