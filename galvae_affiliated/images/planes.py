# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whatever an image comes as (array, Quantity, NDData, FITS file) to planes with their units."""

import os
import re
import sys
import warnings
from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
from astropy.wcs import WCS, FITSFixedWarning

from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.images._fits import (
    choose_hdu,
    inherited_header,
    named_extensions,
    open_fits,
    read_mask,
    read_pixels,
    split_extension,
    unread_pixels,
)
from galvae_affiliated.images._lazy import LazyImage, UnreadImage, is_undefined
from galvae_affiliated.images._masks import has_planes, is_binary, named_planes
from galvae_affiliated.images.bands import is_band
from galvae_affiliated.images.seeing import header_seeing
from galvae_affiliated.images.units import (
    PLAUSIBLE_SCALES,
    header_unit,
    parse_unit,
    pixel_area,
    unknown_unit,
)


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
    not_understood : str or None
        The unit that the source states and nobody understands.
    seeing : `~galvae_affiliated.images.seeing.StatedSeeing` or None
        What the header states of it.
    """

    data: np.ndarray
    unit: object = None
    zero_point: float | None = None
    wcs: object = None
    bad: np.ndarray | None = None
    origin: str = 'array'
    not_understood: str | None = None
    seeing: object = None


def read_planes(images, bands=None, *, headers_only=False):
    """
    Planes by band.

    Parameters
    ----------
    images : mapping, sequence, or one source
        A mapping band -> source; a sequence of sources in the order of
        ``bands``; or one source with a plane or an extension a band.
    bands : sequence of str, optional
        Names of the bands; a mapping or a FITS header may state them.
    headers_only : bool, optional
        Leave the pixels of files alone: the data have a shape and a type, and no values, and
        nothing is said of masks.

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
        names = [str(band) for band in images]
        return {str(band): _single_plane(source, str(band), names, headers_only)
                for band, source in images.items()}
    if isinstance(images, (list, tuple)):
        if not bands or len(bands) != len(images):
            raise ValueError(f'there are {len(images)} images and {len(bands or [])} names of '
                             'bands; expected a name an image')
        return {band: _single_plane(source, band, bands, headers_only)
                for band, source in zip(bands, images)}
    return _planes_of_one(images, bands, headers_only)


def split_bands(bands):
    """Names of bands as a list, of 'g,r,z' and 'grz' too; None where none are given."""
    if bands is None:
        return None
    if isinstance(bands, u.Quantity) and bands.isscalar:
        bands = [bands]
    names = [str(b).strip() for b in (bands.split(',') if isinstance(bands, str) else bands)]
    if len(names) == 1 and not is_band(names[0]):
        letters = list(names[0])
        # those of a model may have names of its own
        if len(letters) == len({*letters}) == 3 or (letters and all(map(is_band, letters))):
            names = letters
    if len(set(names)) != len(names):
        raise ValueError(f'a band is named twice in {names}')
    return names


def _single_plane(source, band, bands=(), headers_only=False):
    """The plane of one band."""
    plane, header = _open_source(source, band, headers_only)
    plane = _without_axes(plane)
    _check_band(header, band, bands, plane.origin)
    if plane.data.ndim != 2:
        raise ValueError(f'{plane.origin}: the image of band {band} has shape {plane.data.shape}; '
                         'expected (ny, nx)')
    return plane


def _without_axes(plane):
    """A plane without axes of one frequency, or time."""
    while plane.data.ndim > 2 and plane.data.shape[0] == 1:
        bad = None if plane.bad is None else plane.bad[0]
        plane = replace(plane, data=plane.data[0], bad=bad)
    return plane


def _planes_of_one(source, bands, headers_only=False):
    """Planes of a source that holds all bands: extensions named so, or the planes of one array."""
    extensions = named_extensions(source, bands) if bands and _is_path(source) else []
    if extensions:
        return {band: _single_plane(f'{source}[{extension}]', band, (), headers_only)
                for band, extension in zip(bands, extensions)}
    cube, header = _open_source(source, None, headers_only)
    stated = _header_bands(header)
    cube, bands = _planes_that_are_named(cube, bands, stated)
    if bands is None:
        single = _without_axes(cube)
        bands = _header_filter(header) if single.data.ndim == 2 else None
    if bands is None:
        raise ValueError(f'{cube.origin}: expected the names of the bands, '
                         'such as bands=["g", "r", "z"]')
    if len(bands) == 1:
        cube = _without_axes(cube)
        _check_band(header, bands[0], bands, cube.origin)
        if cube.data.ndim == 2:
            return {bands[0]: cube}
    if cube.data.ndim == 2:
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
        text = str(header['BANDS']).strip()
        return [name.strip() for name in text.split(',')] if ',' in text else list(text)
    names = []
    while f'BAND{len(names)}' in header:
        names.append(str(header[f'BAND{len(names)}']).strip())
    return names if len(names) > 1 else None


def _header_filter(header):
    """[band] of an image of one band whose header names it; None if it does not."""
    for key in ('FILTER', 'BAND'):
        text = '' if header is None else str(header.get(key) or '').strip()
        # 'r DECam SDSS c0002 6415.0 1480.0'
        for name in (text, *text.split()[:1]):
            if is_band(name):
                return [name]
    return None


