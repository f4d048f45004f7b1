# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The file of a bundle: a ZIP archive that ends with the hash of all that is before it.

Whoever changes a bundle can make a new hash. What is read is bounded by what the archive
declares, before a byte of it is unpacked.
"""

import hashlib
import io
import json
import math
import os
import re
import stat
import zipfile
import zlib

import numpy as np

from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models.manifest import canonical_json

DIGEST_MARK = b'galvae-sha256:'
DIGEST_SIZE = 64
MANIFEST = 'manifest.json'
MAX_FILE = 1 << 30  # bytes: a hundred times the largest model that was trained
MAX_MANIFEST = 16 << 20
MAX_PARTS = 32
# bytes unpacked, a byte of the archive, besides what any archive may have: weights hardly
# shrink, and images of a self-test do not by much
MAX_RATIO, MIN_UNPACKED = 20, 16 << 20
PART_NAME = re.compile(r'[a-z0-9_]+(\.[a-z0-9_]+){1,2}')
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError,
              ValueError, OverflowError, KeyError)


def pack(manifest, parts):
    """Bytes of a bundle; the same model gives the same bytes."""
    content = canonical_json(manifest) if isinstance(manifest, dict) else manifest
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, part in {MANIFEST: content, **parts}.items():
            # a fixed date: the archive depends on its content alone
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, part, zipfile.ZIP_DEFLATED)
        archive.comment = DIGEST_MARK + b'0' * DIGEST_SIZE
    body = buffer.getvalue()[:-DIGEST_SIZE]
    return body + hashlib.sha256(body).hexdigest().encode()


def read_file(path):
    """Bytes of a file that may be a bundle; pipes, devices and files without end are refused."""
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise BundleError('this is not a model bundle: it is no ordinary file')
    if about.st_size > MAX_FILE:
        raise BundleError(f'this is not a model bundle: it has {about.st_size} bytes; expected '
                          f'{MAX_FILE} at most')
    with open(path, 'rb') as file:
        return file.read(MAX_FILE + 1)


def unpack(content):
    """Entries of the manifest, and the parts, of a bundle's bytes."""
    ending = content[-DIGEST_SIZE - len(DIGEST_MARK):]
    if not content.startswith(b'PK') or DIGEST_MARK not in ending:
        raise BundleError('this is not a model bundle, or it is cut short')
    body, digest = content[:-DIGEST_SIZE], content[-DIGEST_SIZE:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise BundleError('the file is damaged: its SHA-256 is not the one written at its end')
    parts = read_archive(content, MAX_PARTS, PART_NAME)
    if len(parts.get(MANIFEST, b'')) > MAX_MANIFEST:
        raise BundleError(f'{MANIFEST} has more than {MAX_MANIFEST} bytes')
    try:
        manifest = json.loads(parts.pop(MANIFEST))
    except (KeyError, ValueError, RecursionError):
        raise BundleError('there is no readable manifest.json in it') from None
    return manifest, parts


def read_archive(content, max_entries, names=None):
    """
    The entries of a ZIP archive from anybody.

    Parameters
    ----------
    content : bytes
    max_entries : int
    names : re.Pattern, optional
        What the whole of each name has to match.

    Returns
    -------
    entries : dict of str to bytes

    Raises
    ------
    BundleError
        If it is no archive, an entry is damaged, named twice or not as expected, or there is
        more in it than so many bytes hold.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check_entries(entries, len(content), max_entries, names)
            return {entry.filename: archive.read(entry) for entry in entries}
    except UNREADABLE as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f'the archive in it cannot be read ({error})') from None


def _check_entries(entries, size, max_entries, names):
    """Refuse entries by what the archive declares of them."""
    if len(entries) > max_entries:
        raise BundleError(f'there are {len(entries)} entries in it; expected {max_entries} at most')
    if len({entry.filename for entry in entries}) < len(entries):
        raise BundleError('two entries have one name')
    unpacked, limit = sum(entry.file_size for entry in entries), MIN_UNPACKED + MAX_RATIO * size
    if unpacked > limit:
        raise BundleError(f'{size} bytes are to be {unpacked} once they are unpacked; expected '
                          f'{limit} at most')
    for entry in entries:
        if names is not None and not names.fullmatch(entry.filename):
            raise BundleError(f'{entry.filename[:80]!r} is no name of a part')
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(f'{entry.filename[:80]!r} is compressed by another method than '
                              'deflate')


def write_arrays(arrays):
    """Bytes of arrays by name, in NumPy's format; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    # the archive that holds it is compressed
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def read_arrays(content, max_arrays):
    """
    Arrays of numbers by name, from anybody.

    Parameters
    ----------
    content : bytes
        Of NumPy's format, compressed or not.
    max_arrays : int

    Returns
    -------
    arrays : dict of str to array

    Raises
    ------
    BundleError
        If it is no such file, or there are more arrays, or other things than numbers.
    """
    arrays = {}
    for entry, array in read_archive(content, max_arrays).items():
        try:
            arrays[entry.removesuffix('.npy')] = _read_array(array)
        except (ValueError, EOFError, SyntaxError, RecursionError) as error:
            raise BundleError(f'{entry}: this is no array ({error})') from None
    return arrays


def _read_array(content):
    """An array of the format of NumPy; no memory is taken for more than there is."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0,
               (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f'version {version} of the format')
    shape, in_fortran, dtype = readers[version](file)
    if dtype.kind not in 'fiu':
        raise ValueError(f'it holds {dtype}; expected numbers')
    values = content[file.tell():]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f'{len(values)} bytes are not {dtype} of shape {shape}')
    array = np.frombuffer(values, dtype)
    return array.reshape(shape, order='F' if in_fortran else 'C')


def checked_arrays(arrays, shapes, longest):
    """
    The arrays that a part has to hold, in double precision.

    Parameters
    ----------
    arrays : dict of str to array
        As they were read.
    shapes : dict of str to tuple
        A letter stands for any length, the same wherever it is.
    longest : dict of str to int
        The largest of each letter.

    Returns
    -------
    arrays : dict of str to float array

    Raises
    ------
    BundleError
        If an array is missing, of another shape, or not finite.
    """
    lengths, checked = {}, {}
    for name, shape in shapes.items():
        if name not in arrays:
            raise BundleError(f'it has no array {name}')
        found = arrays[name].shape
        if len(found) == len(shape):
            for length, expected in zip(found, shape):
                if expected in longest and length <= longest[expected]:
                    lengths.setdefault(expected, length)
        expected = tuple(lengths.get(length, length) for length in shape)
        if found != expected:
            raise BundleError(f'its array {name} has shape {found}; expected {expected}')
        values = arrays[name].astype(float)
        if not np.isfinite(values).all():
            raise BundleError(f'its array {name} has values that are not finite')
        checked[name] = values
    return checked
