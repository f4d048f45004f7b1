# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Two surveys in the latents of a model: answers by classes, pairs, and the table."""

import numpy as np
import pytest

pytest.importorskip('sklearn')
pytest.importorskip('pandas')


@pytest.fixture(scope='module')
def bench(benchmark):
    return benchmark('bench_two_surveys')


@pytest.fixture
def galaxies(bench):
    """Fractions that give every class its own answer, and the classes, four of each."""
    names = sorted(
        {name for task in bench.TASKS.values() for some in task.values() for name in some}
    )
    classes = np.repeat(names, 4)
    # an answer that no class is of stands first in each question
    questions = {q: ('neither', *answers) for q, answers in bench.TASKS.items()}
    fractions = {}
    for question, answers in bench.TASKS.items():
        fractions[question] = np.zeros((len(classes), len(answers) + 1))
        fractions[question][:, 0] = 0.5
        for i, some in enumerate(answers.values()):
            fractions[question][np.isin(classes, some), i + 1] = 0.4
    return fractions, classes, questions


def test_answers_are_told_among_those_of_the_classes(bench, galaxies):
    fractions, classes, questions = galaxies
    assert bench.answer_scores(fractions, classes, questions) == (1.0, 1.0)
    same = {q: np.full_like(f, 0.3) for q, f in fractions.items()}
    balanced, auc = bench.answer_scores(same, classes, questions)
    assert balanced == pytest.approx((1 / 3 + 6 / 2) / 7) and auc == pytest.approx(0.5)


def test_a_wrong_answer_to_one_question_counts_a_seventh(bench, galaxies):
    fractions, classes, questions = galaxies
    wrong = {**fractions, 'bar': fractions['bar'][:, [0, 2, 1]]}
    assert bench.answer_scores(wrong, classes, questions) == pytest.approx((6 / 7, 6 / 7))


def test_pairs_are_rows_of_test_of_the_source(bench, tmp_path):
    import pandas as pd

    class Some:
        def __init__(self, names, rows):
            self.labels = pd.DataFrame(index=names)
            self.rows = lambda split: np.array(rows)

    path = tmp_path / 'pairs.csv'
    path.write_text('decals_id,sdss_id\nx,c\ny,a\nz,b\n')
    source, target = Some(['a', 'b', 'c'], [1, 2]), Some(['z', 'x'], [0])
    assert bench.read_pairs(path, source, target).tolist() == [[1, 1], [0, 0]]


def test_the_table_has_what_was_measured(bench):
    figures = {
        'verdict': 'useful',
        'discrepancy': {when: {'value': 0.5, 'low': 0.25, 'high': 0.75} for when in bench.WHEN},
        'answers': {'before': {'value': 0.8}, 'after': {'value': 0.7}},
    }
    _, header, rows = bench.table(figures, 'Two surveys')
    assert rows[0] == ['discrepancy', *['0.5 (0.25 to 0.75)'] * 3]
    assert rows[1] == ['answers', '0.8', '0.7', ''] and len(header) == 4
