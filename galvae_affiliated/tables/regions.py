# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sources of a table as regions of SAOImage DS9."""

import astropy.units as u
import numpy as np

from galvae_affiliated._atomic import check_output, replacing
from galvae_affiliated.flags import UNMEASURED
from galvae_affiliated.sources.positions import read_positions
from galvae_affiliated.tables.identifiers import read_identifiers

__all__ = ['write_regions']

# without flags, with a warning, without latents
FLAG_COLORS = ('green', 'yellow', 'red')
COLORS = ('cyan', 'orange', 'magenta', 'green', 'yellow', 'blue', 'pink', 'white')
# what ends a text of a region, or a line
UNSAFE = str.maketrans(dict.fromkeys('{}\n\r\t', ' '))


def write_regions(table, path, *, text=None, color=None, radius=None, position_columns=None,
                  overwrite=False):
    """
    Write a circle of petroR90 for each source, with its identifier.

    Parameters
    ----------
    table : `~astropy.table.Table`
        With positions on the sky, or in pixels, which count from one in DS9.
    path : str or path
        Of the region file, which usually ends in .reg.
    text : str, optional
        Column of what is written at the sources; None takes the identifiers.
    color : str, optional
        Column of few texts that are told apart by colour, such as
        ``smooth-or-featured_answer``; None takes the flags: green without, yellow with
        warnings, red where a row has no latents.
    radius, position_columns : optional
        See `~galvae_affiliated.encode_catalog`; None takes ``galvae_radius`` where there is one.
    overwrite : bool, optional
        Replace a file of this name.

    Returns
    -------
    n_regions : int
        Sources that have a position.

    Raises
    ------
    ValueError, KeyError
        If there are no positions, or a column does not exist.
    FileExistsError
        If there is such a file.

    Examples
    --------
    >>> import tempfile
    >>> from astropy.table import Table
    >>> from galvae_affiliated.tables import write_regions
    >>> table = Table({'id': ['J1'], 'ra': [150.1], 'dec': [2.2], 'petro_r90': [4.0]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n_regions = write_regions(table, f'{folder}/sources.reg', radius='petro_r90')
    ...     with open(f'{folder}/sources.reg') as file:
    ...         print(file.read().strip())
    # Region file format: DS9 version 4.1
    global width=1
    icrs
    circle(150.1000000,2.2000000,4.000") # color=green text={J1}
    """
    check_output(path, overwrite)
    if radius is None and 'galvae_radius' in table.colnames:
        radius = 'galvae_radius'
    positions = read_positions(table, radius=radius, position_columns=position_columns)
    system, places = _places(positions)
    sizes = _sizes(positions, system)
    colors = _flag_colors(table) if color is None else _category_colors(table, color)
    texts = read_identifiers(table, text)
    lines = ['# Region file format: DS9 version 4.1', 'global width=1', system]
    known = np.flatnonzero(np.isfinite(places).all(axis=1))
    for row in known.tolist():
        place = ','.join(f'{value:.7f}' for value in places[row])
        shape = f'circle({place},{sizes[row]})' if sizes[row] else f'point({place})'
        label = texts[row].translate(UNSAFE).strip()
        lines.append(f'{shape} # color={colors[row]} text={{{label}}}')
    with replacing(path) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines) + '\n')
    return len(known)


def _places(positions):
    """Name of the system of coordinates, and (N, 2) places in it."""
    if positions.sky is not None:
        sky = positions.sky
        return 'icrs', np.stack([sky.ra.deg, sky.dec.deg], axis=1)
    return 'image', np.stack([positions.x, positions.y], axis=1) + 1.0


def _sizes(positions, system):
    """Radius of each source as DS9 reads it; empty where there is none in this system."""
    unit = positions.radius_unit
    if unit is not None:
        values, mark = (positions.radius * unit).to_value(u.arcsec), '"'
    else:
        values, mark = positions.radius, ''
    if system == 'icrs' and not mark:  # pixels, of an image that is not here
        return [''] * len(values)
    return [f'{value:.3f}{mark}' if np.isfinite(value) and value > 0 else '' for value in values]


def _flag_colors(table):
    if 'galvae_flags' not in table.colnames:
        return [FLAG_COLORS[0]] * len(table)
    flags = np.ma.filled(np.ma.asarray(table['galvae_flags']), 0)
    kind = np.where(flags & UNMEASURED, 2, np.where(flags != 0, 1, 0))
    return [FLAG_COLORS[i] for i in kind.tolist()]


def _category_colors(table, name):
    """A colour for each of the most frequent texts; white for others, and where masked."""
    texts = np.array(read_identifiers(table, name), dtype=str)
    labels, place, counts = np.unique(texts, return_inverse=True, return_counts=True)
    rank = np.empty(len(labels), dtype=int)
    rank[np.argsort(-counts, kind='stable')] = np.arange(len(labels))
    rank = np.where(labels == '', len(COLORS) - 1, np.minimum(rank, len(COLORS) - 1))
    return [COLORS[i] for i in rank[place.ravel()].tolist()]
