# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Partitions and tiles over a Dask cluster of two processes on this machine."""

import contextvars
import functools
import io
import os
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galvae_affiliated import Engine, encode_catalog, get_model

pd = pytest.importorskip('pandas')
dask = pytest.importorskip('dask')
distributed = pytest.importorskip('distributed')
dd = pytest.importorskip('dask.dataframe')

from galvae_affiliated.catalog import encode_cutout_set  # noqa: E402
from galvae_affiliated.distributed import _workers  # noqa: E402
from galvae_affiliated.distributed._workers import share_model  # noqa: E402
from galvae_affiliated.distributed.partitions import encode_partition, partition_meta  # noqa: E402
from galvae_affiliated.distributed.tiles import encode_fields  # noqa: E402
from galvae_affiliated.exceptions import GalvaeWarning, TileError  # noqa: E402
from galvae_affiliated.flags import GalvaeFlags  # noqa: E402

FAST = {'morphology': False, 'reconstruction': False}
# another batch rounds otherwise
CLOSE = {'rtol': 0, 'atol': 1e-4}

# Dask 2026.8 calls what pandas 3.1 deprecates, when it reads Parquet
reads_parquet = pytest.mark.filterwarnings(
    'ignore:.*inplace keyword in DataFrame:DeprecationWarning'
)


