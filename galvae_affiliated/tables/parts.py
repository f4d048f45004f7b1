# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Finished parts of a run that may be killed: Parquet files that state what they are of."""

import hashlib
import json
import re
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table
from astropy.table.meta import get_header_from_yaml

from galvae_affiliated._atomic import move_into_place, replacing

IDENTITY = 'galvae_run'  # key of a part's metadata: what decides what is in it
JOINED_NOTE = 'joined.json'
PART = re.compile(r'\d{6,}\.parquet')
# all names that a run gives in its folder, those of unfinished files too
OWN = re.compile(r'\d{6,}\.(parquet|json)|joined(\.json)?|rows\.(parquet|fits)'
                 r'|\.(\d{6,}\.parquet|\d{6,}\.json|joined\.json)\.[0-9a-f]{32}\.part')


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

    Each part has a note, with its number, its hash, and what its run is known by: a part whose
    note does not fit counts as not there, and is made again. Nothing is removed but
    files of the names that this class gives.

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
        If the folder holds parts of another run, or files of something else.
    """

    def __init__(self, output, identity, *, overwrite):
        self.output = output
        self.folder = _part_folder(output)
        known = {name: value for name, value in identity.items() if value is not None}
        self.identity = json.loads(json.dumps(known, default=_stated))
        self._refuse_strangers()
        notes = [_read_note(path) for path in sorted(self.folder.glob('*.json'))]
        others = [note['run'] for note in notes if note.get('run', self.identity) != self.identity]
        if others and not overwrite:
            raise ValueError(f'{self.folder} holds chunks of another run: '
                             f'{_differences(others[0], self.identity)}; overwrite=True starts '
                             'anew, and so does removing the folder')
        if others or (overwrite and (self.folder / JOINED_NOTE).exists()):
            self.remove()
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.iterdir():
            if path.name.startswith('.'):
                path.unlink(missing_ok=True)  # of a process that was killed while it wrote

    def _refuse_strangers(self):
        """Raise if there is anything in the place of the folder that is not of a run."""
        if not self.folder.exists():
            return
        if not self.folder.is_dir() or self.folder.is_symlink():
            raise ValueError(f'{self.folder} is no folder; the chunks of the run need this name: '
                             'move it away')
        for path in self.folder.iterdir():
            is_own = OWN.fullmatch(path.name) and path.is_file()
            is_part = PART.fullmatch(path.name)
            if not is_own or (is_part and not _note_path(path).exists() and _is_table(path)):
                raise ValueError(f'{path} is not of a run of galvae, which needs this folder: move '
                                 'it away')

    def _path(self, i):
        return self.folder / f'{i:06d}.parquet'

    def is_finished(self, i):
        """Whether the ``i``-th part is there, as it was written."""
        path = self._path(i)
        note = _read_note(_note_path(path))
        if (note.get('run'), note.get('part')) != (self.identity, i):
            return False
        try:
            return _sha256(path) == note.get('sha256')
        except OSError:
            return False

    def write(self, i, table):
        """Keep the ``i``-th part."""
        path = self._path(i)
        _note_path(path).unlink(missing_ok=True)
        write_part(table, path, self.identity)
        self._write_note(_note_path(path), part=i, sha256=_sha256(path))

    def read(self, i):
        """The ``i``-th part."""
        return Table.read(self._path(i), format='parquet')

    def publish(self, joined):
        """Give the file of all parts the name of the output, and remove the parts."""
        about = joined.stat()
        # a process that is killed between the two leaves the output, and this
        self._write_note(self.folder / JOINED_NOTE, size=about.st_size, mtime=about.st_mtime_ns)
        move_into_place(joined, self.output)
        self.remove()

    def is_published(self):
        """Whether the output is that of this run already, which was killed right after."""
        note = _read_note(self.folder / JOINED_NOTE)
        return note.get('run') == self.identity and is_published(self.output)

    def remove(self):
        """Remove the files of a run, and the folder if nothing else is in it."""
        names = [path for path in self.folder.iterdir() if OWN.fullmatch(path.name)]
        for path in sorted(names, key=lambda path: path.name == JOINED_NOTE):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _write_note(self, path, **entries):
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps({'run': self.identity, **entries}))


def is_published(output):
    """Whether an output was finished by a run that was killed before its parts were removed."""
    note = _read_note(_part_folder(output) / JOINED_NOTE)
    try:
        about = output.stat()
    except OSError:
        return False
    return (note.get('size'), note.get('mtime')) == (about.st_size, about.st_mtime_ns)


def _part_folder(output):
    return output.with_name(f'.{output.name}.parts')


def _note_path(path):
    return path.with_suffix('.json')


def _read_note(path):
    """Entries of a note; none if it cannot be read."""
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def _sha256(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _is_table(path):
    """Whether a file is a Parquet file that no run has written."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return False
    return IDENTITY.encode() not in metadata.get(b'table_meta_yaml', b'')


def _stated(value):
    """What stands for a value that JSON does not hold."""
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
        return f'{value.dtype} {value.shape} {getattr(value, "unit", "")} {content}'
    return str(value)


def _differences(before, now):
    return '; '.join(f'{name} was {str(before.get(name))[:80]}, is {str(now.get(name))[:80]}'
                     for name in {**before, **now} if before.get(name) != now.get(name))
