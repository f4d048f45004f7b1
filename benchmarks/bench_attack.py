# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Attack the package as strangers and accidents would, and count what does not hold.

Run from the repository, for docs/development/reliability.rst::

    python benchmarks/bench_attack.py SET.parquet [GROUP ...]

SET.parquet is a set of cutouts with 60 rows or more. Each group runs in a process of its own,
so that a crash is counted too; one that says nothing for five minutes counts as hanging.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _attack_inputs import INPUT_GROUPS
from _attack_runs import RUN_GROUPS
from _attack_tools import command, encoding, killed_run, one_line, reference, rows_of

sys.path.insert(0, str(Path(__file__).parents[1] / 'tests'))
HANG = 30  # seconds
PATIENCE = 300  # seconds without a result: a group hangs, however busy the machine is
# group: what it is, and cases and failures before (72a97fd)
BEFORE = {
    '1a': ('damage of a bundle', 1037, 0),
    '1b': ('ZIP containers with a recomputed digest', 154, 79),
    '1c': ('ONNX external_data', 25, 24),
    '1d': ('hostile graphs', 51, 26),
    '1e': ("random bytes of the encoder's structure", 200, 162),
    '1f': ('manifest, random values', 260, 106),
    '1g': ('manifest, chosen values', 134, 69),
    '1h': ('self-test', 23, 18),
    '1i': ('names of models through five formats', 75, 8),
    '1j': ('pickles in a training TOML', 2, 2),
    '1k': ('values in a training TOML', 1658, 1),
    '2a': ('kill -9 at random moments', 48, 0),
    '2b': ('file operations that fail', 144, 15),
    '2c': ('files larger than there is room for', 32, 0),
    '2d': ('inputs changed before the run goes on', 39, 10),
    '2e': ('output path', 69, 11),
    '2f': ('two runs at once', 34, 18),
    '2g': ('finished chunks damaged', 53, 36),
    '2h': ('signals at random moments', 48, 10),
    '2i': ('text that FITS cannot hold', 7, 7),
    '3a': ('FITS header values', 158, 4),
    '3b': ('FITS files with random damage', 220, 26),
    '3c': ('the same, of large images', 90, 0),
    '3d': ('shapes, types, devices', 129, 4),
    '3e': ('folder of FITS cutouts, one bad', 25, 4),
    '3f': ('the same, random bytes of it', 90, 25),
    '3g': ('one bit of a .fits.gz cutout', 70, 15),
    '3h': ('catalogues', 428, 4),
    '3i': ('images in a Parquet set', 74, 7),
    '3j': ('Parquet structures', 66, 3),
    '3k': ('Parquet files with random damage', 120, 0),
    '3l': ('extreme pixel values', 27, 2),
    '3m': ('shell: streams, locale, limits', 27, 3),
    '4a': ('threads, processes, pickles', 24, 1),
    '4b': ('batches against batch 1', 27, 0),
    '4c': ('limits of threads', 11, 0),
    '4d': ('encodings in a row: memory', 5, 0),
    '5a': ('downloads: bad content, hashes, mirrors', 40, 6),
    '5b': ('8 threads download at once', 17, 0),
}


def bundles(cases, held=None):
    """Yield name and outcome of bundles."""
    import hostile_bundles

    held = held or hostile_bundles.HELD
    with tempfile.TemporaryDirectory() as folder:
        for name, content in cases:
            start = time.monotonic()
            found = hostile_bundles.outcome(content, Path(folder))
            if time.monotonic() - start > HANG:
                found = f'{time.monotonic() - start:.0f} seconds'
            yield name, '' if found in held else found


def good_bundle():
    from galvae_affiliated import get_model
    from galvae_affiliated.models._archive import pack

    return pack(get_model().manifest.content, get_model().parts)


