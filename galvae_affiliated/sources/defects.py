# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Light that is no galaxy's: cosmic rays, hot pixels, trails, saturated stars and their spikes."""

import numpy as np

from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.sources._background import block_means, from_blocks

__all__ = ['flag_defects', 'sharp_pixels', 'trail_pixels']

MIN_SHARP = 6.0  # units of the noise above which a pixel can be a cosmic ray
SHARPNESS = 0.7  # share of a pixel's light above its neighbours: a seeing of 2 pixels has 0.63
OTHER_BANDS, OTHER_SHARE = 3.0, 0.15  # how sharp, in units of the noise and as a share, others are
OTHER_LIGHT = 8.0  # a source that is so significant in a second band is seen in it
SHARP_PEAK = 0.5  # the same for the brightest pixel of a source that is seen in one band alone
STRAIGHT = 2.2  # ratio of the axes above which light of one band alone is a trail
BLOCK = 4  # pixels a side, over which bands are averaged to see trails
TRAIL_LIGHT, TRAIL_OTHERS = 5.0, 1.5  # units of the noise after it, in one band and in the others
MIN_TRAIL, TRAIL_WIDTH = 20, 4.0  # blocks
MIN_PLATEAU = 40.0  # units of the noise: below, noise makes plateaus
PLATEAU, PLATEAU_PIXELS = 0.33, 6  # share of the pixels above half the peak that are at the top
SPIKE_REACH = 10.0  # lengths of a saturated star's side to which its spikes reach
SPIKE_RATIO, SPIKE_OFFSET = 2.2, 4.0  # of the axes; pixels by which its line misses the star


def sharp_pixels(scaled):
    """
    Pixels of one band that stand out of their neighbours as no source can, and in no other band.

    What van Dokkum (2001, PASP 113, 1420) finds by a Laplacian; here bands are compared in
    place of a model of the noise.

    Parameters
    ----------
    scaled : (C, ny, nx) array
        Bands in units of their noise.

    Returns
    -------
    sharp : (C, ny, nx) bool array
    """
    sharp = np.zeros(scaled.shape, dtype=bool)
    for i, band in enumerate(scaled):
        y, x = np.nonzero(band > MIN_SHARP)
        excess, own = _above_neighbours(band, y, x), band[y, x]
        kept = excess > np.maximum(MIN_SHARP - 1.0, SHARPNESS * own)
        y, x, own = y[kept], x[kept], own[kept]
        others = [_above_neighbours(other, y, x) for j, other in enumerate(scaled) if j != i]
        most = np.max(np.nan_to_num(others), axis=0, initial=0.0)
        alone = most < np.maximum(OTHER_BANDS, OTHER_SHARE * own)
        sharp[i, y[alone], x[alone]] = True
    return sharp


