# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sources that bend around another: parts of its ring, or its arms."""

import numpy as np

MIN_BORDER = 0.15  # of its border, that is the other one's
MIN_BEND = 0.5  # radians: deviation of the angles of its light, seen from the other one
MAX_THICKNESS = 0.27  # deviation of the distances of its light, over their mean
THINNER = 2.3  # the length along the bend over the thickness


def find_arcs(pixels, borders, light, x, y):
    """
    Which sources are arcs around another.

    No galaxy bends around a neighbour over a third of a circle, apart from a lens.

    Parameters
    ----------
    pixels : `~galvae_affiliated.sources._segments.SegmentPixels`
        Of N sources.
    borders : tuple of (K,) int arrays
        See `~galvae_affiliated.sources._segments.border_pairs`.
    light : (M,) float array
        Of the pixels, above the background.
    x, y : (N,) float arrays
        Centroids in pixels.

    Returns
    -------
    host : (N,) int array
        The source that each is a part of; itself, mostly.
    """
    light = np.clip(light, 0, None)
    own, other, sides = borders
    border = np.bincount(own, sides, pixels.n + 1)
    touches = (own > 0) & (other > 0)
    own, other, sides, border = own[touches] - 1, other[touches] - 1, sides[touches], border[1:]
    some = sides > MIN_BORDER * border[own]
    host = np.arange(pixels.n)
    for piece, centre in zip(own[some].tolist(), other[some].tolist()):
        part = slice(pixels.start[piece], pixels.start[piece] + pixels.area[piece])
        dx, dy = pixels.columns[part] - x[centre], pixels.rows[part] - y[centre]
        if host[centre] == centre and _is_bent(dx, dy, light[part]):
            host[host == piece] = centre
    return host


def _is_bent(dx, dy, weight):
    """Whether light lies along a circle around the origin."""
    far = np.hypot(dx, dy)
    total = weight.sum()
    if not total > 0 or not far.all():
        return False
    mean = (weight * far).sum() / total
    thickness = np.sqrt((weight * (far - mean) ** 2).sum() / total)
    # angles from their own middle, so that they do not jump in the piece
    middle = np.arctan2((weight * dy / far).sum(), (weight * dx / far).sum())
    angle = np.arctan2(dy, dx) - middle
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    bend = np.sqrt((weight * angle ** 2).sum() / total)
    return (bend > MIN_BEND and thickness < MAX_THICKNESS * mean
            and bend * mean > THINNER * thickness)
