# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Groups 1, 2, 4 and 5 of bench_attack.py that need whole runs, or a server."""

import builtins
import copy
import errno
import hashlib
import http.server
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
from _attack_tools import command, encoding, one_line, reference, rows_of


def group_1i(folder):
    from astropy.table import Table

    from galvae_affiliated import add_latents, get_latents, get_model
    from galvae_affiliated.exceptions import BundleError
    from galvae_affiliated.tables.files import write_table

    images = np.random.default_rng(0).random((2, 3, 128, 128))
    model = get_model()
    for name in ('a', 'a b', ' a', 'a ', 'a  b', '[a]', 'a]', 'a\nb', 'a' * 100, 'a@b', '{a}',
                 "a'b", 'a"b', '\u00e9', 'a/b'):
        try:
            named = model.replaced({**model.manifest.raw, 'name': name})
        except BundleError:
            yield name, ''
            continue
        table = add_latents(Table({'id': [1, 2]}), images, model=named)
        for ending in ('fits', 'ecsv', 'parquet', 'h5', 'vot'):
            path = folder / f'named.{ending}'
            write_table(table, path)
            path_options = {'path': 'galvae'} if ending == 'h5' else {}
            try:
                get_latents(Table.read(path, **path_options), model=named)
                found = ''
            except Exception as error:
                found = f'{type(error).__name__}: {error}'
            yield f'{name} {ending}', found


def group_1k(folder):
    from galvae_affiliated.training.config import TrainingConfig, read_config

    values = ['nan', 'inf', '-inf', '-1', '-1e300', '1e300', '0', '10000000000000000000000', '""',
              '"\\u0000"', 'true', '[]', '[[]]', '{}', '{a=1}', '1979-05-27', '"x"']
    path = folder / 'run.toml'
    numbers = {'nan', 'inf', '-inf', '-1', '-1e300'}
    for section, options in TrainingConfig():
        for name, default in options:
            for value in values:
                path.write_text(f'[{section}]\n{name} = {value}\n')
                try:
                    read_config(path)
                    is_weight = isinstance(default, float) and name != 'zero_point'
                    found = 'accepted' if is_weight and value in numbers else ''
                except ValueError as error:
                    found = '' if 'run.toml' in str(error) else f'no file: {error}'
                except Exception as error:
                    found = f'{type(error).__name__}: {error}'
                yield f'{section}.{name} = {value}', found
    for name, text in (('deep', 'a = ' + '[' * 100_000 + ']' * 100_000), ('long', '#' * (2 << 20))):
        path.write_text(text)
        try:
            read_config(path)
            yield name, 'accepted'
        except ValueError:
            yield name, ''


def field_words(folder, output, *words):
    from importlib import resources

    field = folder / 'field.fits'
    if not field.exists():
        data = resources.files('galvae_affiliated').joinpath('data', 'demo_field.fits')
        field.write_bytes(data.read_bytes())
        from astropy.table import Table

        rng = np.random.default_rng(0)
        Table({'id': np.arange(60), 'x': rng.uniform(50, 800, 60), 'y': rng.uniform(50, 800, 60),
               'petro_r90': np.full(60, 12.0)}).write(folder / 'field_sources.fits')
    return ['encode', field, '--bands', 'g,r,z', '--catalog', folder / 'field_sources.fits', '-o',
            output, '--no-morphology', '--no-reconstruction', *words]


def group_2a(folder):
    rng = np.random.default_rng(11)
    for kind, make in (('set', lambda o, *w: encoding(folder / 'set.parquet', o, *w)),
                       ('field', lambda o, *w: field_words(folder, o, *w))):
        for ending in ('parquet', 'fits'):
            chunked = '--chunk-size', 10, '--batch-size', 1
            whole = folder / f'whole-{kind}.{ending}'
            code, said = command(*make(whole, *chunked))
            if code:
                raise RuntimeError(said)
            for i in range(2):
                output = folder / f'killed-{kind}-{i}.{ending}'
                run = start_command(*make(output, *chunked))
                time.sleep(rng.uniform(0.5, 8.0))
                run.kill()
                run.wait()
                code, said = command(*make(output, *chunked, '--overwrite'))
                same = code == 0 and output.read_bytes() == whole.read_bytes()
                left = list(folder.glob(f'.{output.name}*'))
                yield f'{kind} {ending} {i}', '' if same and not left else f'code {code}: {said}'


def start_command(*words):
    words = [sys.executable, '-m', 'galvae_affiliated.scripts.main', *map(str, words)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)


@contextmanager
def failing_operation(number, code):
    """The n-th of the operations that change files fails; yields how many there were."""
    places = [(builtins, 'open'), (os, 'replace'), (os, 'rename'), (os, 'fsync'), (os, 'unlink'),
              (os, 'mkdir'), (os, 'rmdir'), (os, 'open')]
    kept = [(module, name, getattr(module, name)) for module, name in places]
    count = [0]

    def wrap(function, name):
        def operation(*args, **options):
            is_writing = name != 'open' or any(
                isinstance(a, str) and set(a) & set('wax+') for a in args[1:2])
            if is_writing:
                count[0] += 1
                if count[0] == number:
                    raise OSError(code, os.strerror(code))
            return function(*args, **options)
        return operation

    for module, name, function in kept:
        setattr(module, name, wrap(function, name))
    try:
        yield count
    finally:
        for module, name, function in kept:
            setattr(module, name, function)


