# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From images and a catalogue to cutouts of equal size in radii."""

import numpy as np

from galvae_affiliated.cutouts._cutter import Cutter
from galvae_affiliated.cutouts.resolution import check_fwhm, unresolved
from galvae_affiliated.cutouts.source import fingerprint_of
from galvae_affiliated.cutouts.stack import CutoutStack
from galvae_affiliated.flags import UNMEASURED, GalvaeFlags
from galvae_affiliated.images.bands import plan_channels
from galvae_affiliated.images.field import FieldImages
from galvae_affiliated.sources.point_sources import psf_from_fwhm
from galvae_affiliated.sources.positions import as_table, read_positions

__all__ = ['CutoutMaker', 'open_cutouts', 'read_field']

MAX_RADIUS = 1.0  # diagonals of the image: a larger radius is an error of the catalogue


class CutoutMaker:
    """
    Cutouts of any rows of a catalogue, so that many sources need little memory.

    A `~galvae_affiliated.cutouts.CutoutSource`.

    Parameters
    ----------
    images : `~galvae_affiliated.images.FieldImages`
    positions : `~galvae_affiliated.sources.Positions`
    frame : `~galvae_affiliated.cutouts.ModelFrame`
    rendering : str, optional
        Name of the model's rendering of flux; None takes the first for the bands of the images.
    labels : (ny, nx) int array, optional
        Which source a pixel belongs to; neighbours are left out of the
        measurement of a radius (not of the cutout).
    sources : `~galvae_affiliated.sources.SourceMap`, optional
        What was found in the images, in place of ``labels``: its flags are those of the rows too,
        and a radius is doubted that its pixels do not bear out. Or
        `~galvae_affiliated.sources.mosaics.MeasuredSources`, a source a row.
    psf_r90 : float, optional
        petroR90 of a point source in pixels; NaN where it is not known.

    Raises
    ------
    ValueError
        If the model has no such rendering of these bands, or positions or radii need a WCS or
        pixel scale that the images do not have.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.cutouts import CutoutMaker, read_field
    >>> from galvae_affiliated.sources import read_positions
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> catalog = Table({'x': [70.0], 'y': [90.0], 'petro_r90': [15.5]})
    >>> frame = get_model().frame
    >>> field = read_field(images, frame, unit='nmgy', pixel_scale=0.262)
    >>> maker = CutoutMaker(field, read_positions(catalog), frame)
    >>> len(maker), maker.stack(slice(0, 1)).shape
    (1, (1, 3, 128, 128))
    """

    def __init__(self, images, positions, frame, *, rendering=None, labels=None,
                 sources=None, psf_r90=np.nan):
        self.images = images
        self.frame = frame
        self.labels = labels
        self.sources = sources
        self.psf_r90 = psf_r90
        self.rendering = _rendering_of(images, frame, rendering)
        self.cutter = Cutter(images, frame)
        self.x, self.y = positions.pixels(images.wcs)
        self.given = positions.radius_in_pixels(images.pixel_scale)

    def __len__(self):
        return len(self.x)

    def ids(self, rows):
        """None: the rows are those of a catalogue."""

    def stacks(self, slices):
        """Yield a `CutoutStack` of each slice of rows."""
        return map(self.stack, slices)

    def fingerprint(self):
        """Hash of positions and radii, and of what was measured of the images."""
        images = self.images
        return fingerprint_of(self.x, self.y, self.given, images.shape, images.noise,
                              images.residual, images.pixel_scale or np.nan, images.plan.channels,
                              images.plan.weights)

    def stack(self, rows=slice(None)):
        """
        Cutouts of some rows.

        Parameters
        ----------
        rows : slice, optional

        Returns
        -------
        stack : `CutoutStack`
        """
        x, y, given = self.x[rows], self.y[rows], self.given[rows]
        radius, flags = self._radii(x, y, given, rows)
        grid = self.frame.grid
        data = np.empty((len(x), 3, grid, grid), dtype=np.float32)
        measured = (flags & UNMEASURED) == 0
        data[~measured] = np.nan
        kept = np.flatnonzero(measured)
        flags[kept] |= self.cutter.cut(x[kept], y[kept], radius[kept], data, kept)
        resolution = radius / self.psf_r90
        doubts = unresolved(radius, resolution)
        if self.images.plan.is_few:
            doubts |= GalvaeFlags.FEW_BANDS
        flags |= np.where(flags & UNMEASURED, 0, doubts)
        scale = np.full(len(x), self.images.pixel_scale or np.nan)
        return CutoutStack(data, np.full(len(x), self.rendering), flags, radius, scale,
                           resolution, np.full(len(x), self.channels))

    @property
    def channels(self):
        """str : Bands of the channels; see `CutoutStack`."""
        return self.images.plan.channels

    def _radii(self, x, y, given, rows):
        """
        Radii, given or measured.

        Parameters
        ----------
        x, y, given : (N,) float arrays
            In pixels; NaN where not known.
        rows : slice
            Which rows these are.

        Returns
        -------
        radius : (N,) float array
            petroR90 in pixels, NaN where it is not known.
        flags : (N,) int32 array
        """
        ny, nx = self.images.shape
        lost = np.isnan(x) | np.isnan(y)
        off = ~lost & ~((-0.5 <= x) & (x < nx - 0.5) & (-0.5 <= y) & (y < ny - 0.5))
        radius = np.where(lost | off, np.nan, given)
        sought = np.flatnonzero(np.isnan(radius) & ~lost & ~off)
        flags = np.zeros(len(x), dtype=np.int32)
        radius[sought], flags[sought] = self._measured(x[sought], y[sought], rows, sought)
        is_possible = (0 < given) & (given <= MAX_RADIUS * np.hypot(nx, ny))
        flags[~is_possible & ~np.isnan(given)] = GalvaeFlags.BAD_RADIUS
        flags[sought[np.isnan(radius[sought])]] = GalvaeFlags.NO_RADIUS
        flags[off] = GalvaeFlags.OFF_IMAGE
        flags[lost] = GalvaeFlags.BAD_POSITION
        return radius, flags

    def _measured(self, x, y, rows, sought):
        """Radii of positions on the image, and what is said against them."""
        if not len(x):
            return np.zeros(0), np.zeros(0, dtype=np.int32)
        if hasattr(self.sources, 'radius'):  # of a mosaic, measured with its detection
            return self.sources.radius[rows][sought], self.sources.flags[rows][sought]
        # a catalogue with radii starts without what measures and detects
        from galvae_affiliated.sources.petrosian import measure_radii
        from galvae_affiliated.sources.sizes import measure_sizes

        if self.sources is None:
            return measure_radii(self.images, x, y, self.labels), np.zeros(len(x), dtype=np.int32)
        radius, is_uncertain = measure_sizes(self.images, self.sources, x, y)
        flags = np.append(self.sources.flags, 0).astype(np.int32)[self.sources.of_positions(x, y)]
        return radius, flags | np.where(is_uncertain, GalvaeFlags.RADIUS_UNCERTAIN, 0)


