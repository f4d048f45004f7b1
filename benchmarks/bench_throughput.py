# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How fast this package is, beside what else could be done, and what the machine allows.

    bench_throughput.py FOLDER [--quick] [--json OUT.json] [--rst OUT.inc]
    bench_throughput.py FOLDER --baseline OTHER [--sources 4000] [--repeats 5]

One run measures, on the same simulated mosaic (8,000 pixels a side in three bands, 20,000 sources;
it is made once and kept in FOLDER): galaxies a second from mosaic to table and from cutouts to
latents, of this package and of what ``_rivals.py`` lists and explains; what the time goes to;
memory; start-up of the command; growth with the catalogue; Dask, a worker a thread, against one
process; and the network against the machine's peak (``_limits.py``). ``--baseline`` compares
this checkout with another one instead, whose folder holds a ``galvae_affiliated``.

Each measurement is a process of its own, with the same number of threads, that encodes 64 sources
before it is timed; reading the images and the catalogue is inside the time, building a network of
PyTorch is not. Repeated runs take turns, and medians are given, so that what else the machine does
hits all alike. The images are in the system's cache. Slow paths are timed on the first
``--slow-sources`` of the same catalogue, whose order is random.

What Zoobot and Hyrax need (timm, hyrax) may be in another environment: ``--others-python`` names
its interpreter.
"""

import argparse
import contextlib
import functools
import importlib
import importlib.util
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from unittest import mock

from astropy.table import Table

HERE = Path(__file__).resolve().parent
PARTS = ('tables', 'latents', 'growth', 'start', 'limits')
QUICK = {'size': 1000, 'sources': 200, 'slow_sources': 64, 'repeats': 1, 'growth': [100, 200, 400],
         'starts': 2}
SMALL_SIZE, SMALL_SOURCES = 400, 20  # of the field that the command is started on
ROWS = 10000  # of a chunk, the default of the command
VARIABLES = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')
# in some versions of the package this is the function, in others the module that holds it
COMMAND = 'from galvae_affiliated.scripts import main as m; getattr(m, "main", m)()'
WARM_UP = 64  # sources that every path encodes before it is timed
SAMPLED_EVERY = 0.02  # seconds between two looks at the memory
MIB = 1 << 20
# A moment counts for the first of these that was at work, so what is hidden behind the network
# costs nothing. The network is what ONNX Runtime computes, by whatever thread.
STAGES = ('network', 'loading the model', 'cutouts', 'columns', 'images')
OTHER = 'other'
# module, function or method, and its stage
WRAPPED = [('onnxruntime', 'InferenceSession.run', 'network'),
           ('onnxruntime', 'InferenceSession.run_with_iobinding', 'network'),
           ('onnxruntime', 'InferenceSession.__init__', 'loading the model'),
           ('galvae_affiliated.cutouts.maker', 'CutoutMaker.stack', 'cutouts'),
           ('galvae_affiliated.tables.outputs', 'Outputs.columns', 'columns'),
           ('galvae_affiliated.tables.columns', 'with_columns', 'columns'),
           ('galvae_affiliated.cutouts.maker', 'open_cutouts', 'images')]
# what is asked: how many times as fast at least, shares and seconds at most
FASTER = {'plain': 10, 'plain, batches': 10, 'paper': 15, 'paper, its code': 15}
MOST_BESIDE_NETWORK, LEAST_OF_PEAK, MOST_GROWTH, MOST_DASK = 0.30, 0.60, 0.10, 0.15
MOST_SECONDS = {'galvae encode': 1.5, 'import galvae_affiliated': 0.3}


# ---- the ways of this package -------------------------------------------------------------------


class Ours:
    """
    `~galvae_affiliated.encode_catalog`.

    What the classes of all paths share: they are made outside the measured time; ``table`` reads
    images and catalogue and returns a table with a row a source, in the order of the catalogue;
    ``arrays`` makes cutouts as the path takes them and is not measured; ``latents`` encodes those.
    ``settings`` has ``model``, ``device`` and ``n_threads``. Without ``reconstruction`` it delivers
    what the other paths do.
    """

    def __init__(self, settings, reconstruction=True):
        from galvae_affiliated import LatentTransformer, get_model

        self.settings, self.bundle = settings, get_model(settings['model'])
        self.options = {'reconstruction': reconstruction, 'device': settings['device']}
        self.transformer = LatentTransformer(self.bundle, device=settings['device'])

    def table(self, images, catalog, n_rows=None):
        """The table of the first rows of a catalogue; ``images`` is band to FITS file."""
        from galvae_affiliated import encode_catalog

        return encode_catalog(images, Table.read(catalog)[:n_rows], self.bundle, **self.options)

    def arrays(self, images, catalog, n_rows):
        """A `~galvae_affiliated.CutoutStack`."""
        from galvae_affiliated import make_cutouts

        return make_cutouts(images, Table.read(catalog), self.bundle, rows=slice(n_rows))

    def latents(self, arrays):
        """(N, n_latents) array."""
        return self.transformer.transform(arrays)


class Stream(Ours):
    """`~galvae_affiliated.stream_catalog` to Parquet; ``chunk_size`` is in the settings."""

    def __init__(self, settings, reconstruction=True):
        super().__init__(settings, reconstruction)
        self.folder = Path(tempfile.mkdtemp())

    def table(self, images, catalog, n_rows=None):
        """The path of the Parquet file, which is there until this object is closed."""
        from galvae_affiliated import stream_catalog

        path = self.folder / 'table.parquet'
        stream_catalog(images, Table.read(catalog)[:n_rows], path, self.bundle, overwrite=True,
                       chunk_size=self.settings['chunk_size'], **self.options)
        return path

    def close(self):
        """Remove the table."""
        shutil.rmtree(self.folder)


class Cluster(Ours):
    """
    ``encode_fields`` with as many workers as there are threads for the other paths.

    Each is a process with one thread. The catalogue is cut into a task a worker, as each task opens
    the images; the time of the tables' way back is in what is measured, and the start of the
    cluster is not.
    """

    def __init__(self, settings, reconstruction=True):
        from distributed import Client, LocalCluster

        super().__init__(settings, reconstruction)
        self.folder = tempfile.mkdtemp()
        cluster = LocalCluster(n_workers=settings['n_threads'], threads_per_worker=1,
                               processes=True, dashboard_address=None, local_directory=self.folder)
        self.client = Client(cluster)

    def table(self, images, catalog, n_rows=None):
        """Encode; see `Ours`."""
        from galvae_affiliated.distributed.tiles import encode_fields

        sources = Table.read(catalog)[:n_rows]
        chunk_size = max(1, -(-len(sources) // self.settings['n_threads']))
        table, = encode_fields([(images, sources)], self.client, model=self.bundle,
                               chunk_size=chunk_size, **self.options)
        return table

    def close(self):
        """Stop the workers."""
        self.client.cluster.close()
        self.client.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _rival(name, **options):
    """Maker of a class of ``_rivals.py``, which needs PyTorch."""
    return lambda settings: getattr(importlib.import_module('_rivals'), name)(settings, **options)


OURS, VOTES, STREAM, CLUSTER, HYRAX = 'ours', 'ours, votes', 'stream', 'cluster', 'hyrax'
ZOOBOT = ('zoobot, efficientnet_b0', 'zoobot, convnext_nano')
# name of a path: its title in the tables, its maker, and the package that it needs besides PyTorch
PATHS = {
    OURS: ('encode_catalog', Ours, None),
    VOTES: ('encode_catalog, no reconstruction',
            functools.partial(Ours, reconstruction=False), None),
    STREAM: ('stream_catalog, no reconstruction',
             functools.partial(Stream, reconstruction=False), None),
    CLUSTER: ('encode_fields, no reconstruction, a worker a thread',
              functools.partial(Cluster, reconstruction=False), 'distributed'),
    'plain': ('plain loop, a source at a time', _rival('Plain'), None),
    'plain, batches': ('the same, linear, batches of 64', _rival('Plain', batch=64, order=1), None),
    'paper': ('Xu et al. (2023), arcsinh stretch', _rival('Paper'), None),
    'paper, its code': ('Xu et al. (2023), stretch of their code',
                        _rival('Paper', published=True), None),
    **{name: (f'Zoobot: {name.split()[1]} of timm', _rival('Zoobot', network=name.split()[1]),
              'timm') for name in ZOOBOT},
    HYRAX: ('Hyrax infer, its own network; reads FITS', _rival('Hyrax'), 'hyrax'),
}
TITLES = {name: title for name, (title, *_) in PATHS.items()}
TABLES = (OURS, VOTES, CLUSTER, *FASTER)
LATENTS = (VOTES, *FASTER, *ZOOBOT, HYRAX)
WHOLE = (OURS, VOTES, CLUSTER)  # timed on all sources


# ---- one measurement, in a process of its own ---------------------------------------------------


@contextlib.contextmanager
def _watched_memory():
    """
    Bytes of this process while it is in context: yields a dict that is whole at the end.

    Pages of the mosaic count as resident as long as the system keeps them, so the memory that is
    not of files (``RssAnon`` of Linux) is looked at from time to time besides.
    """
    before, found, done = _not_of_files(), {}, threading.Event()
    seen = [before]

    def watch():
        while not done.wait(SAMPLED_EVERY):
            seen.append(_not_of_files())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        largest = max(*seen, _not_of_files())
        found['peak'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        found |= {'not of files': largest, 'over baseline': largest - before}


@contextlib.contextmanager
def _recorded_stages():
    """Wrap all of ``WRAPPED`` wherever it was imported to; yields the list of their intervals."""
    intervals = []

    def timed(function, stage):
        @functools.wraps(function)
        def call(*args, **keywords):
            start = time.perf_counter()
            try:
                return function(*args, **keywords)
            finally:
                intervals.append((start, time.perf_counter(), stage))

        return call

    with contextlib.ExitStack() as stack:
        for module, name, stage in WRAPPED:
            owner, _, attribute = name.rpartition('.')
            for holder in _holders(importlib.import_module(module), owner, attribute):
                new = timed(getattr(holder, attribute), stage)
                stack.enter_context(mock.patch.object(holder, attribute, new))
        yield intervals


def run_task(task):
    """
    Carry out a measurement.

    Its ``kind`` is 'table', 'latents' or 'limits'; for the first two there are ``path``, ``rows``,
    ``images`` and ``catalog``. ``package`` is the folder that the package has to be in, if that
    matters. In the result, ``missing`` names a package that is not installed.
    """
    _check_package(task.get('package'))
    if task['kind'] == 'limits':
        from _limits import limits

        return limits(task['settings'], quick=task['quick'])
    _, make, needed = PATHS[task['path']]
    if needed is not None and importlib.util.find_spec(needed) is None:
        return {'missing': needed}
    path = make(task['settings'])
    try:
        return {'table': measure_table, 'latents': _measure_latents}[task['kind']](path, task)
    finally:
        getattr(path, 'close', lambda: None)()


def measure_table(path, task):
    """Seconds from mosaic to table, and memory; with ``stages`` also what took them."""
    is_staged = task.get('stages')
    with _watched_memory() as memory:
        path.table(task['images'], task['catalog'], min(WARM_UP, task['rows']))
        with _recorded_stages() if is_staged else contextlib.nullcontext() as intervals:
            start = time.perf_counter()
            table = path.table(task['images'], task['catalog'], task['rows'])
            end = time.perf_counter()
    _check_rows(task, _n_rows(table))
    result = {'rows': task['rows'], 'seconds': end - start, 'memory': memory}
    if is_staged:
        result['stages'] = seconds_by_stage(intervals, start, end)
        result['busy'] = {stage: busy_seconds(intervals, stage) for stage in STAGES}
    return result


def _measure_latents(path, task):
    """Seconds from cutouts that are ready to latents."""
    path.latents(path.arrays(task['images'], task['catalog'], min(WARM_UP, task['rows'])))
    arrays = path.arrays(task['images'], task['catalog'], task['rows'])
    start = time.perf_counter()
    latents = path.latents(arrays)
    seconds = time.perf_counter() - start
    _check_rows(task, len(latents))
    return {'rows': task['rows'], 'seconds': seconds}


def seconds_by_stage(intervals, start, end):
    """
    Seconds that each stage took of a time, with each moment counted once.

    Intervals are (start, end, stage) and may overlap; the result adds up to ``end - start``.
    """
    events = []
    for first, last, stage in intervals:
        first, last = max(first, start), min(last, end)
        if first < last:
            events += [(first, 1, stage), (last, -1, stage)]
    seconds, running = dict.fromkeys((*STAGES, OTHER), 0.0), dict.fromkeys(STAGES, 0)
    before = start
    for moment, change, stage in sorted(events):
        seconds[next((s for s in STAGES if running[s]), OTHER)] += moment - before
        running[stage] += change
        before = moment
    seconds[OTHER] += end - before
    return seconds


def busy_seconds(intervals, stage):
    """Seconds in which a stage was at work in any thread, whatever else was."""
    total, until = 0.0, float('-inf')
    for first, last, name in sorted(intervals):
        if name == stage and last > until:
            total += last - max(first, until)
            until = last
    return total


def _holders(module, owner, attribute):
    """The class that has a method, or all modules of the package that imported a function."""
    if owner:
        return [holder for holder in [getattr(module, owner)] if hasattr(holder, attribute)]
    function, package = getattr(module, attribute), module.__name__.partition('.')[0]
    modules = [m for name, m in list(sys.modules.items()) if name.partition('.')[0] == package]
    return [m for m in modules if vars(m).get(attribute) is function]


def _not_of_files():
    """Bytes of resident memory that are not of files; zero where the system does not say."""
    status = Path('/proc/self/status')
    lines = status.read_text().splitlines() if status.exists() else []
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith('RssAnon:')]
    return sizes[0] if sizes else 0


def _n_rows(table):
    """Of a table, or of the Parquet file that holds one."""
    if not isinstance(table, Path):
        return len(table)
    from pyarrow.parquet import read_metadata

    return read_metadata(table).num_rows


def _check_rows(task, found):
    """A path that loses rows would be fast."""
    if found != task['rows']:
        raise RuntimeError(f'{task["path"]} gave {found} rows; expected {task["rows"]}')


def _check_package(folder):
    """The package that is measured is the one that was meant."""
    found = Path(importlib.util.find_spec('galvae_affiliated').origin).parents[1]
    if folder is not None and found != Path(folder):
        raise RuntimeError(f'galvae_affiliated was found in {found}; expected {folder}')


# ---- all measurements ---------------------------------------------------------------------------


def main():
    options = _parsed()
    from _common import list_table, text_table, write_report
    from _field import simulate

    field = simulate(options.folder, options.size, options.sources)
    field.read_through()
    settings = {name: getattr(options, name) for name in ('model', 'device', 'n_threads')}
    limits = {'kind': 'limits', 'settings': settings, 'quick': options.quick}
    makers = {'baseline': lambda: _side_by_side(field, options, settings),
              'tables': lambda: _repeated(TABLES, 'table', field, options, settings),
              'latents': lambda: _repeated(LATENTS, 'latents', field, options, settings),
              'growth': lambda: _growth(field, options, settings),
              'start': lambda: _start_up(options),
              'limits': lambda: _measured(limits, options)}
    found = {'machine': _machine(options)}
    for part in options.parts:
        found[part] = makers[part]()
        # a run takes long: what there is, is kept
        write_report(argparse.Namespace(json=options.json), found)
    made = tables(found)
    print('\n'.join(text_table(*table) for table in made))
    text = '\n'.join([_conditions(found['machine']),
                      *(list_table(*table, compact=True) for table in made)])
    write_report(options, found, text, Path(__file__).name)


def _parsed():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('folder', help='where the simulated field is kept')
    add('--size', type=int, default=8000, help='side of the field in pixels')
    add('--sources', type=int, default=20000)
    add('--slow-sources', type=int, default=1000, help='on which slow paths are timed')
    add('--repeats', type=int, default=3)
    add('--growth', type=int, nargs='+', default=[1000, 10000, 100000], help='rows of catalogues')
    add('--starts', type=int, default=5, help='how often each command is started')
    add('--parts', nargs='+', choices=PARTS, help='only these')
    add('--baseline', help='folder of another checkout, which is compared with this one alone')
    add('--model', help='name or file; the default model if left out')
    add('--device', choices=('cpu', 'cuda'), default='cpu')
    add('--n-threads', type=int, default=_processors(), help='of every path; all if left out')
    add('--others-python', default=sys.executable, help='interpreter that has timm and hyrax')
    add('--quick', action='store_true', help='a small field, to see whether everything runs')
    add('--json', help='file for all that was measured')
    add('--rst', help='file for the tables')
    options = parser.parse_args()
    if options.quick:
        vars(options).update(QUICK)
    if len(options.growth) < 3:
        parser.error(f'--growth has {len(options.growth)} lengths; expected three or more, to '
                     'compare their slopes')
    options.parts = options.parts or (['baseline'] if options.baseline else PARTS)
    return options


def _processors():
    """Processors that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _machine(options):
    """What the figures are of."""
    from galvae_affiliated import get_model

    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    paths = ('folder', 'json', 'rst', 'others_python', 'baseline')
    return {'processor': models[0] if models else platform.processor(),
            'platform': platform.platform(), 'python': platform.python_version(),
            **{name: value for name, value in vars(options).items() if name not in paths},
            'model': get_model(options.model).name}


