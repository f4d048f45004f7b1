# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the sources are and how large, from the catalogues that astronomers have."""

import warnings
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table

__all__ = ['Positions', 'read_positions']

# (x, y, pixel number of the first pixel): SExtractor counts from one, Python from zero
PIXEL_COLUMNS = [('x_centroid', 'y_centroid', 0), ('xcentroid', 'ycentroid', 0),
                 ('XWIN_IMAGE', 'YWIN_IMAGE', 1), ('X_IMAGE', 'Y_IMAGE', 1), ('x', 'y', 0),
                 ('x_0', 'y_0', 0), ('x_fit', 'y_fit', 0)]
SKY_COLUMNS = [('ra', 'dec'), ('RA', 'DEC'), ('Ra', 'Dec'), ('ALPHA_J2000', 'DELTA_J2000'),
               ('ALPHAWIN_J2000', 'DELTAWIN_J2000'), ('RAJ2000', 'DEJ2000'), ('RA_ICRS', 'DE_ICRS'),
               ('ra_deg', 'dec_deg'), ('_RAJ2000', '_DEJ2000')]
COORDINATE_COLUMNS = ('sky_centroid', 'skycoord', 'coord', 'sky_centroid_icrs')
# columns that hold petroR90 itself, and their unit where the column states none
RADIUS_COLUMNS = {'petro_r90': None, 'petroR90_r': u.arcsec, 'petroR90': u.arcsec,
                  'PETROR90_R': u.arcsec, 'petrosian_r90': None, 'galvae_radius': None}


@dataclass(frozen=True)
class Positions:
    """
    Positions and radii of N sources.

    Attributes
    ----------
    x, y : (N,) float array or None
        Pixels, counted from zero at the centre of the first; NaN where missing.
    sky : `~astropy.coordinates.SkyCoord` or None
        Used where the pixels are not known.
    radius : (N,) float array
        petroR90, NaN where it has to be measured.
    radius_unit : `~astropy.units.Unit` or None
        None stands for pixels.
    """

    x: np.ndarray | None
    y: np.ndarray | None
    sky: SkyCoord | None
    radius: np.ndarray
    radius_unit: object

    def pixels(self, wcs):
        """
        Pixel positions in an image.

        Parameters
        ----------
        wcs : `~astropy.wcs.WCS` or None

        Returns
        -------
        x, y : (N,) float arrays
            NaN where the position is missing, infinite where the WCS does not reach it.

        Raises
        ------
        ValueError
            If only the sky positions are known and there is no WCS.
        """
        if self.x is not None:
            return self.x, self.y
        if wcs is None:
            raise ValueError('the catalogue gives positions on the sky, but the images have no '
                             'WCS; give x and y in pixels, or images with a WCS')
        finite = np.isfinite(self.sky.ra.deg) & np.isfinite(self.sky.dec.deg)
        x, y = np.full(len(finite), np.nan), np.full(len(finite), np.nan)
        if finite.any():
            with warnings.catch_warnings():
                # far from the image a distortion has no inverse
                warnings.filterwarnings('ignore', message='.*failed to converge')
                pixels = wcs.world_to_pixel(self.sky[finite])
            # what the projection cannot reach is far off the image, not missing
            x[finite], y[finite] = (np.where(np.isfinite(p), p, np.inf) for p in pixels)
        return x, y

    def radius_in_pixels(self, pixel_scale):
        """(N,) float array; ``pixel_scale`` is in arcsec."""
        if self.radius_unit is None:
            return self.radius
        if pixel_scale is None:
            raise ValueError(f'the radii are in {self.radius_unit}, but no pixel scale is known; '
                             'give pixel_scale in arcsec, or images with a WCS')
        return self.radius * self.radius_unit.to(u.arcsec) / pixel_scale


def as_table(catalog):
    """
    A new table with a row a source, whatever the catalogue is.

    Parameters
    ----------
    catalog : Table, photutils ``SourceCatalog``, structured array, SkyCoord, or list of cutouts
        A list holds `~astropy.nddata.Cutout2D`, photutils ``CutoutImage``, or
        None for a source without cutout.

    Returns
    -------
    table : `~astropy.table.Table` or `~astropy.table.QTable`
        A copy; the columns of a table are shared until they are written to.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if isinstance(catalog, Table):
        return catalog.copy(copy_data=False)
    if isinstance(catalog, SkyCoord):  # which has a to_table that keeps the names of its frame
        sky = catalog.icrs.reshape(-1)
        return QTable({'ra': sky.ra, 'dec': sky.dec})
    if hasattr(catalog, 'to_table'):
        return QTable(catalog.to_table())
    if isinstance(catalog, np.ndarray) and catalog.dtype.names:
        return Table(catalog)
    if isinstance(catalog, (list, tuple)) and all(c is None or _is_cutout(c) for c in catalog):
        xy = np.array([_cutout_position(c) for c in catalog], dtype=float).reshape(-1, 2)
        return Table({'x': xy[:, 0], 'y': xy[:, 1]})
    if hasattr(catalog, 'to_dict') and hasattr(catalog, 'columns'):
        return Table.from_pandas(catalog)
    raise TypeError(f'the catalogue is a {type(catalog).__name__}; expected a Table, a photutils '
                    'SourceCatalog, a structured array, a SkyCoord, or a list of cutouts')


def _is_cutout(value):
    if hasattr(value, 'input_position_original'):
        return True
    return hasattr(value, 'position') and hasattr(value, 'bbox_original')


def _cutout_position(cutout):
    """(x, y) in the original image; photutils' ``CutoutImage`` counts (y, x)."""
    if cutout is None:
        return np.nan, np.nan
    if hasattr(cutout, 'input_position_original'):  # position_original is rounded
        return cutout.input_position_original
    return cutout.position[::-1]


