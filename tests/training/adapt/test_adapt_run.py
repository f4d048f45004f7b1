# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A model is adapted: from Python, from a shell, and after it was killed."""

import types
from unittest import mock

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')

from two_surveys import survey, untrained_model, write_survey  # noqa: E402

from galvae_affiliated import CutoutStack, ModelBundle  # noqa: E402
from galvae_affiliated.exceptions import AdaptationError, BundleError  # noqa: E402
from galvae_affiliated.models.card import model_card  # noqa: E402
from galvae_affiliated.models.encoder import Encoder  # noqa: E402
from galvae_affiliated.training import adapt_model  # noqa: E402
from galvae_affiliated.training.adapt import run as adapt_run  # noqa: E402
from galvae_affiliated.training.adapt.fitting import Adaptation  # noqa: E402
from galvae_affiliated.training.adapt.measure import as_good  # noqa: E402
from galvae_affiliated.training.adapt.options import AdaptationOptions  # noqa: E402
from galvae_affiliated.training.adapt.setup import latents_of, prepare  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]

QUICK = {'steps': 40, 'batch_size': 16, 'validate_every': 20, 'learning_rate': 2e-3,
         'tolerance': 0.2, 'max_source_loss': 0.05}
PAIRS = np.array([[f'source{i}', f'target{i}'] for i in range(40)])
NO_PAIRS = np.empty((0, 2), dtype=int)


@pytest.fixture(scope='module')
def model():
    return untrained_model()


@pytest.fixture(scope='module')
def surveys():
    """300 galaxies of each survey, of which the first 40 are in both."""
    return survey(range(300)), survey([*range(40), *range(1000, 1260)], is_target=True)


@pytest.fixture(scope='module')
def adapted(model, surveys, tmp_path_factory):
    return adapt_model(model, *surveys, pairs=PAIRS, name='both', settling_steps=10, **QUICK)


def encode(model, some):
    return Encoder(model, device='cpu').encode(CutoutStack.from_composites(some.images))


def test_the_surveys_come_nearer_and_the_source_stays(adapted, model, surveys):
    about = adapted.manifest.get('adapted')
    before, after = about['before'], about['after']
    assert before['mmd']['p_value'] < 0.05
    assert after['mmd']['value'] < 0.7 * before['mmd']['value']
    assert about['change of discrepancy']['high'] < 0
    assert after['source_loss']['value'] <= QUICK['max_source_loss']
    # galaxies of both surveys, by the bundle alone
    scale = encode(model, surveys[0]).latent.std(axis=0)
    far = {}
    for name, one in (('before', model), ('after', adapted)):
        source, target = (encode(one, some[:40]).latent / scale for some in surveys)
        far[name] = np.mean((source - target) ** 2)
    assert far['after'] < 0.7 * far['before']
    # what moves is the target
    moved = [np.sqrt(np.mean((encode(adapted, some).latent - encode(model, some).latent) ** 2
                             / scale ** 2)) for some in surveys]
    assert moved[0] < 0.4 * moved[1]


def test_what_the_manifest_says(adapted, model):
    raw = adapted.manifest.raw
    about = raw['adapted']
    assert adapted.name == 'both' and about['from'] == model.id
    assert about['source']['set'] == 'source' and about['target']['galaxies'] == 300
    assert about['target']['held out'] + 0 < 300
    assert about['pairs']['learnt from'] + about['pairs']['held out'] == 40
    assert about['options']['losses'] == ['consistency', 'conditional-mmd']
    assert [entry['step'] for entry in about['history']][:2] == [0, 20]
    assert about['steps'] in (20, 40)
    for report in (about['before'], about['after']):
        for name in ('mmd', 'survey_area', 'source_loss'):
            assert report[name]['low'] <= report[name]['high']
        assert {'recall_1', 'distance'} < set(report['pairs'])
    # of the encoder that was
    assert 'invariance' not in raw and 'test' not in raw['reconstruction']
    assert 'same_as' not in raw['latents'] and 'other@123' not in adapted.same_latents
    assert raw['reconstruction']['chi2_99'] != 1.0
    assert raw['reconstruction']['floor'] == model.manifest.raw['reconstruction']['floor']


