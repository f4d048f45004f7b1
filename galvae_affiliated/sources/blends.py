# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sources that border on a far brighter one, of which they may be a piece."""

import numpy as np

# a piece of a spiral has less light than this share of it, and borders on it for a good part
MAX_LIGHT = 0.1
MIN_BORDER = 0.2
# arms end at about petroR90, which is 2.3 half-light radii of an exponential disc
MAX_DISTANCE = 3.5


def blended_sources(labels, light, x, y, half_light):
    """
    Which sources lie on one of ten times their light, and touch it along a fifth of their border.

    Neither a knot in an arm nor a small galaxy behind it can be told from its pixels alone:
    both are kept, and flagged.

    Parameters
    ----------
    labels : (ny, nx) int array
        The source that each pixel belongs to, its place plus one; zero for sky.
    light : (ny, nx) float array
        Above the background.
    x, y, half_light : (N,) float arrays
        Centroids and half-light radii in pixels.

    Returns
    -------
    is_blended : (N,) bool array
    """
    n = int(labels.max()) + 1
    flux = np.bincount(labels.ravel(), np.where(np.isfinite(light), light, 0.0).ravel(), n)
    border = np.zeros(n)
    shared = []
    for own, other in _neighbours(labels):
        is_border = (own != other) & (own > 0)
        border += np.bincount(own[is_border], minlength=n)
        touches = is_border & (other > 0)
        # one number for both
        shared.append(own[touches].astype(np.int64) * n + other[touches])
    pairs, count = np.unique(np.concatenate(shared), return_counts=True)
    own, other = np.divmod(pairs, n)
    found = (flux[own] < MAX_LIGHT * flux[other]) & (count > MIN_BORDER * border[own])
    own, other = own[found] - 1, other[found] - 1
    near = np.hypot(x[own] - x[other], y[own] - y[other]) < MAX_DISTANCE * half_light[other]
    is_blended = np.zeros(n - 1, dtype=bool)
    is_blended[own[near]] = True
    return is_blended


def _neighbours(labels):
    """Pixels, and those to the right, left, above and below them."""
    for first, second in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        yield first, second
        yield second, first
