# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Files that are there as a whole or not at all."""

import os
import stat
import uuid
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_NAME = 200  # bytes: names of unfinished files and folders are longer, and 255 is the end


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
        move_into_place(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def move_into_place(unfinished, path):
    """
    Give a finished file its name; the old one is there until all of the new one is on the disk.

    Parameters
    ----------
    unfinished, path : `~pathlib.Path`
        On one file system. The permissions of a file that is replaced are kept.
    """
    with open(unfinished, 'rb+') as file:
        os.fsync(file.fileno())
    with suppress(OSError):
        os.chmod(unfinished, stat.S_IMODE(path.stat().st_mode))
    os.replace(unfinished, path)
    if hasattr(os, 'O_DIRECTORY'):
        with suppress(OSError):  # some file systems do not sync folders
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


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
    IsADirectoryError
        If it is a folder.
    ValueError
        If the name is too long.
    """
    path = Path(path)
    folder = path.absolute().parent
    if len(os.fsencode(path.name)) > MAX_NAME:
        raise ValueError(f'{path}: the name is too long, as there are others made of it; expected '
                         f'{MAX_NAME} bytes at most')
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a folder; expected the name of a file')
    if path.exists() and not overwrite:
        raise FileExistsError(f'{path} exists; {hint}')
    if not folder.is_dir():
        raise FileNotFoundError(f'{path}: there is no folder {folder}')


def check_inputs_kept(path, inputs):
    """
    Raise if writing a file would replace one that is read.

    Parameters
    ----------
    path : str or path
        The output.
    inputs : object
        A path, or a mapping or sequence of what may be paths; others are not looked at. The
        output may not be in a folder of inputs either if its ending is that of FITS files:
        the next run would read it.

    Raises
    ------
    ValueError
        Naming the input.
    """
    path = Path(path)
    for given in _paths(inputs):
        if not given.exists():
            continue
        if path.exists() and path.samefile(given):
            raise ValueError(f'{path} is the input {given}; give the output another name')
        inside = given.is_dir() and path.parent.is_dir() and path.parent.samefile(given)
        if inside and path.suffix.lower() in ('.fits', '.fit'):
            raise ValueError(f'{path} would be one of the cutouts of {given}; write it to another '
                             'folder')


def _paths(inputs):
    """The paths of files in what may be a path, or hold some; 'a.fits[SCI]' is one of a.fits."""
    if isinstance(inputs, Mapping):
        inputs = list(inputs.values())
    if isinstance(inputs, (list, tuple)):
        return [path for one in inputs for path in _paths(one)]
    if not isinstance(inputs, (str, os.PathLike)):
        return []
    text = os.fspath(inputs)
    texts = [text, text.partition('[')[0]] if isinstance(text, str) else [os.fsdecode(text)]
    return [Path(one) for one in texts if one]