def _conditions(machine):
    """A line on the conditions of the run."""
    slow = min(machine['slow_sources'], machine['sources'])
    return (f'{machine["processor"]}, {machine["n_threads"]} threads, {machine["device"]}, model '
            f'``{machine["model"]}``; a field of {machine["size"]} x {machine["size"]} pixels in '
            f'three bands with {machine["sources"]} sources, of which slow paths were timed on '
            f'{slow}; medians of {machine["repeats"]}.\n')


def _environment(n_threads, package=HERE.parent):
    """Variables of a measurement: equal threads for all, and the package of a checkout."""
    paths = [str(package), *filter(None, [os.environ.get('PYTHONPATH')])]
    threads = dict.fromkeys(VARIABLES, str(n_threads))
    return {**os.environ, **threads, 'PYTHONPATH': os.pathsep.join(paths)}


def _measured(task, options, *, optional=False, package=HERE.parent):
    """
    The result of `run_task` in a new process.

    By ``--others-python`` where it is optional, and then a failure is a result.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder) / 'task.json', Path(folder) / 'result.json'
        given.write_text(json.dumps(task))
        python = options.others_python if optional else sys.executable
        done = subprocess.run([python, __file__, '--task', given, result], cwd=folder, text=True,
                              capture_output=True, env=_environment(options.n_threads, package))
        if result.exists():
            return json.loads(result.read_text())
    if optional:
        return {'failed': (done.stderr.strip().splitlines() or ['no message'])[-1]}
    raise RuntimeError(f'{task["kind"]} of {task.get("path", "the machine")} failed:\n'
                       f'{done.stderr}')


def _table_task(name, field, rows, settings, **more):
    return {'kind': 'table', 'path': name, 'images': field.images, 'catalog': field.catalog,
            'rows': rows, 'settings': settings, **more}


def _repeated(names, kind, field, options, settings):
    """Path to its runs; the paths take turns."""
    found = {name: [] for name in names}
    for repeat in range(options.repeats):
        for name in names:
            whole = kind == 'table' and name in WHOLE
            rows = options.sources if whole else min(options.slow_sources, options.sources)
            task = _table_task(name, field, rows, settings, kind=kind, stages=name in (OURS, VOTES))
            found[name].append(_measured(task, options, optional=name in (*ZOOBOT, HYRAX)))
            _show_progress(f'{kind} {repeat + 1}/{options.repeats}', name, found[name][-1])
    return found


def _growth(field, options, settings):
    """Path to rows to runs."""
    # the largest catalogue is of several chunks, the one before of one at most
    settings = {**settings, 'chunk_size': min(ROWS, sorted(options.growth)[-2])}
    found = {name: {str(n): [] for n in options.growth} for name in (VOTES, STREAM)}
    for repeat in range(options.repeats):
        for n_rows in options.growth:
            if repeat and n_rows > options.sources:
                continue  # so long a run is not repeated
            for name, sizes in found.items():
                catalog = field.grown(n_rows)
                task = _table_task(name, field, n_rows, settings, catalog=catalog)
                sizes[str(n_rows)].append(_measured(task, options))
                _show_progress(f'growth {repeat + 1}/{options.repeats}, {n_rows} rows', name,
                               sizes[str(n_rows)][-1])
    return found


def _start_up(options):
    """Command to seconds of each start; the commands take turns."""
    commands = {'python -c pass': ['-c', 'pass'], 'import numpy': ['-c', 'import numpy'],
                'import astropy.table': ['-c', 'import astropy.table'],
                'import galvae_affiliated': ['-c', 'import galvae_affiliated'],
                'galvae encode': _encode_command(options)}
    found = {name: [] for name in commands}
    for _ in range(options.starts):
        for name, words in commands.items():
            found[name].append(_seconds_of(words, options))
    _show_progress('start', f'galvae encode of {SMALL_SOURCES} sources',
                   {'rows': SMALL_SOURCES, 'seconds': found['galvae encode'][-1]})
    return found


def _encode_command(options):
    """Words after the interpreter that encode a small field."""
    from _field import simulate

    field = simulate(options.folder, SMALL_SIZE, SMALL_SOURCES)
    words = ['-c', COMMAND, 'encode', *field.images.values(), '--bands', ','.join(field.images),
             '--catalog', field.catalog, '-o', 'out.fits', '--overwrite', '--device',
             options.device]
    if options.model:
        path = Path(options.model)
        words += ['--model', str(path.resolve() if path.exists() else path)]
    return words


def _seconds_of(words, options, package=HERE.parent):
    """Seconds of a new process of the interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True,
                       env=_environment(options.n_threads, package))
        return time.perf_counter() - start


