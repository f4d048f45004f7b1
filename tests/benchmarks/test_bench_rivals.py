# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The paths of others: a row a source in order, the same cutouts as ours."""

import numpy as np
import pytest

pytest.importorskip('torch')

SOURCES, ROWS = 12, 5
SETTINGS = {'model': None, 'device': 'cpu', 'n_threads': 1}


@pytest.fixture(scope='module')
def plain(benchmark):
    """Two plain loops with equal weights: a source at a time, and in batches."""
    import torch

    paths = []
    for batch in (1, 4):
        torch.manual_seed(0)
        paths.append(benchmark('_rivals').Plain(SETTINGS, batch=batch))
    return paths


def test_plain_loop_gives_a_row_a_source(mosaic, reverse, plain):
    single, batches = plain
    table, batched = (path.table(mosaic.images, mosaic.catalog, ROWS) for path in plain)
    assert list(table['id']) == list(batched['id']) == list(range(ROWS))
    latents = np.asarray(table['latent'])
    assert np.asarray(batched['latent']) == pytest.approx(latents, abs=1e-4)
    assert np.ptp(latents, axis=0).max() > 1e-3
    backwards = batches.table(mosaic.images, reverse, SOURCES)
    assert np.asarray(backwards['latent'])[::-1][:ROWS] == pytest.approx(latents, abs=1e-4)
    arrays = single.arrays(mosaic.images, mosaic.catalog, ROWS)
    assert single.latents(arrays) == pytest.approx(latents, abs=1e-4)


def test_plain_loop_cuts_out_what_ours_does(benchmark, mosaic, plain):
    ours = benchmark('bench_throughput').Ours(SETTINGS)
    ours = ours.arrays(mosaic.images, mosaic.catalog, SOURCES).data
    theirs = plain[0].arrays(mosaic.images, mosaic.catalog, SOURCES)
    known = np.isfinite(ours)
    assert theirs.shape == ours.shape
    for one, other, inside in zip(ours, theirs, known):
        assert np.corrcoef(one[inside], other[inside])[0, 1] > 0.9
        assert other[inside].sum() == pytest.approx(one[inside].sum(), rel=0.1)


@pytest.mark.parametrize('published', [False, True])
def test_path_of_the_paper_gives_a_row_a_source(benchmark, mosaic, reverse, published):
    paper = benchmark('_rivals').Paper(SETTINGS, published=published)
    table, backwards = (
        paper.table(mosaic.images, catalog) for catalog in (mosaic.catalog, reverse)
    )
    assert list(table['id']) == list(range(SOURCES)) == list(backwards['id'])[::-1]
    latents = np.asarray(table['latent'])
    assert latents.shape == (SOURCES, 40)
    assert np.asarray(backwards['latent'])[::-1] == pytest.approx(latents, abs=1e-4)
    assert np.ptp(latents, axis=0).max() > 1e-6
    assert np.sum(table['bar'], axis=1) == pytest.approx(1.0)
    assert paper.arrays(mosaic.images, mosaic.catalog, 1).shape == (1, 3, 256, 256)


def test_published_stretch(benchmark):
    rivals, rng = benchmark('_rivals'), np.random.default_rng(0)
    image = rng.normal(0, 0.1, (3, 64, 64)).astype(np.float32)
    image[:, 28:36, 28:36] += 20.0
    stretched = rivals.published_stretch(image)
    assert stretched.min() >= 0 and stretched.max() <= 1
    # the sky is lifted, and the galaxy stays above it
    assert 0.05 < np.median(stretched) < 0.3
    assert (stretched[:, 30, 30] > 0.9).all()
    assert np.isfinite(rivals.published_stretch(np.zeros((3, 64, 64), dtype=np.float32))).all()
    transferred = rivals.midtones_transfer(np.array([0.0, 0.2, 1.0]), 0.2)
    assert transferred == pytest.approx([0.0, 0.5, 1.0])
