# Licensed under a 3-clause BSD style license - see LICENSE.rst
import pickle
import threading

import numpy as np
import onnxruntime
import pytest

from galvae_affiliated import BundleError, DeviceError, get_model
from galvae_affiliated.models import _devices, _runner, _sessions
from galvae_affiliated.models._driver import Driver


@pytest.fixture
def latents():
    return np.random.default_rng(1).standard_normal((10, get_model().n_latents)).astype(np.float32)


def make_runner(part, **options):
    return _runner.GraphRunner(get_model().graph(part), **options)


def run(runner, latents):
    return runner({'latent': latents}, ['fractions'])[0]


def test_byte_order_and_precision_do_not_matter(latents):
    heads = make_runner('heads', device='cpu')
    expected = run(heads, latents)
    for kind in ('>f4', '<f8', '>f8'):
        np.testing.assert_array_equal(run(heads, latents.astype(kind)), expected)
    np.testing.assert_array_equal(run(heads, np.asfortranarray(latents)), expected)


@pytest.mark.parametrize('batch_size', [1, 3, 10, 64])
def test_batch_size_changes_nothing_and_keeps_the_order(latents, batch_size):
    expected = run(make_runner('heads', device='cpu'), latents)
    found = run(make_runner('heads', device='cpu', batch_size=batch_size), latents)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_rows(latents):
    assert run(make_runner('heads', device='cpu'), latents[:0]).shape == (
        0,
        sum(map(len, get_model().questions.values())),
    )


def test_padded_batches_give_the_same_rows(latents, monkeypatch):
    heads = make_runner('heads', device='cpu', batch_size=8)
    expected = run(heads, latents)
    monkeypatch.setattr(heads, 'padded_size', lambda n_rows: 8)  # as on a GPU
    np.testing.assert_allclose(run(heads, latents), expected, atol=1e-6)
    assert run(heads, latents[:0]).shape == (0, expected.shape[1])


@pytest.mark.parametrize(
    ('n_rows', 'on_cpu'),
    [(0, 1), (1, 1), (3, 3), (7, 7), (9, 10), (17, 20), (33, 40), (41, 48), (48, 48)],
)
def test_an_incomplete_batch_is_filled(n_rows, on_cpu, monkeypatch):
    runner = make_runner('heads', device='cpu', batch_size=48)
    assert runner.padded_size(n_rows) == on_cpu
    monkeypatch.setattr(runner, '_device', 'cuda')
    assert runner.padded_size(n_rows) == 48


def test_a_batch_repeats_its_last_row_and_is_not_copied_if_complete():
    runner = make_runner('heads', device='cpu', batch_size=10)
    inputs = {
        'image': np.arange(40.0, dtype=np.float32).reshape(20, 2),
        'rendering': np.arange(20, dtype=np.int32),
    }
    rows = np.array([5, 0, 2, 19, 7, 8, 9, 4, 3])
    batch = runner.batch(inputs, rows)
    np.testing.assert_array_equal(batch['image'], inputs['image'][[*rows, 3]])
    np.testing.assert_array_equal(batch['rendering'], [*rows, 3])
    assert batch['rendering'].dtype == np.int64
    assert np.shares_memory(runner.batch(inputs, slice(3, 13))['image'], inputs['image'])


def test_results_stay_on_the_device_and_go_on_from_there(latents):
    decoder, heads = (
        make_runner(name, device='cpu', batch_size=4) for name in ('decoder', 'heads')
    )
    pose = np.zeros((4, get_model().n_pose), dtype=np.float32)
    (on_device,) = decoder.run_batch({'latent': latents[:4], 'pose': pose}, ['composite'])
    assert isinstance(on_device, onnxruntime.OrtValue) and on_device.device_name() == 'cpu'
    value = onnxruntime.OrtValue.ortvalue_from_numpy(latents[:4])
    (found,) = heads.run_batch({'latent': value}, ['fractions'])
    np.testing.assert_array_equal(found.numpy(), run(heads, latents[:4]))


