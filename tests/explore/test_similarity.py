# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies that are like one."""

import latent_tables
import numpy as np
import pytest
from astropy.table import Table
from sklearn.neighbors import NearestNeighbors

from galvae_affiliated import ModelMismatchError, get_model
from galvae_affiliated.explore import SimilarityIndex, _table_blocks
from galvae_affiliated.flags import GalvaeFlags


@pytest.fixture(scope='module')
def table():
    rng = np.random.default_rng(5)
    latent, error = latent_tables.random_latents(500)
    latent[40] = np.nan
    flags = np.zeros(500)
    flags[40] = GalvaeFlags.NO_DATA
    flags[7] = GalvaeFlags.POOR_FIT
    kinds = np.array(['ring', 'bar'])[rng.integers(2, size=500)]
    return latent_tables.latent_table(latent, error, flags=flags, kind=kinds,
                                      bar_yes_fraction=rng.random(500).astype('f4'))


@pytest.mark.parametrize('metric', ['errors', 'white', 'standard', None])
def test_neighbors_are_those_of_scikit_learn(table, metric):
    index = SimilarityIndex.build(table, metric=metric)
    latent = np.asarray(table['galvae_latent'].filled(np.nan))
    known = np.isfinite(latent).all(axis=1)
    place = index._metric(latent)
    judge = NearestNeighbors(n_neighbors=6, algorithm='brute').fit(place[known])
    distances, rows = judge.kneighbors(place[:30])
    found, found_rows = index.kneighbors(latent[:30], 6)
    np.testing.assert_array_equal(found_rows, np.flatnonzero(known)[rows])
    np.testing.assert_allclose(found, distances, atol=1e-3)
    assert index.metric == (metric or 'errors')


def test_latents_that_are_all_error_count_little_in_the_metric_of_errors(table):
    latent = np.array(table['galvae_latent'][:1].filled(0))
    moved = np.repeat(latent, 2, axis=0)
    moved[0, latent_tables.N_INFORMATIVE - 1] += 1.0
    moved[1, -1] += 1.0
    index = SimilarityIndex.build(table, metric='errors')
    near, far = index.kneighbors(moved, 1)[0][:, 0][::-1]
    assert far == pytest.approx(5.0, rel=0.01)
    assert near == pytest.approx(1.0, rel=0.01)


def test_a_query_leaves_the_galaxy_itself_out_and_has_its_columns(table):
    index = SimilarityIndex.build(table, columns=['kind'])
    by_row, by_id = index.query(3, 5), index.query('J00003', 5)
    assert 3 not in by_row['row'] and len(by_row) == 5
    assert by_row['row'].tolist() == by_id['row'].tolist()
    assert by_row.colnames == ['row', 'distance', 'id_str', 'galvae_flags', 'kind']
    assert by_row['id_str'][0] == f'J{by_row["row"][0]:05}'
    by_latent = index.query(np.asarray(table['galvae_latent'][3]), 6)
    assert by_latent['row'].tolist() == [3, *by_row['row']]
    assert (np.diff(by_row['distance']) >= 0).all()


def test_conditions_and_masks_choose_rows(table):
    index = SimilarityIndex.build(table, columns=['kind', 'bar_yes_fraction'])
    found = index.query(3, 10, where=['bar_yes_fraction > 0.5', "kind == 'ring'"])
    rows = found['row'].tolist()
    chosen = (table['bar_yes_fraction'] > 0.5) & (table['kind'] == 'ring')
    assert chosen[rows].all() and len(rows) == 10
    assert index.query(3, 10, where=np.asarray(chosen))['row'].tolist() == rows
    assert len(index.query(3, 600)) == 498  # all but itself and the one without latents


@pytest.mark.parametrize('condition', ['nothing', 'bar_yes_fraction > much', 'a b > 3 c >'])
def test_wrong_conditions_are_refused(table, condition):
    index = SimilarityIndex.build(table, columns=['bar_yes_fraction'])
    with pytest.raises((ValueError, KeyError), match='condition'):
        index.query(3, where=condition)


