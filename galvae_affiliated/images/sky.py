# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sky level and noise of an image, from a sample of its pixels that does not grow with it."""

import numpy as np
from astropy.stats import sigma_clipped_stats

from galvae_affiliated.images._lazy import LazyImage

__all__ = ['sample_pixels', 'sample_regions', 'sky_and_noise']

MAX_SAMPLES = 1_000_000  # pixels
STRIP = 32  # rows of a sample that are read at a time
MAX_TILES = 64  # of a tile-compressed image, each of which has to be decompressed as a whole


def sample_regions(plane):
    """
    Where to sample a plane.

    Parameters
    ----------
    plane : `~galvae_affiliated.images.planes.Plane`

    Returns
    -------
    parts : list of tuple of 2 slice
        Strips of a regular sample; or, of an image that is decompressed tile
        by tile, regular samples of some tiles that are spread over it.
    """
    shape = plane.data.shape
    tile = getattr(plane.data, 'tile_shape', None) or getattr(plane.bad, 'tile_shape', None)
    if tile is None:
        stride = sample_stride(plane.data.size)
        return [(slice(y, y + STRIP * stride, stride), slice(None, None, stride))
                for y in range(0, shape[0], STRIP * stride)]
    n_tiles = [-(-length // side) for length, side in zip(shape, tile)]
    # tiles are often whole rows: what one axis does not use of the number goes to the other
    n_x = min(n_tiles[1], int(np.sqrt(MAX_TILES)))
    n_y = min(n_tiles[0], MAX_TILES // n_x)
    n_x = min(n_tiles[1], MAX_TILES // n_y)
    stride = sample_stride(n_y * n_x * min(tile[0], shape[0]) * min(tile[1], shape[1]))
    rows, columns = (np.linspace(0, n - 1, k).astype(int) * side for n, k, side in zip(n_tiles, (n_y, n_x), tile))
    return [(slice(y, y + tile[0], stride), slice(x, x + tile[1], stride)) for y in rows for x in columns]


def sample_stride(size):
    """Step along both axes between the pixels of a sample of an image of so many pixels."""
    return max(1, int(np.sqrt(size / MAX_SAMPLES)))


def sample_pixels(data, parts):
    """(M,) array: the pixels of some parts of an image."""
    values = []
    for part in parts:
        values.append(np.array(data[part]).ravel())
        if isinstance(data, LazyImage):
            data.release()
    return np.concatenate(values)


def sky_and_noise(plane):
    """Clipped median and standard deviation of a plane's pixels, from a sample of them."""
    parts = sample_regions(plane)
    values = sample_pixels(plane.data, parts).astype(np.float64)
    good = np.isfinite(values)
    if plane.bad is not None:
        good &= ~sample_pixels(plane.bad, parts)
    if np.issubdtype(plane.data.dtype, np.floating):
        good &= values != 0
    if not good.any():
        return 0.0, 0.0
    _, median, deviation = sigma_clipped_stats(values[good], sigma=3.0, maxiters=10)
    return float(median), float(deviation)
