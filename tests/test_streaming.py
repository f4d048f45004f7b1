# Licensed under a 3-clause BSD style license - see LICENSE.rst
import io
import json
import os
import socket
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time
from PIL import Image

from galvae_affiliated import encode_catalog, get_latents, get_model
from galvae_affiliated._batches import row_slices
from galvae_affiliated.catalog import encode_cutout_set
from galvae_affiliated.cutouts.sets import ParquetSet
from galvae_affiliated.models.encoder import Encoder, Encoding
from galvae_affiliated.models.image_statistics import STATISTICS
from galvae_affiliated.streaming import stream_catalog, stream_cutout_set
from galvae_affiliated.tables import _lock
from galvae_affiliated.tables._lock import RunLock
from galvae_affiliated.tables.parts import PartFolder

# batches are of two rows with and without chunks: the last digits depend on the size of a batch
OPTIONS = {'batch_size': 2, 'device': 'cpu'}
FAST = {'morphology': False, 'reconstruction': False, **OPTIONS}
BOTH = pytest.mark.parametrize('suffix', ['.parquet', '.fits'])


def jpeg(r90):
    y, x = np.mgrid[:128, :128]
    light = 20 + 200 * np.exp(-np.hypot(x - 63.5, y - 63.5) * 3.88 / r90)
    buffer = io.BytesIO()
    Image.fromarray(light.astype(np.uint8)[..., None].repeat(3, axis=-1)).save(buffer, 'JPEG')
    return buffer.getvalue()


def write_set(path, images, row_group_size=3, **columns):
    """Names get longer from row to row."""
    names = [f'galaxy-{10**i}' for i in range(len(images))]
    kind = pa.struct([('bytes', pa.binary())])
    images = pa.array([{'bytes': image} for image in images], kind)
    pq.write_table(
        pa.table({'id_str': pa.array(names, pa.string()), 'image': images, **columns}),
        path,
        row_group_size=row_group_size,
    )
    return path


@pytest.fixture
def cutouts(tmp_path):
    """Seven cutouts, of which the last is broken: columns are masked in the last chunk alone."""
    images = [jpeg(r) for r in (30, 14, 18, 20, 24, 12)] + [b'broken']
    scales = pa.array([None, 0.4, 0.4, 0.262, 0.4, 0.4, None], pa.float64())
    return write_set(tmp_path / 'set.parquet', images, pixel_scale_arcsec=scales)


@pytest.fixture
def sources(galaxies):
    """
    Nine sources, columns of many kinds.

    Rows 3, 5 and 7 cannot be measured, nothing is masked before these.
    """
    table = QTable(galaxies[[0, 1, 2, 3, 4, 5, 0, 1, 2]])
    table['x'][3] = np.nan
    table['x'][5] = 1e9
    table['petro_r90'][7] = -table['petro_r90'][7]
    table['sky'] = SkyCoord(table['ra'], table['dec'])
    table['name'] = [f'J{10**i}' for i in range(9)]
    table['number'] = MaskedColumn(
        np.arange(9, dtype=np.int16), mask=np.arange(9) == 4, description='a number'
    )
    table['comment'] = MaskedColumn(list('abcdefghi'), mask=np.arange(9) == 8)
    table['fluxes'] = MaskedColumn(np.ones((9, 3), '>f4'), mask=np.arange(27).reshape(9, 3) == 13)
    table['good'] = np.arange(9) % 2 == 0
    table['time'] = Time(2460000.0 + np.arange(9), format='jd')
    table.meta['survey'] = 'simulated'
    return table


@pytest.fixture(scope='module')
def bundle_with_sets():
    """The default model with prediction sets, whose texts are not of one length."""
    default = get_model()
    thresholds = {question: {'thresholds': [0.5, 0.8]} for question in default.questions}
    manifest = {
        **default.manifest.raw,
        'prediction_sets': {'coverages': [0.5, 0.9], 'questions': thresholds},
    }
    return default.replaced(manifest)


