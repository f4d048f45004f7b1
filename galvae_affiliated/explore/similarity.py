# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies that are like one: exact nearest neighbours in the space of latents."""

import json
from pathlib import Path

import numpy as np
from astropy.table import Column, Table

from galvae_affiliated._atomic import check_output, replacing
from galvae_affiliated.exceptions import ModelMismatchError
from galvae_affiliated.explore._conditions import rows_where
from galvae_affiliated.explore._latents import (
    MAX_FITTED,
    Metric,
    fit_metric,
    join_latents,
    read_latents,
)
from galvae_affiliated.explore._nearest import nearest_rows
from galvae_affiliated.explore._table_blocks import (
    id_column,
    id_texts,
    latent_names,
    open_blocks,
)

__all__ = ['SimilarityIndex']

COORDINATES = 'galvae_coordinates'
KEY = b'galvae_index'
VERSION = 1
QUERIES = 8192  # that are compared with all rows in one pass


class SimilarityIndex:
    """
    Rows of a table, to be asked which of them are nearest to a galaxy.

    The search is exact. An index that was loaded from a file reads it block by block, and
    needs the memory of a few blocks, whatever its length. `build` and `load` make one.

    Attributes
    ----------
    model_id : str
        Model that the latents are of.
    metric : str
        'errors', 'white' or 'standard'; see `build`.
    columns : list of str
        What else of each row is in the index: identifiers, and what can be asked for in
        conditions.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated.explore import SimilarityIndex
    >>> latent = np.random.default_rng(0).normal(size=(100, 40)).astype('f4')
    >>> index = SimilarityIndex.build(Table({'galvae_latent': latent}), model='gz2-sdss-v3')
    >>> len(index)
    100
    >>> distance, row = index.kneighbors(latent[3:4], 2)
    >>> int(row[0, 0])
    3
    """

    def __init__(self, batches, about):
        self._batches = batches
        self._about = about
        self._metric = Metric(about['metric'], np.array(about['mean']), np.array(about['matrix']))
        self.model_id = about['model']
        self.metric = about['metric']
        self.columns = [name for name in batches[0].schema.names if name != COORDINATES]
        self._starts = np.cumsum([0, *(len(batch) for batch in batches)])

    def __len__(self):
        return int(self._starts[-1])

    @classmethod
    def build(cls, table, path=None, *, model=None, metric=None, columns=(), overwrite=False):
        """
        Make an index of the latents of a table.

        Parameters
        ----------
        table : `~astropy.table.Table` of N rows, ``pandas.DataFrame``, str or path
            A Parquet file is read block by block, twice.
        path : str or path, optional
            File to write the index to, block by block, as it is made; None keeps it in memory.
        model : `~galvae_affiliated.ModelBundle`, str or path, optional
            That the latents must be of; None takes the one that the table states.
        metric : {'errors', 'white', 'standard'}, optional
            Unit of the distances. 'errors': the mean error of each latent, so that what the
            images do not determine counts little. 'white': all directions have the same
            variance. 'standard': all latents have. None takes 'errors' where the table has
            them, else 'white'. Rows with flags do not determine the units.
        columns : sequence of str, optional
            Columns to keep beside the identifiers and the flags.
        overwrite : bool, optional
            Replace the file.

        Returns
        -------
        index : `SimilarityIndex`
            Rows without latents are in it, and are no one's neighbours.

        Raises
        ------
        KeyError, ModelMismatchError, ValueError
            If there are no latents, they are of another model, or a column is missing.
        FileExistsError
            If the file exists.
        """
        if path is not None:
            check_output(path, overwrite)
        blocks = open_blocks(table)
        missing = [name for name in columns if name not in blocks.names]
        if missing:
            raise KeyError(f'the table has no column {missing[0]!r}')
        fitted = fit_metric(_sample(blocks, model), metric)
        kept = list(dict.fromkeys([*filter(None, [id_column(blocks.names)]),
                                   *(n for n in ('galvae_flags',) if n in blocks.names),
                                   *columns]))
        about = {'version': VERSION, 'metric': fitted.name, 'mean': fitted.mean.tolist(),
                 'matrix': fitted.matrix.tolist()}
        made = _made_batches(blocks, model, fitted, kept, about)
        if path is None:
            return cls(list(made), about)
        _write(made, path)
        return cls.load(path)

    @classmethod
    def load(cls, path):
        """
        Open an index that was saved; its rows stay on the disk until they are needed.

        Parameters
        ----------
        path : str or path

        Returns
        -------
        index : `SimilarityIndex`

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is no index, or of a newer version.
        """
        import pyarrow as pa

        if not Path(path).is_file():
            raise FileNotFoundError(f'{path}: there is no such file')
        try:
            file = pa.ipc.open_file(pa.memory_map(str(path)))
            about = json.loads((file.schema.metadata or {})[KEY])
            batches = [file.get_batch(i) for i in range(file.num_record_batches)]
        except (pa.ArrowInvalid, KeyError, ValueError):
            raise ValueError(f'{path}: this is not an index of galaxies') from None
        if about.get('version') != VERSION:
            raise ValueError(f'{path}: the index has version {about.get("version")}; '
                             f'expected {VERSION}')
        return cls(batches, about)

    def save(self, path, *, overwrite=False):
        """
        Write the index to a file.

        Parameters
        ----------
        path : str or path
            An Arrow file, about as large as the latents in single precision.
        overwrite : bool, optional
            Replace the file.

        Raises
        ------
        FileExistsError
            If the file exists.
        """
        check_output(path, overwrite)
        _write(self._batches, path)

    def kneighbors(self, X, n_neighbors=20, *, where=(), return_distance=True, n_threads=None):
        """
        The nearest rows of latents.

        Parameters
        ----------
        X : (n_queries, n_latents) array
            Latents of the index's model.
        n_neighbors : int, optional
        where : str, sequence of str, or (N,) bool array, optional
            Only rows that fulfil conditions, such as ``'bar_yes_fraction > 0.5'``, on columns
            of the index, or that are True.
        return_distance : bool, optional
        n_threads : int, optional
            None takes the processors that the process may use.

        Returns
        -------
        distances : (n_queries, n_neighbors) float array
            In the units of the metric; only if ``return_distance``. Infinite where there are
            not so many rows, or the query has no latents.
        rows : (n_queries, n_neighbors) int array
            -1 where there are not so many.

        Raises
        ------
        ValueError
            For latents or a mask of another shape, or no neighbours.
        KeyError
            If a condition needs a column that the index does not have.
        """
        X = np.asarray(X, dtype=float)
        if X.ndim != 2 or X.shape[1] != len(self._metric.mean):
            raise ValueError(f'the latents have shape {X.shape}; '
                             f'expected (n_queries, {len(self._metric.mean)})')
        if n_neighbors < 1:
            raise ValueError(f'n_neighbors is {n_neighbors}; expected one or more')
        distances = np.full((len(X), n_neighbors), np.inf)
        rows = np.full((len(X), n_neighbors), -1, dtype=np.int64)
        measured = np.flatnonzero(np.isfinite(X).all(axis=1))
        for start in range(0, len(measured), QUERIES):
            some = measured[start : start + QUERIES]
            distances[some], rows[some] = nearest_rows(
                self._metric(X[some]), self._blocks(where), n_neighbors, n_threads=n_threads)
        return (distances, rows) if return_distance else rows

    def query(self, like, n=20, *, where=()):
        """
        Galaxies like one.

        Parameters
        ----------
        like : int, str or (n_latents,) array
            A row of the index, from 0; an identifier; or latents of the index's model.
        n : int, optional
        where : optional
            See `kneighbors`.

        Returns
        -------
        table : `~astropy.table.Table`
            The nearest first, without the galaxy itself: ``row``, ``distance``, and the
            columns of the index.

        Raises
        ------
        KeyError
            If there is no such identifier.
        IndexError
            If there is no such row.
        ValueError
            If that row has no latents, several have the identifier, or for a wrong ``n``.
        """
        if n < 1:
            raise ValueError(f'n is {n}; expected one or more')
        own = None
        if isinstance(like, str):
            like = self.find(like)
        if np.ndim(like) == 0:
            own = int(like)
            place = self._place(own)
            # coordinates are what the metric gave: they are asked for as they are
            distances, rows = nearest_rows(place[None], self._blocks(where), n + 1)
        else:
            distances, rows = self.kneighbors(np.asarray(like)[None], n, where=where)
        kept = (rows[0] >= 0) & (rows[0] != own)
        return self._result(distances[0][kept][:n], rows[0][kept][:n])

    def find(self, identifier):
        """
        The row of an identifier.

        Parameters
        ----------
        identifier : str

        Returns
        -------
        row : int

        Raises
        ------
        KeyError
            If there is none, or the index has no identifiers.
        ValueError
            If several rows have it.
        """
        name = id_column(self.columns)
        if name is None:
            raise KeyError('the rows have no identifiers that are known; ask by number')
        found = np.concatenate([start + np.flatnonzero(id_texts(_values(batch, name))
                                                       == str(identifier).strip())
                                for start, batch in zip(self._starts, self._batches)])
        if len(found) == 0:
            raise KeyError(f'no row has the {name} {identifier!r}')
        if len(found) > 1:
            raise ValueError(f'{len(found)} rows have the {name} {identifier!r}, the first is '
                             f'{found[0]}; ask by number')
        return int(found[0])

    def check_model(self, model):
        """
        Raise if latents of a model may not be compared with those of the index.

        Parameters
        ----------
        model : `~galvae_affiliated.ModelBundle`

        Raises
        ------
        ModelMismatchError
        """
        if self.model_id not in model.same_latents:
            raise ModelMismatchError(f'the index is of the model {self.model_id}; '
                                     f'the latents are of {model.id}')

    def _blocks(self, where):
        """First row, coordinates, and which rows count, of each block."""
        where = [where] if isinstance(where, str) else where
        is_mask = len(where) > 0 and not isinstance(where[0], str)
        if is_mask and np.shape(where) != (len(self),):
            raise ValueError(f'the mask has shape {np.shape(where)}; expected ({len(self)},)')
        for start, batch in zip(self._starts, self._batches):
            if is_mask:
                counts = np.asarray(where[start : start + len(batch)], dtype=bool)
            else:
                counts = rows_where(where, _Columns(batch, self.columns))
            yield int(start), _coordinates(batch), counts

    def _place(self, row):
        """(n_coordinates,) coordinates of a row."""
        if not 0 <= row < len(self):
            raise IndexError(f'there is no row {row}; the index has {len(self)}')
        i = int(np.searchsorted(self._starts, row, side='right')) - 1
        place = _coordinates(self._batches[i])[row - self._starts[i]]
        if not np.isfinite(place).all():
            raise ValueError(f'row {row} has no latents')
        return place

    def _result(self, distances, rows):
        """A table of neighbours."""
        unit = {'errors': 'errors of the latents'}.get(self.metric, 'standard deviations')
        result = Table([Column(rows, name='row', description='row of the index, from 0'),
                        Column(distances, name='distance', description=f'in {unit}',
                               meta={'galvae_model': self.model_id})])
        places = np.searchsorted(self._starts, rows, side='right') - 1
        parts = [self._batches[i].slice(row - self._starts[i], 1)
                 for i, row in zip(places, rows)]
        for name in self.columns if parts else ():
            result[name] = np.ma.concatenate([_values(part, name) for part in parts])
        return result


