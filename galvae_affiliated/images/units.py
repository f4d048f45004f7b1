# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a pixel's number means: from units, zero points and headers to nanomaggies."""

import math
import re
import warnings

import astropy.units as u
import numpy as np
from astropy.wcs.utils import proj_plane_pixel_area

from galvae_affiliated.exceptions import GalvaeWarning

NANOMAGGY = 3631e-9  # janskys; an AB magnitude of 22.5
ZERO_POINT_NANOMAGGY = 22.5
# words of units as headers and archives spell them, without regard to case
SPELLINGS = {
    **dict.fromkeys(('nanomaggies', 'nanomaggy', 'nanomaggie', 'nmaggy', 'nmgy'), 'nmgy'),
    **dict.fromkeys(('maggies', 'maggy', 'mgy'), 'mgy'),
    **dict.fromkeys(('microjy', 'microjansky', 'microjanskys', 'ujy'), 'uJy'),
    **dict.fromkeys(('nanojy', 'nanojansky', 'njy'), 'nJy'),
    **dict.fromkeys(('milijy', 'millijy', 'millijansky'), 'mJy'),
    **dict.fromkeys(('megajy', 'megajansky'), 'MJy'), **dict.fromkeys(('jy', 'jansky'), 'Jy'),
    **dict.fromkeys(('sr', 'ster', 'steradian'), 'sr'),
    **dict.fromkeys(('arcsec', 'arcsecs', 'arcsecond', 'asec'), 'arcsec'),
    **dict.fromkeys(('sqarcsec', 'arcsec2', 'arcsecsq'), 'arcsec2'),
    **dict.fromkeys(('erg', 'ergs'), 'erg'), 'cm': 'cm', 'cm2': 'cm2',
    **dict.fromkeys(('hz', 'hertz'), 'Hz'), **dict.fromkeys(('s', 'sec', 'second'), 's')}
# no flux on its own: a zero point has to state how bright one of them is
COUNTS = {'', 'adu', 'dn', 'count', 'counts', 'ct', 'cts', 'e', 'e-', 'electron', 'electrons',
          'photon', 'photons', 'cps'}
PER_TIME = ('/s', '/sec', '/second', '/seconds', 's-1', '.s-1', '*s-1', '**-1s')
# a value of a pixel is one a pixel, whether or not it says so
PER_PIXEL = re.compile(r'\s*(/\s*(pixels?|pix|px)\b|[\s*.](pixel|pix|px)\s*(\*\*|\^)?\s*-\s*1)\s*$',
                       re.IGNORECASE)
# powers that take for ever to compute: of four digits and more (but '3631 Jy'), or of powers
ENDLESS_POWER = re.compile(r'(?<![\d.])(?<!^)\d{4,}|(\*\*|\^)[^A-Za-z/]*(\*\*|\^)')
LONGEST_UNIT = 100  # letters
ZERO_POINT_KEYWORDS = ('MAGZERO', 'MAGZPT', 'MAGZP', 'MAG_ZP', 'ZEROPNT', 'ZEROPOINT', 'ZPT', 'ZP',
                       'PHOTZP')
# AB magnitudes of one count that a telescope can have; headers hold 0, -1, 99 where none is known
PLAUSIBLE_ZERO_POINTS = (10.0, 45.0)
PLAUSIBLE_SCALES = (0.001, 60.0)  # arcsec a pixel: of images in which galaxies are resolved
SQUARE = 1.1  # side of a pixel over the other one
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
        except u.UnitsError:  # magnitudes raise others than UnitConversionError
            continue
        if 0 < flux < math.inf:
            return float(flux / NANOMAGGY), per_area
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
        text = str(value).strip().strip('[]').strip()
    text = PER_PIXEL.sub('', text)
    if _is_counts(text):
        return None
    if len(text) > LONGEST_UNIT or ENDLESS_POWER.search(text):
        raise ValueError(f"'{text[:LONGEST_UNIT]}' is not a unit; expected one such as 'nmgy', "
                         "'uJy' or 'MJy/sr'")
    # the names of photometry are not enabled by default
    with u.add_enabled_units(u.photometric), warnings.catch_warnings():
        warnings.simplefilter('ignore', u.UnitsWarning)
        for spelling in (text, _in_astropys_words(text)):
            try:
                return _without_pixels(u.Unit(spelling))
            except (ValueError, TypeError):
                continue
    raise ValueError(f"'{value}' is not a unit; expected one such as 'nmgy', 'uJy' or 'MJy/sr'")