def assert_same(left, right):
    """Columns, their metadata, masks and values; the metadata of the tables."""
    assert left.colnames == right.colnames
    assert left.meta == right.meta
    for name in left.colnames:
        one, other = left[name], right[name]
        assert type(one) is type(other), name
        assert (one.info.unit, one.info.dtype, one.info.description, one.info.meta, one.shape) == (
            other.info.unit,
            other.info.dtype,
            other.info.description,
            other.info.meta,
            other.shape,
        ), name
        if isinstance(one, (SkyCoord, Time)):
            assert np.all(one == other), name
            continue
        mask, other_mask = (
            np.ma.getmaskarray(np.ma.asarray(getattr(c, 'value', c))) for c in (one, other)
        )
        assert np.array_equal(mask, other_mask), name
        values, expected = (np.asarray(np.ma.getdata(c))[~mask] for c in (one, other))
        assert np.array_equal(values, expected, equal_nan=values.dtype.kind == 'f'), name


def assert_equal_files(path, expected, suffix):
    """What is read is the same; a FITS file is the same byte for byte."""
    for kind in (Table, QTable):
        assert_same(kind.read(path), kind.read(expected))
    if suffix == '.fits':
        assert path.read_bytes() == expected.read_bytes()
    else:
        assert pq.read_schema(path).equals(pq.read_schema(expected), check_metadata=True)


class Killed(Exception):
    pass


@pytest.fixture
def encoded_rows(monkeypatch):
    """Numbers of rows of each call of the encoder; where ``left`` gets to zero, the call raises."""
    real = Encoder.encode

    class Calls(list):
        left = None

    calls = Calls()

    def encode(self, stack, **options):
        if len(stack):
            if calls.left == 0:
                raise Killed
            calls.left = None if calls.left is None else calls.left - 1
            calls.append(len(stack))
        return real(self, stack, **options)

    monkeypatch.setattr(Encoder, 'encode', encode)
    return calls


@BOTH
def test_field_is_the_same_as_at_once(field, sources, bundle_with_sets, tmp_path, suffix):
    path, expected, done = tmp_path / f'out{suffix}', tmp_path / f'expected{suffix}', []
    options = {'n_samples': 2, **OPTIONS} if suffix == '.parquet' else FAST
    encode_catalog(field, sources, bundle_with_sets, **options).write(expected)
    assert (
        stream_catalog(
            field,
            sources,
            path,
            bundle_with_sets,
            chunk_size=3,
            progress=lambda *n: done.append(n),
            **options,
        )
        == 9
    )
    assert done == [(3, 9), (6, 9), (9, 9)]
    assert_equal_files(path, expected, suffix)
    table = Table.read(path)
    assert list(np.isnan(get_latents(table, bundle_with_sets)).any(axis=1).nonzero()[0]) == [
        3,
        5,
        7,
    ]
    assert table['galvae_radius'].unit == 'arcsec'
    assert {file.name for file in tmp_path.iterdir()} == {path.name, expected.name}
    if suffix == '.parquet':
        assert pq.ParquetFile(path).num_row_groups == 3


@BOTH
def test_set_is_the_same_as_at_once(cutouts, bundle_with_sets, tmp_path, suffix):
    path, expected = tmp_path / f'out{suffix}', tmp_path / f'expected{suffix}'
    options = OPTIONS if suffix == '.fits' else FAST
    encode_cutout_set(cutouts, bundle_with_sets, **options).write(expected)
    assert stream_cutout_set(cutouts, path, bundle_with_sets, chunk_size=4, **options) == 7
    assert_equal_files(path, expected, suffix)
    table = Table.read(path)
    assert list(table['id_str'].astype(str)) == [f'galaxy-{10**i}' for i in range(7)]
    # a row of the first chunk has no pixel scale: all radii are in pixels
    assert table['galvae_radius'].unit == 'pix'
    assert list(np.isnan(get_latents(table, bundle_with_sets)).any(axis=1)) == [False] * 6 + [True]