def test_a_file_gives_what_was_saved(table, tmp_path):
    index = SimilarityIndex.build(table, columns=['kind'])
    index.save(tmp_path / 'a.index')
    loaded = SimilarityIndex.load(tmp_path / 'a.index')
    assert len(loaded) == 500
    assert loaded.model_id == get_model().id
    assert loaded.query(3)['distance'].tolist() == index.query(3)['distance'].tolist()
    with pytest.raises(FileExistsError):
        index.save(tmp_path / 'a.index')
    (tmp_path / 'b.index').write_bytes(b'ARROW1 no')
    with pytest.raises(ValueError, match='b.index: this is not an index'):
        SimilarityIndex.load(tmp_path / 'b.index')
    with pytest.raises(FileNotFoundError):
        SimilarityIndex.load(tmp_path / 'c.index')


@pytest.mark.parametrize('scalar', [False, True])
def test_a_parquet_file_is_read_in_blocks(table, tmp_path, monkeypatch, scalar):
    monkeypatch.setattr(_table_blocks, 'ROWS', 64)
    model = None
    written = table['id_str', 'galvae_latent', 'galvae_latent_err', 'galvae_flags', 'kind']
    if scalar:  # which states no model
        model = get_model()
        for name in ('galvae_latent', 'galvae_latent_err'):
            for i in range(40):
                written[f'{name}_{i:02}'] = written[name][:, i]
            written.remove_column(name)
        written.to_pandas().to_parquet(tmp_path / 't.parquet')
    else:
        written.write(tmp_path / 't.parquet')
    index = SimilarityIndex.build(tmp_path / 't.parquet', tmp_path / 'a.index', model=model,
                                  columns=['kind'])
    expected = SimilarityIndex.build(table).query('J00003')
    found = index.query('J00003')
    assert found['row'].tolist() == expected['row'].tolist()
    np.testing.assert_allclose(found['distance'], expected['distance'], rtol=1e-5)
    assert set(found['kind']) <= {'ring', 'bar'}


def test_an_index_is_hardly_larger_than_the_latents(tmp_path):
    table = latent_tables.simulated(5000)
    SimilarityIndex.build(table, tmp_path / 'a.index')
    assert (tmp_path / 'a.index').stat().st_size < 1.2 * 5000 * 40 * 4


def test_wrong_calls_are_refused(table):
    index = SimilarityIndex.build(table)
    with pytest.raises(ValueError, match=r'shape \(2, 3\); expected'):
        index.kneighbors(np.zeros((2, 3)))
    with pytest.raises(ValueError, match='n_neighbors is 0'):
        index.kneighbors(np.zeros((2, 40)), 0)
    with pytest.raises(ValueError, match='row 40 has no latents'):
        index.query(40)
    with pytest.raises(IndexError, match='no row 500'):
        index.query(500)
    with pytest.raises(KeyError, match="id_str 'M31'"):
        index.query('M31')
    with pytest.raises(ValueError, match='mask has shape'):
        index.query(3, where=np.ones(3, dtype=bool))
    with pytest.raises(KeyError, match="no column 'nothing'"):
        SimilarityIndex.build(table, columns=['nothing'])
    with pytest.raises(ValueError, match="metric is 'cosine'"):
        SimilarityIndex.build(table, metric='cosine')
    with pytest.raises(ValueError, match='galvae_latent_err'):
        SimilarityIndex.build(table['id_str', 'galvae_latent'], metric='errors')


def test_latents_of_other_models_are_refused(table, other_bundle):
    with pytest.raises(ModelMismatchError):
        SimilarityIndex.build(table, model=other_bundle)
    with pytest.raises(ModelMismatchError, match='the index is of the model'):
        SimilarityIndex.build(table).check_model(other_bundle)
    bare = Table({'galvae_latent': np.asarray(table['galvae_latent'])})
    with pytest.raises(ModelMismatchError, match='not stated'):
        SimilarityIndex.build(bare)
    with pytest.raises(ModelMismatchError):
        SimilarityIndex.build(latent_tables.simulated(60, model=other_bundle))


def test_an_older_model_that_the_table_states_is_taken():
    index = SimilarityIndex.build(latent_tables.simulated(60, model='gz2-sdss-v1'))
    assert index.model_id == get_model('gz2-sdss-v1').id


def test_a_row_without_latents_has_no_neighbors(table):
    index = SimilarityIndex.build(table)
    distances, rows = index.kneighbors(np.full((1, 40), np.nan), 2)
    assert rows.tolist() == [[-1, -1]] and np.isinf(distances).all()