def test_simpler_ways_are_measured_on_the_same_galaxies(adapted):
    about = adapted.manifest.get('adapted')
    assert list(about['baselines']) == ['light and color', 'shift', 'scaling', 'coral']
    for scores in about['baselines'].values():
        assert scores['galaxies'] == about['after']['galaxies']
        assert scores['pairs']['number'] == about['after']['pairs']['number']
        assert scores['mmd']['value'] < about['before']['mmd']['value']
    assert about['as good'] == as_good(about['after'], about['baselines'])
    card = model_card(adapted)
    assert 'adapted from source (300 galaxies) to target (300 galaxies)' in card
    assert 'by coral alone' in card and 'survey classifier AUC' in card


def test_which_simpler_ways_do_as_much():
    def report(mmd, area, distance):
        scores = ({'value': value, 'high': value + 0.01} for value in (mmd, area, distance))
        return dict(zip(('mmd', 'survey_area', 'pairs'), scores))

    def with_pairs(*values):
        one = report(*values)
        return {**one, 'pairs': {'distance': one['pairs']}}

    ways = {'near': with_pairs(0.015, 0.6, 0.5), 'apart': with_pairs(0.0, 0.6, 0.6),
            'told': with_pairs(0.0, 0.7, 0.5), 'far': with_pairs(0.03, 0.6, 0.5)}
    assert as_good(with_pairs(0.01, 0.6, 0.5), ways) == ['near']


def test_the_bundle_is_whole(adapted, model, tmp_path):
    adapted.write(tmp_path / 'both.galvae')
    again = ModelBundle.read(tmp_path / 'both.galvae')
    report = again.verify(device='cpu')
    assert {'encoder/latent_mean', 'decoder/composite', 'heads/fractions'} < set(report)
    assert again.parts['heads.onnx'] == model.parts['heads.onnx']
    assert again.parts['decoder.onnx'] != model.parts['decoder.onnx']  # it has settled
    assert set(again.parts) == set(model.parts)


def test_the_figure(adapted, model, tmp_path):
    pytest.importorskip('matplotlib')
    from PIL import Image

    from galvae_affiliated.plotting import draw_adaptation

    draw_adaptation(adapted, tmp_path / 'both.png')
    with Image.open(tmp_path / 'both.png') as picture:
        assert picture.width > 1000 and len(np.unique(np.asarray(picture.convert('L')))) > 50
    with pytest.raises(ValueError, match='was not adapted to another survey'):
        draw_adaptation(model, tmp_path / 'none.png')


class Killed(Exception):
    """A run is killed."""


def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(model, surveys, tmp_path):
    losses = ('consistency', 'mmd', 'coral', 'adversarial')
    options = AdaptationOptions(**{**QUICK, 'steps': 30, 'validate_every': 10, 'losses': losses})
    setup = prepare(model, *surveys, NO_PAIRS, options)
    unbroken = Adaptation(setup, options)
    whole = unbroken.run(tmp_path / 'whole')

    def kill(done, _):
        if done == 17:
            raise Killed

    with pytest.raises(Killed):
        Adaptation(setup, options).run(tmp_path / 'killed', progress=kill)
    done = []
    resumed = Adaptation(setup, options)
    network = resumed.run(tmp_path / 'killed', progress=lambda step, _: done.append(step))
    assert done[0] == 11
    assert resumed.history == unbroken.history
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, atol=1e-5, rtol=1e-4)
    # only the encoder was learnt
    changed = {name.partition('.')[0] for name, value in setup.network.state_dict().items()
               if not torch.equal(value, whole.state_dict()[name])}
    assert changed == {'encoder'}
    norms = [name for name in whole.state_dict() if 'running' in name]
    assert norms and all(torch.equal(setup.network.state_dict()[name], whole.state_dict()[name])
                         for name in norms)
    other = AdaptationOptions(**{**QUICK, 'steps': 31})
    with pytest.raises(ValueError, match='another model, other galaxies or other options'):
        Adaptation(setup, other).run(tmp_path / 'killed')


