# Licensed under a 3-clause BSD style license - see LICENSE.rst
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from galvae_affiliated import (
    CutoutStack,
    DeviceError,
    GalvaeFlags,
    LatentTransformer,
    flag_meanings,
    get_model,
)

GRID = 128


def galaxies(n, random_state=0):
    """(n, 3, 128, 128) composites of exponential discs, axis ratios from 0.2 to 1."""
    rng = np.random.default_rng(random_state)
    x = np.arange(GRID) - (GRID - 1) / 2
    ratio = np.linspace(0.2, 1.0, n)[:, None, None]
    light = np.exp(-np.hypot(x[None, None, :], x[None, :, None] / ratio) / 12.0)
    colour = rng.uniform(0.3, 0.9, (n, 3, 1, 1))
    return (colour * light[:, None] + 0.01 * rng.random((n, 3, GRID, GRID))).astype(np.float32)


@pytest.fixture(scope='module')
def images():
    return galaxies(5)


@pytest.fixture(scope='module')
def latents(images):
    return LatentTransformer().transform(images)


def test_latents_are_finite_and_differ(latents):
    assert latents.shape == (5, 40) and latents.dtype == np.float32
    assert np.isfinite(latents).all()
    assert np.linalg.norm(latents[0] - latents[-1]) > 0.1


def test_layouts_and_types_of_composites_are_the_same_image(images):
    eight_bit = np.round(255 * images.clip(0, 1)).astype(np.uint8)
    expected = LatentTransformer().transform(eight_bit)
    for same in (
        np.moveaxis(eight_bit, 1, -1),
        (eight_bit / 255.0).astype('>f4'),
        eight_bit / 255.0,
    ):
        np.testing.assert_allclose(LatentTransformer().transform(same), expected, atol=1e-4)


def test_the_input_is_not_changed(images):
    kept = images.copy()
    images.flags.writeable = False
    LatentTransformer().transform(images)
    np.testing.assert_array_equal(images, kept)


@pytest.mark.parametrize('batch_size', [1, 2, 64])
def test_batch_size_changes_nothing(images, latents, batch_size):
    found = LatentTransformer(batch_size=batch_size).transform(images)
    np.testing.assert_allclose(found, latents, atol=1e-5)


def test_rows_keep_their_order(images, latents):
    order = np.array([3, 0, 4, 1, 2])
    np.testing.assert_allclose(
        LatentTransformer().transform(images[order]), latents[order], atol=1e-5
    )


def test_rows_that_cannot_be_measured_are_nan(images):
    spoilt = images.copy()
    spoilt[1], spoilt[3] = np.nan, 0.25
    encoding = LatentTransformer().encoder.encode(spoilt)
    np.testing.assert_array_equal(encoding.measured, [True, False, True, False, True])
    assert encoding.flags[1] & GalvaeFlags.NO_DATA and encoding.flags[3] & GalvaeFlags.NO_DATA
    assert (
        np.isnan(encoding.recon_chi2[[1, 3]]).all()
        and np.isfinite(encoding.recon_chi2[[0, 2, 4]]).all()
    )


def test_a_few_missing_pixels_change_little(images, latents):
    spoilt = images.copy()
    spoilt[:, :, :20, :20] = np.nan  # a corner, which the network does not see
    np.testing.assert_allclose(LatentTransformer().transform(spoilt), latents, atol=1e-4)


def test_errors_are_positive(images):
    encoding = LatentTransformer().encoder.encode(images, reconstruction=False)
    assert (encoding.latent_err > 0).all() and encoding.recon_chi2 is None


def test_decoding_gives_a_composite_that_resembles(images):
    transformer = LatentTransformer()
    encoding = transformer.encoder.encode(images)
    decoded = transformer.inverse_transform(encoding.latent, pose=encoding.pose)
    assert decoded.shape == images.shape and decoded.min() >= 0 and decoded.max() <= 1
    frames = transformer.encoder.frames(images)
    alike = [np.corrcoef(one.ravel(), two.ravel())[0, 1] for one, two in zip(decoded, frames)]
    assert min(alike) > 0.9


