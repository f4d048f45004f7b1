# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables from and to files of the formats that astronomers use."""

import io
import mmap
import re
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np

from galvae_affiliated._atomic import replacing
from galvae_affiliated._batches import row_slices

# ending of the output file: format name of astropy's Table, and its options
HDF5 = ('hdf5', {'path': 'galvae', 'serialize_meta': True})
FORMATS = {'.fits': ('fits', {}), '.fit': ('fits', {}), '.ecsv': ('ascii.ecsv', {}),
           '.parquet': ('parquet', {}), '.vot': ('votable', {}), '.xml': ('votable', {}),
           '.h5': HDF5, '.hdf5': HDF5, '.csv': ('ascii.csv', {})}
LDAC = 'LDAC_OBJECTS'
BOM = b'\xef\xbb\xbf'  # with which some programs begin a text in UTF-8
HDF5_META = '.__table_column_meta__'  # astropy's description of the columns of a table
MAX_LINE = 1 << 20
ROWS = 1 << 18  # identifiers that are looked at at a time
UNIT_IN_YAML = re.compile(r'unit:([^,}\n]*)')
UNIT_IN_XML = re.compile(rb'\bunit\s*=\s*["\']([^"\'<]{0,1000})')
DECIMAL_COMMA = re.compile(r'\s*[-+]?[0-9]+(,[0-9]+)?(e[-+]?[0-9]+)?\s*', re.IGNORECASE)
LEADING_ZERO = re.compile(rb'(^|[,;\t"])0[0-9]+(?=[,;\t"\r\n]|$)', re.MULTILINE)
WHOLE = re.compile(r'0[0-9]+')
FITS_NAME = re.compile(r'[.](fits?|fts)([.](gz|bz2|xz|zip|fz))?$', re.IGNORECASE)
NUMBER = re.compile(r'\s*[-+]?[0-9.]+(e[-+]?[0-9]+)?\s*', re.IGNORECASE)

# types that a format does not have: the next one that holds all their values
WIDER = {'fits': {'int8': 'int16'},
         'votable': {'int8': 'int16', 'uint16': 'int32', 'uint32': 'int64', 'float16': 'float32'}}


