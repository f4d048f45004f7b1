# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Sources on the slope of a brighter one, without a peak of their own.

The light of a galaxy turned by half a circle around its centre is its own again, that of a
companion is not (the idea of the deblender of SDSS, Lupton 2001). A galaxy that is not symmetric
has many such places, a companion is one: only an excess that stands out of all others counts.
"""

from dataclasses import dataclass

import numpy as np

MIN_AREA, MIN_EXCESS = 60, 12  # pixels of a source that is looked at, and of a companion
EXCESS_SHARE = 0.3  # of a pixel's light, that has no counterpart
EXCESS_NOISE = 3.5  # the same in units of the noise of the smoothed image
SIGNIFICANCE = 20.0  # of the light of a companion
MIN_SHARE, MEAN_SHARE = 0.01, 0.6  # of it: of its host's light, and of the light of its own pixels
DOMINANCE = 1.4  # of it over all other light without a counterpart
MAX_OFFSET, MAX_RATIO = 2.6, 4.5  # pixels from its peak to its centroid; ratio of its axes
PEAK = 2.3  # pixels around the brightest one, whose centroid is the centre
CORE = 3.5  # pixels around the centre, where a shift of half a pixel leaves an excess
OTHER_CENTRE = 0.6  # of the excess, that another centre than the peak has to leave


@dataclass
class Companion:
    """
    A source that lies on the slope of another one.

    Attributes
    ----------
    host : int
        The source on whose slope it lies, from zero.
    pixels : (K,) int array
        Places in the image as one row.
    excess : (K,) float32 array
        Light of the smoothed image in each that has no counterpart.
    """

    host: int
    pixels: np.ndarray
    excess: np.ndarray


def find_companions(pixels, light, smooth, noise, smooth_noise):
    """
    What lies on the slopes of sources.

    Parameters
    ----------
    pixels : `~galvae_affiliated.sources._segments.SegmentPixels`
    light, smooth : (ny, nx) float32 arrays
        Above the background, and the same smoothed.
    noise, smooth_noise : float
        Of a pixel of each.

    Returns
    -------
    companions : list of `Companion`
    """
    if not pixels.n:
        return []
    own = np.clip(pixels.of(light), 0, None)
    flux = pixels.sum(own)
    hosts = (pixels.area >= MIN_AREA) & (flux > SIGNIFICANCE * noise * np.sqrt(pixels.area))
    values = pixels.of(smooth)
    limit = np.maximum(EXCESS_SHARE * values, EXCESS_NOISE * smooth_noise)
    centres = _centres(pixels, own, values, flux)
    # most sources are symmetric enough around one of their centres
    excess = np.array([_all_excess(pixels, smooth, values, limit, x, y) for x, y in centres])
    worth = excess.min(axis=0) > MIN_SHARE * flux
    companions = []
    for host in np.flatnonzero(hosts & worth):
        found = _beside(pixels, smooth, host, centres[:, :, host], flux[host], noise, smooth_noise)
        companions += [] if found is None else [found]
    return companions


def _centres(pixels, light, smooth, flux):
    """(3, 2, N) float array: x and y of the peak, the centroid and the middle of each source."""
    top = pixels.brightest(smooth)
    peak_x, peak_y = pixels.columns[top], pixels.rows[top]
    near = np.flatnonzero(pixels.distances(peak_x, peak_y) < PEAK)
    source, weight = pixels.source[near], np.clip(smooth[near], 0, None)
    total = np.maximum(np.bincount(source, weight, pixels.n), 1e-12)
    flux = np.where(flux > 0, flux, np.inf)
    centres = [[np.bincount(source, weight * along[near], pixels.n) / total
                for along in (pixels.columns, pixels.rows)],
               (pixels.sum(light * pixels.columns) / flux, pixels.sum(light * pixels.rows) / flux),
               (pixels.sum(pixels.columns) / pixels.area, pixels.sum(pixels.rows) / pixels.area)]
    return np.array(centres, dtype=float)


def _all_excess(pixels, smooth, values, limit, x, y):
    """(N,) float array: light of each source that has no counterpart across a centre."""
    ny, nx = smooth.shape
    rows = pixels.each(np.rint(2 * y).astype(int)) - pixels.rows
    columns = pixels.each(np.rint(2 * x).astype(int)) - pixels.columns
    known = (0 <= rows) & (rows < ny) & (0 <= columns) & (columns < nx)
    index = np.where(known, rows * nx + columns, pixels.index)
    excess = values - np.maximum(smooth.ravel()[index], 0)
    return pixels.sum(np.where(excess > limit, excess, np.float32(0.0)))


def _beside(pixels, smooth, host, centres, flux, noise, smooth_noise):
    """The `Companion` of one source, or None."""
    from scipy import ndimage

    part = slice(pixels.start[host], pixels.start[host] + pixels.area[host])
    rows, columns = pixels.rows[part], pixels.columns[part]
    y0, x0 = rows.min(), columns.min()
    own = np.zeros((rows.max() - y0 + 1, columns.max() - x0 + 1), dtype=bool)
    own[rows - y0, columns - x0] = True
    here = smooth[y0:y0 + own.shape[0], x0:x0 + own.shape[1]]
    limit = np.maximum(EXCESS_SHARE * here, EXCESS_NOISE * smooth_noise)
    excess, total = None, np.inf
    for number, centre in enumerate(centres):
        turned = _turned(smooth, own.shape, x0, y0, *centre)
        # a centre that is half a pixel off leaves no excess on a steep slope
        left = np.where(own, here - ndimage.maximum_filter(turned, 3), 0.0)
        left[np.hypot(*np.ogrid[y0 - centre[1]:y0 + len(own) - centre[1] - 0.5,
                                x0 - centre[0]:x0 + own.shape[1] - centre[0] - 0.5]) < CORE] = 0.0
        this = np.clip(left, 0, None).sum()
        if this < total * (OTHER_CENTRE if number else 1.0):
            excess, total, counterpart = left, this, turned
    parts, n = ndimage.label(excess > limit)
    if not n:
        return None
    sums = np.bincount(parts.ravel(), excess.ravel(), n + 1)
    sums[0] = 0.0
    best = int(sums.argmax())
    if sums[best] < DOMINANCE * (total - sums[best]):
        return None
    inside = parts == best
    light = np.where(inside, here - counterpart, 0.0)
    area = int(inside.sum())
    is_real = (area >= MIN_EXCESS and light.sum() > SIGNIFICANCE * noise * np.sqrt(2 * area)
               and light.sum() > MIN_SHARE * flux
               and light.sum() > MEAN_SHARE * here[inside].sum() and _is_compact(light, excess))
    if not is_real:
        return None
    at = np.nonzero(inside)
    return Companion(int(host), (at[0] + y0) * smooth.shape[1] + at[1] + x0, light[at])


def _turned(smooth, shape, x0, y0, x, y):
    """Part of an image, turned by half a circle around a point; infinite where it is unknown."""
    ny, nx = smooth.shape
    turned = np.full(shape, np.inf, dtype=np.float32)
    rows = int(np.rint(2 * y)) - y0 - np.arange(shape[0])
    columns = int(np.rint(2 * x)) - x0 - np.arange(shape[1])
    here, there = (0 <= rows) & (rows < ny), (0 <= columns) & (columns < nx)
    turned[np.ix_(here, there)] = np.maximum(smooth[np.ix_(rows[here], columns[there])], 0)
    return turned


def _is_compact(light, excess):
    """Whether light lies around its own peak, and is no arc."""
    from scipy import ndimage

    light = np.clip(light, 0, None)
    peak = np.argmax(np.where(light > 0, ndimage.uniform_filter(excess, 3), -np.inf))
    peak_y, peak_x = np.unravel_index(peak, light.shape)
    y, x = np.indices(light.shape, sparse=True)
    total = light.sum()
    mean_x, mean_y = (light * x).sum() / total, (light * y).sum() / total
    xx, yy, xy = ((light * product).sum() / total for product in
                  ((x - mean_x) ** 2, (y - mean_y) ** 2, (x - mean_x) * (y - mean_y)))
    half, spread = 0.5 * (xx + yy) + 1 / 12, np.hypot(0.5 * (xx - yy), xy)
    ratio = np.sqrt((half + spread) / max(half - spread, 1 / 12))
    return np.hypot(mean_x - peak_x, mean_y - peak_y) < MAX_OFFSET and ratio < MAX_RATIO
