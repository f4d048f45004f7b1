# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Ranges of pixels that windows share with an image."""

import numpy as np

__all__ = ['window_range', 'window_ranges']



def window_ranges(centre, side, length):
    """
    Ranges of input pixels that squares touch along one axis, within the image.

    Parameters
    ----------
    centre, side : float arrays
        In pixels.
    length : int
        Length of the image along the axis.

    Returns
    -------
    start, stop : int arrays
        Empty (``start == stop``) where the square misses the image.
    """
    # limited as floats: a huge side would overflow an integer
    start = np.clip(np.floor(centre - side / 2 - 0.5), 0, length).astype(np.intp)
    stop = np.clip(np.ceil(centre + side / 2 + 0.5) + 1, 0, length).astype(np.intp)
    return start, np.maximum(start, stop)


def window_range(centre, side, length):
    """`windows` of one square: start, stop."""
    start, stop = window_ranges(np.float64(centre), np.float64(side), length)
    return int(start), int(stop)


def overlaps(starts, length, whole):
    """What ``length`` pixels from each start on share with an axis of ``whole`` pixels: slices of them, and of it."""
    starts = np.asarray(starts)
    first, last = (np.clip(ends, 0, whole) for ends in (starts, starts + length))
    return [(slice(a - start, b - start), slice(a, b))
            for start, a, b in zip(starts.tolist(), first.tolist(), last.tolist())]
