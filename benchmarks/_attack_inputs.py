# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Groups 3 of bench_attack.py: images, catalogues and pixel values as nobody should write them."""

import gzip
import io
import os
import time
import warnings

import numpy as np
from _attack_tools import command, encoding, one_line, rows_of

SIDE = 48
SLOW = 20  # seconds of one processor for one case


def planes(seed=0, side=SIDE):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    noise = np.random.default_rng(seed).normal(0, 0.02, (3, side, side))
    return (4 * np.exp(-np.hypot(x, y) / 4) + noise).astype('f4')


def fits_bytes(*hdus):
    from astropy.io import fits

    content = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(content)
    return content.getvalue()


def holds(table, name='galvae_latent'):
    """'' if each row has finite latents, or a flag that masks."""
    from galvae_affiliated import UNMEASURED

    if not len(table):
        return ''
    flagged = (np.asarray(table['galvae_flags']) & UNMEASURED) != 0
    finite = np.isfinite(np.ma.filled(table[name], np.nan)).all(axis=1)
    return '' if (finite | flagged).all() else 'latents that are no numbers without a flag'


def outcome(call, *names):
    """'' if a call gives a sound table, or one error that names one of the names."""
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            found = holds(call())
    except (ValueError, TypeError, FileNotFoundError, KeyError) as error:
        told = not names or any(str(name) in str(error) for name in names)
        found = '' if told else f'an error that names no file: {error}'
    except Exception as error:
        found = f'{type(error).__name__}: {error}'
    seconds = time.process_time() - start
    return found if seconds < SLOW else f'{seconds:.0f} seconds'


def encode_file(path, **options):
    from astropy.table import Table

    from galvae_affiliated import encode_catalog

    middle = (SIDE - 1) / 2
    sources = Table({'x': [middle], 'y': [middle], 'petro_r90': [8.0]})
    options = {'bands': 'g,r,z', 'pixel_scale': 0.262, 'morphology': False, **options}
    return encode_catalog(str(path), sources, reconstruction=False, **options)


def encode_folder(folder):
    from galvae_affiliated import encode_cutout_set

    return encode_cutout_set(folder, bands='g,r,z', unit='nmgy', pixel_scale=0.262,
                             morphology=False, reconstruction=False)


def with_card(content, key, value):
    """FITS with a card in front of the first END, in place of the last blank one."""
    card, end = f'{key:8s}= {value}'.encode()[:80].ljust(80), b'END'.ljust(80)
    start = content.find(key.ljust(8).encode() + b'= ')
    if start >= 0:
        return content[:start] + card + content[start + 80:]
    place = content.index(end)
    return content[:place] + card + end + content[place + 160:]


def group_3a(folder):
    from astropy.io import fits

    content = fits_bytes(fits.PrimaryHDU(planes()))
    values = ['nan', '99999999999', '-1', '1E400', "'text'", 'T', '', "'10**99999999999 Jy'", '0']
    keys = ['BITPIX', 'NAXIS', 'NAXIS1', 'NAXIS3', 'BSCALE', 'BZERO', 'BLANK', 'BUNIT', 'MAGZERO',
            'CTYPE1', 'CRVAL1', 'CDELT1', 'BANDS', 'SEEING', 'FILTER', 'SIMPLE', 'EXTEND',
            'PHOTFLAM']
    for key in keys:
        for value in values:
            path = folder / 'card.fits'
            path.write_bytes(with_card(content, key, value))
            yield f'{key} = {value}', outcome(lambda p=path: encode_file(p), 'card.fits', 'unit')


def kinds_of_files():
    from astropy.io import fits

    yield 'cube', fits_bytes(fits.PrimaryHDU(planes()))
    yield 'extensions', fits_bytes(fits.PrimaryHDU(), *[
        fits.ImageHDU(plane, name=band) for plane, band in zip(planes(), 'grz')])
    yield 'compressed', fits_bytes(fits.PrimaryHDU(), fits.CompImageHDU(planes()))


def group_3b(folder):
    rng = np.random.default_rng(8)
    for name, content in kinds_of_files():
        for place in rng.integers(0, len(content) - 200, 30):
            path = folder / f'{name}.fits'
            path.write_bytes(content[:place] + rng.bytes(60) + content[place + 60:])
            yield f'{name} at {place}', outcome(lambda p=path: encode_file(p, unit='nmgy'),
                                                path.name)


def group_3c(folder):
    from astropy.io import fits

    rng = np.random.default_rng(9)
    content = fits_bytes(fits.PrimaryHDU(planes(side=1100)))
    for place in [*rng.integers(0, 6000, 10), *rng.integers(0, len(content) - 200, 6)]:
        path = folder / 'large.fits'
        path.write_bytes(content[:place] + rng.bytes(60) + content[place + 60:])
        yield f'at {place}', outcome(lambda p=path: encode_file(p, unit='nmgy'), path.name)