def open_cutouts(images, catalog, frame, *, radius=None, radius_unit=None, rendering=None,
                 position_columns=None, psf_fwhm=None, **image_options):
    """
    A maker of cutouts for the sources, and their table.

    Parameters
    ----------
    images, catalog, radius, radius_unit, rendering, position_columns : object
        As `~galvae_affiliated.encode_catalog` takes them.
    frame : `~galvae_affiliated.cutouts.ModelFrame`
    psf_fwhm : float, optional
        Seeing in arcsec, or in pixels where these have no known size; None takes it from the
        stars of the field where radii are measured, else from the header.
    **image_options
        See `read_field`.

    Returns
    -------
    maker : `CutoutMaker`
    table : `~astropy.table.Table`
        A new table, a row a source.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        Naming what is wrong, and what was expected.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.cutouts import open_cutouts
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> catalog = Table({'x': [70.0], 'y': [90.0], 'petro_r90': [15.5]})
    >>> maker, table = open_cutouts(images, catalog, get_model().frame, unit='nmgy',
    ...                             pixel_scale=0.262)
    >>> len(maker), len(table), maker.channels
    (1, 1, 'z,r,g')
    """
    table = None if catalog is None else as_table(catalog)
    positions = None
    if table is not None:
        positions = read_positions(table, radius=radius, radius_unit=radius_unit,
                                   position_columns=position_columns)
    field = read_field(images, frame, rendering=rendering, **image_options)
    if positions is not None and (positions.x is not None or field.wcs is not None):
        positions.check_against(field.wcs, field.shape)
    seeing, sources = _seeing_in_pixels(psf_fwhm, field), None
    if table is None:
        table, sources = _detected(field, seeing)
        positions = read_positions(table, radius=radius, radius_unit=radius_unit)
    elif np.isnan(positions.radius).any():
        sources = _sources_at(field, positions, seeing)
    psf_r90 = np.nan if sources is None else sources.psf_r90
    seeing = field.seeing if seeing is None and np.isnan(psf_r90) else seeing
    if seeing is not None:
        psf_r90 = psf_from_fwhm(seeing)[1]
    maker = CutoutMaker(field, positions, frame, rendering=rendering, sources=sources,
                        psf_r90=psf_r90)
    return maker, table


