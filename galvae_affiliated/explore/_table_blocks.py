# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables in memory, and Parquet files larger than it, block by block in one shape."""

from pathlib import Path

import numpy as np
from astropy.table import Table

from galvae_affiliated.models.encoder import scalar_names
from galvae_affiliated.sources._columns import table_from_arrow
from galvae_affiliated.sources.positions import as_table
from galvae_affiliated.tables.files import read_catalog
from galvae_affiliated.tables.identifiers import ID_COLUMNS

ROWS = 65536


def open_blocks(table):
    """
    A table, or a file of one, that can be read block by block, more than once.

    Parameters
    ----------
    table : `~astropy.table.Table`, ``pandas.DataFrame``, str or path
        A Parquet file is read in blocks; files of other formats are read whole.

    Returns
    -------
    blocks : `TableBlocks` or `ParquetBlocks`

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is none that can be read.
    """
    if isinstance(table, (str, Path)):
        if Path(table).suffix.lower() in ('.parquet', '.pq') and Path(table).is_file():
            return ParquetBlocks(table)
        table = read_catalog(table)
    return TableBlocks(table if isinstance(table, Table) else as_table(table))


class TableBlocks:
    """
    A table in memory.

    Parameters
    ----------
    table : `~astropy.table.Table`
    """

    def __init__(self, table):
        self.table = table
        self.names = table.colnames

    def __len__(self):
        return len(self.table)

    def __call__(self, names):
        """Yield the first row and a `~astropy.table.Table` of each block, with some columns."""
        for start in range(0, len(self), ROWS):
            yield start, self.table[names][start : start + ROWS]


class ParquetBlocks:
    """
    A Parquet file, of which a block is in memory at a time.

    Parameters
    ----------
    path : str or path
    """

    def __init__(self, path):
        import pyarrow.parquet as pq

        try:
            self.file = pq.ParquetFile(path)
        except (OSError, ValueError) as error:
            raise ValueError(f'{path}: this is not a Parquet file that can be read '
                             f'({error})') from None
        self.names = self.file.schema_arrow.names
        self._about = self._read_about(path)

    def __len__(self):
        return self.file.metadata.num_rows

    def __call__(self, names):
        """Yield the first row and a `~astropy.table.Table` of each block, with some columns."""
        import pyarrow as pa

        start = 0
        for batch in self.file.iter_batches(ROWS, columns=list(names)):
            table = table_from_arrow(pa.Table.from_batches([batch]))
            for name in names:
                about = self._about.get(name)
                if about is not None:
                    table[name].info.description = about.info.description
                    table[name].info.meta = about.info.meta
            yield start, table
            start += len(table)

    def _read_about(self, path):
        """A table without rows, whose columns say what those of the file are, or {}."""
        if b'table_meta_yaml' not in (self.file.schema_arrow.metadata or {}):
            return {}
        table = Table.read(path, format='parquet', schema_only=True)
        return {name: table[name] for name in table.colnames}


def latent_names(names, *, errors=True):
    """The columns of a table that hold latents, their errors, and flags."""
    wanted = ['galvae_latent', 'galvae_latent_err'] if errors else ['galvae_latent']
    found = [name for name in names
             if name in wanted or name == 'galvae_flags' or _is_scalar(name, wanted)]
    return found


def _is_scalar(name, wanted):
    base, _, number = name.rpartition('_')
    return base in wanted and number.isdigit() and name == scalar_names(base, int(number) + 1)[-1]


def id_column(names):
    """Name of the column of identifiers, None if there is none that is known."""
    return next((name for name in ID_COLUMNS if name in names), None)


def id_texts(column):
    """(N,) array of text: identifiers of any type, without the blanks of FITS files."""
    values = np.ma.getdata(column)
    if values.dtype.kind == 'S':
        return np.char.strip(np.char.decode(values, 'utf-8'))
    return np.char.strip(values.astype(str))
