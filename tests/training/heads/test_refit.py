# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Heads: fitted, chosen, calibrated, exported, and put into a bundle with ``galvae fit-heads``."""

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

pytest.importorskip('torch')
pytest.importorskip('lightning')
pytest.importorskip('skl2onnx')

import torch

from galvae_affiliated import ModelBundle, add_morphology, get_model
from galvae_affiliated.exceptions import ParityError
from galvae_affiliated.models._runner import GraphRunner
from galvae_affiliated.tables.columns import make_column
from galvae_affiliated.training.data.labels import check_votes
from galvae_affiliated.training.heads import forest
from galvae_affiliated.training.heads.calibration import calibrate, prediction_sets
from galvae_affiliated.training.heads.choice import choose_head
from galvae_affiliated.training.heads.networks import LabelledLatents, cross_fit, fit_heads, mean_divergence
from galvae_affiliated.training.heads.refit import class_votes, fit_new_heads
from galvae_affiliated.training.heads.votes import fit_votes
from galvae_affiliated.training.objectives import losses

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore::DeprecationWarning'),
]

QUESTIONS = ['shape', 'arms']
N, N_LATENTS, VOLUNTEERS = 600, 6, 40
QUICK = {'members': 2, 'steps': 120}


def draw(rng, fractions, n_votes=VOLUNTEERS):
    """Fractions among some volunteers."""
    return (rng.multinomial(n_votes, fractions) / n_votes).astype(np.float32)


def softmax(x):
    x = np.exp(x - x.max(1, keepdims=True))
    return x / x.sum(1, keepdims=True)


def make(n=N, random_state=0, shift=0.0, scatter=None):
    """Galaxies whose votes follow from their latents; ``shift`` makes arms rarer than these say."""
    rng = np.random.default_rng(random_state)
    latent = rng.standard_normal((n, N_LATENTS)).astype(np.float32)
    shape = softmax(latent[:, :3] * 2.0)
    arms = softmax(np.stack([2.0 * latent[:, 3] - shift, -2.0 * latent[:, 3]], 1))
    if scatter:
        arms = np.stack([rng.dirichlet(scatter * p + 1e-6) for p in arms])
    fractions = [torch.from_numpy(draw(rng, shape)), torch.from_numpy(draw(rng, arms))]
    asked = torch.from_numpy(np.where(np.arange(n) % 4, 1.0, 0.0).astype(np.float32))  # a quarter was not asked of arms
    none = torch.zeros(n, dtype=torch.bool)
    fractions[1] = fractions[1] * asked[:, None]
    return LabelledLatents(
        torch.from_numpy(latent), torch.full((n, N_LATENTS), 0.05), fractions, [torch.ones(n), asked], none, none
    )


@pytest.fixture(scope='module')
def data():
    return make()


@pytest.mark.parametrize('kind', ['network', 'dirichlet', 'logistic'])
def test_heads_learn_what_the_latents_tell(data, kind):
    logs = cross_fit(data, lambda learnt: fit_heads(learnt, kind, **QUICK), folds=3)
    unknown = [torch.log(f.mean(0).expand_as(f)) for f in data.fractions]
    assert mean_divergence(logs, data) < 0.3 * mean_divergence(unknown, data)
    for log in logs:
        np.testing.assert_allclose(log.exp().sum(1), 1.0, rtol=1e-5)


def test_an_unknown_kind_of_head(data):
    with pytest.raises(ValueError, match="is 'tree'; expected one of network, dirichlet, logistic"):
        fit_heads(data, 'tree')
    with pytest.raises(ValueError, match="is 'tree'; expected one of auto, network"):
        fit_votes(data, QUESTIONS, 'tree')


def test_the_choice_is_the_best_of_a_nested_cross_validation(data):
    kind, decay, scores = choose_head(data, steps=20)
    assert kind == min(scores, key=scores.get) and set(scores) == {'network', 'dirichlet', 'logistic'}
    assert decay in (0.02, 0.2)
    # classes are one vote a galaxy
    assert set(choose_head(data, steps=10, n_volunteers=1)[2]) == {'network', 'logistic'}


