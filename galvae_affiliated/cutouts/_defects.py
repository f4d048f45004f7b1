# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Ready pictures that show the edge of a detector, a gap, or a streak across them."""

from functools import lru_cache

import numpy as np

MIN_GAP = 0.04  # of the side: constant pixels from a border on, that are a gap
STRAIGHT_SHARE, STRAIGHT_WIDTH = 0.3, 2  # of the lines of an image that end together; pixels
NOISY_SHARE = 0.6  # of the pixels behind such an end, that are not constant
SIDE = 32  # of the grid on which streaks are sought
N_ANGLES = 30
MIN_LENGTH = 0.7  # of the side: lines that are looked at
# by which each third of a line is brighter than beside it: quartiles of all lines; and how much
# brighter the brightest third is than the faintest, as a galaxy seen from the side has a middle
STREAK, EVEN = 4.2, 2.5


def has_defect(pixels):
    """
    Whether a straight edge of missing data, or a streak from side to side, is in a picture.

    Parameters
    ----------
    pixels : (ny, nx, 3) uint8 array

    Returns
    -------
    has_defect : bool
    """
    grey = pixels.astype(np.int16).sum(axis=2)
    return bool(min(grey.shape) >= SIDE and (has_straight_edge(grey) or has_streak(grey)))


def has_straight_edge(grey):
    """
    Whether constant pixels begin at a border and end along a straight line.

    What is dark and has no noise in 8 bits is constant too, but ends where a galaxy begins, and
    nothing in the sky is straight.

    Parameters
    ----------
    grey : (ny, nx) int array

    Returns
    -------
    has_edge : bool
    """
    for turned in (grey, grey[::-1], grey.T, grey.T[::-1]):
        length, width = turned.shape
        first = turned[:max(int(MIN_GAP * length), 2)]
        if (first == first[0]).all(axis=0).sum() < STRAIGHT_SHARE * width:
            continue
        # pixels equal to the one before, from the border on
        constant = np.cumprod(turned[1:] == turned[:1], axis=0).sum(axis=0) + 1
        ended = constant[(constant >= MIN_GAP * length) & (constant < length - STRAIGHT_WIDTH - 4)]
        if len(ended) < STRAIGHT_SHARE * width:
            continue
        number = np.bincount(ended, minlength=length)
        together = np.convolve(number, np.ones(2 * STRAIGHT_WIDTH + 1, dtype=int), mode='same')
        end = int(together.argmax())
        if together[end] < STRAIGHT_SHARE * width:
            continue
        columns = np.abs(constant - end) <= STRAIGHT_WIDTH
        behind = turned[end + STRAIGHT_WIDTH:end + STRAIGHT_WIDTH + 8][:, columns]
        if (np.diff(behind, axis=0) != 0).mean() > NOISY_SHARE:
            return True
    return False


def has_streak(grey):
    """
    Whether a line runs from side to side that is brighter all along than what is beside it.

    Parameters
    ----------
    grey : (ny, nx) int array

    Returns
    -------
    has_streak : bool
    """
    rows, columns = (np.arange(SIDE + 1) * length // SIDE for length in grey.shape)
    sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=0, dtype=float),
                           columns[:-1], axis=1)
    small = np.sqrt(np.clip(sums / np.outer(np.diff(rows), np.diff(columns)), 0, None))
    line, number = _lines()
    size = number.shape
    mean = np.bincount(line.ravel(), np.tile(small.ravel(), N_ANGLES), np.prod(size) + 1)[:-1]
    with np.errstate(divide='ignore', invalid='ignore'):
        mean = mean.reshape(size) / number
    # (angles, offsets, thirds); short lines in the corners are not known
    beside = np.maximum(mean[:, :-6], mean[:, 6:])
    excess = mean[:, 3:-3] - beside
    known = np.isfinite(excess).all(axis=2)
    if not known.any():
        return False
    values = excess[known]
    low, middle = np.percentile(values, [25.0, 50.0])
    faintest, brightest = values.min(axis=1), values.max(axis=1)
    is_bright = faintest > STREAK * max(middle - low, 1e-6)
    return bool((is_bright & (brightest < EVEN * faintest)).any())


@lru_cache(maxsize=1)
def _lines():
    """Of the pixels of the grid, the third of which line each is in, for all angles; its area."""
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    angle = np.pi * np.arange(N_ANGLES)[:, None, None] / N_ANGLES
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    half = int(np.ceil(SIDE / np.sqrt(2)))
    offset = np.clip(np.rint(across).astype(int) + half, 0, 2 * half)
    shape = N_ANGLES, 2 * half + 1
    # how far each line reaches within the square
    place = np.arange(N_ANGLES)[:, None, None] * shape[1] + offset
    start, stop = np.full(np.prod(shape), np.inf), np.full(np.prod(shape), -np.inf)
    np.minimum.at(start, place.ravel(), along.ravel())
    np.maximum.at(stop, place.ravel(), along.ravel())
    length = stop - start
    part = np.clip(((along - start[place]) / np.maximum(length[place], 1) * 3).astype(int), 0, 2)
    line = place * 3 + part
    number = np.bincount(line.ravel(), minlength=3 * np.prod(shape)).astype(float)
    number[np.repeat(length < MIN_LENGTH * SIDE, 3)] = np.nan
    return line, number.reshape(*shape, 3)