@pytest.mark.parametrize('chunk', [2, 100])
def test_size_of_chunks_does_not_matter(cutouts, tmp_path, chunk):
    options = {'pixel_scale': 0.4, **FAST, 'batch_size': 1}
    stream_cutout_set(cutouts, tmp_path / 'out.fits', chunk_size=chunk, **options)
    encode_cutout_set(cutouts, **options).write(tmp_path / 'expected.fits')
    assert (tmp_path / 'out.fits').read_bytes() == (tmp_path / 'expected.fits').read_bytes()
    # the broken row has no scale that counts
    assert Table.read(tmp_path / 'out.fits')['galvae_radius'].unit == 'arcsec'


def test_detected_sources(field, tmp_path):
    options = {'scalar_columns': True, **FAST}
    assert stream_catalog(field, None, tmp_path / 'out.parquet', chunk_size=4, **options) == 6
    encode_catalog(field, **options).write(tmp_path / 'expected.parquet')
    assert_equal_files(tmp_path / 'out.parquet', tmp_path / 'expected.parquet', '.parquet')


def test_folder_of_cutouts(tiny_cubes, tmp_path):
    options = {'bands': 'g,r,z', 'unit': 'nmgy', 'pixel_scale': 0.262, **FAST, 'batch_size': 5}
    assert stream_cutout_set(tiny_cubes, tmp_path / 'out.fits', chunk_size=15, **options) == 25
    encode_cutout_set(tiny_cubes, **options).write(tmp_path / 'expected.fits')
    assert_equal_files(tmp_path / 'out.fits', tmp_path / 'expected.fits', '.fits')


@BOTH
def test_ended_run_goes_on(field, sources, cutouts, tmp_path, encoded_rows, suffix):
    def from_field(path, **options):
        return stream_catalog(field, sources, path, chunk_size=3, **FAST, **options)

    def from_set(path, **options):
        return stream_cutout_set(cutouts, path, chunk_size=3, **FAST, **options)

    for stream, n_rows, chunks in ((from_field, 9, [3, 3, 3]), (from_set, 7, [3, 3, 1])):
        path, whole, done = tmp_path / f'{stream.__name__}{suffix}', tmp_path / f'whole{suffix}', []
        stream(whole, overwrite=True)
        encoded_rows.clear()
        encoded_rows.left = 1
        with pytest.raises(Killed):
            stream(path)
        assert not path.exists()
        assert encoded_rows == chunks[:1]
        encoded_rows.clear()
        encoded_rows.left = None
        assert stream(path, progress=lambda *n, done=done: done.append(n)) == n_rows
        assert encoded_rows == chunks[1:]
        assert done == [(3, n_rows), (6, n_rows), (n_rows, n_rows)]
        assert path.read_bytes() == whole.read_bytes()
        assert not list(tmp_path.glob('.*'))


def test_run_ended_while_chunks_are_joined(cutouts, tmp_path, encoded_rows, monkeypatch):
    path, name = tmp_path / 'out.parquet', 'galvae_affiliated.tables._writers.ParquetOutput.append'

    def append(self, table):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(name, append)
        with pytest.raises(Killed):
            stream_cutout_set(cutouts, path, chunk_size=3, **FAST)
    assert not path.exists()
    encoded_rows.clear()
    stream_cutout_set(cutouts, path, chunk_size=3, **FAST)
    assert encoded_rows == []
    assert len(Table.read(path)) == 7


