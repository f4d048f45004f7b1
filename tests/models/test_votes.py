# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From fractions to what is asked, answers, prediction sets and intervals."""

import numpy as np
import onnx
import pytest
from astropy.table import Table
from onnx import TensorProto, helper, numpy_helper

from galvae_affiliated import Engine, GalvaeFlags, add_latents, add_morphology, get_model, in_set
from galvae_affiliated.models.engine import LATENT_BATCH
from galvae_affiliated.models.manifest import Question
from galvae_affiliated.models.self_test import SELF_TEST, self_test
from galvae_affiliated.models.votes import (
    PredictedVotes,
    _reach_fractions,
    predict_votes,
    set_thresholds,
)
from galvae_affiliated.tables.columns import get_latents

TREE = {
    'shape': {'answers': ['smooth', 'disk', 'artifact'], 'parent': None},
    'edge-on': {'answers': ['yes', 'no'], 'parent': ['shape', 'disk']},
    'bar': {'answers': ['yes', 'no'], 'parent': ['edge-on', 'no']},
}
SETS = {
    'coverages': [0.5, 0.9, 0.95],
    'questions': {
        'shape': {'galaxies': 100, 'thresholds': [0.1, 0.55, 0.75]},
        'edge-on': {'galaxies': 50, 'thresholds': [0.1, 0.5, 0.6]},
    },
}
CONCENTRATION = 9.0


def heads_graph(n_latents):
    """Fractions are softmax of latent[:3], [3:5] and [5:7]; concentrations are 9."""
    nodes, initializers = [], []
    for i, (start, stop) in enumerate([(0, 3), (3, 5), (5, 7)]):
        initializers += [
            numpy_helper.from_array(np.array([value]), f'{name}{i}')
            for name, value in (('start', start), ('stop', stop))
        ]
        nodes += [
            helper.make_node('Slice', ['latent', f'start{i}', f'stop{i}', 'axis'], [f'logits{i}']),
            helper.make_node('Softmax', [f'logits{i}'], [f'fractions{i}'], axis=1),
        ]
    initializers += [
        numpy_helper.from_array(np.array([1]), 'axis'),
        numpy_helper.from_array(np.array([0, 1, 2]), 'three'),
        numpy_helper.from_array(np.float32(0), 'zero'),
        numpy_helper.from_array(np.float32(CONCENTRATION), 'nine'),
    ]
    nodes += [
        helper.make_node('Concat', [f'fractions{i}' for i in range(3)], ['fractions'], axis=1),
        helper.make_node('Gather', ['latent', 'three'], ['some'], axis=1),
        helper.make_node('Mul', ['some', 'zero'], ['none']),
        helper.make_node('Add', ['none', 'nine'], ['concentration']),
    ]
    graph = helper.make_graph(
        nodes,
        'heads',
        [helper.make_tensor_value_info('latent', TensorProto.FLOAT, ['rows', n_latents])],
        [
            helper.make_tensor_value_info('fractions', TensorProto.FLOAT, ['rows', 7]),
            helper.make_tensor_value_info('concentration', TensorProto.FLOAT, ['rows', 3]),
        ],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture(scope='module')
def bundle():
    """The default encoder with heads whose answers can be told by hand."""
    default, heads = get_model(), heads_graph(get_model().n_latents)
    latents = np.zeros((3, default.n_latents), np.float32)
    manifest = {
        **default.manifest.raw,
        'name': 'by-hand',
        'questions': TREE,
        'prediction_sets': SETS,
        'heads': {'kind': 'network', 'n_volunteers': 40},
    }
    test = self_test({'heads': heads}, {'heads': {'latent': latents}}, default.parts[SELF_TEST])
    return default.replaced(manifest, {'heads.onnx': heads, SELF_TEST: test})


def predict(latents, model, **options):
    return predict_votes(latents, model, Engine(device='cpu'), **options)


def logits(*shares):
    """Latents whose fractions are these."""
    latents = np.zeros((1, 40), np.float32)
    latents[0, :7] = np.log(np.maximum(np.concatenate(shares), 1e-6))
    return latents


@pytest.fixture(scope='module')
def latents():
    return np.concatenate(
        [
            logits([0.2, 0.7, 0.1], [0.1, 0.9], [0.6, 0.4]),  # a disk, face-on, perhaps barred
            logits([0.6, 0.3, 0.1], [0.5, 0.5], [0.5, 0.5]),  # smooth
            np.full((1, 40), np.nan, np.float32),  # not measured
            logits([0.1, 0.1, 0.8], [0.5, 0.5], [0.5, 0.5]),
        ]
    )  # an artifact


@pytest.fixture(scope='module')
def table(bundle, latents):
    encoded = add_latents(Table({'name': list('abcd')}), np.zeros((4, 3, 128, 128)), bundle)
    encoded['galvae_latent'][:] = latents
    encoded['galvae_latent'].mask = ~np.isfinite(latents)
    encoded['galvae_latent_err'][:] = 0.3
    encoded['galvae_latent_err'].mask = False
    encoded['galvae_flags'][:] = [0, 64, 4, 0]
    return encoded


def test_reach_is_the_product_down_the_tree(bundle, latents):
    reach = predict(latents, bundle).reach
    np.testing.assert_allclose(reach['shape'], [1, 1, np.nan, 1])
    np.testing.assert_allclose(reach['edge-on'], [0.7, 0.3, np.nan, 0.1], rtol=1e-5)
    np.testing.assert_allclose(reach['bar'], [0.63, 0.15, np.nan, 0.05], rtol=1e-5)


def test_reach_does_not_depend_on_the_order_of_the_questions(bundle, latents):
    fractions = predict(latents, bundle).fractions
    tree = bundle.manifest.questions
    backwards = {question: tree[question] for question in reversed(tree)}
    for question, values in _reach_fractions(fractions, tree).items():
        np.testing.assert_array_equal(_reach_fractions(fractions, backwards)[question], values)


def test_answers_and_sets_are_masked_where_the_question_does_not_apply(bundle, table):
    result = add_morphology(table, bundle, coverage=0.9)
    assert result['shape_answer'].tolist() == ['disk', 'smooth', None, 'artifact']
    assert result['edge-on_answer'].tolist() == ['no', None, None, None]
    assert result['bar_answer'].tolist() == ['yes', None, None, None]
    assert result['shape_reach_fraction'].mask.tolist() == [False, False, True, False]
    assert result['shape_disk_fraction'].mask.tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ('coverage', 'sets'),
    [
        (0.5, ['{}', '{}', None, '{}']),
        (0.9, ['{disk}', '{smooth}', None, '{artifact}']),
        (
            0.91,
            ['{disk}', '{smooth, disk}', None, '{artifact}'],
        ),  # the next larger coverage that is tabulated
        (0.95, ['{disk}', '{smooth, disk}', None, '{artifact}']),
    ],
)
def test_sets_hold_what_is_likely_enough_the_likeliest_first(bundle, table, coverage, sets):
    result = add_morphology(table, bundle, coverage=coverage)
    assert result['shape_set'].tolist() == sets
    assert f'{100 * coverage:g} % coverage' in result['shape_set'].description
    assert 'bar_set' not in result.colnames  # too few galaxies told its threshold


