# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

pd = pytest.importorskip('pandas')

from galvae_affiliated.training.data.galaxy_zoo import GZ2_QUESTIONS  # noqa: E402
from galvae_affiliated.training.data.labels import (  # noqa: E402
    Votes,
    question_tree,
    read_labels,
    read_votes,
    with_teacher,
)

TREE = {
    'smooth': {'answers': ['yes', 'no'], 'parent': None},
    'bar': {'answers': ['strong', 'weak', 'none'], 'parent': ['smooth', 'no']},
    'long': {'answers': ['yes', 'no'], 'parent': ['bar', 'strong']},
}
SMOOTH = {'smooth': TREE['smooth']}


def frame(**columns):
    """Labels of galaxies g0, g1, ...; a double underscore stands for a hyphen."""
    columns = {name.replace('__', '-'): values for name, values in columns.items()}
    return pd.DataFrame(columns, index=[f'g{i}' for i in range(len(next(iter(columns.values()))))])


def test_no_questions():
    assert question_tree('none') == {}


def test_questions_of_galaxy_zoo_2_have_parents_that_exist():
    tree = question_tree('gz2')
    assert list(tree) == list(GZ2_QUESTIONS)
    for question, entry in tree.items():
        assert len(entry['answers']) >= 2, question
        assert entry['parent'] is None or entry['parent'][1] in tree[entry['parent'][0]]['answers']


def test_own_questions():
    """Answers alone are enough for a question that everybody is asked; they may be numbers."""
    tree = question_tree(
        {'arms': {'answers': [1, 2], 'parent': ['spiral', 'yes']}, 'spiral': ['yes', 'no']}
    )
    assert tree['spiral'] == {'answers': ['yes', 'no'], 'parent': None}
    assert tree['arms'] == {'answers': ['1', '2'], 'parent': ['spiral', 'yes']}


@pytest.mark.parametrize(
    ('questions', 'message'),
    [
        ('gz3', "questions is 'gz3'; expected 'none', 'gz2' or a table"),
        ({'bar': {'answers': ['yes']}}, "question 'bar' has the answers"),
        ({'bar': {'parent': ['disk', 'yes']}}, "question 'bar' has the answers None"),
        ({'bar': 'yes or no'}, "question 'bar' has the answers 'yes or no'"),
        (
            {'bar': {'answers': ['yes', 'no'], 'parent': ['disk', 'yes']}},
            "'bar' follows 'yes' to 'disk'",
        ),
        (
            {**SMOOTH, 'bar': {'answers': ['yes', 'no'], 'parent': ['smooth', 'maybe']}},
            "follows 'maybe' to 'smooth'",
        ),
    ],
)
def test_questions_that_are_no_tree_are_refused(questions, message):
    with pytest.raises(ValueError, match=message):
        question_tree(questions)


def test_votes_and_the_share_who_were_asked():
    labels = frame(
        smooth_yes_fraction=[0.7, 0.2], smooth_no_fraction=[0.3, 0.8], smooth_reach=[1.0, 0.25]
    )
    votes = read_votes(labels, SMOOTH)['smooth']
    assert np.allclose(votes.fractions, [[0.7, 0.3], [0.2, 0.8]])
    assert votes.weight.tolist() == [1.0, 0.25]
    assert votes.fractions.dtype == votes.weight.dtype == np.float32


def test_without_a_reach_everybody_was_asked():
    votes = read_votes(frame(smooth_yes_fraction=[0.7], smooth_no_fraction=[0.3]), SMOOTH)
    assert votes['smooth'].weight.tolist() == [1.0]


def test_a_suffix_of_the_columns():
    labels = frame(smooth__x_yes_fraction=[0.7], smooth__x_no_fraction=[0.3], smooth__x_reach=[0.5])
    assert read_votes(labels, SMOOTH, suffix='-x')['smooth'].weight.tolist() == [0.5]


def test_missing_votes_have_no_weight():
    """A fraction that is missing is no fraction of zero."""
    labels = frame(
        smooth_yes_fraction=[np.nan, 0.0, 0.6, 0.6],
        smooth_no_fraction=[np.nan, 1.0, np.nan, 0.4],
        smooth_reach=[1.0, 1.0, 1.0, np.nan],
    )
    votes = read_votes(labels, SMOOTH)['smooth']
    assert votes.weight.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert np.isfinite(votes.fractions).all()


@pytest.mark.parametrize('missing', ['smooth_no_fraction', 'bar_weak_fraction'])
def test_a_missing_column_is_named(missing):
    columns = [f'{q}_{a}_fraction' for q, entry in TREE.items() for a in entry['answers']]
    labels = frame(**{name: [0.5] for name in columns if name != missing})
    with pytest.raises(ValueError, match=rf"no column '{missing}'; there are smooth_yes_fraction"):
        read_votes(labels, TREE)


@pytest.mark.parametrize('wrong', [1.4, -0.2, 70.0])
def test_a_fraction_past_0_to_1_names_the_galaxy(wrong):
    labels = frame(smooth_yes_fraction=[0.5, np.nan, 0.5], smooth_no_fraction=[0.5, 0.5, wrong])
    with pytest.raises(
        ValueError, match=rf'smooth_no_fraction is {wrong:g} for g2; expected 0 to 1'
    ):
        read_votes(labels, SMOOTH)


