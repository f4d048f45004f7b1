# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The seeing that a header states, in whichever unit it may be."""

import math
import re
import warnings
from dataclasses import dataclass

from galvae_affiliated.exceptions import GalvaeWarning

SEEING_KEYWORDS = ('PSF_FWHM', 'SEEING', 'FWHM')
# what a point spread function of an image in which galaxies are resolved can be
PLAUSIBLE_ARCSEC = (0.02, 6.0)
PLAUSIBLE_PIXELS = (0.8, 25.0)
# in the comment of a card, or after its number: 'FWHM = 4.1 / [pix] median of stars'
UNITS = {'arcsec': r'arc\s*sec\w*|asec\w*|\bas\b|["\u2033]', 'pix': r'\bpix(el)?s?\b|\bpx\b'}


@dataclass(frozen=True)
class StatedSeeing:
    """
    Full width at half maximum of stars, as a header states it.

    Attributes
    ----------
    value : float
    unit : {'arcsec', 'pix'} or None
        None where the header does not say.
    keyword : str
    """

    value: float
    unit: str | None
    keyword: str


def header_seeing(header):
    """
    What a header states of the seeing.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`, dict or None
        The first of ``PSF_FWHM``, ``SEEING`` and ``FWHM`` that holds a positive number counts.

    Returns
    -------
    seeing : `StatedSeeing` or None
    """
    comments = getattr(header, 'comments', None)
    for keyword in SEEING_KEYWORDS if header is not None else ():
        if keyword not in header:
            continue
        number = re.fullmatch(r'\s*([0-9.]+(?:e[-+]?[0-9]+)?)\s*(.*)', str(header[keyword]),
                              re.IGNORECASE | re.DOTALL)
        try:
            value = float(number.group(1)) if number else math.nan
        except ValueError:  # such as 1.2.3
            continue
        if value > 0 and math.isfinite(value):
            comment = '' if comments is None else comments[keyword]
            return StatedSeeing(value, _unit_in(number.group(2)) or _unit_in(comment), keyword)
    return None


def _unit_in(text):
    """The unit that a text names; None if none, or both."""
    found = [unit for unit, words in UNITS.items() if re.search(words, str(text), re.IGNORECASE)]
    return found[0] if len(found) == 1 else None


def seeing_in_pixels(stated, pixel_scale, origin):
    """
    A stated seeing in pixels; what it cannot be is warned of and not used.

    Parameters
    ----------
    stated : `StatedSeeing` or None
    pixel_scale : float or None
        Side of a pixel in arcsec.
    origin : str
        What to call the image in a message.

    Returns
    -------
    seeing : float or None
        None where nothing is known: where the unit is not stated and either may be meant, unless
        the keyword is SEEING, which is an angle by its meaning; and where an angle is stated of
        pixels of unknown size.
    """
    if stated is None:
        return None
    scale = pixel_scale or math.nan
    readings = {'arcsec': (stated.value / scale, stated.value), 'pix':
                (stated.value, stated.value * scale)}
    possible = {unit: pixels for unit, (pixels, arcsec) in readings.items()
                if stated.unit in (unit, None) and _is_plausible(pixels, PLAUSIBLE_PIXELS)
                and _is_plausible(arcsec, PLAUSIBLE_ARCSEC)}
    if stated.keyword == 'SEEING' and 'arcsec' in possible:
        possible = {'arcsec': possible['arcsec']}
    known = [pixels for pixels in possible.values() if math.isfinite(pixels)]
    if len(possible) == 1:
        return float(known[0]) if known else None
    (least, most), (small, large) = PLAUSIBLE_PIXELS, PLAUSIBLE_ARCSEC
    what = 'may be arcsec or pixels' if possible else (
        f'is no seeing, which is from {small:g} to {large:g} arcsec and from {least:g} to '
        f'{most:g} pixels')
    warnings.warn(f'{origin}: {stated.keyword} = {stated.value:g} {stated.unit or ""}'.rstrip()
                  + f' in the header {what}; it is not used, psf_fwhm states one',
                  GalvaeWarning, stacklevel=2)
    return None


def _is_plausible(value, limits):
    return math.isnan(value) or limits[0] <= value <= limits[1]