def test_a_runner_can_be_pickled_after_use(latents):
    heads = make_runner('heads', device='cpu')
    expected = run(heads, latents)
    np.testing.assert_array_equal(run(pickle.loads(pickle.dumps(heads)), latents), expected)


def test_a_gpu_is_refused_where_it_does_not_start(capfd):
    built = CUDA in onnxruntime.get_available_providers()
    with pytest.raises(DeviceError, match='CUDA did not start' if built else 'built without CUDA'):
        make_runner('heads', device='cuda').start()
    assert capfd.readouterr() == ('', '')


def test_auto_takes_what_starts():
    assert make_runner('heads', device='auto').device == 'cpu'


def test_unknown_device():
    with pytest.raises(ValueError, match="device is 'tpu'"):
        make_runner('heads', device='tpu').start()


class FakeSession:
    """What ONNX Runtime would give on a machine with, or without, a GPU that works."""

    def __init__(self, providers):
        self.providers = providers

    def get_providers(self):
        return self.providers

    def run(self, outputs, inputs):
        return [np.full((1, 4, 1), _devices.PROBE_RESULT, np.float32)]


CPU, CUDA = 'CPUExecutionProvider', 'CUDAExecutionProvider'


@pytest.fixture
def machine(monkeypatch):
    """What ONNX Runtime is built with, and what starts; returns what is asked for."""
    asked = []

    def build(built, starting):
        def quiet_session(graph, options, chosen):
            asked.append([name for name, _ in chosen])
            if isinstance(starting, Exception) and asked[-1] != [CPU]:
                raise starting
            return FakeSession([name for name in asked[-1] if name == CPU or name in starting])

        monkeypatch.setattr(_sessions, 'available_devices', lambda: built)
        monkeypatch.setattr(_sessions, 'quiet_session', quiet_session)
        monkeypatch.setattr(_sessions, 'row_dimensions', lambda graph: {'rows'})
        monkeypatch.setattr(_sessions, 'read_driver', lambda: Driver(('A GPU',), (13, 1)))
        return asked

    _sessions.device_trial.cache_clear()
    yield build
    _sessions.device_trial.cache_clear()


@pytest.mark.parametrize(
    ('device', 'starting', 'expected'),
    [
        ('auto', [CUDA], 'cuda'),
        ('auto', [], 'cpu'),
        ('cuda', [CUDA], 'cuda'),
        ('cpu', [CUDA], 'cpu'),
    ],
)
def test_the_device_is_read_from_the_session(machine, device, starting, expected):
    asked = machine(['cpu', 'cuda'], starting)
    assert _sessions.start_session(b'graph', device, 8)[1] == expected
    assert asked[-1] == {'cpu': [CPU], 'cuda': [CUDA, CPU]}[expected]


def test_auto_tries_cuda_once_a_process(machine):
    asked = machine(['cpu', 'cuda'], [])
    for _ in range(3):
        _sessions.start_session(b'graph', 'auto', 8)
    assert asked == [[CUDA, CPU], [CPU], [CPU], [CPU]]


def test_a_gpu_that_falls_back_to_the_cpu_is_refused(machine):
    machine(['cpu', 'cuda'], [])
    with pytest.raises(DeviceError, match='CUDA did not start'):
        _sessions.start_session(b'graph', 'cuda', 8)


@pytest.mark.parametrize(
    ('missing', 'error', 'reason'),
    [
        (
            'the library libcublas.so.13 is missing',
            [],
            r"start: the library libcublas.*; pip install 'galvae_affiliated\[cuda\]' helps; dev",
        ),
        (
            '',
            RuntimeError('CUDA failure 35: driver too old\nmore'),
            'start: CUDA failure 35: driver too old; device=',
        ),
        ('', [], 'start: ONNX Runtime does not say why; device='),
    ],
)
def test_the_reason_and_what_helps_are_told(machine, monkeypatch, missing, error, reason):
    machine(['cpu', 'cuda'], error)
    monkeypatch.setattr(_sessions, 'missing_library', lambda device, folder: missing)
    monkeypatch.setattr(_sessions, 'installed_runtimes', lambda: ['onnxruntime-gpu'])
    monkeypatch.setattr(_sessions, 'built_for_cuda', lambda: '13.0')
    with pytest.raises(DeviceError, match=reason):
        _sessions.start_session(b'graph', 'cuda', 8)


