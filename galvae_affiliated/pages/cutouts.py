# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts of any rows of a table that was made before, as pictures."""

from pathlib import Path

import astropy.units as u
import numpy as np

from galvae_affiliated._batches import CHUNK
from galvae_affiliated.cutouts.stack import CutoutStack
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.pages._thumbnails import shrink
from galvae_affiliated.tables.identifiers import read_identifiers
from galvae_affiliated.tables.maps import floats_of

__all__ = ['TableCutouts', 'open_table_cutouts']

MAX_GAP = 8  # rows that are not wanted, but read where the reading would begin anew after them
SET_COLUMN = 'id_str'


class TableCutouts:
    """
    Pictures of the rows of a table.

    Parameters
    ----------
    source : `~galvae_affiliated.cutouts.CutoutSource` or `~galvae_affiliated.CutoutStack`
        Of M cutouts.
    place : (N,) int array
        Which of them belongs to each row of the table; -1 for none.
    model : `~galvae_affiliated.ModelBundle`
    engine : `~galvae_affiliated.Engine`, optional

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.pages import open_table_cutouts
    >>> images = get_model().generate(3, random_state=0).images
    >>> cutouts = open_table_cutouts(images, Table({'id': [1, 2, 3]}))
    >>> [picture.shape for picture in cutouts.pictures([0, 2])]
    [(128, 128, 3), (128, 128, 3)]
    """

    def __init__(self, source, place, model, engine=None):
        self.source = source
        self.place = np.asarray(place, dtype=int)
        self.encoder = Encoder(model, engine)

    def __len__(self):
        return len(self.place)

    def pictures(self, rows, side=None):
        """
        Pictures of some rows.

        Parameters
        ----------
        rows : (n,) int array
        side : int, optional
            Pixels of a side, at most those of the model's grid; None takes these.

        Returns
        -------
        pictures : (n, side, side, 3) uint8 array
            Red, green, blue, the upper line first: of fields the first line of pixels is the
            lowest. Black where there is no cutout, or a pixel is missing.
        """
        side = side or self.encoder.model.grid
        places, back = np.unique(self.place[np.asarray(rows, dtype=int)], return_inverse=True)
        start = int(np.searchsorted(places, 0))
        made = np.zeros((len(places), side, side, 3), dtype=np.uint8)
        for part, stack in self._stacks(places[start:]):
            made[start + part.start:start + part.stop] = shrink(self.render(stack), side)
        return made[back]

    def render(self, stack):
        """
        Pictures of cutouts: composites as they are, flux as the network sees it.

        Parameters
        ----------
        stack : `~galvae_affiliated.CutoutStack` of N cutouts

        Returns
        -------
        pictures : (N, 3, grid, grid) float32 array
            In [0, 1]; see `pictures`.
        """
        pictures = np.clip(stack.data, 0.0, 1.0)
        np.copyto(pictures, 0.0, where=np.isnan(pictures))
        is_flux = np.isin(stack.rendering, list(self.encoder.model.frame.flux_renderings()))
        shown = np.flatnonzero(is_flux & stack.measured)
        pictures[is_flux] = 0.0
        if len(shown):
            frames = self.encoder.frames(stack[shown])[:, :, ::-1]
            pictures[shown] = np.clip(frames, 0.0, 1.0)
        return pictures

    def _stacks(self, places):
        """Yield slices of sorted places, and the `CutoutStack` of each."""
        starts = range(0, len(places), CHUNK)
        is_stack = isinstance(self.source, CutoutStack)
        if is_stack or hasattr(self.source, 'stack'):
            # a field has any rows at hand, too
            take = self.source.__getitem__ if is_stack else self.source.stack
            for start in starts:
                part = slice(start, min(start + CHUNK, len(places)))
                yield part, take(places[part])
            return
        breaks = np.flatnonzero(np.diff(places) > MAX_GAP) + 1
        for run in np.split(np.arange(len(places)), breaks):
            for start in range(0, len(run), CHUNK):
                part = slice(run[start], run[min(start + CHUNK, len(run)) - 1] + 1)
                wanted = places[part]
                stack, = self.source.stacks([slice(wanted[0], wanted[-1] + 1)])
                is_whole = len(stack) == len(wanted)
                yield part, stack if is_whole else stack[wanted - wanted[0]]


