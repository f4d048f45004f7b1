# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The only importer of ONNX Runtime: sessions that run where they were asked to."""

import contextlib
import functools
import importlib.util
import io
import os
from pathlib import Path

from galvae_affiliated.exceptions import BundleError, DeviceError
from galvae_affiliated.models._devices import (
    DEVICES,
    check_device,
    missing_library,
    providers,
    residual_graph,
)
from galvae_affiliated.models._graph_check import check_graph

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
    if device not in available_devices():
        raise DeviceError(f'device {device!r} was asked for, but this ONNX Runtime is built '
                          'without CUDA; install onnxruntime-gpu in place of onnxruntime, or '
                          "use device='cpu'")
    options = session_options()
    for name in row_dimensions(graph):
        # where all shapes are known the graph is simpler
        options.add_free_dimension_override_by_name(name, batch_size)
    session, reason = _try_session(graph, options, providers(device))
    if session is None and _preload_libraries():
        session, reason = _try_session(graph, options, providers(device))
    if session is None:
        reason = (missing_library(device, _library_folder()) or reason
                  or 'no GPU, or no matching CUDA and cuDNN libraries')
        raise DeviceError(f"device {device!r} was asked for, but CUDA did not start: {reason}; "
                          "device='cpu' does without")
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


@functools.cache
def device_starts(device):
    """Whether a device starts, tried once a process with a graph that costs nothing."""
    if device not in available_devices():
        return False
    try:
        start_session(residual_graph(), device, 1)
    except DeviceError:
        return False
    return True


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
    """Load the libraries of CUDA that pip installed; False if there are none."""
    onnxruntime = import_runtime()
    if importlib.util.find_spec('nvidia') is None or not hasattr(onnxruntime, 'preload_dlls'):
        return False
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
        onnxruntime.preload_dlls()
    return True


def _library_folder():
    """Where ONNX Runtime keeps its part for each device."""
    return Path(import_runtime().__file__).parent / 'capi'
