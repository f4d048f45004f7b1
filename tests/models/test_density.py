# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The density of latents: mixtures, samples, and conditionals."""

import numpy as np
import pytest

from galvae_affiliated import BundleError
from galvae_affiliated.models._archive import write_arrays
from galvae_affiliated.models.density import LatentDensity, log_ratios, ratio_names
from galvae_affiliated.models.manifest import DensityTable
from galvae_affiliated.models.mixture import GaussianMixture
from galvae_affiliated.models.whitening import Whitening
from galvae_affiliated.training.density import choose_mixture, fit_density

N, D, P = 3000, 3, 2
QUESTIONS = {'shape': ('round', 'flat', 'odd'), 'bar': ('yes', 'no')}
TABLE = DensityTable(N, QUESTIONS, ('size',))


@pytest.fixture(scope='module')
def galaxies():
    """
    Latents, poses, fractions and sizes: two clumps, and laws that are linear in the latents.

    The pose follows the first latent.
    """
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(N, D)) + np.where(rng.random(N) < 0.3, 4.0, 0.0)[:, None]
    latent = latent @ rng.normal(size=(D, D)) + 10.0
    pose = np.column_stack([latent[:, 0], np.zeros(N)]) + 0.1 * rng.normal(size=(N, P))
    logit = 0.3 * (latent - latent.mean(axis=0)) @ rng.normal(size=(D, 3))
    logit += 0.05 * rng.normal(size=(N, 3))
    ratios = np.exp(np.column_stack([logit[:, :2], np.zeros(N)]))
    shape = ratios / ratios.sum(axis=1, keepdims=True)
    bar = 1.0 / (1.0 + np.exp(-logit[:, 2]))
    fractions = {
        'shape': dict(zip(QUESTIONS['shape'], shape.T)),
        'bar': {'yes': bar, 'no': 1.0 - bar},
    }
    size = 2.0 * latent[:, 1] + 0.1 * rng.normal(size=N)
    size[::3] = np.nan  # not known of all
    return latent, pose, fractions, {'size': size}


@pytest.fixture(scope='module')
def density(galaxies):
    latent, pose, fractions, quantities = galaxies
    patterns = np.column_stack(
        [np.stack(list(fractions[q].values())).argmax(axis=0) for q in QUESTIONS]
    )
    found, _ = fit_density(
        latent, pose, fractions, quantities, patterns=patterns, n_components=2
    )
    return found


def test_the_number_of_components_is_that_of_the_clumps():
    rng = np.random.default_rng(1)
    clumps = rng.normal(size=(1500, 2)) + 8.0 * rng.integers(0, 3, (1500, 1))
    mixture, held_out = choose_mixture(clumps, (1, 3))
    assert set(held_out) == {1, 3}
    assert held_out[3] > held_out[1] + 0.5
    assert len(mixture.weights) == 3
    # not more than the galaxies allow, however many are asked for
    assert len(choose_mixture(clumps[:40], (16, 64))[0].weights) == 1


def test_densities_integrate_to_one():
    mixture = GaussianMixture(
        np.array([0.3, 0.7]),
        np.array([[0.0, 0.0], [2.0, 1.0]]),
        np.array([[[1.0, 0.0], [0.4, 0.6]], [[0.5, 0.0], [-0.2, 0.9]]]),
    )
    x = np.linspace(-8, 9, 250)
    grid = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    total = np.exp(mixture.log_density(grid)).sum() * (x[1] - x[0]) ** 2
    assert total == pytest.approx(1.0, abs=1e-4)
    values, _ = mixture.sample(100_000, np.random.default_rng(0))
    np.testing.assert_allclose(values.mean(axis=0), [1.4, 0.7], atol=0.02)
    assert mixture.responsibilities(values[:5]).sum(axis=1) == pytest.approx(np.ones(5))


def test_samples_are_like_the_galaxies(density, galaxies):
    latent, pose, *_ = galaxies
    drawn, its_pose = density.sample_with_pose(20_000, 3)
    both, true = np.column_stack([drawn, its_pose]), np.column_stack([latent, pose])
    np.testing.assert_allclose(both.mean(axis=0), true.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(both.T), np.cov(true.T), rtol=0.1, atol=0.3)
    # a pose is that of its galaxy
    assert np.corrcoef(drawn[:, 0], its_pose[:, 0])[0, 1] > 0.98
    assert density.log_density(latent).mean() > density.log_density(latent + 20.0).mean() + 10


def test_the_same_seed_gives_the_same_latents(density):
    np.testing.assert_array_equal(density.sample(5, 1), density.sample(5, 1))
    assert not np.array_equal(density.sample(5, 1), density.sample(5, 2))
    assert density.sample(0).shape == (0, D)


def test_a_low_temperature_is_narrower(density):
    cold, warm = (density.log_density(density.sample(3000, 0, t)).mean() for t in (0.3, 1.0))
    assert cold > warm + 0.5


def test_conditionals_are_those_of_galaxies_that_have_it(density, galaxies):
    latent, pose, fractions, quantities = galaxies
    near = np.abs(quantities['size'] - 20.0) < 0.5
    drawn, its_pose = density.condition(quantities={'size': 20.0}).sample_with_pose(5000, 0)
    np.testing.assert_allclose(drawn.mean(axis=0), latent[near].mean(axis=0), atol=0.3)
    np.testing.assert_allclose(its_pose.mean(axis=0), pose[near].mean(axis=0), atol=0.3)
    assert drawn[:, 1].std() < 0.2 * latent[:, 1].std()
    share = np.quantile(fractions['bar']['yes'][near], 0.8)
    barred = density.condition({'bar': [share, 1.0 - share]}, {'size': 20.0})
    assert barred.names == ()
    near &= np.abs(fractions['bar']['yes'] - share) < 0.006
    found = barred.sample(5000, 0).mean(axis=0)
    np.testing.assert_allclose(found, latent[near].mean(axis=0), atol=0.6)


