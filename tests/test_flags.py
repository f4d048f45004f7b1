# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The named bits of rows."""

import copy
import pickle

import numpy as np
import pytest
from astropy.nddata.bitmask import bitfield_to_boolean_mask, interpret_bit_flags

from galvae_affiliated.flags import BITS, UNMEASURED, BitNames, GalvaeFlags, describe_flags


def test_each_bit_is_one_bit_of_its_own():
    bits = [bit for bit, _, _ in BITS.values()]
    assert len({*bits}) == len(bits) and all(bit & (bit - 1) == 0 for bit in bits)
    assert describe_flags(sum(bits)) == list(BITS)
    assert describe_flags(np.int32(UNMEASURED))[0] == 'BAD_POSITION'


@pytest.mark.parametrize('name', BITS)
def test_bits_by_attribute_and_key(name):
    assert getattr(GalvaeFlags, name) == GalvaeFlags[name] == BITS[name][0]


def test_bits_keep_the_type_of_flags():
    flags = np.zeros(3, dtype=np.int32)
    assert (flags | GalvaeFlags.EDGE).dtype == np.int32


def test_astropy_takes_the_names():
    assert interpret_bit_flags('EDGE,SMALL', flag_name_map=GalvaeFlags) == 64 | 256
    assert interpret_bit_flags(['EDGE'], flag_name_map=GalvaeFlags) == 64
    mask = bitfield_to_boolean_mask(
        np.array([0, 64, 256]), ignore_flags='~(EDGE)', flag_name_map=GalvaeFlags
    )
    assert mask.tolist() == [False, True, False]


def test_bits_do_not_change():
    with pytest.raises(AttributeError, match='do not change'):
        GalvaeFlags.EDGE = 1
    with pytest.raises(AttributeError, match="no bit 'NONE' of GalvaeFlags"):
        GalvaeFlags['NONE']
    with pytest.raises(AttributeError):
        GalvaeFlags.NONE  # noqa: B018
    for other in (pickle.loads(pickle.dumps(GalvaeFlags)), copy.deepcopy(GalvaeFlags)):
        assert isinstance(other, BitNames) and other.EDGE == 64