def group_3d(folder):
    from astropy.table import Table

    from galvae_affiliated import encode_catalog

    image, sources = planes()[0], Table({'x': [20.0], 'y': [20.0], 'petro_r90': [8.0]})
    fast = {'morphology': False, 'reconstruction': False}
    arrays = {str(np.dtype(kind)): (100 * image).astype(kind) for kind in
              ('i1', 'u1', '>i2', 'u4', 'i8', 'u8', 'f2', '>f8', 'f8', 'c8', 'bool', 'U3')}
    arrays |= {str(shape): np.resize(image, shape) for shape in
               ((0, 0), (0, 5), (1, 1), (2, 300), (1, 48, 48), (2, 2, 48, 48), (48,), ())}
    arrays |= {'None': None, 'objects': image.astype(object), 'text': 'none.fits', 'bytes': b'x'}
    for name, array in arrays.items():
        for options in ({'unit': 'nmgy', 'pixel_scale': 0.262}, {}):
            yield f'{name} {options}', outcome(lambda a=array, o=options: encode_catalog(
                dict.fromkeys('grz', a), sources, **o, **fast))
    wrong = {'pixel_scale': [0, -1, 1e300, np.nan, 'x', True], 'unit': ['K', '', 5, '10**9 Jy'],
             'zero_point': [0, np.inf, 'x', {'g': 25}], 'radius': [-1.0, 'none', np.nan, 1e30],
             'psf_fwhm': [0, -1, np.nan], 'bands': ['', 'g', 'g,g,r', 'g,r,z,i']}
    for option, values in wrong.items():
        for value in values:
            options = {'unit': 'nmgy', 'pixel_scale': 0.262, option: value}
            yield f'{option} {value}', outcome(lambda o=options: encode_catalog(
                dict.fromkeys('grz', image), sources, **o, **fast))
    os.mkfifo(folder / 'pipe.fits')
    for path in ('/dev/null', '/dev/zero', '/dev/random', '/proc/self/mem', folder / 'pipe.fits',
                 folder, folder / 'none.fits'):
        yield str(path), outcome(lambda p=path: encode_file(p, unit='nmgy'), path)


def bad_files():
    """Name to bytes of one file of a folder."""
    from astropy.io import fits

    good = fits_bytes(fits.PrimaryHDU(planes(1)))
    axes = good.replace(b'NAXIS   =                    3', b'NAXIS   =          99999999999')
    return {'empty': b'', 'text': b'text', 'cut short': good[:4000], 'header alone': good[:2880],
            'axes': axes, 'no image': fits_bytes(fits.PrimaryHDU()),
            'two planes': fits_bytes(fits.PrimaryHDU(planes()[:2])),
            'flat': fits_bytes(fits.PrimaryHDU(planes()[0])),
            'nan': fits_bytes(fits.PrimaryHDU(planes() * np.nan)),
            'infinite': fits_bytes(fits.PrimaryHDU(planes() * np.inf)),
            'unit': with_card(good, 'BUNIT', "'10**99999999999 Jy'"),
            'magzero': with_card(good, 'MAGZERO', 'nan'),
            'huge': with_card(good, 'NAXIS1', 10**12),
            'bomb': gzip.compress(good + bytes(100 << 20)),
            'random': np.random.default_rng(3).bytes(20_000)}


def folder_of(folder, content, name='b.fits'):
    from astropy.io import fits

    place = folder / 'cutouts'
    place.mkdir(exist_ok=True)
    for i, letter in enumerate('ac'):
        (place / f'{letter}.fits').write_bytes(fits_bytes(fits.PrimaryHDU(planes(i))))
    (place / name).write_bytes(content)
    return place


def of_three(table):
    return '' if len(table) == 3 and not (np.asarray(table['galvae_flags'])[[0, 2]] & 63).any() \
        else 'the others were lost'


def group_3e(folder):
    for name, content in bad_files().items():
        place = folder_of(folder, content)
        table = []

        def call(where=place, kept=table):
            kept.append(encode_folder(where))
            return kept[0]

        found = outcome(call)
        yield name, found or (of_three(table[0]) if table else 'the folder was refused')
    place = folder_of(folder, b'')
    for name, make in (('link', lambda p: p.symlink_to('nowhere')), ('folder', lambda p: p.mkdir()),
                       ('pipe', os.mkfifo)):
        (place / 'b.fits').rmdir() if (place / 'b.fits').is_dir() else (place / 'b.fits').unlink()
        make(place / 'b.fits')
        table = encode_folder(place)
        yield name, holds(table) or of_three(table)


def group_3f(folder):
    rng = np.random.default_rng(10)
    for name, content in kinds_of_files():
        for place in rng.integers(0, len(content) - 200, 14):
            where = folder_of(folder, content[:place] + rng.bytes(60) + content[place + 60:])
            table = []
            found = outcome(lambda w=where, t=table: t.append(encode_folder(w)) or t[0])
            yield f'{name} at {place}', found or of_three(table[0])


