# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a pixel's number means: from what the user states and what an image says of itself to a flux."""

import numpy as np
from astropy.wcs.utils import proj_plane_pixel_area

from galvae_affiliated._units import flux_factor, parse_unit, zero_point_factor

__all__ = ['calibration', 'pixel_area', 'stated_calibration']

COUNTS = 'counts'


def pixel_area(wcs, pixel_scale):
    """Area of a pixel in square arcseconds, None if nobody says; what the user says counts most."""
    if pixel_scale is not None:
        if not pixel_scale > 0 or not np.isfinite(pixel_scale):
            raise ValueError(f'pixel_scale is {pixel_scale}; expected a positive number of arcseconds')
        return float(pixel_scale) ** 2
    return None if wcs is None else float(proj_plane_pixel_area(wcs)) * 3600.0 ** 2


def stated_calibration(unit, zero_point, bands):
    """(unit, zero point) of each band that the user states: (None, None) if nothing, `COUNTS` for counts."""
    parsed = None if unit is None else parse_unit(unit) or COUNTS
    if parsed not in (None, COUNTS):
        flux_factor(parsed)
        if zero_point is not None:
            raise ValueError(f"the unit is '{unit}' and there is a zero point; a zero point goes with counts alone")
    if zero_point is None:
        return [(parsed, None)] * len(bands)
    if isinstance(zero_point, dict):
        missing = [band for band in bands if band not in zero_point]
        if missing:
            raise ValueError(f'zero_point names {", ".join(zero_point)}; band {missing[0]} is missing')
        return [(COUNTS, zero_point[band]) for band in bands]
    if not np.isscalar(zero_point):
        raise TypeError(f'zero_point is a {type(zero_point).__name__}; expected a number, or a dict of band to number')
    return [(COUNTS, zero_point)] * len(bands)


def calibration(plane, unit, zero_point, area):
    """Nanomaggies per square arcsecond in one pixel value; None if that is not known."""
    if unit is None:
        unit, zero_point = plane.unit, plane.zero_point
    elif unit is COUNTS:
        # the user says what a number is; the header may still say how bright one is
        unit, zero_point = None, plane.zero_point if zero_point is None else zero_point
    if unit is not None:
        factor, per_area = flux_factor(unit)
        return factor if per_area else (factor / area if area else None)
    if zero_point is not None and area:
        return zero_point_factor(float(zero_point)) / area
    return None
