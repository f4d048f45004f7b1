# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the benchmark of speed rests on: paths that keep the order, and figures that add up."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

SOURCES, ROWS = 12, 5
SETTINGS = {'model': None, 'device': 'cpu', 'n_threads': 1}


@pytest.fixture(scope='module')
def throughput(benchmark):
    return benchmark('bench_throughput')


def run(rows, seconds, peak=100, **more):
    memory = {'peak': peak, 'not of files': peak, 'over baseline': 1}
    return {'rows': rows, 'seconds': seconds, 'memory': memory, **more}


def test_our_paths_keep_the_order(throughput, mosaic, reverse):
    backwards = list(range(SOURCES))[: -ROWS - 1 : -1]
    path = throughput.Ours(SETTINGS, reconstruction=False)
    table = path.table(mosaic.images, mosaic.catalog, ROWS)
    latents = np.asarray(table['galvae_latent'])
    assert list(table['id']) == list(range(ROWS))
    assert list(path.table(mosaic.images, reverse, ROWS)['id']) == backwards
    arrays = path.arrays(mosaic.images, mosaic.catalog, ROWS)
    assert path.latents(arrays) == pytest.approx(latents, abs=1e-4)
    stream = throughput.Stream({**SETTINGS, 'chunk_size': 3}, reconstruction=False)
    written = [
        Table.read(stream.table(mosaic.images, catalog, ROWS))
        for catalog in (mosaic.catalog, reverse)
    ]
    assert [list(table['id']) for table in written] == [list(range(ROWS)), backwards]
    assert np.asarray(written[0]['galvae_latent']) == pytest.approx(latents, abs=1e-4)
    stream.close()
    assert not stream.folder.exists()


def test_stages_add_up(throughput):
    intervals = [
        (0.0, 4.0, 'cutouts'),
        (3.0, 6.0, 'network'),
        (5.0, 5.5, 'network'),
        (7.0, 20.0, 'columns'),
    ]
    seconds = throughput.seconds_by_stage(intervals, 1.0, 10.0)
    assert seconds == {
        'network': 3.0,
        'loading the model': 0.0,
        'cutouts': 2.0,
        'columns': 3.0,
        'images': 0.0,
        'other': 1.0,
    }
    assert throughput.busy_seconds(intervals, 'network') == 3.0
    assert throughput.busy_seconds(intervals, 'cutouts') == 4.0


def test_what_is_recorded_is_the_run_itself(throughput, mosaic):
    import onnxruntime

    from galvae_affiliated import Outputs, catalog

    def wrapped():
        return onnxruntime.InferenceSession.run, Outputs.columns, catalog.with_columns

    before = wrapped()
    path = throughput.Ours(SETTINGS)
    task = throughput._table_task('ours', mosaic, ROWS, SETTINGS, stages=True)
    result = throughput.measure_table(path, task)
    assert sum(result['stages'].values()) == pytest.approx(result['seconds'])
    stages = ('network', 'cutouts', 'columns', 'images')
    assert all(result['stages'][name] > 0 for name in stages)
    assert result['memory']['peak'] > 0
    assert wrapped() == before


def test_path_that_loses_rows_is_refused(throughput, mosaic):
    path = throughput.Ours(SETTINGS, reconstruction=False)
    task = throughput._table_task('ours', mosaic, SOURCES + 1, SETTINGS)
    with pytest.raises(RuntimeError, match=f'ours gave {SOURCES} rows; expected {SOURCES + 1}'):
        throughput.measure_table(path, task)


def test_another_package_than_was_meant_is_refused(throughput, tmp_path):
    here = Path(__file__).resolve().parents[2]
    with pytest.raises(RuntimeError, match=f'expected {tmp_path}'):
        throughput.run_task({'package': str(tmp_path)})
    throughput._check_package(None)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(here))
        throughput._check_package(
            Path(throughput.importlib.import_module('galvae_affiliated').__file__).parents[1]
        )