@pytest.fixture(scope='module')
def client():
    """Two processes of one thread each, on this machine alone, as pytest-astropy wants it."""
    with (
        # no worker has a second task waiting: a task that kills workers takes no other with it
        dask.config.set({'distributed.scheduler.worker-saturation': 1.0}),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address='127.0.0.1:0',
            host='127.0.0.1',
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def png(i, side=128):
    x = np.arange(side) - (side - 1) / 2
    light = 200 * np.exp(-np.hypot(x, x[:, None] * (1 + 0.3 * i)) / (5 + 2 * i))
    noise = np.random.default_rng(i).normal(15, 2, (side, side))
    buffer = io.BytesIO()
    Image.fromarray(
        np.clip(light + noise, 0, 255)[..., None].repeat(3, axis=-1).astype(np.uint8)
    ).save(buffer, 'PNG')
    return buffer.getvalue()


def cutouts(n=5):
    """Galaxy Zoo's layout, with an index and a column of its own; the last image is damaged."""
    images = [{'bytes': png(i), 'path': None} for i in range(n - 1)] + [
        {'bytes': b'none', 'path': None}
    ]
    frame = pd.DataFrame(
        {'id_str': [f'g{i}' for i in range(n)], 'image': images, 'mag': np.arange(n) + 14.5}
    )
    return frame.set_index(pd.Index(10 * np.arange(n) + 3, name='pixel'))


@pytest.fixture
def parquet(tmp_path):
    """The frame in a Parquet file of three row groups, which Dask reads as partitions."""
    path = tmp_path / 'set.parquet'
    cutouts().to_parquet(path, row_group_size=2)
    return path


@pytest.fixture(scope='module')
def tiles(field_files, tmp_path_factory):
    """Six tiles by their paths: the same images with other catalogues, so that results differ."""
    folder = tmp_path_factory.mktemp('tiles')
    positions = [
        (50.3, 48.7),
        (143.0, 61.0),
        (98.6, 142.2),
        (158.2, 150.9),
        (36.0, 128.4),
        (103.5, 30.5),
    ]
    pairs = []
    for i in range(6):
        x, y = zip(*[positions[i], positions[i - 1]])
        Table({'tile': [i, i], 'x': x, 'y': y, 'petro_r90': [8.0 + i, 9.0]}).write(
            folder / f'{i}.fits'
        )
        pairs.append(
            ({band: str(path) for band, path in field_files.items()}, folder / f'{i}.fits')
        )
    return pairs


TILE_OPTIONS = {**FAST, 'radius_unit': 'pix'}


def alone(tile, **options):
    """What one process makes of a tile."""
    return encode_catalog(tile[0], Table.read(tile[1]), **{**TILE_OPTIONS, **options})


def check(found, tile, **options):
    expected = alone(tile, **options)
    assert found.colnames == expected.colnames
    assert list(found['tile']) == list(expected['tile'])
    np.testing.assert_allclose(
        np.asarray(found['galvae_latent']), np.asarray(expected['galvae_latent']), **CLOSE
    )
    np.testing.assert_allclose(
        found['galvae_radius'].filled(np.nan), expected['galvae_radius'].filled(np.nan)
    )
    assert found['galvae_radius'].unit == expected['galvae_radius'].unit
    assert list(found['galvae_flags']) == list(expected['galvae_flags'])


# partitions


@pytest.mark.parametrize('split', [True, False])
def test_a_partition_is_encoded_as_a_file_is(parquet, split):
    frame = cutouts()
    found, expected = (
        encode_partition(frame, scalar_columns=split),
        encode_cutout_set(parquet, scalar_columns=split),
    )
    assert found.index.equals(frame.index)
    assert list(found.columns) == ['id_str', 'mag', *expected.colnames[1:]]
    for name in expected.colnames[1:]:
        if expected[name].dtype.kind == 'U':
            assert found[name].fillna('').tolist() == expected[name].filled('').tolist()
        elif expected[name].ndim == 2:
            assert found[name].isna().tolist() == [False] * 4 + [True]
            np.testing.assert_allclose(np.stack(found[name][:-1]), expected[name][:-1], **CLOSE)
        else:
            values = np.ma.filled(expected[name].astype(float), np.nan)
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize('split', [True, False])
@pytest.mark.parametrize('options', [{}, FAST])
def test_an_empty_partition_has_the_same_types(split, options):
    frame = cutouts(2)
    full, empty = (
        encode_partition(part, scalar_columns=split, **options) for part in (frame, frame.iloc[:0])
    )
    assert len(empty) == 0
    assert empty.index.name == 'pixel'
    pd.testing.assert_series_equal(full.dtypes, empty.dtypes)
    pd.testing.assert_frame_equal(partition_meta(frame, scalar_columns=split, **options), empty)
    catalog = types.SimpleNamespace(meta=frame.iloc[:0])  # as LSDB's are
    pd.testing.assert_frame_equal(partition_meta(catalog, scalar_columns=split, **options), empty)


def test_an_empty_partition_needs_no_session(monkeypatch, other_bundle):
    monkeypatch.setattr('galvae_affiliated.models._runner.start_session', None)
    monkeypatch.setattr(_workers, 'MODELS', {})
    assert len(partition_meta(cutouts(), other_bundle)) == 0


def test_images_of_a_frame_may_be_bytes_of_any_column(parquet):
    frame = cutouts(3)
    plain = frame.assign(cutout=[image['bytes'] for image in frame['image']]).drop(
        columns=['image', 'id_str']
    )
    arrow = pd.read_parquet(parquet, dtype_backend='pyarrow').iloc[:3]
    expected = encode_partition(frame, **FAST)
    for found in (
        encode_partition(plain, image_column='cutout', **FAST),
        encode_partition(arrow, **FAST),
    ):
        # the third image of the file is not damaged
        np.testing.assert_array_equal(
            found['galvae_latent_07'][:2], expected['galvae_latent_07'][:2]
        )


def test_the_pixel_scale_may_be_a_column():
    frame = cutouts(3).assign(pixel_scale_arcsec=[0.4, None, 0.4])
    found = encode_partition(frame, **FAST)
    assert found['galvae_radius'].iloc[0] != found['galvae_radius'].iloc[1]
    with pytest.warns(GalvaeWarning, match='g0: pixel_scale_arcsec is -1'):
        found = encode_partition(frame.assign(pixel_scale_arcsec=-1.0), **FAST)
    assert (found['galvae_flags'].iloc[:2] == GalvaeFlags.BAD_RADIUS).all()  # the third is damaged


@pytest.mark.parametrize(
    ('change', 'options', 'message'),
    [
        (
            {'image_column': 'picture'},
            {},
            "no column 'picture' of images; there are id_str, image, mag",
        ),
        ({'rendering': 'none'}, {}, "no rendering 'none'"),
        ({'pixel_scale': -1.0}, {}, 'pixel_scale'),
        ({}, {'galvae_flags': 0}, "has a column 'galvae_flags' already"),
        ({'model': 'none@123'}, {}, "no model and no file 'none@123'"),
    ],
)
def test_a_wrong_call_is_told(change, options, message):
    with pytest.raises(ValueError, match=message):
        encode_partition(cutouts(1).assign(**options), **change)


@reads_parquet
def test_map_partitions_of_dask(client, parquet, tmp_path):
    frame = dd.read_parquet(parquet, split_row_groups=True)
    assert frame.npartitions == 3
    model_id = share_model(client=client)
    meta = partition_meta(frame, model_id)
    lazy = frame.map_partitions(encode_partition, model=model_id, meta=meta)
    found, expected = lazy.compute(), encode_partition(frame.compute())
    pd.testing.assert_series_equal(found.dtypes, meta.dtypes)
    pd.testing.assert_frame_equal(found, expected, **CLOSE)
    lazy.to_parquet(tmp_path / 'out')
    again = dd.read_parquet(tmp_path / 'out').compute()
    assert again['galvae_latent_39'].tolist()[:-1] == found['galvae_latent_39'].tolist()[:-1]
    assert again['bar_answer'].isna().tolist() == found['bar_answer'].isna().tolist()


@reads_parquet
def test_dask_finds_the_types_by_itself(parquet):
    frame = dd.read_parquet(parquet)
    lazy = frame.map_partitions(encode_partition, **FAST)
    pd.testing.assert_series_equal(lazy.dtypes, partition_meta(frame, **FAST).dtypes)


def count_sessions(dask_worker=None):
    """On a worker: count the sessions that are built from now on."""
    from galvae_affiliated.models import _runner, engine

    engine._RUNNERS.clear()
    built, before = [], _runner.start_session

    def start_session(*args):
        session, device = before(*args)
        built.append(session.get_session_options().intra_op_num_threads)
        return session, device

    _runner.start_session, _runner.built = start_session, built


def sessions_built():
    from galvae_affiliated.models import _runner

    return list(_runner.built), os.environ.get('OMP_NUM_THREADS')


def slow_frame(_):
    time.sleep(0.2)  # or one worker takes all
    return cutouts(2)


def test_a_worker_loads_a_model_once(client, other_bundle):
    model_id = share_model(other_bundle, client)
    client.run(count_sessions)
    with dask.config.set({'dataframe.convert-string': False}):
        frame = dd.from_map(slow_frame, range(8), meta=cutouts(1).iloc[:0])
        frame.map_partitions(
            encode_partition, model_id, meta=partition_meta(frame, model_id)
        ).compute()
    before = os.environ.get('OMP_NUM_THREADS', '1')
    # encoder, decoder, chi-square and heads
    assert list(client.run(sessions_built).values()) == [([1, 1, 1, 1], before)] * 2


def test_images_that_dask_made_texts_of_are_refused():
    frame = dd.from_map(
        slow_frame, range(1), meta=cutouts(1).iloc[:0].astype({'image': 'string[pyarrow]'})
    )
    with pytest.raises(
        ValueError, match="'image' holds text, not images: .*'dataframe.convert-string'"
    ):
        partition_meta(frame)


def test_sessions_have_the_threads_of_the_worker(monkeypatch):
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: set(range(8)), raising=False)

    for before in ('1', '6', None):
        monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
        if before is not None:
            monkeypatch.setenv('OMP_NUM_THREADS', before)
        for of_worker, expected in ((4, 4), (16, 8), (None, None)):
            monkeypatch.setattr(_workers, 'worker_threads', lambda of_worker=of_worker: of_worker)
            assert _workers.worker_engine(Engine()).n_threads == expected
            assert os.environ.get('OMP_NUM_THREADS') == before
    assert _workers.worker_engine(Engine(n_threads=3)).n_threads == 3


