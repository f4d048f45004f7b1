# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Square windows of an image, brought to another pixel size: one, or many at once."""

import numpy as np

__all__ = ['AxisWeights', 'Resampler', 'axis_weights', 'from_sums', 'resample', 'weighted_sums']

# a pixel of the result is known where at least half of its area was observed; exactly half may be rounded down
MIN_OBSERVED = 0.5 - 1e-6
BLOCKS = (16, 32, 8)  # output pixels that are computed together; the first that divides their number


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


class AxisWeights:
    """
    `axis_weights` of N windows along one axis, without most of the zeros.

    Neighbouring output pixels touch few input pixels: a small matrix for each
    block of them does what the whole one would.

    Parameters
    ----------
    centre, step : (N,) float arrays
        See `axis_weights`.
    n_out : int
        Number of output pixels.

    Attributes
    ----------
    start : (N,) int array
        First input pixel that is touched.
    length : int
        Input pixels from there on that matter to any of the N.
    stride : (N,) int array
        Input pixels from a block to the next.
    matrices : (N, n_blocks, n_rows, block) float32 array
        Weights of the ``n_rows`` input pixels from the start of each block on, for each of its output pixels.
    """

    def __init__(self, centre, step, n_out):
        block = next((size for size in BLOCKS if n_out % size == 0), n_out)
        width = np.maximum(step, 1.0)[:, None]
        # the lower end of each output pixel; an input pixel reaches from its number to the next
        lower = (centre + 0.5)[:, None] + (np.arange(n_out) - (n_out - 1) / 2) * step[:, None] - 0.5 * width
        first = np.floor(lower)
        n_touched = int(np.ceil(width.max())) + 1
        # single precision is enough for the small numbers that are left
        lower, width = (lower - first).astype(np.float32), width.astype(np.float32)
        upper = lower + width
        self.stride = np.floor(block * step).astype(np.intp)
        place = first.astype(np.intp).reshape(len(first), -1, block)
        n, n_blocks, _ = place.shape
        place -= np.arange(n_blocks)[:, None] * self.stride[:, None, None]
        # of the first block, unless rounding moved that of another
        self.start = place.min(axis=(1, 2))
        place -= self.start[:, None, None]
        n_rows = int(place.max()) + n_touched
        self.length = int(self.stride.max()) * (n_blocks - 1) + n_rows
        self.matrices = np.zeros((n, n_blocks, n_rows, block), dtype=np.float32)
        place = (place * block + np.arange(block)).reshape(n * n_blocks, block)
        place += np.arange(n * n_blocks)[:, None] * (n_rows * block)
        for k in range(n_touched):
            weights = np.maximum(np.minimum(upper, k + 1) - np.maximum(lower, k), 0.0) / width
            self.matrices.reshape(-1)[place.reshape(-1) + k * block] = weights.reshape(-1)


class Resampler:
    """
    `resample` for N windows.

    Parameters
    ----------
    x, y, step : (N,) float arrays
        Middle of each result, and width of its pixels, in pixels of the image.
    grid : int
        Side of the results in their own pixels.

    Attributes
    ----------
    x_start, y_start : (N,) int arrays
        First pixel of each window.
    shape : tuple of int
        (h, w) of all windows.
    """

    def __init__(self, x, y, step, grid):
        # both axes at once
        weights = AxisWeights(np.concatenate([x, y]), np.concatenate([step, step]), grid)
        self.x_start, self.y_start = weights.start.reshape(2, -1)
        self.shape = weights.length, weights.length
        self.stride = weights.stride[:len(x)].tolist()
        self.along_x, self.along_y = weights.matrices.reshape(2, len(x), *weights.matrices.shape[1:])

    def __call__(self, i, planes, observed, result):
        """
        Resample the ``i``-th window.

        Parameters
        ----------
        i : int
        planes : (C, h, w) float32 array
        observed : (C, h, w) bool array
            Which pixels are known; those off the image are not.
        result : (C, grid, grid) float32 array
            Where to put the result; C-contiguous.
        """
        self.product(i, np.where(observed, planes, np.float32(0.0)), result)
        bands = np.flatnonzero(~observed.all(axis=(1, 2)))
        coverage = np.empty((len(bands), *result.shape[1:]), dtype=np.float32)
        self.product(i, observed[bands].astype(np.float32), coverage)
        result[bands] = from_sums(result[bands], coverage)

    def product(self, i, planes, result):
        """Weighted sums of a C-contiguous window along both axes: all there is to do where all pixels are known."""
        (n_channels, height, width), grid, stride = planes.shape, result.shape[2], self.stride[i]
        n_blocks, n_touched, block = self.along_x[i].shape
        rows = np.empty((n_channels, height, grid), dtype=np.float32)
        # the columns, then the rows, that each block touches; those of neighbouring blocks overlap
        columns = np.ndarray((n_blocks, n_channels * height, n_touched), np.float32, planes,
                             strides=(4 * stride, 4 * width, 4))
        np.matmul(columns, self.along_x[i],
                  out=rows.reshape(n_channels * height, n_blocks, block).transpose(1, 0, 2))
        touched = np.ndarray((n_channels, n_blocks, n_touched, grid), np.float32, rows,
                             strides=(4 * height * grid, 4 * stride * grid, 4 * grid, 4))
        np.matmul(self.along_y[i].transpose(0, 2, 1), touched, out=result.reshape(n_channels, n_blocks, block, grid))


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
    return from_sums(*weighted_sums(planes, centre, step, grid, origin))


def weighted_sums(planes, centre, step, grid, origin):
    """
    What a part of a window adds to `resample`'s result: sums over several parts go to `from_sums`.

    Parameters
    ----------
    planes, centre, step, grid, origin : object
        See `resample`.

    Returns
    -------
    total, coverage : (C, grid, grid) float32 arrays
        Weighted sum of the pixels that were observed, and the sum of their weights.
    """
    _, height, width = planes.shape
    along_x = axis_weights(centre[0], step, grid, origin[0], origin[0] + width)
    along_y = axis_weights(centre[1], step, grid, origin[1], origin[1] + height)
    observed = np.isfinite(planes)
    if observed.all():
        coverage = along_y.sum(1)[:, None] * along_x.sum(1)[None, :]
        total = along_y @ planes.astype(np.float32) @ along_x.T
        return total, np.broadcast_to(coverage, total.shape)
    coverage = along_y @ observed.astype(np.float32) @ along_x.T
    return along_y @ np.where(observed, planes, 0.0).astype(np.float32) @ along_x.T, coverage


def from_sums(total, coverage):
    """Mean of what was observed of each pixel, NaN where that is less than half of it."""
    known = coverage >= MIN_OBSERVED
    return np.where(known, total / np.where(known, coverage, 1.0), np.nan).astype(np.float32)