def group_2b(folder):
    import pyarrow.parquet as pq

    from galvae_affiliated import stream_cutout_set

    small = folder / 'small.parquet'
    pq.write_table(pq.read_table(folder / 'set.parquet').slice(0, 12), small)
    options = {'chunk_size': 4, 'already_scaled': True, 'morphology': False,
               'reconstruction': False}
    for ending in ('parquet', 'fits'):
        right = folder / f'right.{ending}'
        with failing_operation(0, 0) as count:
            stream_cutout_set(small, right, **options)
        for code in (errno.ENOSPC, errno.EIO):
            for number in range(1, count[0] + 1, 4):
                output = folder / f'failed-{code}-{number}.{ending}'
                failed = False
                with failing_operation(number, code):
                    try:
                        stream_cutout_set(small, output, **options)
                    except OSError:
                        failed = True
                with suppress(FileExistsError):
                    stream_cutout_set(small, output, **options)
                same = output.exists() and output.read_bytes() == right.read_bytes()
                left = list(folder.glob(f'.{output.name}*'))
                yield f'{ending} {errno.errorcode[code]} {number} {failed}', (
                    '' if same and not left else f'left {left}' if same else 'another file')


def group_2c(folder):
    from astropy.table import Table

    from galvae_affiliated.tables.files import FORMATS, write_table

    table = Table({'id': np.arange(4000), 'x': np.random.default_rng(0).random(4000)})
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for ending in FORMATS:
        for before in (None, b'what was there'):
            path = folder / f'full{ending}'
            if before is not None:
                path.write_bytes(before)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
            try:
                write_table(table, path)
                found = 'no error'
            except Exception as error:
                found = '' if isinstance(error, (OSError, RuntimeError)) else repr(error)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            kept = path.read_bytes() if path.exists() else None
            left = list(folder.glob(f'.full{ending}*')) + list(folder.glob(f'full{ending}?*'))
            found = found or ('' if kept == before and not left else f'left {left} {kept}')
            write_table(table, path)
            yield f'{ending} {before}', found
            path.unlink()


def group_2h(folder):
    rng = np.random.default_rng(12)
    expected = None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for i in range(4):
            output = folder / f'ended-{number}-{i}.parquet'
            words = encoding(folder / 'set.parquet', output, '--chunk-size', 10, '--batch-size', 1)
            run = start_command(*words)
            time.sleep(rng.uniform(0.0, 6.0) if i else 0.1)
            run.send_signal(number)
            said = run.communicate()[1]
            expected = expected or reference(folder)
            if run.returncode == 0:
                found = '' if rows_of(output)[0] == expected[0] else 'another table'
            elif run.returncode == -number:
                found = '' if not said else said[-200:]  # before Python ran any of our code
            else:
                found = one_line(run.returncode, said, (128 + number,))
            yield f'{signal.Signals(number).name} {i}', found


