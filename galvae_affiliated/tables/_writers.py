# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Chunks of new columns, and a catalogue, to a file that is read as if it had been written at once.

What astropy writes of a sample of the rows tells how the whole file is laid
out; the rows themselves are what it writes of each chunk.
"""

import os
import shutil
import tempfile
from contextlib import closing
from pathlib import Path

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from galvae_affiliated.tables.columns import unit_of_radii, with_columns

__all__ = ['ChunkedTable', 'FitsOutput', 'OUTPUTS', 'ParquetOutput', 'RADIUS']

RADIUS = 'galvae_radius'  # chunks hold it twice, as galvae_radius.pix and galvae_radius.arcsec
FITS_BLOCK = 2880
LAYOUT = ('TTYPE', 'TFORM', 'TDIM', 'TSCAL', 'TZERO')  # keywords that say how the bytes of a row are to be read


class ChunkedTable:
    """
    One table of a catalogue and chunks of new columns.

    Parameters
    ----------
    table : `~astropy.table.Table` or None
    n_rows : int
    columns : list of `~astropy.table.Column`
        Those of a chunk, without rows.
    output : path
    """

    def __init__(self, table, n_rows, columns, output):
        self.table, self.n_rows, self.columns, self.output = table, n_rows, columns, output
        self.writer = OUTPUTS[output.suffix.lower()]
        # a column has one type, and one text width, in all chunks
        self.types, self.masked, self.unit = {column.name: column.dtype for column in columns}, set(), u.pix

    def rehearse(self):
        """Tell at once what cannot be written."""
        with tempfile.TemporaryDirectory() as folder:
            self.writer(Path(folder), self.sample(), 0).close()

    def join(self, parts, slices):
        """Write the table, and remove the chunks."""
        self.survey(parts, len(slices))
        with closing(self.writer(parts.folder, self.sample(), self.n_rows)) as joined:
            for i, rows in enumerate(slices):
                with parts.load(i) as part:
                    columns = self.filled(lambda name, part=part: (part[f'{name}.data'], part[f'{name}.mask']))
                joined.append(with_columns(self.rows(rows), columns, overwrite=True))
        os.replace(joined.path, self.output)
        shutil.rmtree(parts.folder)

    def survey(self, parts, n_parts):
        """Find the types of all columns, which of them are masked anywhere, and the unit of the radius."""
        n_measured = n_unscaled = 0
        for i in range(n_parts):
            with parts.load(i) as part:
                for column in self.columns:
                    if column.dtype.kind == 'U':
                        width = part[f'{column.name}.data'].dtype
                        # without rows the width of the text says nothing
                        self.types[column.name] = np.result_type(width, *[self.types[column.name]] * (i > 0))
                    if part[f'{column.name}.mask'].any():
                        self.masked.add(column.name)
                n_measured, n_unscaled = part['scales'] + (n_measured, n_unscaled)
        self.unit = unit_of_radii(n_measured, n_unscaled)

    def sample(self):
        """A few rows that have the types and masks of all."""
        rows = self.rows([] if self.table is None else sample_rows(self.table))
        n_rows = min(self.n_rows, 1) if self.table is None else len(rows)

        def blank(name):
            mask = np.zeros((n_rows, *shapes[name]), dtype=bool)
            mask[:1] = name in self.masked
            return np.zeros(mask.shape, dtype=self.types[name]), mask

        shapes = {column.name: column.shape[1:] for column in self.columns}
        return with_columns(rows, self.filled(blank), overwrite=True)

    def rows(self, rows):
        """A table of these rows of the catalogue; a table without columns where there is none."""
        return Table() if self.table is None else self.table[rows]

    def filled(self, values):
        """The new columns with the data and mask that ``values`` returns for a name."""
        result = []
        for column in self.columns:
            name = column.name
            if name.startswith(f'{RADIUS}.'):
                if column.unit != self.unit:
                    continue
                name = RADIUS
            data, mask = values(column.name)
            masked = {'mask': mask} if isinstance(column, MaskedColumn) else {}
            result.append(type(column)(data.astype(self.types[column.name], copy=False), name=name, unit=column.unit,
                                       description=column.description, meta=column.meta, **masked))
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
        self.path, self.scratch = folder / 'joined', folder / 'rows.parquet'
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
            raise ValueError(f'column {min(unknown)!r} is in some chunks only; it cannot be written chunk by chunk')
        columns = [self.column(rows, field) for field in self.schema]
        self.writer.write_table(pa.table(columns, schema=self.schema), row_group_size=max(len(table), 1))

    def column(self, rows, field):
        """A column of the rows; astropy leaves the column of a mask out where nothing is masked."""
        if field.name in rows.column_names:
            return rows[field.name]
        if not field.name.endswith('.mask'):
            raise ValueError(f'column {field.name!r} is in some chunks only; it cannot be written chunk by chunk')
        is_vector = pa.types.is_fixed_size_list(field.type)
        mask = pa.array(np.zeros(rows.num_rows * (field.type.list_size if is_vector else 1), dtype=bool))
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
        self.path, self.scratch = folder / 'joined', folder / 'rows.fits'
        sample.write(self.scratch, format='fits', overwrite=True)
        with fits.open(self.scratch) as hdus:
            primary, header = hdus[0].header.copy(), hdus[1].header.copy()
        if header['PCOUNT']:
            raise ValueError('arrays of different lengths in one column cannot be written chunk by chunk')
        self.layout = row_layout(header)
        header['NAXIS2'] = n_rows
        self.file = open(self.path, 'wb')
        for one in (primary, header):
            self.file.write(one.tostring().encode('ascii'))

    def append(self, table):
        """Write the next rows; raises ValueError if their columns are not those of the sample."""
        table.write(self.scratch, format='fits', overwrite=True)
        with fits.open(self.scratch) as hdus:
            header, place = hdus[1].header.copy(), hdus[1].fileinfo()['datLoc']
        differs = sorted(set(row_layout(header).items()) ^ set(self.layout.items()))
        if differs:
            raise ValueError(f'{differs[0][0]} is not the same in all chunks; it cannot be written chunk by chunk')
        with open(self.scratch, 'rb') as rows:
            rows.seek(place)
            self.file.write(rows.read(header['NAXIS1'] * header['NAXIS2']))

    def close(self):
        self.file.write(bytes(-self.file.tell() % FITS_BLOCK))
        self.file.close()


def row_layout(header):
    """Keyword to value of what says where the columns of a FITS table are in a row."""
    return {key: header[key] for key in header if key.rstrip('0123456789') in LAYOUT}


def sample_rows(table):
    """
    Rows that show what a table holds: the first, and of each column the first that is masked.

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
OUTPUTS = {'.parquet': ParquetOutput, '.fits': FitsOutput, '.fit': FitsOutput}
