# Licensed under a 3-clause BSD style license - see LICENSE.rst
import pickle

import numpy as np
import onnxruntime
import pytest

from galvae_affiliated import DeviceError, _onnx, get_model


@pytest.fixture
def latents():
    return np.random.default_rng(1).standard_normal((10, get_model().n_latents)).astype(np.float32)


def run(runner, latents):
    return runner({'latent': latents}, ['fractions'])[0]


def test_byte_order_and_precision_do_not_matter(latents):
    heads = get_model().runner('heads', device='cpu')
    expected = run(heads, latents)
    for kind in ('>f4', '<f8', '>f8'):
        np.testing.assert_array_equal(run(heads, latents.astype(kind)), expected)
    np.testing.assert_array_equal(run(heads, np.asfortranarray(latents)), expected)


@pytest.mark.parametrize('batch_size', [1, 3, 10, 64])
def test_batch_size_changes_nothing_and_keeps_the_order(latents, batch_size):
    expected = run(get_model().runner('heads', device='cpu'), latents)
    found = run(get_model().runner('heads', device='cpu', batch_size=batch_size), latents)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_rows(latents):
    assert run(get_model().runner('heads', device='cpu'), latents[:0]).shape == (
        0,
        sum(map(len, get_model().questions.values())),
    )


def test_padded_batches_give_the_same_rows(latents, monkeypatch):
    heads = get_model().runner('heads', device='cpu', batch_size=8)
    expected = run(heads, latents)
    monkeypatch.setattr(heads, '_device', 'cuda')  # where batches are padded
    np.testing.assert_allclose(run(heads, latents), expected, atol=1e-6)


def test_a_runner_can_be_pickled_after_use(latents):
    heads = get_model().runner('heads', device='cpu')
    expected = run(heads, latents)
    np.testing.assert_array_equal(run(pickle.loads(pickle.dumps(heads)), latents), expected)


def test_cuda_is_refused_where_it_does_not_start():
    if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        match = 'did not start'
    else:
        match = 'built without CUDA'
    with pytest.raises(DeviceError, match=match):
        get_model().runner('heads', device='cuda').start()


def test_auto_takes_what_starts():
    assert get_model().runner('heads', device='auto').device == 'cpu'


def test_unknown_device():
    with pytest.raises(ValueError, match="device is 'tpu'"):
        get_model().runner('heads', device='tpu').start()


class FakeSession:
    """What ONNX Runtime would give on a machine with, or without, a GPU that works."""

    def __init__(self, providers):
        self.providers = providers

    def get_providers(self):
        return self.providers


@pytest.mark.parametrize(
    ('device', 'starts', 'expected'),
    [
        ('auto', ['CUDAExecutionProvider', 'CPUExecutionProvider'], 'cuda'),
        ('cuda', ['CUDAExecutionProvider', 'CPUExecutionProvider'], 'cuda'),
        ('auto', ['CPUExecutionProvider'], 'cpu'),
    ],
)
def test_the_device_is_read_from_the_session(monkeypatch, device, starts, expected):
    monkeypatch.setattr(_onnx, 'available_devices', lambda: ['cpu', 'cuda'])
    monkeypatch.setattr(_onnx, 'quiet_session', lambda graph, providers: FakeSession(starts))
    assert _onnx.start_session(b'', device)[1] == expected


def test_cpu_is_not_tried_on_cuda(monkeypatch):
    asked = []
    monkeypatch.setattr(_onnx, 'available_devices', lambda: ['cpu', 'cuda'])
    monkeypatch.setattr(_onnx, 'quiet_session', lambda graph, providers: asked.append(providers))
    _onnx.start_session(b'', 'cpu')
    assert asked == [['CPUExecutionProvider']]


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    assert _onnx.n_threads() == 1
    monkeypatch.setenv('OMP_NUM_THREADS', 'many')
    assert _onnx.n_threads() >= 1
    monkeypatch.delenv('OMP_NUM_THREADS')
    monkeypatch.setattr(_onnx.os, 'sched_getaffinity', lambda pid: {0, 5, 7}, raising=False)
    assert _onnx.n_threads() == 3


def test_the_runtime_logs_nothing_and_keeps_its_severity(capfd, latents):
    run(get_model().runner('heads', device='auto'), latents)
    assert capfd.readouterr().err == ''


def test_batch_size_has_to_be_positive():
    with pytest.raises(ValueError, match='batch_size is 0'):
        get_model().runner('heads', batch_size=0)
