# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images of FITS files of which only what is asked for is read."""

import mmap
import tempfile
import threading
from math import prod

import numpy as np

__all__ = ['LazyImage', 'MappedImage', 'MissingPixels', 'ScaledImage', 'TileStore', 'TiledImage']

IN_MEMORY = 2 ** 31  # bytes; the pixels of a larger image are kept in a temporary file
MAX_BLOCK = 2 ** 22  # pixels that are decompressed in one go, unless one tile has more


class LazyImage:
    """
    What an image needs of an array: shape, type and slices.

    Subclasses say how a part is read. What is pickled is an array of all pixels.

    Parameters
    ----------
    shape : tuple of int
    dtype : `numpy.dtype`

    Attributes
    ----------
    tile_shape : tuple of int or None
        What is read at once, if that is more than what is asked for.
    """

    tile_shape = None

    def __init__(self, shape, dtype):
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self.ndim, self.size = len(self.shape), prod(self.shape)

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        return np.array(self[(slice(None),) * self.ndim], dtype=dtype)

    def __reduce__(self):
        return np.asarray, (np.asarray(self),)

    def release(self):
        """Give back memory that can be read again from the file."""


class MappedImage(LazyImage):
    """
    A memory-mapped image.

    Parameters
    ----------
    values : array
        Of which nobody else changes anything.
    """

    def __init__(self, values):
        super().__init__(values.shape, values.dtype)
        self.values = values

    def __getitem__(self, part):
        return MappedImage(self.values[part]) if isinstance(part, int) else self.values[part]

    def release(self):
        base = self.values
        while isinstance(base, np.ndarray):
            base = base.base
        if isinstance(base, mmap.mmap) and hasattr(mmap, 'MADV_DONTNEED'):
            base.madvise(mmap.MADV_DONTNEED)


class TiledImage(LazyImage):
    """
    A tile-compressed image, or a plane of one.

    Parameters
    ----------
    store : `TileStore`
    plane : tuple of int, optional
        Which plane of a cube.
    """

    def __init__(self, store, plane=()):
        super().__init__(store.shape[len(plane):], store.pixels.dtype)
        self.store, self.plane, self.tile_shape = store, plane, store.tile_shape[len(plane):]

    def __getitem__(self, part):
        if isinstance(part, int):
            return TiledImage(self.store, (*self.plane, range(len(self))[part]))
        return self.store.read((*self.plane, *part))


