# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images of FITS files of which only what is asked for is read."""

import mmap
import os
import tempfile
from math import prod

import numpy as np

from galvae_affiliated.images._masks import ALL_PLANES, has_planes

STRIP = 2 ** 22  # pixels that are decompressed at a time, unless a row of tiles has more


class LazyImage:
    """
    What an image needs of an array: shape, type and slices.

    Subclasses read a part. What is pickled is an array of all pixels.

    Parameters
    ----------
    shape : tuple of int
    dtype : `numpy.dtype`
    """

    def __init__(self, shape, dtype):
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.ndim = len(self.shape)
        self.size = prod(self.shape)

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        return np.array(self[(slice(None),) * self.ndim], dtype=dtype)

    def __reduce__(self):
        return np.asarray, (np.asarray(self),)

    def release(self):
        """Give back memory that can be read again from the file."""


class UnreadImage(LazyImage):
    """
    An image of which its header alone is known.

    Parameters
    ----------
    shape, dtype : object
        See `LazyImage`.
    """

    def __getitem__(self, part):
        if not isinstance(part, int):
            raise TypeError('the pixels of this image were left alone')
        return UnreadImage(self.shape[1:], self.dtype)

    def resized(self, n_planes):
        """The same with another number of planes."""
        return UnreadImage((n_planes, *self.shape[1:]), self.dtype)


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


def decompress(hdu):
    """
    The pixels of a tile-compressed image, decompressed strip by strip into a temporary file.

    Windows around all sources of a catalogue touch most tiles, and a tile costs less in a strip
    than on its own: to decompress on demand was not faster for 500 windows of 6000 x 6000 pixels.

    Parameters
    ----------
    hdu : `~astropy.io.fits.CompImageHDU`

    Returns
    -------
    image : `MappedImage`
        The file goes when the image does.
    """
    # the type of scaled integers shows with the first of them
    dtype = hdu.section[(slice(0, 1),) * len(hdu.shape)].dtype.newbyteorder('=')
    n_bytes = prod(hdu.shape) * dtype.itemsize
    with tempfile.TemporaryFile(prefix='galvae-') as file:
        if hasattr(os, 'posix_fallocate'):
            # a disk that is full is an error here; in a map it would end the process
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        else:
            file.truncate(n_bytes)
        values = np.ndarray(hdu.shape, dtype, mmap.mmap(file.fileno(), n_bytes))
    image = MappedImage(values)
    n_rows, tile = hdu.shape[-2], hdu.tile_shape[-2]
    step = max(tile, STRIP * n_rows // values.size // tile * tile)
    for start in range(0, n_rows, step):
        part = (..., slice(start, start + step), slice(None))
        values[part] = hdu.section[part]
        image.release()
    return image


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
        self.raw = raw
        self.header = header

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
    Which pixels of an image are undefined by its masks or uncertainties.

    Parameters
    ----------
    masks, uncertainties : list of array or `LazyImage`
        Of one shape; at least one in all.
    planes : list of int, optional
        Bits of each mask that count; None takes all values but zero.
    """

    def __init__(self, masks, uncertainties, planes=None):
        super().__init__([*masks, *uncertainties][0].shape, bool)
        self.masks = masks
        self.uncertainties = uncertainties
        self.planes = [ALL_PLANES] * len(masks) if planes is None else planes

    def __getitem__(self, part):
        masks = [image[part] for image in self.masks]
        uncertainties = [image[part] for image in self.uncertainties]
        if isinstance(part, int):
            return MissingPixels(masks, uncertainties, self.planes)
        undefined = [has_planes(mask, bits) for mask, bits in zip(masks, self.planes)]
        undefined += [is_undefined(v) for v in uncertainties]
        return np.logical_or.reduce(undefined)


def is_undefined(uncertainty):
    """Bool array: pixels of infinite, zero or undefined uncertainty."""
    values = np.asarray(uncertainty)
    return ~np.isfinite(values) | (values <= 0)
