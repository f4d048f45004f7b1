# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Distances of distributions of quantities."""

import numpy as np
import pytest

from galvae_affiliated.training.evaluate.distributions import distribution_distance, half_width

RNG = np.random.default_rng(0)
DATA = RNG.normal(5.0, 3.0, 2000)


def test_half_width_is_the_standard_deviation_whatever_lies_far_out():
    assert half_width(np.append(DATA, [1e6] * 10)) == pytest.approx(3.0, rel=0.1)


def test_a_shift_is_a_distance_in_units_of_the_scatter():
    found = distribution_distance(DATA[:1000] + 1.5, DATA[1000:], n_boot=50)
    assert found['low'] < 0.5 < found['high']
    assert found['high'] - found['low'] < 0.3
    assert found['ks'] == pytest.approx(0.2, abs=0.05)


def test_halves_of_the_same_are_near():
    found = distribution_distance(DATA[:1000], DATA[1000:], n_boot=50)
    assert found['wasserstein'] < 0.1
    assert found['low'] <= found['wasserstein'] <= found['high']


def test_what_is_not_measured_is_left_out_and_counted():
    drawn = DATA.copy()
    drawn[::4] = np.nan
    found = distribution_distance(drawn, DATA, n_boot=0)
    assert found['measured'] == 0.75
    assert found['wasserstein'] < 0.1
    assert np.isnan(found['high'])


def test_wrong_calls():
    with pytest.raises(ValueError, match='3 drawn and 2000 data are finite; expected 10'):
        distribution_distance([1.0, 2.0, 3.0, np.nan], DATA)
    with pytest.raises(ValueError, match='do not scatter'):
        distribution_distance(DATA, np.ones(100))
