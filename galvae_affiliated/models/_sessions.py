# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The only importer of ONNX Runtime: sessions that run where they were asked to."""

import contextlib
import functools
import importlib.util
import io
import os
from pathlib import Path

import numpy as np

from galvae_affiliated.exceptions import BundleError, DeviceError
from galvae_affiliated.models._devices import (
    DEVICES,
    PROBE_RESULT,
    PROBE_SHAPE,
    check_device,
    missing_library,
    probe_graph,
    providers,
)
from galvae_affiliated.models._driver import is_too_old, read_driver, remedy
from galvae_affiliated.models._graph_check import check_graph

RUNTIMES = ('onnxruntime-gpu', 'onnxruntime')
SILENT, WARNINGS = 4, 2  # severities: fatal messages alone, and the library's own default
# how ONNX Runtime says so, of CPUs and of GPUs
OUT_OF_MEMORY = ('Failed to allocate memory', 'bad_alloc', 'out of memory')


@functools.cache
def import_runtime():
    """
    ONNX Runtime, which reports to nobody.

    Its telemetry looks up a host, and keeps a database in the home folder, unless this variable
    is set when it is first imported; who imported it before has to switch that off too.
    """
    os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
    import onnxruntime

    if hasattr(onnxruntime, 'disable_telemetry_events'):
        onnxruntime.disable_telemetry_events()
    return onnxruntime


def runtime_version():
    """Version of ONNX Runtime."""
    return import_runtime().__version__


def available_devices():
    """Devices that this build of ONNX Runtime knows; whether one starts is found by trying."""
    built = import_runtime().get_available_providers()
    return [device for device, provider in DEVICES.items() if provider in built]


def start_session(graph, device, batch_size, precision='float32'):
    """
    An inference session on the device, or an error.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model.
    device : {'auto', 'cpu', 'cuda'}
        'auto' takes CUDA where it starts and the CPU otherwise.
    batch_size : int
        Rows a call; on a GPU each call must have just these.
    precision : {'float32', 'float16', 'int8'}, optional

    Returns
    -------
    session : `onnxruntime.InferenceSession`
    device : str
        The device that runs.

    Raises
    ------
    ValueError
        For another name of a device, or half precision on a CPU.
    DeviceError
        If the device that was asked for, or any that computes in half precision, did not start.
    BundleError
        If the graph is none that a CPU can run, or that a bundle may hold.
    """
    check_device(device, precision)
    if device == 'auto' and precision == 'int8':
        device = 'cpu'
    if device == 'auto':
        device = 'cuda' if device_starts('cuda') else 'cpu'
        if (device, precision) == ('cpu', 'float16'):
            raise DeviceError("precision 'float16' was asked for, but no GPU started; use "
                              "precision='float32'")
    if device == 'cpu':
        return _cpu_session(graph), device
    failure = why_not(device)
    if failure:
        raise DeviceError(f'device {device!r} was asked for, but CUDA did not start: {failure}; '
                          "device='cpu' does without")
    options = session_options()
    for name in row_dimensions(graph):
        # where all shapes are known the graph is simpler
        options.add_free_dimension_override_by_name(name, batch_size)
    session, reason = _try_session(graph, options, providers(device))
    if session is None:
        raise DeviceError(f'device {device!r} was asked for, but CUDA does not run this graph: '
                          f"{reason or 'ONNX Runtime took the CPU'}; device='cpu' does without")
    return session, device


def _cpu_session(graph):
    """A session on the CPU, which runs every graph that is sound."""
    try:
        return quiet_session(graph, session_options(), providers('cpu'))
    except Exception as error:  # those of ONNX Runtime have no base in common
        raise unrunnable(error) from None


def unrunnable(error):
    """
    What to raise in place of an exception of ONNX Runtime, all of which mean the graph.

    Parameters
    ----------
    error : Exception

    Returns
    -------
    error : BundleError or MemoryError
    """
    reason = str(error).partition('\n')[0]
    if isinstance(error, MemoryError) or any(word in reason for word in OUT_OF_MEMORY):
        return MemoryError(f'out of memory: {reason}')
    return BundleError(f'the graph cannot be run: {reason}')


def device_starts(device):
    """Whether a device starts, tried once a process with a graph that costs nothing."""
    return not why_not(device)


def why_not(device):
    """Why a GPU does not compute, and what helps, in words; '' if it does."""
    reason, line = device_trial(device)
    return f'{reason}; {line} helps' if line else reason


