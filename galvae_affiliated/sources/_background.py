# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The level around the sources of an image, which varies over a field, and the noise."""

import numpy as np

BOX, COARSE_BOX = 64, 128  # pixels; a galaxy that is larger than a box is masked first
BLOCK = 4  # pixels a side, over which light is averaged to see what is broad
LARGE_LIGHT = 0.4  # units of the noise of a pixel: mean of 3 x 3 blocks above which it is masked
GROWTH = 2  # blocks that a mask grows by


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
    missing = ~np.isfinite(image)
    if missing.all():
        return np.zeros(image.shape, dtype=np.float32), 0.0
    filled = np.ascontiguousarray(np.where(missing, np.float32(0.0), image), dtype=np.float32)
    # what is broad and brighter than the noise is a galaxy, or the halo of a star: no background
    masked = _broad_light(filled, missing) | missing
    if masked.all():
        masked = missing
    fine = _measured(filled, masked, BOX)
    return fine.back(), float(fine.globalrms)


def _broad_light(image, missing):
    """(ny, nx) bool array: pixels of broad light, seen in blocks, and a margin around it."""
    from scipy import ndimage

    blocks = block_means(image, BLOCK)
    unknown = block_means(missing.astype(np.float32), BLOCK) > 0
    if unknown.all():
        return np.zeros(image.shape, dtype=bool)
    coarse = _measured(blocks, unknown, COARSE_BOX // BLOCK)
    light = np.where(unknown, np.float32(0.0), blocks - coarse.back())
    broad = ndimage.uniform_filter(light, 3) > LARGE_LIGHT * BLOCK * coarse.globalrms
    broad = ndimage.binary_dilation(broad, np.ones((3, 3)), iterations=GROWTH)
    return from_blocks(broad, BLOCK, image.shape)


def block_means(image, side):
    """
    Means of square blocks of an image.

    Parameters
    ----------
    image : (ny, nx) float32 array
    side : int
        Of a block, in pixels.

    Returns
    -------
    means : (ceil(ny / side), ceil(nx / side)) float32 array
        What is beyond the image repeats its border.
    """
    short = [-length % side for length in image.shape]
    if any(short):
        image = np.pad(image, [(0, n) for n in short], mode='edge')
    # first whole rows are added, which are contiguous
    total = image[::side].copy()
    for i in range(1, side):
        total += image[i::side]
    return total.reshape(len(total), -1, side).sum(axis=2) / np.float32(side * side)


def from_blocks(values, side, shape):
    """(ny, nx) array: the value of its block for each pixel."""
    return values.repeat(side, axis=0)[:shape[0]].repeat(side, axis=1)[:, :shape[1]]


def level_between(image, sources):
    """
    The level of an image between its sources, from boxes.

    Parameters
    ----------
    image : (ny, nx) float32 array
        NaN where missing.
    sources : (ny, nx) bool array

    Returns
    -------
    level : (ny, nx) float32 array
        Zero if it is not known.
    """
    mask = ~np.isfinite(image) | sources
    if mask.all():
        return np.zeros(image.shape, dtype=np.float32)
    return _measured(np.where(mask, np.float32(0.0), image), mask, BOX).back()


def _measured(image, mask, box):
    from sep import Background

    width, height = (min(box, length) for length in image.shape[::-1])
    return Background(image, mask=mask, bw=width, bh=height)
