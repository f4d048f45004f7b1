# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How like its training images others are."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from galvae_affiliated import (
    BundleError,
    CutoutStack,
    Engine,
    GalvaeFlags,
    ModelBundle,
    Outputs,
    add_latents,
    get_model,
)
from galvae_affiliated.models import ApplicabilityReasons
from galvae_affiliated.models._archive import write_arrays
from galvae_affiliated.models.applicability import FEATURES, feature_names, features
from galvae_affiliated.models.encoder import Encoder, Encoding
from galvae_affiliated.models.image_statistics import STATISTICS, image_statistics
from galvae_affiliated.training.applicability import fit_applicability
from galvae_affiliated.training.other_looks import in_grey
from galvae_affiliated.training.parts import with_applicability

ENGINE = Engine(device='cpu', n_threads=1)
GRID = 128


def draw_galaxies(n, seed=0):
    """(n, 3, GRID, GRID) round galaxies of a few sizes, red to blue, on noise."""
    rng = np.random.default_rng(seed)
    x = np.arange(GRID) - (GRID - 1) / 2
    radius = np.hypot(x[:, None], x)
    scale = rng.uniform(6.0, 12.0, (n, 1, 1, 1))
    color = np.array([1.2, 1.0, 0.7])[:, None, None] * rng.normal(1.0, 0.05, (n, 3, 1, 1))
    light = rng.uniform(0.4, 0.7, (n, 1, 1, 1)) * color * np.exp(-radius / scale)
    return np.clip(light + rng.normal(0.02, 0.01, (n, 3, GRID, GRID)), 0, 1).astype(np.float32)


def statistic(images, name):
    return image_statistics(np.asarray(images, dtype=np.float32))[:, STATISTICS.index(name)]


class TestImageStatistics:
    def test_each_image_has_its_own(self):
        images = draw_galaxies(7)
        together = image_statistics(images)
        assert together.shape == (7, len(STATISTICS))
        alone = np.concatenate([image_statistics(image[None]) for image in images])
        np.testing.assert_allclose(together, alone, rtol=1e-5)
        assert image_statistics(images[:0]).shape == (0, len(STATISTICS))

    def test_light_and_concentration(self):
        images = draw_galaxies(3)
        half = 0.02 + 0.5 * (images - 0.02)
        fainter = statistic(images, 'log_light') - statistic(half, 'log_light')
        np.testing.assert_allclose(fainter, np.log(2.0), atol=0.05)
        point = np.zeros((1, 3, GRID, GRID))
        point[:, :, 62:66, 62:66] = 1.0
        assert statistic(point, 'log_concentration') > statistic(images, 'log_concentration').max()

    def test_a_turn_by_half_a_circle_shows_what_is_lopsided(self):
        images = draw_galaxies(3)
        lopsided = images.copy()
        lopsided[:, :, 40:60, 80:100] += 0.3
        assert (statistic(lopsided, 'asymmetry') > 3 * statistic(images, 'asymmetry')).all()
        turned = images[:, :, ::-1, ::-1]
        np.testing.assert_allclose(
            statistic(turned, 'asymmetry'), statistic(images, 'asymmetry'), rtol=1e-3
        )

    def test_noise_and_color(self):
        images = draw_galaxies(3)
        assert (statistic(images, 'color_rb') > 0.2).all()
        np.testing.assert_allclose(
            statistic(images[:, ::-1], 'color_rb'), -statistic(images, 'color_rb'), rtol=1e-4
        )
        rng = np.random.default_rng(0)
        noisy = images + rng.normal(0.0, [[[0.03]], [[0.0]], [[0.0]]], images.shape)
        assert (statistic(noisy, 'noise_color_rb') > 1.5).all()
        assert (statistic(images, 'noise_color_rb') < 0.3).all()
        rougher = statistic(noisy, 'log_sky_roughness') - statistic(images, 'log_sky_roughness')
        assert (rougher > 0.5).all()


@pytest.fixture(scope='module')
def encodings():
    """Simulated galaxies in color and in grey, encoded by a model that knows no other."""
    encoder = Encoder(get_model(), ENGINE)
    stack = CutoutStack.from_composites(draw_galaxies(460))
    grey = in_grey(stack, get_model().frame)
    return [encoder.encode(its, statistics=True) for its in (stack, grey)]


@pytest.fixture(scope='module')
def model(encodings, tmp_path_factory):
    path = tmp_path_factory.mktemp('applicability') / 'model.galvae'
    calibrated = np.arange(460) % 2 == 0
    options = {'n_components': 1, 'reason_below': 0.01}
    marks = [calibrated] * 2
    with_applicability(get_model(), encodings, calibrated=marks, **options).write(path)
    return ModelBundle.read(path)


def judge(model, images):
    stack = images if isinstance(images, CutoutStack) else CutoutStack.from_composites(images)
    return model.applicability.test(Encoder(model, ENGINE).encode(stack))


def has(found, reason):
    return (found.reasons & getattr(ApplicabilityReasons, reason)) > 0


def test_the_part_has_a_self_test(model):
    report = model.verify(device='cpu')
    assert report['applicability/score'] < 1e-6
    assert report['applicability/p'] < 1e-6
    about = model.manifest.raw['applicability']['fitted to']
    assert about['composite_color'] == {'galaxies': 230, 'calibrated on': 230, 'components': 1}


