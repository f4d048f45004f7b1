# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Files that are there as a whole or not at all."""

import os
import uuid
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """
    Write a file beside another name, then give it that name.

    Parameters
    ----------
    path : str or path
        The file to make or to replace; it stays as it is if the block raises.

    Yields
    ------
    unfinished : `~pathlib.Path`
        In the same folder, hidden, and of no other attempt: two processes may write
        the same file, and the last one that ends has it.
    """
    path = Path(path)
    unfinished = path.with_name(f'.{path.name}.{uuid.uuid4().hex}.part')
    try:
        yield unfinished
        with open(unfinished, 'rb+') as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(path):
    """Remove what processes that were killed while they wrote ``path`` left behind."""
    for unfinished in path.parent.glob(f'.{path.name}.*.part'):
        unfinished.unlink(missing_ok=True)


def check_output(path, overwrite, hint='overwrite=True replaces it'):
    """
    Raise if a file cannot be written, before the work for it.

    Parameters
    ----------
    path : str or path
    overwrite : bool
    hint : str, optional
        What the message says of a file that exists.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    FileNotFoundError
        If there is no such folder.
    """
    folder = Path(path).absolute().parent
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f'{path} exists; {hint}')
    if not folder.is_dir():
        raise FileNotFoundError(f'{path}: there is no folder {folder}')