def _detected(field, seeing):
    """A table of the sources of a field, and what is known of them; large ones tile by tile."""
    from galvae_affiliated.sources import mosaics
    from galvae_affiliated.sources.detection import detect

    find = mosaics.detect_tiled if mosaics.is_large(field.shape) else detect
    return find(field, psf_fwhm=seeing)


def _sources_at(field, positions, seeing):
    """What is known of the sources at positions, from whose neighbours they are separated."""
    from galvae_affiliated.sources import mosaics
    from galvae_affiliated.sources.detection import map_sources

    if not mosaics.is_large(field.shape):
        return map_sources(field, psf_fwhm=seeing)
    x, y = positions.pixels(field.wcs)
    given = positions.radius_in_pixels(field.pixel_scale)
    x = np.where(np.isnan(given), x, np.nan)
    return mosaics.measure_tiled(field, x, y, psf_fwhm=seeing)


def _seeing_in_pixels(psf_fwhm, field):
    """The seeing that was given, in pixels; None if none was."""
    if psf_fwhm is None:
        return None
    return check_fwhm(psf_fwhm) / (field.pixel_scale or 1.0)


def read_field(images, frame, *, rendering=None, **image_options):
    """
    Images of a field in the bands that a model takes.

    Parameters
    ----------
    images : object
        As `~galvae_affiliated.encode_catalog` takes them; `FieldImages` are returned as they are.
    frame : `~galvae_affiliated.cutouts.ModelFrame`
    rendering : str, optional
        Name of the model's rendering of flux; None takes bands of any.
    **image_options
        ``bands``, ``unit``, ``zero_point``, ``pixel_scale`` and ``subtract_sky``, as
        `~galvae_affiliated.images.FieldImages` takes them.

    Returns
    -------
    field : `~galvae_affiliated.images.FieldImages`

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        Naming the image and what was expected; also for options beside `FieldImages`, and for
        bands that the model does not take.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.cutouts import read_field
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> field = read_field(images, get_model().frame, unit='nmgy', pixel_scale=0.262)
    >>> field.plan.channels
    'z,r,g'
    """
    if not isinstance(images, FieldImages):
        band_sets, scales = frame.band_sets(rendering)
        return FieldImages(images, band_sets=band_sets, scales=scales, typical=frame.typical,
                           **image_options)
    given = [name for name, value in image_options.items() if value is not None]
    if given:
        raise ValueError(f'{", ".join(given)} cannot be given with FieldImages, '
                         'which are read and calibrated already')
    _rendering_of(images, frame, rendering)
    return images


def _rendering_of(images, frame, rendering):
    """Name of the model's rendering of flux by which the channels of a field enter."""
    known = list(frame.flux_renderings(rendering))
    # the field may have been opened for one of them
    for some in [rendering] if rendering else [None, *known]:
        names = list(frame.flux_renderings(some))
        plan = plan_channels(images.given, *frame.band_sets(some))
        if (plan.bands, plan.weights) == (images.plan.bands, images.plan.weights):
            return names[plan.place]
    wanted = plan_channels(images.given, *frame.band_sets(rendering))
    raise ValueError(f'the channels of the field are {images.plan.channels}, from red to blue, as '
                     f'it was opened for another model or rendering; the model {frame.name} takes '
                     f'{wanted.channels}, scaled in its own way: open the field for it')
