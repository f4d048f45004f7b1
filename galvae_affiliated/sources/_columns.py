# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Columns of data frames, Arrow tables and files, as columns of astropy that lose nothing."""

import numpy as np
from astropy.table import MaskedColumn, Table


def plain_columns(table):
    """
    Give columns of Python objects the type that their values have, in place.

    Text of variable length becomes text, and None is masked; so every format can hold them.

    Parameters
    ----------
    table : `~astropy.table.Table`
        Whose columns of objects are replaced where all values are of one kind.

    Returns
    -------
    table : `~astropy.table.Table`
        The same.
    """
    for name in table.colnames:
        column = table[name]
        kind = getattr(getattr(column, 'dtype', None), 'kind', '')
        if kind == 'O' and column.ndim == 1:
            plain = _plain_column(column)
            if plain is not None:
                table.replace_column(name, plain)
    return table


def _plain_column(column):
    """A column of objects as one of numbers, truth values or text; None if it holds others."""
    values = list(np.ma.getdata(column))
    masked = np.ma.getmaskarray(column)
    missing = np.array([m or is_null(v) for v, m in zip(values, masked)], dtype=bool)
    kinds = {_kind_of(value) for value, lost in zip(values, missing) if not lost}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is None:
        return None
    data = np.array([kind() if lost else _as_kind(value, kind)
                     for value, lost in zip(values, missing)],
                    dtype=None if kind in (str, int) else kind)
    if kind is int and data.dtype == object:  # beyond 64 bits
        return None
    about = {'name': column.info.name, 'unit': column.unit, 'format': column.format,
             'description': column.description, 'meta': column.meta}
    return MaskedColumn(data, mask=missing, **about)


def is_null(value):
    """Whether an object stands for a missing value: None, pandas' NA, masked."""
    return value is None or value is np.ma.masked or type(value).__name__ in ('NAType', 'NaTType')


def _kind_of(value):
    for kinds, kind in (((bool, np.bool_), bool), ((int, np.integer), int),
                        ((float, np.floating), float), ((str, bytes), str)):
        if isinstance(value, kinds):
            return kind
    return None


def _as_kind(value, kind):
    return value.decode() if isinstance(value, bytes) else kind(value)


def table_from_frame(frame):
    """
    A table of a pandas frame; integers with missing values stay integers, categories are text.

    Parameters
    ----------
    frame : ``pandas.DataFrame``
        Its index is kept as columns, unless it only counts the rows.

    Returns
    -------
    table : `~astropy.table.Table`
    """
    index = frame.index
    if type(index).__name__ != 'RangeIndex' or index.name is not None:
        taken = [name for name in index.names if name in frame.columns]
        frame = frame.reset_index(drop=bool(taken))
    table = Table()
    for position, name in enumerate(frame.columns):
        _add_column(table, name, _series_column(frame.iloc[:, position]))
    return table


def _series_column(series):
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in 'biufc':
        return np.array(series)
    import pyarrow as pa

    try:
        return _arrow_column(pa.Array.from_pandas(series), series.name)
    except pa.ArrowException:  # objects of several kinds
        return np.array(series, dtype=object)


def table_from_arrow(arrow):
    """
    A table of an Arrow table; nulls are masked, and nothing is rounded.

    Parameters
    ----------
    arrow : ``pyarrow.Table``

    Returns
    -------
    table : `~astropy.table.Table`

    Raises
    ------
    ValueError
        If a column holds what a table cannot, such as structures.
    """
    table = Table()
    for name, column in zip(arrow.column_names, arrow.columns):
        _add_column(table, name, _arrow_column(column.combine_chunks(), name))
    return table


def _add_column(table, name, column):
    """Add a column; two of one name cannot be told apart."""
    if str(name) in table.colnames:
        raise ValueError(f'the catalogue has two columns {str(name)!r}')
    table[str(name)] = column


def _arrow_column(values, name):
    """The values of an Arrow array, masked where they are null."""
    import pyarrow as pa
    from pyarrow import types

    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    kind = values.type
    if types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    null = np.asarray(values.is_null())
    if types.is_boolean(kind) or types.is_integer(kind):
        data = np.asarray(values.fill_null(False if types.is_boolean(kind) else 0))
    elif types.is_floating(kind):
        data = np.asarray(values.to_numpy(zero_copy_only=False))  # null is NaN
        return data if values.null_count == 0 else MaskedColumn(data, mask=null)
    elif types.is_null(kind):
        return MaskedColumn(np.full(len(values), np.nan), mask=True)
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _vectors(values.to_pylist())
    elif types.is_struct(kind) or types.is_map(kind) or types.is_union(kind):
        raise ValueError(f'column {str(name)!r} holds {kind}; expected numbers or text')
    else:
        data = _texts(values.to_pylist())
    return MaskedColumn(data, mask=null) if null.any() else data


def _texts(values):
    """Array of text: of text itself, and of dates, decimal numbers and bytes."""
    known = ['' if value is None else value for value in values]
    texts = [value.isoformat() if hasattr(value, 'isoformat') else
             value.decode() if isinstance(value, bytes) else str(value) for value in known]
    return np.array(texts, dtype=str)


def _vectors(rows):
    """(N, M) array of lists of one length, else an array of objects."""
    lengths = {len(row) for row in rows if row is not None}
    if len(lengths) == 1 and None not in rows:
        return np.array(rows)
    result = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        result[i] = None if row is None else np.array(row)
    return result
