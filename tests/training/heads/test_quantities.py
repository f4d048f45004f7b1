# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Quantities regressed on latents: what is found, how sure it is, and how it becomes columns."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io.votable.ucd import check_ucd
from astropy.table import Column, MaskedColumn, QTable, Table

from galvae_affiliated import (
    Engine,
    ModelBundle,
    ModelMismatchError,
    add_quantities,
    get_model,
)
from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models.quantities import predict_quantities
from galvae_affiliated.models.self_test import SELF_TEST

torch = pytest.importorskip('torch')
pytest.importorskip('onnx')

from galvae_affiliated.training.heads import quantity_networks  # noqa: E402
from galvae_affiliated.training.heads.quantities import fit_quantities, with_quantities  # noqa: E402

# the exporter of PyTorch warns of its own ways
pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]

N, TEST = 900, slice(600, 900)  # galaxies are fitted on the others
MASS, SCATTER = 5e10, 0.15


@pytest.fixture(scope='module')
def galaxies():
    """Latents of which half say little, radii in arcsec, and quantities that depend on them."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(N, 40))
    noise = np.where(np.arange(40) < 20, 0.2, 2.0)
    latent = (true + noise * rng.normal(size=true.shape)) / (1 + noise**2)
    error = np.broadcast_to(noise / np.sqrt(1 + noise**2), latent.shape)
    radius = 10 ** rng.uniform(0.3, 1.3, N)
    curved = true[:, 0] + 1.5 * np.abs(true[:, 1]) + SCATTER * rng.normal(size=N)
    magnitude = 20 - 5 * np.log10(radius) + true[:, 2] + SCATTER * rng.normal(size=N)
    mass = MASS * (1 + 0.2 * true[:, 3] + 0.05 * rng.normal(size=N))
    return {
        'latent': latent,
        'error': np.array(error),
        'radius': radius,
        'curved': curved,
        'mag': magnitude,
        'mass': mass,
    }


@pytest.fixture(scope='module')
def fitted(galaxies):
    """Of the first galaxies; every tenth has no magnitude, and three have no latents."""
    latent, error = galaxies['latent'][: TEST.start].copy(), galaxies['error'][: TEST.start]
    latent[[5, 17, 99]] = np.nan
    values = {name: galaxies[name][: TEST.start].copy() for name in ('curved', 'mag', 'mass')}
    values['mag'] = MaskedColumn(values['mag'], mask=np.arange(TEST.start) % 10 == 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantity_networks, 'STEPS', (150, 150))
        return fit_quantities(
            latent, error, values, radius=galaxies['radius'][: TEST.start] * u.arcsec
        )


@pytest.fixture(scope='module')
def bundle(fitted):
    return with_quantities(
        get_model(), fitted, units={'mag': u.mag, 'mass': 'solMass'}, name='with-quantities'
    )


@pytest.fixture(scope='module')
def plain():
    """Of one quantity without radii, which every bundle can take; its networks hardly learn."""
    rng = np.random.default_rng(1)
    latent = rng.normal(size=(60, 40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantity_networks, 'STEPS', (5, 5))
        return fit_quantities(
            latent, 0.1 * np.ones_like(latent), {'tilt': latent[:, 0] + 0.1 * rng.normal(size=60)}
        )


@pytest.fixture(scope='module')
def replaced(bundle, plain):
    """A bundle whose quantities were replaced by those of `plain`."""
    return with_quantities(bundle, plain)


def latent_table(galaxies, bundle, rows=TEST, unit=u.arcsec):
    """Table with latents of this bundle, the second row masked, and radii, the third masked."""
    latent = galaxies['latent'][rows].astype(np.float32)
    index = np.arange(len(latent))
    about = {'galvae_model': bundle.id}
    mask = np.broadcast_to((index == 1)[:, None], latent.shape)
    radius = (galaxies['radius'][rows] * u.arcsec).to(unit) if unit else galaxies['radius'][rows]
    return Table(
        {
            'name': index,
            'galvae_latent': MaskedColumn(latent, mask=mask, meta=about),
            'galvae_radius': MaskedColumn(radius, mask=index == 2, unit=unit),
        }
    )


def residuals(table, name, true):
    """Predicted minus true, and the errors, of the rows that have them."""
    known = ~table[f'galvae_{name}'].mask
    return (table[f'galvae_{name}'] - true)[known].data.data, table[f'galvae_{name}_err'][
        known
    ].data.data


@pytest.mark.parametrize(
    ('name', 'model', 'r2'), [('curved', 'network', 0.7), ('mag', 'ridge', 0.95)]
)
def test_what_latents_hold_is_recovered(fitted, galaxies, bundle, name, model, r2):
    assert fitted.report[name]['model'].startswith(model)
    table = add_quantities(latent_table(galaxies, bundle), bundle)
    residual, error = residuals(table, name, galaxies[name][TEST])
    assert 1 - np.mean(residual**2) / galaxies[name][TEST].var() > r2
    assert np.mean(np.abs(residual) < error) == pytest.approx(0.68, abs=0.08)
    assert abs(residual.mean()) < 0.2 * residual.std()
    # and those left out in turn had shown so
    assert fitted.report[name]['rmse'] == pytest.approx(residual.std(), rel=0.25)


def test_the_report_counts_who_was_left_out(fitted):
    assert list(fitted.report) == ['curved', 'mag', 'mass']
    counts = {
        name: [row[key] for key in ('galaxies', 'unmeasured', 'unknown')]
        for name, row in fitted.report.items()
    }
    assert counts == {'curved': [597, 3, 0], 'mag': [537, 3, 60], 'mass': [597, 3, 0]}
    for row in fitted.report.values():
        assert row['within 1 error'] == pytest.approx(0.683, abs=0.01)
        assert row['nll'][row['model']] == min(row['nll'].values())
        assert 0 < row['r2'] < 1 and abs(row['bias']) < row['rmse']


def test_missing_is_not_zero(galaxies):
    """Values and rows that are missing do not move the fit of the others."""
    rows = slice(0, 60)
    latent, error, target = galaxies['latent'][rows], galaxies['error'][rows], galaxies['mag'][rows]
    more = {
        'latent': np.r_[latent, latent, np.full((5, 40), np.nan)],
        'error': np.r_[error, error, error[:5]],
        'values': {'mag': np.r_[target, np.full(60, np.nan), np.zeros(5)]},
    }
    radius = galaxies['radius'][rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantity_networks, 'STEPS', (2, 2))
        alone = fit_quantities(latent, error, {'mag': target}, radius=radius)
        among = fit_quantities(**more, radius=np.r_[radius, radius, radius[:5]])
    assert among.report['mag']['unknown'] == 60 and among.report['mag']['unmeasured'] == 5
    found = [model.predict(latent, radius)[0] for model in (alone, among)]
    np.testing.assert_allclose(*found, atol=1e-4)


def test_the_graph_says_what_torch_says(fitted, galaxies, bundle):
    values, errors = Engine(device='cpu').runner(bundle, 'quantities')(
        {'latent': galaxies['latent'][TEST], 'radius': galaxies['radius'][TEST]},
        ['values', 'errors'],
    )
    assert values.dtype == np.float64 and values.shape == (300, 3)
    expected = fitted.predict(galaxies['latent'][TEST], galaxies['radius'][TEST])
    for ours, theirs in zip((values, errors), expected):
        np.testing.assert_allclose((ours - theirs) / fitted.spread, 0.0, atol=1e-4)


def test_large_numbers_are_as_good_as_small_ones(fitted, galaxies, bundle):
    predicted = fitted.predict(galaxies['latent'], galaxies['radius'])[0][:, 2]
    assert np.median(np.abs(predicted / galaxies['mass'] - 1)) < 0.1
    assert fitted.report['mass']['rmse'] < 0.12 * MASS


def test_columns_state_unit_ucd_and_model(galaxies, bundle):
    table = add_quantities(latent_table(galaxies, bundle), bundle)
    assert table.colnames[3:] == [
        f'galvae_{n}{end}' for n in ('curved', 'mag', 'mass') for end in ('', '_err')
    ]
    assert [table[name].unit for name in table.colnames[3:]] == [
        None,
        None,
        u.mag,
        u.mag,
        u.solMass,
        u.solMass,
    ]
    for name in table.colnames[3:]:
        assert table[name].meta['galvae_model'] == bundle.id
        assert table[name].description.startswith(
            'error of predicted' if name.endswith('_err') else 'predicted'
        )
        assert (table[name].meta['ucd'] == 'stat.error') == name.endswith('_err')
        assert check_ucd(table[name].meta['ucd'], check_controlled_vocabulary=True)


def test_rows_without_latents_or_radius_are_masked(galaxies, bundle):
    given = latent_table(galaxies, bundle)
    table = add_quantities(given, bundle)
    assert given.colnames == ['name', 'galvae_latent', 'galvae_radius']
    for name in table.colnames[3:]:
        np.testing.assert_array_equal(np.flatnonzero(table[name].mask), [1, 2])
    radius = np.array([1.0, 0.0, np.nan])
    predicted = predict_quantities(np.zeros((3, 40)), radius, bundle, Engine())
    assert [list(np.isnan(c.values)) for c in predicted.columns()] == [[False, True, True]] * 6
    none = predict_quantities(np.zeros((0, 40)), np.zeros(0), bundle, Engine())
    assert none.columns()[0].values.shape == (0,)


def test_radii_are_converted(galaxies, bundle):
    expected = add_quantities(latent_table(galaxies, bundle), bundle)['galvae_mag']
    converted = add_quantities(latent_table(galaxies, bundle, unit=u.deg), bundle)['galvae_mag']
    np.testing.assert_allclose(converted.filled(0), expected.filled(0), rtol=1e-5)
    quantities = add_quantities(QTable(latent_table(galaxies, bundle)), bundle)['galvae_mag']
    np.testing.assert_array_equal(np.ma.getmaskarray(quantities), expected.mask)


def test_radii_of_another_kind_are_refused(galaxies, bundle):
    table = latent_table(galaxies, bundle)
    table['galvae_radius'].unit = u.pix
    with pytest.raises(ValueError, match="'galvae_radius' is in 'pix'; expected 'arcsec'"):
        add_quantities(table, bundle)
    table['galvae_radius'].unit = None
    with pytest.raises(ValueError, match="states no unit; expected 'arcsec'"):
        add_quantities(table, bundle)
    del table['galvae_radius']
    with pytest.raises(KeyError, match='need the column galvae_radius'):
        add_quantities(table, bundle)
    with pytest.raises(ValueError, match=r"radii have shape \(\); .* need \(3,\), in 'arcsec'"):
        predict_quantities(np.zeros((3, 40)), None, bundle, Engine())


def test_a_bundle_keeps_its_quantities(galaxies, bundle, tmp_path):
    bundle.write(tmp_path / 'quantities.galvae')
    back = ModelBundle.read(tmp_path / 'quantities.galvae')
    assert back == bundle and back.name == 'with-quantities' and get_model() != bundle
    about = back.manifest.quantities
    assert about.names == ('curved', 'mag', 'mass') and about.radius == 'arcsec'
    assert about.units == {'mag': 'mag', 'mass': 'solMass'}
    assert back.manifest.get('quantities')['report']['mag']['galaxies'] == 537
    table = latent_table(galaxies, bundle)
    for name in ('galvae_curved', 'galvae_mag_err'):
        np.testing.assert_array_equal(
            add_quantities(table, back)[name], add_quantities(table, bundle)[name]
        )


def test_latents_from_before_the_quantities_will_do(galaxies, bundle, replaced, other_bundle):
    before, after = (
        add_quantities(latent_table(galaxies, b), bundle) for b in (get_model(), bundle)
    )
    np.testing.assert_array_equal(before['galvae_mag'], after['galvae_mag'])
    assert (
        add_quantities(latent_table(galaxies, get_model()), replaced).colnames[-1]
        == 'galvae_tilt_err'
    )
    with pytest.raises(ModelMismatchError, match='expected with-quantities@'):
        add_quantities(latent_table(galaxies, other_bundle), bundle)


def test_quantities_without_radii_need_none(replaced):
    assert replaced.name == 'with-quantities' and replaced.manifest.quantities.names == ('tilt',)
    assert replaced.manifest.quantities.radius is None
    latent = np.zeros((2, 40))
    latent[:, 0] = -1.0, 1.0
    predicted = predict_quantities(latent, None, replaced, Engine())
    value, error = (column.values for column in predicted.columns())
    np.testing.assert_allclose(value, [-1.0, 1.0], atol=0.3)
    assert (error > 0).all()


def test_a_bundle_without_quantities():
    with pytest.raises(ValueError, match='predicts no quantities'):
        add_quantities(Table({'a': [1]}))
    assert get_model().manifest.quantities is None


def test_columns_that_exist_are_refused(galaxies, bundle):
    table = add_quantities(latent_table(galaxies, bundle), bundle)
    with pytest.raises(ValueError, match="'galvae_curved' already"):
        add_quantities(table, bundle)
    assert add_quantities(table, bundle, overwrite=True).colnames == table.colnames


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'values': {}}, 'there are no quantities'),
        (
            {'values': {'a': np.where(np.arange(30) < 19, np.arange(30.0), np.nan)}},
            'a is known of 19 .* expected 20',
        ),
        ({'values': {'a': np.full(30, 2.5)}}, 'a is 2.5 for every galaxy'),
        ({'values': {'a': np.arange(29.0)}}, r'a has shape \(29,\); expected \(30,\)'),
        ({'values': {'a': np.array(['x'] * 30)}}, 'a is of type <U1; expected numbers'),
        ({'values': {'radius': np.arange(30.0)}}, "cannot be named 'radius'"),
        ({'values': {'latent_00': np.arange(30.0)}}, "cannot be named 'latent_00'"),
        (
            {'values': {'a': np.arange(30.0), 'a_err': np.arange(30.0)}},
            "'a_err': galvae_a_err is the error of",
        ),
        ({'latent': np.zeros(30)}, r'latent has shape \(30,\)'),
        ({'error': np.zeros((30, 2))}, r'error \(30, 2\); expected \(N, n_latents\)'),
        ({'latent': np.full((30, 4), 'x')}, 'latent is of type <U1'),
        ({'radius': np.ones(3)}, r'radius has shape \(3,\)'),
        ({'radius': np.ones(30) * u.kg}, "radii are in 'kg'; expected 'pix' or an angle"),
        ({'radius': np.zeros(30)}, 'a is known of 0 measured'),
    ],
)
def test_what_cannot_be_fitted_is_told(change, message):
    given = {
        'latent': np.zeros((30, 4)),
        'error': np.ones((30, 4)),
        'values': {'a': np.arange(30.0)},
    }
    with pytest.raises(ValueError, match=message):
        fit_quantities(**{**given, **change})


def test_what_cannot_be_put_into_a_bundle_is_told(plain):
    with pytest.raises(ValueError, match="units names 'tlit'; the quantities are tilt"):
        with_quantities(get_model(), plain, units={'tlit': 'deg'})
    with pytest.raises(ValueError, match='parrots'):
        with_quantities(get_model(), plain, units={'tilt': 'parrots'})
    manifest = get_model().manifest.raw
    manifest['latents']['n_latents'] = 4
    with pytest.raises(ValueError, match='of 40 latents; the model .* has 4'):
        with_quantities(get_model().replaced(manifest), plain)


def test_radii_in_pixels_and_in_arcminutes(galaxies):
    given = galaxies['latent'][:40], galaxies['error'][:40], {'mag': galaxies['mag'][:40]}
    radius = galaxies['radius'][:40]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantity_networks, 'STEPS', (2, 2))
        pixels = fit_quantities(*given, radius=Column(radius, unit='pix'))
        arcmin = fit_quantities(*given, radius=radius / 60 * u.arcmin)
    assert (pixels.radius_unit, arcmin.radius_unit) == ('pix', 'arcsec')
    np.testing.assert_allclose(
        pixels.predict(given[0], radius)[0], arcmin.predict(given[0], radius)[0], atol=1e-4
    )


def test_the_self_test_runs_the_quantities(bundle):
    assert bundle.verify(device='cpu')['quantities/values'] < 1e-4
    with pytest.raises(BundleError, match='quantities.onnx'):
        bundle.replaced(parts={'quantities.onnx': b'not a graph at all'}).verify(device='cpu')
    # with that of the parts that it had before
    assert bundle.parts[SELF_TEST] != get_model().parts[SELF_TEST]
    assert set(get_model().verify(device='cpu')) < set(bundle.verify(device='cpu'))


@pytest.mark.parametrize('value', ['linear', 'rare'])
def test_values_that_are_met_exactly_have_errors_still(value):
    """A linear function of the latents, and a value that 27 of 30 galaxies share."""
    latent = np.random.default_rng(2).normal(size=(30, 4))
    target = latent[:, 0] if value == 'linear' else (np.arange(30) < 3).astype(int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantity_networks, 'STEPS', (2, 2))
        model = fit_quantities(latent, 0.1 * np.ones((30, 4)), {'a': target})
    values, errors = model.predict(latent)
    assert np.isfinite(values).all() and (errors > 0).all()
    assert np.isfinite(list(model.report['a']['nll'].values())).all()
