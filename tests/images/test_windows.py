# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from galvae_affiliated.images._windows import overlaps, window_ranges


@pytest.mark.parametrize(
    ('centre', 'side', 'expected'),
    [
        (50.0, 11.0, (44, 57)),
        (0.0, 10.0, (0, 7)),
        (99.0, 10.0, (93, 100)),
        (-50.0, 10.0, (0, 0)),
        (500.0, 10.0, (100, 100)),
        (50.0, 1e30, (0, 100)),
        (50.0, np.inf, (0, 100)),
    ],
)
def test_window(centre, side, expected):
    start, stop = window_ranges(np.float64(centre), np.float64(side), 100)
    assert (start, stop) == pytest.approx(expected, abs=1)
    assert 0 <= start <= stop <= 100
    # all pixels that the square touches
    assert start <= max(centre - side / 2, 0) or start == 100
    assert stop >= min(centre + side / 2 + 0.5, 100) or stop == 0


def test_overlaps():
    assert overlaps([-3, 2, 8, 30], 5, 10) == [
        (slice(3, 5), slice(0, 2)),
        (slice(0, 5), slice(2, 7)),
        (slice(0, 2), slice(8, 10)),
        (slice(-20, -20), slice(10, 10)),
    ]
