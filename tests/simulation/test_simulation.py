# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Fields of galaxies that a model draws."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from galvae_affiliated import Engine, get_model
from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models import Encoder
from galvae_affiliated.scripts.main import main
from galvae_affiliated.simulation import random_catalog, simulate_field, surface_brightness
from galvae_affiliated.simulation.matching import draw_matching
from galvae_affiliated.simulation.templates import (
    flux_rendering,
    log_brightness,
    template_centres,
    template_radii,
)
from galvae_affiliated.sources.petrosian import petrosian_r90

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


def test_galaxies_have_the_radius_and_the_place_that_the_catalogue_says(model):
    """Whatever radius their templates have, and wherever the galaxy lies in these."""
    for seed in range(3):
        asked = catalog(model, x=(100.0,), y=(80.0,), mag=(17.0,))
        asked['galvae_latent'] = 0.5 * np.random.default_rng(seed).standard_normal((1, 40))
        field = simulate_field(asked, model, shape=SHAPE, psf_fwhm=1e-2, noise=0.0,
                               random_state=seed)
        image = field.images['r']
        assert petrosian_r90(image, 100, 80) * 0.262 == pytest.approx(4.0, rel=0.03)
        assert field.truth['petro_r90_seen'].value == pytest.approx(4.0, rel=0.03)
        # of the core alone: the rest need not be symmetric
        core = image[76:85, 96:105]
        for axis in (0, 1):
            offset = (core.sum(axis=axis) * np.arange(-4, 5)).sum() / core.sum()
            assert offset == pytest.approx(0.0, abs=0.6)


def test_seen_radius_is_that_after_the_psf(model):
    sharp, blurred = (simulate_field(catalog(model), model, shape=SHAPE, psf_fwhm=fwhm,
                                     random_state=1).truth['petro_r90_seen'] for fwhm in (0.3, 4.0))
    assert (blurred > 1.2 * sharp).all()
    far = catalog(model, x=(60.0, 900.0), y=(80.0, 900.0))
    seen = simulate_field(far, model, shape=SHAPE, random_state=1).truth['petro_r90_seen']
    assert np.isfinite(seen.value).tolist() == [True, False]


def test_a_shifted_template_is_measured_around_its_galaxy(model):
    y, x = np.mgrid[:128, :128]
    light = np.exp(-np.hypot(x - 70.0, y - 60.0) / 6.0)[None, None].repeat(3, axis=1)
    centre = template_centres(light, model.field_of_view)
    assert np.ravel(centre) == pytest.approx([70.0, 60.0], abs=0.05)
    middle = template_radii(np.roll(light, (4, -6), (-2, -1)), [64.0], [64.0], model.field_of_view)
    alone = template_radii(light, *centre, model.field_of_view)
    assert alone == pytest.approx(middle, rel=0.01)
    # a neighbour makes a galaxy no larger
    beside = light + 0.7 * np.exp(-np.hypot(x - 100.0, y - 95.0) / 3.0)
    assert petrosian_r90(beside[0, 1], 70.0, 60.0) > 1.1 * alone
    assert template_radii(beside, *centre, model.field_of_view) == pytest.approx(alone, rel=0.05)
    lost = np.exp(-np.hypot(x - 100.0, y - 64.0) / 6.0)[None, None].repeat(3, axis=1)
    assert np.ravel(template_centres(lost, model.field_of_view)).tolist() == [63.5, 63.5]


def test_latents_are_of_galaxies_as_bright_for_their_size(model):
    n = 24
    rows = catalog(model, x=np.full(n, 50.0), y=np.full(n, 50.0), mag=np.linspace(15.0, 18.0, n))
    rows['petro_r90'] = 6.0 * u.arcsec
    rendering = flux_rendering(model)
    latent, pose = draw_matching(model, rows, np.random.default_rng(0), rendering, engine=Engine())
    light = surface_brightness(Encoder(model).decode(latent, pose), rendering)
    brightness = log_brightness(light, model.field_of_view)
    known = np.isfinite(brightness)  # some profiles do not fall within their image
    assert known.sum() > 0.8 * n
    assert np.corrcoef(brightness[known], -rows['mag'].value[known])[0, 1] > 0.6
    # each row has a galaxy of its own
    assert len(np.unique(latent, axis=0)) == n


def test_details_are_drawn_and_read_back(model):
    rows = catalog(model)
    fields = {details: simulate_field(rows, model, shape=SHAPE, noise=0.0, details=details,
                                      read_back=True, random_state=1)
              for details in ('none', 'galaxy')}
    assert (fields['none'].images['r'] != fields['galaxy'].images['r']).any()
    truth = fields['none'].truth
    composites = Encoder(model).decode(truth['galvae_latent'], truth['galvae_pose'])
    np.testing.assert_allclose(truth['galvae_latent_read'],
                               Encoder(model).encode(composites, reconstruction=False).latent,
                               atol=1e-3)
    again = simulate_field(truth, model, shape=SHAPE, noise=0.0, details='none')
    assert 'galvae_latent_read' not in simulate_field(rows, model, shape=SHAPE).truth.colnames
    np.testing.assert_array_equal(again.images['r'], fields['none'].images['r'])


def test_no_galaxies(model):
    field = simulate_field(0, model, shape=SHAPE, read_back=True, random_state=1)
    assert len(field.truth) == 0
    assert {'petro_r90_seen', 'mag_r', 'galvae_latent_read'} <= set(field.truth.colnames)


def test_galaxies_keep_apart():
    rows = random_catalog(60, (1500, 1500), pixel_scale=0.262, separation=1.2, random_state=0)
    radius = rows['petro_r90'].value / 0.262
    far = np.hypot(*(np.subtract.outer(rows[name], rows[name]) for name in ('x', 'y')))
    far[np.diag_indices(60)] = np.inf
    assert (far >= 1.2 * np.add.outer(radius, radius)).all()
    with pytest.raises(ValueError, match='galaxies have a place so far from each other'):
        random_catalog(60, (100, 100), pixel_scale=0.262, separation=2.0, random_state=0)
    with pytest.raises(ValueError, match='separation is -1; expected zero or more'):
        random_catalog(2, (100, 100), pixel_scale=0.262, separation=-1)


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
    ({'details': 'some'}, "details is 'some'; expected"),
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
    drawing = ['--details', 'none', '--read-back', '--random-state', '1']
    assert main([*words, *drawing, '-o', str(tmp_path / 'sim')]) == 0
    truth = QTable.read(tmp_path / 'sim' / 'truth.fits')
    assert {'petro_r90_seen', 'galvae_latent_read'} <= set(truth.colnames)
    assert sorted(p.name for p in (tmp_path / 'sim').iterdir()) == [
        'g.fits', 'i.fits', 'r.fits', 'truth.fits']
    images = [str(tmp_path / 'sim' / f'{band}.fits') for band in 'gri']
    out = tmp_path / 'out.ecsv'
    assert main(['encode', *images, '--bands', 'g,r,i', '--catalog',
                 str(tmp_path / 'sim' / 'truth.fits'), '--overwrite', '--device', 'cpu',
                 '-o', str(out)]) == 0
    assert main([*words, '-o', str(tmp_path / 'sim')]) == 2
    assert 'expected the name of a new folder' in capsys.readouterr().err
