# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The bins of the calibration curves."""

import numpy as np
import pytest

pytest.importorskip('torch')


def test_bins_hold_as_many_galaxies_each_and_their_means(benchmark):
    rng = np.random.default_rng(0)
    predicted = rng.uniform(size=400)
    voted = np.clip(predicted + rng.normal(scale=0.05, size=400), 0, 1)
    n, x, y, error = np.array(benchmark('bench_calibration').bins(predicted, voted)).T
    assert n.tolist() == [40] * 10
    assert (np.diff(x) > 0).all()
    assert np.abs(x - y).max() < 5 * error.max()
    assert np.average(x, weights=n) == pytest.approx(predicted.mean())


def test_too_few_galaxies_have_no_bins(benchmark):
    assert benchmark('bench_calibration').bins(np.linspace(0, 1, 20), np.linspace(0, 1, 20)) == []