def test_a_source_that_moves_too_far_is_pulled_less_and_not_kept(model, surveys):
    options = AdaptationOptions(**{**QUICK, 'max_source_loss': 1e-9})
    run = Adaptation(prepare(model, *surveys, NO_PAIRS, options), options)
    assert run.run() is None
    assert run.balance.strength == 0.25  # halved at two looks
    assert run.kept is None
    assert 'every step moved the source too far' in adapt_run._failure(run, options)


def test_surveys_that_are_alike_are_refused(model, tmp_path):
    """Other galaxies of the same survey."""
    same = survey(range(2000, 2300))
    with pytest.raises(AdaptationError, match='there is nothing to adapt'):
        adapt_model(model, survey(range(300)), same, folder=tmp_path / 'run', **QUICK)
    assert not (tmp_path / 'run').exists()


def test_a_model_that_is_no_better_is_refused(model, surveys):
    """Whatever is learnt, at a rate that learns nothing."""
    with pytest.raises(AdaptationError, match='not better beyond chance|nothing that was learnt'):
        adapt_model(model, *surveys, **{**QUICK, 'steps': 2, 'learning_rate': 1e-12})


def test_pairs_that_go_apart_are_refused():
    def report(distance):
        score = {'value': distance, 'low': distance - 0.1, 'high': distance + 0.1}
        return {'galaxies': 90, 'mmd': score, 'source_loss': {'value': 0.0},
                'pairs': {'number': 9, 'distance': score}}

    change, options = {'value': -0.1, 'low': -0.2, 'high': -0.05}, AdaptationOptions()
    adapt_run._check_gain(report(0.6), report(0.5), change, options)
    with pytest.raises(AdaptationError, match='takes 9 held-out pairs apart'):
        adapt_run._check_gain(report(0.5), report(0.8), change, options)
    with pytest.raises(AdaptationError, match='not better beyond chance'):
        adapt_run._check_gain(report(0.6), report(0.5), {**change, 'high': 0.01}, options)
    worse = {**report(0.5), 'source_loss': {'value': 0.02}}
    with pytest.raises(AdaptationError, match='worse for the source, by 0.02 nats'):
        adapt_run._check_gain(report(0.6), worse, change, options)


def test_pairs_held_out_are_not_learnt_from(model, surveys):
    options = AdaptationOptions(**QUICK)
    rows = np.stack([np.arange(40), np.arange(40)], axis=1)
    setup = prepare(model, *surveys, rows, options)
    assert 0 < setup.held_pairs.sum() < 40
    assert setup.held_target[:40][setup.held_pairs].all()
    assert not setup.held_target[:40][~setup.held_pairs].any()
    run = Adaptation(setup, options)
    seen = []
    with mock.patch.object(Adaptation, '_codes', lambda self, parts, old, rows: seen.append(rows)):
        with pytest.raises(AttributeError):  # no codes come back
            run._make_step()
    assert not setup.held_target[seen[0]['target']].any()
    assert not setup.held_source[seen[0]['view']].any()
    assert not setup.held_source[seen[0]['bank']].any()
    assert not setup.held_pairs[seen[0]['pair'][:, 0]].any()