def group_3g(folder):
    from astropy.io import fits

    content = fits_bytes(fits.PrimaryHDU(planes(1)))
    packed = gzip.compress(content, mtime=0)
    right = encode_folder(folder_of(folder, packed, 'b.fits.gz'))
    right = np.ma.filled(right['galvae_latent'], np.nan)[1]
    for bit in np.random.default_rng(1).integers(80, 8 * len(packed), 40):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << (bit % 8)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            table = encode_folder(folder_of(folder, bytes(damaged), 'b.fits.gz'))
        latent = np.ma.filled(table['galvae_latent'], np.nan)[1]
        sound = table['galvae_flags'][1] & 32 or np.abs(latent - right).max() < 1e-3
        yield f'bit {bit}', holds(table) or of_three(table) or ('' if sound else 'other latents')


def catalogs():
    """Name to columns of catalogues of two rows."""
    x, y = [20.0, 30.0], [20.0, 25.0]
    odd = [np.nan, np.inf, -np.inf, 1e300, -5.0, 1e-300]
    found = {f'x {value}': {'x': [value, 30.0], 'y': y} for value in odd}
    found |= {f'radius {value}': {'x': x, 'y': y, 'petro_r90': [value, 8.0]} for value in odd}
    found |= {
        'names': {'x': x, 'y': y, 'a' * 80: [1, 2]}, 'blank': {'x': x, 'y': y, '': [1, 2]},
        'text': {'x': ['20', '30'], 'y': y}, 'texts': {'x': ['a', 'b'], 'y': y},
        'empty': {'x': [], 'y': []}, 'no columns': {}, 'one': {'x': x},
        'bool': {'x': [True, False], 'y': y}, 'complex': {'x': [1j, 2.0], 'y': y},
        'vectors': {'x': np.ones((2, 3)), 'y': y}, 'lists': {'x': x, 'y': y, 'l': [[1], [2, 3]]},
        'ours': {'x': x, 'y': y, 'galvae_flags': [1, 2]},
        'beyond ascii': {'x': x, 'y': y, 'n': ['galaxi\u00e9', 'b']},
        'large': {'x': x, 'y': y, 'id': np.array([2**64 - 1, 0], dtype=np.uint64)},
        'sky': {'ra': [10.0, 10.1], 'dec': [1.0, 1.1]}, 'sky of nan': {'ra': [np.nan] * 2,
                                                                      'dec': [95.0, 1.0]}}
    return found


