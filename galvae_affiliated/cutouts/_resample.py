# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Square windows of images, brought to another pixel size, many at once."""

import numpy as np

# a pixel of the result is known where half of its area was observed; that may be rounded down
MIN_OBSERVED = 0.5 - 1e-6
BLOCKS = (16, 32, 8)  # output pixels that are computed together; the first that divides the side


class AxisWeights:
    """
    Overlap of output pixels with input pixels along one axis, of N windows.

    An output pixel is the mean of the input over its own width, or over the
    width of one input pixel where that is larger (which is then the same as
    linear interpolation): the light of the input is neither aliased nor lost.

    Neighbouring output pixels touch few input pixels: a small matrix for each
    block of them does what a whole one, mostly of zeros, would.

    Parameters
    ----------
    centre : (N,) float array
        Input coordinate of the middle of the output; pixel centres are integers.
    step : (N,) float array
        Width of an output pixel in input pixels.
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
        Weights of the ``n_rows`` input pixels from the start of each block on, for
        each of its output pixels, for which they sum to one.
    """

    def __init__(self, centre, step, n_out):
        block = next((size for size in BLOCKS if n_out % size == 0), n_out)
        width = np.maximum(step, 1.0)[:, None]
        # the lower end of each output pixel; an input pixel reaches from its number to the next
        offsets = (np.arange(n_out) - (n_out - 1) / 2) * step[:, None]
        lower = (centre + 0.5)[:, None] + offsets - 0.5 * width
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
    Windows of an image to square grids; surface brightness is kept.

    Parameters
    ----------
    x, y, step : (N,) float arrays
        Middle of each result, and width of its pixels, in pixels of the image.
    grid : int
        Side of the results in their own pixels.

    Attributes
    ----------
    x_start, y_start : (N,) int arrays
        First pixel of each window, which may lie off the image.
    shape : tuple of int
        (h, w) of all windows.
    """

    def __init__(self, x, y, step, grid):
        # both axes at once
        weights = AxisWeights(np.concatenate([x, y]), np.concatenate([step, step]), grid)
        self.x_start, self.y_start = weights.start.reshape(2, -1)
        self.shape = weights.length, weights.length
        self.stride = weights.stride[:len(x)].tolist()
        matrices = weights.matrices.reshape(2, len(x), *weights.matrices.shape[1:])
        self.along_x, self.along_y = matrices

    def masked_mean(self, i, planes, observed, result):
        """
        Resample the ``i``-th window where pixels of it are missing.

        Parameters
        ----------
        i : int
        planes : (C, h, w) float32 array
        observed : (C, h, w) bool array
            Which pixels are known; those off the image are not.
        result : (C, grid, grid) float32 array
            Where to put the result, C-contiguous: NaN where less than half of a pixel was observed.
        """
        self.mean(i, np.where(observed, planes, np.float32(0.0)), result)
        bands = np.flatnonzero(~observed.all(axis=(1, 2)))
        coverage = np.empty((len(bands), *result.shape[1:]), dtype=np.float32)
        self.mean(i, observed[bands].astype(np.float32), coverage)
        result[bands] = from_sums(result[bands], coverage)

    def mean(self, i, planes, result):
        """
        Resample the ``i``-th window where all pixels of it are known.

        Parameters
        ----------
        i : int
        planes : (C, h, w) float32 array
            C-contiguous.
        result : (C, grid, grid) float32 array
            Where to put the result; C-contiguous.
        """
        (n_channels, height, width), grid, stride = planes.shape, result.shape[2], self.stride[i]
        n_blocks, n_touched, block = self.along_x[i].shape
        rows = np.empty((n_channels, height, grid), dtype=np.float32)
        # the columns, then the rows, that each block touches; those of neighbouring blocks overlap
        columns = np.ndarray((n_blocks, n_channels * height, n_touched), np.float32, planes,
                             strides=(4 * stride, 4 * width, 4))
        out = rows.reshape(n_channels * height, n_blocks, block).transpose(1, 0, 2)
        np.matmul(columns, self.along_x[i], out=out)
        touched = np.ndarray((n_channels, n_blocks, n_touched, grid), np.float32, rows,
                             strides=(4 * height * grid, 4 * stride * grid, 4 * grid, 4))
        out = result.reshape(n_channels, n_blocks, block, grid)
        np.matmul(self.along_y[i].transpose(0, 2, 1), touched, out=out)

    def add_part(self, i, planes, x_start, y_start, total):
        """
        Add what a part of an image contributes to the ``i``-th result; parts may be in any order.

        Parameters
        ----------
        i : int
        planes : (C, h, w) float32 array
            Without missing pixels.
        x_start, y_start : int
            First pixel of the part.
        total : (C, grid, grid) float32 array
            Where to add it.
        """
        _, height, width = planes.shape
        rows = np.zeros((*planes.shape[:2], total.shape[2]), dtype=np.float32)
        for out, part, weights in self._shares(i, self.along_x, x_start - self.x_start[i], width):
            rows[..., out] = planes[..., part] @ weights
        for out, part, weights in self._shares(i, self.along_y, y_start - self.y_start[i], height):
            total[:, out] += weights.T @ rows[:, part]

    def _shares(self, i, matrices, start, length):
        """Yield output pixels, input pixels of a part, and weights between them, by block."""
        _, n_touched, block = matrices[i].shape
        for k, matrix in enumerate(matrices[i]):
            # the part, in input pixels of the block
            first = start - k * self.stride[i]
            low, high = max(first, 0), min(first + length, n_touched)
            if low < high:
                yield (slice(k * block, (k + 1) * block), slice(low - first, high - first),
                       matrix[low:high])


def from_sums(total, coverage):
    """Mean of what was observed of each pixel, NaN where that is less than half."""
    known = coverage >= MIN_OBSERVED
    return np.where(known, total / np.where(known, coverage, 1.0), np.nan).astype(np.float32)
