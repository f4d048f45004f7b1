# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Distances of two sets of latents."""

import numpy as np
import pytest

from galvae_affiliated.surveys import (
    kernel_widths,
    matched_rows,
    maximum_mean_discrepancy,
    pair_scores,
    sliced_wasserstein,
    survey_area,
)


@pytest.fixture(scope='module')
def sets():
    """A source, another of the same kind, and one that is shifted and wider."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(300, 4)), rng.normal(size=(250, 4)), rng.normal(0.4, 1.2, (250, 4))


def plain_estimate(a, b, widths):
    """The estimate, pair by pair."""

    def kernel(x, y):
        square = ((x - y) ** 2).sum()
        return np.mean([np.exp(-square / (2 * width**2)) for width in widths])

    same = [
        np.mean([kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j])
        for s in (a, b)
    ]
    return sum(same) - 2 * np.mean([kernel(x, y) for x in a for y in b])


def test_the_estimate_is_that_of_all_pairs(sets):
    source, _, target = (rows[:20] for rows in sets)
    widths = kernel_widths(source, target)
    found = maximum_mean_discrepancy(source, target[:13], widths=widths, n_permutations=9)
    assert found.value == pytest.approx(plain_estimate(source, target[:13], widths), abs=1e-12)
    assert (found.n_source, found.n_target) == (20, 13)


def test_equal_kinds_are_not_told_apart_and_others_are(sets):
    source, same, other = sets
    equal = maximum_mean_discrepancy(source, same)
    apart = maximum_mean_discrepancy(source, other)
    assert equal.p_value > 0.05
    assert equal.low < 0.0 < equal.high
    assert apart.p_value == pytest.approx(1 / 501)
    assert 0.0 < apart.low < apart.value < apart.high


def test_p_values_of_equal_kinds_are_uniform():
    rng = np.random.default_rng(0)
    p = [
        maximum_mean_discrepancy(
            rng.normal(size=(40, 2)), rng.normal(size=(40, 2)), n_permutations=60, n_boot=0
        ).p_value
        for _ in range(120)
    ]
    assert 0.4 < np.mean(p) < 0.6
    assert 0.01 < np.mean(np.array(p) < 0.1) < 0.2


def test_more_rows_than_asked_for_are_thinned(sets):
    found = maximum_mean_discrepancy(*sets[:2], max_rows=50, n_permutations=0, n_boot=0)
    assert (found.n_source, found.n_target) == (50, 50)
    assert np.isnan([found.p_value, found.low, found.high]).all()


def test_the_sliced_distance_is_that_of_a_shift():
    rows = np.random.default_rng(0).normal(size=(4000, 1))
    assert sliced_wasserstein(rows, rows + 3.0) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        (np.zeros(5), 'shape'),
        (np.zeros((1, 4)), '1 rows of target'),
        (np.zeros((5, 3)), r'expected \(N, 4\)'),
        (np.full((5, 4), np.nan), '5 rows of target are not finite'),
    ],
)
def test_wrong_targets_are_refused(sets, rows, message):
    with pytest.raises(ValueError, match=message):
        maximum_mean_discrepancy(sets[0], rows)


def test_the_classifier_sees_more_than_means(sets):
    source, same, _ = sets
    area, low, high = survey_area(source, same, n_boot=50)
    assert low < 0.5 < high
    rng = np.random.default_rng(5)
    # equal means and widths, another shape
    ring = rng.normal(size=(300, 4))
    ring[:, :2] /= np.linalg.norm(ring[:, :2], axis=1, keepdims=True) / np.sqrt(2.0)
    assert survey_area(source, ring, n_boot=10)[0] > 0.8
    with pytest.raises(ValueError, match='9 rows of target'):
        survey_area(source, same[:9])


def test_matched_galaxies_are_alike():
    rng = np.random.default_rng(0)
    source, target = rng.random((500, 2)), 0.5 * rng.random((120, 2))
    ours, theirs = matched_rows(source, target)
    assert 60 < len(ours) <= 120
    assert len(set(ours)) == len(set(theirs)) == len(ours)
    apart = np.linalg.norm(source[ours] - target[theirs], axis=1)
    assert apart.max() < 0.1
    assert not len(matched_rows(source, target + 5.0)[0])
    everything = matched_rows(source, target, max_distance=np.inf)
    assert len(everything[0]) > len(ours)


def test_pairs_are_found_where_they_are_near():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(200, 5))
    pairs = np.column_stack([np.arange(50, 90), np.arange(40)])
    near = pair_scores(source, source[50:90] + 0.01, pairs)
    assert near['recall_1'] == {'value': 1.0, 'low': 1.0, 'high': 1.0}
    assert near['distance']['value'] < 0.02
    far = pair_scores(source, rng.normal(size=(40, 5)), pairs)
    assert far['recall_1']['value'] < 0.2
    assert far['median_rank']['low'] < 100 < far['median_rank']['high'] + 60
    with pytest.raises(ValueError, match='rows up to'):
        pair_scores(source, source[:10], pairs)
    with pytest.raises(ValueError, match='integers'):
        pair_scores(source, source, pairs.astype(float))
