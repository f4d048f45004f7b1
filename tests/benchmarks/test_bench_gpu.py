# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The check of GPUs, on a machine without one: its plan, its pieces on a CPU, and its limits."""

import json
import subprocess
import sys
import types

import numpy as np
import pytest

from galvae_affiliated.models import _driver
from galvae_affiliated.models._driver import Driver


@pytest.fixture(scope='module')
def gpu(benchmark):
    return benchmark('bench_gpu')


@pytest.fixture(scope='module')
def steps(benchmark):
    return benchmark('_gpu_steps')


@pytest.fixture(scope='module')
def settings(tmp_path_factory):
    """Those of a GPU, with a CPU in its place and little to do."""
    network = {'network': 'light', 'grid': 32, 'widths': (8, 16), 'depths': (1, 1),
               'decoder_widths': (16, 8), 'n_latents': 4}
    return {'model': None, 'device': 'cpu', 'folder': str(tmp_path_factory.mktemp('gpu')),
            'size': 300, 'sources': 12, 'batches': [4, 8], 'least': 8, 'steps': 3, 'cpu_steps': 3,
            'train_batch': 4, 'network': network}


def good(rows):
    return [is_good for *_, is_good in rows if is_good is not None]


def test_without_a_gpu_it_says_what_it_would_do(gpu, monkeypatch, capsys):
    monkeypatch.setattr(_driver, 'read_driver', lambda: Driver(failure='there is no driver'))
    monkeypatch.setattr(gpu, 'run_steps', None)
    assert gpu.main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith('there is no driver: nothing is measured.')
    for i, (name, step) in enumerate(gpu.STEPS.items(), start=1):
        assert f'{i}. {name}' in said and step.text in said


def test_the_plan_of_some_steps_where_there_is_a_gpu(gpu, monkeypatch, capsys):
    monkeypatch.setattr(_driver, 'read_driver', lambda: Driver(('A GPU',), (13, 0)))
    assert gpu.main(['--plan', '--steps', 'torch,hidden']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:2] == ['1.', 'torch'] and lines[3].split()[:2] == ['2.', 'hidden']
    with pytest.raises(SystemExit):
        gpu.main(['--steps', 'none'])
    assert "there is no step 'none'" in capsys.readouterr().err


def test_the_whole_with_steps_of_stand_ins(gpu, monkeypatch, capsys, tmp_path):
    found = {'machine': [('GPU', 'A GPU', True)], 'cpu': [('cpu', '100 galaxies/s', None)],
             'hidden': [("hidden: 'cuda'", 'STARTED', False)]}
    monkeypatch.setattr(_driver, 'read_driver', lambda: Driver(('A GPU',), (13, 0)))
    monkeypatch.setattr(gpu, 'run_alone', lambda name, settings, limit: found[name])
    words = ['--json', str(tmp_path / 'out.json'), '--rst', str(tmp_path / 'out.inc')]
    assert gpu.main(['--steps', 'machine,cpu', *words]) == 0
    assert gpu.main(['--steps', 'machine,cpu,hidden', *words]) == 1
    out = capsys.readouterr().out
    assert 'as it should be' in out and 'NO' in out
    assert json.loads((tmp_path / 'out.json').read_text())['cpu'] == [
        ['cpu', '100 galaxies/s', None]]
    assert (tmp_path / 'out.inc').read_text().startswith('.. made by benchmarks/bench_gpu.py')


def test_time_that_is_over_and_packages_that_are_missing(gpu, monkeypatch):
    monkeypatch.setattr(gpu, 'run_alone', lambda name, settings, limit: [(name, limit, True)])
    results = gpu.run_steps(['cpu', 'binding'], {}, 20.0)
    assert results['cpu'][0][1] == pytest.approx(20.0, abs=1)
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    results = gpu.run_steps(['torch', 'cpu'], {}, 2.0)
    assert results['torch'][0][1:] == ('left out: there is no torch', None)
    assert results['cpu'][0][1:] == ('left out: the time is over', None)


