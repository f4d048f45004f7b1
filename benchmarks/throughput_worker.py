# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
One measurement in a process of its own: `throughput.py` starts it and reads the JSON that it leaves.

    throughput_worker.py TASK.json RESULT.json
"""

import contextlib
import importlib
import importlib.util
import json
import resource
import sys
import threading
import time
from pathlib import Path

from pyarrow.parquet import read_metadata
from throughput_stages import STAGES, Recorder, busy_seconds, seconds_by_stage

WARM_UP = 64  # sources that every path encodes before it is timed
SAMPLED_EVERY = 0.02  # seconds between two looks at the memory
# name of a path: module, class, options, and the package that it needs besides PyTorch
PATHS = {'ours': ('throughput_paths', 'Ours', {}, None),
         'ours, votes': ('throughput_paths', 'Ours', {'reconstruction': False}, None),
         'stream': ('throughput_paths', 'Stream', {'reconstruction': False}, None),
         'cluster': ('throughput_paths', 'Cluster', {'reconstruction': False}, 'distributed'),
         'plain': ('throughput_torch', 'Plain', {}, None),
         'plain, batches': ('throughput_torch', 'Plain', {'batch': 64, 'order': 1}, None),
         'paper': ('throughput_torch', 'Paper', {}, None),
         'paper, its code': ('throughput_torch', 'Paper', {'published': True}, None),
         'zoobot, efficientnet_b0': ('throughput_others', 'Zoobot', {'network': 'efficientnet_b0'}, 'timm'),
         'zoobot, convnext_nano': ('throughput_others', 'Zoobot', {'network': 'convnext_nano'}, 'timm'),
         'hyrax': ('throughput_others', 'Hyrax', {}, 'hyrax')}


class Memory:
    """
    Memory of this process while it is in context.

    Memory-mapped pages of the mosaic count as resident as long as the system keeps them, so the memory that is not of
    files (``RssAnon`` of Linux) is looked at from time to time besides.
    """

    def __enter__(self):
        self.before = self.largest = not_of_files()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.largest = max(self.largest, not_of_files())

    def watch(self):
        while not self.done.wait(SAMPLED_EVERY):
            self.largest = max(self.largest, not_of_files())

    @property
    def report(self):
        """dict : Bytes: the highest resident memory of the process; not of files, and how much of it is new."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {'peak': peak, 'not of files': self.largest, 'over baseline': self.largest - self.before}


def not_of_files():
    """Bytes of resident memory that are not of files; zero where the system does not tell."""
    status = Path('/proc/self/status')
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith('RssAnon:')), 0)


def make_path(name, settings):
    """The path, or None where the package that it needs is not installed."""
    module, kind, options, needed = PATHS[name]
    if needed is not None and importlib.util.find_spec(needed) is None:
        return None
    return getattr(importlib.import_module(module), kind)(settings, **options)


def measure_table(path, task):
    """Seconds from mosaic to table, and memory; with ``stages`` also what took them."""
    recorder = Recorder()
    with Memory() as memory:
        path.table(task['images'], task['catalog'], min(WARM_UP, task['rows']))
        with recorder.recording() if task.get('stages') else contextlib.nullcontext():
            start = time.perf_counter()
            table = path.table(task['images'], task['catalog'], task['rows'])
            end = time.perf_counter()
    check_rows(task, read_metadata(table).num_rows if isinstance(table, Path) else len(table))
    result = {'rows': task['rows'], 'seconds': end - start, 'memory': memory.report}
    if task.get('stages'):
        inside = [(max(a, start), min(b, end), stage) for a, b, stage in recorder.intervals if b > start and a < end]
        result['stages'] = seconds_by_stage(inside, start, end)
        result['busy'] = {stage: busy_seconds(inside, stage) for stage in STAGES}
    return result


def measure_latents(path, task):
    """Seconds from cutouts that are ready to latents."""
    path.latents(path.arrays(task['images'], task['catalog'], min(WARM_UP, task['rows'])))
    arrays = path.arrays(task['images'], task['catalog'], task['rows'])
    start = time.perf_counter()
    latents = path.latents(arrays)
    seconds = time.perf_counter() - start
    check_rows(task, len(latents))
    return {'rows': task['rows'], 'seconds': seconds}


def check_rows(task, found):
    """A path that loses rows would be fast."""
    if found != task['rows']:
        raise RuntimeError(f'{task["path"]} gave {found} rows; expected {task["rows"]}')


def run(task):
    """
    Carry out a task.

    Parameters
    ----------
    task : dict
        ``kind``: 'table', 'latents' or 'limits'; for the first two ``path``, ``rows``, ``images`` and ``catalog``; and
        ``settings``, see `throughput_paths.Ours`.

    Returns
    -------
    result : dict
        With ``missing``, the name of a package, where that is not installed.
    """
    if task['kind'] == 'limits':
        from throughput_limits import limits

        return limits(task['settings'], quick=task['quick'])
    path = make_path(task['path'], task['settings'])
    if path is None:
        return {'missing': PATHS[task['path']][3]}
    try:
        return {'table': measure_table, 'latents': measure_latents}[task['kind']](path, task)
    finally:
        getattr(path, 'close', lambda: None)()


if __name__ == '__main__':
    Path(sys.argv[2]).write_text(json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
