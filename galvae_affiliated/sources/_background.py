# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The level around the sources of an image, which varies over a field, and the noise."""

import numpy as np

BOX, COARSE_BOX = 64, 128  # pixels; a galaxy that is larger than a box is masked first
LARGE_SMOOTHING, LARGE_LIGHT = 4, 0.4  # pixels; units of the noise: light that is masked
GROWTH = 6  # pixels that a mask grows by


def local_background(image):
    """
    Background and noise, from boxes in which sources are masked (SEP's, as SExtractor's).

    Parameters
    ----------
    image : (ny, nx) float32 array
        NaN where missing.

    Returns
    -------
    background : (ny, nx) float32 array
    noise : float
        Zero where there is none.
    """
    from scipy import ndimage

    missing = ~np.isfinite(image)
    if missing.all():
        return np.zeros(image.shape, dtype=np.float32), 0.0
    filled = np.ascontiguousarray(np.where(missing, 0.0, image), dtype=np.float32)
    coarse = _measured(filled, missing, COARSE_BOX)
    noise = float(coarse.globalrms)
    if not noise > 0:
        return coarse.back(), 0.0
    # what is broad and brighter than the noise is a galaxy, or the halo of a star: no background
    light = np.where(missing, 0.0, filled - coarse.back())
    smooth = ndimage.uniform_filter(light, 2 * LARGE_SMOOTHING + 1)
    masked = ndimage.maximum_filter(smooth > LARGE_LIGHT * noise, 2 * GROWTH + 1) | missing
    if masked.all():
        return coarse.back(), noise
    fine = _measured(filled, masked, BOX)
    return fine.back(), float(fine.globalrms) or noise


def level_between(image, sources):
    """
    (ny, nx) float32 array: the level of an image between its sources; zero if it is not known.

    Parameters
    ----------
    image : (ny, nx) float32 array
        NaN where missing.
    sources : (ny, nx) bool array
    """
    mask = ~np.isfinite(image) | sources
    if mask.all():
        return np.zeros(image.shape, dtype=np.float32)
    return _measured(np.where(mask, np.float32(0.0), image), mask, BOX).back()


def _measured(image, mask, box):
    from sep import Background

    width, height = (min(box, length) for length in image.shape[::-1])
    return Background(image, mask=mask, bw=width, bh=height)
