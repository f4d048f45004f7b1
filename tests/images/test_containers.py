# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""FITS files that would hang, fill the memory, or give other pixels without a word."""

import bz2
import gzip
import io
import lzma
import os
import zipfile

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galvae_affiliated.images import _containers
from galvae_affiliated.images._fits import open_fits
from galvae_affiliated.images.planes import read_planes
from galvae_affiliated.tables.files import read_catalog

IMAGE = np.random.default_rng(0).normal(size=(3, 40, 40)).astype('f4')


def fits_bytes(*hdus):
    content = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(content)
    return content.getvalue()


@pytest.fixture
def content():
    return fits_bytes(fits.PrimaryHDU(IMAGE))


def read(path, content):
    path.write_bytes(content)
    with open_fits(path) as hdus:
        return np.array(hdus[0].data)


def zipped(content, n=1):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        for i in range(n):
            archive.writestr(f'{i}.fits', content)
    return file.getvalue()


@pytest.mark.parametrize('pack', [bytes, gzip.compress, bz2.compress, lzma.compress, zipped])
@pytest.mark.parametrize('in_memory', [1 << 26, 1000])
def test_compressed_files_are_read(tmp_path, content, pack, in_memory, monkeypatch):
    monkeypatch.setattr(_containers, 'IN_MEMORY', in_memory)
    np.testing.assert_array_equal(read(tmp_path / 'image.fits', pack(content)), IMAGE)


@pytest.mark.parametrize('pack', [gzip.compress, bz2.compress, lzma.compress, zipped])
def test_bombs_are_refused(tmp_path, content, pack, monkeypatch):
    monkeypatch.setattr(_containers, 'MIN_UNPACKED', 1 << 20)
    monkeypatch.setattr(_containers, 'MAX_RATIO', 2)
    with pytest.raises(ValueError, match=r'image.fits: .* bytes unpack to more than'):
        read(tmp_path / 'image.fits', pack(content + bytes(8 << 20)))


def test_a_bit_of_a_gzip_stream_is_found(tmp_path, content):
    packed = gzip.compress(content, mtime=0)
    found = set()
    for bit in np.random.default_rng(1).integers(80, 8 * len(packed), 60):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(ValueError, match='image.fits'):
            read(tmp_path / 'image.fits', bytes(damaged))
        found.add(bit)
    assert found


@pytest.mark.parametrize('cut', [0, 1, 5, 100, -1, -8])
def test_streams_that_are_cut_short(tmp_path, content, cut):
    with pytest.raises(ValueError, match='image.fits'):
        read(tmp_path / 'image.fits', gzip.compress(content)[:cut])


def test_streams_of_something_else(tmp_path):
    for packed in (gzip.compress(b'text'), gzip.compress(gzip.compress(b'text')),
                   zipped(b'text', 2), b'PK\x03\x04'):
        with pytest.raises(ValueError, match='image.fits'):
            read(tmp_path / 'image.fits', packed)


def with_card(content, key, value, start=0):
    """FITS with another number in the first card of a keyword behind a place."""
    place = content.index(key.ljust(8).encode() + b'= ', start)
    return content[:place + 10] + str(value).rjust(20).encode() + content[place + 30:]


@pytest.mark.parametrize('extension', [False, True])
@pytest.mark.parametrize(('key', 'hdu'), [
    ('NAXIS', fits.ImageHDU(IMAGE)), ('TFIELDS', fits.BinTableHDU(Table({'x': [1.0]}))),
    ('NAXIS', fits.BinTableHDU(Table({'x': [1.0]})))])
def test_counts_without_end(tmp_path, key, hdu, extension):
    hdus = [fits.PrimaryHDU(), hdu] if extension else [fits.PrimaryHDU(IMAGE), hdu]
    content = fits_bytes(*hdus)
    start = content.index(b'XTENSION') if extension or key == 'TFIELDS' else 0
    content = with_card(content, key, 99999999999, start)
    for name, packed in (('a.fits', content), ('a.fits.gz', gzip.compress(content))):
        with pytest.raises(ValueError, match=f'{name}: .*{key} = 99999999999; expected at most'):
            read(tmp_path / name, packed)
        with pytest.raises(ValueError, match=f'{name}: .*{key} = 99999999999'):
            read_catalog(tmp_path / name)


def test_compressed_images_that_count_without_end(tmp_path):
    content = fits_bytes(fits.PrimaryHDU(), fits.CompImageHDU(IMAGE))
    with pytest.raises(ValueError, match='ZNAXIS = 99999999999'):
        read(tmp_path / 'a.fits', with_card(content, 'ZNAXIS', 99999999999))


@pytest.mark.parametrize(('key', 'value'), [
    ('NAXIS', -1), ('NAXIS1', -5), ('NAXIS1', 10**15), ('BITPIX', 7), ('BITPIX', -10**9),
    ('NAXIS', 2.5), ('NAXIS', "'three'")])
def test_other_numbers_are_an_error_of_one_line(tmp_path, content, key, value):
    path = tmp_path / 'a.fits'
    path.write_bytes(with_card(content, key, value))
    with pytest.raises(ValueError, match=r'a.fits: '):
        # what the header of an image can be is not all that its pixels can
        read_planes(path, 'g,r,z')


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='pipes are of Unix')
def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / 'pipe.fits')
    with pytest.raises(ValueError, match='pipe.fits: .*no ordinary file'), \
            open_fits(tmp_path / 'pipe.fits'):
        pass
    with pytest.raises((FileNotFoundError, ValueError), match='pipe.fits'):
        read_catalog(tmp_path / 'pipe.fits')


@pytest.mark.parametrize('key', ['MAGZERO', 'SEEING', 'FILTER', 'BAND0', 'BUNIT'])
def test_cards_without_a_value_count_as_not_stated(tmp_path, content, key):
    card = f'{key:8s}=                  nan'.encode().ljust(80)
    end = b'END'.ljust(80)
    content = content.replace(end, card + end, 1).replace(b' ' * 80, b'', 1)
    (tmp_path / 'a.fits').write_bytes(content)
    with open_fits(tmp_path / 'a.fits') as hdus:
        assert not isinstance(hdus[0].header[key], float)