def spelt_out(fractions, answers, threshold):
    """The prediction set of one row, by hand."""
    inside = [i for i, fraction in enumerate(fractions) if fraction >= np.float32(1.0 - threshold)]
    return '{' + ', '.join(answers[i] for i in sorted(inside, key=lambda i: -fractions[i])) + '}'


@pytest.mark.parametrize('coverage', [0.5, 0.8, 0.9, 0.99])
def test_sets_of_many_galaxies(coverage):
    default = get_model()
    latents = np.random.default_rng(1).standard_normal((1000, default.n_latents)).astype(np.float32)
    latents[::100] = np.nan
    morphology = predict(latents, default)
    for question, answers in default.questions.items():
        threshold = set_thresholds(default, coverage)[question]
        expected = [spelt_out(row, answers, threshold) for row in morphology.fractions[question]]
        sets = morphology.sets(question, threshold)
        assert sets.tolist() == expected, question
        assert sets.dtype == np.array(expected).dtype
        assert len(set(expected)) > 1


def test_sets_of_many_answers_some_of_which_are_equal():
    answers = [f'kind{i}' for i in range(30)]
    shares = np.random.default_rng(2).integers(0, 6, (500, 30)).astype(np.float32)
    fractions = {'kind': shares / np.maximum(shares.sum(axis=1, keepdims=True), 1.0)}
    morphology = PredictedVotes({'kind': Question(tuple(answers))}, fractions, {})
    for threshold in (0.0, 0.95, 1.0):
        expected = [spelt_out(row, answers, threshold) for row in morphology.fractions['kind']]
        assert morphology.sets('kind', threshold).tolist() == expected


def test_a_table_of_more_rows_than_a_call_of_the_heads(bundle, latents):
    rows = np.resize([0, 1, 2, 3], LATENT_BATCH + 3)
    many, few = predict(latents[rows], bundle), predict(latents, bundle)
    for question in TREE:
        np.testing.assert_allclose(
            many.fractions[question], few.fractions[question][rows], rtol=1e-6
        )


def test_no_coverage_leaves_the_sets_out(bundle, table):
    assert not [
        name
        for name in add_morphology(table, bundle, coverage=None).colnames
        if name.endswith('_set')
    ]


@pytest.mark.parametrize('coverage', [0.3, 0.97, -1.0])
def test_coverage_out_of_range_is_refused(bundle, table, coverage):
    with pytest.raises(ValueError, match=f'coverage is {coverage}; .* from 0.5 to 0.95'):
        add_morphology(table, bundle, coverage=coverage)


def test_a_model_without_thresholds_has_no_sets(bundle):
    manifest = {
        key: value for key, value in bundle.manifest.raw.items() if key != 'prediction_sets'
    }
    assert set_thresholds(bundle.replaced(manifest), 0.9) == {}