def read_positions(table, *, radius=None, radius_unit=None):
    """
    Positions and radii of a table.

    Positions in pixels are taken where there are any (columns as photutils,
    SEP and SExtractor name them; SExtractor's count from one), else positions
    on the sky.

    Parameters
    ----------
    table : `~astropy.table.Table`
    radius : str, float, array or `~astropy.units.Quantity`, optional
        petroR90: a column's name, one value for all, or one a source. None
        takes a column named ``petro_r90``, ``petroR90_r`` or so if there is
        one; else the radii are to be measured.
    radius_unit : str or `~astropy.units.Unit`, optional
        'pix' or an angle, where the radii state none. Without it radii without
        unit are pixels if the positions are, and arcseconds otherwise.

    Returns
    -------
    positions : `Positions`

    Raises
    ------
    ValueError, TypeError
        If there are no positions, or columns are not numbers.
    """
    x = y = sky = None
    pixel = next((names for names in PIXEL_COLUMNS if {*names[:2]} <= {*table.colnames}), None)
    if pixel:
        x, y = (numeric_column(table[name], name, u.pix) - pixel[2] for name in pixel[:2])
        x[np.isinf(x)] = y[np.isinf(y)] = np.nan
    else:
        sky = _sky_positions(table)
    values, unit = _read_radii(table, radius)
    if unit is None and values is not None:
        unit = (u.pix if pixel else u.arcsec) if radius_unit is None else u.Unit(radius_unit)
    if values is None:
        return Positions(x, y, sky, np.full(len(table), np.nan), None)
    if unit != u.pix and not unit.is_equivalent(u.arcsec):
        raise ValueError(f"radii are in '{unit}'; expected 'pix' or an angle")
    return Positions(x, y, sky, values, None if unit == u.pix else unit)


def _sky_positions(table):
    name = next((name for name in COORDINATE_COLUMNS
                 if name in table.colnames and isinstance(table[name], SkyCoord)), None)
    if name:
        return table[name].icrs
    pair = next((names for names in SKY_COLUMNS if {*names} <= {*table.colnames}), None)
    if pair is None:
        raise ValueError('the catalogue has no positions: expected x_centroid and y_centroid, '
                         'x and y, X_IMAGE and Y_IMAGE, or ra and dec; it has '
                         f'{", ".join(table.colnames[:12]) or "no columns"}')
    ra, dec = (numeric_column(table[name], name, u.deg) for name in pair)
    off = ~(np.abs(dec) <= 90.0)
    return SkyCoord(np.where(off, np.nan, ra), np.where(off, np.nan, dec), unit='deg')


def _read_radii(table, radius):
    """Values and unit (None if not stated) of the radii; both None where they are measured."""
    if radius is None:
        name = next((c for c in RADIUS_COLUMNS if c in table.colnames), None)
        return (None, None) if name is None else _column_radii(table, name)
    if isinstance(radius, str):
        if radius not in table.colnames:
            raise ValueError(f'there is no column {radius!r} of radii; '
                             f'there are {", ".join(table.colnames[:12])}')
        return _column_radii(table, radius)
    unit = getattr(radius, 'unit', None)
    values = np.ma.filled(np.ma.asarray(getattr(radius, 'value', radius), dtype=float), np.nan)
    if values.ndim and values.shape != (len(table),):
        raise ValueError(f'radius has shape {values.shape}; expected one value, or {len(table)}')
    return np.broadcast_to(values, len(table)).copy(), unit


def _column_radii(table, name):
    unit = getattr(table[name], 'unit', None) or RADIUS_COLUMNS.get(name)
    return numeric_column(table[name], name, unit), unit


def numeric_column(column, name, unit):
    """(N,) floats of a column, NaN where masked; converted to ``unit`` if it states another."""
    stated = getattr(column, 'unit', None)
    values = np.ma.asarray(getattr(column, 'value', column))
    if values.dtype.kind not in 'fiu':
        raise TypeError(f'column {name!r} holds {values.dtype}; expected numbers')
    if values.ndim != 1:
        raise ValueError(f'column {name!r} has shape {values.shape}; expected one number a row')
    values = np.ma.filled(values.astype(float), np.nan)
    if stated is None or unit is None or stated == unit:
        return values
    if not stated.is_equivalent(unit):
        raise ValueError(f"column {name!r} is in '{stated}'; expected '{unit}'")
    return values * stated.to(unit)