def test_a_kind_that_is_asked_for_is_not_compared(data):
    assert choose_head(data, 'logistic', steps=10)[::2] == ('logistic', {})


def test_calibration_makes_sure_heads_less_sure(data):
    sure = [4.0 * torch.log(f.clamp(0.02)) for f in fit_truth(data)]
    calibration = calibrate([torch.log_softmax(x, 1) for x in sure], data)
    assert (calibration.log_temperature.exp() > 2.0).all()


def fit_truth(data):
    """The fractions from which votes were drawn."""
    latent = data.latent.numpy()
    arms = np.stack([2.0 * latent[:, 3], -2.0 * latent[:, 3]], 1)
    return [torch.from_numpy(softmax(x)) for x in (2.0 * latent[:, :3], arms)]


def test_the_held_out_galaxies_say_how_sure_to_be_of_others(data):
    """Heads that know the galaxies they learnt from by heart, and halve the logits of the others rightly."""
    truth = [torch.log(f) for f in fit_truth(data)]
    held_out = torch.arange(N) % 3 == 0
    logs = [torch.log_softmax(torch.where(held_out[:, None], 2.0, 1.0) * x, 1) for x in truth]
    marked = LabelledLatents(data.latent, data.error, data.fractions, data.weights, data.unselected, held_out)
    with_held_out, without = calibrate(logs, marked), calibrate(logs, data)
    # of galaxies that the encoder did not learn from, the logits are to be halved
    assert with_held_out.log_temperature.exp().numpy() == pytest.approx([2.5, 2.5], abs=0.6)
    assert (without.log_temperature.exp() < 1.6).all()


def test_an_answer_that_is_rarer_among_unselected_galaxies_is_made_rarer(data):
    other = make(random_state=1, shift=2.0)
    both = LabelledLatents(
        *(torch.cat([getattr(data, name), getattr(other, name)]) for name in ('latent', 'error')),
        *(
            [torch.cat(pair) for pair in zip(getattr(data, name), getattr(other, name))]
            for name in ('fractions', 'weights')
        ),
        torch.arange(2 * N) >= N,
        torch.zeros(2 * N, dtype=torch.bool),
    )
    logs = [torch.log(f) for f in fit_truth(both)]
    calibration = calibrate(logs, both)
    offset = calibration.offsets[1]
    assert float(offset[0] - offset[1]) == pytest.approx(-2.0, abs=0.25)
    predicted = calibration.log_fractions(logs)[1].exp()[N:]
    asked = both.weights[1][N:] > 0
    assert float(predicted[asked, 0].mean()) == pytest.approx(float(both.fractions[1][N:][asked, 0].mean()), abs=0.02)


@pytest.mark.parametrize('scatter', [4.0, 25.0])
def test_the_concentration_is_that_of_the_votes(scatter):
    data = make(n=3000, scatter=scatter)
    calibration = calibrate([torch.log(f) for f in fit_truth(data)], data, n_volunteers=VOLUNTEERS)
    found = calibration.concentration(data.latent)[:, 1].median()
    assert float(found) == pytest.approx(scatter, rel=0.25)
    # the fractions of the other question scatter by the chance of 40 votes alone
    assert float(calibration.concentration(data.latent)[:, 0].median()) > 100


def test_dirichlet_loss_is_least_at_the_truth():
    rng = np.random.default_rng(0)
    p = np.array([0.7, 0.3])
    votes = np.stack([rng.multinomial(40, q) for q in rng.dirichlet(8 * p, 4000)]) / 40
    votes, one = torch.from_numpy(votes.astype(np.float32)), torch.ones(4000)

    def loss(share, c):
        logs = torch.log(torch.tensor([[share, 1 - share]])).expand(4000, 2)
        return float(losses.dirichlet_loss([logs], torch.full((4000, 1), c), [votes], [one], 40))

    best = loss(0.7, 8.0)
    assert all(best < loss(*other) for other in ((0.6, 8.0), (0.8, 8.0), (0.7, 4.0), (0.7, 16.0)))