def group_1a(_):
    good, rng = good_bundle(), np.random.default_rng(1)

    def cases():
        for place in rng.integers(0, len(good), 100):
            damaged = bytearray(good)
            damaged[place] ^= 1 << int(rng.integers(8))
            yield f'bit at {place}', bytes(damaged)
        for size in rng.integers(0, len(good), 80):
            yield f'{size} bytes', good[:size]
        for size in range(1, 54):
            yield f'{size} appended', good + rng.bytes(size)
        for place in rng.integers(0, len(good) - 5000, 26):
            yield f'block at {place}', good[:place] + rng.bytes(4096) + good[place + 4096:]

    yield from bundles(cases(), ['refused'])


def group_1b(_):
    import hostile_bundles

    yield from bundles(hostile_bundles.archives().items())


def group_1c(_):
    import hostile_bundles as hostile

    cases = ((f'{how} {place}', hostile.with_part('encoder.onnx', hostile.stealing(place, how)))
             for how in hostile.STEALING for place in hostile.LOCATIONS)
    yield from bundles(cases, ['refused'])


def group_1d(_):
    import hostile_bundles as hostile

    yield from bundles((name, hostile.with_part('encoder.onnx', graph))
                       for name, graph in hostile.hostile_encoders().items()
                       if name not in ('petabytes', 'expanded'))


def group_1e(_):
    import hostile_bundles as hostile

    graph = hostile.encoder()
    whole = graph.SerializeToString()
    # not the weights: any of their bytes is as good as another
    weights = [(whole.index(t.raw_data), len(t.raw_data)) for t in graph.graph.initializer
               if len(t.raw_data) > 100]
    places = np.ones(len(whole), bool)
    for start, size in weights:
        places[start:start + size] = False
    rng = np.random.default_rng(2)

    def cases():
        for place in rng.choice(np.flatnonzero(places), 100, replace=False):
            damaged = bytearray(whole)
            damaged[place] = int(rng.integers(256))
            yield f'byte {place}', hostile.with_part('encoder.onnx', bytes(damaged))

    yield from bundles(cases())


def group_1f(_):
    import hostile_bundles as hostile

    from galvae_affiliated import get_model

    manifest, rng = get_model().manifest.raw, np.random.default_rng(3)
    values = [None, True, -1, 0, 7, 1e300, float('nan'), '', 'x', '\x1b[2J', [], [1], {}, {'a': 1},
              'a' * 10**5, 10**30, [[[]]]]
    places = [(key,) for key in manifest]
    places += [(key, inner) for key, value in manifest.items() if isinstance(value, dict)
               and key != 'parts' for inner in value]
    picked = rng.integers(len(places), size=80), rng.integers(len(values), size=80)
    yield from bundles((f'{places[i]} {str(values[j])[:20]}',
                        hostile.with_entry(places[i], values[j])) for i, j in zip(*picked))


def group_1g(_):
    import hostile_bundles as hostile

    yield from bundles((f'{place} {value!r}', hostile.with_entry(place, value))
                       for place, value in hostile.WRONG_ENTRIES)


def group_1h(_):
    import hostile_bundles as hostile

    from galvae_affiliated.models.self_test import SELF_TEST

    yield from bundles(((name, hostile.with_part(SELF_TEST, content))
                        for name, content in hostile.self_tests().items()),
                       ['refused', 'used, though its self-test fails'])


class _Pickled:
    def __reduce__(self):
        return os.system, ('touch PWNED',)


def group_1j(folder):
    import torch

    from galvae_affiliated.training.checkpoints import read_checkpoint

    for name, saved in (('weights', {'state_dict': _Pickled(), 'global_step': 0}),
                        ('step', {'state_dict': {}, 'global_step': _Pickled()})):
        torch.save(saved, folder / 'evil.ckpt')
        try:
            read_checkpoint(folder / 'evil.ckpt')
            found = 'it was read'
        except ValueError:
            found = ''
        yield name, 'it ran code' if Path('PWNED').exists() else found