def _side_by_side(field, options, settings):
    """What is measured to version to runs, of this checkout and of another one, in turns."""
    packages = {'this': HERE.parent, 'baseline': Path(options.baseline).resolve()}
    found = {what: {version: [] for version in packages}
             for what in (OURS, VOTES, 'galvae encode', 'import galvae_affiliated')}
    for repeat in range(options.repeats):
        for name in (OURS, VOTES):
            for version, package in packages.items():
                task = _table_task(name, field, options.sources, settings, package=str(package))
                found[name][version].append(_measured(task, options, package=package))
                _show_progress(f'{version} {repeat + 1}/{options.repeats}', name,
                               found[name][version][-1])
    starts = {'galvae encode': _encode_command(options),
              'import galvae_affiliated': ['-c', 'import galvae_affiliated']}
    for _ in range(options.starts):
        for name, words in starts.items():
            for version, package in packages.items():
                seconds = _seconds_of(words, options, package)
                found[name][version].append({'rows': 1, 'seconds': seconds})
    return found


def _show_progress(what, name, result):
    """A line on the standard error stream."""
    if 'seconds' in result:
        figure = f'{result["rows"] / result["seconds"]:.4g} a second'
    else:
        figure = result.get('failed') or f'{result["missing"]} is not installed'
    print(f'{what}: {name}: {figure}', file=sys.stderr, flush=True)


