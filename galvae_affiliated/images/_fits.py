# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""FITS files: which image is meant, and its pixels without reading more than is asked for."""

import os
import re
import warnings
import weakref
from pathlib import Path

import numpy as np
from astropy.io import fits

from galvae_affiliated.images._lazy import (
    MappedImage,
    MissingPixels,
    ScaledImage,
    TiledImage,
    TileStore,
)

__all__ = ['choose_hdu', 'companion_mask', 'named_extensions', 'opened', 'pixels', 'split_extension']

# extensions that accompany an image
COMPANIONS = {'MASK', 'DQ', 'WHT', 'WEIGHT', 'IVAR', 'INVVAR', 'ERR', 'ERROR', 'VAR', 'VARIANCE', 'SIGMA', 'UNCERT'}
SMALL = 2 ** 20  # pixels; smaller images are read as a whole


def split_extension(path):
    """'file.fits[SCI]' -> 'file.fits', 'SCI'."""
    match = re.fullmatch(r'(.+)\[([^\]]+)\]', path)
    if not match or Path(path).exists():
        return path, None
    extension = match.group(2)
    return match.group(1), int(extension) if extension.isdigit() else extension


def named_extensions(path, bands):
    """Extensions that are named or filtered as the bands are; empty unless every band has one."""
    path, extension = split_extension(os.fspath(path))
    if extension is not None:
        return []
    with opened(path) as hdus:
        found = [next((i for i, hdu in enumerate(hdus) if is_of_band(hdu, band)), None) for band in bands]
    return [] if None in found or len(set(found)) < len(bands) else found


def is_of_band(hdu, band):
    """Whether an HDU is named or filtered as the band is; astropy writes names of extensions in capitals."""
    names = {str(hdu.header.get(key, '')).strip().lower() for key in ('EXTNAME', 'FILTER', 'BAND')}
    return band is not None and band.lower() in names


class opened:
    """An open FITS file; anything that is not one is refused by name, a file that is cut short included."""

    def __init__(self, path, **options):
        self.path, self.options, self.keeper = path, options, None

    def __enter__(self):
        self.hdus = failure = None
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter('always')
                self.hdus = fits.open(self.path, **self.options)
                len(self.hdus)  # reads the headers of all extensions
            failure = next((w.message for w in told if 'truncated' in str(w.message)), None)
        except FileNotFoundError:
            raise FileNotFoundError(f'{self.path}: there is no such file') from None
        except Exception as error:  # astropy raises many kinds on a damaged file
            failure = error
        if failure is not None:
            if self.hdus is not None:
                self.hdus.close()
            raise ValueError(f'{self.path}: this is not a FITS file that can be read ({failure})')
        return self.hdus

    def keep(self):
        """Leave the file open as long as what this returns is referred to."""
        if self.keeper is None:
            self.keeper = FileKeeper(self.hdus)
        return self.keeper

    def __exit__(self, *_):
        if self.keeper is None:
            self.hdus.close()
        self.keeper = None


class FileKeeper:
    """Closes a file when it is no longer referred to."""

    def __init__(self, hdus):
        weakref.finalize(self, hdus.close)


def choose_hdu(hdus, extension, band, path):
    """The HDU that was named, else the one of the band, else the first image."""
    if extension is not None:
        try:
            return hdus[extension]
        except (KeyError, IndexError):
            raise ValueError(f'{path}: there is no extension {extension!r}; '
                             f'there are {[hdu.name or i for i, hdu in enumerate(hdus)]}') from None
    images = [hdu for hdu in hdus if hdu.is_image and hdu.header.get('NAXIS', 0) >= 2
              and hdu.name.upper() not in COMPANIONS]
    if not images:
        raise ValueError(f'{path}: there is no image in this file')
    return next((hdu for hdu in images if is_of_band(hdu, band)), images[0])


def pixels(file, hdu):
    """The image of an HDU: an array, or a `LazyImage` where it is large and the file allows to read parts of it."""
    if not hdu.is_image or np.prod(hdu.shape, dtype=float) <= SMALL or not is_uncompressed(file.path):
        return hdu.data
    if isinstance(hdu, fits.CompImageHDU):
        return TiledImage(TileStore(file.keep(), hdu, file.path))
    if not is_scaled(hdu.header):
        return MappedImage(hdu.data)
    # astropy would read all of it to scale it
    with opened(file.path, do_not_scale_image_data=True) as raw:
        numbers = MappedImage(raw[file.hdus.index(hdu)].data)
    return ScaledImage(numbers, hdu.header.copy(), hdu.section[(slice(0, 1),) * numbers.ndim].dtype)


def is_scaled(header):
    """Whether the numbers in the file are not those of the image."""
    return (header.get('BSCALE', 1), header.get('BZERO', 0)) != (1, 0) or (header['BITPIX'] > 0 and 'BLANK' in header)


def is_uncompressed(path):
    """Whether the file itself is, whatever its images are: a file of gzip and the like has to be read in order."""
    try:
        with open(path, 'rb') as file:
            return file.read(6) == b'SIMPLE'
    except OSError:  # astropy reads more than local files
        return False


def companion_mask(file, shape):
    """Pixels that the extensions MASK and UNCERT, as CCDData writes them, say hold nothing; None if there are none."""
    masks, uncertainties = ([pixels(file, hdu) for hdu in file.hdus
                             if hdu.name == name and hdu.is_image and hdu.shape == shape]
                            for name in ('MASK', 'UNCERT'))
    if not masks and not uncertainties:
        return None
    bad = MissingPixels(masks, uncertainties)
    return np.asarray(bad) if bad.size <= SMALL else bad