def test_mergers_are_the_commonest_of_the_odd_features():
    labels = frame(
        something__odd_yes_fraction=[0.9, 0.9, 0.2, 0.9, np.nan],
        odd__feature_ring_fraction=[0.2, 0.8, 0.0, np.nan, np.nan],
        odd__feature_merger_fraction=[0.8, 0.2, 1.0, np.nan, np.nan],
    )
    votes = read_votes(labels, {'merging': question_tree('gz2')['merging']})['merging']
    assert votes.weight.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert votes.fractions[:3].tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]


def test_mergers_need_the_odd_features():
    with pytest.raises(ValueError, match='something-odd_yes_fraction'):
        read_votes(frame(smooth_yes_fraction=[1.0]), {'merging': question_tree('gz2')['merging']})


def votes_of(*rows):
    """`Votes` from rows of fractions; None is a galaxy without."""
    n = len(next(row for row in rows if row is not None))
    fractions = np.array([[0.0] * n if row is None else row for row in rows], np.float32)
    return Votes(fractions, np.array([row is not None for row in rows], np.float32))


TEACHER = {
    'smooth': votes_of([0.2, 0.8], [0.2, 0.8], None),
    'bar': votes_of([0.5, 0.25, 0.25], [0.5, 0.25, 0.25], None),
    'long': votes_of([0.9, 0.1], [0.9, 0.1], None),
}


def test_a_teacher_stands_in_only_where_there_are_no_votes():
    """A galaxy with votes on one question is asked no other question of the teacher."""
    own = {
        q: Votes(np.zeros_like(v.fractions), np.zeros(3, np.float32)) for q, v in TEACHER.items()
    }
    own['smooth'] = votes_of(None, [1.0, 0.0], None)
    merged = with_teacher(own, TEACHER, TREE, 0.5)
    assert np.allclose(merged['smooth'].fractions, [[0.2, 0.8], [1.0, 0.0], [0.0, 0.0]])
    assert merged['smooth'].weight.tolist() == [0.5, 1.0, 0.0]
    assert merged['bar'].weight[1] == merged['bar'].weight[2] == 0.0


def test_a_teacher_is_heard_less_down_the_tree():
    """Of those asked, 0.8 see no smooth galaxy, and half of them a strong bar."""
    own = {
        q: Votes(np.zeros_like(v.fractions), np.zeros(3, np.float32)) for q, v in TEACHER.items()
    }
    merged = with_teacher(own, TEACHER, TREE, 0.5)
    weights = [float(merged[q].weight[0]) for q in TREE]
    assert np.allclose(weights, [0.5, 0.5 * 0.8, 0.5 * 0.8 * 0.5])


ROWS = {
    'name': ['a', 'b', 'c'],
    'share': MaskedColumn([0.25, 0.5, 0.75], mask=[True, False, False]),
    'kind': MaskedColumn(['x', 'y', 'z'], mask=[False, False, True]),
}


@pytest.mark.parametrize('ending', ['csv', 'ecsv', 'fits', 'parquet', 'hdf5'])
def test_tables_of_labels(tmp_path, ending):
    """Masked values are missing in all formats; text is text."""
    options = {'path': 'x', 'serialize_meta': True} if ending == 'hdf5' else {}
    Table(ROWS).write(tmp_path / f'labels.{ending}', **options)
    labels = read_labels(tmp_path / f'labels.{ending}', 'name')
    assert labels.index.tolist() == ['a', 'b', 'c']
    assert np.array_equal(
        labels['share'].to_numpy(float, na_value=np.nan), [np.nan, 0.5, 0.75], equal_nan=True
    )
    assert (labels['kind'] == 'y').tolist() == [False, True, False]
    assert labels['kind'].isna().tolist() == [False, False, True]


def test_columns_of_vectors_are_left_out(tmp_path):
    """The table may be one that ``galvae encode`` wrote."""
    Table({'id_str': [587722981742084144, 5], 'galvae_latent': np.zeros((2, 4))}).write(
        tmp_path / 'labels.ecsv'
    )
    labels = read_labels(tmp_path / 'labels.ecsv', 'id_str')
    assert labels.index.tolist() == ['587722981742084144', '5']
    assert list(labels.columns) == ['id_str']


@pytest.mark.parametrize(
    ('names', 'column', 'message'),
    [
        (['a', 'b', 'a'], 'name', r"labels\.csv: 'a' is more than once in column 'name'"),
        (['a', 'b', 'c'], 'id_str', r"labels\.csv: there is no column 'id_str'; there are name"),
    ],
)
def test_identifiers_that_do_not_identify(tmp_path, names, column, message):
    Table({'name': names}).write(tmp_path / 'labels.csv')
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / 'labels.csv', column)


def test_a_table_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.csv: there is no such file'):
        read_labels(tmp_path / 'none.csv', 'name')
    for name in ('labels.parquet', 'labels.fits', 'labels.xyz'):
        (tmp_path / name).write_bytes(b'no table')
        with pytest.raises(ValueError, match=rf'{name}: this table cannot be read'):
            read_labels(tmp_path / name, 'name')