@pytest.mark.parametrize(
    ('result', 'reason'),
    [
        (RuntimeError('NOT_IMPLEMENTED : it needs cuDNN\nmore'), 'cuDNN; pip install .* helps'),
        (np.zeros((1, 4, 1)), 'it does not compute what it should; device='),
    ],
)
def test_a_gpu_that_starts_and_does_not_compute_is_none(machine, monkeypatch, result, reason):
    def run(self, outputs, inputs):
        if isinstance(result, Exception):
            raise result
        return [result]

    machine(['cpu', 'cuda'], [CUDA])
    monkeypatch.setattr(FakeSession, 'run', run)
    monkeypatch.setattr(_sessions, 'missing_library', lambda device, folder: '')
    monkeypatch.setattr(_sessions, 'installed_runtimes', lambda: ['onnxruntime-gpu'])
    monkeypatch.setattr(_sessions, 'built_for_cuda', lambda: '13.0')
    with pytest.raises(DeviceError, match=reason):
        _sessions.start_session(b'graph', 'cuda', 8)
    assert _sessions.start_session(b'graph', 'auto', 8)[1] == 'cpu'


def test_without_a_gpu_none_is_tried(machine, monkeypatch):
    asked = machine(['cpu', 'cuda'], [CUDA])
    monkeypatch.setattr(_sessions, 'read_driver', lambda: Driver(failure='there is no driver'))
    monkeypatch.setattr(_sessions, '_preload_libraries', None)
    assert _sessions.start_session(b'graph', 'auto', 8)[1] == 'cpu'
    assert asked == [[CPU]]
    with pytest.raises(DeviceError, match='start: there is no driver; device='):
        _sessions.start_session(b'graph', 'cuda', 8)


def test_the_probe_is_a_convolution():
    session = _sessions.quiet_session(
        _devices.probe_graph(), _sessions.session_options(), [(CPU, {})]
    )
    result, = session.run(None, {'image': np.ones(_devices.PROBE_SHAPE, np.float32)})
    np.testing.assert_array_equal(result, np.full((1, 4, 1), _devices.PROBE_RESULT))
    assert b'Conv' in _devices.probe_graph()


def test_a_library_that_is_missing_is_named(monkeypatch):
    def load(path):
        assert path == '/lib/libonnxruntime_providers_cuda.so'
        raise OSError(
            'libcublasLt.so.13: cannot open shared object file: No such file or directory'
        )

    monkeypatch.setattr(_devices.ctypes, 'CDLL', load)
    assert _devices.missing_library('cuda', '/lib') == 'the library libcublasLt.so.13 is missing'
    monkeypatch.setattr(_devices.ctypes, 'CDLL', lambda path: None)
    assert _devices.missing_library('cuda', '/lib') == ''


def test_libraries_that_pip_installed_are_loaded_before_the_device_is_tried(
    machine, monkeypatch, capsys
):
    starting = []
    asked = machine(['cpu', 'cuda'], starting)

    def preload_dlls():
        print('Failed to load one of many')
        starting.append(CUDA)

    monkeypatch.setattr(_sessions.importlib.util, 'find_spec', lambda name: name)
    monkeypatch.setattr(onnxruntime, 'preload_dlls', preload_dlls, raising=False)
    assert _sessions.start_session(b'graph', 'cuda', 8)[1] == 'cuda'
    assert asked == [[CUDA, CPU], [CUDA, CPU]]
    assert capsys.readouterr().out == ''


