# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The simulated field of the benchmarks."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

SIZE, SOURCES = 300, 12


def test_field_is_what_it_says(mosaic):
    sources = Table.read(mosaic.catalog)
    assert list(sources['id']) == list(range(SOURCES))
    assert (sources['petro_r90'] >= 4.999).all() and (sources['petro_r90'] <= 20.001).all()
    for path in mosaic.images.values():
        header, data = fits.getheader(path), fits.getdata(path)
        assert data.shape == (SIZE, SIZE) and data.dtype.newbyteorder('=') == np.float32
        assert header['BUNIT'] == 'nmgy'
        peaks = data[sources['y'].astype(int), sources['x'].astype(int)]
        assert (peaks > 5 * np.median(np.abs(data))).all()


def test_field_is_made_once_and_the_same_again(benchmark, mosaic, tmp_path):
    simulate = benchmark('_field').simulate
    path = Path(mosaic.images['r'])
    before = path.stat().st_mtime_ns
    simulate(mosaic.folder.parent, SIZE, SOURCES, random_state=1)
    assert path.stat().st_mtime_ns == before
    again, other = (
        simulate(tmp_path, SIZE, SOURCES, random_state=random_state).images['r']
        for random_state in (1, 2)
    )
    assert np.array_equal(fits.getdata(again), fits.getdata(path))
    assert not np.array_equal(fits.getdata(other), fits.getdata(path))


def test_stamps_at_the_edge_are_cut_off(benchmark):
    sources = Table({'x': [0, 7], 'y': [7, 2], 'stamp': [0, 0], 'brightness': [1.0, 2.0]})
    stamps = [np.ones((5, 5), dtype=np.float32)]
    image = benchmark('_field').paint(np.zeros((8, 8), dtype=np.float32), sources, stamps, 1.0)
    expected = np.zeros((8, 8))
    expected[5:, :3] += 1
    expected[:5, 5:] += 2
    assert np.array_equal(image, expected)


def test_grown_catalogue(mosaic):
    grown, sources = Table.read(mosaic.grown(2 * SOURCES + 1)), Table.read(mosaic.catalog)
    assert list(grown['id']) == list(range(2 * SOURCES + 1))
    assert np.abs(grown['x'][SOURCES : 2 * SOURCES] - sources['x']).max() <= 0.5
    assert not np.array_equal(grown['x'][:SOURCES], grown['x'][SOURCES : 2 * SOURCES])
