# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents of another survey brought to those of the training."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from galvae_affiliated import BundleError, Engine, ModelBundle, get_model
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.models._archive import write_arrays
from galvae_affiliated.models.card import model_card
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.surveys import SurveyAdapter
from galvae_affiliated.surveys.report import _verdict as verdict

D = 4


@pytest.fixture(scope='module')
def surveys():
    """Source, target and pairs: the target is seen through a linear map, with noise."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(D, D))
    true = rng.normal(size=(900, D)) @ mixing
    source, seen = true[:500], true[350:]
    shift = 0.4 * mixing.std()
    target = (seen @ (np.eye(D) + 0.15 * rng.normal(size=(D, D)))) + shift
    target += 0.05 * rng.normal(size=target.shape)
    pairs = np.column_stack([np.arange(350, 500), np.arange(150)])
    return source, target, pairs


@pytest.fixture(scope='module')
def adapter(surveys):
    return SurveyAdapter.fit(*surveys)


def test_pairs_come_together(surveys, adapter):
    source, target, pairs = surveys
    before, after = (adapter.report[when] for when in ('before', 'after'))
    assert adapter.report['verdict'] == 'useful'
    assert adapter.method == 'ridge'
    assert after['mmd']['value'] < 0.2 * before['mmd']['value']
    assert after['pairs']['recall_1']['value'] > 0.9 > before['pairs']['recall_1']['value']
    assert after['survey_area']['value'] < before['survey_area']['value']
    away = adapter.transform(target)[pairs[:, 1]] - source[pairs[:, 0]]
    assert np.sqrt((away**2).mean()) < 0.3
    assert 'recall_1' in str(adapter)


def test_without_pairs_the_covariance_is_matched(surveys):
    source, target, _ = surveys
    adapter = SurveyAdapter.fit(source, target, shrinkage=0.0)
    assert adapter.method == 'coral'
    moved = adapter.transform(target)
    np.testing.assert_allclose(moved.mean(axis=0), source.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(np.cov(moved.T), np.cov(source.T), atol=2e-3)


def test_a_map_is_compared_with_a_shift(surveys, adapter):
    report = adapter.report
    assert report['shifted']['mmd']['value'] > report['after']['mmd']['high']
    assert 'shift' not in report['why'] and 'by a shift' in str(adapter)
    source = surveys[0]
    moved = SurveyAdapter.fit(source[::2], source[1::2] + 0.7)
    assert moved.report['verdict'] == 'useful'
    assert moved.report['why'].endswith('a shift of the mean does as much')


def test_a_map_that_takes_pairs_apart_is_useless():
    score = {'value': 0.5, 'low': 0.4, 'high': 0.6, 'p_value': 0.001}
    before = {'mmd': score, 'pairs': {'distance': score}}
    better = {**score, 'value': 0.1}
    apart = {'value': 0.8, 'low': 0.7, 'high': 0.9}
    assert verdict(before, {**before, 'mmd': better})[0] == 'useful'
    found, why = verdict(before, {'mmd': better, 'pairs': {'distance': apart}})
    assert found == 'useless' and 'pairs left out are taken apart' in why


def test_errors_are_transformed(surveys, adapter):
    rng = np.random.default_rng(1)
    error = np.abs(rng.normal(size=(1, D))) + 0.1
    drawn = surveys[1][:1] + error * rng.normal(size=(40_000, D))
    found = adapter.transform_errors(error)
    np.testing.assert_allclose(found[0], adapter.transform(drawn).std(axis=0), rtol=0.02)


def test_other_shares_of_each_kind_are_kept():
    """Two kinds that are mixed otherwise in the target, but look the same there."""
    rng = np.random.default_rng(2)

    def draw(n, share):
        kind = rng.random(n) < share
        return rng.normal(size=(n, 3)) + 4.0 * kind[:, None], kind[:, None].astype(float)

    (source, ours), (target, theirs) = draw(600, 0.7), draw(600, 0.3)
    pulled = SurveyAdapter.fit(source, target)
    kept = SurveyAdapter.fit(source, target, kinds=(ours, theirs))
    assert pulled.report['verdict'] == 'useful'  # as it is not told that the kinds differ
    assert kept.report['verdict'] == 'nothing to do'
    np.testing.assert_allclose(kept.transform(target), target, atol=1e-5)


def test_a_target_equal_to_the_source_has_nothing_to_do(surveys):
    source = surveys[0]
    for target in (source, source[::2]):
        adapter = SurveyAdapter.fit(source, target)
        assert adapter.report['verdict'] == 'nothing to do'
        with pytest.raises(ValueError, match='nothing to do: the latents'):
            adapter.adapted(get_model(), 'same')


def test_few_galaxies_and_blanks_are_refused(surveys):
    source, target, _ = surveys
    with pytest.raises(ValueError, match='20 measured galaxies of the target'):
        SurveyAdapter.fit(source, target[:20])
    blank = np.random.default_rng(0).normal(0.0, 1e-3, (300, D))
    with pytest.raises(ValueError, match='blank'):
        SurveyAdapter.fit(source, blank)


def test_blank_rows_of_a_table_do_not_count():
    model = get_model()
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(150, model.n_latents)).astype(np.float32)
    flags = np.where(np.arange(150) < 100, GalvaeFlags.NO_DATA, 0)
    table = Table({'galvae_latent': MaskedColumn(latent), 'galvae_flags': flags})
    with pytest.raises(ValueError, match='50 measured galaxies of the target'):
        SurveyAdapter.fit(latent, table, model=model)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'method': 'magic'}, 'method'),
        ({'shrinkage': 2.0}, 'shrinkage'),
        ({'method': 'ridge'}, '0 pairs'),
        ({'pairs': np.array([[0, 10_000]])}, 'rows up to'),
        ({'kinds': (np.zeros((3, 1)), np.zeros((3, 1)))}, '3 rows'),
    ],
)
def test_wrong_calls_are_refused(surveys, options, message):
    with pytest.raises(ValueError, match=message):
        SurveyAdapter.fit(*surveys[:2], **options)


@pytest.fixture(scope='module')
def adapted(tmp_path_factory):
    """The default model for another survey, read from its file."""
    model, rng = get_model(), np.random.default_rng(0)
    source = rng.normal(size=(400, model.n_latents))
    adapter = SurveyAdapter.fit(source, 0.5 * source[::-1] + 1.0)
    path = tmp_path_factory.mktemp('adapted') / 'new.galvae'
    adapter.save(model, path, 'Legacy Surveys')
    return adapter, ModelBundle.read(path)


def test_the_encoder_of_an_adapted_model_applies_the_map(adapted):
    adapter, model = adapted
    plain, engine = get_model(), Engine(device='cpu', n_threads=1)
    images = np.random.default_rng(0).random((3, 3, 128, 128))
    one, other = (Encoder(m, engine).encode(images) for m in (plain, model))
    np.testing.assert_allclose(other.latent, adapter.transform(one.latent), atol=1e-5)
    np.testing.assert_allclose(other.latent_err, adapter.transform_errors(one.latent_err))
    assert np.abs(other.latent - one.latent).max() > 0.5
    np.testing.assert_array_equal(other.recon_chi2, one.recon_chi2)


def test_an_adapted_model_is_another_one(adapted):
    _, model = adapted
    assert model.id.startswith('gz2-sdss-v3-Legacy-Surveys@')
    assert not set(model.same_latents) & set(get_model().same_latents)
    assert model.manifest.adapter.survey == 'Legacy Surveys'
    assert model.manifest.raw['adapter']['report']['verdict'] == 'useful'
    card = model_card(model)
    assert 'latents mapped to Legacy Surveys: the discrepancy falls' in card
    assert 'survey classifier AUC' in card
    report = model.verify(device='cpu')
    assert report['adapter/adapted'] < 1e-5
    with pytest.raises(ValueError, match='adapted to Legacy Surveys already'):
        adapted[0].adapted(model, 'another')


def test_a_damaged_map_is_refused_by_name(adapted):
    _, model = adapted
    wrong = write_arrays({'matrix': np.zeros((3, 3)), 'offset': np.zeros(40)})
    broken = model.replaced(parts={'adapter.npz': wrong})
    with pytest.raises(BundleError, match=r'adapter\.npz: its array matrix has shape \(3, 3\)'):
        broken.check_arrays()
    other = write_arrays({'matrix': 2 * np.eye(40), 'offset': np.zeros(40)})
    with pytest.raises(BundleError, match='adapter/adapted differs'):
        model.replaced(parts={'adapter.npz': other}).verify(device='cpu')