def test_the_runtimes_own_fallback_is_off(monkeypatch):
    """It prints, and goes on with a device that nobody asked for."""
    seen = {}
    monkeypatch.setattr(
        onnxruntime, 'InferenceSession', lambda *args, **options: seen.update(options)
    )
    _sessions.quiet_session(b'', None, [(CPU, {})])
    assert seen == {'providers': [(CPU, {})], 'enable_fallback': 0}


def test_a_gpu_gets_a_graph_of_known_shapes():
    graph = _devices.residual_graph()
    assert _sessions.row_dimensions(graph) == {'rows'}
    options = _sessions.session_options()
    options.add_free_dimension_override_by_name('rows', 8)
    session = _sessions.quiet_session(graph, options, [(CPU, {})])
    assert [entry.shape[0] for entry in session.get_inputs()] == [8, 8, 8, 3, 3]


def test_half_precision_is_for_gpus(machine):
    with pytest.raises(ValueError, match="'float16' is for GPUs: .* slower"):
        _runner.GraphRunner(b'graph', device='cpu', precision='float16')
    with pytest.raises(ValueError, match="precision is 'float64'"):
        _runner.GraphRunner(b'graph', precision='float64')
    machine(['cpu', 'cuda'], [])
    with pytest.raises(DeviceError, match='no GPU started'):
        _runner.GraphRunner(b'graph', device='auto', precision='float16').start()


class RecordingSession:
    """A session on a GPU that tells what it was asked to run."""

    def __init__(self, graph):
        self.session = _sessions.quiet_session(graph, _sessions.session_options(), [(CPU, {})])
        self.get_inputs, self.get_outputs = self.session.get_inputs, self.session.get_outputs
        self.bound, self.runs = {}, 0

    def io_binding(self):
        return self

    def bind_cpu_input(self, name, value):
        self.bound[name] = value

    def bind_output(self, name, device):
        self.bound[name] = device

    def run_with_iobinding(self, binding):
        self.runs += 1


def test_a_gpu_is_warmed_up_with_a_batch_of_zeros(monkeypatch):
    runner = make_runner('encoder', device='cuda', batch_size=6)
    session = RecordingSession(runner.graph)
    monkeypatch.setattr(_runner, 'start_session', lambda *args: (session, 'cuda'))
    runner.warm_up()
    assert session.runs == 1
    grid = get_model().grid
    image, rendering = session.bound['image'], session.bound['rendering']
    assert image.shape == (6, 3, grid, grid) and image.dtype == np.float32
    assert rendering.shape == (6,) and rendering.dtype == np.int64
    assert session.bound['frame'] == session.bound['latent_mean'] == 'cuda'


def test_results_of_a_gpu_stay_there(monkeypatch, latents):
    runner = make_runner('heads', device='cuda', batch_size=10)
    session = RecordingSession(runner.graph)
    monkeypatch.setattr(_runner, 'start_session', lambda *args: (session, 'cuda'))
    runner.run_batch({'latent': latents}, ['fractions'])
    assert session.bound['fractions'] == 'cuda' and session.bound['latent'] is latents


def test_a_cpu_is_not_warmed_up(monkeypatch):
    runner = make_runner('heads', device='cpu')
    monkeypatch.setattr(runner, 'run_batch', None)
    runner.warm_up()
    assert runner._session is not None