# ---- figures and tables -------------------------------------------------------------------------


def seconds_a_source(runs):
    """Median of repeated runs, each a dict with ``rows`` and ``seconds``."""
    return median(run['seconds'] / run['rows'] for run in runs)


def measured(runs):
    """Whether a path ran: not if a package is missing, or it failed."""
    return bool(runs) and all('seconds' in run for run in runs)


def faster(found, name, than):
    """How many times as many galaxies a second the path ``name`` encodes as ``than``."""
    return seconds_a_source(found[than]) / seconds_a_source(found[name])


def slopes(seconds):
    """Seconds of one more source between neighbouring sizes; ``seconds`` is rows to seconds."""
    sizes = sorted(seconds)
    return [(seconds[b] - seconds[a]) / (b - a) for a, b in zip(sizes, sizes[1:])]


def spread(values):
    """How much the largest is above the smallest, as a share of it."""
    return max(values) / min(values) - 1


def checks(found):
    """What is asked of the package: what, the figure, what is asked, and whether it is met."""
    rows = [*_path_checks(found.get('tables', {})), *_growth_checks(found.get('growth', {}))]
    rows += [(f'{name}, seconds', median(found['start'][name]), '<=', most)
             for name, most in MOST_SECONDS.items() if name in found.get('start', {})]
    shares = found.get('limits', {}).get('shares of peak', {})
    rows += [(f'{name}: share of the matrix-multiply peak', share, '>=', LEAST_OF_PEAK)
             for name, share in shares.items()]
    are_met = [figure >= limit if sign == '>=' else figure <= limit
               for _, figure, sign, limit in rows]
    return [(what, figure, f'{sign} {limit:g}', is_met)
            for (what, figure, sign, limit), is_met in zip(rows, are_met)]