@pytest.mark.parametrize(('error', 'found'), [
    (subprocess.TimeoutExpired('x', 7), 'not done in 7 s'),
    (types.SimpleNamespace(returncode=-11, stderr=''), 'failed: ended with -11'),
    (types.SimpleNamespace(returncode=1, stderr='Traceback\nDeviceError: no'),
     'failed: DeviceError: no')])
def test_a_step_that_hangs_or_crashes_costs_itself_alone(gpu, monkeypatch, error, found):
    def run(*args, **options):
        if isinstance(error, Exception):
            raise error
        return error

    monkeypatch.setattr(gpu.subprocess, 'run', run)
    assert gpu.run_alone('cpu', {}, 7.0) == [('cpu', found, False)]


def test_a_step_in_a_process_of_its_own(gpu, settings):
    rows = gpu.run_alone('refused', settings, 120.0)
    assert len(rows) == 3 and good(rows) == [True] * 3, rows


def test_selection_and_placement(steps, settings):
    rows = steps.selection(settings)
    assert rows[1][1] == 'cpu' and all(good(rows)), rows
    assert len(rows) == 5 and 'none elsewhere' in rows[2][1]


def test_operators_on_another_device_are_told(steps, settings, monkeypatch):
    monkeypatch.setattr(steps, 'placement', lambda graph, device: {device: 20, 'other': 5})
    rows = steps.selection(settings)
    assert rows[2][1] == '20; 5 on other' and rows[2][2] is False


def test_a_hidden_gpu(steps, settings):
    rows = steps.hidden(settings)
    assert good(rows) == [True] * 4, rows


def test_parity_of_a_device_with_itself(steps, settings):
    rows = steps.parity(settings, 'float32')
    assert all(good(rows)) and len(rows) == 4, rows


def test_parity_tells_what_differs(steps, settings, monkeypatch):
    encode = steps.Encoder.encode

    def shifted(self, stack):
        encoding = encode(self, stack)
        if self.engine.batch_size == settings['batches'][0]:
            encoding.latent[:] += np.float32(0.2) * encoding.latent_err
        return encoding

    monkeypatch.setattr(steps.Encoder, 'encode', shifted)
    rows = steps.parity(settings, 'float32')
    assert not rows[1][2] and rows[1][1].startswith('0.2')


def test_binding(steps, settings):
    rows = steps.binding(settings)
    assert all(good(rows)) and len(rows) == 4, rows


def test_rates(steps, settings):
    rows = [*steps.rates(settings, 'float32'), *steps.cpu_rates(settings)]
    assert len(rows) >= 4 and all('galaxies/s' in row[1] for row in rows[:2]), rows


def test_rates_of_pytorch(steps, settings, monkeypatch):
    torch = pytest.importorskip('torch')
    monkeypatch.setattr(torch, 'compile', lambda network: network)  # which takes a minute
    rows = steps.torch_rates(settings)
    assert len(rows) == 4 and 'galaxies/s' in rows[0][1], rows


def test_tables(steps, settings):
    rows = steps.tables(settings)
    assert all(good(rows)) and len(rows) == 2, rows


@pytest.mark.filterwarnings('ignore::UserWarning', 'ignore::FutureWarning',
                            'ignore:.*isinstance.*:DeprecationWarning')
def test_training(steps, settings):
    pytest.importorskip('lightning')
    rows = steps.training(settings)
    assert all(good(rows)) and len(rows) == 2, rows


def test_the_machine(steps, settings):
    names = [what for what, *_ in steps.about_machine(settings)]
    assert {'galvae_affiliated', 'doctor: GPU', 'doctor: cuda'} <= {*names}


def test_every_step_has_its_function(gpu, steps):
    assert all(callable(getattr(steps, step.function)) for step in gpu.STEPS.values())
    assert sys.modules['_gpu_steps'] is steps
