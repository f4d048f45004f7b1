# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Kinds of galaxies."""

import latent_tables
import numpy as np
import pytest

from galvae_affiliated import ModelMismatchError
from galvae_affiliated.explore import add_clusters, cluster_latents, describe_clusters
from galvae_affiliated.explore._kinds import stability
from galvae_affiliated.flags import GalvaeFlags


def three_kinds(n_rows=420):
    """A table of three kinds, of a half, a third and a sixth of the rows; and the kinds."""
    latent, error = latent_tables.random_latents(n_rows)
    kinds = np.repeat([0, 1, 2], [n_rows // 2, n_rows // 3, n_rows // 6])
    latent[kinds == 1, 0] += 9.0
    latent[kinds == 2, 1] += 9.0
    order = np.random.default_rng(0).permutation(n_rows)
    flags = np.zeros(n_rows)
    latent[order[0]] = np.nan
    flags[0] = GalvaeFlags.NO_DATA
    return latent_tables.latent_table(latent[order], error, flags=flags), kinds[order]


@pytest.mark.parametrize('method', ['mixture', 'hdbscan'])
def test_kinds_are_found_and_the_largest_is_the_first(method):
    table, kinds = three_kinds()
    result = add_clusters(table, method=method, n_resamples=2)
    found = result['galvae_cluster']
    known = ~found.mask
    assert known[1:].mean() > 0.6 and not known[0]
    assert (found[known] == kinds[known]).mean() > 0.98
    assert found.meta['galvae_n_clusters'] == 3
    assert min(found.meta['galvae_stability']) > 0.6
    probability = result['galvae_cluster_probability'][known]
    assert 0.3 < probability.min() and probability.max() <= 1.0


@pytest.mark.parametrize('method', ['mixture', 'hdbscan'])
def test_no_kind_is_an_answer(method):
    result = add_clusters(latent_tables.simulated(300), method=method, n_resamples=2)
    assert result['galvae_cluster'].meta['galvae_n_clusters'] == 0
    assert result['galvae_cluster'].mask.all()
    assert len(result) == 300


def test_flagged_rows_make_no_kind_and_have_one():
    table, kinds = three_kinds()
    table['galvae_flags'][kinds == 2] |= int(GalvaeFlags.POOR_FIT)
    clusters = cluster_latents(table, n_resamples=2)
    assert clusters.n_clusters == 2
    assert clusters.sizes.sum() == 419 - (kinds == 2).sum() + (kinds[0] == 2)
    assert len(add_clusters(table, n_resamples=2)) == 420


def test_rows_that_were_not_fitted_have_the_kind_of_their_like():
    table, kinds = three_kinds()
    clusters = cluster_latents(table, method='hdbscan', max_fitted=210, n_resamples=2)
    assert clusters.n_fitted == 210
    found, sure = clusters.predict(np.asarray(table['galvae_latent'].filled(np.nan)))
    known = found >= 0
    assert known.mean() > 0.4
    assert (found[known] == kinds[known]).all()
    assert np.isnan(sure[0])
    far = np.full((1, 40), 50.0)
    assert clusters.predict(far)[0].tolist() == [-1]


def test_kinds_are_described_by_the_answers_that_are_typical():
    table, kinds = three_kinds()
    table['shape_answer'] = np.array(['round', 'cigar', 'round'])[kinds]
    described = describe_clusters(add_clusters(table, n_resamples=2))
    assert described['kind'].tolist() == [0, 1, 2]
    assert described['n_rows'].sum() == 419
    assert described['typical'][1] == 'shape cigar 1.00' and described['purity'][1] == 1.0
    assert (described['stability'] > 0.6).all()
    none = describe_clusters(add_clusters(latent_tables.simulated(100), n_resamples=2))
    assert len(none) == 0 and none.colnames == described.colnames
    with pytest.raises(KeyError, match='no column galvae_cluster'):
        describe_clusters(table)


def test_the_same_call_gives_the_same_kinds():
    table, _ = three_kinds()
    first, second = (cluster_latents(table, n_clusters=3, n_resamples=2) for _ in range(2))
    np.testing.assert_array_equal(first.stability, second.stability)


def test_stability_is_the_overlap_with_the_kind_that_is_most_alike():
    labels = np.array([0, 0, 0, 0, 1, 1, -1, -1])
    same = (np.arange(8), np.array([1, 1, 1, 1, 0, 0, -1, 0]))
    none = (np.arange(8), np.full(8, -1))
    assert stability(labels, [same]).tolist() == [1.0, pytest.approx(2 / 3)]
    assert stability(labels, [same, none]).tolist() == [0.5, pytest.approx(1 / 3)]


def test_wrong_calls_are_refused(other_bundle):
    table = latent_tables.simulated(60)
    with pytest.raises(ValueError, match="method is 'magic'; expected one of"):
        add_clusters(table, method='magic')
    with pytest.raises(ValueError, match='n_clusters is 1'):
        add_clusters(table, n_clusters=1)
    with pytest.raises(ValueError, match="n_clusters is 3 and the method 'hdbscan'"):
        add_clusters(table, n_clusters=3, method='hdbscan')
    with pytest.raises(ValueError, match='n_resamples is 1'):
        add_clusters(table, n_resamples=1)
    with pytest.raises(TypeError):
        add_clusters(table, colour='red')
    with pytest.raises(ModelMismatchError):
        add_clusters(table, other_bundle)
    with pytest.raises(ValueError, match='20 of 20 rows'):
        add_clusters(latent_tables.simulated(20))
