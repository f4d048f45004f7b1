# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a person calls the rows of a table."""

import numpy as np

from galvae_affiliated.tables.maps import plain_values

__all__ = ['find_id_column', 'read_identifiers']

ID_COLUMNS = ('id_str', 'galvae_id', 'id', 'ID', 'objid', 'objID', 'OBJID', 'object_id',
              'OBJECT_ID', 'source_id', 'NUMBER', 'name', 'NAME')


def find_id_column(table, name=None):
    """
    Column of the identifiers.

    Parameters
    ----------
    table : `~astropy.table.Table`
    name : str, optional
        Of the column; None takes the first of the usual names.

    Returns
    -------
    name : str or None
        None if there is no such column.

    Raises
    ------
    KeyError
        If there is no column of the name that was given.
    """
    if name is None:
        return next((one for one in ID_COLUMNS
                     if one in table.colnames and len(table[one].shape) == 1), None)
    if name not in table.colnames:
        raise KeyError(f'the table has no column {name!r} of identifiers; it has '
                       f'{", ".join(table.colnames[:12])}')
    return name


def read_identifiers(table, name=None, rows=None):
    """
    Identifiers of rows.

    Parameters
    ----------
    table : `~astropy.table.Table`
    name : str, optional
        See `find_id_column`. Rows of a table without identifiers have their number, from 0.
    rows : (n,) int array, optional
        None takes all.

    Returns
    -------
    ids : list of str
        Empty where masked.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galvae_affiliated.tables.identifiers import read_identifiers
    >>> read_identifiers(Table({'id': [7, 9], 'x': [1.0, 2.0]}))
    ['7', '9']
    >>> read_identifiers(Table({'x': [1.0, 2.0]}), rows=[1])
    ['1']
    """
    name = find_id_column(table, name)
    rows = np.arange(len(table)) if rows is None else np.asarray(rows, dtype=int)
    if name is None:
        return [str(row) for row in rows.tolist()]
    values = plain_values(table[name])[rows]
    if values.dtype.kind == 'S':
        values = np.ma.array(np.char.decode(values.filled(b''), 'utf-8', 'replace'),
                             mask=np.ma.getmaskarray(values))
    return [str(one) for one in np.ma.filled(values.astype(str), '').tolist()]
