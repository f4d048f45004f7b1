# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The bytes of a FITS file, bounded before they are read: unpacked, and with counts that are counts.

astropy counts to NAXIS and TFIELDS, whatever they are; it stops reading a compressed stream at the
end of the image, before the checksum of the stream; and it unpacks all that a few bytes declare.
"""

import bz2
import gzip
import io
import lzma
import os
import stat
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from math import prod

BLOCK, CARD = 2880, 80  # bytes
MAX_COUNT = 999  # of axes, and of columns: the standard's own limit
COUNTS = ('NAXIS', 'ZNAXIS', 'TFIELDS')
MAX_BLOCKS = 20_000  # of one header: 720,000 cards
# bytes unpacked, a byte of the file, besides what any may have: images hardly shrink to a tenth
MAX_RATIO, MIN_UNPACKED = 100, 1 << 26
IN_MEMORY = 1 << 26  # bytes; more is unpacked into a temporary file
PIECE = 1 << 20
OPENERS = {b'\x1f\x8b': gzip.open, b'BZh': bz2.open, b'\xfd7zXZ': lzma.open}
ZIP = b'PK\x03\x04'
DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError,
           NotImplementedError)


@contextmanager
def plain_fits(path):
    """
    What astropy may open in place of a FITS file: the open file, or what it unpacks to.

    Parameters
    ----------
    path : str or path
        What is no file here is left to astropy.

    Yields
    ------
    source : str, path or file
        A file is closed at the end.

    Raises
    ------
    ValueError
        If it is a pipe, device or the like, a compressed stream that is damaged, a small file
        that unpacks to a large one, or a header that counts to where no header does; what is
        wrong is said, not of which file.
    """
    if not os.path.exists(path):
        yield path
        return
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError('it is no ordinary file')
    with open(path, 'rb') as file:
        start = file.read(6)
        opener = next((opener for magic, opener in OPENERS.items() if start.startswith(magic)),
                      _open_zip if start.startswith(ZIP) else None)
        if opener is None:
            check_counts(file)
            file.seek(0)
            yield file  # astropy leaves files open that it cannot read
            return
    with _unpack(path, opener) as content:
        if content.read(6) != b'SIMPLE':
            raise ValueError('there is no FITS file in it')
        check_counts(content)
        content.seek(0)
        yield content


def _open_zip(path, _):
    """The only file of an archive, as astropy takes them."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(names) != 1:
            raise ValueError(f'there are {len(names)} files in the archive; expected one')
        return archive.open(names[0])


def _unpack(path, opener):
    """A file in memory, or on disk if it is large, of the whole of a compressed stream."""
    limit = MIN_UNPACKED + MAX_RATIO * os.path.getsize(path)
    target, size = io.BytesIO(), 0
    try:
        with opener(path, 'rb') as stream:
            while piece := stream.read(PIECE):
                size += len(piece)
                if size > limit:
                    raise ValueError(f'{os.path.getsize(path)} bytes unpack to more than {limit}; '
                                     'unpack the file first if that is right')
                if size > IN_MEMORY and isinstance(target, io.BytesIO):
                    started, target = target, tempfile.TemporaryFile()
                    target.write(started.getbuffer())
                target.write(piece)
    except DAMAGED as error:
        target.close()
        raise ValueError(f'its compressed stream is damaged: {error}') from None
    except ValueError:
        target.close()
        raise
    if not isinstance(target, io.BytesIO):
        # astropy takes the one that was written to for a file to be changed
        with target:
            target.flush()
            target = open(os.dup(target.fileno()), 'rb')
    target.seek(0)
    return target


def check_counts(file):
    """
    Refuse headers whose numbers of axes or columns are none.

    Parameters
    ----------
    file : binary file
        Of FITS; only headers are read. What else is wrong with it is left to astropy.

    Raises
    ------
    ValueError
    """
    place = 0
    while True:
        file.seek(place)
        cards = _header_cards(file)
        if cards is None:
            return
        for name in COUNTS:
            if not cards.get(name, 0) <= MAX_COUNT:
                raise ValueError(f'its header says {name} = {cards[name]:.0f}; expected at most '
                                 f'{MAX_COUNT}')
        sides = [cards.get(f'NAXIS{i + 1}', 0) for i in range(int(cards.get('NAXIS', 0)))]
        if len(sides) > 1 and sides[0] == 0:  # random groups
            sides = sides[1:]
        values = prod(sides) if sides else 0
        values = cards.get('GCOUNT', 1) * (cards.get('PCOUNT', 0) + values)
        size = abs(cards.get('BITPIX', 8)) // 8 * values
        if size < 0:
            return
        place = file.tell() + -(-size // BLOCK) * BLOCK


def _header_cards(file):
    """Whole numbers of a header by keyword; None at the end, or where there is no header."""
    cards = {}
    for _ in range(MAX_BLOCKS):
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            return None
        for start in range(0, BLOCK, CARD):
            card = block[start:start + CARD]
            if card[:8].rstrip() == b'END':
                return cards
            if card[8:10] == b'= ':
                try:
                    number = int(card[10:].split(b'/')[0])
                except ValueError:
                    continue
                cards.setdefault(card[:8].rstrip().decode('latin-1'), number)
    return None
