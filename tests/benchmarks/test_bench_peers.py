# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Peers beside this package: rows of a small field, medians, and what is not installed."""

import math

import numpy as np
import pytest

SOURCES = 12
SETTINGS = {'model': None, 'n_threads': 1, 'repeats': 1, 'galaxies': 9, 'fast_galaxies': 11}


@pytest.fixture(scope='module')
def peers(benchmark):
    return benchmark('bench_peers')


def test_labels_are_those_that_positions_lie_on(peers, mosaic):
    pytest.importorskip('photutils')
    image, segments, labels = peers.segmented(mosaic)
    assert image.shape == np.asarray(segments).shape
    assert 0 < len(labels) <= SOURCES and 0 not in labels
    table = peers.Photutils(SETTINGS)(mosaic)
    assert table.colnames == list(peers.PROPERTIES) and len(table) == len(labels)
    gini = np.asarray(table['gini'])
    assert ((gini > 0) & (gini < 1)).all()


def test_paths_take_turns_and_what_is_missing_is_named(peers, tmp_path, monkeypatch):
    names = ('encode_catalog, no reconstruction', 'photutils')
    paths = {name: peers.PATHS[name] for name in names}
    paths['other'] = (('no_such_library',), None, False, 'r', 'nothing')
    monkeypatch.setattr(peers, 'PATHS', paths)
    monkeypatch.setattr(peers, 'WARM_UP', 2)
    if peers.missing(['photutils']):
        del paths['photutils']
    found = peers.measure(SETTINGS, tmp_path)
    assert found['other']['missing'] == 'no_such_library'
    (run,) = found[names[0]]['runs']
    assert run['rows'] == run['galaxies'] == SETTINGS['fast_galaxies'] and run['seconds'] > 0
    title, header, rows = peers.table(found)
    assert len(rows) == len(paths) - 1 and all(len(row) == len(header) for row in rows)
    about = {'processor': 'one', **SETTINGS, 'model': 'some'}
    assert 'other (no_such_library)' in peers.conditions(about, found)


def test_another_model_and_preparation(peers, tmp_path, monkeypatch):
    name = 'encode_catalog, no reconstruction'
    monkeypatch.setattr(peers, 'PATHS', {name: peers.PATHS[name]})
    monkeypatch.setattr(peers, 'WARM_UP', 2)
    found = peers.measure({**SETTINGS, 'beside': 'gz2-sdss-v2'}, tmp_path)
    assert list(found) == [name, f'{name}, gz2-sdss-v2']
    assert all(entry['runs'][0]['rows'] == SETTINGS['fast_galaxies'] for entry in found.values())

    class Ready:
        def prepared(self, field):
            return [field] * 3

        def __call__(self, arrays):
            return arrays

    assert peers.timed(Ready(), 'field')['rows'] == 3


def test_rate_is_the_median_of_rows(peers):
    runs = [{'rows': 10, 'seconds': seconds} for seconds in (1.0, 9.0, 2.0)]
    assert peers.rate({'runs': runs}) == pytest.approx(5.0)
    found = {
        peers.VOTES: {'gives': 'votes', 'bands': 'g', 'runs': runs},
        'slow': {'gives': 'less', 'bands': 'r', 'runs': [{'rows': 1, 'seconds': 2.0}]},
        'none': {'gives': 'none', 'bands': 'r', 'missing': 'library'},
    }
    _, _, rows = peers.table(found)
    assert [row[0] for row in rows] == [peers.VOTES, 'slow']
    assert [float(row[3]) for row in rows] == [1.0, 10.0]


def test_field_is_as_crowded_whatever_its_length(peers):
    side = math.ceil(math.sqrt(20000 * peers.PIXELS_A_GALAXY))
    assert side == 8000


@pytest.mark.parametrize('option', ['--galaxies', '--repeats', '--n-threads'])
def test_numbers_below_one_are_refused(peers, option, capsys):
    with pytest.raises(SystemExit):
        peers.main([option, '0'])
    assert f'{option} is 0; expected one or more' in capsys.readouterr().err


@pytest.mark.parametrize('columns', [('x', 'y'), ()])
def test_radii_are_measured_and_sources_found(peers, mosaic, columns):
    table = peers.Ours(SETTINGS, columns=columns)(mosaic)
    assert len(table) == SOURCES if columns else len(table) > 0
    assert table['galvae_latent'].shape[1] == 40


def test_a_set_of_the_field_is_made_once(peers, tmp_path):
    field = peers.simulate(tmp_path, 160, 5)
    path = peers.OurSet(SETTINGS)
    made = path.prepared(field)
    before = made.stat().st_mtime_ns
    assert path.prepared(field) == made and made.stat().st_mtime_ns == before
    assert len(path(made)) == 5
