# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sets of several surveys are read as they are named, and far galaxies are small and faint."""

import numpy as np
import pytest

from galvae_affiliated import CutoutStack, get_model
from galvae_affiliated.models.applicability import Applicability

GRID, N = 128, 2


@pytest.fixture(scope='module')
def composites():
    """Discs on a sky with some noise."""
    rng = np.random.default_rng(1)
    far = np.hypot(*(np.mgrid[:GRID, :GRID] - (GRID - 1) / 2))
    disc = 0.5 * np.exp(-far * 3.88 / 25) * np.reshape([1.0, 0.9, 0.7], (3, 1, 1))
    noise = 0.01 * rng.standard_normal((N, 3, GRID, GRID))
    return (0.05 + disc + noise).astype(np.float32)


def test_a_set_is_named_with_its_options(benchmark):
    words = benchmark('_sets').split_words
    name, path, options = words('Euclid VIS=vis.parquet,pixel_scale=0.1,split=adapt,whole=yes')
    assert (name, path) == ('Euclid VIS', 'vis.parquet')
    assert options == {'pixel_scale': 0.1, 'split': 'adapt', 'whole': True}
    assert words('field=a.fits+b.fits') == ('field', 'a.fits+b.fits', {})


def test_a_turned_galaxy_is_found(benchmark, composites):
    bench = benchmark('bench_surveys')
    rng = np.random.default_rng(0)
    stack = CutoutStack.from_composites(rng.uniform(0, 1, (3, 3, 8, 8)))
    turned = bench.turned(stack)
    np.testing.assert_array_equal(turned.data[:, :, 2, 5], stack.data[:, :, 5, 2])
    latent = rng.standard_normal((50, 4))
    assert bench.recall(latent + 1e-3, latent) == 1.0
    assert bench.recall(latent[::-1], latent) < 0.2


def test_shares_are_those_of_rows_with_a_p_value(benchmark):
    bench = benchmark('bench_applicability')
    p = np.array([0.001, 0.03, 0.5, np.nan], dtype=np.float32)
    found = Applicability(p, np.array([8, 0, 0, 0], dtype=np.int32), 0.005)
    assert bench.shares(found) == pytest.approx(
        {'rows': 3, 'p < 0.05': 2 / 3, 'p < 0.01': 1 / 3, 'flagged': 1 / 3})
    assert bench.shares(found, p > 0.4)['flagged'] == 0.0
    assert bench.commonest(found) == {'ARTEFACT': 0.25}


@pytest.mark.parametrize('name', ['blank sky', 'star', 'shuffled bands', 'cosmic rays'])
def test_no_galaxies_are_no_galaxies(benchmark, composites, name):
    kinds = benchmark('bench_applicability').KINDS
    images = composites.astype(float)
    changed = kinds[name](images.copy(), np.random.default_rng(0))
    assert changed.shape == images.shape and np.isfinite(changed).all()
    assert np.abs(changed - images).max() > 0.1


def test_far_galaxies_are_small_and_faint(benchmark, composites):
    bench = benchmark('bench_redshift')
    degrader = benchmark('_degraded').Degrader(composites, get_model())
    degrader.level[:] = 0.0
    space = bench.SURVEYS['space']
    # 5 arcsec at z = 0.1 are 10.7 kpc (Planck 2018: 1.902 kpc an arcsec, and 6.27 at z = 0.5)
    flux, fwhm, pixels = bench.as_seen(degrader, 0.5, space, 0.1, 5.0)
    assert pixels == pytest.approx(5.0 * 1.902 / 6.27 / 0.1, rel=0.01)
    assert fwhm == pytest.approx(0.16 / (0.1 * pixels), rel=1e-6)
    middle = slice(GRID // 2 - 20, GRID // 2 + 20)
    ratio = flux[..., middle, middle].mean() / degrader.flux[..., middle, middle].mean()
    assert ratio == pytest.approx((1.1 / 1.5) ** 3, rel=0.05)
    _, wide, few = bench.as_seen(degrader, 0.5, bench.SURVEYS['SDSS'], 0.1, 5.0)
    assert wide > 0.8 and few < 5.0