def open_table_cutouts(images, table, model=None, *, id_column=None, engine=None,
                       position_columns=None, **options):
    """
    Cutouts of a table that was made by `~galvae_affiliated.encode_catalog` or a set's encoding.

    Parameters
    ----------
    images : object
        A Parquet set of cutouts, a folder of FITS cutouts, a `~galvae_affiliated.CutoutStack`
        or an array (N, 3, grid, grid) with a cutout a row, or the images of a field, as
        `~galvae_affiliated.encode_catalog` takes them.
    table : `~astropy.table.Table` of N rows
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    id_column : str, optional
        Column of the identifiers of the cutouts of a set; None takes ``id_str``, and the order
        of the rows where there is none and as many cutouts as rows.
    engine : `~galvae_affiliated.Engine`, optional
        Where and how fluxes are rendered.
    position_columns : str or sequence of str, optional
        See `~galvae_affiliated.encode_catalog`.
    **options
        Of `~galvae_affiliated.open_field` or `~galvae_affiliated.cutouts.open_cutout_set`.

    Returns
    -------
    cutouts : `TableCutouts`

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        Naming what is wrong, and what was expected.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.pages import open_table_cutouts
    >>> images = get_model().generate(3, random_state=0).images
    >>> len(open_table_cutouts(images, Table({'id': [1, 2, 3]})))
    3
    """
    model = get_model(model)
    options = {name: value for name, value in options.items() if value not in (None, False)}
    if isinstance(images, CutoutStack) or getattr(images, 'ndim', 0) == 4:
        return _of_stack(images, table, model, engine)
    if _is_set(images):
        from galvae_affiliated.cutouts.sets import open_cutout_set

        source = open_cutout_set(images, model.frame, **options)
        return TableCutouts(source, _places_of_ids(table, source, id_column), model, engine)
    if options.pop('already_scaled', False):
        raise ValueError('already_scaled goes with a set of cutouts, not with images of a field')
    return _of_field(images, table, model, engine, position_columns, options)


def _of_stack(images, table, model, engine):
    if len(images) != len(table):
        raise ValueError(f'there are {len(images)} cutouts for {len(table)} rows')
    stack = images if isinstance(images, CutoutStack) else CutoutStack.from_composites(images)
    return TableCutouts(stack, np.arange(len(table)), model, engine)


def _of_field(images, table, model, engine, position_columns, options):
    """Cutouts of the rows that have a radius: nothing is measured anew."""
    from galvae_affiliated.cutouts.maker import open_cutouts

    if 'galvae_radius' not in table.colnames:
        raise KeyError('the table has no column galvae_radius: of which size its cutouts were is '
                       'not known')
    radius = floats_of(table['galvae_radius'])
    rows = np.flatnonzero(np.isfinite(radius) & (radius > 0))
    unit = table['galvae_radius'].unit or u.pix
    maker, _ = open_cutouts(images, table[rows], model.frame, radius=radius[rows] * unit,
                            position_columns=position_columns, **options)
    place = np.full(len(table), -1)
    place[rows] = np.arange(len(rows))
    return TableCutouts(maker, place, model, engine)


def _is_set(images):
    """Whether images are the path of a set of cutouts."""
    if not isinstance(images, (str, Path)):
        return False
    path = Path(images)
    return path.is_dir() or path.suffix.lower() in ('.parquet', '.pq')


def _places_of_ids(table, source, id_column):
    """(N,) int array: the cutout of each row by its identifier, -1 where there is none."""
    if id_column is None and SET_COLUMN not in table.colnames:
        if len(source) != len(table):
            raise ValueError(f'the set has {len(source)} cutouts, the table {len(table)} rows and '
                             'no column id_str; id_column names the one of the identifiers')
        return np.arange(len(table))
    texts = read_identifiers(table, id_column or SET_COLUMN)
    known = {}
    for place, one in enumerate(source.ids(slice(0, len(source)))):
        known.setdefault(one, place)
    place = np.array([known.get(one, -1) for one in texts], dtype=int)
    if len(place) and (place < 0).all():
        raise ValueError(f'no identifier of the table, such as {texts[0]!r}, is in the set '
                         f'of cutouts, which has {next(iter(known), "none")!r}')
    return place