class _Columns(dict):
    """The columns of a batch that are not coordinates, as arrays when they are asked for."""

    def __init__(self, batch, names):
        super().__init__(dict.fromkeys(names))
        self.batch = batch

    def __getitem__(self, name):
        return _values(self.batch, name)


def _sample(blocks, model):
    """Latents of rows without flags that are spread over a table, to fit a metric to."""
    step = max(1, -(-len(blocks) // MAX_FITTED))
    parts = []
    for start, table in blocks(latent_names(blocks.names)):
        first = -start % step
        parts.append(read_latents(table[first::step], model))
    if not parts:
        raise ValueError('the table has no rows')
    return join_latents(parts)


def _made_batches(blocks, model, metric, kept, about):
    """Yield the record batches of an index; ``about`` is completed with the model."""
    import pyarrow as pa

    wanted = [*latent_names(blocks.names, errors=False), *kept]
    schema = None
    for _, table in blocks(list(dict.fromkeys(wanted))):
        latents = read_latents(table, model)
        about.setdefault('model', latents.model.id)
        values = metric(latents.latent)
        places = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        arrays = [places, *(_arrow(table[name], name) for name in kept)]
        batch = pa.RecordBatch.from_arrays(arrays, [COORDINATES, *kept])
        schema = schema or batch.schema.with_metadata({KEY: json.dumps(about)})
        yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _arrow(column, name):
    """A column of numbers or text as an Arrow array, null where it is masked."""
    import pyarrow as pa

    values = np.ma.asarray(column)
    if values.ndim > 1 or values.dtype.kind not in 'biufSU':
        raise ValueError(f'column {name!r} cannot be kept in an index; expected one of numbers '
                         'or text')
    data, mask = values.data, np.ma.getmaskarray(values)
    if data.dtype.kind == 'S':
        data = np.char.decode(data, 'utf-8')
    if data.dtype.kind == 'U':
        return pa.array(data.tolist(), type=pa.string(), mask=mask)
    return pa.array(data.astype(data.dtype.newbyteorder('=')), mask=mask)


def _values(batch, name):
    """Masked array of a column of a record batch."""
    column = batch.column(name)
    mask = column.is_null().to_numpy(zero_copy_only=False)
    if str(column.type).endswith('string'):
        return np.ma.array(np.array(column.fill_null('').to_pylist(), dtype=str), mask=mask)
    return np.ma.array(column.fill_null(0).to_numpy(zero_copy_only=False), mask=mask)


def _coordinates(batch):
    """(n, n_coordinates) float32 array that shares the memory of a record batch."""
    column = batch.column(COORDINATES)
    return column.flatten().to_numpy().reshape(len(batch), -1)


def _write(batches, path):
    import pyarrow as pa

    with replacing(path) as unfinished:
        writer = None
        for batch in batches:
            writer = writer or pa.ipc.new_file(str(unfinished), batch.schema)
            writer.write_batch(batch)
        writer.close()
