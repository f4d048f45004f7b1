# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Plots for notebooks: each gives its axes, draws on those that it is given, and looks right."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from galvae_affiliated import add_morphology, encode_catalog, make_cutouts
from galvae_affiliated.exceptions import ModelMismatchError
from galvae_affiliated.tables.maps import find_map, principal_components

matplotlib = pytest.importorskip('matplotlib')
plotting = pytest.importorskip('galvae_affiliated.plotting')


@pytest.fixture(autouse=True)
def pyplot():
    """No window, and no figure that stays open."""
    matplotlib.use('agg')
    from matplotlib import pyplot

    yield pyplot
    pyplot.close('all')


@pytest.fixture(scope='module')
def encoded(field):
    """Table of the sources that are found in `field`, and the cutouts."""
    table = encode_catalog(field, reconstruction=False)
    return table, make_cutouts(field, table, radius='galvae_radius')


def test_cutouts_with_predictions(encoded, pyplot):
    table, stack = encoded
    axes = plotting.plot_cutouts(stack, table, n_columns=4)
    assert axes.shape == (2, 4)
    assert [len(axis.images) for axis in axes.ravel()] == [1] * 6 + [0] * 2
    assert 'smooth' in axes[0, 0].get_title() or 'featured' in axes[0, 0].get_title()
    assert axes[0, 0].images[0].origin == 'lower'
    _, given = pyplot.subplots(1, 6, squeeze=False)
    assert plotting.plot_cutouts(stack, axes=given) is given
    with pytest.raises(ValueError, match='6 cutouts for 2 rows'):
        plotting.plot_cutouts(stack, table[:2])
    with pytest.raises(ValueError, match='4 axes for 6 cutouts'):
        plotting.plot_cutouts(stack, axes=given[:, :4])
    with pytest.raises(ValueError, match='no cutouts'):
        plotting.plot_cutouts(stack[:0])


def test_composites_have_their_first_line_above():
    axes = plotting.plot_cutouts(np.zeros((1, 3, 128, 128), dtype=np.uint8))
    assert axes[0, 0].images[0].origin == 'upper'


def test_reconstructions(encoded):
    _, stack = encoded
    axes = plotting.plot_reconstructions(stack[:3])
    assert axes.shape == (3, 3)
    image, decoded, difference = (axis.images[0].get_array() for axis in axes[:, 1])
    assert np.allclose((image - decoded).mean(axis=2), difference, atol=1e-5)
    assert image.max() > 0.2 and decoded.max() > 0.2
    with pytest.raises(ValueError, match=r'expected \(3, 6\)'):
        plotting.plot_reconstructions(stack, axes=axes)


def test_votes_with_intervals(encoded):
    table, _ = encoded
    table = add_morphology(table, n_samples=4, overwrite=True)
    ax = plotting.plot_votes(table[0], questions=['smooth-or-featured', 'bar'])
    widths = [bar.get_width() for bar in ax.patches]
    expected = [f'smooth-or-featured_{a}_fraction' for a in ('smooth', 'featured-or-disk')]
    assert np.allclose(widths[:2], [table[name][0] for name in expected])
    assert len(widths) == 5
    assert len(ax.lines) == 5  # an interval a bar
    assert [label.get_text() for label in ax.get_yticklabels()][-2:] == ['yes', 'no']
    assert len(plotting.plot_votes(table[0]).patches) > 30
    with pytest.raises(KeyError, match='no question'):
        plotting.plot_votes(table[0], questions=['colour'])
    with pytest.raises(KeyError, match='no fractions'):
        plotting.plot_votes(table[['galvae_latent']][0])


def test_a_map_of_points(encoded):
    table, _ = encoded
    table = table.copy()
    table['galvae_flags'][1] = 64
    ax = plotting.plot_latent_map(table, color='galvae_radius')
    flagged, clean = ax.collections[:2]
    assert (len(flagged.get_offsets()), len(clean.get_offsets())) == (1, 5)
    assert flagged.get_facecolors().size == 0  # hollow
    assert 'principal component 1' in ax.get_xlabel()
    by_text = plotting.plot_latent_map(table, color='smooth-or-featured_answer')
    assert by_text.get_legend() is not None
    plain = plotting.plot_latent_map(table)
    assert sum(len(one.get_offsets()) for one in plain.collections) == 6