@functools.cache
def device_trial(device):
    """
    Try a device, once a process.

    A session that starts is not enough: ONNX Runtime loads cuDNN when the first convolution
    asks for it, and a GPU may be of a kind that its kernels are not made for.

    Parameters
    ----------
    device : {'cuda'}

    Returns
    -------
    reason : str
        Why it does not compute; '' if it does.
    line : str
        What to install, for a shell; '' where nothing helps.
    """
    driver = read_driver()
    if device not in available_devices():
        return ('this ONNX Runtime is built without CUDA',
                remedy(driver, '', is_missing=True, runtimes=installed_runtimes()))
    if not driver.gpus:
        return driver.failure, ''
    # before the first try: what is not found then is not looked for once more
    _preload_libraries()
    reason = _failure(device)
    if not reason:
        return '', ''
    built = built_for_cuda()
    missing = missing_library(device, _library_folder())
    if is_too_old(driver, built):
        known = '.'.join(map(str, driver.cuda))
        reason = (f'the NVIDIA driver runs CUDA {known} at most, and this ONNX Runtime is built '
                  f'for CUDA {built}')
    elif missing:
        reason = missing
    is_missing = bool(missing) or 'cudnn' in reason.lower()
    return reason, remedy(driver, built, is_missing=is_missing, runtimes=installed_runtimes())


def _failure(device):
    """Why a graph with a convolution does not run on a device; '' if it gives what it should."""
    session, reason = _try_session(probe_graph(), session_options(), providers(device))
    if session is None:
        return reason or 'ONNX Runtime does not say why'
    try:
        result, = session.run(None, {'image': np.ones(PROBE_SHAPE, np.float32)})
    except Exception as error:  # those of ONNX Runtime have no base in common
        return str(error).partition('\n')[0]
    return '' if np.allclose(result, PROBE_RESULT) else 'it does not compute what it should'


def session_options():
    """
    Options of any session.

    An operator has one thread: batches run side by side instead (``GraphRunner.each``), so
    that no thread waits for another after every operator, or for one that makes cutouts.
    """
    options = import_runtime().SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = SILENT
    # the other format that it knows was not looked through
    options.add_session_config_entry('session.load_model_format', 'ONNX')
    return options


def row_dimensions(graph):
    """Names that a graph gives to the number of rows of its inputs."""
    session = _cpu_session(graph)
    return {entry.shape[0] for entry in session.get_inputs() if isinstance(entry.shape[0], str)}


def quiet_session(graph, options, chosen):
    """A session of a graph that was looked through; nothing is written to standard error."""
    check_graph(graph)
    onnxruntime = import_runtime()
    onnxruntime.set_default_logger_severity(SILENT)
    try:
        # its fallback prints, and runs on another device than the one that was asked for
        return onnxruntime.InferenceSession(graph, options, providers=chosen, enable_fallback=0)
    finally:
        onnxruntime.set_default_logger_severity(WARNINGS)


def _try_session(graph, options, chosen):
    """A session, or None if the first provider does not run it; and why, if that is known."""
    try:
        session = quiet_session(graph, options, chosen)
    except Exception as error:  # those of ONNX Runtime have no base in common
        return None, str(error).partition('\n')[0]
    # ONNX Runtime goes on with the CPU without a word where a provider does not start
    return (session if session.get_providers()[0] == chosen[0][0] else None), ''


def _preload_libraries():
    """Load the libraries of CUDA that pip installed, where there are any."""
    onnxruntime = import_runtime()
    if importlib.util.find_spec('nvidia') is None or not hasattr(onnxruntime, 'preload_dlls'):
        return
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
        onnxruntime.preload_dlls()


def built_for_cuda():
    """Version of CUDA that ONNX Runtime is built for, such as '13.0'; '' for none."""
    import_runtime()
    try:
        from onnxruntime.capi import build_and_package_info
    except ImportError:
        return ''
    return getattr(build_and_package_info, 'cuda_version', '') or ''


def installed_runtimes():
    """Which of ONNX Runtime's two distributions are installed; one of them should be."""
    from importlib import metadata  # which takes time to import

    found = []
    for name in RUNTIMES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            metadata.version(name)
            found.append(name)
    return found


def _library_folder():
    """Where ONNX Runtime keeps its part for each device."""
    return Path(import_runtime().__file__).parent / 'capi'