def test_a_model_that_is_kept_can_be_pickled(client):
    import pickle

    share_model(client=client)
    model = _workers.resident_model(None)
    again = pickle.loads(pickle.dumps(model))
    assert again == model == get_model()
    assert type(again) is type(get_model())


# tiles


def test_tiles_come_back_in_their_order(client, tiles):
    given = [*tiles, functools.partial(tuple, tiles[3]), (tiles[0][0], Table.read(tiles[2][1]))]
    seen = []
    found = encode_fields(
        iter(given), client, progress=lambda *done: seen.append(done), **TILE_OPTIONS
    )
    assert len(found) == 8
    for table, tile in zip(found, [*tiles, tiles[3], tiles[2]]):
        check(table, tile)
    assert seen == [(i, 8) for i in range(1, 9)]


def test_the_current_client_is_taken(client, tiles):
    with client.as_current():
        found = encode_fields(tiles[:1], **TILE_OPTIONS)
    check(found[0], tiles[0])


def test_the_model_is_sent(client, tiles, other_bundle, tmp_path):
    other_bundle.write(tmp_path / 'other.galvae')
    found = encode_fields(tiles[:1], client, model=tmp_path / 'other.galvae', **TILE_OPTIONS)
    assert found[0]['galvae_latent'].info.meta['galvae_model'] == other_bundle.id
    again = encode_fields(
        tiles[:1], client, model=share_model(other_bundle, client), **TILE_OPTIONS
    )
    assert again[0]['galvae_latent'].info.meta['galvae_model'] == other_bundle.id