def test_a_map_of_many_rows_has_hexagons():
    rng = np.random.default_rng(0)
    table = Table({'galvae_map_x': rng.normal(size=30_000), 'v': rng.random(30_000)})
    table['galvae_map_y'] = MaskedColumn(rng.normal(size=30_000), mask=np.arange(30_000) < 5)
    ax = plotting.plot_latent_map(table)
    assert ax.collections[0].get_array().sum() == 29_995
    assert ax.get_xlabel() == 'galvae_map_x'
    means = plotting.plot_latent_map(table, color='v').collections[0].get_array()
    assert 0.3 < np.ma.median(means) < 0.7


def test_wrong_maps_are_refused(encoded, other_bundle):
    table, _ = encoded
    with pytest.raises(KeyError, match='nothing'):
        plotting.plot_latent_map(table, color='nothing')
    with pytest.raises(KeyError, match='nothing'):
        plotting.plot_latent_map(table, columns=['ra', 'nothing'])
    with pytest.raises(ValueError, match='2 rows have a place'):
        plotting.plot_latent_map(table[:2], columns=['ra', 'dec'])
    with pytest.raises(ModelMismatchError):
        plotting.plot_latent_map(table, model=other_bundle)
    with pytest.raises(KeyError, match='no latents'):
        plotting.plot_latent_map(table[['ra']])


def test_principal_components_are_those_of_the_rows_without_flags():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(500, 5)) * [5, 3, 1, 1, 1]
    latent[0] = 1000.0
    latent[1] = np.nan
    clean = np.arange(500) > 1
    places, shares = principal_components(latent, clean)
    assert np.isnan(places[1]).all()
    assert np.isfinite(places[0]).all()
    assert np.allclose(np.abs(np.corrcoef(places[2:, 0], latent[2:, 0])[0, 1]), 1, atol=0.05)
    assert np.allclose(shares, [25 / 37, 9 / 37], atol=0.05)
    assert find_map(Table({'a': [1.0]})) == ([], None)


def test_a_calibration_curve():
    rng = np.random.default_rng(0)
    truth = rng.random(2000)
    ax = plotting.plot_calibration(truth, rng.binomial(40, truth) / 40, n_bins=8, label='right')
    x, y = ax.lines[1].get_data()
    assert len(x) == 8
    assert np.abs(x - y).max() < 0.02
    plotting.plot_calibration(truth, truth**2, ax=ax)
    x, y = ax.lines[-1].get_data()
    assert (y < x).all()
    for predicted, observed, message in (
        (truth, truth[:5], 'expected the same'),
        (truth + 2, truth, 'predicted fractions'),
        ([np.nan], [0.5], 'predicted fractions'),
    ):
        with pytest.raises(ValueError, match=message):
            plotting.plot_calibration(predicted, observed)


def test_sources_in_their_field(encoded, field, pyplot):
    table, _ = encoded
    table = table.copy()
    table['galvae_flags'][0] = 64
    table['name'] = list('abcdef')
    ax = plotting.plot_field(field, table, text='name')
    picture = ax.images[0].get_array()
    assert picture.shape == (200, 200, 3)
    sizes = [len(one.get_offsets()) for one in ax.collections]
    assert sizes == [5, 1, 0]
    place = ax.collections[1].get_offsets()[0]
    assert np.allclose(place, [table['x_centroid'][0], table['y_centroid'][0]], atol=0.1)
    assert picture[int(round(place[1])), int(round(place[0]))].max() > 0.9
    assert sorted(text.get_text() for text in ax.texts) == list('abcdef')
    _, plain = pyplot.subplots()
    assert plotting.plot_field(field, table, ax=plain) is plain
    with pytest.raises(KeyError, match='nothing'):
        plotting.plot_field(field, table, text='nothing')
    with pytest.raises(ValueError, match='no positions'):
        plotting.plot_field(field, table[['name']])
