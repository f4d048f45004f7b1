# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the sources are and how large, from the catalogues that astronomers have."""

import re
import warnings
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table

from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.sources._columns import plain_columns, table_from_arrow, table_from_frame

__all__ = ['Positions', 'read_positions']

# names of columns without regard to case, in the order of preference;
# (x, y, pixel number of the first pixel): SExtractor counts from one, Python from zero
PIXEL_COLUMNS = [('x_centroid', 'y_centroid', 0), ('xcentroid', 'ycentroid', 0),
                 ('XWIN_IMAGE', 'YWIN_IMAGE', 1), ('X_IMAGE', 'Y_IMAGE', 1),
                 ('pixel_centroid_x', 'pixel_centroid_y', 1), ('x', 'y', 0), ('x_0', 'y_0', 0),
                 ('x_fit', 'y_fit', 0), ('x_center', 'y_center', 0), ('xcenter', 'ycenter', 0),
                 ('x_centre', 'y_centre', 0), ('xpix', 'ypix', 0), ('x_pix', 'y_pix', 0)]
SKY_COLUMNS = [('ra', 'dec'), ('ALPHA_J2000', 'DELTA_J2000'),
               ('ALPHAWIN_J2000', 'DELTAWIN_J2000'), ('RAJ2000', 'DEJ2000'),
               ('RAJ2000', 'DECJ2000'), ('RA_ICRS', 'DE_ICRS'), ('RA_ICRS', 'DEC_ICRS'),
               ('ra_deg', 'dec_deg'), ('RAdeg', 'DEdeg'), ('RAdeg', 'DECdeg'),
               ('_RAJ2000', '_DEJ2000'), ('_RA.icrs', '_DE.icrs'), ('_RA_icrs', '_DE_icrs'),
               ('_RA', '_DE'), ('coord_ra', 'coord_dec'), ('right_ascension', 'declination'),
               ('TARGET_RA', 'TARGET_DEC'), ('raMean', 'decMean'), ('raStack', 'decStack'),
               ('ra_j2000', 'dec_j2000'), ('RA2000', 'DEC2000'), ('ra', 'decl'), ('ra', 'de'),
               ('ALPHA_SKY', 'DELTA_SKY'), ('ALPHAPEAK_J2000', 'DELTAPEAK_J2000'),
               ('world_centroid_alpha', 'world_centroid_delta'), ('i_ra', 'i_dec'),
               ('RIGHTASCENSION', 'DECLINATION'), ('RA(deg)', 'DEC(deg)'), ('alpha', 'delta'),
               # as coordinates are written to formats that have only numbers
               ('sky_centroid.ra', 'sky_centroid.dec'), ('skycoord.ra', 'skycoord.dec'),
               ('coord.ra', 'coord.dec')]
COORDINATE_COLUMNS = ('sky_centroid', 'skycoord', 'coord', 'sky_centroid_icrs')
# units as archives spell them, without brackets and regard to case
UNIT_SPELLINGS = {**dict.fromkeys(('deg', 'degs', 'degree', 'degrees', 'deg.', 'd.deg'), u.deg),
                  **dict.fromkeys(('pix', 'pixel', 'pixels', 'px', ''), u.pix),
                  **dict.fromkeys(('rad', 'radian', 'radians'), u.rad),
                  **dict.fromkeys(('arcsec', 'arcsecs', 'arcsecond', 'arcseconds', 'asec', '"'),
                                  u.arcsec),
                  **dict.fromkeys(('arcmin', 'arcmins', 'arcminute', 'arcminutes'), u.arcmin)}
SKY_NAME = re.compile(r'(^|[^a-z])(ra|dec|de|decl|alpha|delta|lon|lat)([^a-z]|mean|$)|ascension|'
                      r'declination', re.IGNORECASE)
