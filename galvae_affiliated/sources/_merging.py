# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which pieces of a segmentation are parts of one galaxy, by the saddles between their peaks."""

import heapq

import numpy as np

from galvae_affiliated.sources._pieces import highest_of_pairs

# What makes a piece a source of its own beside another, any of them: how far the peak stands out
# of the saddle, in units of the saddle's brightness; how far the lower peak does, in units of the
# noise; and the share of the light of both that the fainter holds. From simulated fields and the
# demo's (benchmarks/bench_fields.py): knots and arms of spirals hold little light, and stand out
# less than stars and companions do.
SEPARATE = ((1.5, 4.2, 0.0), (0.75, 8.0, 0.2), (0.15, 12.0, 0.3))
# the same where the saddle is hardly brighter than the noise: there are no bright knots so far out
OUTSIDE, OUTSIDE_CONTRAST, OUTSIDE_DEPTH = 10.0, 0.8, 4.6
LEAST_DEPTH = 4.2
ROUNDS = 8  # of joining what noise has cut


def merge_pieces(flux, peak, pairs, saddles, noise):
    """
    Join what no real saddle divides.

    First what noise alone has cut. Then the faintest piece is compared with all that touch it,
    and joined to the one across the highest saddle among those that it does not stand out of;
    then the next. So the arms of a spiral are compared with its middle too, not with one another
    alone (a switch on the contrast as that of Bertin & Arnouts 1996, A&AS 117, 393, after the
    whole has been cut at every peak).

    Parameters
    ----------
    flux, peak : (n_pieces + 1,) float arrays
        Sum and maximum of the smoothed image, without background, over each piece; the first is
        not used.
    pairs, saddles : (2, K) int array, (K,) float array
        See `~galvae_affiliated.sources._pieces.cut_at_peaks`.
    noise : float
        Of a pixel of the smoothed image.

    Returns
    -------
    number : (n_pieces + 1,) int array
        The source of each piece, from one without a gap; zero for zero.
    """
    owner, flux, peak, pairs, saddles = _join_noise(flux, peak, pairs, saddles, noise)
    beside = [{} for _ in flux]
    for a, b, saddle in zip(*pairs.tolist(), saddles.tolist()):
        beside[a][b] = beside[b][a] = saddle
    owner = _join(flux.tolist(), peak.tolist(), beside, noise)[owner]
    return np.unique(owner, return_inverse=True)[1]


def _join_noise(flux, peak, pairs, saddles, noise):
    """The same after pieces that do not stand out of the noise have joined their higher ones."""
    n = len(flux)
    owner, everyone = np.arange(n), np.arange(n)
    for _ in range(ROUNDS):
        first, second = np.concatenate([pairs, pairs[::-1]], axis=1)
        heights = np.concatenate([saddles, saddles])
        # of the neighbours the one across the highest saddle comes last and stays
        order = np.argsort(heights, kind='stable')
        best, saddle = everyone.copy(), np.full(n, -np.inf)
        best[first[order]], saddle[first[order]] = second[order], heights[order]
        higher = (peak[best] > peak) | ((peak[best] == peak) & (best < everyone))
        up = np.where(higher & (peak - saddle < LEAST_DEPTH * noise), best, everyone)
        if (up == everyone).all():
            break
        while not np.array_equal(up[up], up):
            up = up[up]
        owner, flux = up[owner], np.bincount(up, flux, n)
        pairs = np.sort(up[pairs], axis=0)
        apart = pairs[0] != pairs[1]
        pairs, saddles = highest_of_pairs(pairs[0, apart] * n + pairs[1, apart], saddles[apart], n)
    return owner, flux, peak, pairs, saddles


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
    if small > OUTSIDE_CONTRAST and saddle < OUTSIDE * noise and depth > OUTSIDE_DEPTH * noise:
        return True
    return any((low if part else small) > contrast and depth > significance * noise
               and share >= part for contrast, significance, part in SEPARATE)
