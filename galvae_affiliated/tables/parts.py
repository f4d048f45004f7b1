# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Finished parts of a run that may be killed: Parquet files that state what they are of."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table
from astropy.table.meta import get_header_from_yaml

from galvae_affiliated._atomic import remove_unfinished, replacing

IDENTITY = 'galvae_run'  # key of a part's metadata: what decides what is in it


def write_part(table, path, identity):
    """
    Write a part; the file is whole at any time.

    Parameters
    ----------
    table : `~astropy.table.Table`
    path : `~pathlib.Path`
    identity : dict
        What decides what is in the part, of what JSON can hold.
    """
    stated = table.copy(copy_data=False)
    stated.meta[IDENTITY] = identity
    with replacing(path) as unfinished:
        stated.write(unfinished, format='parquet')


def part_identity(path):
    """The identity of a part, None if there is none that is whole."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    lines = metadata.get(b'table_meta_yaml', b'').decode().split('\n')
    try:
        return get_header_from_yaml(lines).get('meta', {}).get(IDENTITY)
    except (KeyError, ValueError, AttributeError):
        return None


class PartFolder:
    """
    The finished parts of a run, in a folder beside its output.

    Parameters
    ----------
    output : `~pathlib.Path`
    identity : dict
        What the run is known by.
    overwrite : bool
        Remove the parts of another run instead of refusing to go on.

    Raises
    ------
    ValueError
        If the folder holds parts of another run.
    """

    def __init__(self, output, identity, *, overwrite):
        self.folder = output.with_name(f'.{output.name}.parts')
        known = {name: value for name, value in identity.items() if value is not None}
        self.identity = json.loads(json.dumps(known, default=str))
        others = [found for found in map(part_identity, sorted(self.folder.glob('*.parquet')))
                  if found not in (None, self.identity)]
        if others and not overwrite:
            raise ValueError(f'{self.folder} holds chunks of another run: '
                             f'{_differences(others[0], self.identity)}; overwrite=True starts '
                             'anew, and so does removing the folder')
        if others:
            shutil.rmtree(self.folder)
        self.folder.mkdir(exist_ok=True)
        for i in range(len(list(self.folder.glob('*.parquet'))) + 1):
            remove_unfinished(self._path(i))

    def _path(self, i):
        return self.folder / f'{i:06d}.parquet'

    def is_finished(self, i):
        """Whether the ``i``-th part is there."""
        return part_identity(self._path(i)) == self.identity

    def write(self, i, table):
        """Keep the ``i``-th part."""
        write_part(table, self._path(i), self.identity)

    def read(self, i):
        """The ``i``-th part."""
        return Table.read(self._path(i), format='parquet')


def _differences(before, now):
    return '; '.join(f'{name} was {before.get(name)}, is {now.get(name)}'
                     for name in {**before, **now} if before.get(name) != now.get(name))
