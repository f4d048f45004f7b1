# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Masks of bit planes: which planes mean that a pixel holds no data."""

import warnings

import numpy as np

from galvae_affiliated.exceptions import GalvaeWarning

ALL_PLANES = -1  # any value but zero
# names of planes in headers (MP_*, of LSST and HSC) that mean "no data"; DETECTED, EDGE,
# INTRP, SUSPECT and the like are of pixels that hold the sky and its sources
NO_DATA_PLANES = {'BAD', 'SAT', 'CR', 'NO_DATA', 'NODATA', 'UNMASKEDNAN', 'VIGNETTED',
                  'SATURATED', 'BAD_COLUMN', 'BADCOL'}
# telescope or instrument, as headers begin to write it: bits that mean "no data"
NO_DATA_BITS = {
    'JWST': 1, 'ROMAN': 1,  # DO_NOT_USE
    'EUCLID': 1,  # INVALID
    # all but 16 (hot), 32 (unstable), 64 (warm) and 1024 (charge trap), which are corrected
    'HST': 1 | 2 | 4 | 8 | 128 | 256 | 512 | 2048 | 4096 | 8192 | 16384,
    # BPM, SATURATE, INTERP, BADAMP, CRAY, TRAIL, EDGEBLEED, SSXTALK, EDGE, STREAK; not STAR
    'CTIO': 1 | 2 | 4 | 8 | 16 | 64 | 128 | 256 | 512 | 1024,
}
NO_DATA_BITS['DES'] = NO_DATA_BITS['DECAM'] = NO_DATA_BITS['CTIO']
STRIP = 2 ** 22  # pixels that are looked at a time


def undefined_planes(mask, hdu, header, origin):
    """
    Bits of a mask that mean "no data".

    Parameters
    ----------
    mask : array or `~galvae_affiliated.images._lazy.LazyImage`
    hdu : HDU
        Of the mask.
    header : `~astropy.io.fits.Header`
        Of the image, with what it inherits.
    origin : str
        For messages.

    Returns
    -------
    bits : int
        `ALL_PLANES` for a mask of zeros and ones; 0 if no plane means that.

    Raises
    ------
    ValueError
        If the mask has other values and nobody names its planes.
    """
    bits = named_planes(hdu.header)
    if bits is None:
        bits = named_planes(header)
    if bits is not None:
        return bits
    if mask.dtype.kind in 'bf' or is_binary(mask):
        return ALL_PLANES
    about = f'{header.get("TELESCOP", "")}|{header.get("INSTRUME", "")}|{header.get("SURVEY", "")}'
    for part in about.upper().split('|'):
        known = next((name for name in NO_DATA_BITS if part.strip().startswith(name)), None)
        if known:
            return NO_DATA_BITS[known]
    if hdu.name.upper().startswith('DQ'):
        warnings.warn(f'{origin}: nobody says what the bits of {hdu.name} mean (expected TELESCOP '
                      'in the header, or MP_* in that of the mask); it is not used', GalvaeWarning,
                      stacklevel=2)
        return 0
    raise ValueError(f'{origin}: {hdu.name} holds other values than 0 and 1, and its header does '
                     'not name its planes (MP_*); give CCDData(data, mask=...) with a mask of '
                     'True where there are no data')


def named_planes(header):
    """Bits that mean "no data" by the names of planes in a header; None where it names none."""
    numbers = {} if header is None else {
        key[3:]: header[key] for key in list(header.keys()) if str(key).upper().startswith('MP_')}
    if not numbers:
        return None
    bits = 0
    for name, number in numbers.items():
        if name.upper() in NO_DATA_PLANES and isinstance(number, (int, np.integer)):
            bits |= 1 << int(number)
    return bits


def is_binary(mask):
    """Whether a mask is one of truth values: of 0 and 1, or of 0 and all bits of 8."""
    step = max(1, STRIP // max(1, mask.size // max(1, mask.shape[-2])))
    for start in range(0, mask.shape[-2], step):
        values = np.asarray(mask[..., start:start + step, :])
        if not ((values == 0) | (values == 1) | (values == 255)).all():
            return False
    return True


def has_planes(values, bits):
    """Bool array: pixels of which any of the bits is set."""
    if bits == ALL_PLANES:
        return values != 0
    kind = np.asarray(values).dtype
    if kind.kind == 'f':
        values, kind = np.nan_to_num(values).astype(np.int64), np.dtype(np.int64)
    # bits beyond the type of the mask cannot be set
    limit = int(np.iinfo(kind).max)
    return (values & np.asarray(bits & limit).astype(kind.newbyteorder('='))) != 0
