# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Ranges of pixels that windows share with an image."""

import numpy as np


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


def overlaps(starts, length, whole):
    """
    What windows share with an image along one axis.

    A slice of the window and one of the image for each window, which has ``length`` pixels from
    its start on, of the ``whole`` of the image.
    """
    starts = np.asarray(starts)
    first, last = (np.clip(ends, 0, whole) for ends in (starts, starts + length))
    return [(slice(a - start, b - start), slice(a, b))
            for start, a, b in zip(starts.tolist(), first.tolist(), last.tolist())]