def test_conditioning_on_the_numbers_of_a_whole_joint_gaussian():
    """One component is one Gaussian, whose conditional is known."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(4000, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    size = latent @ np.array([1.0, -2.0]) + 0.5 * rng.normal(size=4000)
    density, _ = fit_density(
        latent, np.zeros((4000, 0)), quantities={'size': size}, n_components=1
    )
    joint = np.cov(np.column_stack([latent, size]).T)
    gain = joint[:2, 2] / joint[2, 2]
    drawn = density.condition(quantities={'size': 3.0}).sample(100_000, 0)
    np.testing.assert_allclose(
        drawn.mean(axis=0), latent.mean(axis=0) + gain * (3.0 - size.mean()), atol=0.03
    )
    expected = joint[:2, :2] - np.outer(gain, gain) * joint[2, 2]
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.03)


def test_usual_fractions_are_those_of_galaxies(density, galaxies):
    fractions = galaxies[2]['shape']
    ratios = log_ratios({'shape': np.column_stack(list(fractions.values()))}).mean(axis=0)
    expected = np.exp(np.append(ratios, 0.0))
    np.testing.assert_allclose(
        density.usual_fractions('shape'), expected / expected.sum(), atol=0.02
    )


@pytest.mark.parametrize(
    ('fractions', 'quantities', 'message'),
    [
        ({'arms': [1.0]}, None, "no question 'arms'; it has shape, bar"),
        ({'bar': [0.5, 0.2, 0.3]}, None, 'expected 2'),
        ({'bar': [0.7, 0.7]}, None, 'sum to one'),
        (None, {'age': 3.0}, "no quantity 'age'; it has size"),
        (None, {'size': np.nan}, 'finite'),
        (None, {'size': 1e5}, 'size is 100000; galaxies have'),
    ],
)
def test_impossible_conditions_are_refused(density, fractions, quantities, message):
    with pytest.raises(ValueError, match=message):
        density.condition(fractions, quantities)


def test_wrong_draws_are_refused(density):
    with pytest.raises(ValueError, match='n is -1'):
        density.sample(-1)
    with pytest.raises(ValueError, match='temperature is 0'):
        density.sample(1, 0, 0.0)
    with pytest.raises(ValueError, match=r'expected \(N, 3\)'):
        density.log_density(np.zeros((2, 4)))


def test_galaxies_are_counted(density, galaxies):
    fractions = galaxies[2]
    is_barred = fractions['bar']['yes'] > 0.5
    assert density.count({'bar': 0}) == is_barred.sum()
    assert density.count({'bar': 0}) + density.count({'bar': 1}) == N
    assert density.count({'bar': 0, 'arms': 1}) is None


def test_it_is_read_as_it_was_written(density, galaxies):
    read = LatentDensity.read(write_arrays(density.arrays()), TABLE, D, P)
    latent = galaxies[0][:10]
    np.testing.assert_allclose(read.log_density(latent), density.log_density(latent), rtol=1e-4)
    np.testing.assert_allclose(read.sample(4, 0), density.sample(4, 0), rtol=1e-4)
    assert read.names == density.names == ('shape/round', 'shape/flat', 'bar/yes', 'size')


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        ('weights', lambda a: -a, 'no weights'),
        ('weights', lambda a: a[:0], r'means has shape|no weights'),
        ('means', lambda a: a[:, :1], 'means has shape'),
        ('means', lambda a: a * np.nan, 'not finite'),
        ('factors', lambda a: a * 0, 'not above zero'),
        ('scatter', lambda a: a * 0, 'not above zero'),
        ('latent_matrix', lambda a: a * 0, 'no inverse'),
        ('counts', lambda a: None, 'no array counts'),
    ],
)
def test_arrays_of_no_density_are_refused(density, name, change, message):
    arrays = density.arrays()
    arrays[name] = change(arrays[name])
    arrays = {key: values for key, values in arrays.items() if values is not None}
    with pytest.raises(BundleError, match=message):
        LatentDensity.read(write_arrays(arrays), TABLE, D, P)


def test_log_ratios_have_names():
    fractions = {'shape': [[0.2, 0.3, 0.5]], 'bar': [[0.0, 1.0]]}
    ratios = log_ratios(fractions)
    assert ratio_names(QUESTIONS) == ['shape/round', 'shape/flat', 'bar/yes']
    np.testing.assert_allclose(ratios[0], np.log([0.4, 0.6, 0.01]))


def test_whitening_goes_there_and_back():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 3)) * [1.0, 1e3, 1e-4] + 5.0
    values[:, 2] = 2.0 * values[:, 0] + 1e-6 * rng.normal(size=400)
    whitening = Whitening.fit(values)
    np.testing.assert_allclose(whitening.back(whitening(values)), values, rtol=1e-9)
    # the direction that holds nothing but noise stays narrow
    assert whitening(values).std(axis=0).min() < 0.2
    constant = Whitening.fit(np.ones((10, 2)))
    assert np.isfinite(constant(np.ones((3, 2)))).all()