def test_sources_are_detected_where_there_is_no_catalogue(client, tiles):
    images = tiles[0][0]
    found = encode_fields([(images, None)], client, chunk_size=2, **FAST)
    expected = encode_catalog(images, **FAST)
    assert len(found[0]) == len(expected) > 3
    np.testing.assert_allclose(found[0]['galvae_latent'], expected['galvae_latent'], **CLOSE)


@pytest.mark.parametrize('unmeasured', [0, 2])
def test_a_tile_may_be_cut_into_several_tasks(client, tiles, galaxies, unmeasured):
    # the first rows lie off the image: a task without a measured row
    galaxies['x'][:unmeasured] = -500
    galaxies['tile'] = 0
    found, second = encode_fields(
        [(tiles[0][0], galaxies), tiles[1]], client, chunk_size=2, **TILE_OPTIONS
    )
    expected = encode_catalog(tiles[0][0], galaxies, **TILE_OPTIONS)
    assert found.colnames == expected.colnames
    assert found['galvae_radius'].unit == expected['galvae_radius'].unit == 'arcsec'
    np.testing.assert_allclose(
        np.ma.filled(found['galvae_latent'], 9), np.ma.filled(expected['galvae_latent'], 9), **CLOSE
    )
    np.testing.assert_allclose(
        np.asarray(found['galvae_radius'])[unmeasured:],
        np.asarray(expected['galvae_radius'])[unmeasured:],
    )
    assert list(found['x']) == list(galaxies['x'])
    check(second, tiles[1])


def test_parts_are_written_and_a_run_goes_on(client, tiles, tmp_path):
    paths = encode_fields(tiles[:4], client, output=tmp_path / 'out', **TILE_OPTIONS)
    assert paths == [tmp_path / 'out' / f'part-{i:05d}.parquet' for i in range(4)]
    for path, tile in zip(paths, tiles):
        check(Table.read(path), tile)
    written = [path.stat().st_mtime_ns for path in paths]
    paths[1].unlink()
    (tmp_path / 'out' / '.part-00001.parquet.0123.part').touch()  # of a worker that was killed
    seen = []
    again = encode_fields(
        tiles[:4],
        client,
        output=tmp_path / 'out',
        progress=lambda *done: seen.append(done),
        **TILE_OPTIONS,
    )
    assert again == paths
    assert seen == [(4, 4)]
    assert [path.stat().st_mtime_ns == before for path, before in zip(paths, written)] == [
        True,
        False,
        True,
        True,
    ]
    check(Table.read(paths[1]), tiles[1])
    assert sorted((tmp_path / 'out').iterdir()) == paths


