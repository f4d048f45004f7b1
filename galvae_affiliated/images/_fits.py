# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""FITS files: which image is meant, and its pixels without reading more than is asked for."""

import os
import re
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits

from galvae_affiliated.images._containers import plain_fits
from galvae_affiliated.images._lazy import (
    MappedImage,
    MissingPixels,
    ScaledImage,
    UnreadImage,
    decompress,
    is_undefined,
)
from galvae_affiliated.images._masks import undefined_planes
from galvae_affiliated.images.seeing import SEEING_KEYWORDS
from galvae_affiliated.images.units import ZERO_POINT_KEYWORDS

# names of the image itself, and of what accompanies it
SCIENCE = ('SCI', 'SCIENCE', 'IMAGE', 'DATA', 'COADD')
MASKS = ('MASK', 'DQ', 'MSK', 'FLG', 'FLAG', 'FLAGS', 'DQMASK', 'BADPIX', 'BPM')
# nothing was observed where these are zero, negative or not finite
WEIGHTS = ('UNCERT', 'WHT', 'WEIGHT', 'WGT', 'IVAR', 'INVVAR', 'ERR', 'ERROR', 'SIGMA', 'STD',
           'RMS', 'VAR', 'VARIANCE')
OTHERS = ('BKG', 'BACKGROUND', 'SKY', 'EXP', 'EXPTIME', 'EXPMAP', 'EXPOSURE', 'CTX', 'CON',
          'CONTEXT', 'COV', 'COVERAGE', 'NEXP', 'NPIX', 'PSF', 'D2IMARR', 'WCSDVARR', 'WCSCORR',
          'AREA', 'WAVELENGTH', 'MODEL', 'RESID', 'RESIDUAL', 'RESIDUALS', 'CHI', 'CHI2', 'SAMP',
          'NSAMP', 'TIME', 'SEG', 'SEGM', 'SEGMENTATION', 'SEGMAP', 'THUMBNAIL', 'PREVIEW',
          'DEPTH', 'FLAT', 'BIAS', 'DARK')
COMPANIONS = {*MASKS, *WEIGHTS, *OTHERS}
INHERITED = ('BUNIT', *ZERO_POINT_KEYWORDS, 'FLUXMAG0', 'PHOTFLAM', 'PHOTPLAM', 'EXPTIME',
             'D001OUUN', 'SURVEY',
             'FILTER', 'BAND', 'TELESCOP', 'INSTRUME', *SEEING_KEYWORDS)
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
    sources = ExitStack()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            hdus = fits.open(sources.enter_context(plain_fits(path)), **options)
            len(hdus)  # reads the headers of all extensions
            for hdu in hdus:
                _mend_cards(hdu.header)
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
        sources.close()


def _mend_cards(header):
    """Make those cards text whose values are no value, such as a nan without quotes."""
    for key in {*INHERITED, *header['BAND*']} & {*header}:
        try:
            header[key]
        except fits.VerifyError:
            header.cards[key].verify('silentfix')


def choose_hdu(hdus, extension, band, path):
    """
    The HDU of an image.

    The one that was named, else the one of the band, else the one called SCI or IMAGE, else the
    only image. Errors, weights, masks and the like are none.
    """
    if extension is not None:
        try:
            return hdus[extension]
        except (KeyError, IndexError):
            raise ValueError(f'{path}: there is no extension {extension!r}; '
                             f'there are {[hdu.name or i for i, hdu in enumerate(hdus)]}') from None
    images = [hdu for hdu in hdus if hdu.is_image and hdu.header.get('NAXIS', 0) >= 2
              and not is_companion(hdu.name)]
    if not images:
        raise ValueError(f'{path}: there is no image in this file')
    own = [hdu for hdu in images if _is_of_band(hdu, band)]
    for some in (own, [hdu for hdu in own or images if hdu.name.upper() in SCIENCE], images):
        if len(some) == 1:
            return some[0]
    raise ValueError(f'{path}: there are {len(images)} images, '
                     f'{", ".join(_label(hdus, hdu) for hdu in images[:8])}; name one as '
                     f"'{path}[{hdus.index(images[0])}]'")


def _label(hdus, hdu):
    place = hdus.index(hdu)
    return f'{place} ({hdu.name})' if hdu.name and hdu.name != 'PRIMARY' else str(place)


def is_companion(name):
    """Whether an extension is called as what accompanies images is: 'ERR', 'VAR_POISSON'."""
    return bool(name) and any(_is_called(name, companion) for companion in COMPANIONS)


def _is_called(name, word):
    """Whether a name is the word, or the word and others after or before it."""
    parts = re.split(r'[_.\-\s]', name.upper())
    return word in (parts[0], parts[-1])


def inherited_header(hdus, hdu):
    """An HDU's header, with the keywords of the primary one that it has not itself."""
    header = hdu.header
    primary = hdus[0].header
    if hdu is hdus[0] or header.get('INHERIT') is False:
        return header
    result = header.copy()
    # of an image of its own, unit and scale of the primary HDU are those of that image alone
    own = set() if hdus[0].header.get('NAXIS', 0) == 0 else {'BUNIT', *ZERO_POINT_KEYWORDS}
    for key in INHERITED:
        if key in primary and key not in header and key not in own:
            result[key] = (primary[key], primary.comments[key])
    return result


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


def unread_pixels(hdu):
    """An HDU's image as its header has it: shape and type; None where there are no data."""
    if not hdu.is_image or not hdu.shape:
        return hdu.data
    bits, scaled = hdu.header['BITPIX'], _is_scaled(hdu.header)
    return UnreadImage(hdu.shape, 'f8' if bits == -64 else 'f4' if bits < 0 or scaled else 'i8')


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


def read_mask(path, hdus, hdu, header):
    """
    Pixels that the companions of an image say are undefined; None if there are none.

    Masks, by their planes that mean "no data", and errors and weights that are zero or not
    finite. Of several images in a file, those of the same EXTVER or of the same prefix count.

    Returns
    -------
    bad : (ny, nx) bool array, `LazyImage` or None

    Raises
    ------
    ValueError
        If nobody says what the planes of a mask mean.
    """
    found = [other for other in hdus if other is not hdu and _accompanies(other, hdu, hdus)]
    masks, uncertainties, planes = [], [], []
    for other in found:
        is_mask = any(_is_called(other.name, word) for word in MASKS)
        pixels = read_pixels(path, hdus, other)
        if is_mask:
            bits = undefined_planes(pixels, other, header, path)
            if bits:
                masks.append(pixels)
                planes.append(bits)
        elif any(other.name.upper() == word for word in WEIGHTS) and _tells(pixels):
            uncertainties.append(pixels)
    if not masks and not uncertainties:
        return None
    bad = MissingPixels(masks, uncertainties, planes)
    return np.asarray(bad) if bad.size <= SMALL else bad


def _accompanies(other, hdu, hdus):
    """Whether an HDU is of the same image: its shape, its version, and its prefix if it has one."""
    if not other.is_image or other.shape != hdu.shape or not is_companion(other.name):
        return False
    alike = [one for one in hdus if one.name == other.name]
    if len(alike) > 1 and other.ver != hdu.ver:
        return False
    prefix = re.match(r'(.+)[.]', other.name)
    return prefix is None or hdu.name.upper().startswith(prefix.group(1).upper() + '.')


def _tells(values):
    """Whether errors or weights are any: all of them zero say nothing."""
    step = max(1, int(np.sqrt(values.size / SMALL)))
    return not is_undefined(values[..., ::step, ::step]).all()
