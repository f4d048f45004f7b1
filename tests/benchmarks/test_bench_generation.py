# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Checks of drawn galaxies: agreement with what was asked, floors, and what is meant."""

import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.fixture(scope='module')
def checks(benchmark):
    return benchmark('_generation_checks')


@pytest.fixture(scope='module')
def made(benchmark):
    return benchmark('_generation_tables')


class Votes:
    """Of which so many have the answer."""

    def __init__(self, n, n_yes):
        self.answers = np.array(['yes'] * n_yes + ['no'] * (n - n_yes))

    def likeliest(self, question):
        return self.answers


def test_agreement_is_in_standard_errors_over_chance(checks):
    found = checks._agreement(Votes(100, 50), Votes(400, 40), 'bar', 'yes')
    assert (found['share'], found['chance']) == (0.5, 0.1)
    assert found['standard errors'] == pytest.approx(0.4 / np.hypot(0.05, 0.015), rel=0.02)
    never = checks._agreement(Votes(100, 0), Votes(400, 0), 'bar', 'yes')
    assert never['standard errors'] == 0.0 and never['error'] > 0.0


def test_quantities_stand_beside_halves_of_the_data(checks):
    data = RNG.normal(0.0, 1.0, 400)
    found = checks.quantity_distances({'far': {'size': data + 3.0}}, {'size': data})
    assert list(found) == ['halves of the data', 'far']
    assert found['far']['size']['low'] > 2.0 > found['halves of the data']['size']['high']


def test_misses_are_named(made):
    assert made._verdict(0.9, ('<=', 0.8)) == '0.9, missed'
    assert made._verdict(0.7, ('<=', 0.8)) == '0.7'
    assert made._verdict(0.7, ('>=', 0.8)) == '0.7, missed'
    assert made._says(('>=', 0.85)) == 'at least 0.85'