def test_sets_cover_other_galaxies_as_often_as_they_should(data):
    fitted = fit_votes(data, QUESTIONS, 'logistic', **QUICK)
    sets, other = fitted.manifest['prediction_sets'], make(n=4000, random_state=5)
    for i, question in enumerate(QUESTIONS):
        threshold = sets['questions'][question]['thresholds'][sets['coverages'].index(0.9)]
        asked = other.weights[i] >= 0.5
        winner = other.fractions[i][asked].argmax(1, keepdim=True)
        inside = fitted.log_fractions(other.latent[asked])[i].exp().gather(1, winner) >= 1 - threshold
        assert float(inside.float().mean()) == pytest.approx(0.9, abs=0.04)
        assert sets['questions'][question]['galaxies'] == (N if question == 'shape' else 450)


def test_a_question_of_few_galaxies_has_no_sets(data):
    some = data[torch.arange(N) < 24]
    assert set(prediction_sets(some.fractions, some, QUESTIONS)['questions']) == {'shape'}


@pytest.fixture(scope='module')
def fitted_forest(data):
    return fit_votes(data, QUESTIONS, 'forest', n_trees=30)


def test_the_forest_answers_as_scikit_learn_does_on_every_row(data, fitted_forest):
    latent = torch.cat([make(n=2000, random_state=7).latent, data.latent])
    graph = fitted_forest.graph(latent)
    found, concentration = GraphRunner(graph, device='cpu')({'latent': latent.numpy()}, ['fractions', 'concentration'])
    expected = torch.cat([x.exp() for x in fitted_forest.log_fractions(latent)], 1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found[:, :3].argmax(1), expected[:, :3].argmax(1))
    assert np.isfinite(concentration).all() and concentration.shape == (len(latent), 2)


def test_calibration_is_outside_the_forest(data, fitted_forest):
    """Balanced trees overrate what is rare; the calibrated fractions have the voted mean."""
    logs = fitted_forest.log_fractions(data.latent)
    np.testing.assert_allclose(logs[0].exp().mean(0), data.fractions[0].mean(0), atol=0.05)


def test_trees_that_saw_a_galaxy_do_not_judge_it(data):
    heads, logs = forest.fit_forest(data, QUESTIONS, n_trees=30)
    in_bag = heads.log_fractions(data.latent)
    assert mean_divergence(in_bag, data) < mean_divergence(logs, data)


def test_an_answer_that_no_galaxy_has_is_kept(data):
    fractions = [torch.cat([data.fractions[0], torch.zeros(N, 1)], 1), data.fractions[1]]
    wider = LabelledLatents(data.latent, data.error, fractions, data.weights, data.unselected, data.held_out)
    fitted = fit_votes(wider, QUESTIONS, 'forest', n_trees=10)
    assert fitted.log_fractions(data.latent)[0].exp()[:, 3].max() < 0.02
    graph = fitted.graph(data.latent[:20])
    assert GraphRunner(graph, device='cpu')({'latent': data.latent[:2].numpy()}, ['fractions'])[0].shape == (2, 6)


def test_a_graph_of_another_forest_is_refused(data, fitted_forest):
    other = fit_votes(make(random_state=9), QUESTIONS, 'forest', n_trees=10)
    with pytest.raises(ParityError, match='differs between scikit-learn and ONNX Runtime'):
        forest.check_forest_parity(other.graph(data.latent[:10]), fitted_forest.heads, fitted_forest.calibration, data.latent)