def output_format(path):
    """Format of astropy's tables for the ending of a file, and options of its writer."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f'{path}: the ending {suffix!r} is no known format; '
                         f'expected one of {", ".join(FORMATS)}')
    return FORMATS[suffix]


def write_table(table, path):
    """
    Write a table in the format that the file's ending says; a run that is ended leaves no half.

    Parameters
    ----------
    table : `~astropy.table.Table`
        Not changed. Numbers, masks and text are written as they are, in a wider type where
        the format has not this one.
    path : str or path
        A file of this name is replaced.

    Returns
    -------
    n_rows : int

    Raises
    ------
    ValueError
        If the format cannot hold a column.

    Examples
    --------
    >>> import tempfile
    >>> from astropy.table import Table
    >>> from galvae_affiliated.tables import write_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(Table({'id': [1, 2], 'galvae_flags': [0, 64]}), f'{folder}/out.parquet')
    2
    """
    kind, options = output_format(path)
    table = writable_table(table, path)
    with replacing(path) as unfinished:
        if kind == 'hdf5':
            _write_hdf5(table, unfinished, options)
        else:
            table.write(unfinished, format=kind, overwrite=True, **options)
    return len(table)


def _write_hdf5(table, path, options):
    """Write by way of the memory: where a disk is full, the library ends the process."""
    import h5py

    content = io.BytesIO()
    with h5py.File(content, 'w') as file:
        table.write(file, format='hdf5', **options)
    with open(path, 'wb') as file:
        file.write(content.getbuffer())


def check_identifiers(source, path):
    """
    Refuse before the work identifiers that the format of the output cannot hold.

    Parameters
    ----------
    source : `~galvae_affiliated.cutouts.CutoutSource`
        A set of cutouts.
    path : str or path
        The output, of which the ending counts.

    Raises
    ------
    ValueError
        Naming one that it cannot.
    """
    from astropy.table import Table

    if output_format(path)[0] == 'fits':
        for rows in row_slices(len(source), ROWS):
            _check_ascii(Table({'id_str': np.array(source.ids(rows), dtype=str)}), 'id_str', path)


def check_writable(table, path):
    """
    Refuse before the work a catalogue that the format of its output cannot hold.

    Parameters
    ----------
    table : `~astropy.table.Table`
    path : str or path
        The output; it is not touched.

    Raises
    ------
    ValueError
        Naming the column, and what was expected.
    """
    kind, options = output_format(path)
    table = writable_table(table, path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f'rows{Path(path).suffix}'

        def failure(part):
            try:
                part.write(file, format=kind, overwrite=True, **options)
            except Exception as error:  # each format has its own kinds
                return error
            return None

        error, what = failure(table[:2]), 'the catalogue'
        if error is None:
            return
        for name in table.colnames:
            # a column at a time says which one it is
            found = failure(table[[name]][:2])
            if found is not None:
                error, what = found, f'column {name!r}'
                break
    raise ValueError(f'{path}: {what} cannot be written in this format ({error}); leave it out, '
                     'or take another ending')


def writable_table(table, path):
    """
    A table as a format can hold it: the same values, and another type where it has to be.

    Parameters
    ----------
    table : `~astropy.table.Table`
        Not changed.
    path : str or path
        Of which the ending counts.

    Returns
    -------
    table : `~astropy.table.Table`
        A new one; the data of unchanged columns are shared.

    Raises
    ------
    ValueError
        If there is no type that holds the values of a column.
    """
    from galvae_affiliated.sources._columns import plain_columns

    kind, _ = output_format(path)
    table = plain_columns(table.copy(copy_data=False))
    if kind in ('votable', 'ascii.csv'):
        table = _without_coordinates(table)
    for name in table.colnames:
        if isinstance(getattr(table[name], 'dtype', None), np.dtype):
            _widen(table, name, kind, path)
    if kind == 'fits':
        for name in table.colnames:
            _check_ascii(table, name, path)
        table = _with_text_masks(_with_fits_nulls(table), 'fits')
    elif kind == 'ascii.ecsv':
        table = _with_text_masks(table, 'ecsv')
        if not len(table):
            _flatten_nothing(table)
    return table


def _flatten_nothing(table):
    """Vector columns of no rows as scalar ones, in place: ECSV of such cannot be read again."""
    for name in table.colnames:
        column = table[name]
        if getattr(column, 'ndim', 1) > 1:
            table.replace_column(name, column[(slice(None), *[0] * (column.ndim - 1))])


def _widen(table, name, kind, path):
    """Give a column the next type that the format has; the values stay."""
    column = table[name]
    wider = WIDER.get(kind, {}).get(column.dtype.name)
    if wider is not None:
        table.replace_column(name, _as_type(column, wider))
    elif kind == 'votable' and column.dtype.name == 'uint64':
        if len(column) and np.ma.max(np.ma.asarray(column)) > np.iinfo(np.int64).max:
            raise ValueError(f'{path}: column {name!r} holds integers beyond 2**63 - 1, which a '
                             'VOTable cannot; take another ending, such as .parquet')
        table.replace_column(name, _as_type(column, 'int64'))


def _as_type(column, dtype):
    """A column in another type; its values under a mask need not fit."""
    if not hasattr(column, 'mask'):
        return column.astype(dtype)
    result = column.filled(0).astype(dtype)
    return type(column)(result, mask=column.mask, name=column.name, unit=column.unit,
                        format=column.format, description=column.description, meta=column.meta)


def _check_ascii(table, name, path):
    column = table[name]
    texts = [name, str(getattr(column, 'unit', None) or '')]
    if getattr(column, 'dtype', np.dtype(float)).kind == 'U':
        texts += np.ma.asarray(column).filled('').ravel().tolist()
    odd = next((text for text in texts if not text.isascii()), None)
    if odd is not None:
        raise ValueError(f'{path}: column {name!r} holds {odd!r}, and FITS has no characters '
                         'beyond ASCII; take another ending, such as .parquet or .ecsv')


def _with_fits_nulls(table):
    """Masked integers with a null value that is no value of theirs, others with their mask."""
    from astropy.table import MaskedColumn

    for name in [name for name in table.colnames if isinstance(table[name], MaskedColumn)]:
        column = table[name]
        if not column.mask.any() or column.dtype.kind not in 'biu':
            continue
        used = np.ma.asarray(column).compressed()
        if column.dtype.kind != 'b' and not np.any(used == _default_null(column)):
            continue
        column = column.copy()
        null = _free_value(column, used)
        if null is None:
            # a column of its own, as astropy writes masks; it joins them on reading
            column.info.serialize_method['fits'] = 'data_mask'
        else:
            column.fill_value = null
        table.replace_column(name, column)
    return table


def _with_text_masks(table, kind):
    """Masks of text in columns of their own where some is empty: the formats take it for null."""
    from astropy.table import MaskedColumn

    for name in [name for name in table.colnames if isinstance(table[name], MaskedColumn)]:
        if _has_null_and_empty(table[name]):
            column = table[name].copy()
            column.info.serialize_method[kind] = 'data_mask'
            table.replace_column(name, column)
    return table


def _has_null_and_empty(column):
    """Whether a column of text has values that are masked, and others that are empty."""
    return (column.dtype.kind in 'US' and bool(column.mask.any())
            and bool(np.any(np.ma.asarray(column).compressed().astype(str) == '')))


def _default_null(column):
    """The value that astropy takes for null: numpy's 999999, as it is in the column's type."""
    return np.asarray(column.fill_value).astype(column.dtype)


def _free_value(column, used):
    """An integer that no row has; None if there is none, or FITS would not see it as null."""
    if column.dtype.kind != 'i' or column.ndim > 1:
        return None
    limits = np.iinfo(column.dtype)
    return next((value for value in (limits.min, limits.max, -9999)
                 if not np.any(used == value)), None)


def _without_coordinates(table):
    """SkyCoord columns as two of degrees: VOTable and CSV cannot hold the object."""
    from astropy.coordinates import SkyCoord

    for name in [name for name in table.colnames if isinstance(table[name], SkyCoord)]:
        place = table.index_column(name)
        sky = table[name].icrs
        table.replace_column(name, sky.ra)
        table.rename_column(name, f'{name}.ra')
        table.add_column(sky.dec, index=place + 1, name=f'{name}.dec')
    return table


def read_catalog(path):
    """
    A table of any format that astropy recognises by its ending or content.

    Identifiers keep all their digits, what is null is masked, and text is text.

    Parameters
    ----------
    path : str or path
        'file.fits[NAME]' names one of several tables of a FITS or HDF5 file. The tables that
        SExtractor writes of the chips of one file are stacked.

    Returns
    -------
    table : `~astropy.table.Table`

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no table that can be read, or holds several.

    Examples
    --------
    >>> import tempfile
    >>> from astropy.table import Table
    >>> from galvae_affiliated.tables import read_catalog
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Table({'id': ['007'], 'ra': [150.1], 'dec': [2.2]}).write(f'{folder}/sources.csv')
    ...     read_catalog(f'{folder}/sources.csv')['id'].tolist()
    ['007']
    """
    from astropy.io.registry import IORegistryError

    from galvae_affiliated.images._fits import split_extension
    from galvae_affiliated.sources._columns import plain_columns

    path, part = split_extension(str(path))
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: there is no such file')
    by_ending, _ = FORMATS.get(Path(path).suffix.lower(), ('ascii', {}))
    for kind in (None, by_ending):
        try:
            return plain_columns(_read_as(path, kind, part))
        except _SeveralTablesError as error:
            raise ValueError(str(error)) from None
        except (IORegistryError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
            failure = error
    raise ValueError(f'{path}: this is not a table that can be read ({failure})')


class _SeveralTablesError(Exception):
    """A file holds several tables, or not the one that was named."""


def _read_as(path, kind, part):
    """A table of a file, by its content and what astropy knows, or as one format."""
    from astropy.table import Table

    with open(path, 'rb') as file:
        start = file.read(4096)
    suffix = Path(path).suffix.lower()
    if start.startswith(b'SIMPLE') or FITS_NAME.search(str(path)):
        return _read_fits(path, part)
    if start.startswith(b'\x89HDF'):
        return _read_hdf5(path, part)
    if part is not None:
        raise _SeveralTablesError(f'{path}: [{part}] names a table of a FITS or HDF5 file, and '
                                  'this is none')
    if start.startswith(b'PAR1'):
        return _read_parquet(path)
    if b'<VOTABLE' in start:
        return _read_votable(path)
    if start.startswith(b'# %ECSV'):
        return _read_ecsv(path)
    if suffix == '.csv' or start.startswith((b'#Table1', BOM)):
        return _read_csv(path, start)
    return Table.read(path, format=kind) if kind else Table.read(path)


def _read_csv(path, start):
    """A table of comma-separated values, with comments before it or without."""
    from astropy.table import Table

    source = path
    if start.startswith((b'#', BOM)):
        source = _without_comments(Path(path).read_text(encoding='utf-8-sig'))
    delimiter = _delimiter(path if source is path else source)
    table = Table.read(source, format='ascii.csv', delimiter=delimiter)
    if delimiter == ';':
        _read_decimal_commas(table)
    with open(path, 'rb') as file, closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) \
            as content:
        has_zeros = LEADING_ZERO.search(content) is not None
    if has_zeros:  # of identifiers, which are no numbers then
        texts = Table.read(source, format='ascii.csv', delimiter=delimiter,
                           converters={'*': [_text_converter()]})
        for name in table.colnames:
            column = np.ma.asarray(texts[name]).filled('')
            if table[name].dtype.kind == 'i' and any(map(WHOLE.fullmatch, column.tolist())):
                table.replace_column(name, texts[name])
    return table


def _read_ecsv(path):
    from itertools import takewhile

    from astropy.table import Table

    with open(path, encoding='utf-8', errors='replace') as file:
        _check_units(''.join(takewhile(lambda line: line.startswith('#'), file)))
    return Table.read(path, format='ascii.ecsv')


def _check_units(text):
    """Refuse a description of columns with a unit that astropy would compute for ever."""
    from galvae_affiliated.images.units import ENDLESS_POWER

    for unit in UNIT_IN_YAML.findall(text):
        if ENDLESS_POWER.search(unit.strip(' \'"')):
            raise ValueError(f"a column has the unit '{unit[:100].strip()}', which is none")


def _delimiter(source):
    """What stands between the names of the first line: a comma, semicolon or tab."""
    if isinstance(source, str) and '\n' in source:
        line = source.split('\n', 1)[0]
    else:
        with open(source, encoding='utf-8-sig', errors='replace') as file:
            line = file.readline(MAX_LINE)
    return max((',', ';', '\t'), key=line.count)


def _read_decimal_commas(table):
    """Make numbers of columns such as '1,5', in place: spreadsheets write them with semicolons."""
    from astropy.table import MaskedColumn

    for name in table.colnames:
        column = table[name]
        if column.dtype.kind != 'U':
            continue
        mask = np.ma.getmaskarray(np.ma.asarray(column))
        texts = np.ma.asarray(column).filled('')
        if not mask.all() and all(map(DECIMAL_COMMA.fullmatch, texts[~mask].tolist())):
            values = [np.nan if lost else float(text.replace(',', '.'))
                      for text, lost in zip(texts, mask)]
            made = MaskedColumn(values, mask=mask) if mask.any() else np.array(values)
            table.replace_column(name, made)


def _text_converter():
    from astropy.io import ascii

    return ascii.convert_numpy(str)


def _without_comments(text):
    """CSV without the lines before its header; SkyServer writes '#Table1' there."""
    lines = text.split('\n')
    n_comments = next((i for i, line in enumerate(lines) if not line.startswith('#')), 0)
    rest = lines[n_comments:]
    last = lines[n_comments - 1] if n_comments else ''
    # '#id,ra,dec' above numbers is the header itself
    is_header = ',' in last and last.count(',') == rest[0].count(',') and any(
        map(NUMBER.fullmatch, rest[0].split(',')))
    return '\n'.join([last.lstrip('# ')] * is_header + rest)


def _read_fits(path, part):
    """The table of a FITS file, the one that was named, or SExtractor's of all chips."""
    from astropy.io import fits
    from astropy.table import Table, vstack

    from galvae_affiliated.images._containers import plain_fits

    with plain_fits(path) as source, \
            fits.open(source, memmap=False, character_as_bytes=True) as hdus:
        places = [i for i, hdu in enumerate(hdus) if isinstance(hdu, _table_kinds())]
        names = [hdus[i].name or str(i) for i in places]
        if part is not None:
            wanted = [i for i, name in zip(places, names) if part in (i, name) or
                      str(part).upper() == name.upper()]
        else:
            wanted = [i for i, name in zip(places, names) if name == LDAC] or places
        if not wanted:
            raise _SeveralTablesError(f'{path}: there is no table {"" if part is None else part!r};'
                                      f' there are {", ".join(names) or "none"}')
        if len(wanted) > 1 and not all(names[places.index(i)] == LDAC for i in wanted):
            raise _SeveralTablesError(_several(path, names if len(set(names)) == len(names)
                                               else [str(i) for i in places]))
        for i in wanted:
            _check_units(''.join(f'unit: {unit}\n' for unit in hdus[i].header['TUNIT*'].values()))
        tables = [Table.read(hdus, format='fits', hdu=i) for i in wanted]
    if len(tables) > 1:
        for table in tables:
            table.meta.clear()
    return tables[0] if len(tables) == 1 else vstack(tables, metadata_conflicts='silent')