def _above_neighbours(band, y, x):
    """(M,) array: pixels above the median of the eight around each."""
    ny, nx = band.shape
    around = [band[np.clip(y + dy, 0, ny - 1), np.clip(x + dx, 0, nx - 1)]
              for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    # missing neighbours count as dark, which keeps the median fast
    return band[y, x] - np.median(np.nan_to_num(around), axis=0)


def trail_pixels(scaled):
    """
    Pixels of long straight light in one band: satellites, aeroplanes, long tracks.

    Parameters
    ----------
    scaled : (C, ny, nx) array
        Bands in units of their noise.

    Returns
    -------
    trails : (C, ny, nx) bool array
    """
    from scipy import ndimage

    trails = np.zeros(scaled.shape, dtype=bool)
    # the sum of a block's pixels over the root of their number has the noise of one
    blocks = np.nan_to_num([block_means(band, BLOCK) * BLOCK for band in scaled])
    for i, band in enumerate(blocks):
        others = np.delete(blocks, i, axis=0).max(axis=0, initial=-np.inf)
        alone = (band > TRAIL_LIGHT) & (others < np.maximum(TRAIL_OTHERS, OTHER_SHARE * band))
        parts, n = ndimage.label(alone, np.ones((3, 3)))
        area = np.bincount(parts.ravel(), minlength=n + 1)[1:]
        found = np.zeros(band.shape, dtype=bool)
        for k, (rows, columns) in enumerate(ndimage.find_objects(parts)):
            length = np.hypot(rows.stop - rows.start, columns.stop - columns.start)
            if length > MIN_TRAIL and area[k] < TRAIL_WIDTH * length:
                found[rows, columns] |= parts[rows, columns] == k + 1
        if found.any():
            found = ndimage.maximum_filter(found, 3)
            trails[i] = from_blocks(found, BLOCK, scaled.shape[1:])
    return trails


def flag_defects(scaled, sharp, pixels, x, y):
    """
    Which sources of a field are no galaxies by their pixels.

    Parameters
    ----------
    scaled : (C, ny, nx) array
        Bands in units of their noise, NaN where missing.
    sharp : (C, ny, nx) bool array
        See `sharp_pixels`.
    pixels : `~galvae_affiliated.sources._segments.SegmentPixels`
        Of the N sources.
    x, y : (N,) float arrays
        Centroids of the sources.

    Returns
    -------
    flags : (N,) int32 array
        ARTIFACT, or zero.
    ratio : (N,) float array
        Of the axes of each source.
    """
    if not pixels.n:
        return np.zeros(0, dtype=np.int32), np.zeros(0)
    values, is_sharp = np.nan_to_num(pixels.of(scaled)), pixels.of(sharp)
    is_defect = _mostly_sharp(values, is_sharp, pixels)
    # a cosmic ray before a galaxy makes it no artefact
    values[is_sharp] = 0.0
    shape = _shapes(values, pixels, x, y)
    is_saturated, area = _saturated(values, pixels)
    significance = pixels.sum(values) / np.sqrt(pixels.area)
    # what is left beside it is seen in two bands
    is_defect &= np.sort(significance, axis=0)[-2] < OTHER_LIGHT
    is_defect |= _of_one_band(scaled, values, pixels, significance, shape[0])
    is_defect |= is_saturated | _spikes(x, y, shape, is_saturated, area)
    return np.where(is_defect, GalvaeFlags.ARTIFACT, 0).astype(np.int32), shape[0]


def _shapes(values, pixels, x, y):
    """Ratio of axes of each source, and the angle of the longer one, from second moments."""
    weight = np.clip(values.sum(axis=0), 0, None)
    dx, dy = pixels.columns - pixels.each(x), pixels.rows - pixels.each(y)
    total = np.maximum(pixels.sum(weight), 1e-12)
    xx, yy, xy = (pixels.sum(weight * product) / total
                  for product in (dx * dx, dy * dy, dx * dy))
    # a pixel has a width of its own, so that lines of one pixel have a finite ratio
    half, spread = 0.5 * (xx + yy) + 1 / 12, np.hypot(0.5 * (xx - yy), xy)
    ratio = np.sqrt((half + spread) / np.maximum(half - spread, 1 / 12))
    return ratio, 0.5 * np.arctan2(2 * xy, xx - yy)


def _of_one_band(scaled, values, pixels, significance, ratio):
    """(N,) bool array: light of one band alone that is sharp, or straight."""
    best = significance.argmax(axis=0)
    ordered = np.sort(significance, axis=0)
    alone = ordered[-2] < np.clip(OTHER_SHARE * ordered[-1], OTHER_BANDS, OTHER_LIGHT)
    alone &= ordered[-1] > MIN_SHARP
    is_sharp = np.zeros(pixels.n, dtype=bool)
    for band in range(len(scaled)):
        some = np.flatnonzero(alone & (best == band))
        if not len(some):
            continue
        top = pixels.brightest(values[band])[some]
        at = pixels.rows[top], pixels.columns[top]
        is_sharp[some] = _above_neighbours(scaled[band], *at) > SHARP_PEAK * scaled[band][at]
    return alone & (is_sharp | (ratio > STRAIGHT))


def _mostly_sharp(values, sharp, pixels):
    """(N,) bool array: half of the light of the brightest band is of sharp pixels."""
    light = pixels.sum(np.clip(values, 0, None))
    part = pixels.sum(np.where(sharp, values, np.float32(0.0)))
    best = light.argmax(axis=0), np.arange(pixels.n)
    return part[best] > 0.5 * light[best]


def _saturated(values, pixels):
    """(N,) bool array: the top of the profile is cut off; and the number of bright pixels."""
    is_saturated, area = np.zeros(pixels.n, dtype=bool), np.zeros(pixels.n)
    for band in values:
        peak = pixels.maximum(band)
        level = band / pixels.each(np.where(peak > 0, peak, np.float32(np.inf)))
        top, half = (pixels.sum(level > share) for share in (0.9, 0.5))
        # of a Gaussian, which no galaxy is flatter than, 15 per cent of what is above the half
        is_saturated |= (peak > MIN_PLATEAU) & (top >= PLATEAU_PIXELS) & (top > PLATEAU * half)
        area = np.maximum(area, half)
    return is_saturated, area


def _spikes(x, y, shape, is_saturated, area):
    """(N,) bool array: long light that points to a saturated star nearby."""
    found = np.zeros(len(x), dtype=bool)
    ratio, angle = shape
    for star in np.flatnonzero(is_saturated):
        dx, dy = x - x[star], y - y[star]
        far = np.hypot(dx, dy)
        offset = np.abs(dy * np.cos(angle) - dx * np.sin(angle))
        near = (far > 0) & (far < SPIKE_REACH * np.sqrt(area[star]))
        found |= near & (ratio > SPIKE_RATIO) & (offset < SPIKE_OFFSET)
    return found & ~is_saturated
