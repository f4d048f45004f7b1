# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the scores of answers rest on: confidence along the tree, and rows of what is left."""

import numpy as np
import pytest

pytest.importorskip('torch')


def votes_of(votes, n):
    """Equal votes of ``n`` galaxies for every question."""
    labels = pytest.importorskip('galvae_affiliated.training.data.labels')
    return {
        question: labels.Votes(
            np.full((n, len(entry['answers'])), 1 / len(entry['answers'])), np.ones(n)
        )
        for question, entry in votes.TREE.items()
    }


def test_confidence_is_the_smallest_on_the_way(benchmark):
    bench = benchmark('bench_votes')
    votes = votes_of(bench, 2)
    votes['smooth-or-featured'].fractions[:] = [[0.1, 0.9, 0.0], [0.3, 0.7, 0.0]]
    votes['disk-edge-on'].fractions[:] = [[0.2, 0.8], [0.05, 0.95]]
    votes['bar'].fractions[:] = [[0.95, 0.05], [0.1, 0.9]]
    assert bench.confidence(votes, 'bar') == pytest.approx([0.8, 0.7])


def test_answers_that_few_have_are_left_out_of_the_means(benchmark):
    score = benchmark('bench_votes').answer_scores
    true = np.repeat([0, 1, 2], [30, 18, 2])
    found = true.copy()
    found[:15] = 1
    row = score('how-rounded', true, found)
    assert row['left out of means'] == ['cigar']
    assert row['accuracy'] == pytest.approx(0.7)
    assert row['balanced'] == pytest.approx(0.75)
    few = score('how-rounded', true[:39], found[:39])
    assert 'accuracy' not in few and few['n'] == 39


def test_missing_predictions_are_wrong_and_have_intervals(benchmark):
    bench = benchmark('bench_votes')
    true = np.repeat([0, 1], 30)
    predicted = np.eye(2)[true]
    predicted[::2] = np.nan
    row = bench.answer_scores('bar', true, bench._likeliest(predicted), n_boot=50)
    assert row['no prediction'] == 30
    assert row['accuracy'] == pytest.approx(0.5)
    assert row['accuracy_lo'] < 0.5 < row['accuracy_hi']


def scored(n, area):
    """The scores of a method on one question."""
    row = {'question': 'bar', 'n': n, 'majority': 0.7, 'auc': area}
    return {
        'means': {
            'balanced accuracy': 0.5,
            'AUC': area,
            'calibration': 0.1,
            'challenge RMSE': 0.09,
        },
        'questions': [row],
        'answers': {'bar': [area, np.nan]},
    }


def test_figures_of_an_earlier_run_stand_beside_new_ones(benchmark):
    bench = benchmark('bench_votes')
    earlier = {
        'default model': scored(50, 0.5),
        'plain, forest': scored(50, 0.6),
        'other': scored(50, 0.7),
    }
    part = {'default model': scored(50, 0.9), 'PCA, forest': scored(50, 0.8)}
    found = bench._with_earlier(part, earlier, ['plain, forest'])
    assert list(found) == ['default model', 'plain, forest', 'PCA, forest']
    assert found['default model'] is part['default model']
    assert 'plain, forest' in bench._about_methods('some@1', ['plain, forest'])
    text = bench._method_tables({'test': found})
    lines = [line.split('- ')[1] for line in text.splitlines() if '- ' in line]
    i = lines.index('bar')
    assert lines[i + 1 : i + 4] == ['0.900', '0.600', '0.800']
    assert 'yes 0.900, no -' in text


@pytest.mark.parametrize(
    ('n', 'taken', 'message'), [(50, 'none', 'has no none'), (51, 'plain', '51 galaxies in bar')]
)
def test_other_galaxies_are_not_compared(benchmark, n, taken, message):
    bench = benchmark('bench_votes')
    earlier = {'default model': scored(50, 0.5), 'plain': scored(n, 0.6)}
    with pytest.raises(SystemExit, match=message):
        bench._with_earlier({'default model': scored(50, 0.9)}, earlier, [taken])
