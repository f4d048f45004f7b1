# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a pixel's number means: from units, zero points and headers to nanomaggies."""

import math

import astropy.units as u
import numpy as np
from astropy.wcs.utils import proj_plane_pixel_area

NANOMAGGY = 3631e-9  # janskys; an AB magnitude of 22.5
ZERO_POINT_NANOMAGGY = 22.5
# spellings in the headers of surveys that astropy does not know
SPELLINGS = {'nanomaggies': 'nmgy', 'nanomaggy': 'nmgy', 'nanomaggie': 'nmgy', 'maggies': 'mgy',
             'maggy': 'mgy', 'nmaggy': 'nmgy', 'nmgy': 'nmgy', 'microjy': 'uJy',
             'microjansky': 'uJy', 'njy': 'nJy'}
# no flux on its own: a zero point has to state how bright one of them is
COUNTS = {'', 'adu', 'dn', 'count', 'counts', 'ct', 'e', 'e-', 'electron', 'electrons', 'counts/s',
          'adu/s', 'dn/s', 'electron/s', 'electrons/s', 'e-/s', 'e/s', 'ct/s', 'count/s',
          'counts/sec', 'electrons/sec'}
ZERO_POINT_KEYWORDS = ('MAGZERO', 'MAGZPT', 'MAGZP', 'MAG_ZP', 'ZEROPNT', 'ZEROPOINT', 'ZPT', 'ZP',
                       'PHOTZP')
# surveys whose images state no unit but are documented to be in nanomaggies
NANOMAGGY_SURVEYS = ('DECALS', 'DES', 'LEGACYSURVEY', 'LEGACY SURVEYS', 'BASS', 'MZLS', 'SDSS')
STATED_COUNTS = 'counts'


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
    raise ValueError(f"'{unit}' is not a flux unit; expected nanomaggies ('nmgy'), a flux density "
                     "such as 'uJy', one per solid angle such as 'MJy/sr', or counts with "
                     'a zero point')


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
            raise ValueError(f"'{value}' is not a unit; expected one such as 'nmgy', 'uJy' "
                             "or 'MJy/sr'") from None


def _zero_point_factor(zero_point):
    """Nanomaggies in one count, for the AB magnitude of one count."""
    if not math.isfinite(zero_point):
        raise ValueError(f'the zero point is {zero_point}; expected a finite AB magnitude')
    return 10.0 ** (0.4 * (ZERO_POINT_NANOMAGGY - zero_point))


def header_unit(header):
    """
    What a FITS header states of the unit.

    Returns
    -------
    unit : `~astropy.units.Unit` or None
        None where the header states none, one that is no flux, or counts.
    zero_point : float or None
        AB magnitude of one count.
    """
    if header is None:
        return None, None
    zero_point = next((float(header[key]) for key in ZERO_POINT_KEYWORDS
                       if _is_number(header.get(key))), None)
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


def _is_number(value):
    is_real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def pixel_area(wcs, pixel_scale):
    """Area of a pixel in square arcseconds, None if unknown; ``pixel_scale`` goes before a WCS."""
    if pixel_scale is not None:
        if not pixel_scale > 0 or not np.isfinite(pixel_scale):
            raise ValueError(f'pixel_scale is {pixel_scale}; '
                             'expected a positive number of arcseconds')
        return float(pixel_scale) ** 2
    return None if wcs is None else float(proj_plane_pixel_area(wcs)) * 3600.0 ** 2


def stated_calibration(unit, zero_point, bands):
    """
    (unit, zero point) of each band that the user states.

    (None, None) where nothing is stated, `STATED_COUNTS` for a unit of counts.
    """
    parsed = None if unit is None else parse_unit(unit) or STATED_COUNTS
    if parsed not in (None, STATED_COUNTS):
        flux_factor(parsed)
        if zero_point is not None:
            raise ValueError(f"the unit is '{unit}' and there is a zero point; "
                             'a zero point goes with counts alone')
    if zero_point is None:
        return [(parsed, None)] * len(bands)
    if isinstance(zero_point, dict):
        missing = [band for band in bands if band not in zero_point]
        if missing:
            raise ValueError(f'zero_point names {", ".join(zero_point)}; '
                             f'band {missing[0]} is missing')
        return [(STATED_COUNTS, zero_point[band]) for band in bands]
    if not np.isscalar(zero_point):
        raise TypeError(f'zero_point is a {type(zero_point).__name__}; '
                        'expected a number, or a dict of band to number')
    return [(STATED_COUNTS, zero_point)] * len(bands)


def calibration(plane, unit, zero_point, area):
    """Nanomaggies per square arcsecond in one pixel value; None if that is not known."""
    if unit is None:
        unit, zero_point = plane.unit, plane.zero_point
    elif unit is STATED_COUNTS:
        # the user states what a number is; the header may still state how bright one is
        unit = None
        zero_point = plane.zero_point if zero_point is None else zero_point
    if unit is not None:
        factor, per_area = flux_factor(unit)
        return factor if per_area else (factor / area if area else None)
    if zero_point is not None and area:
        return _zero_point_factor(float(zero_point)) / area
    return None