def group_2i(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from _attack_inputs import run_quietly

    from galvae_affiliated.scripts.main import main

    good = pq.read_table(folder / 'set.parquet')
    names = good['id_str'].to_pylist()
    for text in ('galaxi\u00e9', '\u661f\u7cfb', 'a\u200bb'):
        for chunked in ([], ['--chunk-size', 10]):
            odd = [*names[:50], text, *names[51:]]
            pq.write_table(good.set_column(good.column_names.index('id_str'), 'id_str',
                                           pa.array(odd)), folder / 'odd.parquet')
            start = time.monotonic()
            code, said = run_quietly(main, encoding(folder / 'odd.parquet', folder / 'odd.fits',
                                                    '--batch-size', 1, *chunked))
            seconds = time.monotonic() - start
            found = one_line(code, said)
            is_named = any(one in said for one in (text, repr(text)[1:-1])) and 'id_str' in said
            yield f'{text} {chunked}', found or ('' if is_named else said) or (
                '' if not list(folder.glob('.odd.fits*')) else f'after the work, {seconds:.1f} s')


def group_4a(folder):
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing import get_context

    from galvae_affiliated import LatentTransformer

    images = np.random.default_rng(0).random((6, 3, 128, 128)).astype('f4')
    transformer = LatentTransformer(n_threads=1)
    right = transformer.transform(images)

    def same(values):
        return '' if np.abs(values - right).max() < 1e-5 else 'other latents'

    with ThreadPoolExecutor(8) as pool:
        for i, values in enumerate(pool.map(transformer.transform, [images] * 8)):
            yield f'thread {i}', same(values)
    for name, other in (('pickle', pickle.loads(pickle.dumps(transformer))),
                        ('deepcopy', copy.deepcopy(transformer))):
        yield name, same(other.transform(images))
    for method in ('spawn', 'forkserver', 'fork'):
        with get_context(method).Pool(2) as pool:
            jobs = [pool.apply_async(LatentTransformer(n_threads=1).transform, (images,))
                    for _ in range(2)]
            for i, job in enumerate(jobs):
                try:
                    yield f'{method} {i}', same(job.get(timeout=120))
                except Exception as error:
                    yield f'{method} {i}', repr(error)


def group_4b(_):
    from galvae_affiliated import LatentTransformer

    images = np.random.default_rng(0).random((33, 3, 128, 128)).astype('f4')
    right = LatentTransformer(batch_size=1).transform(images)
    for n_threads in (1, 2):
        for size in (2, 3, 7, 16, 32, 33, 64, 1000):
            found = LatentTransformer(batch_size=size, n_threads=n_threads).transform(images)
            largest = np.abs(found - right).max()
            yield f'{size} {n_threads}', '' if largest < 1e-5 else f'{largest}'


def group_4c(folder):
    for name, more in (('OMP', {'OMP_NUM_THREADS': '1'}), ('none', {'OMP_NUM_THREADS': 'x'}),
                       ('zero', {'OMP_NUM_THREADS': '0'}), ('Slurm', {'SLURM_CPUS_PER_TASK': '1'}),
                       ('Slurm text', {'SLURM_CPUS_PER_TASK': 'x'})):
        out = folder / 'limited.parquet'
        code, said = command(*encoding(folder / 'set.parquet', out, '--overwrite'),
                             env={**os.environ, **more})
        yield name, '' if code == 0 else f'code {code}: {said[-200:]}'


def group_4d(folder):
    from galvae_affiliated import encode_cutout_set

    def memory():
        with open('/proc/self/statm') as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20

    for name, options in (('plain', {'morphology': False}), ('votes', {})):
        sizes = []
        for _ in range(8):
            encode_cutout_set(folder / 'set.parquet', already_scaled=True, reconstruction=False,
                              **options)
            sizes.append(memory())
        growth = sizes[-1] - sizes[2]
        yield name, '' if growth < 30 else f'{growth:.0f} MB'


class _Server(http.server.BaseHTTPRequestHandler):
    content, headers_only, count = b'', False, 0

    def do_GET(self):
        type(self).count += 1
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(self.content)

    def log_message(self, *_):
        pass


@contextmanager
def server():
    made = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Server)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{made.server_port}'
    finally:
        made.shutdown()


def _good():
    from galvae_affiliated import get_model
    from galvae_affiliated.models._archive import pack

    return pack(get_model().manifest.content, get_model().parts)


def _cache_in(folder):
    """astropy's cache in a folder of this run; it is read once a process."""
    os.environ['XDG_CACHE_HOME'] = str(folder / 'cache')
    (folder / 'cache' / 'galvae_affiliated').mkdir(parents=True)


def group_5a(folder):
    from galvae_affiliated import get_model, register_model
    from galvae_affiliated.exceptions import BundleError

    _cache_in(folder)
    good = _good()
    right = hashlib.sha256(good).hexdigest()
    bad = {'page': b'<html>please log in</html>', 'empty': b'', 'cut': good[:1000],
           'bit': good[:2000] + bytes([good[2000] ^ 1]) + good[2001:], 'more': good + b'x'}
    with server() as host:
        for name, content in bad.items():
            register_model(name, f'{host}/{name}', right)
            _Server.content = content
            try:
                get_model(name)
                yield name, 'it was taken'
            except BundleError as error:
                yield name, '' if host in str(error) else str(error)
            _Server.content = good
            yield f'{name}, then right', '' if get_model(name).name else 'no'
            before = _Server.count
            get_model(name)
            yield f'{name}, kept', '' if _Server.count == before else 'downloaded again'
        _Server.content = good
        addresses = ['http://127.0.0.1:9/none', 'not an address', f'{host}/mirror']
        register_model('mirrors', addresses, right)
        yield 'mirrors', '' if get_model('mirrors').name else 'no'
        for name, address in (('refused', 'http://127.0.0.1:9/x'), ('none', 'nowhere'),
                              ('scheme', 'gopher://127.0.0.1/x'), ('file', 'file:///none')):
            register_model(name, address, right)
            try:
                get_model(name)
                yield name, 'it was taken'
            except BundleError as error:
                yield name, '' if address in str(error) else str(error)
            except Exception as error:
                yield name, f'{type(error).__name__}: {error}'


def group_5b(folder):
    from concurrent.futures import ThreadPoolExecutor

    from galvae_affiliated import get_model, register_model

    _cache_in(folder)
    _Server.content = _good()
    with server() as host:
        register_model('shared', f'{host}/m', hashlib.sha256(_Server.content).hexdigest())
        with ThreadPoolExecutor(8) as pool:
            for i, job in enumerate([pool.submit(get_model, 'shared') for _ in range(8)]):
                try:
                    yield f'thread {i}', '' if job.result().name else 'no'
                except Exception as error:
                    yield f'thread {i}', repr(error)


RUN_GROUPS = {name: value for name, value in globals().items() if name.startswith('group_')}
