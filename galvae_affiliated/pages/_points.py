# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which rows of a table are points of a page, and which columns go with them."""

import numpy as np

from galvae_affiliated.flags import describe_flags
from galvae_affiliated.pages._encoding import category_block, number_block
from galvae_affiliated.tables.maps import floats_of, plain_values

BYTES_BEYOND = 5_000  # points, of more of which a number has one byte
VECTORS_UP_TO = 20_000  # points, of more of which vectors have no place
FEW = 20  # whole numbers that are told apart as texts are, such as those of clusters
MAX_VECTOR = 64  # components of a vector column that become columns
SKY_STEPS = 32  # bits of positions: 0.3 milliarcseconds of a circle


def sample_rows(n_rows, placed, kept, max_points, random_state=0):
    """
    Rows that are points of a page.

    Parameters
    ----------
    n_rows : int
    placed : (n_rows,) bool array
        Rows that have a place on the map.
    kept : (M,) int array
        Rows that are shown in any case, such as odd ones.
    max_points : int
    random_state : int, optional

    Returns
    -------
    rows : (n,) int array
        In ascending order; others than ``kept`` are drawn at random if there are too many.
    """
    rows = np.flatnonzero(placed)
    if len(rows) <= max_points:
        return rows
    kept = np.unique(kept)[:max_points]
    others = np.setdiff1d(rows, kept)
    rng = np.random.default_rng(random_state)
    drawn = rng.choice(others, max_points - len(kept), replace=False)
    return np.sort(np.concatenate([kept, drawn]))


def encode_columns(table, rows, names=None):
    """
    Columns by which points are coloured and described.

    Parameters
    ----------
    table : `~astropy.table.Table`
    rows : (n,) int array
    names : list of str, optional
        Columns; None takes all, but vectors where there are many rows.

    Returns
    -------
    entries : list of dict
        ``name``, ``text`` and ``unit`` of each, and ``block``, a
        `~galvae_affiliated.pages._encoding.Block`.

    Raises
    ------
    KeyError
        If there is no such column.
    """
    missing = [name for name in names or () if name not in table.colnames]
    if missing:
        raise KeyError(f'the table has no column {missing[0]!r}')
    bits = 16 if len(rows) <= BYTES_BEYOND else 8
    with_vectors = names is not None or len(rows) <= VECTORS_UP_TO
    entries = []
    for name in names or table.colnames:
        column = table[name]
        for label, part in _scalar_parts(name, column, with_vectors):
            block = _block(label, part[rows], bits)
            if block is not None:
                entries.append({'name': label, 'text': column.info.description or '',
                                'unit': str(getattr(column, 'unit', None) or ''),
                                'block': block})
    return entries


def _scalar_parts(name, column, with_vectors):
    """Name and values of each scalar that a column holds."""
    if hasattr(column, 'spherical'):  # coordinates
        sky = column.icrs
        return [(f'{name}.ra', sky.ra.deg), (f'{name}.dec', sky.dec.deg)]
    if len(column.shape) == 1:
        return [(name, column)]
    if len(column.shape) == 2 and with_vectors and column.shape[1] <= MAX_VECTOR:
        return [(f'{name} {i}', column[:, i]) for i in range(column.shape[1])]
    return []


def _block(name, values, bits):
    """A block of the values; None if they can be told neither by number nor by colour."""
    values = plain_values(values)
    if name == 'galvae_flags':
        return category_block(flag_texts(values))
    if values.dtype.kind in 'SUO':
        texts = [one.decode(errors='replace') if isinstance(one, bytes) else str(one)
                 for one in values.filled('' if values.dtype.kind == 'U' else b'').tolist()]
        return category_block(np.array(texts, dtype=str))
    if values.dtype.kind == 'b':
        return category_block(np.where(np.ma.getmaskarray(values), '',
                                       np.where(values.data, 'yes', 'no')))
    if values.dtype.kind in 'iu' and len(np.unique(values.compressed())) <= FEW:
        return category_block(np.ma.filled(values.astype(str), ''))
    if values.dtype.kind in 'iuf':
        is_sky = name.lower().rpartition('.')[2] in ('ra', 'dec')
        return number_block(floats_of(values), SKY_STEPS if is_sky else bits)
    return None


def flag_texts(flags):
    """(N,) array of the names of the bits of flags, 'none' where there are none."""
    values, back = np.unique(np.ma.filled(np.ma.asarray(flags), 0).astype(np.int64),
                             return_inverse=True)
    texts = [', '.join(describe_flags(value)) or 'none' for value in values.tolist()]
    return np.array(texts, dtype=str)[back.ravel()]