def test_another_run_is_refused(field, sources, cutouts, other_bundle, tmp_path, encoded_rows):
    path = tmp_path / 'out.fits'
    encoded_rows.left = 1
    with pytest.raises(Killed):
        stream_catalog(field, sources, path, chunk_size=4, **FAST)
    encoded_rows.left = None
    moved, call = sources.copy(), {'chunk_size': 4, **FAST}
    moved['x'][0] += 1
    for images, catalog, bundle, options, message in (
        (field, sources, None, {'chunk_size': 5}, 'chunk_size was 4, is 5'),
        (field, sources, None, {'scalar_columns': True}, 'scalar_columns was False, is True'),
        (field, sources, None, {'coverage': 0.8}, 'coverage was 0.9, is 0.8'),
        (field, sources, None, {'rendering': 'lupton-grz'}, 'rendering'),
        (field, sources, other_bundle, {}, f'model was {get_model().id}, is other@'),
        (field, sources[:8], None, {}, 'rows was 9, is 8'),
        (field, moved, None, {}, 'images and positions was'),
        (
            {band: image.multiply(1.5) for band, image in field.items()},
            sources,
            None,
            {},
            'images and positions was',
        ),
    ):
        with pytest.raises(ValueError, match=message):
            stream_catalog(images, catalog, path, bundle, **{**call, **options})
    # device and batches may be others
    encoded_rows.clear()
    stream_catalog(
        field, sources, path, chunk_size=4, **{**FAST, 'batch_size': 3, 'device': 'auto'}
    )
    assert encoded_rows == [4, 1]
    encoded_rows.left = 1
    with pytest.raises(Killed):
        stream_catalog(field, sources, path, chunk_size=4, overwrite=True, **FAST)
    encoded_rows.clear()
    encoded_rows.left = None
    stream_catalog(field, moved, path, chunk_size=4, overwrite=True, **FAST)
    assert encoded_rows == [4, 4, 1]


def test_other_contents_of_a_set_are_noticed(cutouts, tmp_path, encoded_rows):
    encoded_rows.left = 1
    with pytest.raises(Killed):
        stream_cutout_set(cutouts, tmp_path / 'out.fits', chunk_size=3, **FAST)
    write_set(cutouts, [jpeg(r) for r in (12, 14, 18, 20, 24, 30, 40)])
    with pytest.raises(ValueError, match='images and positions was'):
        stream_cutout_set(cutouts, tmp_path / 'out.fits', chunk_size=3, **FAST)


@pytest.fixture
def half_done(cutouts, tmp_path, encoded_rows):
    """Folder of the parts of a run over ``cutouts`` that was killed after two of three chunks."""
    encoded_rows.left = 2
    with pytest.raises(Killed):
        stream_cutout_set(cutouts, tmp_path / 'out.fits', chunk_size=3, **FAST)
    encoded_rows.left = None
    encoded_rows.clear()
    stream_cutout_set(cutouts, tmp_path / 'whole.fits', chunk_size=3, **FAST)
    encoded_rows.clear()
    return tmp_path / '.out.fits.parts'


def swap_first_two(folder):
    for suffix in ('parquet', 'json'):
        first, second = (folder / f'00000{i}.{suffix}' for i in (0, 1))
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)


@pytest.mark.parametrize(
    ('damage', 'chunks'),
    [
        (lambda folder: (folder / '000000.parquet').write_bytes(b'cut short'), [3, 1]),
        (lambda folder: (folder / '000001.parquet').write_bytes(b''), [3, 1]),
        (lambda folder: (folder / '000001.parquet').unlink(), [3, 1]),
        (lambda folder: (folder / '000000.json').write_bytes(b''), [3, 1]),
        (lambda folder: (folder / '000000.json').write_bytes(b'[7]'), [3, 1]),
        (swap_first_two, [3, 3, 1]),
    ],
)
def test_a_damaged_chunk_is_made_again(half_done, cutouts, encoded_rows, damage, chunks):
    damage(half_done)
    path = half_done.parent / 'out.fits'
    stream_cutout_set(cutouts, path, chunk_size=3, **FAST)
    assert encoded_rows == chunks
    assert path.read_bytes() == (path.parent / 'whole.fits').read_bytes()
    assert not half_done.exists()


def test_a_changed_bit_of_a_chunk_is_found(half_done, cutouts, encoded_rows):
    path = half_done / '000000.parquet'
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    stream_cutout_set(cutouts, half_done.parent / 'out.fits', chunk_size=3, **FAST)
    assert encoded_rows == [3, 1]


@pytest.mark.parametrize('overwrite', [False, True])
def test_files_of_others_are_not_removed(cutouts, tmp_path, overwrite):
    folder = tmp_path / '.out.fits.parts'
    folder.mkdir()
    (folder / 'thesis.txt').write_text('mine')
    with pytest.raises(ValueError, match=r'thesis\.txt is not of a run'):
        stream_cutout_set(cutouts, tmp_path / 'out.fits', overwrite=overwrite, **FAST)
    (folder / 'thesis.txt').rename(folder / '000000.parquet')
    Table({'a': [1]}).write(folder / '000000.parquet', overwrite=True)
    with pytest.raises(ValueError, match=r'000000\.parquet is not of a run'):
        stream_cutout_set(cutouts, tmp_path / 'out.fits', overwrite=overwrite, **FAST)
    assert len(Table.read(folder / '000000.parquet')) == 1