def test_galaxies_of_the_kind_have_uniform_p_values(model):
    color = draw_galaxies(160, seed=1)
    for images in (color, in_grey(CutoutStack.from_composites(color), model.frame)):
        found = judge(model, images)
        assert 0.35 < found.p.mean() < 0.65
        assert (found.p < 0.05).mean() < 0.14
        assert (found.flags() > 0).mean() < 0.04
        assert not found.reasons[found.p > 0.05].any()


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (lambda x, rng: x[:, ::-1], 'OTHER_COLORS'),
        (lambda x, rng: 0.02 + 0.0 * x + rng.normal(0, 0.01, x.shape), 'BLANK'),
        (lambda x, rng: np.repeat(np.repeat(x[:, :, ::8, ::8], 8, 2), 8, 3), 'TOO_BLURRED'),
        (lambda x, rng: np.where(np.arange(GRID) == 50, 1.0, x), 'ARTEFACT'),
        (lambda x, rng: x + rng.normal(0, 0.08, x.shape), 'OTHER_NOISE'),
    ],
)
def test_other_images_are_flagged_with_a_reason(model, change, reason):
    images = np.clip(change(draw_galaxies(8, seed=2), np.random.default_rng(0)), 0, 1)
    found = judge(model, images)
    assert (found.p < model.manifest.applicability.flag_below).all()
    assert (found.flags() == GalvaeFlags.UNLIKE_TRAINING).all()
    assert has(found, reason).all()


def test_columns_and_flags_of_a_table(model):
    images = draw_galaxies(3, seed=3)
    images[2] = images[2, ::-1]
    encoding = Encoder(model, ENGINE).encode(CutoutStack.from_composites(images))
    outputs = Outputs(morphology=False)
    table = Table(outputs.columns(encoding, model, ENGINE))
    assert {'galvae_applicability', 'galvae_applicability_reasons'} <= set(table.colnames)
    assert table.colnames == outputs.names(model)
    unlike = (table['galvae_flags'] & GalvaeFlags.UNLIKE_TRAINING) > 0
    assert list(unlike) == [False, False, True]


def test_rows_that_were_not_measured_have_no_p_value(model):
    images = draw_galaxies(2)
    images[1] = 0.5
    found = judge(model, images)
    assert np.isfinite(found.p[0])
    assert np.isnan(found.p[1])
    assert found.reasons[1] == 0 and found.flags()[1] == 0


def test_models_and_outputs_without_it_have_no_columns(model):
    for outputs, its in (
        (Outputs(), get_model('gz2-sdss-v2')),
        (Outputs(applicability=False), model),
        (Outputs(reconstruction=False), model),
    ):
        assert not any('applicability' in name for name in outputs.names(its))
    plain = get_model('gz2-sdss-v2')
    table = add_latents(Table({'id': [1]}), draw_galaxies(1), plain, engine=ENGINE)
    assert 'galvae_applicability' not in table.colnames


def test_encodings_are_joined_with_their_statistics(encodings):
    joined = Encoding.concatenate(encodings)
    assert joined.statistics.shape == (920, len(STATISTICS))
    (color, color_rows, values), (grey, grey_rows, others) = features(joined)
    assert (color, grey) == ('composite_color', 'composite_grey')
    assert color_rows.max() < 460 <= grey_rows.min()
    n = joined.latent.shape[1]
    assert values.shape[1] == n + len(FEATURES)
    assert others.shape[1] == n + sum('color' not in name for name in FEATURES)


def test_what_is_looked_at_depends_on_the_bands():
    assert feature_names('flux_color') == list(FEATURES)
    assert not any('color' in name for name in feature_names('flux_grey'))
    two = set(feature_names('flux_two'))
    assert 'color_rb' in two and 'log_color_roughness' in two
    assert not any('color_g' in name for name in two)


def test_a_kind_of_image_that_was_not_learnt_has_no_p_value(model):
    images = draw_galaxies(2)
    flux = CutoutStack(images, np.full(2, 'sdss-gri'), np.zeros(2, dtype=np.int32))
    encoding = Encoder(model, ENGINE).encode(flux)
    assert encoding.image_kind.tolist() == ['flux_color'] * 2
    found = model.applicability.test(encoding)
    assert np.isnan(found.p).all() and not found.reasons.any() and not found.flags().any()


def test_few_galaxies_are_refused(encodings):
    with pytest.raises(ValueError, match='115 images in composite_color to calibrate'):
        fit_applicability(encodings, calibrated=[np.arange(460) % 4 == 0] * 2)
    marks = [np.arange(460) % 2 == 0, np.arange(460) % 4 == 0]
    test, _ = fit_applicability(encodings, calibrated=marks, n_components=1)
    assert list(test.kinds) == ['composite_color']
    nothing = replace(encodings[0], latent=np.full_like(encodings[0].latent, np.nan))
    with pytest.raises(ValueError, match='no measured galaxies'):
        fit_applicability([nothing])


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        ('composite_color_scores', lambda a: a[::-1], 'ascending'),
        ('composite_color_weights', lambda a: 0 * a, 'no weights'),
        ('composite_grey_limits', lambda a: a[:-1], 'grey_limits has shape'),
        ('composite_color_matrix', lambda a: 0 * a, 'no inverse'),
        ('composite_grey_factors', lambda a: -a, 'not above zero'),
    ],
)
def test_arrays_of_no_test_are_refused(model, name, change, message):
    arrays = model.applicability.arrays()
    arrays[name] = change(arrays[name])
    broken = model.replaced(parts={'applicability.npz': write_arrays(arrays)})
    with pytest.raises(BundleError, match=message):
        broken.check_arrays()


def test_statistics_of_another_version_are_refused(model):
    manifest = model.manifest.raw
    manifest['applicability']['statistics'][0] = 'smell'
    with pytest.raises(BundleError, match=r'applicability\.npz: it looks at the statistics smell'):
        model.replaced(manifest).check_arrays()