def _path_checks(runs):
    """How many times as fast, what is not the network, and Dask."""
    ours = [name for name in (OURS, VOTES) if measured(runs.get(name))]
    for name, least in FASTER.items():
        if measured(runs.get(name)):
            for one in ours:
                what = f'{TITLES[one]}, times as fast as: {TITLES[name]}'
                yield what, faster(runs, one, name), '>=', least
    for one in ours:
        what = f'{TITLES[one]}: share of everything but the network'
        yield what, _beside_network(runs[one]), '<=', MOST_BESIDE_NETWORK
    if measured(runs.get(CLUSTER)) and VOTES in ours:
        what = 'Dask, a worker a thread: share by which it is slower than one process'
        yield what, 1 - faster(runs, CLUSTER, VOTES), '<=', MOST_DASK


def _growth_checks(growth):
    """Whether time and memory grow faster than the catalogue."""
    for name, sizes in growth.items():
        sizes = {int(n): runs for n, runs in sizes.items()}
        seconds = {n: median(run['seconds'] for run in runs) for n, runs in sizes.items()}
        what = f'{TITLES[name]}: change of the time a source with the catalogue'
        yield what, spread(slopes(seconds)), '<=', MOST_GROWTH
        *_, before, last = (_most_memory(sizes[n], 'peak') for n in sorted(sizes))
        what = f'{TITLES[name]}: change of the peak memory between the two largest'
        yield what, last / before - 1, '<=', MOST_GROWTH


