# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae outliers``, ``similar``, ``clusters`` and ``map``."""

import latent_tables
import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galvae_affiliated import LatentTransformer


@pytest.fixture(scope='module')
def tables(tmp_path_factory):
    """A file of latents in two groups, the first of them of an image beside it."""
    folder = tmp_path_factory.mktemp('explore')
    y, x = np.mgrid[:128, :128] - 63.5
    light = 255 * np.exp(-np.hypot(x, 2 * y) / 12)
    picture = np.stack([light, 0.8 * light, 0.5 * light], axis=-1).astype(np.uint8)
    Image.fromarray(picture).save(folder / 'galaxy.png')
    latent, error = latent_tables.random_latents(200)
    latent[100:, 0] += 9.0
    latent[7, 1] += 20.0
    latent[0] = LatentTransformer().transform(np.moveaxis(picture, -1, 0)[None])[0]
    fractions = np.linspace(0, 1, 200).astype('f4')
    latent_tables.latent_table(latent, error, flags=np.zeros(200),
                               bar_yes_fraction=fractions).write(folder / 'in.parquet')
    return folder


def test_outliers(galvae, tables):
    run = galvae('outliers', tables / 'in.parquet', '-o', tables / 'odd.fits', '-n', 2)
    assert run.code == 0
    first, second = run.out.splitlines()
    assert first.startswith('J00007  ') and 'latents 01 +' in first
    table = Table.read(tables / 'odd.fits')
    assert table['galvae_outlier_rank'][7] == 1
    assert len(table) == 200
    galvae('outliers', tables / 'in.parquet', '-o', tables / 'odd.fits').fails(2, 'overwrite')
    again = galvae('outliers', tables / 'odd.fits', '-o', tables / 'odd2.ecsv', '--overwrite',
                   '--reference', tables / 'in.parquet', '--latents-only')
    assert again.code == 0


def test_similar_by_row_identifier_and_image(galvae, tables):
    by_row, by_id = (galvae('similar', tables / 'in.parquet', '--like', like, '-n', 3)
                     for like in ('4', 'J00004'))
    assert by_row.code == by_id.code == 0
    assert by_row.out == by_id.out
    assert len(by_row.out.splitlines()) == 5
    run = galvae('similar', tables / 'in.parquet', '--like', tables / 'galaxy.png', '-n', 2,
                 '-o', tables / 'like.ecsv')
    assert run.code == 0
    found = Table.read(tables / 'like.ecsv')
    assert found['id_str'][0] == 'J00000'
    assert found['distance'][0] == pytest.approx(0.0, abs=0.05)


def test_similar_with_conditions_and_an_index(galvae, tables):
    words = ['similar', tables / 'in.parquet', '--like', '150', '--where',
             'bar_yes_fraction < 0.6', '-n', '4', '--index', tables / 'in.index']
    made, read = galvae(*words), galvae(*words)
    assert made.code == read.code == 0
    assert made.out == read.out
    rows = [int(line.split()[0]) for line in made.out.splitlines()[2:]]
    assert max(rows) < 120
    galvae(*words, '--where', 'id > 3').fails(2, "in.index has no column 'id'")


@pytest.mark.parametrize(('words', 'message'), [
    (['--like', 'M31'], "no row has the id_str 'M31'; there is no such row among the 200"),
    (['--like', '900'], 'no such row among the 200'),
    (['--like', '3', '-n', '0'], 'n is 0'),
    (['--like', '3', '--where', 'bar'], 'expected NAME OPERATOR VALUE'),
])
def test_wrong_questions_are_one_line(galvae, tables, words, message):
    galvae('similar', tables / 'in.parquet', *words).fails(2, message)


def test_clusters_and_a_map_that_is_kept(galvae, tables):
    run = galvae('clusters', tables / 'in.parquet', '-o', tables / 'kinds.parquet',
                 '--n-clusters', 2)
    assert run.code == 0
    assert run.out.splitlines()[0].startswith('kind 0: ')
    assert 'galvae_cluster' in Table.read(tables / 'kinds.parquet').colnames
    first = galvae('map', tables / 'in.parquet', '-o', tables / 'map.fits', '--save',
                   tables / 'map.npz')
    second = galvae('map', tables / 'in.parquet', '-o', tables / 'map2.fits', '--on',
                    tables / 'map.npz')
    assert first.code == second.code == 0
    one, two = (Table.read(tables / name) for name in ('map.fits', 'map2.fits'))
    np.testing.assert_allclose(one['galvae_map_x'], two['galvae_map_x'], rtol=1e-5)
    galvae('map', tables / 'in.parquet', '-o', tables / 'map3.fits', '--on', tables / 'map.npz',
           '--method', 'pca').fails(2, '--on takes a map as it is')


def test_an_image_that_cannot_be_read_is_named(galvae, tables):
    (tables / 'bad.png').write_bytes(b'no picture')
    galvae('similar', tables / 'in.parquet', '--like', tables / 'bad.png').fails(
        2, 'bad.png: no galaxy could be measured (UNREADABLE)')
