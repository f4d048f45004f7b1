# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Chunks of new columns, and a catalogue, to a file that is read as if it had been written at once.

What astropy writes of a sample of the rows says how the whole file is laid
out; the rows themselves are what it writes of each chunk.
"""

import tempfile
from contextlib import closing
from pathlib import Path

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Column, MaskedColumn, Table

from galvae_affiliated.models.encoder import unit_of_radii
from galvae_affiliated.tables.columns import with_columns
from galvae_affiliated.tables.files import writable_table

RADIUS = 'galvae_radius'
# of chunks alone: arcsec, and whether a row has latents
PIXEL_SCALE, MEASURED = 'galvae_pixel_scale', 'galvae_measured'

FITS_BLOCK = 2880
MASK = '.mask'  # of a column, beside its name
# keywords that say how the bytes of a row are to be read
LAYOUT = ('TTYPE', 'TFORM', 'TDIM', 'TSCAL', 'TZERO')


class ChunkedTable:
    """
    One table of a catalogue and chunks of new columns.

    Parameters
    ----------
    table : `~astropy.table.Table` or None
    n_rows : int
    output : path
    chunk : `~astropy.table.Table`
        A chunk without rows: its radii are in pixels, and there are the columns
        `PIXEL_SCALE` and `MEASURED`.
    """

    def __init__(self, table, n_rows, output, chunk):
        self.table = None if table is None else writable_table(table, output)
        self.n_rows = n_rows
        self.output = output
        self.chunk = chunk
        self.writer = WRITERS[output.suffix.lower()]
        # a column has one type, and one text width, in all chunks
        self.types = {name: chunk[name].dtype for name in chunk.colnames}
        self.masked = set()
        self.unit = u.pix

    def check_writable(self):
        """Raise at once for what cannot be written."""
        with tempfile.TemporaryDirectory() as folder:
            self.writer(Path(folder), self._sample(), 0).close()

    def join(self, parts, chunks):
        """
        Write the table, and remove the chunks.

        Parameters
        ----------
        parts : `~galvae_affiliated.tables.parts.PartFolder`
        chunks : list of slice
            Rows of each part.
        """
        self._scan(parts, len(chunks))
        with closing(self.writer(parts.folder, self._sample(), self.n_rows)) as joined:
            for i, rows in enumerate(chunks):
                joined.append(with_columns(self._rows(rows), self._columns(parts.read(i)),
                                           overwrite=True))
        parts.publish(joined.path)

    def _scan(self, parts, n_parts):
        """Find the types of all columns, which are masked anywhere, and the unit of the radii."""
        scales = []
        for i in range(n_parts):
            part = parts.read(i)
            for name in part.colnames:
                if self.types[name].kind == 'U':
                    # without rows the width of the text says nothing
                    known = [self.types[name]] if i else []
                    self.types[name] = np.result_type(part[name].dtype, *known)
                if np.any(getattr(part[name], 'mask', False)):
                    self.masked.add(name)
            known = np.isfinite(np.asarray(part[PIXEL_SCALE])[np.asarray(part[MEASURED])])
            scales += [*np.unique(known)]  # only whether all are known is asked for
        self.unit = unit_of_radii(np.where(scales, 1.0, np.nan))

    def _sample(self):
        """A few rows that have the types and masks of all."""
        rows = self._rows([] if self.table is None else _sample_rows(self.table))
        n_rows = min(self.n_rows, 1) if self.table is None else len(rows)
        blank = {}
        for name in self.chunk.colnames:
            shape = (n_rows, *self.chunk[name].shape[1:])
            mask = np.zeros(shape, dtype=bool)
            mask[:1] = name in self.masked
            blank[name] = MaskedColumn(np.zeros(shape, dtype=self.types[name]), mask=mask)
        return with_columns(rows, self._columns(blank), overwrite=True)

    def _rows(self, rows):
        """A table of these rows of the catalogue; one without columns where there is none."""
        return Table() if self.table is None else self.table[rows]

    def _columns(self, part):
        """The new columns of a part, or of blank rows, as they are in the table."""
        result = []
        for name in self.chunk.colnames:
            if name in (PIXEL_SCALE, MEASURED):
                continue
            like = self.chunk[name]
            data = np.ma.getdata(part[name]).astype(self.types[name], copy=False)
            unit = like.unit
            if name == RADIUS and self.unit == u.arcsec:
                data = data * np.ma.getdata(part[PIXEL_SCALE])
                unit = self.unit
            masked = {}
            if isinstance(like, MaskedColumn):
                masked['mask'] = np.ma.getmaskarray(part[name])
            result.append(type(like)(data, name=name, unit=unit, description=like.description,
                                     meta=like.meta, **masked))
        return result


class ParquetOutput:
    """
    A Parquet file, a row group a chunk.

    Parameters
    ----------
    folder : path
        Where the file ``joined`` is written.
    sample : `~astropy.table.Table`
        A few rows, with the columns, their types and widths of all; a column
        that is masked anywhere has to be masked in one of them.
    n_rows : int
        Of all chunks together.
    """

    def __init__(self, folder, sample, n_rows):
        self.path = folder / 'joined'
        self.scratch = folder / 'rows.parquet'
        sample.write(self.scratch, format='parquet', overwrite=True)
        self.schema = pq.read_schema(self.scratch)
        self.writer = pq.ParquetWriter(self.path, self.schema, version='2.4')

    def append(self, table):
        """Write the next rows; raises ValueError if their columns are not those of the sample."""
        table.write(self.scratch, format='parquet', overwrite=True)
        # not read_table, which takes an equals sign in the name of a folder for a column
        with pq.ParquetFile(self.scratch) as file:
            rows = file.read()
        unknown = set(rows.column_names) - set(self.schema.names)
        if unknown:
            raise ValueError(f'column {min(unknown)!r} is in some chunks only; it cannot be '
                             'written chunk by chunk')
        columns = [self._column(rows, field) for field in self.schema]
        self.writer.write_table(pa.table(columns, schema=self.schema),
                                row_group_size=max(len(table), 1))

    def _column(self, rows, field):
        """A column of the rows; astropy leaves a mask out where nothing is masked."""
        if field.name in rows.column_names:
            return rows[field.name]
        if not field.name.endswith('.mask'):
            raise ValueError(f'column {field.name!r} is in some chunks only; it cannot be '
                             'written chunk by chunk')
        is_vector = pa.types.is_fixed_size_list(field.type)
        width = field.type.list_size if is_vector else 1
        mask = pa.array(np.zeros(rows.num_rows * width, dtype=bool))
        return pa.FixedSizeListArray.from_arrays(mask, type=field.type) if is_vector else mask

    def close(self):
        self.writer.close()


class FitsOutput:
    """
    A FITS binary table.

    Parameters
    ----------
    folder, sample, n_rows : object
        See `ParquetOutput`.

    Raises
    ------
    ValueError
        If a column holds arrays of different lengths.
    """

    def __init__(self, folder, sample, n_rows):
        self.path = folder / 'joined'
        self.scratch = folder / 'rows.fits'
        sample.write(self.scratch, format='fits', overwrite=True)
        with fits.open(self.scratch) as hdus:
            primary, header = hdus[0].header.copy(), hdus[1].header.copy()
        if header['PCOUNT']:
            raise ValueError('arrays of different lengths in one column cannot be written '
                             'chunk by chunk')
        self.layout = _row_layout(header)
        # masks that are columns of their own, in the chunks where nothing is masked too
        self.masks = [name for name in sample.colnames
                      if f'{name}{MASK}' in {header.get(f'TTYPE{i + 1}')
                                             for i in range(header['TFIELDS'])}]
        header['NAXIS2'] = n_rows
        self.file = open(self.path, 'wb')
        for one in (primary, header):
            self.file.write(one.tostring().encode('ascii'))

    def append(self, table):
        """Write the next rows; raises ValueError if their columns are not those of the sample."""
        _with_masks(table, self.masks).write(self.scratch, format='fits', overwrite=True)
        with fits.open(self.scratch) as hdus:
            header = hdus[1].header.copy()
            place = hdus[1].fileinfo()['datLoc']
        differs = sorted(set(_row_layout(header).items()) ^ set(self.layout.items()))
        if differs:
            raise ValueError(f'{differs[0][0]} is not the same in all chunks; it cannot be '
                             'written chunk by chunk')
        with open(self.scratch, 'rb') as rows:
            rows.seek(place)
            self.file.write(rows.read(header['NAXIS1'] * header['NAXIS2']))

    def close(self):
        self.file.write(bytes(-self.file.tell() % FITS_BLOCK))
        self.file.close()


def _with_masks(table, names):
    """A table whose masked columns of these names are two: the values, and the mask."""
    table = table.copy(copy_data=False)
    for name in names:
        column = table[name]
        table.replace_column(name, Column(np.ma.getdata(column), unit=column.unit))
        table.add_column(np.ma.getmaskarray(column), name=f'{name}{MASK}',
                         index=table.index_column(name) + 1)
    return table


def _row_layout(header):
    """Keyword to value of what says where the columns of a FITS table are in a row."""
    return {key: header[key] for key in header if key.rstrip('0123456789') in LAYOUT}


def _sample_rows(table):
    """
    Rows that show what a table holds.

    The first, and of each column the first that is masked.

    Parameters
    ----------
    table : `~astropy.table.Table`

    Returns
    -------
    rows : list of int
        Empty for a table without rows.
    """
    rows = {0} if len(table) else set()
    for column in table.itercols():
        mask = np.asarray(getattr(column, 'mask', False))
        if mask.any():
            rows.add(int(mask.reshape(len(table), -1).any(axis=1).argmax()))
    return sorted(rows)


# ending of the file: what writes it
WRITERS = {'.parquet': ParquetOutput, '.fits': FitsOutput, '.fit': FitsOutput}
