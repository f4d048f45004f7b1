# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""petroR90 of the sources of a field from their own light, and whether it can be believed."""

import numpy as np

from galvae_affiliated.images._windows import window_ranges
from galvae_affiliated.sources.petrosian import (
    BIN,
    MAX_PIXELS,
    from_profiles,
    profiles,
    ring_number,
    window_sums,
)

__all__ = ['measure_sizes']

REACH_FACTOR, REACH_MORE = 2.5, 10.0  # times its segment, and pixels, to which light is a source's
NO_SEGMENT = 10.0  # pixels; of a position on which nothing was found
LARGEST_FACTOR, LARGEST_MORE = 1.1, 2.0  # a radius beyond is not of the light that was found
MAX_ERROR = 0.4  # of the radius, relative
MIN_KNOWN = 0.45  # share of the pixels within the radius that are the source's own
# light of a neighbour is counted where so much of the border is shared, and the radius is so large
# beside the source's segment
CROWDED = ((0.3, 0.9), (0.2, 1.0))
# share of the radius of a window beyond which it shows the sky, and pixels; logarithm of the change
# of a radius by the level there
OUTSIDE, MIN_OUTSIDE, MAX_CHANGE = 0.75, 100, 0.3
LEVEL_ERROR = 0.015  # of the local sky, in units of the noise of a pixel
STEP = 0.15  # of the radius, over which the slope of the growth curve is taken


def measure_sizes(images, sources, x, y):
    """
    petroR90 in the middle band, and which of them are uncertain.

    Rings of pixels that are a source's own stand for those of neighbours; light counts to a
    distance that the source's segment sets; the local background is subtracted.

    Parameters
    ----------
    images : `~galvae_affiliated.images.FieldImages`
    sources : `~galvae_affiliated.sources.SourceMap`
    x, y : (N,) float arrays
        In pixels, on the image.

    Returns
    -------
    r90 : (N,) float array
        In pixels, NaN where there is no light.
    is_uncertain : (N,) bool array
        By noise, by neighbours, or since the profile does not fall within what was found.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import open_field
    >>> from galvae_affiliated.sources import map_sources, measure_sizes
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> field = open_field(images, unit='nmgy', pixel_scale=0.262)
    >>> r90, is_uncertain = measure_sizes(field, map_sources(field), np.array([70.0]),
    ...                                   np.array([90.0]))
    >>> bool(13 < r90[0] < 17), is_uncertain.tolist()
    (True, [False])
    """
    place = sources.of_positions(x, y)
    reach = np.append(sources.reach, NO_SEGMENT)[place]
    limit = np.maximum(REACH_FACTOR * reach, reach + REACH_MORE)
    r90, is_uncertain = np.full(len(x), np.nan), np.zeros(len(x), dtype=bool)
    crowding = np.append(sources.crowding, 0.0)[place]
    order = np.argsort(limit, kind='stable')
    start = 0
    while start < len(order):
        # those of a batch share the size of the largest
        side = 2 * limit[order[start:]] + 5
        pixels = side ** 2 * np.arange(1, len(side) + 1)
        rows = order[start:start + max(1, int(np.searchsorted(pixels, MAX_PIXELS)))]
        r90[rows], is_uncertain[rows] = _sizes(images, sources, x[rows], y[rows], limit[rows],
                                               reach[rows], place[rows] >= 0)
        start += len(rows)
    with np.errstate(invalid='ignore'):
        for share, size in CROWDED:
            is_uncertain |= (crowding > share) & (r90 > size * reach)
    return r90, is_uncertain


def _sizes(images, sources, x, y, limit, reach, is_found):
    """`measure_sizes` of sources that are measured together."""
    ny, nx = images.shape
    half = float(limit.max())
    (left, right), (bottom, top) = window_ranges(x, 2 * half, nx), window_ranges(y, 2 * half, ny)
    n_rings = ring_number(limit)
    sky = sources.sky_at(x, y)
    where, most = (x, y, left, right, bottom, top), int(n_rings.max())
    noise = float(images.noise[1])
    sums, is_known = window_sums(images, *where, most, sources.labels, [1], sky, noise)
    if not is_known.all():
        lost = ~is_known
        where = [values[lost] for values in where]
        sums[:, lost], _ = window_sums(images, *where, most, sources.labels, [0, 2])
    radius, flux, n_known = profiles(*sums, n_rings)
    r90 = from_profiles(radius, flux, n_known)
    other = from_profiles(*profiles(*_without_level(*sums, n_rings), n_rings))
    # what does not fall within the limit is counted as far as it reaches
    is_open = np.isnan(r90)
    filled = np.where(is_open & is_found, _whole_r90(radius, flux, n_known), r90)
    error = _relative_error(radius, flux, filled, noise)
    known = _known_share(sums[0], radius, filled)
    with np.errstate(invalid='ignore'):
        bad = is_open | (error > MAX_ERROR) | (known < MIN_KNOWN)
        bad |= ~(np.abs(np.log(other / filled)) < MAX_CHANGE)
        bad |= filled > LARGEST_FACTOR * reach + LARGEST_MORE
    return filled, bad & np.isfinite(filled)


def _without_level(count, total, n_rings):
    """(2, N, M) sums without the level of the outermost rings: light of others, mostly."""
    ring = np.arange(count.shape[1])
    outside = (ring >= OUTSIDE * n_rings[:, None]) & (ring < n_rings[:, None])
    area = np.where(outside, count, 0).sum(axis=1)
    light = np.where(outside, total, 0).sum(axis=1)
    level = np.where(area >= MIN_OUTSIDE, light / np.maximum(area, 1), 0.0)
    return count, total - level[:, None] * count


def _whole_r90(radius, flux, n_known):
    """(N,) float array: radius of 90 per cent of all light; NaN where there is none."""
    within = np.arange(len(radius)) < n_known[:, None]
    growth = np.maximum.accumulate(np.where(within, flux, -np.inf), axis=1)
    ring = np.minimum((growth < 0.9 * growth[:, -1:]).sum(axis=1), len(radius) - 1)
    return np.where(growth[:, -1] > 0, radius[ring], np.nan)


def _flux_at(flux, r):
    """(N,) flux inside one radius of each, linear between the rings."""
    place = np.clip(r / BIN - 1, 0, flux.shape[1] - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, flux.shape[1] - 1)
    rows = np.arange(len(flux))
    return flux[rows, low] + (flux[rows, high] - flux[rows, low]) * (place - low)


def _relative_error(radius, flux, r90, noise):
    """
    (N,) float array: of the radius, from the noise of the pixels and of the sky.

    The error of the total flux over the slope of the growth curve at the radius.
    """
    r = np.nan_to_num(r90, nan=1.0)
    area = np.pi * (1.6 * r) ** 2  # of the Petrosian flux, about
    error = noise * np.hypot(np.sqrt(area), LEVEL_ERROR * area)
    inner, outer = np.maximum(r * (1 - STEP), BIN), r * (1 + STEP)
    slope = (_flux_at(flux, outer) - _flux_at(flux, inner)) / (outer - inner)
    return error / np.maximum(slope * r, 1e-30)


def _known_share(count, radius, r90):
    """(N,) float array: share of the circle of a radius whose pixels are known."""
    inside = radius <= np.maximum(np.nan_to_num(r90, nan=1.0), 1.0)[:, None]
    area = np.pi * np.diff(radius ** 2, prepend=0.0)
    return np.where(inside, count, 0).sum(axis=1) / np.where(inside, area, 0).sum(axis=1)
