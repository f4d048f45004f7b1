# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How fast this package is, beside what else could be done, and what the machine allows.

    throughput.py FOLDER [--quick] [--json OUT.json] [--rst OUT.inc]

One run measures, on the same simulated mosaic (8,000 pixels a side in three bands, 20,000 sources; it is made once
and kept in FOLDER): galaxies a second from mosaic to table and from cutouts to latents, of this package, of a plain
loop, of the path of Xu et al. (2023), of encoders as Zoobot has them and of Hyrax; what the time goes to; memory;
start-up of the command; growth with the catalogue; Dask, a worker a thread, against one process; and the network
against the matrix-multiply peak and the memory bandwidth. The heads of ``throughput_torch.py`` and
``throughput_others.py`` say what is assumed of the others.

Each measurement is a process of its own, with the same number of threads, that encodes 64 sources before it is timed;
reading the images and the catalogue is inside the time, building a network of PyTorch is not. Repeated runs take turns,
and medians are told, so that what else the machine does hits all alike. The images are in the system's cache. Slow
paths are timed on the first ``--slow-sources`` of the same catalogue, whose order is random.

What Zoobot and Hyrax need (timm, hyrax) may be in another environment: ``--others-python`` names its interpreter.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from throughput_field import simulate
from throughput_report import STREAM, VOTES, as_rst, as_text, tables

HERE = Path(__file__).resolve().parent
TABLES = ('ours', 'ours, votes', 'cluster', 'plain', 'plain, batches', 'paper', 'paper, its code')
LATENTS = ('ours, votes', 'plain', 'plain, batches', 'paper', 'paper, its code', 'zoobot, efficientnet_b0',
           'zoobot, convnext_nano', 'hyrax')
OTHERS = ('zoobot, efficientnet_b0', 'zoobot, convnext_nano', 'hyrax')
WHOLE = ('ours', 'ours, votes', 'cluster')  # timed on all sources
STAGED = ('ours', 'ours, votes')
PARTS = ('tables', 'latents', 'growth', 'start', 'limits')
QUICK = {'size': 1000, 'sources': 200, 'slow_sources': 64, 'repeats': 1, 'growth': [100, 200, 400], 'starts': 2}
SMALL_SIZE, SMALL_SOURCES = 400, 20  # of the field that the command is started on
ROWS = 10000  # of a chunk, the default of the command
VARIABLES = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')


def main():
    options = parsed()
    field = simulate(options.folder, options.size, options.sources)
    field.read_through()
    settings = {'model': options.model, 'device': options.device, 'n_threads': options.n_threads}
    found = {'machine': machine(options)}
    makers = {'tables': lambda: repeated(TABLES, 'table', field, options, settings),
              'latents': lambda: repeated(LATENTS, 'latents', field, options, settings),
              'growth': lambda: growth(field, options, settings),
              'start': lambda: start_up(options),
              'limits': lambda: run_task({'kind': 'limits', 'settings': settings, 'quick': options.quick}, options)}
    for part in PARTS:
        if part in options.parts:
            found[part] = makers[part]()
            # a run takes long: what there is, is kept
            if options.json:
                Path(options.json).write_text(json.dumps(found, indent=1))
    made = tables(found)
    print('\n'.join(as_text(table) for table in made))
    if options.rst:
        Path(options.rst).write_text('.. made by benchmarks/throughput.py\n\n' + told(found) + '\n'
                                     + '\n'.join(as_rst(table) for table in made))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', help='where the simulated field is kept')
    parser.add_argument('--size', type=int, default=8000, help='side of the field in pixels')
    parser.add_argument('--sources', type=int, default=20000)
    parser.add_argument('--slow-sources', type=int, default=1000, help='on which slow paths are timed')
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--growth', type=int, nargs='+', default=[1000, 10000, 100000], help='rows of the catalogues')
    parser.add_argument('--starts', type=int, default=5, help='how often each command is started')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS, help='only these')
    parser.add_argument('--model', help='name or file; the default model if left out')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--n-threads', type=int, default=processors(), help='of every path; all processors if left out')
    parser.add_argument('--others-python', default=sys.executable, help='interpreter that has timm and hyrax')
    parser.add_argument('--quick', action='store_true', help='a small field, to see whether everything runs')
    parser.add_argument('--json', help='file for all that was measured')
    parser.add_argument('--rst', help='file for the tables')
    options = parser.parse_args()
    if options.quick:
        vars(options).update(QUICK)
    if len(options.growth) < 3:
        parser.error(f'--growth has {len(options.growth)} lengths; expected three or more, to compare their slopes')
    return options


def processors():
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def machine(options):
    """What the figures are of."""
    model = next((line.partition(':')[2].strip() for line in Path('/proc/cpuinfo').read_text().splitlines()
                  if line.startswith('model name')), '') if Path('/proc/cpuinfo').exists() else ''
    return {'processor': model or platform.processor(), 'platform': platform.platform(),
            'python': platform.python_version(), **{name: value for name, value in vars(options).items()
                                                    if name not in ('folder', 'json', 'rst', 'others_python')}}


