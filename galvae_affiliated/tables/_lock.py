# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One run at a time an output: a file that says whose, and a lock that dies with a process."""

import json
import os
import socket
import time
from contextlib import suppress

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# seconds without a sign of life after which a run on another machine counts as dead. Only file
# systems whose locks do not reach other machines need it
SILENCE = 120.0
MAX_NOTE = 4096  # bytes of a lock file


class RunLock:
    """
    Keeps other runs from an output while it lasts; a context manager.

    Parameters
    ----------
    output : `~pathlib.Path`
        The lock is the file ``.OUTPUT.lock`` beside it.

    Raises
    ------
    BlockingIOError
        On entering, if another run writes this output; naming its process and machine.
    """

    def __init__(self, output):
        self.output = output
        self.path = output.with_name(f'.{output.name}.lock')
        self._file = None

    def __enter__(self):
        while self._file is None:
            self._file = self._try()
        return self

    def __exit__(self, *error):
        file, self._file = self._file, None
        with suppress(OSError):
            self.path.unlink()  # while it is locked: who opened it sees that it is gone
        os.close(file)

    def touch(self):
        """A sign of life, for runs on other machines."""
        with suppress(OSError):
            os.utime(self._file if os.utime in os.supports_fd else self.path)

    def _try(self):
        """The locked file; None if it went away while it was looked at."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            is_locked = self._lock(file)
            if not _is_at(file, self.path):
                os.close(file)
                return None
            note = _read_note(file)
            age = time.time() - os.fstat(file).st_mtime
            is_here = note.get('host') == socket.gethostname()
            # where locks work they say all of this machine, dead runs included
            if note and not (is_here and is_locked) and age < SILENCE:
                raise self._taken(note)
            os.truncate(file, 0)
            os.pwrite(file, json.dumps({'process': os.getpid(), 'host': socket.gethostname(),
                                        'started': time.strftime('%Y-%m-%d %H:%M:%S')}).encode(), 0)
        except BaseException:
            os.close(file)
            raise
        return file

    def _lock(self, file):
        """Lock the file; False where the file system has no locks."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._taken(_read_note(file)) from None
        except (OSError, AttributeError):
            return False
        return True

    def _taken(self, note):
        who = f'process {note.get("process", "unknown")} on {note.get("host", "this machine")}'
        since = f', since {note["started"]}' if 'started' in note else ''
        hint = '' if note.get('host') == socket.gethostname() else (
            f'. If it is dead, this command goes on {SILENCE:.0f} seconds after its last sign of '
            'life')
        return BlockingIOError(f'another run, {who}{since}, writes {self.output}; wait for it, or '
                               f'end it{hint}')


def _is_at(file, path):
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _read_note(file):
    """What the owner has written; empty if nothing that can be read."""
    try:
        note = json.loads(os.pread(file, MAX_NOTE, 0))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}