class TileStore:
    """
    The pixels of a tile-compressed image; a tile is decompressed when it is first asked for, and kept.

    Parameters
    ----------
    file : object
        Closes the file when it is no longer referred to.
    hdu : `~astropy.io.fits.CompImageHDU`
    origin : str
        What to call the file in a message.

    Attributes
    ----------
    pixels : array of the image's shape
        What was not asked for is neither known nor in memory.
    is_known : bool array
        Which tiles were.
    """

    def __init__(self, file, hdu, origin):
        self.file, self.section, self.origin = file, hdu.section, origin
        self.shape, self.tile_shape = tuple(hdu.shape), tuple(hdu.tile_shape)
        self.is_known = np.zeros([-(-n // side) for n, side in zip(self.shape, self.tile_shape)], dtype=bool)
        self.lock = threading.Lock()
        # the type of scaled integers shows with the first of them
        first = self.block([0] * len(self.shape), [1] * len(self.shape))
        values = self.decompressed(first)
        self.pixels = untouched_memory(self.shape, values.dtype.newbyteorder('='))
        self.pixels[first], self.is_known.flat[0] = values, True

    def read(self, part):
        """Pixels of a part: a slice, or the number of a plane, for each axis."""
        start, stop = [], []
        for index, length, side in zip(part, self.shape, self.tile_shape):
            first, last, _ = (index, index + 1, 1) if isinstance(index, int) else index.indices(length)
            start.append(first // side)
            stop.append(-(-last // side) if last > first else first // side)
        with self.lock:
            self.load(np.array(start), np.array(stop))
        return self.pixels[part]

    def load(self, start, stop):
        """Decompress what is not known of the tiles from ``start`` up to ``stop``."""
        missing = np.argwhere(~self.is_known[tuple(map(slice, start, stop))])
        if not len(missing):
            return
        start, stop = start + missing.min(axis=0), start + missing.max(axis=0) + 1
        n_tiles = stop - start
        if len(missing) == n_tiles.prod() and (len(missing) == 1 or len(missing) * prod(self.tile_shape) <= MAX_BLOCK):
            block = self.block(start, stop)
            self.pixels[block] = self.decompressed(block)
            self.is_known[tuple(map(slice, start, stop))] = True
            return
        is_cut = np.arange(len(start)) == np.argmax(n_tiles)
        middle = start + n_tiles // 2
        self.load(start, np.where(is_cut, middle, stop))
        self.load(np.where(is_cut, middle, start), stop)

    def block(self, start, stop):
        """Slices of the pixels of the tiles from ``start`` up to ``stop``."""
        return tuple(slice(int(first) * side, min(int(last) * side, length))
                     for first, last, side, length in zip(start, stop, self.tile_shape, self.shape))

    def decompressed(self, block):
        try:
            return self.section[block]
        except Exception as error:  # astropy and its decoders raise many kinds on a damaged file
            raise ValueError(f'{self.origin}: the image cannot be read, the file may be damaged ({error})') from None


def untouched_memory(shape, dtype):
    """An array whose pages take memory, or from `IN_MEMORY` on disk space, when they are first written to."""
    n_bytes = prod(shape) * dtype.itemsize
    if n_bytes > IN_MEMORY:
        with tempfile.TemporaryFile(prefix='galvae-') as file:
            file.truncate(n_bytes)
            return np.ndarray(shape, dtype, mmap.mmap(file.fileno(), n_bytes))
    # not `numpy.empty`, which asks for pages so large that a tile's rows would touch most of the image
    private = {'flags': mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, 'MAP_PRIVATE') else {}
    return np.ndarray(shape, dtype, mmap.mmap(-1, n_bytes, **private))


class ScaledImage(LazyImage):
    """
    An uncompressed image whose header scales the numbers, part by part.

    Parameters
    ----------
    raw : `MappedImage`
        The numbers as they are in the file.
    header : `~astropy.io.fits.Header`
        With ``BSCALE``, ``BZERO`` or ``BLANK``.
    dtype : `numpy.dtype`
        Of the scaled numbers.
    """

    def __init__(self, raw, header, dtype):
        super().__init__(raw.shape, dtype)
        self.raw, self.header = raw, header

    def __getitem__(self, part):
        raw = self.raw[part]
        if isinstance(part, int):
            return ScaledImage(raw, self.header, self.dtype)
        values = raw * np.float64(self.header.get('BSCALE', 1)) + self.header.get('BZERO', 0)
        if self.dtype.kind == 'f' and raw.dtype.kind != 'f' and 'BLANK' in self.header:
            values[raw == self.header['BLANK']] = np.nan
        return values.astype(self.dtype)

    def release(self):
        self.raw.release()


class MissingPixels(LazyImage):
    """
    Which pixels of an image masks or uncertainties say hold nothing.

    Parameters
    ----------
    masks, uncertainties : list of array or `LazyImage`
        Of one shape; at least one in all.
    """

    def __init__(self, masks, uncertainties):
        images = [*masks, *uncertainties]
        super().__init__(images[0].shape, bool)
        self.masks, self.uncertainties = masks, uncertainties
        self.tile_shape = next((image.tile_shape for image in images if getattr(image, 'tile_shape', None)), None)

    def __getitem__(self, part):
        masks, uncertainties = ([image[part] for image in images] for images in (self.masks, self.uncertainties))
        if isinstance(part, int):
            return MissingPixels(masks, uncertainties)
        return np.logical_or.reduce([mask != 0 for mask in masks] + [is_undefined(values) for values in uncertainties])


def is_undefined(uncertainty):
    """Bool array: pixels of infinite, zero or undefined uncertainty."""
    values = np.asarray(uncertainty)
    return ~np.isfinite(values) | (values <= 0)
