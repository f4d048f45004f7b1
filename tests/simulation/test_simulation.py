# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Fields of galaxies that a model draws."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from galvae_affiliated import get_model
from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models import Encoder
from galvae_affiliated.scripts.main import main
from galvae_affiliated.simulation import random_catalog, simulate_field, surface_brightness
from galvae_affiliated.simulation.templates import flux_rendering

pytest.importorskip('galsim')
SHAPE = 160, 200


@pytest.fixture(scope='module')
def model():
    return get_model()


def catalog(model, x=(60.0, 140.0), y=(80.0, 70.0), mag=(17.0, 18.0)):
    n = len(x)
    rng = np.random.default_rng(2)
    return QTable({'x': x, 'y': y, 'mag': mag * u.ABmag, 'petro_r90': np.full(n, 4.0) * u.arcsec,
                   'galvae_latent': 0.3 * rng.standard_normal((n, model.n_latents)),
                   'galvae_pose': np.zeros((n, model.n_pose))})


@pytest.fixture(scope='module')
def field(model):
    return simulate_field(catalog(model), model, shape=SHAPE, noise=1e-4, random_state=1)


def test_rendering_is_undone(model):
    """Light that the encoder's graph renders gives the composite back."""
    drawn = Encoder(model).decode(0.3 * np.random.default_rng(0).standard_normal((2, 40)))
    rendering = flux_rendering(model)
    light = surface_brightness(drawn, rendering)
    q, offset = rendering.curve
    value = np.asarray(rendering.scales)[:, None, None] * light + offset
    intensity = np.maximum(value.mean(1, keepdims=True), 1e-6)
    again = value * np.arcsinh(q * intensity) / (np.sqrt(q) * intensity)
    middle = np.s_[..., 40:-40, 40:-40]
    # but for the level of the sky, which is taken off
    np.testing.assert_allclose(again[middle], drawn[middle], atol=0.03)


def test_light_is_where_and_what_the_catalogue_says(field):
    image, row = field.images['r'], field.truth[0]
    y, x = np.mgrid[:SHAPE[0], :SHAPE[1]]
    own = np.hypot(x - row['x'], y - row['y']) < 36
    flux = image[own].sum()
    assert flux == pytest.approx(10 ** (-0.4 * (17.0 - 22.5)), rel=0.1)
    assert (image * x)[own].sum() / flux == pytest.approx(row['x'], abs=1.0)
    assert (image * y)[own].sum() / flux == pytest.approx(row['y'], abs=1.0)
    assert field.truth['mag_r'].value == pytest.approx(field.truth['mag'].value, abs=0.01)


def test_truth_and_images_are_the_same_for_the_same_seed(field, model):
    again = simulate_field(catalog(model), model, shape=SHAPE, noise=1e-4, random_state=1)
    np.testing.assert_array_equal(again.images['g'], field.images['g'])
    other = simulate_field(catalog(model), model, shape=SHAPE, noise=1e-4, random_state=2)
    assert (other.images['g'] != field.images['g']).any()


def test_a_galaxy_off_the_image_adds_nothing(model):
    far = catalog(model, x=(900.0,), y=(900.0,), mag=(15.0,))
    field = simulate_field(far, model, shape=SHAPE, noise=0.0, random_state=1)
    assert all((image == 0).all() for image in field.images.values())
    assert np.isfinite(field.truth['mag_r'].value).all()


def test_random_catalogue_is_fainter_than_it_is_bright():
    drawn = random_catalog(500, (2000, 1000), pixel_scale=0.3, random_state=0)
    assert drawn['y'].max() > 1500 > 1000 > drawn['x'].max()
    mag = drawn['mag'].value
    assert (mag > 20).sum() > 3 * (mag < 19).sum()
    assert (drawn['petro_r90'] > 0 * u.arcsec).all()


@pytest.mark.parametrize(('change', 'message'), [
    ({'bands': ['g', 'x']}, 'bands are g,x; .* draws'),
    ({'pixel_scale': 0.0}, 'pixel_scale 0.0; expected positive numbers'),
    ({'noise': {'g': 0.1}}, 'noise has no band'),
    ({'psf_fwhm': 0.0}, 'psf_fwhm is .* expected positive numbers'),
    ({'catalog': QTable({'x': [1.0], 'y': [1.0]})}, "no column 'mag'"),
    ({'catalog': QTable({'x': [1.0], 'y': [1.0], 'mag': [np.nan], 'petro_r90': [2.0]})},
     'rows without a position, a magnitude'),
])
def test_wrong_calls(model, change, message):
    options = {'catalog': catalog(model), 'shape': SHAPE, **change}
    with pytest.raises(ValueError, match=message):
        simulate_field(model=model, **options)


def test_a_model_without_renderings_of_flux_is_refused(model):
    raw = {**model.manifest.raw, 'renderings': model.manifest.raw['renderings'][:1]}
    try:
        bare = model.replaced(manifest=raw)
    except BundleError:
        pytest.skip('such a bundle is none')
    with pytest.raises(ValueError, match='states no rendering of flux'):
        simulate_field(catalog(model), bare, shape=SHAPE)


def test_command(model, tmp_path, capsys):
    path = tmp_path / 'in.ecsv'
    catalog(model).write(path)
    words = ['simulate', '--catalog', str(path), '--shape', '160,200', '--device', 'cpu']
    assert main([*words, '-o', str(tmp_path / 'sim')]) == 0
    assert sorted(p.name for p in (tmp_path / 'sim').iterdir()) == [
        'g.fits', 'i.fits', 'r.fits', 'truth.fits']
    images = [str(tmp_path / 'sim' / f'{band}.fits') for band in 'gri']
    out = tmp_path / 'out.ecsv'
    assert main(['encode', *images, '--bands', 'g,r,i', '--catalog',
                 str(tmp_path / 'sim' / 'truth.fits'), '--overwrite', '--device', 'cpu',
                 '-o', str(out)]) == 0
    assert main([*words, '-o', str(tmp_path / 'sim')]) == 2
    assert 'expected the name of a new folder' in capsys.readouterr().err
