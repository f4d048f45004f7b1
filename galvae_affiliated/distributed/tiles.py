# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tiles of a survey over a Dask cluster."""

import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table, vstack

from galvae_affiliated._atomic import remove_unfinished
from galvae_affiliated._optional import import_optional
from galvae_affiliated._progress import progress_callback
from galvae_affiliated.catalog import encode_catalog
from galvae_affiliated.distributed._workers import (
    current_client,
    resident_model,
    share_model,
    worker_engine,
)
from galvae_affiliated.exceptions import TileError
from galvae_affiliated.pipeline import resolve_options
from galvae_affiliated.sources.positions import as_table
from galvae_affiliated.streaming import FIELD_OPTIONS, taken_options
from galvae_affiliated.tables.files import read_catalog
from galvae_affiliated.tables.parts import part_identity, write_part

__all__ = ['encode_fields']

MAX_NAMED = 3  # tiles that an error names


def encode_fields(tiles, client=None, *, model=None, output=None, chunk_size=None, retries=0,
                  overwrite=False, progress=None, outputs=None, engine=None, **options):
    """
    Encode the sources of many images over a Dask cluster.

    Each tile is one task, or several with ``chunk_size``. What a worker was doing
    when it died is done again by another, at most as often as the setting
    ``distributed.scheduler.allowed-failures`` of Dask says; then the tile
    counts as failed. A tile that fails does not stop the others.

    Parameters
    ----------
    tiles : iterable of (images, catalog), or of callables that return such a pair
        ``images`` as `~galvae_affiliated.encode_catalog` takes them, best as
        paths that all workers see; ``catalog`` likewise, or the path of a
        table. A callable is called on the worker, without arguments.
    client : ``distributed.Client``, optional
        None takes the current one.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; sent to the workers once. None takes the default.
    output : str or path, optional
        A folder that all workers and this process see. Each task writes its
        rows there as one Parquet file, ``part-00012.parquet``, or with ``chunk_size``
        ``part-00012-00003.parquet``. A file has its name only once it is whole.
        Those that are there already from the same call (tiles, model and
        options; files are compared by name) are not computed again, so that a
        run that was killed goes on where it stopped.
    chunk_size : int, optional
        Sources a task, for tiles that are few and large: every task opens the
        images of its tile anew. Not for tiles that are callables or have no
        catalogue, as these have no rows before they are opened.
    retries : int, optional
        How often a task that raised is tried again, for file systems that fail
        now and then.
    overwrite : bool, optional
        Replace columns of the same names.
    progress : bool or callable, optional
        True shows a bar; a callable is called with the number of tasks done and the number
        of all.
    outputs, engine : optional
        See `~galvae_affiliated.encode_catalog`.
    **options
        See `~galvae_affiliated.encode_catalog`; ``radius`` as an array does not go with
        ``chunk_size``. An engine without threads has those of each Dask worker.

    Returns
    -------
    results : list of `~astropy.table.Table` or list of `~pathlib.Path`
        In the order of the tiles: a table a tile, or the paths of the parts.

    Raises
    ------
    ImportError
        If Dask is not installed.
    ValueError
        If there is no client, or a tile is no pair.
    FileExistsError
        If the folder has parts of another call.
    TileError
        If tiles failed, after all others were finished; it names them and holds the other
        results.

    Examples
    --------
    >>> from dask.distributed import Client
    >>> from galvae_affiliated.distributed import encode_fields
    >>> tiles = [({'g': 'g1.fits', 'r': 'r1.fits', 'z': 'z1.fits'}, 'sources1.fits'),
    ...          ({'g': 'g2.fits', 'r': 'r2.fits', 'z': 'z2.fits'}, 'sources2.fits')]
    >>> encode_fields(tiles, Client(), output='encoded')  # doctest: +SKIP
    [PosixPath('encoded/part-00000.parquet'), PosixPath('encoded/part-00001.parquet')]
    """
    client = current_client(client)
    read_options = taken_options(options, FIELD_OPTIONS)
    outputs, engine = resolve_options(options, outputs, engine)  # a wrong one is refused at once
    doors = {**read_options, 'outputs': outputs, 'engine': engine, 'overwrite': overwrite}
    tasks = [task for number, tile in enumerate(tiles)
             for task in _tile_tasks(number, tile, chunk_size, read_options)]
    key = share_model(model, client)
    if output is not None:
        decisive = key, read_options, asdict(outputs), asdict(engine)
        _plan_parts(tasks, Path(output).absolute(), decisive)
    prefix = f'galvae-{uuid.uuid4().hex[:8]}'
    futures = {}
    for place, task in enumerate(tasks):
        if not task.done:
            future = client.submit(_encode_tile, task, key, doors, key=f'{prefix}-{place:05d}',
                                   pure=False, retries=retries)
            futures[future] = place
    results, errors = _collect_results(client, futures, tasks, progress_callback(progress))
    if output is None:
        results = _join_tasks(results, tasks)
    else:
        for task in tasks:
            remove_unfinished(task.part)
    if errors:
        raise _tile_error(errors, results, len(tasks)) from next(iter(errors.values()))
    return results


def _tile_error(errors, results, n_tasks):
    """The error that names the first of the tiles that failed."""
    named = [f'{name}: {type(error).__name__}: {error}' for name, error in errors.items()]
    more = ['...'] if len(errors) > MAX_NAMED else []
    message = '; '.join(named[:MAX_NAMED] + more)
    return TileError(f'{len(errors)} of {n_tasks} tasks failed: {message}', errors, results)