@pytest.mark.parametrize('other', ['options', 'tiles', 'fewer', 'model', 'garbage'])
def test_a_folder_of_another_call_is_refused(client, tiles, tmp_path, other, other_bundle):
    if other == 'garbage':
        (tmp_path / 'part-00000.parquet').write_bytes(b'none')
    else:
        encode_fields(tiles[:2], client, output=tmp_path, **TILE_OPTIONS)
    options = {**TILE_OPTIONS, 'batch_size': 32} if other == 'options' else TILE_OPTIONS
    given = {'tiles': tiles[1:3], 'fewer': tiles[:1]}.get(other, tiles[:2])
    bundle = other_bundle if other == 'model' else None
    with pytest.raises(
        FileExistsError,
        match=r'part-0000\d.parquet is of a call with other tiles, options or model',
    ):
        encode_fields(given, client, model=bundle, output=tmp_path, **options)


def test_pieces_are_parts(client, tiles, tmp_path):
    paths = encode_fields(tiles[:2], client, output=tmp_path, chunk_size=1, **TILE_OPTIONS)
    assert [path.name for path in paths] == [
        f'part-0000{i}-0000{j}.parquet' for i in range(2) for j in range(2)
    ]
    assert paths == sorted(tmp_path.iterdir())
    assert [int(Table.read(path)['tile'][0]) for path in paths] == [0, 0, 1, 1]


@pytest.mark.parametrize('output', [True, False])
def test_a_tile_that_fails_is_named_after_the_others_are_done(client, tiles, tmp_path, output):
    (tmp_path / 'bad.fits').write_bytes(b'none')
    bad = (dict.fromkeys('grz', tmp_path / 'bad.fits'), tiles[0][1])
    given = [bad, tiles[1], (tiles[2][0], tmp_path / 'no.fits'), tiles[3]]
    folder = tmp_path / 'out' if output else None
    with pytest.raises(
        TileError,
        match=r'2 of 4 tasks failed: tile 0 \(.*bad.fits\): .*; tile 2 \(.*g.fits\): '
        r'FileNotFoundError: .*no.fits',
    ) as error:
        encode_fields(given, client, output=folder, **TILE_OPTIONS)
    assert len(error.value.errors) == 2
    assert isinstance(error.value.__cause__, (OSError, ValueError))
    first, second, third, fourth = error.value.results
    assert first is third is None
    for result, tile in ((second, tiles[1]), (fourth, tiles[3])):
        check(Table.read(result) if output else result, tile)
    if output:
        assert sorted(folder.iterdir()) == [second, fourth]


@pytest.mark.parametrize(
    ('tile', 'options', 'error', 'message'),
    [
        ('r.fits', {}, ValueError, r'tile 0 \(r.fits\) is a str; expected a pair'),
        (None, {'radii': 3}, TypeError, "no option 'radii'"),
        (None, {'chunk_size': 0}, ValueError, 'chunk_size is 0'),
        (None, {'chunk_size': 2, 'radius': [1.0, 2.0]}, ValueError, 'the radii as a column'),
    ],
)
def test_a_wrong_call_is_refused_at_once(client, tiles, tile, options, error, message):
    with pytest.raises(error, match=message):
        encode_fields([tile or tiles[0]], client, **options)


# what may happen to a cluster


