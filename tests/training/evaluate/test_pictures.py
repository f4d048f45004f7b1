# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Measures of what was drawn."""

import numpy as np
import pytest

from galvae_affiliated.training.evaluate.pictures import (
    coverage_scores,
    frechet_distance,
    kernel_distance,
    octave_power,
    power_distance,
    simple_features,
    told_apart,
)

RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((40, 3, 32, 32))


def blurred(images):
    """Each pixel the mean of four."""
    return sum(np.roll(images, (i, j), (2, 3)) for i in (0, 1) for j in (0, 1)) / 4


def test_white_noise_has_equal_power_in_all_octaves():
    power = octave_power(NOISE).mean(0)
    np.testing.assert_allclose(power, power.mean(), rtol=0.1)


def test_a_wave_has_its_power_in_its_octave():
    wave = np.broadcast_to(np.cos(2 * np.pi * 0.2 * np.arange(40)), (1, 3, 40, 40))
    power = octave_power(wave)[0]
    assert power.argmax() == 1  # from an eighth to a quarter
    assert power[1] > 100 * power[[0, 2]].max()


def test_blur_takes_power_away():
    assert power_distance(NOISE[:20], NOISE[20:]) < 0.03
    assert power_distance(blurred(NOISE[:20]), NOISE[20:]) > 0.3


def test_distances_of_gaussians():
    """The square of the shift, and of the difference of the widths."""
    one = RNG.standard_normal((4000, 3))
    two = 2.0 * RNG.standard_normal((4000, 3)) + [3.0, 0.0, 0.0]
    assert frechet_distance(one, two) == pytest.approx(9.0 + 3.0, rel=0.1)
    assert frechet_distance(one[:2000], one[2000:]) < 0.05
    assert kernel_distance(one[:500], two[:500]) > 10 * abs(
        kernel_distance(one[:500], one[500:1000])
    )


def test_coverage_tells_a_lost_kind_from_a_wrong_one():
    data = np.concatenate([RNG.normal(0, 1, (200, 2)), RNG.normal(20, 1, (200, 2))])
    half, wrong = RNG.normal(0, 1, (200, 2)), RNG.normal(-30, 1, (200, 2))
    lost = coverage_scores(half, data)
    assert lost['precision'] > 0.9 > 0.6 > lost['coverage'] > 0.4
    assert lost['recall'] < 0.6
    assert set(coverage_scores(wrong, data).values()) == {0.0}


def test_classifier_tells_what_differs_alone():
    one, two = RNG.standard_normal((300, 4)), RNG.standard_normal((300, 4))
    assert told_apart(one, two)[1] == pytest.approx(0.5, abs=0.1)
    accuracy, auc = told_apart(one + [2.0, 0, 0, 0], two)
    assert 0.75 < accuracy < auc


def test_simple_features_say_one_thing_each():
    shifted, flat = simple_features(NOISE + 0.5), simple_features(blurred(NOISE))
    own = simple_features(NOISE)
    np.testing.assert_allclose(shifted['power'], own['power'])
    np.testing.assert_allclose(flat['channel means'], own['channel means'], atol=1e-12)
    assert (flat['power'][:, -1] < own['power'][:, -1]).all()
    assert (shifted['channel means'] > own['channel means']).all()