@pytest.mark.parametrize(
    ('variables', 'expected'),
    [
        ({}, 8),
        ({'OMP_NUM_THREADS': '1'}, 1),
        ({'OMP_NUM_THREADS': '4,2'}, 4),
        ({'OMP_NUM_THREADS': 'many'}, 8),
        ({'OMP_NUM_THREADS': '0'}, 8),
        ({'OMP_NUM_THREADS': '64'}, 8),
        ({'SLURM_CPUS_PER_TASK': '2', 'SLURM_CPUS_ON_NODE': '16'}, 2),
        ({'SLURM_CPUS_PER_TASK': '2', 'OMP_NUM_THREADS': '3'}, 3),
        ({'SLURM_CPUS_PER_TASK': '16'}, 8),
        ({'SLURM_CPUS_ON_NODE': '6'}, 6),
        ({'SLURM_CPUS_ON_NODE': '6', 'SLURM_STEP_TASKS_PER_NODE': '3(x2),1'}, 2),
    ],
)
def test_threads_follow_affinity_and_environment(monkeypatch, variables, expected):
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: set(range(3, 11)), raising=False)
    for name in (
        'OMP_NUM_THREADS',
        'SLURM_CPUS_PER_TASK',
        'SLURM_CPUS_ON_NODE',
        'SLURM_STEP_TASKS_PER_NODE',
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _devices.usable_threads() == expected
    runner = make_runner('heads', device='cpu')
    assert runner.workers == expected
    assert runner.start().get_session_options().intra_op_num_threads == 1


def test_threads_can_be_given():
    runner = make_runner('heads', device='cpu', n_threads=2)
    assert runner.workers == 2
    with pytest.raises(ValueError, match='n_threads is 0'):
        make_runner('heads', n_threads=0)


@pytest.mark.parametrize(
    ('files', 'expected'),
    [
        ({'cpu.max': '300000 100000\n'}, 3),
        ({'cpu.max': '250000 100000\n'}, 3),
        ({'cpu.max': '10000 100000\n'}, 1),
        ({'cpu.max': 'max 100000\n'}, 64),
        ({'cpu.max': 'what\n'}, 64),
        ({'cpu/cpu.cfs_quota_us': '200000\n', 'cpu/cpu.cfs_period_us': '100000\n'}, 2),
        ({'cpu/cpu.cfs_quota_us': '-1\n', 'cpu/cpu.cfs_period_us': '100000\n'}, 64),
        ({}, 64),
    ],
)
def test_quotas_of_containers_count(monkeypatch, tmp_path, files, expected):
    for name in ('OMP_NUM_THREADS', 'SLURM_CPUS_PER_TASK', 'SLURM_CPUS_ON_NODE'):
        monkeypatch.delenv(name, raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(_devices, 'CGROUP', tmp_path)
    assert _devices.usable_threads() == _devices.usable_threads(64) == expected
    assert _devices.usable_threads(1) == 1


def test_what_is_no_graph_is_refused():
    with pytest.raises(BundleError, match='the graph cannot be run: '):
        _runner.GraphRunner(b'not a graph at all', device='cpu').start()


def test_the_runtime_logs_nothing_and_keeps_its_severity(capfd, latents):
    run(make_runner('heads', device='auto'), latents)
    assert capfd.readouterr().err == ''


def test_batch_size_has_to_be_positive():
    with pytest.raises(ValueError, match='batch_size is 0'):
        make_runner('heads', batch_size=0)


def test_batches_run_side_by_side_on_a_cpu():
    """Two batches wait for each other, which they could not do one after the other."""
    runner = make_runner('heads', device='cpu', n_threads=2)
    met = threading.Barrier(2, timeout=60)
    done = []

    def meet(rows):
        met.wait()
        done.append((rows.start, rows.stop))

    runner.each(meet, runner.slices(4))
    assert sorted(done) == [(0, 2), (2, 4)]
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith('galvae-network')
    ]


@pytest.mark.parametrize('n_threads', [1, 2])
def test_what_a_batch_raises_is_raised(n_threads):
    def fail(rows):
        raise OSError(f'rows from {rows.start}')

    runner = make_runner('heads', device='cpu', n_threads=n_threads)
    with pytest.raises(OSError, match='rows from 0'):
        runner.each(fail, [slice(0, 1), slice(1, 2)])


def test_slices_leave_no_thread_without_rows():
    runner = make_runner('heads', device='cpu', n_threads=3, batch_size=8)
    lengths = {n: [part.stop - part.start for part in runner.slices(n)] for n in (0, 1, 7, 100)}
    assert lengths == {0: [], 1: [1], 7: [3, 3, 1], 100: [8] * 12 + [4]}
