# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whatever an image may come as -- array, Quantity, NDData, FITS file -- to planes with what is known of them."""

import os
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import NDData
from astropy.wcs import WCS, FITSFixedWarning

from galvae_affiliated._units import header_unit, parse_unit

__all__ = ['Plane', 'read_planes']

# extensions that accompany an image
COMPANIONS = {'MASK', 'DQ', 'WHT', 'WEIGHT', 'IVAR', 'INVVAR', 'ERR', 'ERROR', 'VAR', 'VARIANCE', 'SIGMA', 'UNCERT'}


@dataclass(frozen=True)
class Plane:
    """
    One band's image and what its source says of it.

    Attributes
    ----------
    data : (ny, nx) array
        As the source has it; never changed.
    unit : `~astropy.units.Unit` or None
        None where it is not stated, or is counts.
    zero_point : float or None
        AB magnitude of one count.
    wcs : `~astropy.wcs.WCS` or None
    bad : (ny, nx) bool array or None
        Masked pixels, and those whose uncertainty says that they hold nothing.
    origin : str
        What to call the source in a message.
    """

    data: np.ndarray
    unit: object = None
    zero_point: float | None = None
    wcs: object = None
    bad: np.ndarray | None = None
    origin: str = 'array'


def read_planes(images, bands=None):
    """
    Planes by band.

    Parameters
    ----------
    images : mapping, sequence, or one source
        A mapping band -> source; a sequence of sources in the order of
        ``bands``; or one source with a plane or an extension a band.
    bands : sequence of str, optional
        Names of the bands; a mapping or a FITS header may say them.

    Returns
    -------
    planes : dict of str to `Plane`

    Raises
    ------
    ValueError, TypeError
        Naming the source and what was expected.
    """
    bands = split_bands(bands)
    if isinstance(images, dict):
        if bands and set(bands) != set(images):
            raise ValueError(f'bands are {list(bands)}, but the images are of {list(images)}')
        return {str(band): single_plane(source, str(band)) for band, source in images.items()}
    if isinstance(images, (list, tuple)):
        if not bands or len(bands) != len(images):
            raise ValueError(f'there are {len(images)} images and {len(bands or [])} names of bands; '
                             'expected a name an image')
        return {band: single_plane(source, band) for band, source in zip(bands, images)}
    return planes_of_one(images, bands)


def split_bands(bands):
    if bands is None:
        return None
    names = [b.strip() for b in (bands.split(',') if isinstance(bands, str) else bands)]
    if len(names) == 1 and len(names[0]) == 3:
        names = list(names[0])
    if len(set(names)) != len(names):
        raise ValueError(f'a band is named twice in {names}')
    return names


def single_plane(source, band):
    """The plane of one band."""
    plane = open_source(source, band)[0]
    if plane.data.ndim != 2:
        raise ValueError(f'{plane.origin}: the image of band {band} has shape {plane.data.shape}; expected (ny, nx)')
    return plane


def planes_of_one(source, bands):
    """Planes of a source that holds all bands: extensions named so, or the planes of one array."""
    if bands and is_path(source) and len(extensions := named_extensions(source, bands)) == len(bands):
        return {band: single_plane(f'{source}[{ext}]', band) for band, ext in zip(bands, extensions)}
    cube, header = open_source(source, None)
    bands = bands or header_bands(header)
    if bands is None:
        raise ValueError(f'{cube.origin}: expected the names of the bands, such as bands=["g", "r", "z"]')
    if cube.data.ndim == 2 and len(bands) > 1:
        raise ValueError(f'{cube.origin}: expected planes or extensions of {", ".join(bands)}, found one image only')
    if cube.data.ndim != 3 or len(cube.data) != len(bands):
        raise ValueError(f'{cube.origin}: the image has shape {cube.data.shape}; expected ({len(bands)}, ny, nx), '
                         f'a plane for each of {", ".join(bands)}')
    bad = cube.bad if cube.bad is not None else [None] * len(bands)
    return {band: replace(cube, data=cube.data[i], bad=bad[i]) for i, band in enumerate(bands)}