def test_what_ended_between_the_table_and_the_tidying(cutouts, tmp_path, encoded_rows, monkeypatch):
    def die(self):
        raise Killed

    path = tmp_path / 'out.fits'
    with monkeypatch.context() as patch:
        patch.setattr(PartFolder, 'remove', die)
        with pytest.raises(Killed):
            stream_cutout_set(cutouts, path, chunk_size=3, **FAST)
    content = path.read_bytes()
    encoded_rows.clear()
    assert stream_cutout_set(cutouts, path, chunk_size=3, **FAST) == 7
    assert encoded_rows == [] and path.read_bytes() == content
    assert {file.name for file in tmp_path.iterdir()} == {'out.fits', 'set.parquet'}
    with pytest.raises(FileExistsError):
        stream_cutout_set(cutouts, path, chunk_size=3, **FAST)


def test_other_pixels_of_a_field_are_noticed(field, sources, tmp_path, encoded_rows):
    """The noise, the sky and the shape of a field that is turned are the same."""
    images = {band: image.data for band, image in field.items()}
    options = {'unit': 'nmgy', 'pixel_scale': 0.262, 'chunk_size': 4, **FAST}
    positions = sources['x', 'y', 'petro_r90']
    encoded_rows.left = 1
    with pytest.raises(Killed):
        stream_catalog(images, positions, tmp_path / 'out.fits', **options)
    encoded_rows.left = None
    turned = {band: image[::-1, ::-1].copy() for band, image in images.items()}
    with pytest.raises(ValueError, match='images and positions was'):
        stream_catalog(turned, positions, tmp_path / 'out.fits', **options)
    named = positions.copy()
    named['name'] = 'other'
    with pytest.raises(ValueError, match='catalog was'):
        stream_catalog(images, named, tmp_path / 'out.fits', **options)
    stream_catalog(images, positions, tmp_path / 'out.fits', **options)


def test_an_output_that_is_an_input_is_refused(field_files, cutouts, tmp_path, tiny_cubes):
    link = tmp_path / 'link.parquet'
    link.symlink_to(cutouts)
    before = cutouts.read_bytes()
    for path in (cutouts, link):
        with pytest.raises(ValueError, match='is the input'):
            stream_cutout_set(cutouts, path, overwrite=True, **FAST)
    with pytest.raises(ValueError, match='is the input'):
        stream_catalog(dict(field_files), None, field_files['r'], overwrite=True)
    with pytest.raises(ValueError, match='one of the cutouts of'):
        stream_cutout_set(tiny_cubes, tiny_cubes / 'out.fits', bands='g,r,z')
    assert cutouts.read_bytes() == before


