# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the headers of a field say, without its pixels: what would be done with its images."""

from dataclasses import dataclass

import numpy as np

from galvae_affiliated.images.bands import plan_channels
from galvae_affiliated.images.field import _on_same_grid, _pixel_areas, _reference, _stated_seeing
from galvae_affiliated.images.planes import read_planes
from galvae_affiliated.images.units import STATED_COUNTS, calibration, stated_calibration

__all__ = ['FieldHeaders', 'read_headers']

N_TRIED = 33  # pixels along each axis by which images of different grids are tried for overlap


@dataclass(frozen=True)
class FieldHeaders:
    """
    What the headers of a field say.

    Attributes
    ----------
    given : tuple of str
        Bands of the images.
    plan : `~galvae_affiliated.images.ChannelPlan`
        Which of them enter which channel.
    units : dict of str to str
        What a pixel of each band that is used is in, and who says so; empty where nobody does:
        the scale is estimated then.
    shape : tuple of int
        (ny, nx) of the common grid.
    wcs : `~astropy.wcs.WCS` or None
    pixel_scale : float or None
        In arcsec.
    seeing : float or None
        Of a star, in pixels, where a header states it.
    moved : tuple of str
        Bands that are on another grid and would be reprojected.
    """

    given: tuple
    plan: object
    units: dict
    shape: tuple
    wcs: object
    pixel_scale: float | None
    seeing: float | None
    moved: tuple


def read_headers(images, *, band_sets, scales=None, bands=None, unit=None, zero_point=None,
                 pixel_scale=None):
    """
    Look at the headers of the images of a field.

    Parameters
    ----------
    images, band_sets, scales, bands, unit, zero_point, pixel_scale : object
        As `~galvae_affiliated.images.FieldImages` takes them.

    Returns
    -------
    headers : `FieldHeaders`

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        As `~galvae_affiliated.images.FieldImages` raises them, as far as headers show it.
    """
    planes = read_planes(images, bands, headers_only=True)
    given = tuple(planes)
    plan = plan_channels(given, band_sets, scales)
    planes = [planes[band] for band in plan.bands]
    middle, target = planes[_reference(planes)], plan.bands[_reference(planes)]
    wcs = middle.wcs or next((plane.wcs for plane in planes if plane.wcs is not None
                              and plane.data.shape == middle.data.shape), None)
    moved = tuple(band for band, plane in zip(plan.bands, planes)
                  if _has_to_move(plane, middle, band, target))
    # a plane that is moved is none of those that were read
    aligned = [None if band in moved else plane for band, plane in zip(plan.bands, planes)]
    areas = _pixel_areas(planes, wcs, aligned, pixel_scale)
    area = areas[_reference(areas)]
    own = None if area is None else float(np.sqrt(area))
    stated = stated_calibration(unit, zero_point, plan.bands)
    units = {band: _unit_of(plane, *stated[i], areas[i])
             for i, (band, plane) in enumerate(zip(plan.bands, planes))}
    return FieldHeaders(given, plan, units, middle.data.shape, wcs, own,
                        _stated_seeing(planes, areas, own), moved)


def _has_to_move(plane, middle, band, target):
    """Whether a plane is on another grid, from which it can be brought to the common one."""
    if _on_same_grid(plane, middle):
        return False
    if plane.wcs is None or middle.wcs is None:
        raise ValueError(f'the image of band {band} has shape {plane.data.shape}, that of band '
                         f'{target} {middle.data.shape}, and without a WCS in both they '
                         'cannot be aligned')
    ny, nx = middle.data.shape
    y, x = np.meshgrid(np.linspace(0, ny - 1, N_TRIED), np.linspace(0, nx - 1, N_TRIED))
    there = plane.wcs.world_to_pixel(middle.wcs.pixel_to_world(x.ravel(), y.ravel()))
    inside = [(-0.5 <= place) & (place < size - 0.5)
              for place, size in zip(there, plane.data.shape[::-1])]
    if not np.logical_and(*inside).any():
        raise ValueError(f'the images of bands {band} and {target} do not overlap on the sky')
    return True


def _unit_of(plane, unit, zero_point, area):
    """What a pixel is in, and who says so; '' where its scale would be estimated."""
    if calibration(plane, unit, zero_point, area) is None:
        return ''
    if zero_point is not None:
        return f'counts of {zero_point:g} mag, as given'
    if unit is not None and unit is not STATED_COUNTS:
        return f'{unit}, as given'
    if unit is None and plane.unit is not None:
        return f'{plane.unit} of the header'
    return f'counts of {plane.zero_point:.4g} mag of the header'
