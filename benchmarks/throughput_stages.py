# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Where the time of our path goes: functions are wrapped while it runs, and each moment is given to one stage.

The network is what ONNX Runtime computes, by whatever thread. Stages may run at once; a moment counts for the first of
``STAGES`` that was at work, so what is hidden behind the network costs nothing.
"""

import contextlib
import functools
import importlib
import sys
import threading
import time

STAGES = ('network', 'loading the model', 'cutouts', 'columns', 'images')
OTHER = 'other'
# module, function or method, stage; what a version of the package does not have is left out
WRAPPED = [('onnxruntime', 'InferenceSession.run', 'network'),
           ('onnxruntime', 'InferenceSession.run_with_iobinding', 'network'),
           ('onnxruntime', 'InferenceSession.run_with_ort_values', 'network'),
           ('onnxruntime', 'InferenceSession.__init__', 'loading the model'),
           ('galvae_affiliated.cutouts.stack', 'CutoutMaker.stack', 'cutouts'),
           ('galvae_affiliated.tables.outputs', 'result_columns', 'columns'),
           ('galvae_affiliated.tables.columns', 'with_columns', 'columns'),
           ('galvae_affiliated.cutouts.maker', 'open_field', 'images')]


class Recorder:
    """Intervals in which functions ran, of all threads."""

    def __init__(self):
        self.intervals, self.lock = [], threading.Lock()

    def wrapped(self, function, stage):
        """The function, with a note of each call."""
        @functools.wraps(function)
        def call(*args, **keywords):
            start = time.perf_counter()
            try:
                return function(*args, **keywords)
            finally:
                with self.lock:
                    self.intervals.append((start, time.perf_counter(), stage))

        return call

    @contextlib.contextmanager
    def recording(self):
        """Wrap all of ``WRAPPED`` in this context, wherever it was imported to."""
        restore = []
        for module, name, stage in WRAPPED:
            owner, _, attribute = name.rpartition('.')
            holders = holders_of(importlib.import_module(module), owner, attribute)
            for holder in holders:
                before = getattr(holder, attribute)
                restore.append((holder, attribute, before))
                setattr(holder, attribute, self.wrapped(before, stage))
        try:
            yield self
        finally:
            for holder, attribute, before in reversed(restore):
                setattr(holder, attribute, before)


def holders_of(module, owner, attribute):
    """The class that has a method, or all modules of the package that have imported a function; empty if none has."""
    if owner:
        holder = getattr(module, owner, None)
        return [holder] if hasattr(holder, attribute) else []
    function = getattr(module, attribute, None)
    package = module.__name__.partition('.')[0]
    modules = [m for name, m in list(sys.modules.items()) if name.partition('.')[0] == package]
    return [m for m in modules if function is not None and vars(m).get(attribute) is function]


def seconds_by_stage(intervals, start, end):
    """
    Seconds that each stage took of a time, with each moment counted once.

    Parameters
    ----------
    intervals : list of (float, float, str)
        Start, end and stage; they may overlap.
    start, end : float

    Returns
    -------
    seconds : dict of str to float
        Of `STAGES` and `OTHER`, which add up to ``end - start``.
    """
    events = []
    for first, last, stage in intervals:
        first, last = max(first, start), min(last, end)
        if first < last:
            events += [(first, 1, stage), (last, -1, stage)]
    seconds, running, before = dict.fromkeys((*STAGES, OTHER), 0.0), dict.fromkeys(STAGES, 0), start
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