def group_3h(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from astropy.io import fits
    from astropy.table import Table

    from galvae_affiliated.scripts.main import main

    image = folder / 'image.fits'
    image.write_bytes(fits_bytes(fits.PrimaryHDU(planes())))
    for name, columns in catalogs().items():
        for ending in ('fits', 'parquet'):
            path = folder / f'catalog.{ending}'
            try:
                if ending == 'fits':
                    Table(columns).write(path, overwrite=True)
                else:
                    pq.write_table(pa.table({k: [*map(np.asarray, v)] if np.ndim(v[:1]) > 1 else v
                                             for k, v in columns.items()}), path)
            except Exception:
                continue  # nobody can write it
            for output in (f'out.{ending}', 'out.ecsv'):
                code, said = run_quietly(main, [
                    'encode', image, '--bands', 'g,r,z', '--unit', 'nmgy', '--pixel-scale', '.262',
                    '--catalog', path, '-o', folder / output, '--overwrite', '--no-morphology',
                    '--no-reconstruction'])
                found = one_line(code, said) if code else sound_rows(folder / output, columns)
                yield f'{name} {ending} {output}', found


def run_quietly(main, words):
    """Code and errors of the command in this process; warnings are left out."""
    import contextlib

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main(list(map(str, words)))
    lines = [line for line in said.getvalue().splitlines() if not line.startswith('galvae: warn')]
    return code, '\n'.join(lines)


def sound_rows(path, columns):
    from astropy.table import Table

    try:
        table = Table.read(path)
    except Exception as error:
        return f'unreadable: {error}'
    rows = len(next(iter(columns.values()), []))
    return holds(table) if len(table) == rows else f'{len(table)} rows for {rows}'


def group_3j(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    good = pq.read_table(folder / 'set.parquet').slice(0, 4)
    picture = good['image'][0].as_py()['bytes']
    kind = good.schema.field('image').type
    columns = {
        'scale of 0': {'pixel_scale_arcsec': [0.0, 0.4, 0.4, 0.4]},
        'scale of -1': {'pixel_scale_arcsec': [-1.0, 0.4, 0.4, 0.4]},
        'scale infinite': {'pixel_scale_arcsec': [np.inf, 0.4, 0.4, 0.4]},
        'scale of text': {'pixel_scale_arcsec': ['a', 'b', 'c', 'd']},
        'scale null': {'pixel_scale_arcsec': [None] * 4},
        'bytes': {'image': [picture] * 4}, 'nulls': {'image': pa.array([None] * 4, kind)},
        'paths alone': {'image': [{'path': 'a.jpg'}] * 4}, 'texts': {'image': ['a.jpg'] * 4},
        'numbers': {'image': [1.5] * 4}, 'lists': {'image': [[1, 2]] * 4},
        'empty': {'image': [{'bytes': b''}] * 4}, 'ids null': {'id_str': [None] * 4},
        'ids of numbers': {'id_str': [2**60 + 1, 2, 3, 4]}, 'ids of lists': {'id_str': [[1]] * 4},
        'ids alike': {'id_str': ['a'] * 4}, 'ids beyond ascii': {'id_str': ['\u00e9'] * 4},
        'other columns': {'more': [{'a': [1]}] * 4}, 'flags': {'galvae_flags': [1, 2, 3, 4]},
    }
    for name, changed in columns.items():
        table = {n: good[n] for n in ('id_str', 'image')} | changed
        pq.write_table(pa.table(table), folder / 'odd.parquet')
        yield name, of_set(folder, 4)
    for name, part in (('no rows', good.slice(0, 0)), ('no image', good.select(['id_str'])),
                       ('no id', good.select(['image']))):
        pq.write_table(part, folder / 'odd.parquet')
        yield name, of_set(folder, len(part))


def of_set(folder, rows):
    from astropy.table import Table

    from galvae_affiliated.scripts.main import main

    out = folder / 'odd-out.parquet'
    code, said = run_quietly(main, ['encode', folder / 'odd.parquet', '-o', out, '--overwrite',
                                    '--no-morphology', '--no-reconstruction'])
    if code:
        return one_line(code, said)
    table = Table.read(out)
    return holds(table) if len(table) == rows else f'{len(table)} rows for {rows}'


def group_3l(_):
    from astropy.table import Table

    from galvae_affiliated import LatentTransformer, encode_catalog

    sources = Table({'x': [23.0, 10.0], 'y': [23.0, 12.0], 'petro_r90': [8.0, 6.0]})
    for value in (0.0, 1e-45, 1e30, 3e38, -3e38, np.inf, -np.inf, np.nan):
        for where in ('all', 'one', 'block'):
            image = planes()
            part = {'all': (...,), 'one': (..., 23, 23), 'block': (..., slice(18, 28))}[where]
            image[part] = value
            yield f'{value} {where}', outcome(lambda i=image: encode_catalog(
                dict(zip('grz', i)), sources, unit='nmgy', pixel_scale=0.262, morphology=False,
                reconstruction=False))
    for value in (1e30, 3e38, np.inf, np.nan):
        images = np.full((1, 3, 128, 128), 0.1, np.float32)
        images[..., 60:70, 60:70] = value
        try:
            rows = LatentTransformer(with_flags=True).transform(images)
            found = '' if np.isfinite(rows[0]).all() or int(rows[0, -1]) & 63 else 'no flag'
        except ValueError:
            found = ''
        yield f'composite {value}', found


def group_3m(folder):
    images = folder / 'set.parquet'
    words = encoding(images, folder / 'shell.parquet', '--overwrite')
    environments = {'C': {'LC_ALL': 'C'}, 'POSIX': {'LANG': 'POSIX'}, 'no home': {'HOME': '/none'},
                    'ascii': {'PYTHONIOENCODING': 'ascii'}, 'warnings': {'PYTHONWARNINGS': 'error'}}
    for name, more in environments.items():
        code, said = command(*words, env={**os.environ, **more})
        yield name, '' if code == 0 and len(rows_of(folder / 'shell.parquet')[0]) == 60 else \
            f'code {code}: {said[-200:]}'
    import resource
    import subprocess
    import sys

    line = [sys.executable, '-m', 'galvae_affiliated.scripts.main', *map(str, words)]
    for name, close in (('stdin', '<&-'), ('stdout', '>&-'), ('stderr', '2>&-')):
        code = subprocess.run(['bash', '-c', f'exec "$@" {close}', 'bash', *line],
                              capture_output=True, timeout=300).returncode
        yield f'{name} closed', '' if code == 0 else f'code {code}'
    for name, kind, limit in (('files', resource.RLIMIT_NOFILE, 20),
                              ('memory', resource.RLIMIT_AS, 400 << 20)):
        code, said = command(*words, preexec_fn=lambda k=kind, n=limit: resource.setrlimit(
            k, (n, n)))
        yield f'few {name}', '' if code == 0 else one_line(code, said)


INPUT_GROUPS = {name: value for name, value in globals().items() if name.startswith('group_')}
