# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What `benchmarks/throughput.py` rests on: paths that give a row a source in order, and figures that add up."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
SIZE, SOURCES, ROWS = 300, 12, 5
SETTINGS = {'model': None, 'device': 'cpu', 'n_threads': 1}


def benchmark(name):
    """A module of the folder of benchmarks, which is no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module(name)


@pytest.fixture(scope='module')
def field(tmp_path_factory):
    return benchmark('throughput_field').simulate(tmp_path_factory.mktemp('mosaic'), SIZE, SOURCES, random_state=1)


@pytest.fixture(scope='module')
def reverse(field):
    """The catalogue from its end."""
    path = field.folder / 'reverse.fits'
    Table.read(field.catalog)[::-1].write(path)
    return str(path)


@pytest.fixture(scope='module')
def plain():
    """Two plain loops with equal weights: a source at a time, and in batches."""
    torch = pytest.importorskip('torch')
    paths = []
    for batch in (1, 4):
        torch.manual_seed(0)
        paths.append(benchmark('throughput_torch').Plain(SETTINGS, batch=batch))
    return paths


def run(rows, seconds, peak=100, **more):
    memory = {'peak': peak, 'not of files': peak, 'over baseline': 1}
    return {'rows': rows, 'seconds': seconds, 'memory': memory, **more}


def test_field_is_what_it_says(field):
    sources = Table.read(field.catalog)
    assert list(sources['id']) == list(range(SOURCES))
    assert (sources['petro_r90'] >= 4.999).all() and (sources['petro_r90'] <= 20.001).all()
    for path in field.images.values():
        header, data = fits.getheader(path), fits.getdata(path)
        assert data.shape == (SIZE, SIZE) and data.dtype.newbyteorder('=') == np.float32
        assert header['BUNIT'] == 'nmgy'
        peaks = data[sources['y'].astype(int), sources['x'].astype(int)]
        assert (peaks > 5 * np.median(np.abs(data))).all()


def test_field_is_made_once_and_the_same_again(field, tmp_path):
    simulate = benchmark('throughput_field').simulate
    path = Path(field.images['r'])
    before = path.stat().st_mtime_ns
    simulate(field.folder.parent, SIZE, SOURCES, random_state=1)
    assert path.stat().st_mtime_ns == before
    again, other = (simulate(tmp_path, SIZE, SOURCES, random_state=seed).images['r'] for seed in (1, 2))
    assert np.array_equal(fits.getdata(again), fits.getdata(path))
    assert not np.array_equal(fits.getdata(other), fits.getdata(path))


def test_stamps_at_the_edge_are_cut_off():
    paint = benchmark('throughput_field').paint
    sources = Table({'x': [0, 7], 'y': [7, 2], 'stamp': [0, 0], 'brightness': [1.0, 2.0]})
    image = paint(np.zeros((8, 8), dtype=np.float32), sources, [np.ones((5, 5), dtype=np.float32)], 1.0)
    expected = np.zeros((8, 8))
    expected[5:, :3] += 1
    expected[:5, 5:] += 2
    assert np.array_equal(image, expected)


def test_grown_catalogue(field):
    grown, sources = Table.read(field.grown(2 * SOURCES + 1)), Table.read(field.catalog)
    assert list(grown['id']) == list(range(2 * SOURCES + 1))
    assert np.abs(grown['x'][SOURCES : 2 * SOURCES] - sources['x']).max() <= 0.5
    assert not np.array_equal(grown['x'][:SOURCES], grown['x'][SOURCES : 2 * SOURCES])


def test_our_paths_keep_the_order(field, reverse):
    paths, backwards = benchmark('throughput_paths'), list(range(SOURCES))[: -ROWS - 1 : -1]
    path = paths.Ours(SETTINGS, reconstruction=False)
    table = path.table(field.images, field.catalog, ROWS)
    assert list(table['id']) == list(range(ROWS))
    assert list(path.table(field.images, reverse, ROWS)['id']) == backwards
    assert path.latents(path.arrays(field.images, field.catalog, ROWS)) == pytest.approx(
        np.asarray(table['galvae_latent']), abs=1e-4
    )
    stream = paths.Stream({**SETTINGS, 'chunk': 3}, reconstruction=False)
    written = [Table.read(stream.table(field.images, catalog, ROWS)) for catalog in (field.catalog, reverse)]
    assert [list(table['id']) for table in written] == [list(range(ROWS)), backwards]
    assert np.asarray(written[0]['galvae_latent']) == pytest.approx(np.asarray(table['galvae_latent']), abs=1e-4)
    stream.close()
    assert not stream.folder.exists()


def test_plain_loop_gives_a_row_a_source(field, reverse, plain):
    single, batches = plain
    table, batched = (path.table(field.images, field.catalog, ROWS) for path in plain)
    assert list(table['id']) == list(batched['id']) == list(range(ROWS))
    assert np.asarray(batched['latent']) == pytest.approx(np.asarray(table['latent']), abs=1e-4)
    assert np.ptp(table['latent'], axis=0).max() > 1e-3
    backwards = batches.table(field.images, reverse, SOURCES)
    assert np.asarray(backwards['latent'])[::-1][:ROWS] == pytest.approx(np.asarray(table['latent']), abs=1e-4)
    assert single.latents(single.arrays(field.images, field.catalog, ROWS)) == pytest.approx(
        np.asarray(table['latent']), abs=1e-4
    )


def test_plain_loop_cuts_out_what_ours_does(field, plain):
    ours = benchmark('throughput_paths').Ours(SETTINGS).arrays(field.images, field.catalog, SOURCES).data
    theirs = plain[0].arrays(field.images, field.catalog, SOURCES)
    known = np.isfinite(ours)
    assert theirs.shape == ours.shape
    for one, other, inside in zip(ours, theirs, known):
        assert np.corrcoef(one[inside], other[inside])[0, 1] > 0.9
        assert other[inside].sum() == pytest.approx(one[inside].sum(), rel=0.1)


@pytest.mark.parametrize('published', [False, True])
def test_path_of_the_paper_gives_a_row_a_source(field, reverse, published):
    pytest.importorskip('torch')
    paper = benchmark('throughput_torch').Paper(SETTINGS, published=published)
    table, backwards = paper.table(field.images, field.catalog), paper.table(field.images, reverse)
    assert list(table['id']) == list(range(SOURCES)) == list(backwards['id'])[::-1]
    assert table['latent'].shape == (SOURCES, 40)
    assert np.asarray(backwards['latent'])[::-1] == pytest.approx(np.asarray(table['latent']), abs=1e-4)
    assert np.ptp(table['latent'], axis=0).max() > 1e-6
    assert np.sum(table['bar'], axis=1) == pytest.approx(1.0)
    assert paper.arrays(field.images, field.catalog, 1).shape == (1, 3, 256, 256)


def test_published_stretch():
    pytest.importorskip('torch')
    torch_paths, rng = benchmark('throughput_torch'), np.random.default_rng(0)
    image = rng.normal(0, 0.1, (3, 64, 64)).astype(np.float32)
    image[:, 28:36, 28:36] += 20.0
    stretched = torch_paths.midtones(image)
    assert stretched.min() >= 0 and stretched.max() <= 1
    # the sky is lifted, and the galaxy stays above it
    assert 0.05 < np.median(stretched) < 0.3
    assert (stretched[:, 30, 30] > 0.9).all()
    assert np.isfinite(torch_paths.midtones(np.zeros((3, 64, 64), dtype=np.float32))).all()
    assert torch_paths.transfer(np.array([0.0, 0.2, 1.0]), 0.2) == pytest.approx([0.0, 0.5, 1.0])


def test_stages_add_up():
    stages = benchmark('throughput_stages')
    intervals = [(0.0, 4.0, 'cutouts'), (3.0, 6.0, 'network'), (5.0, 5.5, 'network'), (7.0, 20.0, 'columns')]
    seconds = stages.seconds_by_stage(intervals, 1.0, 10.0)
    assert seconds == {
        'network': 3.0,
        'loading the model': 0.0,
        'cutouts': 2.0,
        'columns': 3.0,
        'images': 0.0,
        'other': 1.0,
    }
    assert stages.busy_seconds(intervals, 'network') == 3.0
    assert stages.busy_seconds(intervals, 'cutouts') == 4.0


def test_what_is_recorded_is_the_run_itself(field):
    import onnxruntime

    from galvae_affiliated import catalog

    before = onnxruntime.InferenceSession.run, catalog.result_columns
    worker = benchmark('throughput_worker')
    path = benchmark('throughput_paths').Ours(SETTINGS)
    task = {'path': 'ours', 'images': field.images, 'catalog': field.catalog, 'rows': ROWS, 'stages': True}
    result = worker.measure_table(path, task)
    assert sum(result['stages'].values()) == pytest.approx(result['seconds'])
    assert all(result['stages'][name] > 0 for name in ('network', 'cutouts', 'columns', 'images'))
    assert result['memory']['peak'] > 0
    assert (onnxruntime.InferenceSession.run, catalog.result_columns) == before


def test_path_that_loses_rows_is_refused(field):
    worker, path = benchmark('throughput_worker'), benchmark('throughput_paths').Ours(SETTINGS, reconstruction=False)
    with pytest.raises(RuntimeError, match=f'ours gave {SOURCES} rows; expected {SOURCES + 1}'):
        worker.measure_table(
            path, {'path': 'ours', 'images': field.images, 'catalog': field.catalog, 'rows': SOURCES + 1}
        )


def test_multiply_adds_are_counted():
    pytest.importorskip('torch')
    onnx = pytest.importorskip('onnx')
    from onnx import TensorProto, helper

    rng = np.random.default_rng(0)
    weights = {'w': (8, 3, 3, 3), 'd': (8, 1, 5, 5), 'm': (512, 10)}
    nodes = [
        helper.make_node('Conv', ['image', 'w'], ['a'], name='plain', strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node('Conv', ['a', 'd'], ['b'], name='depthwise', group=8, pads=[2, 2, 2, 2]),
        helper.make_node('Flatten', ['b'], ['c']),
        helper.make_node('Gemm', ['c', 'm'], ['out'], name='product'),
    ]
    graph = helper.make_graph(
        nodes,
        'test',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, ['rows', 3, 16, 16])],
        [helper.make_tensor_value_info('out', TensorProto.FLOAT, ['rows', 10])],
        [onnx.numpy_helper.from_array(rng.random(shape, dtype=np.float32), name) for name, shape in weights.items()],
    )
    cost = benchmark('throughput_limits').graph_cost(helper.make_model(graph).SerializeToString())
    assert cost['nodes'] == {'plain': 8 * 64 * 27, 'depthwise': 8 * 64 * 25, 'product': 512 * 10}
    assert cost['convolutions'] == 8 * 64 * 52
    assert cost['multiply-adds'] == 8 * 64 * 52 + 5120
    numbers = (768 + 216 + 512) + (512 + 200 + 512) + (512 + 512) + (512 + 5120 + 10)
    assert cost['bytes'] == 4 * numbers


def test_medians_ratios_and_slopes():
    report = benchmark('throughput_report')
    found = {'ours': [run(100, 1.0), run(100, 9.0), run(100, 2.0)], 'plain': [run(10, 4.0)]}
    assert report.seconds_a_source(found['ours']) == 0.02
    assert report.faster(found, 'ours', 'plain') == pytest.approx(20.0)
    assert report.slopes({1000: 12.0, 10: 2.1, 100: 3.0}) == pytest.approx([0.01, 0.01])
    assert report.spread([0.010, 0.011, 0.0105]) == pytest.approx(0.1)
    assert not report.measured([{'missing': 'timm'}]) and report.measured(found['ours'])


def found_by_a_run():
    """What a run would have found, with one path that is not installed."""
    stages = {'stages': {'network': 3.0, 'cutouts': 0.5, 'other': 0.5}, 'busy': {'network': 3.0, 'cutouts': 0.5}}
    return {
        'tables': {
            'ours': [run(100, 4.0, **stages)],
            'ours, votes': [run(100, 2.0, **stages)],
            'cluster': [run(100, 2.5)],
            'plain': [run(10, 4.0)],
            'paper': [run(10, 5.0)],
        },
        'latents': {'ours, votes': [run(10, 0.15)], 'hyrax': [{'missing': 'hyrax'}]},
        'growth': {'stream': {'10': [run(10, 2.0, 50)], '100': [run(100, 11.0, 100)], '1000': [run(1000, 110.9, 109)]}},
        'start': {'galvae encode': [1.2, 2.0, 1.3], 'import galvae_affiliated': [0.4]},
    }


def test_checks_say_what_is_met():
    report = benchmark('throughput_report')
    rows = {what: (figure, asked, met) for what, figure, asked, met in report.checks(found_by_a_run())}
    titles = report.TITLES
    assert rows[f'{titles["ours"]}, times as fast as: {titles["plain"]}'] == (pytest.approx(10.0), '>= 10', True)
    assert rows[f'{titles["ours, votes"]}, times as fast as: {titles["paper"]}'] == (pytest.approx(25.0), '>= 15', True)
    assert rows[f'{titles["ours"]}, times as fast as: {titles["paper"]}'] == (pytest.approx(12.5), '>= 15', False)
    assert rows[f'{titles["ours"]}: share of everything but the network'] == (pytest.approx(0.25), '<= 0.3', True)
    assert rows['Dask, a worker a thread: share by which it is slower than one process'][::2] == (
        pytest.approx(0.2),
        False,
    )
    assert rows[f'{titles["stream"]}: change of the time a source with the catalogue'][::2] == (
        pytest.approx(0.11),
        False,
    )
    assert rows[f'{titles["stream"]}: change of the peak memory between the two largest'][::2] == (
        pytest.approx(0.09),
        True,
    )
    assert rows['galvae encode, seconds'] == (1.3, '<= 1.5', True)
    assert not rows['import galvae_affiliated, seconds'][2]


def test_tables_are_whole():
    report = benchmark('throughput_report')
    made = report.tables(found_by_a_run())
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
    assert ['Hyrax infer, its own network; reads FITS', 'hyrax is not installed', '-', '-', '-'] in made[2][2]
    lines = report.as_rst(made[0]).splitlines()
    assert lines[0] == '.. list-table:: From mosaic to table'
    assert sum(line.startswith('   * - ') for line in lines) == 6
    assert 'plain loop, a source at a time' in report.as_text(made[0])
