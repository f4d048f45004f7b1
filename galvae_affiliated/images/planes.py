# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whatever an image comes as (array, Quantity, NDData, FITS file) to planes with their units."""

import os
import warnings
from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
from astropy.nddata import NDData
from astropy.wcs import WCS, FITSFixedWarning

from galvae_affiliated.images._fits import (
    choose_hdu,
    named_extensions,
    open_fits,
    read_mask,
    read_pixels,
    split_extension,
)
from galvae_affiliated.images._lazy import LazyImage, is_undefined
from galvae_affiliated.images.units import header_unit, parse_unit


@dataclass(frozen=True)
class Plane:
    """
    One band's image and what its source states of it.

    Attributes
    ----------
    data : (ny, nx) array or `~galvae_affiliated.images._lazy.LazyImage`
        As the source has it; never changed.
    unit : `~astropy.units.Unit` or None
        None where it is not stated, or is counts.
    zero_point : float or None
        AB magnitude of one count.
    wcs : `~astropy.wcs.WCS` or None
    bad : (ny, nx) bool array, `~galvae_affiliated.images._lazy.LazyImage` or None
        Masked pixels, and those of no finite, positive uncertainty.
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
        Names of the bands; a mapping or a FITS header may state them.

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
        return {str(band): _single_plane(source, str(band)) for band, source in images.items()}
    if isinstance(images, (list, tuple)):
        if not bands or len(bands) != len(images):
            raise ValueError(f'there are {len(images)} images and {len(bands or [])} names of '
                             'bands; expected a name an image')
        return {band: _single_plane(source, band) for band, source in zip(bands, images)}
    return _planes_of_one(images, bands)


def split_bands(bands):
    if bands is None:
        return None
    names = [b.strip() for b in (bands.split(',') if isinstance(bands, str) else bands)]
    if len(names) == 1 and len(names[0]) == 3:
        names = list(names[0])
    if len(set(names)) != len(names):
        raise ValueError(f'a band is named twice in {names}')
    return names


def _single_plane(source, band):
    """The plane of one band."""
    plane = _open_source(source, band)[0]
    if plane.data.ndim != 2:
        raise ValueError(f'{plane.origin}: the image of band {band} has shape {plane.data.shape}; '
                         'expected (ny, nx)')
    return plane


def _planes_of_one(source, bands):
    """Planes of a source that holds all bands: extensions named so, or the planes of one array."""
    extensions = named_extensions(source, bands) if bands and _is_path(source) else []
    if extensions:
        return {band: _single_plane(f'{source}[{extension}]', band)
                for band, extension in zip(bands, extensions)}
    cube, header = _open_source(source, None)
    bands = bands or _header_bands(header)
    if bands is None:
        raise ValueError(f'{cube.origin}: expected the names of the bands, '
                         'such as bands=["g", "r", "z"]')
    if cube.data.ndim == 2 and len(bands) > 1:
        raise ValueError(f'{cube.origin}: expected planes or extensions of '
                         f'{", ".join(bands)}, found one image only')
    if cube.data.ndim != 3 or len(cube.data) != len(bands):
        raise ValueError(f'{cube.origin}: the image has shape {cube.data.shape}; expected '
                         f'({len(bands)}, ny, nx), a plane for each of {", ".join(bands)}')
    bad = cube.bad if cube.bad is not None else [None] * len(bands)
    return {band: replace(cube, data=cube.data[i], bad=bad[i]) for i, band in enumerate(bands)}


def _header_bands(header):
    """Band names that a header states as the Legacy Surveys' cutouts do."""
    if header is None:
        return None
    if header.get('BANDS'):
        return list(str(header['BANDS']).strip())
    names = [str(header[f'BAND{i}']).strip() for i in range(3) if f'BAND{i}' in header]
    return names if len(names) == 3 else None


def _open_source(source, band):
    """`Plane` (with as many axes as the source has) and the header, if any."""
    if _is_path(source):
        return _open_file(os.fspath(source), band)
    if isinstance(source, Plane):
        return source, None
    if isinstance(source, NDData):
        return _open_nddata(source)
    if isinstance(source, tuple) and len(source) == 2:
        raise TypeError('an image is a tuple; '
                        'wrap data and WCS as CCDData(data, wcs=wcs, unit=unit)')
    mask = getattr(source, 'mask', None)  # of numpy's masked arrays, and of astropy's
    bad = None if mask is None else np.broadcast_to(np.asarray(mask, dtype=bool), np.shape(source))
    source = getattr(source, 'unmasked', source)
    if isinstance(source, u.Quantity):
        values = _as_numeric(source.value, 'Quantity')
        return Plane(values, parse_unit(source.unit), bad=bad, origin='Quantity'), None
    return Plane(_as_numeric(np.ma.getdata(source), 'array'), bad=bad), None


def _as_numeric(data, origin):
    data = data if isinstance(data, LazyImage) else np.asarray(data)
    if data.dtype.kind not in 'fiu' or data.ndim < 2:
        raise TypeError(f'{origin}: an image of type {data.dtype} and shape {data.shape}; '
                        'expected real numbers (ny, nx)')
    return data


def _open_nddata(image):
    """NDData or CCDData; unpacked by hand, since ``support_nddata`` warns of every header."""
    header = image.meta if hasattr(image.meta, 'get') else None
    stated, zero_point = header_unit(header)
    unit = parse_unit(image.unit) if image.unit is not None else stated
    origin = type(image).__name__
    data = _as_numeric(image.data, origin)
    bad = None
    if image.mask is not None:
        bad = np.broadcast_to(np.asarray(image.mask, dtype=bool), data.shape)
    if image.uncertainty is not None:
        bad = is_undefined(image.uncertainty.array) | (False if bad is None else bad)
    wcs = image.wcs.celestial if getattr(image.wcs, 'has_celestial', False) else None
    return Plane(data, unit, zero_point if unit is None else None, wcs, bad, origin), header


def _is_path(source):
    return isinstance(source, (str, os.PathLike))


def _open_file(path, band):
    path, extension = split_extension(path)
    with open_fits(path) as hdus:
        hdu = choose_hdu(hdus, extension, band, path)
        header = hdu.header
        try:
            data = _as_numeric(read_pixels(path, hdus, hdu), path)
            bad = read_mask(path, hdus, data.shape)
        except Exception as error:  # astropy and its decoders raise many kinds on a damaged file
            raise ValueError(f'{path}: the image cannot be read, the file may be damaged '
                             f'or cut short ({error})') from None
    unit, zero_point = header_unit(header)
    return Plane(data, unit, zero_point, _header_wcs(header), bad, str(path)), header


def _header_wcs(header):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', FITSFixedWarning)
        try:
            wcs = WCS(header)
        except Exception:  # an unusable WCS is none: a catalogue in pixels does not need it
            return None
        return wcs.celestial if wcs.has_celestial else None