class TestLock:
    def note(self, path, age=0.0, **entries):
        lock = path.with_name(f'.{path.name}.lock')
        lock.write_text(json.dumps(entries))
        os.utime(lock, (time.time() - age,) * 2)
        return lock

    def test_two_runs_at_once(self, cutouts, tmp_path):
        path = tmp_path / 'out.fits'
        with RunLock(path):
            with pytest.raises(BlockingIOError, match=f'another run, process {os.getpid()} on'):
                stream_cutout_set(cutouts, path, **FAST)
        assert {file.name for file in tmp_path.iterdir()} == {'set.parquet'}
        stream_cutout_set(cutouts, path, **FAST)

    @pytest.mark.parametrize('content', [b'', b'{', b'[]', b'{"process": 7}'])
    def test_the_lock_of_a_dead_run(self, cutouts, tmp_path, content):
        """That has one, but nobody holds it."""
        lock = tmp_path / '.out.fits.lock'
        lock.write_bytes(content)
        os.utime(lock, (0, 0))
        stream_cutout_set(cutouts, tmp_path / 'out.fits', **FAST)
        assert not lock.exists()

    def test_a_dead_run_of_this_machine_at_once(self, tmp_path):
        lock = self.note(tmp_path / 'out.fits', process=7, host=socket.gethostname())
        with RunLock(tmp_path / 'out.fits'):
            assert json.loads(lock.read_text())['process'] == os.getpid()
        assert not lock.exists()

    def test_a_run_of_another_machine(self, tmp_path):
        """Whose lock may not reach here: it lives while it gives signs of life."""
        self.note(tmp_path / 'out.fits', process=7, host='node-17')
        with pytest.raises(BlockingIOError, match='process 7 on node-17'), RunLock(
            tmp_path / 'out.fits'
        ):
            pass
        self.note(tmp_path / 'out.fits', process=7, host='node-17', age=1000)
        with RunLock(tmp_path / 'out.fits') as held:
            held.touch()

    def test_without_locks(self, tmp_path, monkeypatch):
        """As on Windows, and on some file systems of clusters."""
        monkeypatch.setattr(_lock, 'fcntl', None)
        with RunLock(tmp_path / 'out.fits'):
            with pytest.raises(BlockingIOError), RunLock(tmp_path / 'out.fits'):
                pass

    def test_the_same_command_twice_in_the_shell(self, cutouts, tmp_path):
        words = [sys.executable, '-m', 'galvae_affiliated.scripts.main', 'encode', str(cutouts)]
        words += ['-o', str(tmp_path / 'out.parquet'), '--chunk-size', '1', '--no-morphology']
        runs = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        errors = [run.communicate()[1] for run in runs]
        # the second may also come when the first has ended
        assert sorted(run.returncode for run in runs) in ([0, 1], [0, 2])
        assert [error.startswith('galvae: error: ') for error in sorted(errors)] == [False, True]
        assert len(Table.read(tmp_path / 'out.parquet')) == 7
        assert {file.name for file in tmp_path.iterdir()} == {'out.parquet', 'set.parquet'}


def test_nothing_of_a_refused_run_is_left(field, sources, tmp_path):
    for options, kind in (
        ({'n_samples': 1}, ValueError),
        ({'unit': 'K'}, ValueError),
        ({'size': 2}, TypeError),
        ({'batch_size': 0}, ValueError),
    ):
        with pytest.raises(kind):
            stream_catalog(field, sources, tmp_path / 'out.fits', **options)
    lists = Table({'x': [50.0, 60.0], 'y': [50.0, 60.0]})
    lists['members'] = np.array([np.arange(2), np.arange(3)], dtype=object)
    with pytest.raises(ValueError, match='different lengths'):
        stream_catalog(field, lists, tmp_path / 'out.fits')
    lists['galvae_flags'] = 0
    with pytest.raises(ValueError, match='galvae_flags'):
        stream_catalog(field, lists, tmp_path / 'out.parquet')
    assert list(tmp_path.iterdir()) == []


def test_columns_are_replaced(field, sources, tmp_path):
    sources['galvae_flags'] = 'before'
    path, expected = tmp_path / 'out.fits', tmp_path / 'expected.fits'
    path.write_text('before')
    options = {'overwrite': True, **FAST}
    with pytest.raises(FileExistsError, match='out.fits exists'):
        stream_catalog(field, sources, path)
    stream_catalog(field, sources, path, chunk_size=4, **options)
    encode_catalog(field, sources, **options).write(expected)
    assert path.read_bytes() == expected.read_bytes()


@BOTH
def test_no_rows(field, sources, tmp_path, suffix):
    path, expected = tmp_path / f'out{suffix}', tmp_path / f'expected{suffix}'
    options = OPTIONS if suffix == '.parquet' else FAST
    assert stream_catalog(field, sources[:0], path, **options) == 0
    encode_catalog(field, sources[:0], **options).write(expected)
    assert_equal_files(path, expected, suffix)
    empty = write_set(tmp_path / 'empty.parquet', [])
    assert stream_cutout_set(empty, path, overwrite=True, **options) == 0
    encode_cutout_set(empty, **options).write(expected, overwrite=True)
    assert_equal_files(path, expected, suffix)