@dataclass
class Task:
    """
    What one call on a worker encodes.

    Attributes
    ----------
    tile : (images, catalog) or callable
    number : int
        Of the tile.
    name : str
        For messages.
    piece : int or None
        Which rows of the tile, where it is cut into several tasks.
    part : `~pathlib.Path` or None
        File to write.
    token : str or None
        Hash of all that decides what is in the part.
    done : bool
        Whether the part was there before.
    """

    tile: object
    number: int
    name: str
    piece: int | None = None
    part: Path | None = None
    token: str | None = None
    done: bool = False


def _tile_tasks(number, tile, chunk_size, options):
    """Yield the tasks of a tile."""
    name = _tile_name(number, tile)
    if callable(tile):
        yield Task(tile, number, name)
        return
    if not (isinstance(tile, (tuple, list)) and len(tile) == 2):
        raise ValueError(f'{name} is a {type(tile).__name__}; expected a pair of images and '
                         'catalogue, or a callable')
    images, catalog = tile
    if chunk_size is None or catalog is None:
        yield Task((images, catalog), number, name)
        return
    if chunk_size < 1 or np.ndim(options.get('radius')):
        raise ValueError(f'chunk_size is {chunk_size}; expected at least 1, and the radii as a '
                         'column of the catalogues')
    table = Table(as_table(_open_catalog(catalog)))
    for piece, start in enumerate(range(0, max(len(table), 1), chunk_size)):
        rows = table[start:start + chunk_size]
        yield Task((images, rows), number, f'{name} from row {start}', piece)


def _tile_name(number, tile):
    """'tile 12 (r.fits)', with the first path of its images or the name of a function."""
    first = tile[0] if isinstance(tile, (tuple, list)) and tile else tile
    while isinstance(first, (Mapping, tuple, list)) and first:
        first = next(iter(first.values() if isinstance(first, Mapping) else first))
    is_path = isinstance(first, (str, os.PathLike))
    hint = first if is_path else getattr(first, '__name__', '')
    return f'tile {number} ({hint})' if hint else f'tile {number}'


def _open_catalog(catalog):
    """The table of a path; anything else as it is."""
    return read_catalog(catalog) if isinstance(catalog, (str, os.PathLike)) else catalog


def _plan_parts(tasks, folder, decisive):
    """Give each task its file, and find those that are done; a folder must hold nothing else."""
    tokenize = import_optional('dask.base').tokenize
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        piece = '' if task.piece is None else f'-{task.piece:05d}'
        task.part = folder / f'part-{task.number:05d}{piece}.parquet'
        task.token = tokenize(task.tile, *decisive)
        task.done = part_identity(task.part) == task.token
    done = {task.part for task in tasks if task.done}
    others = sorted({*folder.glob('part-*.parquet')} - done)
    if others:
        raise FileExistsError(f'{others[0]} is of a call with other tiles, options or model; '
                              'choose another folder')


def _encode_tile(task, key, options):
    """On a worker: the table of a task, or the path of its part."""
    # the scheduler asks again for what it lost sight of
    if task.part is not None and part_identity(task.part) == task.token:
        return task.part
    images, catalog = task.tile() if callable(task.tile) else task.tile
    options = {**options, 'engine': worker_engine(options['engine'])}
    table = encode_catalog(images, _open_catalog(catalog), resident_model(key), **options)
    # a plain table: the masked quantities of a QTable cannot be sent with astropy 7.0
    table = Table(table)
    if task.part is None:
        return table
    # two workers may write the same part where the first was thought to be dead
    write_part(table, task.part, task.token)
    return task.part


def _collect_results(client, futures, tasks, progress):
    """
    Results of the tasks as they finish, and the errors.

    Parameters
    ----------
    client : ``distributed.Client``
    futures : dict of ``distributed.Future`` to int
        Place of each among the tasks.
    tasks : list of `Task`
    progress : callable

    Returns
    -------
    results : list
        A result a task, the path of its part where it was done before, None where it failed.
    errors : dict of str to Exception
        By the task's name.
    """
    results = [task.part if task.done else None for task in tasks]
    errors = {}
    n_done = len(tasks) - len(futures)
    as_completed = import_optional('distributed').as_completed
    for future in as_completed(list(futures), loop=client.loop):
        place = futures.pop(future)
        try:
            results[place] = future.result()
        except Exception as error:
            errors[tasks[place].name] = error
        # what is here need not be kept there, nor computed again if that worker dies
        future.release()
        n_done += 1
        progress(n_done, len(tasks))
    return results, {task.name: errors[task.name] for task in tasks if task.name in errors}


def _join_tasks(tables, tasks):
    """One table a tile from those of its tasks; None where one of them failed."""
    tiles = {}
    for table, task in zip(tables, tasks):
        tiles.setdefault(task.number, []).append(table)
    return [None if any(table is None for table in pieces) else _stack_pieces(pieces)
            for pieces in tiles.values()]


def _stack_pieces(pieces):
    """
    Rows of the pieces of one tile.

    A piece of which no row is measured has radii in pixels. Where others have arcsec these
    are masked.
    """
    names = pieces[0].colnames
    if len({str(piece['galvae_radius'].unit) for piece in pieces}) > 1:
        for piece in pieces:
            if piece['galvae_radius'].unit != u.arcsec:
                piece.remove_column('galvae_radius')
    if len(pieces) == 1:
        return pieces[0]
    return vstack(pieces, metadata_conflicts='silent')[names]
