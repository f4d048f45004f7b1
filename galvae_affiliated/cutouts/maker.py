# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From images and a catalogue to cutouts of equal size in radii."""

import numpy as np

from galvae_affiliated.cutouts._cutter import Cutter
from galvae_affiliated.cutouts.stack import CutoutStack
from galvae_affiliated.flags import UNMEASURED, GalvaeFlags
from galvae_affiliated.images.field import FieldImages
from galvae_affiliated.sources.detection import detect, detection_image, segment
from galvae_affiliated.sources.petrosian import measure_radii
from galvae_affiliated.sources.positions import as_table, read_positions

__all__ = ['CutoutMaker', 'open_field']

MAX_RADIUS = 1.0  # diagonals of the image: a larger radius is an error of the catalogue


class CutoutMaker:
    """
    Cutouts of any rows of a catalogue, so that many sources need little memory.

    Parameters
    ----------
    images : `~galvae_affiliated.images.field.FieldImages`
    positions : `~galvae_affiliated.sources.positions.Positions`
    grid : int
        Side of a cutout in its own pixels.
    field_of_view : float
        Side of a cutout in units of petroR90.
    rendering : str
        Name of the rendering that the model has for these bands.
    labels : (ny, nx) int array, optional
        Which source a pixel belongs to; neighbours are left out of the
        measurement of a radius (not of the cutout).
    """

    def __init__(self, images, positions, *, grid, field_of_view, rendering, labels=None):
        self.images, self.grid, self.field_of_view, self.labels = images, grid, field_of_view, labels
        self.rendering = rendering
        self.cutter = Cutter(images, grid, field_of_view)
        self.x, self.y = positions.pixels(images.wcs)
        self.given = positions.radius_in_pixels(images.pixel_scale)

    def __len__(self):
        return len(self.x)

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
        radius, flags = self.radii(x, y, given)
        data = np.empty((len(x), 3, self.grid, self.grid), dtype=np.float32)
        measured = (flags & UNMEASURED) == 0
        data[~measured] = np.nan
        kept = np.flatnonzero(measured)
        flags[kept] |= self.cutter.cut(x[kept], y[kept], radius[kept], data, kept)
        scale = self.images.pixel_scale or np.nan
        return CutoutStack(data, np.full(len(x), self.rendering), flags, radius, np.full(len(x), scale))

    def chunks(self, size):
        """Yield the cutouts of all rows, ``size`` at a time; one empty stack where there are none."""
        for start in range(0, max(len(self), 1), size):
            yield self.stack(slice(start, start + size))

    def radii(self, x, y, given):
        """
        Radii, given or measured.

        Parameters
        ----------
        x, y, given : (N,) float arrays
            In pixels; NaN where not known.

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
        radius[sought] = measure_radii(self.images, x[sought], y[sought], self.labels)
        bad = ~((0 < given) & (given <= MAX_RADIUS * np.hypot(nx, ny))) & ~np.isnan(given) & ~lost & ~off
        flags = np.zeros(len(x), dtype=np.int32)
        for rows, flag in ((lost, GalvaeFlags.BAD_POSITION), (off, GalvaeFlags.OFF_IMAGE),
                           (sought[np.isnan(radius[sought])], GalvaeFlags.NO_RADIUS), (bad, GalvaeFlags.BAD_RADIUS)):
            flags[rows] = flag
        return radius, flags


def open_field(images, catalog, model, *, radius=None, radius_unit=None, rendering=None, **image_options):
    """
    A maker of cutouts for the sources, and their table.

    Parameters
    ----------
    images, catalog, radius, radius_unit, rendering : object
        As `~galvae_affiliated.encode_catalog` takes them.
    model : `~galvae_affiliated.ModelBundle`
    **image_options
        As `~galvae_affiliated.images.field.FieldImages` takes them.

    Returns
    -------
    maker : `~galvae_affiliated.cutouts.maker.CutoutMaker`
    table : `~astropy.table.Table`
        A new table, a row a source.
    """
    table = None if catalog is None else as_table(catalog)
    positions = None if table is None else read_positions(table, radius=radius, radius_unit=radius_unit)
    renderings = flux_renderings(model, rendering)
    field = read_field(images, model, renderings, **image_options)
    labels = None
    if table is None:
        table, labels = detect(field)
        positions = read_positions(table, radius=radius, radius_unit=radius_unit)
    elif np.isnan(positions.radius).any():
        # neighbours have to be told from the galaxy whose radius is measured
        labels = segment(detection_image(field))
    return cutout_maker(field, positions, model, renderings, labels), table


def read_field(images, model, renderings, **image_options):
    """`~galvae_affiliated.images.field.FieldImages` in the bands of one of the model's ``renderings``."""
    return FieldImages(images, band_sets=list(renderings.values()), typical=model.manifest['input']['typical'],
                       **image_options)


def cutout_maker(field, positions, model, renderings, labels=None):
    """`~galvae_affiliated.cutouts.maker.CutoutMaker` on the model's grid, by the rendering of the field's bands."""
    rendering = next(name for name, bands in renderings.items() if bands == field.bands)
    return CutoutMaker(field, positions, grid=model.grid, field_of_view=model.field_of_view, rendering=rendering,
                       labels=labels)


def flux_renderings(model, rendering):
    """Renderings of flux that the model has, or the one that was asked for: name to bands from red to blue."""
    known = {entry['name']: tuple(entry['bands']) for entry in model.renderings if entry['kind'] == 'flux'}
    if rendering is None:
        return known
    if rendering not in known:
        raise ValueError(f'the model {model.name} has no rendering {rendering!r} of flux; it has {", ".join(known)}')
    return {rendering: known[rendering]}