def test_votes_that_teach_nothing_are_refused(data):
    with pytest.raises(ValueError, match='19 galaxies have votes; expected 20 or more'):
        fit_votes(data[:19], QUESTIONS)
    weights, fractions = [np.ones(30)], [np.tile([1.0, 0.0], (30, 1))]
    with pytest.raises(ValueError, match="question 'bar' has one answer only"):
        check_votes(['bar'], fractions, weights)
    with pytest.raises(ValueError, match="question 'arms' has no votes"):
        check_votes(['bar', 'arms'], [fractions[0][:, ::-1] / 2 + 0.25, fractions[0] * 0], [weights[0], weights[0] * 0])
    # all were mostly of one answer: enough for fractions, not for a forest
    mostly = LabelledLatents(
        data.latent,
        data.error,
        [torch.tensor([[0.3, 0.7]]).expand(N, 2)],
        [torch.ones(N)],
        data.unselected,
        data.held_out,
    )
    with pytest.raises(ValueError, match="question 'arms' has one answer only, among the 600 galaxies"):
        forest.fit_forest(mostly, ['arms'])


@pytest.fixture(scope='module')
def encoded(data):
    """A table of latents as ``galvae encode`` writes it."""
    bundle = get_model()
    latent = np.zeros((N, bundle.n_latents), np.float32)
    latent[:, :N_LATENTS] = data.latent
    table = Table({'id_str': [f'galaxy{i}' for i in range(N)]})
    table['galvae_latent'] = make_column('galvae_latent', latent, 'latents', 'src.morph.param', bundle)
    table['galvae_latent_err'] = make_column('galvae_latent_err', np.full_like(latent, 0.05), 'errors', 'stat.stdev', bundle)
    table['galvae_radius'] = make_column(
        'galvae_radius', np.full(N, 5.0, np.float32), 'radius', 'phys.angSize', bundle, unit='arcsec'
    )
    return table


@pytest.fixture(scope='module')
def labels(data):
    """Votes of the first 400 galaxies, backwards; some are missing."""
    frame = pd.DataFrame(data.fractions[0].numpy(), columns=[f'shape_{a}_fraction' for a in 'abc'])
    for name, values in zip(('yes', 'no'), data.fractions[1].numpy().T):
        frame[f'arms_{name}_fraction'] = np.where(data.weights[1] > 0, values, np.nan)
    frame['kind'] = np.array(['round', 'disk'])[(data.latent[:, 0] > 0).int().numpy()]
    frame['mass'] = 10.0 + data.latent[:, 1].numpy()
    frame.index = [f'galaxy{i}' for i in range(N)]
    return frame[399::-1]


TREE = {'shape': ['a', 'b', 'c'], 'arms': {'answers': ['yes', 'no'], 'parent': ['shape', 'a']}}


def test_new_heads_for_an_old_encoder(encoded, labels, data, tmp_path):
    bundle = fit_new_heads('gz2-sdss-v2', labels, encoded, questions=TREE, head='logistic', name='mine', **QUICK)
    assert bundle.questions == {'shape': ['a', 'b', 'c'], 'arms': ['yes', 'no']}
    assert bundle.manifest['heads']['galaxies'] == 400
    assert 'scores' not in bundle.manifest and bundle.id.startswith('mine@')
    bundle.write(tmp_path / 'mine.galvae')
    again = ModelBundle.read(tmp_path / 'mine.galvae')
    again.verify(device='cpu')
    assert again._parts['encoder.onnx'] == get_model()._parts['encoder.onnx']
    heads = again.runner('heads', device='cpu')
    found = heads({'latent': np.ma.getdata(encoded['galvae_latent'])[400:]}, ['fractions'])[0]
    # galaxies that it did not see
    assert np.abs(found[:, :3] - data.fractions[0].numpy()[400:]).mean() < 0.1
    # the latents are the same, so that the table need not be encoded again
    result = add_morphology(encoded, again)
    np.testing.assert_allclose(result['shape_a_fraction'][400:], found[:, 0], atol=1e-5)
    assert result['shape_answer'].meta['galvae_model'] == again.id


