# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Square windows of an image, brought to another pixel size."""

import numpy as np

__all__ = ['resample', 'window']

# a pixel of the result is known where at least this share of its area was observed
MIN_OBSERVED = 0.5


def axis_weights(centre, step, n_out, start, stop):
    """
    Overlap of every output pixel with every input pixel along one axis.

    An output pixel is the mean of the input over its own width, or over the
    width of one input pixel where that is larger (which is then the same as
    linear interpolation): the light of the input is neither aliased nor lost.

    Parameters
    ----------
    centre : float
        Input coordinate of the middle of the output; pixel centres are integers.
    step : float
        Width of an output pixel in input pixels.
    n_out : int
        Number of output pixels.
    start, stop : int
        The input pixels, ``start`` to ``stop - 1``.

    Returns
    -------
    weights : (n_out, stop - start) float32 array
        Rows sum to one where the output pixel lies inside the input.
    """
    middle = centre + (np.arange(n_out) - (n_out - 1) / 2) * step
    half = 0.5 * max(step, 1.0)
    pixel = np.arange(start, stop)
    upper = np.minimum(pixel[None] + 0.5, middle[:, None] + half)
    lower = np.maximum(pixel[None] - 0.5, middle[:, None] - half)
    return (np.clip(upper - lower, 0.0, None) / (2.0 * half)).astype(np.float32)


def window(centre, side, length):
    """
    Range of input pixels that a square touches along one axis, within the image.

    Parameters
    ----------
    centre, side : float
        In pixels.
    length : int
        Length of the image along the axis.

    Returns
    -------
    start, stop : int
        Empty (``start == stop``) where the square misses the image.
    """
    # compared as floats: a huge side would overflow an integer
    start = int(max(0.0, min(np.floor(centre - side / 2 - 0.5), float(length))))
    stop = int(max(0.0, min(np.ceil(centre + side / 2 + 0.5) + 1, float(length))))
    return start, max(start, stop)


def resample(planes, centre, step, grid, origin=(0, 0)):
    """
    Bring a window to a square grid; surface brightness is kept.

    Parameters
    ----------
    planes : (C, h, w) float array
        Part of an image, NaN where pixels are missing.
    centre : tuple of 2 float
        (x, y) of the middle of the result, in pixels of the whole image.
    step : float
        Width of a pixel of the result in pixels of the image.
    grid : int
        Side of the result in its own pixels.
    origin : tuple of 2 int, optional
        (x, y) of the first pixel of ``planes`` in the whole image.

    Returns
    -------
    result : (C, grid, grid) float32 array
        NaN where less than half of a pixel was observed.
    """
    _, height, width = planes.shape
    along_x = axis_weights(centre[0], step, grid, origin[0], origin[0] + width)
    along_y = axis_weights(centre[1], step, grid, origin[1], origin[1] + height)
    observed = np.isfinite(planes)
    if observed.all():
        coverage = along_y.sum(1)[:, None] * along_x.sum(1)[None, :]
        total = along_y @ planes.astype(np.float32) @ along_x.T
    else:
        coverage = along_y @ observed.astype(np.float32) @ along_x.T
        total = along_y @ np.where(observed, planes, 0.0).astype(np.float32) @ along_x.T
    known = coverage >= MIN_OBSERVED
    return np.where(known, total / np.where(known, coverage, 1.0), np.nan).astype(np.float32)
