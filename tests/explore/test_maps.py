# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Maps of latents."""

import importlib.util
import sys

import latent_tables
import numpy as np
import pytest

from galvae_affiliated import ModelMismatchError, get_model
from galvae_affiliated.explore import LatentMap, add_map
from galvae_affiliated.explore._latents import Metric
from galvae_affiliated.flags import GalvaeFlags

needs_tsne = pytest.mark.skipif(importlib.util.find_spec('openTSNE') is None,
                                reason='openTSNE is not installed')


def two_groups(n_rows=300):
    latent, error = latent_tables.random_latents(n_rows)
    latent[::2, 0] += 9.0
    flags = np.zeros(n_rows)
    latent[5] = np.nan
    flags[5] = GalvaeFlags.NO_DATA
    flags[6] = GalvaeFlags.POOR_FIT
    return latent_tables.latent_table(latent, error, flags=flags)


def places_of(table):
    return np.column_stack([np.ma.filled(table[f'galvae_map_{axis}'], np.nan) for axis in 'xy'])


@pytest.mark.parametrize('method', ['pca', pytest.param('tsne', marks=needs_tsne)])
def test_groups_are_apart_and_every_row_has_a_place(method):
    table = add_map(two_groups(), method=method)
    places = places_of(table)
    assert np.flatnonzero(np.isnan(places[:, 0])).tolist() == [5]
    first, second = (np.delete(places[i::2], np.flatnonzero(np.isnan(places[i::2, 0])), axis=0)
                     for i in (0, 1))
    between = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert between > 3 * max(first.std(), second.std()) or method == 'tsne'
    assert between > 1.5 * np.median(np.linalg.norm(first - first.mean(axis=0), axis=1))
    assert table['galvae_map_x'].meta['galvae_method'] == method


def test_the_main_directions_are_those_of_the_largest_variance():
    table = two_groups()
    places = places_of(add_map(table, metric='standard'))
    known = np.isfinite(places[:, 0])
    latent = np.asarray(table['galvae_latent'].filled(np.nan))[known]
    standard = (latent - latent.mean(axis=0)) / latent.std(axis=0)
    variances = np.linalg.eigvalsh(np.cov(standard.T))[::-1]
    np.testing.assert_allclose(places[known].var(axis=0, ddof=1), variances[:2], rtol=0.05)


@pytest.mark.parametrize('method', ['pca', pytest.param('tsne', marks=needs_tsne)])
def test_new_rows_are_placed_on_an_old_map(method, tmp_path):
    table = two_groups()
    fitted = LatentMap.fit(table[:200], method=method)
    fitted.save(tmp_path / 'a.npz')
    loaded = LatentMap.load(tmp_path / 'a.npz')
    old = places_of(add_map(table[:200], fitted=fitted))
    new = places_of(add_map(table, fitted=loaded))
    np.testing.assert_allclose(new[:200], old, atol=1e-4)
    # what was not fitted is in the group of its like
    middles = [np.nanmean(old[i::2], axis=0) for i in (0, 1)]
    for i in (0, 1):
        away = [np.linalg.norm(new[200 + i :: 2] - middle, axis=1) for middle in middles]
        assert (away[i] < away[1 - i]).mean() > 0.95


def test_fitted_rows_keep_their_places_and_others_lie_between_them():
    """With a layout of our own, in place of that of a library."""
    anchors = np.zeros((4, 40), dtype='f4')
    anchors[:, 0] = [0.0, 10.0, 20.0, 30.0]
    layout = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 5.0], [3.0, 5.0]])
    fitted = LatentMap(get_model().id, 'tsne', Metric('standard', np.zeros(40), np.eye(40)),
                       anchors, layout)
    np.testing.assert_allclose(fitted.transform(anchors), layout, atol=1e-6)
    between = np.zeros((1, 40))
    between[0, 0] = 14.0
    x, y = fitted.transform(between)[0]
    assert 1.0 < x < 2.0 and 0.0 < y < 5.0


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'umap', None)
    with pytest.raises(ImportError, match=r'needs umap-learn: pip install .*\[umap'):
        add_map(two_groups(), method='umap')


def test_wrong_calls_and_files_are_refused(tmp_path, other_bundle):
    table = two_groups()
    with pytest.raises(ValueError, match="method is 'sphere'; expected one of pca"):
        add_map(table, method='sphere')
    with pytest.raises(ValueError, match='a map needs 30'):
        add_map(table[:12])
    fitted = LatentMap.fit(table)
    with pytest.raises(TypeError, match='got method'):
        add_map(table, fitted=fitted, method='pca')
    with pytest.raises(ModelMismatchError, match='the map is of the model'):
        add_map(latent_tables.simulated(50, model=other_bundle), other_bundle, fitted=fitted)
    with pytest.raises(FileNotFoundError):
        LatentMap.load(tmp_path / 'none.npz')
    (tmp_path / 'a.npz').write_bytes(b'no map')
    with pytest.raises(ValueError, match='a.npz: this is not a map'):
        LatentMap.load(tmp_path / 'a.npz')
    fitted.save(tmp_path / 'b.npz')
    with pytest.raises(FileExistsError):
        fitted.save(tmp_path / 'b.npz')