def _planes_that_are_named(cube, bands, stated):
    """
    A cube without the planes that nobody asks for, and the bands of the others.

    Raises
    ------
    ValueError
        If the user and the header name the same planes in another order.
    """
    n_planes = len(cube.data) if cube.data.ndim == 3 else 0
    if bands is None or stated is None or n_planes != len(stated):
        return cube, bands or stated
    bands = list(bands)
    if len(bands) == n_planes and set(bands) == set(stated) and bands != stated:
        raise ValueError(f'{cube.origin}: bands are {",".join(bands)}, but the header says that '
                         f'the planes are {",".join(stated)}; leave out bands to believe it')
    if len(bands) < n_planes and {*bands} <= {*stated}:
        places = [stated.index(band) for band in bands]
        if isinstance(cube.data, UnreadImage):
            return replace(cube, data=cube.data.resized(len(bands))), bands
        data = np.stack([np.asarray(cube.data[i]) for i in places])
        bad = None if cube.bad is None else np.stack([np.asarray(cube.bad[i]) for i in places])
        return replace(cube, data=data, bad=bad), bands
    return cube, bands


def _check_band(header, band, bands, origin):
    """Refuse an image whose header says that it is of another of the bands."""
    for key in ('FILTER', 'BAND'):
        text = '' if header is None else str(header.get(key) or '').strip()
        words = {word for word in re.split(r'[^a-z0-9]+', text.lower()) if word}
        named = [other for other in bands if other.lower() in words]
        if named and band not in named:
            raise ValueError(f'{origin}: this is the image of band {band}, but its header says '
                             f'{key} = {text!r}; give the images in the order of the bands')


def _open_source(source, band, headers_only=False):
    """`Plane` (with as many axes as the source has) and the header, if any."""
    if _is_path(source):
        return _open_file(os.fspath(source), band, headers_only)
    if isinstance(source, Plane):
        return source, None
    if _is_nddata(source):
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
        bad = np.broadcast_to(_truth_of_mask(image.mask, header, origin), data.shape)
    if image.uncertainty is not None:
        bad = is_undefined(image.uncertainty.array) | (False if bad is None else bad)
    wcs = _usable_wcs(image.wcs, origin) if getattr(image.wcs, 'has_celestial', False) else None
    zero_point = zero_point if unit is None else None
    plane = Plane(data, unit, zero_point, wcs, bad, origin, _not_understood(header, unit),
                  header_seeing(header))
    return plane, header


def _not_understood(header, unit):
    return unknown_unit(header) if unit is None else None


def _truth_of_mask(mask, header, origin):
    """A mask as bool; of one of bit planes, those that mean "no data"."""
    mask = np.asarray(mask)
    if mask.dtype.kind not in 'iu' or mask.ndim < 2:
        return mask.astype(bool)
    bits = named_planes(header)
    if bits is not None:
        return has_planes(mask, bits)
    if not is_binary(mask):
        raise ValueError(f'{origin}: the mask holds integers other than 0 and 1; expected True '
                         'where there are no data, or the names of its planes in the header '
                         '(MP_*)')
    return mask != 0


def _is_nddata(source):
    """Whether a source is NDData; nobody has any unless the class was imported."""
    module = sys.modules.get('astropy.nddata')
    return module is not None and isinstance(source, module.NDData)


def _is_path(source):
    return isinstance(source, (str, os.PathLike))


def _open_file(path, band, headers_only=False):
    path, extension = split_extension(path)
    with open_fits(path) as hdus:
        hdu = choose_hdu(hdus, extension, band, path)
        header = inherited_header(hdus, hdu)
        try:
            pixels = unread_pixels(hdu) if headers_only else read_pixels(path, hdus, hdu)
            data = _as_numeric(pixels, path)
        except Exception as error:  # astropy and its decoders raise many kinds on a damaged file
            raise _damaged(path, error) from None
        try:
            bad = None if headers_only else read_mask(path, hdus, hdu, header)
        except ValueError as error:
            if str(error).startswith(str(path)):
                raise
            raise _damaged(path, error) from None
        except Exception as error:
            raise _damaged(path, error) from None
        # while the file is open: tables of distortions are in it
        wcs = _header_wcs(header, hdus, path)
    unit, zero_point = header_unit(header)
    plane = Plane(data, unit, zero_point, wcs, bad, str(path), _not_understood(header, unit),
                  header_seeing(header))
    return plane, header


def _damaged(path, error):
    return ValueError(f'{path}: the image cannot be read, the file may be damaged '
                      f'or cut short ({error})')


def _header_wcs(header, hdus, origin):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', FITSFixedWarning)
        try:
            wcs = WCS(header, hdus)
        except Exception as error:  # a catalogue in pixels does not need it
            failure = error
        else:
            return _usable_wcs(wcs, origin) if wcs.has_celestial else None
    if 'CTYPE1' in header:
        warnings.warn(f'{origin}: its WCS cannot be used ({failure})', GalvaeWarning, stacklevel=2)
    return None


def _usable_wcs(wcs, origin):
    """
    The part of a WCS that is of the sky, with its distortions; None if it has no scale.

    FITS says that a pixel without CDELT or CD is one degree: that is no image of galaxies.
    """
    wcs = wcs if wcs.naxis == 2 else wcs.celestial
    low, high = PLAUSIBLE_SCALES
    scale = np.sqrt(pixel_area(wcs, None))
    if low <= scale <= high:
        return wcs
    warnings.warn(f'{origin}: its WCS says that a pixel is {scale:.6g} arcsec; expected one of '
                  f'an image of galaxies, from {low:g} to {high:g} arcsec; the WCS is not used',
                  GalvaeWarning, stacklevel=2)
    return None
