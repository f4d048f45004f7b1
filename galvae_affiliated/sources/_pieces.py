# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Light cut at every peak: each pixel belongs to the peak that the steepest way up leads to."""

import numpy as np

# of the eight neighbours, as steps along y and x
AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
# of two peaks within a square of five pixels the higher counts
NEARBY = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if max(abs(dy), abs(dx)) == 2]


def cut_at_peaks(smooth, bright):
    """
    Pieces of an image, one a peak, and the highest way from each to those that it touches.

    The pieces are those of a watershed; following each pixel uphill needs no sorted queue.

    Parameters
    ----------
    smooth : (ny, nx) float32 array
        The smoothed image.
    bright : (ny, nx) bool array
        Pixels that are cut; the others are in no piece.

    Returns
    -------
    pieces : (ny, nx) int32 array
        From one without a gap; zero where not bright.
    pairs : (2, K) int array
        Pieces that touch.
    saddles : (K,) float array
        Brightness of the lowest point of the highest way between them.
    """
    # a frame of two pixels, so that no step leads out of the image
    height = np.full((smooth.shape[0] + 4, smooth.shape[1] + 4), -np.inf, dtype=np.float32)
    np.copyto(height[2:-2, 2:-2], smooth, where=bright)
    width, height = height.shape[1], height.ravel()
    rows, columns = np.nonzero(bright)
    places = (rows + 2) * width + columns + 2
    number = np.zeros(height.shape, dtype=np.int32)
    number[places] = np.arange(len(places), dtype=np.int32)
    up = number[_highest(height, places, AROUND, width)]
    tops = np.flatnonzero(up == np.arange(len(up)))
    up[tops] = number[_highest(height, places[tops], NEARBY, width)]
    while True:
        higher = up[up]
        if np.array_equal(higher, up):
            break
        up = higher
    is_top = up == np.arange(len(up))
    piece = np.cumsum(is_top, dtype=np.int32)[up]
    number[:] = 0
    number[places] = piece
    pairs, saddles = _saddles(height, number, places, piece, width, int(is_top.sum()))
    return number.reshape(-1, width)[2:-2, 2:-2].copy(), pairs, saddles


def _highest(height, places, steps, width):
    """(M,) int array: the highest of each place and those some steps away, of equals the first."""
    best, value = places.copy(), height[places]
    for dy, dx in steps:
        other = places + (dy * width + dx)
        light = height[other]
        better = (light > value) | ((light == value) & (other < best))
        best[better], value[better] = other[better], light[better]
    return best


def _saddles(height, number, places, piece, width, n):
    """Pairs of pieces that touch, and the highest way from one to the other."""
    keys, heights, light = [], [], height[places]
    for step in (1, width - 1, width, width + 1):
        other = number[places + step]
        touch = np.flatnonzero((other != piece) & (other > 0))
        a, b = piece[touch].astype(np.int64), other[touch].astype(np.int64)
        keys.append(np.minimum(a, b) * (n + 1) + np.maximum(a, b))
        heights.append(np.minimum(light[touch], height[places[touch] + step]))
    return highest_of_pairs(np.concatenate(keys), np.concatenate(heights), n + 1)


def highest_of_pairs(keys, heights, n):
    """Distinct pairs of ``first * n + second``, and the largest of the heights of each."""
    order = np.argsort(keys, kind='stable')
    keys, heights = keys[order], heights[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    if not len(first):
        return np.zeros((2, 0), dtype=np.int64), np.zeros(0)
    return np.array(np.divmod(keys[first], n)), np.maximum.reduceat(heights, first)