def group_2d(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(folder / 'set.parquet')
    images = rows['image'].to_pylist()
    changes = {
        'rows reversed': rows.take(list(range(len(rows)))[::-1]),
        'one picture': rows.set_column(
            rows.column_names.index('image'), 'image',
            pa.array([images[1], *images[1:]], rows.schema.field('image').type)),
        'a row less': rows.slice(0, len(rows) - 1),
        'touched': rows,
    }
    for name, changed in changes.items():
        path, output = folder / 'changing.parquet', folder / f'{name}.parquet'
        pq.write_table(rows, path)
        parts = killed_run(path, output)
        if not parts.exists():
            continue  # it had ended
        pq.write_table(changed, path)
        code, said = command(*encoding(path, output, '--chunk-size', 10))
        yield name, one_line(code, said)


def group_2e(folder):
    images = folder / 'set.parquet'
    before = images.read_bytes()
    (folder / 'folder.parquet').mkdir()
    (folder / 'link.parquet').symlink_to(images)
    for chunked in ([], ['--chunk-size', '10']):
        for name in ('set.parquet', 'link.parquet', 'folder.parquet', 'no/where.parquet', 'a.txt',
                     f'{"a" * 245}.parquet', '.', ''):
            code, said = command(*encoding(images, folder / name if name else '', '--overwrite',
                                           *chunked))
            found = one_line(code, said)
            yield f'{name} {chunked}', found or ('' if images.read_bytes() == before
                                                 else 'the input is lost')
    foreign = folder / '.out.parquet.parts'
    foreign.mkdir()
    (foreign / 'thesis.txt').write_text('mine')
    code, said = command(*encoding(images, folder / 'out.parquet', '--chunk-size', 10))
    yield 'foreign folder', one_line(code, said) or (
        '' if (foreign / 'thesis.txt').exists() else 'a file was removed')


def group_2f(folder):
    images = folder / 'set.parquet'
    expected, _ = reference(folder)
    for i in range(12):
        output = folder / f'two{i}.parquet'
        words = encoding(images, output, *(['--chunk-size', '10'] if i % 3 else []))
        words = [sys.executable, '-m', 'galvae_affiliated.scripts.main', *map(str, words)]
        runs = []
        for wait in (0.0, 0.12 * i):
            time.sleep(wait)
            runs.append(subprocess.Popen(words, stderr=subprocess.PIPE, text=True))
        errors = [run.communicate()[1] for run in runs]
        codes = [run.returncode for run in runs]
        names, _ = rows_of(output) if output.exists() else ([], None)
        told = all(code == 0 or not one_line(code, said) for code, said in zip(codes, errors))
        yield f'pair {i}', '' if names == expected and 0 in codes and told else (
            f'codes {codes}, {len(names)} rows, {len(set(names))} of them different')


def group_2g(folder):
    expected = reference(folder)
    rng = np.random.default_rng(5)

    def flip(path):
        content = bytearray(path.read_bytes())
        content[int(rng.integers(len(content)))] ^= 1
        path.write_bytes(content)

    damages = {
        'cut short': lambda path: os.truncate(path, 100),
        'empty': lambda path: os.truncate(path, 0),
        'bit': flip, 'gone': Path.unlink, 'text': lambda path: path.write_text('none'),
        'number': lambda path: path.write_text('7'),
    }
    for name, damage in damages.items():
        for kind in ('parquet', 'json'):
            output = folder / f'{name}-{kind}.parquet'
            parts = killed_run(folder / 'set.parquet', output)
            if not parts.exists():
                continue  # it had ended
            damage(parts / f'000000.{kind}')
            code, said = command(*encoding(folder / 'set.parquet', output, '--chunk-size', 10,
                                           '--batch-size', 1))
            found = rows_of(output) if code == 0 else ([], said)
            same = found[0] == expected[0] and np.array_equal(found[1], expected[1])
            yield f'{name} {kind}', '' if same else f'code {code}: {said[-200:]}'


def group_3i(folder):
    import struct
    import zlib

    import pyarrow as pa
    import pyarrow.parquet as pq

    def chunk(kind, data):
        ends = struct.pack('>I', len(data)), struct.pack('>I', zlib.crc32(kind + data))
        return ends[0] + kind + data + ends[1]

    def png(side):
        size = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
        return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', size) + chunk(b'IEND', b'')

    good = pq.read_table(folder / 'set.parquet')['image'][0].as_py()['bytes']
    rng = np.random.default_rng(6)
    pictures = {f'png of {side}': png(side) for side in (5000, 12000, 16000, 30000, 2**31 - 1)}
    pictures |= {'eps': b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'none': b''}
    for place in rng.integers(0, len(good), 15):
        pictures[f'damage at {place}'] = good[:place] + rng.bytes(20) + good[place + 20:]
    for name, picture in pictures.items():
        images = pa.array([{'bytes': good}, {'bytes': picture}])
        pq.write_table(pa.table({'id_str': ['a', 'b'], 'image': images}), folder / 'one.parquet')
        output = folder / 'one-out.parquet'
        code, said = command(*encoding(folder / 'one.parquet', output, '--overwrite'))
        found = rows_of(output)[0] if code == 0 else []
        yield name, '' if found == ['a', 'b'] else f'code {code}: {said[-200:]}'


def group_3k(folder):
    good, rng = (folder / 'set.parquet').read_bytes(), np.random.default_rng(7)
    for place in rng.integers(0, len(good) - 200, 16):
        (folder / 'bad.parquet').write_bytes(good[:place] + rng.bytes(100) + good[place + 100:])
        output = folder / 'bad-out.parquet'
        code, said = command(*encoding(folder / 'bad.parquet', output, '--overwrite'))
        yield f'damage at {place}', one_line(code, said) if code else ''


def _run_group(name, folder, results):
    os.chdir(folder)
    warnings.simplefilter('ignore')
    for case, found in {**globals(), **INPUT_GROUPS, **RUN_GROUPS}[f'group_{name}'](Path(folder)):
        results.put((case, found))
    results.put(None)


def run_group(name, images):
    """Cases and failures of a group; what it leaves unfinished counts as one failure."""
    import pyarrow.parquet as pq

    results, found = multiprocessing.Queue(), []
    with tempfile.TemporaryDirectory() as folder:
        rows = next(pq.ParquetFile(images).iter_batches(60, columns=['id_str', 'image']))
        with pq.ParquetWriter(Path(folder) / 'set.parquet', rows.schema) as writer:
            writer.write_batch(rows)
        process = multiprocessing.Process(target=_run_group, args=(name, folder, results))
        process.start()
        while process.is_alive() or not results.empty():
            try:
                case = results.get(timeout=PATIENCE if process.is_alive() else 1)
            except Exception:
                found.append(('unfinished', f'no answer, exit code {process.exitcode}'))
                break
            if case is None:
                break
            found.append(case)
        process.kill()
        process.join()
    return len(found), [case for case in found if case[1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('images', metavar='SET.parquet')
    parser.add_argument('groups', nargs='*', metavar='GROUP', default=[], help=', '.join(BEFORE))
    options = parser.parse_args()
    print(f'{"group":6s}{"what":44s}{"before":>12s}{"now":>12s}')
    for name in options.groups or BEFORE:
        what, cases, failed = BEFORE[name]
        n, failures = run_group(name, options.images)
        print(f'{name:6s}{what:44s}{f"{failed} of {cases}":>12s}{f"{len(failures)} of {n}":>12s}',
              flush=True)
        for case, found in failures[:5]:
            print(f'      {case}: {found}'[:200], flush=True)


if __name__ == '__main__':
    multiprocessing.set_start_method('spawn')
    main()
