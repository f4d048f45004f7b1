# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Finished parts of a run that may be killed."""

import hashlib
import json
import os
import shutil
import uuid

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import MaskedColumn

from galvae_affiliated.tables._writers import RADIUS

RUN = 'galvae_run'  # key of a part's metadata: what it was computed from


def in_both_units(columns, encoding):
    """The columns with the radius twice: whether all rows have a pixel scale is known when all are encoded."""
    result = []
    for column in columns:
        if column.name != RADIUS:
            result.append(column)
            continue
        for unit, values in ((u.pix, encoding.radius), (u.arcsec, encoding.radius * encoding.pixel_scale)):
            result.append(MaskedColumn(values, name=f'{RADIUS}.{unit}', mask=~np.isfinite(values), unit=unit,
                                       description=column.description, meta=column.meta))
    return result


class Parts:
    """
    The finished chunks of a run, in a folder beside its output.

    Parameters
    ----------
    output : path
    identity : dict
        What the run is known by.
    overwrite : bool
        Remove the chunks of another run instead of refusing to go on.
    """

    def __init__(self, output, identity, *, overwrite):
        self.folder = output.with_name(f'.{output.name}.parts')
        record = self.folder / 'run.json'
        identity = json.loads(json.dumps({k: v for k, v in identity.items() if v is not None}, default=str))
        if record.is_file():
            before = json.loads(record.read_text())
            differs = [name for name in {**before, **identity} if before.get(name) != identity.get(name)]
            if differs and not overwrite and self.path(0).exists():
                told = '; '.join(f'{name} was {before.get(name)}, is {identity.get(name)}' for name in differs)
                raise ValueError(f'{self.folder} holds chunks of another run: {told}; '
                                 'overwrite=True starts anew, and so does removing the folder')
            if not differs:
                return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.write(record, lambda file: file.write(json.dumps(identity, indent=1).encode()))

    def path(self, i):
        """Of the ``i``-th chunk, which is finished if it exists."""
        return self.folder / f'{i:06d}.npz'

    def save(self, i, columns, scales):
        """Keep the columns of a chunk, and the numbers of rows that are measured and that have no pixel scale."""
        arrays = {'scales': np.array(scales)}
        for column in columns:
            arrays[f'{column.name}.data'] = np.ma.getdata(column.data)
            arrays[f'{column.name}.mask'] = np.ma.getmaskarray(column.data)
        self.write(self.path(i), lambda file: np.savez(file, **arrays))

    def load(self, i):
        """Arrays of a chunk by name, which are read when they are asked for."""
        return np.load(self.path(i), allow_pickle=False)

    def write(self, path, content):
        """Write under another name, then rename: a file is there as a whole or not at all."""
        unfinished = self.folder / 'unfinished'
        with open(unfinished, 'wb') as file:
            content(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)


def digest(*values):
    """Hash of texts, or of anything that is an array of numbers."""
    result = hashlib.sha256()
    for value in values:
        result.update(value.encode() if isinstance(value, str) else np.ascontiguousarray(value, dtype=float).tobytes())
    return result.hexdigest()[:16]


def is_finished(task):
    """Whether the task's part is there, from a call that was the same."""
    try:
        metadata = pq.read_schema(task.part).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return False
    return f'{RUN}: {task.token}'.encode() in metadata.get(b'table_meta_yaml', b'')


def write_part(table, task):
    """
    Write a part under a name of this attempt, then rename it.

    Two workers may write the same part where the first was thought to be dead; the file is whole at any time.
    """
    unfinished = task.part.with_name(f'.{task.part.name}.{uuid.uuid4().hex}.part')
    table.meta[RUN] = task.token
    try:
        table.write(unfinished, format='parquet')
        os.replace(unfinished, task.part)
    finally:
        unfinished.unlink(missing_ok=True)
    return task.part


def remove_unfinished(tasks):
    """Remove what killed workers left unfinished."""
    for task in tasks:
        for unfinished in task.part.parent.glob(f'.{task.part.name}.*.part'):
            unfinished.unlink(missing_ok=True)
