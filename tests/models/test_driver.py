# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What NVIDIA's driver says, and what is to be installed, with stand-ins for the driver."""

import ctypes

import pytest

from galvae_affiliated.exceptions import BundleError, DeviceError
from galvae_affiliated.models import _driver, _sessions, diagnose, doctor
from galvae_affiliated.models._driver import Driver, is_too_old, read_driver, remedy

GPU = Driver(('NVIDIA H100',), (13, 0))
RUNTIME = ['onnxruntime-gpu']


class FakeLibrary:
    """A driver of some GPUs."""

    def __init__(self, names, *, version=12040, code=0):
        self.names, self.version, self.code = names, version, code

    def cuDriverGetVersion(self, number):
        number._obj.value = self.version
        return 0

    def cuInit(self, flags):
        return self.code

    def cuDeviceGetCount(self, number):
        number._obj.value = len(self.names)
        return 0

    def cuDeviceGet(self, device, number):
        device._obj.value = 10 + number
        return 0

    def cuDeviceGetName(self, text, length, device):
        text.value = self.names[device.value - 10].encode()
        return 0


def install(monkeypatch, library):
    def load(name):
        assert name == _driver.LIBRARY
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(_driver.ctypes, 'CDLL', load)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)


def test_gpus_and_the_version_of_cuda(monkeypatch):
    install(monkeypatch, FakeLibrary(['NVIDIA A100', 'NVIDIA T4']))
    assert read_driver() == Driver(('NVIDIA A100', 'NVIDIA T4'), (12, 4))


@pytest.mark.parametrize(('library', 'hidden', 'failure'), [
    (OSError('no such file'), None, 'there is no NVIDIA driver'),
    (FakeLibrary([], code=100), None, 'sees no GPU'),
    (FakeLibrary([], code=100), '', 'CUDA_VISIBLE_DEVICES= hides the GPUs'),
    (FakeLibrary([]), '7', 'CUDA_VISIBLE_DEVICES=7 hides the GPUs'),
    (FakeLibrary(['NVIDIA A100'], code=803), None, 'answers with error 803'),
])
def test_why_there_is_no_gpu(monkeypatch, library, hidden, failure):
    install(monkeypatch, library)
    if hidden is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', hidden)
    driver = read_driver()
    assert driver.gpus == () and failure in driver.failure


def test_names_are_text_of_a_buffer():
    assert ctypes.create_string_buffer(_driver.NAME_LENGTH).value == b''


@pytest.mark.parametrize(('driver', 'built', 'is_missing', 'runtimes', 'line'), [
    (GPU, '13.0', True, RUNTIME, _driver.EXTRA),
    (GPU, '13.0', False, RUNTIME, ''),
    (Driver(GPU.gpus, (12, 4)), '13.0', True, RUNTIME, _driver.FOR_CUDA_12),
    (Driver(GPU.gpus, (12, 4)), '12.8', True, RUNTIME, _driver.EXTRA),
    (Driver(GPU.gpus, (11, 8)), '13.0', True, RUNTIME, ''),
    (Driver(failure='no GPU'), '13.0', True, RUNTIME, ''),
    (GPU, '13.0', True, ['onnxruntime-gpu', 'onnxruntime'], _driver.ONE_RUNTIME),
    (GPU, '', True, ['onnxruntime'], _driver.ONE_RUNTIME),
])
def test_what_to_install(monkeypatch, driver, built, is_missing, runtimes, line):
    monkeypatch.setattr(_driver.platform, 'system', lambda: 'Linux')
    monkeypatch.setattr(_driver.platform, 'machine', lambda: 'x86_64')
    assert remedy(driver, built, is_missing=is_missing, runtimes=runtimes) == line
    monkeypatch.setattr(_driver.platform, 'machine', lambda: 'aarch64')
    assert remedy(driver, built, is_missing=is_missing, runtimes=runtimes) == ''


@pytest.mark.parametrize(('cuda', 'built', 'expected'), [
    ((12, 9), '13.0', True), ((13, 0), '13.1', False), ((13, 0), '12.8', False),
    (None, '13.0', False), ((12, 0), '', False)])
def test_old_drivers(cuda, built, expected):
    assert is_too_old(Driver(('A',), cuda), built) == expected


def test_a_driver_that_is_too_old_is_the_reason(monkeypatch):
    monkeypatch.setattr(_sessions, 'read_driver', lambda: Driver(('A GPU',), (12, 4)))
    monkeypatch.setattr(_sessions, 'available_devices', lambda: ['cpu', 'cuda'])
    monkeypatch.setattr(_sessions, '_preload_libraries', lambda: None)
    monkeypatch.setattr(_sessions, '_failure', lambda device: 'CUDA error 35')
    monkeypatch.setattr(_sessions, 'missing_library', lambda device, folder: '')
    monkeypatch.setattr(_sessions, 'built_for_cuda', lambda: '13.0')
    monkeypatch.setattr(_sessions, 'installed_runtimes', lambda: RUNTIME)
    reason, line = _sessions.device_trial.__wrapped__('cuda')
    assert reason.startswith('the NVIDIA driver runs CUDA 12.4 at most') and '13.0' in reason
    assert line in (_driver.FOR_CUDA_12, '')  # '' on machines without such wheels


class FakeModel:
    id = 'model@0'

    def __init__(self, error=None):
        self.error = error

    def verify(self, device):
        if device == 'cuda' and self.error is not None:
            raise self.error
        return {'device': device, 'encoder': 0.0}


def findings(monkeypatch, trial, error, runtimes=RUNTIME, driver=GPU):
    monkeypatch.setattr(doctor, 'get_model', lambda: FakeModel(error))
    monkeypatch.setattr(doctor, 'device_trial', lambda device: trial)
    monkeypatch.setattr(doctor, 'installed_runtimes', lambda: runtimes)
    monkeypatch.setattr(doctor, 'read_driver', lambda: driver)
    lines = {line.split()[0]: (line, good) for line, good in diagnose()}
    return lines, all(good for _, good in lines.values())


def test_the_doctor_has_a_line_to_install_where_it_helps(monkeypatch):
    trial = 'the library libcublas.so.13 is missing', _driver.EXTRA
    lines, healthy = findings(monkeypatch, trial, DeviceError('long'))
    assert lines['install'][0].split(maxsplit=1)[1] == _driver.EXTRA
    assert 'NVIDIA H100; the driver runs CUDA 13.0' in lines['GPU'][0]
    assert lines['cuda'][0].split(maxsplit=1)[1] == trial[0]
    assert healthy


def test_a_machine_without_a_gpu_is_healthy(monkeypatch):
    trial = 'there is no NVIDIA driver on this machine', ''
    lines, healthy = findings(monkeypatch, trial, DeviceError('long'),
                              driver=Driver(failure=trial[0]))
    assert 'install' not in lines and healthy
    assert trial[0] in lines['GPU'][0]


def test_a_gpu_that_computes_something_else_is_ill(monkeypatch):
    lines, healthy = findings(monkeypatch, ('', ''), BundleError('it gives something else'))
    assert 'something else' in lines['cuda'][0] and not healthy


def test_two_runtimes_are_an_illness(monkeypatch):
    lines, healthy = findings(monkeypatch, ('', ''), None,
                              runtimes=['onnxruntime-gpu', 'onnxruntime'])
    assert 'remove one' in lines['onnxruntime-gpu'][0] and not healthy
