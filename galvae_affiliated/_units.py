# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the pixel values of an image mean, in nanomaggies."""

import math

import astropy.units as u
import numpy as np

__all__ = ['flux_factor', 'header_unit', 'parse_unit']

NANOMAGGY = 3631e-9  # janskys; an AB magnitude of 22.5
ZERO_POINT_NANOMAGGY = 22.5

# spellings in the headers of surveys that astropy does not know
SPELLINGS = {'nanomaggies': 'nmgy', 'nanomaggy': 'nmgy', 'nanomaggie': 'nmgy', 'maggies': 'mgy', 'maggy': 'mgy',
             'nmaggy': 'nmgy', 'nmgy': 'nmgy', 'microjy': 'uJy', 'microjansky': 'uJy', 'njy': 'nJy'}
# no flux on its own: a zero point has to say how bright one of them is
COUNTS = {'', 'adu', 'dn', 'count', 'counts', 'ct', 'e', 'e-', 'electron', 'electrons', 'counts/s', 'adu/s', 'dn/s',
          'electron/s', 'electrons/s', 'e-/s', 'e/s', 'ct/s', 'count/s', 'counts/sec', 'electrons/sec'}
ZERO_POINT_KEYWORDS = ('MAGZERO', 'MAGZPT', 'MAGZP', 'MAG_ZP', 'ZEROPNT', 'ZEROPOINT', 'ZPT', 'ZP', 'PHOTZP')
# surveys whose images state no unit but are documented to be in nanomaggies
NANOMAGGY_SURVEYS = ('DECALS', 'DES', 'LEGACYSURVEY', 'LEGACY SURVEYS', 'BASS', 'MZLS', 'SDSS')


def flux_factor(unit):
    """
    Nanomaggies in one pixel value, and whether it is counted a pixel or a solid angle.

    Parameters
    ----------
    unit : `~astropy.units.Unit`

    Returns
    -------
    factor : float
        Nanomaggies, or nanomaggies per square arcsecond.
    per_area : bool
        Whether the values are a surface brightness.

    Raises
    ------
    ValueError
        If the unit is neither a flux density nor one per solid angle.
    """
    for area, per_area in ((u.dimensionless_unscaled, False), (u.arcsec ** 2, True)):
        try:
            flux = (1.0 * unit * area).to_value(u.Jy, u.zero_point_flux(3631 * u.Jy))
            return float(flux / NANOMAGGY), per_area
        except u.UnitsError:  # magnitudes raise others than UnitConversionError
            continue
    raise ValueError(f"'{unit}' is not a flux unit; expected nanomaggies ('nmgy'), a flux density such as 'uJy', "
                     "one per solid angle such as 'MJy/sr', or counts with a zero point")


def parse_unit(value):
    """
    A unit from what users and headers write.

    Parameters
    ----------
    value : str or `~astropy.units.Unit`

    Returns
    -------
    unit : `~astropy.units.Unit` or None
        None stands for counts, which only a zero point can calibrate.

    Raises
    ------
    ValueError
        If the text is not a unit.
    """
    if isinstance(value, u.UnitBase):
        text = value.to_string() if value != u.dimensionless_unscaled else ''
    else:
        text = str(value).strip()
    if text.lower().replace(' ', '') in COUNTS:
        return None
    text = SPELLINGS.get(text.lower(), text)
    # the names of photometry are not enabled by default
    with u.add_enabled_units(u.photometric):
        try:
            return u.Unit(text)
        except (ValueError, TypeError):
            raise ValueError(f"'{value}' is not a unit; expected one such as 'nmgy', 'uJy' or 'MJy/sr'") from None


def zero_point_factor(zero_point):
    """Nanomaggies in one count, for the AB magnitude of one count."""
    if not math.isfinite(zero_point):
        raise ValueError(f'the zero point is {zero_point}; expected a finite AB magnitude')
    return 10.0 ** (0.4 * (ZERO_POINT_NANOMAGGY - zero_point))


def header_unit(header):
    """
    What a FITS header says of the unit.

    Returns
    -------
    unit : `~astropy.units.Unit` or None
        None where the header states none, one that is no flux, or counts.
    zero_point : float or None
        AB magnitude of one count.
    """
    if header is None:
        return None, None
    zero_point = next((float(header[k]) for k in ZERO_POINT_KEYWORDS if is_number(header.get(k))), None)
    try:
        unit = parse_unit(header.get('BUNIT', ''))
        if unit is not None:
            flux_factor(unit)
            return unit, None
    except ValueError:
        return None, zero_point
    survey = str(header.get('SURVEY', '')).strip().upper()
    if zero_point is None and not header.get('BUNIT') and survey in NANOMAGGY_SURVEYS:
        return parse_unit('nmgy'), None
    return None, zero_point


def is_number(value):
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)