def _table_kinds():
    from astropy.io import fits

    return fits.BinTableHDU, fits.TableHDU


def _several(path, names):
    return (f'{path}: there are several tables, {", ".join(names)}; '
            f"name one as '{path}[{names[-1]}]'")


def _read_hdf5(path, part):
    """The table of an HDF5 file, or the one that was named."""
    import h5py
    from astropy.table import Table

    found = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.append(name)
                        if isinstance(item, h5py.Dataset) and item.dtype.names else None)
        for name in found:
            lines = file[f'{name}{HDF5_META}'][:] if f'{name}{HDF5_META}' in file else []
            _check_units('\n'.join(bytes(line).decode('utf-8', 'replace') for line in lines))
    if not found:
        raise ValueError('there is no table in this HDF5 file; pandas and others have layouts '
                         'of their own')
    if part is None and len(found) > 1:
        raise _SeveralTablesError(_several(path, found))
    name = found[0] if part is None else str(part)
    if name not in found:
        raise _SeveralTablesError(f'{path}: there is no table {name!r}; '
                                  f'there are {", ".join(found)}')
    table = Table.read(path, format='hdf5', path=name)
    for name in table.colnames:
        column = table[name]
        if getattr(column, 'dtype', np.dtype(float)).kind == 'S':
            table.replace_column(name, _as_text(column))
    return table


