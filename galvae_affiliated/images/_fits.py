# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""FITS files: which image is meant, and its pixels without reading more than is asked for."""

import os
import re
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits

from galvae_affiliated.images._lazy import MappedImage, MissingPixels, ScaledImage, decompress

# extensions that accompany an image
COMPANIONS = {'MASK', 'DQ', 'WHT', 'WEIGHT', 'IVAR', 'INVVAR', 'ERR', 'ERROR', 'VAR', 'VARIANCE',
              'SIGMA', 'UNCERT'}
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
    with open_fits(path) as hdus:
        found = [next((i for i, hdu in enumerate(hdus) if _is_of_band(hdu, band)), None)
                 for band in bands]
    return [] if None in found or len(set(found)) < len(bands) else found


def _is_of_band(hdu, band):
    """Whether an HDU is named or filtered as the band is; astropy makes such names capitals."""
    names = {str(hdu.header.get(key, '')).strip().lower() for key in ('EXTNAME', 'FILTER', 'BAND')}
    return band is not None and band.lower() in names


@contextmanager
def open_fits(path, **options):
    """
    An open FITS file, which is closed at the end; its memory maps stay.

    Anything that is no FITS file is refused by name, a file that is cut short included.
    """
    hdus = failure = None
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            hdus = fits.open(path, **options)
            len(hdus)  # reads the headers of all extensions
        failure = next((w.message for w in caught if 'truncated' in str(w.message)), None)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: there is no such file') from None
    except Exception as error:  # astropy raises many kinds on a damaged file
        failure = error
    try:
        if failure is not None:
            raise ValueError(f'{path}: this is not a FITS file that can be read ({failure})')
        yield hdus
    finally:
        if hdus is not None:
            hdus.close()


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
    return next((hdu for hdu in images if _is_of_band(hdu, band)), images[0])


def read_pixels(path, hdus, hdu):
    """An HDU's image: an array, or a `LazyImage` where it is large and parts of it can be read."""
    if (not hdu.is_image or np.prod(hdu.shape, dtype=float) <= SMALL
            or not _is_uncompressed(path)):
        return hdu.data
    if isinstance(hdu, fits.CompImageHDU):
        return decompress(hdu)
    if not _is_scaled(hdu.header):
        return MappedImage(hdu.data)
    # astropy would read all of it to scale it
    with open_fits(path, do_not_scale_image_data=True) as raw:
        numbers = MappedImage(raw[hdus.index(hdu)].data)
    dtype = hdu.section[(slice(0, 1),) * numbers.ndim].dtype
    return ScaledImage(numbers, hdu.header.copy(), dtype)


def _is_scaled(header):
    """Whether the numbers in the file are not those of the image."""
    if (header.get('BSCALE', 1), header.get('BZERO', 0)) != (1, 0):
        return True
    return header['BITPIX'] > 0 and 'BLANK' in header


def _is_uncompressed(path):
    """Whether the file itself is, whatever its images are: gzip and the like are read in order."""
    try:
        with open(path, 'rb') as file:
            return file.read(6) == b'SIMPLE'
    except OSError:  # astropy reads more than local files
        return False


def read_mask(path, hdus, shape):
    """Pixels undefined by the extensions MASK and UNCERT of CCDData; None if there are none."""
    masks, uncertainties = ([read_pixels(path, hdus, hdu) for hdu in hdus
                             if hdu.name == name and hdu.is_image and hdu.shape == shape]
                            for name in ('MASK', 'UNCERT'))
    if not masks and not uncertainties:
        return None
    bad = MissingPixels(masks, uncertainties)
    return np.asarray(bad) if bad.size <= SMALL else bad