def _beside_network(runs):
    """Median share of the time in which the network did not run."""
    return median(1 - run['stages']['network'] / sum(run['stages'].values()) for run in runs)


def _most_memory(runs, key):
    return max(run['memory'][key] for run in runs)


def tables(found):
    """Title, header and rows of the tables of all that was measured."""
    makers = {'baseline': _baseline_tables, 'tables': _path_tables, 'latents': _latent_tables,
              'growth': _growth_tables, 'start': _start_tables, 'limits': _limit_tables}
    made = [table for part, maker in makers.items() if part in found for table in maker(found)]
    made = [table for table in made if table[2]]
    asked = [[what, f'{figure:.3g}', limit, 'yes' if met else 'NO']
             for what, figure, limit, met in checks(found)]
    if asked:
        made.append(('What is asked', ['what', 'found', 'asked', 'met'], asked))
    return made


def _not_measured(name, runs, length):
    """The row of a path that did not run."""
    if 'missing' in runs[0]:
        reason = f'{runs[0]["missing"]} is not installed'
    else:
        reason = f'failed: {runs[0]["failed"]}'
    return [TITLES[name], reason, *['-'] * (length - 2)]


def _rate(seconds):
    """Galaxies a second, and milliseconds a galaxy."""
    return [f'{1 / seconds:.4g}', f'{seconds * 1e3:.3g}']