def _without_pixels(unit):
    """A unit without 'a pixel', which each value is; None for counts, and for counts a second."""
    if not isinstance(unit, u.UnitBase):
        return unit  # magnitudes
    if u.pix in unit.bases and unit.powers[unit.bases.index(u.pix)] == -1:
        unit = unit * u.pix
    counted = {u.adu, u.ct, u.electron, u.photon} & {*unit.bases}
    return None if counted and {*unit.bases} <= counted | {u.s} else unit


def _is_counts(text):
    text = text.lower().replace(' ', '')
    time = next((ending for ending in PER_TIME if text.endswith(ending)), '')
    return text[:len(text) - len(time)] in COUNTS


def _in_astropys_words(text):
    """A unit whose words are spelled as astropy spells them."""
    words = re.sub('[A-Za-z]+', lambda word: SPELLINGS.get(word.group().lower(), word.group()),
                   re.sub(r'(?i)\bsq(uare)?\s*(arcsec)\w*', 'arcsec2', text))
    # 'MJY/SR' is not milli
    return re.sub('(?i)^mjy(?= */)', 'MJy', words) if words.endswith('sr') else words


def _zero_point_factor(zero_point):
    """Nanomaggies in one count, for the AB magnitude of one count."""
    if not math.isfinite(zero_point):
        raise ValueError(f'the zero point is {zero_point}; expected a finite AB magnitude')
    low, high = PLAUSIBLE_ZERO_POINTS
    if not low <= zero_point <= high:
        raise ValueError(f'the zero point is {zero_point}; expected the AB magnitude of one count, '
                         f'which is from {low:g} to {high:g}')
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
    zero_point = _header_zero_point(header)
    try:
        unit = parse_unit(_bunit(header))
        if unit is not None:
            flux_factor(unit)
            return unit, None
    except ValueError:
        return None, zero_point
    survey = str(header.get('SURVEY', '')).strip().upper()
    if zero_point is None and not _bunit(header) and survey in NANOMAGGY_SURVEYS:
        return parse_unit('nmgy'), None
    return None, zero_point


def unknown_unit(header):
    """The unit that a header states and nobody understands, as it is written; None if none."""
    text = '' if header is None else _bunit(header)
    try:
        unit = parse_unit(text)
        if unit is not None:
            flux_factor(unit)
    except ValueError:
        return text
    return None


def _seconds_of_counts(header):
    """
    Over how many seconds counts were summed: one where they are a rate, 0 where nobody knows.

    Images that AstroDrizzle made say in a keyword of its own that they are a rate, whatever
    BUNIT says; others in electrons are a sum over the exposure.
    """
    text = _bunit(header).lower().replace(' ', '')
    if text and not _is_counts(text):
        return 0
    if text.endswith((*PER_TIME, 'cps')) or str(header.get('D001OUUN')).strip() == 'cps':
        return 1
    exposure = header.get('EXPTIME')
    return exposure if text and _is_number(exposure) and exposure > 0 else 0


def _bunit(header):
    return str(header.get('BUNIT') or '').strip()


