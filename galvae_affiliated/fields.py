# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From what the user has -- images and a catalogue -- to a maker of cutouts and a table."""

import numpy as np

from galvae_affiliated._detect import detect, detection_image, segment
from galvae_affiliated.cutouts import CutoutMaker
from galvae_affiliated.images import FieldImages
from galvae_affiliated.positions import as_table, read_positions
from galvae_affiliated.registry import get_model

__all__ = ['make_cutouts', 'open_field']


def make_cutouts(images, catalog=None, bundle=None, *, rows=slice(None), **options):
    """
    Cutouts of the sources of a catalogue, on a model's grid.

    Parameters
    ----------
    images : mapping, sequence, array, `~astropy.units.Quantity`, `~astropy.nddata.NDData`, str or path
        See `~galvae_affiliated.encode_catalog`.
    catalog : `~astropy.table.Table`, ``SourceCatalog``, structured array, or list of cutouts, optional
        None detects the sources.
    bundle : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    rows : slice, optional
        Only these rows.
    **options
        ``bands``, ``unit``, ``zero_point``, ``pixel_scale``, ``subtract_sky``, ``radius``, ``radius_unit`` and
        ``rendering``, as `~galvae_affiliated.encode_catalog` takes them.

    Returns
    -------
    stack : `~galvae_affiliated.CutoutStack`
        N cutouts for N rows, in their order.
    """
    maker, _ = open_field(images, catalog, get_model(bundle), **options)
    return maker.stack(rows)


def open_field(images, catalog, bundle, *, radius=None, radius_unit=None, rendering=None, **image_options):
    """
    A maker of cutouts for the sources, and their table.

    Parameters
    ----------
    images, catalog, radius, radius_unit, rendering : object
        As `~galvae_affiliated.encode_catalog` takes them.
    bundle : `~galvae_affiliated.ModelBundle`
    **image_options
        As `~galvae_affiliated.images.FieldImages` takes them.

    Returns
    -------
    maker : `~galvae_affiliated.cutouts.CutoutMaker`
    table : `~astropy.table.Table`
        A new table, a row a source.
    """
    table = None if catalog is None else as_table(catalog)
    positions = None if table is None else read_positions(table, radius=radius, radius_unit=radius_unit)
    renderings = flux_renderings(bundle, rendering)
    field = read_field(images, bundle, renderings, **image_options)
    labels = None
    if table is None:
        table, labels = detect(field)
        positions = read_positions(table, radius=radius, radius_unit=radius_unit)
    elif np.isnan(positions.radius).any():
        # neighbours have to be told from the galaxy whose radius is measured
        labels = segment(detection_image(field))
    return cutout_maker(field, positions, bundle, renderings, labels), table


def read_field(images, bundle, renderings, **image_options):
    """`~galvae_affiliated.images.FieldImages` in the bands of one of the model's ``renderings``."""
    return FieldImages(images, band_sets=list(renderings.values()), typical=bundle.manifest['input']['typical'],
                       **image_options)


def cutout_maker(field, positions, bundle, renderings, labels=None):
    """`~galvae_affiliated.cutouts.CutoutMaker` on the model's grid, by the rendering of the field's bands."""
    rendering = next(name for name, bands in renderings.items() if bands == field.bands)
    return CutoutMaker(field, positions, grid=bundle.grid, field_of_view=bundle.field_of_view, rendering=rendering,
                       labels=labels)


def flux_renderings(bundle, rendering):
    """Renderings of flux that the model has, or the one that was asked for: name to bands from red to blue."""
    known = {entry['name']: tuple(entry['bands']) for entry in bundle.renderings if entry['kind'] == 'flux'}
    if rendering is None:
        return known
    if rendering not in known:
        raise ValueError(f'the model {bundle.name} has no rendering {rendering!r} of flux; it has {", ".join(known)}')
    return {rendering: known[rendering]}