CONTRADICTION = 5.0  # pixels between two positions of a source in the median
COMPARED = 1000  # sources of which the two positions are compared
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
        Used where the pixels are not known; else pixels are compared with it.
    radius : (N,) float array
        petroR90, NaN where it has to be measured.
    radius_unit : `~astropy.units.Unit` or None
        None stands for pixels.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galvae_affiliated.sources import read_positions
    >>> positions = read_positions(Table({'x': [10.0], 'y': [20.0], 'petro_r90': [4.5]}))
    >>> positions.x.tolist(), positions.y.tolist(), positions.radius_in_pixels(0.262).tolist()
    ([10.0], [20.0], [4.5])
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
        return self._pixels_of_sky(wcs)

    def check_against(self, wcs, shape):
        """
        Refuse positions that contradict each other, and warn of those that are all off the image.

        Parameters
        ----------
        wcs : `~astropy.wcs.WCS` or None
        shape : tuple of int
            (ny, nx) of the image.

        Raises
        ------
        ValueError
            If pixels and sky of the sources are known, and lie apart in this image.
        """
        some = self._sample(COMPARED)
        x, y = some.pixels(wcs)
        if some.x is not None and some.sky is not None and wcs is not None:
            apart = np.hypot(*(a - b for a, b in zip(some._pixels_of_sky(wcs), (x, y))))
            # a source that its pixels put off the image is flagged so
            apart = apart[~np.isnan(apart) & _on_image(x, y, shape)]
            if len(apart) and np.median(apart) > CONTRADICTION:
                raise ValueError(
                    'positions in pixels and on the sky contradict each other: in the median '
                    f'they lie {np.median(apart):.4g} pixels apart in these images; is the '
                    'catalogue of another part or image? position_columns says which '
                    'columns count')
        if len(x) < len(self.radius) and not _on_image(x, y, shape).any():
            x, y = self.pixels(wcs)
        known = ~np.isnan(x) & ~np.isnan(y)
        if known.any() and not _on_image(x, y, shape).any():
            warnings.warn('no source of the catalogue lies on the image: the median is at '
                          f'({np.median(x[known]):.6g}, {np.median(y[known]):.6g}) in pixels; '
                          f'expected 0 to {shape[1] - 1} and 0 to {shape[0] - 1}', GalvaeWarning,
                          stacklevel=5)

    def _sample(self, n):
        """Positions of at most about ``n`` sources."""
        rows = slice(None, None, max(1, len(self.radius) // n))
        parts = (None if value is None else value[rows]
                 for value in (self.x, self.y, self.sky, self.radius))
        return Positions(*parts, self.radius_unit)

    def _pixels_of_sky(self, wcs):
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


def _on_image(x, y, shape):
    return (-0.5 <= x) & (x < shape[1] - 0.5) & (-0.5 <= y) & (y < shape[0] - 0.5)


def as_table(catalog):
    """
    A new table with a row a source, whatever the catalogue is.

    Parameters
    ----------
    catalog : Table, SourceCatalog, structured array, SkyCoord, data frame, or list of cutouts
        Data frames are those of pandas and polars, and Arrow tables. A list holds
        `~astropy.nddata.Cutout2D`, photutils ``CutoutImage``, or None for a source without
        cutout.

    Returns
    -------
    table : `~astropy.table.Table` or `~astropy.table.QTable`
        A copy that shares nothing with the catalogue.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if isinstance(catalog, Table):
        return plain_columns(catalog.copy())
    if isinstance(catalog, SkyCoord):  # which has a to_table that keeps the names of its frame
        sky = catalog.icrs.reshape(-1)
        return QTable({'ra': sky.ra, 'dec': sky.dec})
    if hasattr(catalog, 'to_table'):
        return QTable(catalog.to_table())
    if isinstance(catalog, np.ndarray) and catalog.dtype.names:
        return plain_columns(Table(catalog))
    if isinstance(catalog, (list, tuple)) and all(c is None or _is_cutout(c) for c in catalog):
        xy = np.array([_cutout_position(c) for c in catalog], dtype=float).reshape(-1, 2)
        return Table({'x': xy[:, 0], 'y': xy[:, 1]})
    if hasattr(catalog, 'iloc') and hasattr(catalog, 'columns'):
        return plain_columns(table_from_frame(catalog))
    if hasattr(catalog, 'to_arrow'):  # polars
        catalog = catalog.to_arrow()
    if hasattr(catalog, 'column_names') and hasattr(catalog, 'schema'):
        return plain_columns(table_from_arrow(catalog))
    raise TypeError(f'the catalogue is a {type(catalog).__name__}; expected a Table, a photutils '
                    'SourceCatalog, a structured array, a SkyCoord, a data frame, or a list of '
                    'cutouts')


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


def read_positions(table, *, radius=None, radius_unit=None, position_columns=None):
    """
    Positions and radii of a table.

    Positions in pixels are taken where there are any (columns as photutils,
    SEP and SExtractor name them; SExtractor's count from one), else positions
    on the sky. Names count without regard to case.

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
    position_columns : str or sequence of str, optional
        Names of the two columns of positions, such as 'RA,DEC', or of one of coordinates.

    Returns
    -------
    positions : `Positions`

    Raises
    ------
    ValueError, TypeError
        If there are no positions, or columns are not numbers.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.table import QTable
    >>> from galvae_affiliated.sources import read_positions
    >>> table = QTable({'ra': [150.1] * u.deg, 'dec': [2.2] * u.deg, 'r_petro': [3.0] * u.arcsec})
    >>> positions = read_positions(table, radius='r_petro')
    >>> positions.sky.to_string('decimal'), positions.radius.tolist(), positions.radius_unit
    (['150.1 2.2'], [3.0], Unit("arcsec"))
    """
    x, y, sky = _read_places(table, position_columns)
    values, unit = _read_radii(table, radius)
    if unit is None and values is not None:
        unit = u.Unit(radius_unit) if radius_unit is not None else u.arcsec if x is None else u.pix
    if values is None:
        return Positions(x, y, sky, np.full(len(table), np.nan), None)
    if unit != u.pix and not unit.is_equivalent(u.arcsec):
        raise ValueError(f"radii are in '{unit}'; expected 'pix' or an angle")
    return Positions(x, y, sky, values, None if unit == u.pix else unit)


def used_columns(table, *, radius=None, position_columns=None):
    """
    Names of the columns that `read_positions` takes.

    Parameters
    ----------
    table, radius, position_columns : object
        As `read_positions` takes them, which checks them.

    Returns
    -------
    positions : list of str
        In pixels, else on the sky.
    radius : str or None
        None where no column holds petroR90.
    """
    if position_columns is not None:
        places = ([name.strip() for name in position_columns.split(',')]
                  if isinstance(position_columns, str) else list(position_columns))
    else:
        places = next((_found(table, pair)[:2] for pair in PIXEL_COLUMNS if _found(table, pair)),
                      None) or _sky_names(table)
    name = radius if isinstance(radius, str) else None
    return list(places), name if radius is not None else _radius_column(table)


def _read_places(table, names):
    """x, y and sky, each None where the table has none."""
    if names is not None:
        return _named_places(table, names)
    pixel = next(filter(None, (_found(table, pair) for pair in PIXEL_COLUMNS)), None)
    if pixel is None:
        return None, None, _sky_positions(table)
    x, y = _pixel_positions(table, *pixel)
    try:
        sky = _sky_positions(table)
    except (ValueError, TypeError):  # it is not needed
        sky = None
    return x, y, sky


def _named_places(table, names):
    """The positions of columns that the user names; what they are, their units or names say."""
    names = [name.strip() for name in names.split(',')] if isinstance(names, str) else list(names)
    missing = [name for name in names if name not in table.colnames]
    if missing:
        raise ValueError(f'there is no column {missing[0]!r} of positions; '
                         f'there are {", ".join(table.colnames[:12])}')
    if len(names) == 1 and isinstance(table[names[0]], SkyCoord):
        return None, None, table[names[0]].icrs
    if len(names) != 2:
        raise ValueError(f'position_columns names {len(names)} columns, {", ".join(names)}; '
                         'expected two, or one of coordinates')
    unit = _column_unit(table[names[0]])
    lower = tuple(name.lower() for name in names)
    first = next((first for *pair, first in PIXEL_COLUMNS
                  if tuple(name.lower() for name in pair) == lower), None)
    is_sky = unit is not None and unit.is_equivalent(u.deg)
    if is_sky or (unit is None and first is None and SKY_NAME.search(names[0])):
        return None, None, _sky_of(table, names)
    if first is None:
        first = 0
        warnings.warn(f'columns {names[0]!r} and {names[1]!r} are taken as pixels that count '
                      'from zero at the centre of the first', GalvaeWarning, stacklevel=4)
    return (*_pixel_positions(table, *names, first), None)


def _found(table, pair):
    """A pair of names (and what follows them) as the table spells it; None if it has not both."""
    names = []
    for name in pair[:2]:
        if name not in table.colnames:
            name = next((one for one in table.colnames if one.lower() == name.lower()), None)
        names.append(name)
    return None if None in names else (*names, *pair[2:])


def _pixel_positions(table, x_name, y_name, first):
    x, y = (numeric_column(table[name], name, u.pix) - first for name in (x_name, y_name))
    x[np.isinf(x)] = y[np.isinf(y)] = np.nan
    return x, y


def _sky_positions(table):
    names = _sky_names(table)
    return table[names[0]].icrs if len(names) == 1 else _sky_of(table, names)


def _sky_names(table):
    """Names of the two columns of positions on the sky, or of one of coordinates."""
    name = next((name for name in COORDINATE_COLUMNS
                 if name in table.colnames and isinstance(table[name], SkyCoord)), None)
    if name:
        return [name]
    others = [name for name in table.colnames if isinstance(table[name], SkyCoord)]
    pairs = [*((names, True) for names in SKY_COLUMNS), *((names, False) for names in SKY_COLUMNS)]
    # names that are spelled so come before those in another case
    pair = next((names if exact else _found(table, names) for names, exact in pairs
                 if ({*names} <= {*table.colnames} if exact else _found(table, names))), None)
    if pair is None and len(others) == 1:
        return others
    if pair is None:
        raise ValueError('the catalogue has no positions: expected x_centroid and y_centroid, '
                         'x and y, X_IMAGE and Y_IMAGE, or ra and dec, or position_columns; '
                         'it has '
                         f'{", ".join(table.colnames[:12]) or "no columns"}')
    return list(pair)


def _sky_of(table, pair):
    ra, dec = (numeric_column(table[name], name, u.deg) for name in pair)
    if pair[0].lower() == 'coord_ra' and _column_unit(table[pair[0]]) is None:
        _warn_of_radians(pair, ra, dec)
    off = ~(np.abs(dec) <= 90.0)
    return SkyCoord(np.where(off, np.nan, ra), np.where(off, np.nan, dec), unit='deg')


def _warn_of_radians(pair, ra, dec):
    """LSST's older tables are in radians."""
    if np.any(np.abs(dec) < 90) and np.nanmax(np.abs(dec)) <= np.pi / 2 \
            and np.nanmax(np.abs(ra)) <= 2 * np.pi:
        warnings.warn(f'columns {pair[0]!r} and {pair[1]!r} state no unit and could be radians; '
                      'they are taken as degrees', GalvaeWarning, stacklevel=5)


def _read_radii(table, radius):
    """Values and unit (None if not stated) of the radii; both None where they are measured."""
    if radius is None:
        name = _radius_column(table)
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


def _radius_column(table):
    """Name of the first column that is known to hold petroR90; None if there is none."""
    return next((found[0] for found in (_found(table, (c, c)) for c in RADIUS_COLUMNS)
                 if found), None)


def _column_radii(table, name):
    units = {one.lower(): unit for one, unit in RADIUS_COLUMNS.items()}
    unit = _column_unit(table[name])
    unit = units.get(name.lower()) if unit in (None, u.dimensionless_unscaled) else unit
    return numeric_column(table[name], name, unit), unit


def _column_unit(column):
    """The unit that a column states, in the spellings of archives; None if it states none."""
    unit = getattr(column, 'unit', None)
    if unit is None or not isinstance(unit, u.UnrecognizedUnit):
        return unit
    return UNIT_SPELLINGS.get(unit.to_string().strip(' []()').lower(), unit)


def numeric_column(column, name, unit):
    """(N,) floats of a column, NaN where masked; converted to ``unit`` if it states another."""
    stated = _column_unit(column)
    values = np.ma.asarray(getattr(column, 'value', column))
    if values.dtype.kind not in 'fiu':
        raise TypeError(f'column {name!r} holds {values.dtype}; expected numbers')
    if values.ndim != 1:
        raise ValueError(f'column {name!r} has shape {values.shape}; expected one number a row')
    values = np.ma.filled(values.astype(float), np.nan)
    if stated is None or unit is None or stated == unit:
        return values
    if unit == u.pix and stated == u.dimensionless_unscaled:
        return values
    if not stated.is_equivalent(unit):
        raise ValueError(f"column {name!r} is in '{stated}'; expected '{unit}'")
    return values * stated.to(unit)