def test_medians_ratios_and_slopes(throughput):
    found = {'ours': [run(100, 1.0), run(100, 9.0), run(100, 2.0)], 'plain': [run(10, 4.0)]}
    assert throughput.seconds_a_source(found['ours']) == 0.02
    assert throughput.faster(found, 'ours', 'plain') == pytest.approx(20.0)
    assert throughput.slopes({1000: 12.0, 10: 2.1, 100: 3.0}) == pytest.approx([0.01, 0.01])
    assert throughput.spread([0.010, 0.011, 0.0105]) == pytest.approx(0.1)
    assert not throughput.measured([{'missing': 'timm'}])
    assert throughput.measured(found['ours'])


def test_baseline_is_compared(throughput):
    versions = {
        'this': [run(10, seconds) for seconds in (1.0, 2.0, 4.0)],
        'baseline': [run(10, seconds) for seconds in (2.0, 3.0, 9.0)],
    }
    (title, header, rows), *others = throughput.tables({'baseline': {'ours': versions}})
    assert title == 'Beside the baseline' and not others
    assert rows == [['encode_catalog', '10', '2', '3', '1.500', '2.000']]
    assert len(header) == len(rows[0])


def found_by_a_run():
    """What a run would have found, with one path that is not installed."""
    stages = {
        'stages': {'network': 3.0, 'cutouts': 0.5, 'other': 0.5},
        'busy': {'network': 3.0, 'cutouts': 0.5},
    }
    stages['stages'] |= dict.fromkeys(('loading the model', 'columns', 'images'), 0.0)
    return {
        'tables': {
            'ours': [run(100, 4.0, **stages)],
            'ours, votes': [run(100, 2.0, **stages)],
            'cluster': [run(100, 2.5)],
            'plain': [run(10, 4.0)],
            'paper': [run(10, 5.0)],
        },
        'latents': {'ours, votes': [run(10, 0.15)], 'hyrax': [{'missing': 'hyrax'}]},
        'growth': {
            'stream': {
                '10': [run(10, 2.0, 50)],
                '100': [run(100, 11.0, 100)],
                '1000': [run(1000, 110.9, 109)],
            }
        },
        'start': {'galvae encode': [1.2, 2.0, 1.3], 'import galvae_affiliated': [0.4]},
    }


def test_checks_say_what_is_met(throughput):
    checks = throughput.checks(found_by_a_run())
    rows = {what: (figure, asked, met) for what, figure, asked, met in checks}
    titles = throughput.TITLES

    def times_as_fast(name, other):
        return rows[f'{titles[name]}, times as fast as: {titles[other]}']

    assert times_as_fast('ours', 'plain') == (pytest.approx(10.0), '>= 10', True)
    assert times_as_fast('ours, votes', 'paper') == (pytest.approx(25.0), '>= 15', True)
    assert times_as_fast('ours', 'paper') == (pytest.approx(12.5), '>= 15', False)
    beside = rows[f'{titles["ours"]}: share of everything but the network']
    assert beside == (pytest.approx(0.25), '<= 0.3', True)
    dask = rows['Dask, a worker a thread: share by which it is slower than one process']
    assert dask[::2] == (pytest.approx(0.2), False)
    stream = titles['stream']
    slope = rows[f'{stream}: change of the time a source with the catalogue']
    assert slope[::2] == (pytest.approx(0.11), False)
    memory = rows[f'{stream}: change of the peak memory between the two largest']
    assert memory[::2] == (pytest.approx(0.09), True)
    assert rows['galvae encode, seconds'] == (1.3, '<= 1.5', True)
    assert not rows['import galvae_affiliated, seconds'][2]


def test_tables_are_whole(throughput, benchmark):
    made = throughput.tables(found_by_a_run())
    assert [title for title, *_ in made] == [
        'From mosaic to table',
        'Share of the time by stage',
        'From cutouts to latents',
        'Growth with the catalogue',
        'Start-up, a new process each',
        'What is asked',
    ]
    for title, header, rows in made:
        assert all(len(row) == len(header) for row in rows), title
    missing = ['Hyrax infer, its own network; reads FITS', 'hyrax is not installed']
    assert [*missing, '-', '-', '-'] in made[2][2]
    common = benchmark('_common')
    lines = common.list_table(*made[0]).splitlines()
    assert lines[0] == '.. list-table:: From mosaic to table'
    assert sum(line.startswith('   * - ') for line in lines) == 6
    assert 'plain loop, a source at a time' in common.text_table(*made[0])