def _as_text(column):
    """A column of UTF-8 as one of text, with its mask."""
    mask = {'mask': column.mask} if hasattr(column, 'mask') else {}
    text = np.char.decode(np.ma.getdata(column), 'utf-8')
    return type(column)(text, name=column.name, unit=column.unit, format=column.format,
                        description=column.description, meta=column.meta, **mask)


def _read_parquet(path):
    """The table of a Parquet file, which others than astropy wrote, nulls and all."""
    import pyarrow.parquet as pq
    from astropy.table import Table

    from galvae_affiliated.sources._columns import table_from_arrow

    try:
        metadata = pq.read_schema(path).metadata or {}
        if b'table_meta_yaml' in metadata:
            _check_units(metadata[b'table_meta_yaml'].decode('utf-8', 'replace'))
            return Table.read(path, format='parquet')
        # not read_table, which takes an equals sign in the name of a folder for a column
        with pq.ParquetFile(path) as file:
            return table_from_arrow(file.read())
    except (ArithmeticError, RuntimeError) as error:  # Arrow's own kinds
        raise ValueError(str(error)) from None


def _read_votable(path):
    """The table of a VOTable, with its columns under their own names."""
    from astropy.io import votable

    with open(path, 'rb') as file, closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) \
            as content:
        _check_units(''.join(f'unit: {unit.decode("utf-8", "replace")}\n'
                             for unit in UNIT_IN_XML.findall(content)))
    tables = [table for table in votable.parse(path).iter_tables() if not table.is_empty()
              or table.fields]
    if len(tables) > 1:
        names = [table.ID or table.name or str(i) for i, table in enumerate(tables)]
        raise _SeveralTablesError(f'{path}: there are several tables, {", ".join(names)}; '
                                  'write the one that is meant to a file of its own')
    if not tables:
        raise ValueError('there is no table in this VOTable')
    return tables[0].to_table(use_names_over_ids=True)