def test_rows_of_a_set_from_anywhere(cutouts):
    opened = ParquetSet(cutouts, get_model().frame)
    names = [f'galaxy-{10**i}' for i in range(7)]
    (whole,) = opened.stacks([slice(0, 7)])
    for start in range(8):
        assert list(opened.ids(slice(start, 7))) == names[start:]
        (stack,) = opened.stacks([slice(start, 7)])
        np.testing.assert_array_equal(stack.data, whole.data[start:])
    found = [
        (list(opened.ids(rows)), len(stack))
        for rows, stack in zip(row_slices(7, 2, 3), opened.stacks(row_slices(7, 2, 3)))
    ]
    assert found == [(names[3:5], 2), (names[5:], 2)]


def peak(path, folder, chunk):
    """Memory that Python and NumPy took at most."""
    tracemalloc.start()
    options = {'already_scaled': True, 'morphology': False, 'batch_size': 2}
    stream_cutout_set(path, folder / 'out.parquet', chunk_size=chunk, overwrite=True, **options)
    _, largest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return largest


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    def encode(self, stack, **options):
        shapes = ((len(stack), width) for width in (40, 40, 8))
        one = np.ones(len(stack), np.float32)
        return Encoding(
            *(np.ones(shape, np.float32) for shape in shapes), one, stack.flags, one, one,
            statistics=np.ones((len(stack), len(STATISTICS))),
        )

    monkeypatch.setattr(Encoder, 'encode', encode)
    # few cutouts at a time, so that results that pile up would be seen
    monkeypatch.setattr('galvae_affiliated._batches.CHUNK', 2)
    few, many = (write_set(tmp_path / f'{n}.parquet', [jpeg(20)] * n, 32) for n in (128, 512))
    peak(few, tmp_path, 128)  # what is loaded once
    assert peak(many, tmp_path, 32) < 1.2 * peak(few, tmp_path, 32)


@pytest.mark.parametrize('output', ['out.parquet', 'out.fits'])
def test_command(galvae, field_files, sources, cutouts, tmp_path, output):
    sources.write(tmp_path / 'sources.fits')
    path, words = (
        tmp_path / output,
        ['--chunk-size', '4', '--no-morphology', '-o', tmp_path / output],
    )
    field = [
        'encode',
        *field_files.values(),
        '--bands',
        'g,r,z',
        '--catalog',
        tmp_path / 'sources.fits',
    ]
    assert galvae(*field, *words).code == 0
    assert len(Table.read(path)) == 9
    galvae('encode', cutouts, *words).fails(2, 'exists')
    assert galvae('encode', cutouts, *words, '--overwrite').code == 0
    assert len(Table.read(path)) == 7
    assert not list(tmp_path.glob('.*'))


def test_wrong_use_of_the_command(galvae, cutouts, field_files, tmp_path):
    for name in ('out.ecsv', 'out.csv', 'out.vot', 'out.h5'):
        galvae('encode', cutouts, '--chunk-size', 10, '-o', tmp_path / name).fails(
            2, 'written to .parquet or .fits alone'
        )
    for n in (0, -1):
        galvae('encode', cutouts, '--chunk-size', n, '-o', tmp_path / 'out.fits').fails(
            2, f'--chunk-size is {n}'
        )
    words = [
        '--bands',
        'g,r,z',
        '--picture',
        tmp_path / 'x.png',
        '--chunk-size',
        3,
        '-o',
        tmp_path / 'out.fits',
    ]
    galvae('encode', *field_files.values(), *words).fails(2, '--picture')
    assert [file.name for file in tmp_path.iterdir()] == ['set.parquet']


def test_fits_has_nothing_to_mend(cutouts, tmp_path):
    stream_cutout_set(cutouts, tmp_path / 'out.fits', chunk_size=4, **FAST)
    with fits.open(tmp_path / 'out.fits', checksum=True) as hdus:
        hdus.verify('exception')
        assert hdus[1].header['NAXIS2'] == len(hdus[1].data) == 7
