# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.io import fits

from galvae_affiliated.images._lazy import MappedImage, MissingPixels
from galvae_affiliated.images._masks import (
    ALL_PLANES,
    has_planes,
    is_binary,
    named_planes,
    undefined_planes,
)


def test_names_of_planes():
    header = fits.Header()
    for name, bit in (('BAD', 0), ('SAT', 1), ('INTRP', 2), ('CR', 3), ('DETECTED', 5),
                      ('NO_DATA', 8)):
        header[f'HIERARCH MP_{name}'] = bit
    assert named_planes(header) == 1 | 2 | 8 | 256
    assert named_planes(fits.Header()) is None
    assert named_planes(None) is None
    assert named_planes({'MP_DETECTED': 5}) == 0


@pytest.mark.parametrize('dtype', ['u1', '>i2', 'i4', '>u4', 'i8', 'f4'])
def test_planes_in_all_types(dtype):
    values = np.array([[0, 1, 2], [5, 32, 64]], dtype=dtype)
    assert has_planes(values, 1).tolist() == [[False, True, False], [True, False, False]]
    assert has_planes(values, 2 ** 40).any() == np.False_
    assert has_planes(values, ALL_PLANES).sum() == 5


@pytest.mark.parametrize(('values', 'expected'), [([0, 1], True), ([0, 255], True), ([0, 2], False),
                                                  ([-1, 0], False), ([0, 32], False)])
def test_masks_of_truth_values(values, expected):
    assert is_binary(np.array([values], dtype='i2')) == expected


def test_planes_of_a_file_that_stays_on_disk(monkeypatch):
    monkeypatch.setattr('galvae_affiliated.images._masks.STRIP', 4)
    mask = MappedImage(np.arange(12, dtype='i4').reshape(4, 3))
    assert not is_binary(mask)
    bad = MissingPixels([mask], [], [4])
    assert np.array_equal(np.asarray(bad), (np.arange(12).reshape(4, 3) & 4) != 0)
    assert bad[1:2, :].tolist() == [[False, True, True]]


def test_telescopes():
    mask = fits.ImageHDU(np.array([[0, 4], [1, 2]], 'i4'), name='DQ')
    for telescope, bits in (('JWST', 1), ('Euclid', 1), ('HST', 31631)):
        header = fits.Header({'TELESCOP': telescope})
        assert undefined_planes(mask.data, mask, header, 'r.fits') == bits
