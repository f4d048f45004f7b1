# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sources that border on a far brighter one, of which they may be a piece."""

import numpy as np

# a piece of a spiral has less light than this share of it, and borders on it for a good part
MAX_LIGHT = 0.1
MIN_BORDER = 0.2
# arms end at about petroR90, which is 2.3 half-light radii of an exponential disc
MAX_DISTANCE = 3.5


def blended_sources(borders, flux, x, y, half_light):
    """
    Which sources lie on one of ten times their light, and touch it along a fifth of their border.

    Neither a knot in an arm nor a small galaxy behind it can be told from its pixels alone:
    both are kept, and flagged.

    Parameters
    ----------
    borders : tuple of (K,) int arrays
        See `~galvae_affiliated.sources._segments.border_pairs`.
    flux, x, y, half_light : (N,) float arrays
        Light above the background, centroids and half-light radii in pixels.

    Returns
    -------
    is_blended : (N,) bool array
    """
    own, other, sides = borders
    border = np.bincount(own, sides, len(x) + 1)[1:]
    touches = (own > 0) & (other > 0)
    own, other, sides = own[touches] - 1, other[touches] - 1, sides[touches]
    found = (flux[own] < MAX_LIGHT * flux[other]) & (sides > MIN_BORDER * border[own])
    far = np.hypot(x[own] - x[other], y[own] - y[other])
    found &= far < MAX_DISTANCE * half_light[other]
    is_blended = np.zeros(len(x), dtype=bool)
    is_blended[own[found]] = True
    return is_blended


def shared_borders(own, other, sides, n):
    """
    Share of the border of each of n sources that is another's, not the sky's.

    Parameters
    ----------
    own, other, sides : (K,) int arrays
        See `~galvae_affiliated.sources._segments.border_pairs`.
    n : int
        Number N of sources.

    Returns
    -------
    shared : (N,) float array
    """
    border = np.bincount(own, sides, n + 1)
    with_others = np.bincount(own, np.where(other > 0, sides, 0), n + 1)
    return (with_others / np.maximum(border, 1))[1:]