def environment(n_threads):
    """Variables of a measurement: equal threads for all, and this checkout's package where none is installed."""
    paths = [str(HERE.parent), *filter(None, [os.environ.get('PYTHONPATH')])]
    return {**os.environ, **dict.fromkeys(VARIABLES, str(n_threads)), 'PYTHONPATH': os.pathsep.join(paths)}


def run_task(task, options, optional=False):
    """
    Run one measurement in a new process.

    Parameters
    ----------
    task : dict
        See `throughput_worker.run`.
    options : `argparse.Namespace`
    optional : bool, optional
        By ``--others-python``, and a failure is a result.

    Returns
    -------
    result : dict
    """
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder) / 'task.json', Path(folder) / 'result.json'
        given.write_text(json.dumps(task))
        python = options.others_python if optional else sys.executable
        done = subprocess.run([python, HERE / 'throughput_worker.py', given, result], cwd=folder, text=True,
                              capture_output=True, env=environment(options.n_threads))
        if result.exists():
            return json.loads(result.read_text())
        if optional:
            return {'failed': (done.stderr.strip().splitlines() or ['no message'])[-1]}
        raise RuntimeError(f'{task["kind"]} of {task.get("path", "the machine")} failed:\n{done.stderr}')


def repeated(names, kind, field, options, settings):
    """Path to its runs; the paths take turns."""
    found = {name: [] for name in names}
    for repeat in range(options.repeats):
        for name in names:
            rows = options.sources if kind == 'table' and name in WHOLE else min(options.slow_sources, options.sources)
            task = {'kind': kind, 'path': name, 'images': field.images, 'catalog': field.catalog, 'rows': rows,
                    'settings': settings, 'stages': name in STAGED}
            found[name].append(run_task(task, options, optional=name in OTHERS))
            tell(f'{kind} {repeat + 1}/{options.repeats}', name, found[name][-1])
    return found


def growth(field, options, settings):
    """Path to rows to runs."""
    # the largest catalogue is of several chunks, the one before of one at most
    chunk = min(ROWS, sorted(options.growth)[-2])
    found = {name: {str(n): [] for n in options.growth} for name in (VOTES, STREAM)}
    for repeat in range(options.repeats):
        for n_rows in options.growth:
            if repeat and n_rows > options.sources:
                continue  # so long a run is not repeated
            for name, sizes in found.items():
                task = {'kind': 'table', 'path': name, 'images': field.images, 'catalog': field.grown(n_rows),
                        'rows': n_rows, 'settings': {**settings, 'chunk': chunk}}
                sizes[str(n_rows)].append(run_task(task, options))
                tell(f'growth {repeat + 1}/{options.repeats}, {n_rows} rows', name, sizes[str(n_rows)][-1])
    return found


def start_up(options):
    """Command to seconds of each start; the commands take turns."""
    field = simulate(options.folder, SMALL_SIZE, SMALL_SOURCES)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        encode = ['-m', 'galvae_affiliated.scripts.main', 'encode', *field.images.values(), '--bands',
                  ','.join(field.images), '--catalog', field.catalog, '-o', 'out.fits', '--overwrite', '--device',
                  options.device]
        if options.model:
            encode += ['--model', str(Path(options.model).resolve()) if Path(options.model).exists() else options.model]
        commands = {'python -c pass': ['-c', 'pass'], 'import numpy': ['-c', 'import numpy'],
                    'import astropy.table': ['-c', 'import astropy.table'],
                    'import galvae_affiliated': ['-c', 'import galvae_affiliated'], 'galvae encode': encode}
        for _ in range(options.starts):
            for name, words in commands.items():
                start = time.perf_counter()
                subprocess.run([sys.executable, *words], cwd=folder, check=True, env=environment(options.n_threads))
                found.setdefault(name, []).append(time.perf_counter() - start)
    tell('start', f'galvae encode of {SMALL_SOURCES} sources', {'rows': SMALL_SOURCES,
                                                                'seconds': found['galvae encode'][-1]})
    return found


def told(found):
    """A line on the conditions of the run."""
    machine = found['machine']
    return (f'{machine["processor"]}, {machine["threads"]} threads, {machine["device"]}; a field of '
            f'{machine["size"]} x {machine["size"]} pixels in three bands with {machine["sources"]} sources, of which '
            f'slow paths were timed on {min(machine["slow_sources"], machine["sources"])}; medians of '
            f'{machine["repeats"]}.\n')


def tell(what, name, result):
    """Progress, on the standard error stream."""
    figure = (f'{result["rows"] / result["seconds"]:.4g} a second' if 'seconds' in result
              else result.get('failed') or f'{result["missing"]} is not installed')
    print(f'{what}: {name}: {figure}', file=sys.stderr, flush=True)


if __name__ == '__main__':
    main()
