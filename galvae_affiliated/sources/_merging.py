# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which pieces of a segmentation are parts of one galaxy, by the saddles between their peaks."""

import heapq

import numpy as np

# What makes a piece a source of its own beside another, any of them: how far the peak stands out
# of the saddle, in units of the saddle's brightness; how far the lower peak does, in units of the
# noise; and the share of the light of both that the fainter holds. From simulated fields and the
# demo's (benchmarks/bench_fields.py): knots and arms of spirals hold little light, and stand out
# less than stars and companions do.
SEPARATE = ((1.5, 4.8, 0.0), (0.75, 8.0, 0.2), (0.15, 12.0, 0.3))


def merge_pieces(labels, smooth, noise):
    """
    Join what no real saddle divides.

    The faintest piece is compared with all that touch it, and joined to the one across the highest
    saddle among those that it does not stand out of; then the next. So the arms of a spiral are
    compared with its middle too, not with one another alone (a switch on the contrast as that of
    Bertin & Arnouts 1996, A&AS 117, 393, after the whole has been cut at every peak).

    Parameters
    ----------
    labels : (ny, nx) int array
        Zero for sky, pieces from one without a gap.
    smooth : (ny, nx) array
        The smoothed image, without background.
    noise : float
        Of its pixels.

    Returns
    -------
    number : (n_pieces + 1,) int array
        The source of each piece, from one without a gap; zero for zero.
    """
    n = int(labels.max())
    flat, values = labels.ravel(), smooth.ravel()
    inside = np.flatnonzero(flat)
    flux = np.bincount(flat[inside], values[inside], n + 1)
    peak = np.full(n + 1, -np.inf)
    np.maximum.at(peak, flat[inside], values[inside])
    beside = [{} for _ in range(n + 1)]
    for a, b, saddle in zip(*(part.tolist() for part in _saddles(labels, smooth))):
        beside[a][b] = beside[b][a] = saddle
    owner = _join(flux.tolist(), peak.tolist(), beside, noise)
    return np.unique(owner, return_inverse=True)[1]


def _join(flux, peak, beside, noise):
    """(n_pieces + 1,) int array: the piece that each was joined to."""
    owner = list(range(len(flux)))
    queue = [(light, i) for i, light in enumerate(flux) if beside[i]]
    heapq.heapify(queue)
    while queue:
        light, i = heapq.heappop(queue)
        if owner[i] != i or light != flux[i]:
            continue  # it was joined since, or has grown and comes again
        for j, saddle in sorted(beside[i].items(), key=lambda item: -item[1]):
            if is_separate(flux[i], flux[j], peak[i], peak[j], saddle, noise):
                continue
            owner[i] = j
            flux[j], peak[j] = flux[j] + flux[i], max(peak[i], peak[j])
            for k, height in beside[i].items():
                del beside[k][i]
                if k != j:
                    beside[j][k] = beside[k][j] = max(height, beside[j].get(k, -np.inf))
            heapq.heappush(queue, (flux[j], j))
            # those beside it may stand out of the whole no more
            for k in beside[j]:
                heapq.heappush(queue, (flux[k], k))
            break
    for i in range(len(owner)):
        while owner[i] != owner[owner[i]]:
            owner[i] = owner[owner[i]]
    return np.array(owner)


def is_separate(flux, other_flux, peak, other_peak, saddle, noise):
    """Whether two pieces that touch are two sources."""
    depth = min(peak, other_peak) - saddle
    share = min(flux, other_flux) / max(flux + other_flux, noise)
    small = peak if flux <= other_flux else other_peak
    low, small = depth / max(saddle, noise), (small - saddle) / max(saddle, noise)
    return any((low if part else small) > contrast and depth > significance * noise
               and share >= part for contrast, significance, part in SEPARATE)


def _saddles(labels, smooth):
    """Pairs of pieces that touch, and the highest way from one to the other."""
    n = int(labels.max()) + 1
    keys, heights = [], []
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]),
                        (np.s_[:-1, :-1], np.s_[1:, 1:]), (np.s_[:-1, 1:], np.s_[1:, :-1])):
        one, other = labels[here], labels[there]
        touch = (one != other) & (one > 0) & (other > 0)
        a, b = one[touch].astype(np.int64), other[touch].astype(np.int64)
        keys.append(np.minimum(a, b) * n + np.maximum(a, b))
        heights.append(np.minimum(smooth[here][touch], smooth[there][touch]))
    pairs, place = np.unique(np.concatenate(keys), return_inverse=True)
    saddle = np.full(len(pairs), -np.inf)
    np.maximum.at(saddle, place, np.concatenate(heights))
    return pairs // n, pairs % n, saddle


def shared_borders(labels):
    """(N,) float array: share of the border of each source that is another's, not the sky's."""
    n = int(labels.max()) + 1
    shared, all_of = np.zeros(n), np.zeros(n)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        one, other = labels[here], labels[there]
        touch = one != other
        a, b = one[touch], other[touch]
        for own, opposite in ((a, b), (b, a)):
            all_of += np.bincount(own, minlength=n)
            shared += np.bincount(own, opposite > 0, n)
    return (shared / np.maximum(all_of, 1))[1:]