def test_classes_become_the_answers_of_a_question(encoded, labels):
    bundle = fit_new_heads(None, labels, encoded, class_column='kind', head='network', **QUICK)
    assert bundle.questions == {'kind': ['disk', 'round']}
    assert bundle.manifest['heads']['volunteers'] == 1


def test_missing_classes_are_no_class(labels):
    some = labels.copy()
    some.iloc[:100, some.columns.get_loc('kind')] = None
    _, votes = class_votes(some, 'kind')
    assert (votes['kind'].weight > 0).sum() == 300


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda labels: labels.set_axis([f'x{i}' for i in range(400)]), r"no identifier of the labels \('x0', "),
        (lambda labels: labels.head(12), '12 galaxies have latents and labels; expected 20 or more'),
        (
            lambda labels: labels.assign(arms_yes_fraction=1.2),
            'arms_yes_fraction is 1.2 for galaxy399; expected 0 to 1',
        ),
        (
            lambda labels: labels.assign(arms_yes_fraction=1.0, arms_no_fraction=0.0),
            "question 'arms' has one answer only",
        ),
        (lambda labels: labels.assign(arms_yes_fraction=np.nan), "question 'arms' has no votes"),
        (lambda labels: labels.drop(columns='shape_c_fraction'), "no column 'shape_c_fraction'"),
    ],
)
def test_labels_that_teach_nothing_are_refused(encoded, labels, change, message):
    with pytest.raises(ValueError, match=message):
        fit_new_heads(None, change(labels), encoded, questions=TREE, head='logistic', **QUICK)


def test_a_single_class_is_refused(labels):
    with pytest.raises(ValueError, match="column 'kind' has the class 'disk' only"):
        class_votes(labels.assign(kind='disk'), 'kind')
    with pytest.raises(ValueError, match="column 'kind' has no class"):
        class_votes(labels.assign(kind=None), 'kind')


@pytest.fixture
def files(encoded, labels, tmp_path):
    encoded.write(tmp_path / 'latents.fits')
    labels.rename_axis('name').reset_index().to_parquet(tmp_path / 'labels.parquet')
    (tmp_path / 'tree.toml').write_text('[questions.shape]\nanswers = ["a", "b", "c"]\n')
    return tmp_path


def fit_command(files, *words):
    return (
        'fit-heads',
        'gz2-sdss-v2',
        files / 'labels.parquet',
        '--latents',
        files / 'latents.fits',
        '--id-column',
        'name',
        '-o',
        files / 'new.galvae',
        *words,
    )


def test_fit_heads_from_a_shell(training_galvae, files):
    result = training_galvae(*fit_command(files, '--class-column', 'kind', '--head', 'logistic'))
    assert result.code == 0 and 'divergence' in result.out and 'new.galvae' in result.out
    assert ModelBundle.read(files / 'new.galvae').questions == {'kind': ['disk', 'round']}
    again = training_galvae(*fit_command(files, '--class-column', 'kind'))
    assert again.code == 2 and 'exists; --overwrite replaces it' in again.err


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (('--questions', 'none.toml'), "none.toml: there is no such file; --questions takes 'gz2' or a TOML file"),
        ((), "no column 'smooth-or-featured_smooth_fraction'"),
        (('--class-column', 'kind', '--head', 'tree'), "the head is 'tree'"),
        (('--class-column', 'kind', '--split-column', 'kind', '--split', 'lens'), "'kind' nowhere says 'lens'"),
        (('--class-column', 'kind', '--target', 'mass'), 'one after the other'),
        (('--target', 'kind'), "column 'kind' holds"),
    ],
)
def test_wrong_words(training_galvae, files, words, message):
    result = training_galvae(*fit_command(files, *words))
    assert result.code == 2 and message in result.err and result.err.count('\n') == 1
    assert not (files / 'new.galvae').exists()