def _baseline_tables(found):
    """This checkout and the other one: medians, and the ratio of them and of the fastest runs."""
    rows = []
    for name, versions in found['baseline'].items():
        this, baseline = ([run['seconds'] for run in versions[v]] for v in ('this', 'baseline'))
        rows.append([TITLES.get(name, name), f'{versions["this"][0]["rows"]}',
                     f'{median(this):.4g}', f'{median(baseline):.4g}',
                     f'{median(baseline) / median(this):.3f}', f'{min(baseline) / min(this):.3f}'])
    header = ['what', 'sources', 'this checkout / s', 'baseline / s', 'faster by (medians)',
              'faster by (shortest)']
    return [('Beside the baseline', header, rows)]


def _path_tables(found):
    """From mosaic to table, and what our time goes to."""
    runs, rows, ours = found['tables'], [], (OURS, VOTES)
    memory = ('peak', 'not of files')
    header = ['path', 'sources', 'galaxies a second', 'ours is faster by',
              'no reconstruction, by',
              *(f'{key.replace("peak", "peak memory")} / MiB' for key in memory)]
    for name, some in runs.items():
        if not measured(some):
            rows.append(_not_measured(name, some, len(header)))
            continue
        ratios = [f'{faster(runs, one, name):.3g}' if measured(runs.get(one)) else '-'
                  for one in ours]
        rate, _ = _rate(seconds_a_source(some))
        rows.append([TITLES[name], f'{some[0]["rows"]}', rate, *ratios,
                     *(f'{_most_memory(some, key) / MIB:.0f}' for key in memory)])
    return [('From mosaic to table', header, rows), _stage_table(found)]