def header_bands(header):
    """Band names that a header states as the Legacy Surveys' cutouts do."""
    if header is None:
        return None
    if header.get('BANDS'):
        return list(str(header['BANDS']).strip())
    names = [str(header[f'BAND{i}']).strip() for i in range(3) if f'BAND{i}' in header]
    return names if len(names) == 3 else None


def open_source(source, band):
    """`Plane` (with as many axes as the source has) and the header, if any."""
    if is_path(source):
        return open_fits(os.fspath(source), band)
    if isinstance(source, Plane):
        return source, None
    if isinstance(source, NDData):
        return open_nddata(source)
    if isinstance(source, tuple) and len(source) == 2:
        raise TypeError('an image is a tuple; wrap data and WCS as CCDData(data, wcs=wcs, unit=unit)')
    mask = getattr(source, 'mask', None)  # of numpy's masked arrays, and of astropy's
    bad = None if mask is None else np.broadcast_to(np.asarray(mask, dtype=bool), np.shape(source))
    source = getattr(source, 'unmasked', source)
    if isinstance(source, u.Quantity):
        return Plane(numeric(source.value, 'Quantity'), parse_unit(source.unit), bad=bad, origin='Quantity'), None
    return Plane(numeric(np.ma.getdata(source), 'array'), bad=bad), None


def numeric(data, origin):
    data = np.asarray(data)
    if data.dtype.kind not in 'fiu' or data.ndim < 2:
        raise TypeError(f'{origin}: an image of type {data.dtype} and shape {data.shape}; '
                        'expected real numbers (ny, nx)')
    return data


def open_nddata(image):
    """NDData or CCDData; unpacked by hand, since ``support_nddata`` warns of every header."""
    header = image.meta if hasattr(image.meta, 'get') else None
    stated, zero_point = header_unit(header)
    unit = parse_unit(image.unit) if image.unit is not None else stated
    origin = type(image).__name__
    data = numeric(image.data, origin)
    bad = None if image.mask is None else np.broadcast_to(np.asarray(image.mask, dtype=bool), data.shape)
    if image.uncertainty is not None:
        bad = holds_nothing(image.uncertainty.array) | (False if bad is None else bad)
    wcs = image.wcs.celestial if image.wcs is not None and getattr(image.wcs, 'has_celestial', False) else None
    return Plane(data, unit, zero_point if unit is None else None, wcs, bad, origin), header


def holds_nothing(uncertainty):
    """(ny, nx) bool: pixels of infinite, zero or undefined uncertainty."""
    values = np.asarray(uncertainty)
    return ~np.isfinite(values) | (values <= 0)


def is_path(source):
    return isinstance(source, (str, os.PathLike))


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


def open_fits(path, band):
    path, extension = split_extension(path)
    with opened(path) as hdus:
        hdu = choose_hdu(hdus, extension, band, path)
        header = hdu.header
        try:
            data = numeric(hdu.data, path)
            bad = companion_mask(hdus, data.shape)
        except (OSError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f'{path}: the image cannot be read, the file may be cut short ({error})') from None
    unit, zero_point = header_unit(header)
    return Plane(data, unit, zero_point, header_wcs(header), bad, str(path)), header


def companion_mask(hdus, shape):
    """Pixels that the extensions MASK and UNCERT, as CCDData writes them, say hold nothing; None if there are none."""
    bad = None
    for hdu in hdus:
        if hdu.name in ('MASK', 'UNCERT') and hdu.is_image and hdu.shape == shape:
            nothing = np.asarray(hdu.data) != 0 if hdu.name == 'MASK' else holds_nothing(hdu.data)
            bad = nothing if bad is None else bad | nothing
    return bad


class opened:
    """An open FITS file; anything that is not one is refused by name, a file that is cut short included."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.hdus = failure = None
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter('always')
                self.hdus = fits.open(self.path)
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

    def __exit__(self, *_):
        self.hdus.close()


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


def header_wcs(header):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', FITSFixedWarning)
        try:
            wcs = WCS(header)
        except Exception:  # an unusable WCS is none: a catalogue in pixels does not need it
            return None
        return wcs.celestial if wcs.has_celestial else None