def _header_zero_point(header):
    """AB magnitude of one count; what cannot be one is warned of and left out."""
    low, high = PLAUSIBLE_ZERO_POINTS
    for key in ZERO_POINT_KEYWORDS:
        value = header.get(key)
        if not _is_number(value):
            continue
        if low <= value <= high:
            return float(value)
        warnings.warn(f'{key} = {value} in the header is no AB magnitude of one count, which is '
                      f'from {low:g} to {high:g}; it is not used', GalvaeWarning, stacklevel=2)
    flam, pivot = header.get('PHOTFLAM'), header.get('PHOTPLAM')  # of HST, for counts a second
    seconds = _seconds_of_counts(header)
    if _is_number(flam) and _is_number(pivot) and flam > 0 and pivot > 0 and seconds:
        value = -2.5 * math.log10(flam) - 5 * math.log10(pivot) - 2.408
        value += 2.5 * math.log10(seconds)
        return value if low <= value <= high else None
    flux = header.get('FLUXMAG0')  # of HSC and LSST: counts of magnitude zero
    if _is_number(flux) and flux > 0 and low <= 2.5 * math.log10(flux) <= high:
        return 2.5 * math.log10(flux)
    return None


def _is_number(value):
    return _is_real(value) and math.isfinite(value)


def _is_real(value):
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def pixel_area(wcs, pixel_scale, shape=None):
    """
    Area of a pixel in square arcseconds.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS` or None
    pixel_scale : float or None
        In arcsec; it goes before a WCS.
    shape : tuple of int, optional
        Of the image: the area is that in the middle, which may be far from the reference point.

    Returns
    -------
    area : float or None
        None if it is not known.
    """
    if pixel_scale is not None:
        low, high = PLAUSIBLE_SCALES
        if isinstance(pixel_scale, u.Quantity):
            pixel_scale = pixel_scale.to_value(u.arcsec)
        if not _is_real(pixel_scale):
            raise TypeError(f'pixel_scale is {pixel_scale!r}; expected a number of arcseconds')
        if not pixel_scale > 0 or not np.isfinite(pixel_scale):
            raise ValueError(f'pixel_scale is {pixel_scale}; '
                             'expected a positive number of arcseconds')
        if not low <= pixel_scale <= high:
            raise ValueError(f'pixel_scale is {pixel_scale} arcsec; expected one of an image of '
                             f'galaxies, from {low:g} to {high:g} arcsec')
        return float(pixel_scale) ** 2
    if wcs is None:
        return None
    sides = None if shape is None else pixel_sides(wcs, shape)
    if sides is not None:
        return float(sides[0] * sides[1])
    return float(proj_plane_pixel_area(wcs)) * 3600.0 ** 2


def pixel_sides(wcs, shape):
    """
    Sides of the pixel in the middle of an image, and the sine of the angle between them.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
    shape : tuple of int
        (ny, nx).

    Returns
    -------
    sides : tuple of float or None
        Height of the pixel over its longer side, and that side, in arcsec, so that their
        product is the area; None where the WCS does not reach.
    """
    steps = _pixel_steps(wcs, (shape[1] - 1) / 2, (shape[0] - 1) / 2)
    if steps is None:
        return None
    long = max(np.linalg.norm(step) for step in steps)
    return float(abs(np.linalg.det(steps)) / long), float(long)


def _pixel_steps(wcs, x, y):
    """(2, 2) array: how far on the sky, in arcsec, a pixel along each axis leads."""
    try:
        near = wcs.pixel_to_world(np.array([x - 0.5, x + 0.5, x, x]),
                                  np.array([y, y, y - 0.5, y + 0.5]))
        lon, lat = near.spherical_offsets_to(near[:1])
        steps = np.array([[v[1] - v[0], v[3] - v[2]] for v in (lon.arcsec, lat.arcsec)])
    except Exception:  # a WCS can fail in many ways; its reference point is taken then
        return None
    return steps.T if np.isfinite(steps).all() and abs(np.linalg.det(steps)) > 0 else None


def check_square(wcs, shape, origin):
    """
    Refuse an image whose pixels are not square: each galaxy would be stretched.

    Raises
    ------
    ValueError
        If the sides in the middle of the image differ by more than 10 per cent.
    """
    sides = pixel_sides(wcs, shape)
    if sides is not None and sides[1] > SQUARE * sides[0]:
        raise ValueError(f'{origin}: its pixels are {sides[0]:.4g} x {sides[1]:.4g} arcsec; '
                         'expected squares: resample the image to such, for example with '
                         'reproject')


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
