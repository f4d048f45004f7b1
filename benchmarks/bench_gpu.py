# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
All that a GPU changes, checked and timed on a machine that has one, in less than five minutes.

    bench_gpu.py [--plan] [--steps NAME,...] [--json OUT.json] [--rst OUT.inc]

Needs no data: it simulates a field. Every step is a process of its own with a time limit, so that
one which hangs or crashes costs itself alone; what does not fit into ``--seconds`` is left out and
said. A table says what was found and whether it is as it should be, and the exit code is 1 if
something is not. Steps that need PyTorch are left out without it.

Without a GPU it says what it would do, step by step, and exits with 0.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 290  # of all steps
LEAST = 5  # seconds that are left, with which a step begins
SETTINGS = {'model': None, 'device': 'cuda', 'size': 2000, 'sources': 1200,
            'batches': [64, 256, 1024, 4096], 'least': 4096, 'steps': 60, 'cpu_steps': 6,
            'train_batch': 64, 'network': {}}


@dataclass(frozen=True)
class Step:
    """
    A step.

    Attributes
    ----------
    function : str
        Of ``_gpu_steps``.
    text : str
        What it does.
    limit : float
        Seconds.
    arguments : tuple
        After the settings.
    needs : str
        A package without which it is left out.
    """

    function: str
    text: str
    limit: float
    arguments: tuple = ()
    needs: str = ''


STEPS = {
    'machine': Step('about_machine', 'name the GPUs, the driver and all versions, and ask the '
                    'doctor', 40),
    'selection': Step('selection', "see that 'auto' and 'cuda' take the GPU, and count the "
                      'operators that ONNX Runtime leaves to the processor', 40),
    'hidden': Step('hidden', "hide the GPU (CUDA_VISIBLE_DEVICES=): 'auto' runs on the CPU, "
                   "'cuda' and 'float16' are errors", 30),
    'refused': Step('refused', 'see that half precision on a CPU, eight bits on a GPU and unknown '
                    'devices are errors', 20),
    'parity32': Step('parity', 'self-test in float32; latents, votes and chi2 of simulated '
                     "cutouts beside the CPU's", 50, ('float32',)),
    'parity16': Step('parity', 'the same in float16', 50, ('float16',)),
    'binding': Step('binding', 'see that results stay on the GPU between the networks, and what '
                    'that saves', 30),
    'rates32': Step('rates', 'galaxies a second of the encoder in float32, in batches of 64 to '
                    '4096, and the memory of the GPU', 40, ('float32',)),
    'rates16': Step('rates', 'the same in float16', 40, ('float16',)),
    'cpu': Step('cpu_rates', 'galaxies a second on the processor of this machine', 40),
    'torch': Step('torch_rates', 'galaxies a second of the same network in PyTorch, eager and '
                  'compiled', 60, (), 'torch'),
    'table': Step('tables', 'seconds from images to table of a simulated field, on the GPU and on '
                  'the processor', 50),
    'training': Step('training', 'steps a second of training on the GPU with bf16-mixed, and on '
                     'the processor', 60, (), 'lightning'),
}


def main(words=None):
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.strip().partition('\n')[0])
    parser.add_argument('--plan', action='store_true', help='say what would be done, and end')
    parser.add_argument('--steps', default=','.join(STEPS), help=f'some of {", ".join(STEPS)}')
    parser.add_argument('--seconds', type=float, default=SECONDS, help='for all steps')
    parser.add_argument('--model', help='name or file of the model')
    parser.add_argument('--json', help='file for all figures')
    parser.add_argument('--rst', help='file for the table')
    options = parser.parse_args(words)
    names = options.steps.split(',')
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        parser.error(f'there is no step {unknown[0]!r}; there are {", ".join(STEPS)}')
    failure = gpu_failure()
    if options.plan or failure:
        print('\n'.join(plan(names, options.seconds, failure)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        settings = {**SETTINGS, 'model': options.model, 'folder': folder}
        results = run_steps(names, settings, options.seconds)
    report(results, options)
    return int(any(is_good is False for rows in results.values() for *_, is_good in rows))


def gpu_failure():
    """Why there is no GPU here; '' if there is one."""
    from galvae_affiliated.models._driver import read_driver

    return read_driver().failure


def plan(names, seconds, failure):
    """Lines of what is done on a machine that has a GPU."""
    yield f'{failure}: nothing is measured. On a machine with a GPU:' if failure else 'The steps:'
    yield ''
    for i, name in enumerate(names, start=1):
        step = STEPS[name]
        more = f'; needs {step.needs}' if step.needs else ''
        yield f'{i:3d}. {name:10s} {step.text} (at most {step.limit:g} s{more})'
    yield ''
    yield f'All of it ends after {seconds:g} s; what is left out then is said.'


def run_steps(names, settings, seconds):
    """Name of a step to its rows; what is left out, or failed, is a row too."""
    from importlib.util import find_spec

    start, results = time.monotonic(), {}
    for name in names:
        step, left = STEPS[name], seconds - (time.monotonic() - start)
        if step.needs and find_spec(step.needs) is None:
            results[name] = [(name, f'left out: there is no {step.needs}', None)]
        elif left < LEAST:
            results[name] = [(name, 'left out: the time is over', None)]
        else:
            before = time.monotonic()
            results[name] = run_alone(name, settings, min(step.limit, left))
            print(f'{name}: {time.monotonic() - before:.0f} s', file=sys.stderr, flush=True)
    return results


def run_alone(name, settings, limit):
    """Rows of a step that runs in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / 'given.json', Path(folder) / 'found.json'
        given.write_text(json.dumps(settings))
        try:
            done = subprocess.run([sys.executable, __file__, '--alone', name, given, found],
                                  capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return [(name, f'not done in {limit:.0f} s', False)]
        if not found.exists():
            lines = done.stderr.strip().splitlines() or [f'ended with {done.returncode}']
            return [(name, f'failed: {lines[-1][:200]}', False)]
        return [tuple(row) for row in json.loads(found.read_text())]


def run_step(name, settings):
    """Rows of a step."""
    import _gpu_steps

    step = STEPS[name]
    rows = getattr(_gpu_steps, step.function)(settings, *step.arguments)
    return [(what, str(found), None if good is None else bool(good)) for what, found, good in rows]


def report(results, options):
    """Print the table, and write the files that were asked for."""
    sys.path.insert(0, str(HERE))
    from _common import list_table, text_table, write_report

    marks = {True: 'yes', False: 'NO', None: ''}
    rows = [[name if i == 0 else '', what, found, marks[good]]
            for name, some in results.items() for i, (what, found, good) in enumerate(some)]
    header = ['step', 'what', 'found', 'as it should be']
    print(text_table('On the GPU', header, rows))
    write_report(options, results, list_table('On the GPU', header, rows), 'bench_gpu.py')


if __name__ == '__main__':
    if sys.argv[1:2] == ['--alone']:
        step_name, given_path, found_path = sys.argv[2:]
        made = run_step(step_name, json.loads(Path(given_path).read_text()))
        Path(found_path).write_text(json.dumps(made))
    else:
        sys.exit(main())