def _stage_table(found):
    """A moment counts once in a share; at work is a stage also beside another one."""
    runs = {name: found['tables'][name] for name in (OURS, VOTES)
            if measured(found['tables'].get(name))}
    which = {OURS: '', VOTES: ', no reconstruction'}
    columns = [f'{what}{which[name]}' for name in runs for what in ('share', 'at work')]
    header = ['stage', *columns]
    rows = [[stage] for stage in (*STAGES, OTHER)]
    for row in rows if runs else []:
        for some in runs.values():
            for key in ('stages', 'busy'):
                shares = [run[key][row[0]] / run['seconds'] for run in some if row[0] in run[key]]
                row.append(f'{median(shares):.1%}' if shares else '-')
    beside = [[f'{_beside_network(some):.1%}', '-'] for some in runs.values()]
    rows.append(['everything but the network', *sum(beside, [])])
    alone = found.get('latents', {}).get(VOTES)
    if VOTES in runs and measured(alone):
        # what is hidden behind the network slows it on a machine whose cores are all at work
        share = 1 - seconds_a_source(alone) / seconds_a_source(runs[VOTES])
        rows.append(['the same, by the time of the network alone', *['-'] * (len(header) - 3),
                     f'{share:.1%}', '-'])
    return 'Share of the time by stage', header, rows if runs else []


def _latent_tables(found):
    """From cutouts that are ready to latents."""
    header = ['path', 'cutouts', 'galaxies a second', 'ms a galaxy', 'ours is faster by']
    rows, runs = [], found['latents']
    for name, some in runs.items():
        if not measured(some):
            rows.append(_not_measured(name, some, len(header)))
            continue
        title = 'LatentTransformer' if name == VOTES else TITLES[name]
        ratio = f'{faster(runs, VOTES, name):.3g}' if measured(runs.get(VOTES)) else '-'
        rows.append([title, f'{some[0]["rows"]}', *_rate(seconds_a_source(some)), ratio])
    return [('From cutouts to latents', header, rows)]


def _growth_tables(found):
    """Time and memory against the length of the catalogue."""
    header = ['path', 'sources', 'seconds', 'ms a further source', 'peak memory / MiB',
              'not of files / MiB']
    rows = []
    for name, sizes in found['growth'].items():
        sizes = {int(n): runs for n, runs in sizes.items()}
        seconds = {n: median(run['seconds'] for run in sizes[n]) for n in sorted(sizes)}
        further = ['-', *(f'{slope * 1e3:.3g}' for slope in slopes(seconds))]
        for n, slope in zip(seconds, further):
            memory = [f'{_most_memory(sizes[n], k) / MIB:.0f}' for k in ('peak', 'not of files')]
            rows.append([TITLES[name], f'{n}', f'{seconds[n]:.3g}', slope, *memory])
    return [('Growth with the catalogue', header, rows)]


def _start_tables(found):
    """Seconds of a new process."""
    rows = [[name, f'{median(times):.3f}', f'{min(times):.3f}']
            for name, times in found['start'].items()]
    return [('Start-up, a new process each', ['command', 'median / s', 'shortest / s'], rows)]


def _limit_tables(found):
    """The machine's limits."""
    from _limits import limit_tables

    return limit_tables(found['limits'])


if __name__ == '__main__':
    if sys.argv[1:2] == ['--task']:
        given, result = map(Path, sys.argv[2:])
        result.write_text(json.dumps(run_task(json.loads(given.read_text()))))
    else:
        main()