def test_a_model_without_questions_is_adapted(surveys):
    plain = untrained_model('plain', has_questions=False)
    options = AdaptationOptions(**QUICK)
    setup = prepare(plain, *surveys, NO_PAIRS, options)
    assert setup.source_answers.shape == (300, 0)
    learnt = setup.weights[setup.weights > 0]
    np.testing.assert_allclose(learnt, learnt[0])
    network = Adaptation(setup, options).run()
    found = latents_of(network, setup.preprocess, setup.source)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        ({'step': 3}, TypeError, "no option 'step'; there are losses, steps"),
        ({'losses': ('pairs',)}, ValueError, "the loss 'pairs' asks for pairs"),
        ({'name': 'a\nb'}, ValueError, 'name is'),
        ({'pairs': [['a', 'b']]}, ValueError, 'none is in both the source and the target'),
    ],
)
def test_wrong_calls(model, surveys, options, error, message):
    with pytest.raises(error, match=message):
        adapt_model(model, *surveys, **options)


def test_a_bundle_of_another_origin_is_refused(model, surveys):
    raw = model.manifest.raw
    other = model.replaced({**raw, 'training': {}})
    with pytest.raises(BundleError, match='cannot be trained on'):
        adapt_model(other, *surveys, **QUICK)


@pytest.fixture
def files(model, tmp_path):
    model.write(tmp_path / 'model.galvae')
    write_survey(tmp_path / 'source.parquet', range(300))
    write_survey(tmp_path / 'target.parquet', range(1000, 1300), is_target=True)
    return types.SimpleNamespace(folder=tmp_path, words=[
        'adapt', tmp_path / 'model.galvae', '--source', tmp_path / 'source.parquet', '--target',
        tmp_path / 'target.parquet', '-o', tmp_path / 'both.galvae'])


def test_the_command(files, training_galvae):
    """With the options that a shell has, which are gentler than those above."""
    options = AdaptationOptions(**QUICK)
    with mock.patch('galvae_affiliated.training.adapt.options.AdaptationOptions',
                    lambda **given: types.SimpleNamespace(given=given)), \
            mock.patch('galvae_affiliated.training.adapt.run._options',
                       lambda chosen, _: AdaptationOptions(**{**options.entries(),
                                                              **chosen.given})):
        run = training_galvae(
            *files.words, '--source-split-column', 'split', '--source-split', 'train', '--loss',
            'mmd', '--loss', 'consistency', '--figure', files.folder / 'both.png')
    assert run.code == 0, run.err
    model = ModelBundle.read(files.folder / 'both.galvae')
    about = model.manifest.get('adapted')
    assert about['source']['galaxies'] == 240 and about['target']['galaxies'] == 300
    assert about['options']['losses'] == ['mmd', 'consistency']
    assert run.err.splitlines()[-1].startswith(
        f'galvae: {files.folder / "both.galvae"}: {model.id}; ')
    assert 'survey classifier AUC  before' in run.out
    assert 'by shift alone: discrepancy (MMD^2) ' in run.out
    assert (files.folder / 'both.png').stat().st_size > 10_000
    assert (files.folder / 'both.run' / 'last.ckpt').exists()


@pytest.mark.parametrize(
    ('words', 'code', 'message'),
    [
        (['--loss', 'mdm'], 2, "no loss 'mdm'; did you mean 'mmd'"),
        (['--source-split', 'train'], 2, '--source-split-column and --source-split go together'),
        (['--pairs', 'none.csv'], 2, 'none.csv: there is no such file'),
        (['--name', '<b>'], 2, 'name is'),
        (['--max-galaxies', '20'], 2, 'has 20 galaxies that can be used; expected 100 or more'),
        (['--target', 'source.parquet'], 2, '100 % of the images of the target'),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_wrong_use_is_told_in_one_line(files, training_galvae, monkeypatch, words, code, message):
    monkeypatch.chdir(files.folder)
    training_galvae(*files.words, *words).fails(code, message)
    assert not (files.folder / 'both.galvae').exists()


def test_what_is_not_better_is_not_written(files, training_galvae, monkeypatch):
    write_survey(files.folder / 'target.parquet', range(2000, 2300))
    training_galvae(*files.words).fails(1, 'there is nothing to adapt')
    assert sorted(path.name for path in files.folder.iterdir()) == [
        'model.galvae', 'source.parquet', 'target.parquet']