def test_an_image_unlike_a_galaxy_is_explained_worse(images):
    stripes = np.broadcast_to((np.arange(GRID) // 8 % 2).astype(np.float32), (1, 3, GRID, GRID))
    encoding = LatentTransformer().encoder.encode(np.concatenate([images, stripes]))
    assert encoding.recon_chi2[-1] > 5 * encoding.recon_chi2[:-1].max()
    assert encoding.flags[-1] & GalvaeFlags.POOR_FIT


def test_flux_and_composite_meet(images):
    """A flux that renders to an image gives the latents of that image."""
    bundle = get_model()
    entry = next(e for e in bundle.manifest.raw['renderings'] if e['kind'] == 'flux')
    scales = np.array(entry['scales']).reshape(1, 3, 1, 1)
    flux = images / scales
    value, q = images + entry['offset'], entry['softening']
    mean = value.mean(axis=1, keepdims=True)
    composite = (value * np.arcsinh(q * mean) / (np.sqrt(q) * mean)).clip(0, 1)
    stack = CutoutStack(flux.astype(np.float32), np.full(5, entry['name']), np.zeros(5, np.int32))
    np.testing.assert_allclose(
        LatentTransformer().transform(stack), LatentTransformer().transform(composite), atol=1e-3
    )


@pytest.mark.parametrize(
    ('shape', 'match'),
    [
        ((2, 3, 64, 64), '64 pixels a side'),
        ((3, 128, 128), r'\(3, 128, 128\)'),
        ((2, 4, 128, 128), r'expected \(N, 3'),
    ],
)
def test_wrong_shapes_say_what_was_got(shape, match):
    with pytest.raises(ValueError, match=match):
        LatentTransformer().transform(np.zeros(shape))


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match='expected numbers'):
        LatentTransformer().transform(np.full((1, 3, 128, 128), 'a'))
    with pytest.raises(ValueError, match='expected'):
        LatentTransformer().inverse_transform(np.zeros((2, 7)))
    with pytest.raises(ValueError, match='pose has shape'):
        LatentTransformer().inverse_transform(np.zeros((2, 40)), pose=np.zeros((1, 8)))


def test_scikit_learn_contract(images, latents):
    transformer = LatentTransformer(get_model(), batch_size=3)
    copied = clone(transformer)
    assert copied.model is transformer.model is copied.bundle and copied.batch_size == 3
    assert transformer.fit(images) is transformer
    transformer.transform(images[:1])
    restored = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_allclose(restored.transform(images), latents, atol=1e-5)
    names = transformer.get_feature_names_out()
    assert len(names) == 40 and names[3] == 'galvae_latent_03'


def test_in_a_pipeline(images):
    model = make_pipeline(LatentTransformer(), LogisticRegression())
    model.fit(images, [0, 0, 0, 1, 1])
    assert model.predict(images).shape == (5,)


def test_pandas_output(images):
    pytest.importorskip('pandas')
    frame = LatentTransformer().set_output(transform='pandas').fit_transform(images)
    assert list(frame.columns[:2]) == ['galvae_latent_00', 'galvae_latent_01'] and len(frame) == 5


# of scikit-learn's checks those that hold for every estimator; the others feed tables of numbers
CHECKS = (
    'check_estimator_cloneable',
    'check_estimator_tags_renamed',
    'check_valid_tag_types',
    'check_estimator_repr',
    'check_no_attributes_set_in_init',
    'check_do_not_raise_errors_in_init_or_set_param',
    'check_do_not_raise_errors_in_init_or_set_params',
    'check_mixin_order',
    'check_get_params_invariance',
    'check_set_params',
    'check_parameters_default_constructible',
    'check_estimator_get_tags_default_keys',
)


@pytest.mark.parametrize('check', [c for c in CHECKS if hasattr(estimator_checks, c)])
def test_scikit_learns_own_checks(check):
    getattr(estimator_checks, check)('LatentTransformer', LatentTransformer())


def test_a_device_that_does_not_start_is_an_error_even_without_rows():
    with pytest.raises(DeviceError):
        LatentTransformer(device='cuda').encoder.encode(np.full((2, 3, GRID, GRID), np.nan))


def test_rows_may_carry_their_flags(images, latents):
    spoilt = images.copy()
    spoilt[1] = np.nan
    stack = CutoutStack.from_composites(spoilt)
    stack.flags[[2, 3]] = GalvaeFlags.SMALL, GalvaeFlags.OFF_IMAGE
    transformer = LatentTransformer(with_flags=True)
    rows = clone(transformer).fit_transform(stack)
    assert rows.shape == (5, 41) and rows.dtype == np.float32
    expected = [0, GalvaeFlags.NO_DATA, GalvaeFlags.SMALL, GalvaeFlags.OFF_IMAGE, 0]
    assert rows[:, -1].astype(int).tolist() == expected
    np.testing.assert_allclose(rows[[0, 2, 4], :-1], latents[[0, 2, 4]], atol=1e-5)
    assert np.isnan(rows[[1, 3], :-1]).all()
    names = transformer.get_feature_names_out()
    assert len(names) == 41 and names[-1] == 'galvae_flags'
    np.testing.assert_array_equal(
        transformer.inverse_transform(rows[[0]]),
        LatentTransformer().inverse_transform(rows[[0], :-1]),
    )


def test_flags_are_a_column_of_data_frames(images):
    pytest.importorskip('pandas')
    frame = LatentTransformer(with_flags=True).set_output(transform='pandas').transform(images)
    assert frame.columns[-1] == 'galvae_flags' and (frame['galvae_flags'] == 0).all()


def test_every_bit_fits_in_the_column_of_flags():
    everything = sum(bit for bit, _, _ in flag_meanings().values())
    assert int(np.float32(everything)) == everything