def once_lost(tile, marker):
    """A tile whose opening kills the worker, the first time."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return tile
    os.kill(os.getpid(), signal.SIGKILL)


def logged(tile, log, number, delay=0.0):
    """A tile that leaves a line in a file at each opening."""
    with open(log, 'a') as file:
        file.write(f'{number} {os.getpid()}\n')
    time.sleep(delay)
    return tile


def test_a_worker_that_kills_itself_loses_nothing(client, tiles, tmp_path):
    given = [
        functools.partial(once_lost, tile, tmp_path / 'marker') if i == 2 else tile
        for i, tile in enumerate(tiles)
    ]
    client.wait_for_workers(2)
    pids = set(client.run(os.getpid).values())
    found = encode_fields(given, client, **TILE_OPTIONS)
    client.wait_for_workers(2)
    assert len(set(client.run(os.getpid).values()) - pids) == 1  # one died, another was started
    assert len(found) == 6
    for table, tile in zip(found, tiles):
        check(table, tile)


def test_a_worker_that_is_killed_loses_nothing(client, tiles, tmp_path):
    log = tmp_path / 'log'
    given = [functools.partial(logged, tile, log, i, 0.3) for i, tile in enumerate(2 * tiles)]
    killed = []

    def kill(done, total):
        if done == 3:
            killed.append(int(log.read_text().splitlines()[-1].split()[1]))
            os.kill(killed[0], signal.SIGKILL)

    found = encode_fields(given, client, output=tmp_path / 'out', progress=kill, **TILE_OPTIONS)
    client.wait_for_workers(2)
    assert len(killed) == 1
    assert killed[0] not in client.run(os.getpid).values()
    opened = [int(line.split()[0]) for line in log.read_text().splitlines()]
    # only what the dead worker had not finished was done again
    assert set(opened) == set(range(12))
    assert len(opened) <= 14
    for path, tile in zip(found, 2 * tiles):
        check(Table.read(path), tile)
    assert sorted((tmp_path / 'out').iterdir()) == found


@reads_parquet
def test_results_of_a_worker_that_is_killed_are_computed_again(client, parquet, tmp_path):
    frame = dd.read_parquet(parquet, split_row_groups=True)
    model_id = share_model(client=client)
    lazy = frame.map_partitions(
        encode_partition, model_id, meta=partition_meta(frame, model_id, **FAST), **FAST
    )
    kept = client.persist(lazy)
    distributed.wait(kept)
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    found = kept.compute()
    pd.testing.assert_frame_equal(found, encode_partition(frame.compute(), **FAST), **CLOSE)
    client.wait_for_workers(2)


def lost(tile):
    """A tile whose opening kills every worker."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_tile_that_kills_every_worker_is_named(client, tiles, monkeypatch):
    # a task that waits on a worker when that is killed is suspected too: often enough, and it
    # is not
    monkeypatch.setattr(client.cluster.scheduler, 'allowed_failures', 3)
    with pytest.raises(TileError, match=r'^1 of 3 tasks failed: tile 1: KilledWorker: ') as error:
        encode_fields(
            [tiles[0], functools.partial(lost, tiles[1]), tiles[2]], client, **TILE_OPTIONS
        )
    check(error.value.results[0], tiles[0])
    check(error.value.results[2], tiles[2])
    client.wait_for_workers(2)


def raise_once(tile, marker):
    if not marker.exists():
        marker.touch()
        raise OSError('the file system was away')
    return tile


def test_a_task_can_be_tried_again(client, tiles, tmp_path):
    given = [functools.partial(raise_once, tiles[0], tmp_path / 'marker')]
    check(encode_fields(given, client, retries=1, **TILE_OPTIONS)[0], tiles[0])


def test_without_a_client(monkeypatch):
    monkeypatch.setattr('distributed.client._get_global_client', lambda: None)
    with pytest.raises(ValueError, match='there is no Dask client; give one'):
        contextvars.Context().run(encode_fields, [])


def test_a_client_that_is_not_the_current_one(client, monkeypatch, tiles, tmp_path):
    monkeypatch.setattr('distributed.client._get_global_client', lambda: None)
    for _ in range(2):
        paths = contextvars.Context().run(
            encode_fields, tiles[:1], client, output=tmp_path, **TILE_OPTIONS
        )
    check(Table.read(paths[0]), tiles[0])


def test_without_dask():
    code = (
        'import sys\n'
        'sys.modules.update(distributed=None, pandas=None)\n'
        'from galvae_affiliated.distributed import encode_fields, encode_partition\n'
        'for function in (encode_fields, encode_partition):\n'
        '    try:\n'
        '        function([])\n'
        '    except ImportError as error:\n'
        '        print(error)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    message = "galvae_affiliated.distributed needs {}: pip install 'galvae_affiliated[dask]'"
    assert done.stdout.splitlines() == [message.format('distributed'), message.format('pandas')]