def test_an_answer_is_looked_for_in_the_sets(bundle, table):
    result = add_morphology(table, bundle, coverage=0.95)
    assert in_set(result, 'shape', 'disk').tolist() == [True, True, False, False]
    assert in_set(result, 'shape', 'smooth').tolist() == [False, True, False, False]
    assert in_set(result[:0], 'shape', 'disk').tolist() == []
    with pytest.raises(KeyError, match='no column bar_set; it has shape_set, edge-on_set'):
        in_set(result, 'bar', 'yes')
    with pytest.raises(ValueError, match="question 'shape' has no answer 'di'"):
        in_set(result, 'shape', 'di')


def test_artifacts_are_flagged_and_other_flags_kept(bundle, table):
    result = add_morphology(table, bundle)
    assert result['galvae_flags'].tolist() == [0, 64, 4, GalvaeFlags.ARTIFACT]
    assert table['galvae_flags'].tolist() == [0, 64, 4, 0]


def test_deviation_is_of_the_latents_and_of_the_votes(bundle, latents):
    """Without latent errors only the Dirichlet's p (1 - p) / (1 + c) is left; with them more."""
    sure = predict(latents, bundle, errors=np.zeros_like(latents), n_samples=16)
    p = sure.fractions['edge-on']
    np.testing.assert_allclose(
        sure.deviation['edge-on'], np.sqrt(p * (1 - p) / (1 + CONCENTRATION)), rtol=1e-3
    )
    unsure = predict(latents, bundle, errors=np.full_like(latents, 0.5), n_samples=256)
    # d p = p (1 - p) d(logit), whose two latents have errors of 0.5 each
    expected = np.sqrt((0.09 * 0.5 * np.sqrt(2)) ** 2 + 0.09 / 10)
    np.testing.assert_allclose(unsure.deviation['edge-on'][0], expected, rtol=0.15)
    np.testing.assert_array_equal(unsure.fractions['shape'], sure.fractions['shape'])


def test_a_row_does_not_depend_on_the_others(bundle, latents):
    errors = np.full_like(latents, 0.5)
    whole = predict(latents, bundle, errors=errors, n_samples=8)
    alone = predict(latents[3:], bundle, errors=errors[3:], n_samples=8)
    np.testing.assert_allclose(whole.deviation['shape'][3:], alone.deviation['shape'], rtol=1e-6)


def test_intervals_hold_68_per_cent_of_a_beta_distribution():
    rng = np.random.default_rng(0)
    draws = rng.beta(3.0, 1.0, 100_000)
    shape = {'q': np.array([[0.75, 0.25]], np.float32)}
    low, high = PredictedVotes(
        {}, shape, {}, {'q': np.full((1, 2), draws.std(), np.float32)}
    ).intervals('q')
    np.testing.assert_allclose(
        [low[0, 0], high[0, 0]], np.quantile(draws, [0.16, 0.84]), atol=0.005
    )
    np.testing.assert_allclose([low[0, 1], high[0, 1]], [1 - high[0, 0], 1 - low[0, 0]], atol=1e-3)


@pytest.mark.parametrize('fraction', [0.0, 1e-9, 1.0])
def test_intervals_of_certain_fractions_are_finite(fraction):
    values = {'q': np.array([[fraction, 1 - fraction]], np.float32)}
    low, high = PredictedVotes({}, values, {}, {'q': np.full((1, 2), 0.1, np.float32)}).intervals(
        'q'
    )
    assert np.isfinite(low).all() and np.isfinite(high).all() and (low <= high).all()


def test_interval_columns_hold_the_fraction(bundle, table):
    result = add_morphology(table, bundle, n_samples=16)
    for name in ('shape_disk_fraction', 'bar_yes_fraction'):
        low, middle, high = (result[name + end].compressed() for end in ('_lo', '', '_hi'))
        assert ((low < middle) & (middle < high)).all()
        assert result[f'{name}_lo'].mask.tolist() == [False, False, True, False]


def test_samples_need_errors_and_more_than_one(bundle, table, latents):
    with pytest.raises(KeyError, match='galvae_latent_err'):
        add_morphology(table['name', 'galvae_latent'], bundle, n_samples=8)
    with pytest.raises(ValueError, match='have no errors'):
        predict(latents, bundle, n_samples=8)
    for samples in (1, -3):
        with pytest.raises(ValueError, match=f'n_samples is {samples}; expected two or more'):
            add_morphology(table, bundle, n_samples=samples)


def test_errors_of_scalar_columns_are_read(bundle, table):
    split = add_latents(
        Table({'name': list('abcd')}), np.zeros((4, 3, 128, 128)), bundle, scalar_columns=True
    )
    assert get_latents(split, bundle, name='galvae_latent_err').shape == (4, 40)


def test_an_empty_table(bundle, table):
    result = add_morphology(table[:0], bundle, n_samples=4)
    assert (
        len(result) == 0
        and 'shape_set' in result.colnames
        and 'bar_no_fraction_hi' in result.colnames
    )
