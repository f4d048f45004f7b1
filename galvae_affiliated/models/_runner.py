# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The only importer of ONNX Runtime: sessions that run where they were asked to, batches of fixed shape, byte order."""

import contextlib
import functools
import importlib.util
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from galvae_affiliated.exceptions import DeviceError
from galvae_affiliated.models._devices import (
    BATCH_SIZE,
    DEVICES,
    NAMES,
    NEEDS,
    check_device,
    missing_library,
    providers,
    residual_graph,
    usable_threads,
)

__all__ = ['GraphRunner', 'available_devices', 'device_starts', 'runtime_version']

SILENT, WARNINGS = 4, 2  # severities: fatal messages alone, and the library's own default


def runtime_version():
    """Version of ONNX Runtime."""
    import onnxruntime

    return onnxruntime.__version__


def available_devices():
    """Devices that this build of ONNX Runtime knows; whether one starts is told by trying."""
    import onnxruntime

    built = onnxruntime.get_available_providers()
    return [device for device, provider in DEVICES.items() if provider in built]


def start_session(graph, device, batch_size, precision='float32'):
    """
    An inference session on the device, or an error.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model.
    device : {'auto', 'cpu', 'cuda', 'tensorrt'}
        'auto' takes CUDA where it starts and the CPU otherwise, never
        TensorRT: to build its engines takes minutes.
    batch_size : int
        Rows a call; on a GPU each call must have just these.
    precision : {'float32', 'float16'}, optional

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
    """
    check_device(device, precision)
    if device == 'auto':
        device = 'cuda' if device_starts('cuda') else 'cpu'
        if (device, precision) == ('cpu', 'float16'):
            raise DeviceError("precision 'float16' was asked for, but no GPU started; use precision='float32'")
    chosen = providers(device, graph, batch_size, precision, runtime_version())
    if device == 'cpu':
        return quiet_session(graph, session_options(), chosen), device
    if device not in available_devices():
        raise DeviceError(f'device {device!r} was asked for, but this ONNX Runtime is built without {NAMES[device]}; '
                          "install onnxruntime-gpu in place of onnxruntime, or use device='cpu'")
    options = session_options()
    for name in row_dimensions(graph):
        # where all shapes are known the graph is simpler, and TensorRT builds one engine for it
        options.add_free_dimension_override_by_name(name, batch_size)
    session, reason = try_session(graph, options, chosen)
    if session is None and preload_libraries():
        session, reason = try_session(graph, options, chosen)
    if session is None:
        reason = missing_library(device, library_folder()) or reason or NEEDS[device]
        raise DeviceError(f"device {device!r} was asked for, but {NAMES[device]} did not start: {reason}; "
                          "device='cpu' does without")
    return session, device


@functools.cache
def device_starts(device):
    """Whether a device starts, tried once a process with a graph so small that it costs nothing."""
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

    An operator has one thread: batches run side by side instead (`GraphRunner.each`), so that no thread waits for
    another after every operator, or for one that makes cutouts.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = SILENT
    return options


def row_dimensions(graph):
    """Names that a graph gives to the number of rows of its inputs."""
    session = quiet_session(graph, session_options(), [DEVICES['cpu']])
    return {entry.shape[0] for entry in session.get_inputs() if isinstance(entry.shape[0], str)}


def try_session(graph, options, chosen):
    """A session, None if the first provider does not run it; and what ONNX Runtime says of that, if anything."""
    try:
        session = quiet_session(graph, options, chosen)
    except Exception as error:  # those of ONNX Runtime have no base in common
        return None, str(error).partition('\n')[0]
    # ONNX Runtime goes on with the CPU without a word where a provider does not start
    return (session if session.get_providers()[0] == chosen[0][0] else None), ''


def quiet_session(graph, options, chosen):
    """A session whose construction does not write to the standard error stream."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(SILENT)
    try:
        # its fallback prints, and runs on another device than the one that was asked for
        return onnxruntime.InferenceSession(graph, options, providers=chosen, enable_fallback=0)
    finally:
        onnxruntime.set_default_logger_severity(WARNINGS)


def preload_libraries():
    """Load the libraries of CUDA that pip installed, which the system does not find; False if there are none."""
    import onnxruntime

    if importlib.util.find_spec('nvidia') is None or not hasattr(onnxruntime, 'preload_dlls'):
        return False
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
        onnxruntime.preload_dlls()
    return True


def library_folder():
    """Where ONNX Runtime keeps its part for each device."""
    import onnxruntime

    return Path(onnxruntime.__file__).parent / 'capi'


class GraphRunner:
    """
    An ONNX graph that runs over any number of rows in batches.

    The session is built at the first call and left out when the object is
    pickled: sessions cannot be pickled, and a worker has its own threads.
    Optimised graphs are not kept on disk: the sessions of the default model
    take 35 ms of processor time to build, and 25 ms to read and to check.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model whose inputs all have rows as first axis.
    device, batch_size, precision : optional
        See `start_session`.
    n_threads : int, optional
        Batches that run side by side on a CPU; None takes `n_threads`.

    Raises
    ------
    ValueError
        For a batch size or threads below 1, or names that do not exist.
    """

    def __init__(self, graph, *, device='auto', batch_size=BATCH_SIZE, n_threads=None, precision='float32'):
        for name, value in (('batch_size', batch_size), ('n_threads', n_threads)):
            if value is not None and value < 1:
                raise ValueError(f'{name} is {value}; expected at least 1')
        check_device(device, precision)
        self.graph, self.requested_device, self.batch_size = graph, device, int(batch_size)
        self.n_threads, self.precision = n_threads, precision
        self._session = self._device = self._workers = None

    def __getstate__(self):
        return {**self.__dict__, '_session': None, '_device': None, '_workers': None}

    def start(self):
        """Build the session unless there is one; raises `DeviceError` if the device does not start."""
        if self._session is None:
            session, self._device = start_session(self.graph, self.requested_device, self.batch_size, self.precision)
            # a GPU is one, and takes its batches one after the other
            self._workers = (self.n_threads or usable_threads()) if self._device == 'cpu' else 1
            self._session = session
        return self._session

    def warm_up(self):
        """Build the session and, on a GPU, run a batch of zeros: the first one takes seconds there."""
        session = self.start()
        if self.device != 'cpu':
            zeros = {entry.name: np.zeros([n if isinstance(n, int) else self.batch_size for n in entry.shape],
                                          np.int64 if entry.type == 'tensor(int64)' else np.float32)
                     for entry in session.get_inputs()}
            self.run_batch(zeros, [entry.name for entry in session.get_outputs()])

    @property
    def device(self):
        """The device that runs: 'cpu', 'cuda' or 'tensorrt'."""
        self.start()
        return self._device

    @property
    def workers(self):
        """Batches that run side by side."""
        self.start()
        return self._workers

    def slices(self, n_rows):
        """
        Rows of each batch, at most ``batch_size``; fewer on a CPU where a thread would have none.

        Parameters
        ----------
        n_rows : int

        Returns
        -------
        slices : list of slice
            None for no rows.
        """
        size = self.batch_size if self.device != 'cpu' else min(self.batch_size, max(1, -(-n_rows // self.workers)))
        return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]

    def each(self, function, batches):
        """
        Call a function for each of some batches, on a CPU side by side.

        ONNX Runtime lets other threads of Python run while it computes.
        """
        if self.workers == 1 or len(batches) < 2:
            for batch in batches:
                function(batch)
            return
        with ThreadPoolExecutor(min(self.workers, len(batches)), thread_name_prefix='galvae-network') as pool:
            for _ in pool.map(function, batches):
                pass  # what was raised is raised here

    def __call__(self, inputs, outputs):
        """
        Run all rows.

        Parameters
        ----------
        inputs : dict of str to (N, ...) array
            Of any byte order and any float type; integers stay 64-bit integers.
        outputs : list of str
            Names of the outputs wanted.

        Returns
        -------
        arrays : list of (N, ...) arrays
        """
        inputs = {name: np.asarray(value) for name, value in inputs.items()}
        n_rows, arrays, lock = len(next(iter(inputs.values()))), [], threading.Lock()

        def run(rows):
            values = [value.numpy() for value in self.run_batch(self.batch(inputs, rows), outputs)]
            with lock:
                # whichever is first tells the shapes of the results
                if not arrays:
                    arrays.extend(np.empty((n_rows, *value.shape[1:]), value.dtype) for value in values)
            for array, value in zip(arrays, values):
                array[rows] = value[:rows.stop - rows.start]

        self.each(run, self.slices(n_rows) or [slice(0, 0)])
        return arrays

    def batch(self, inputs, rows):
        """
        Some rows of all inputs, as the session takes them: the last one is repeated, see `padded_size`.

        Parameters
        ----------
        inputs : dict of str to (N, ...) array
        rows : slice or (n,) int array
            At most ``batch_size``.

        Returns
        -------
        batch : dict of str to (size, ...) array
        """
        parts = {name: value[rows] for name, value in inputs.items()}
        size = self.padded_size(len(next(iter(parts.values()))))
        return {name: native_rows(part, size) for name, part in parts.items()}

    def padded_size(self, n_rows):
        """
        Rows that a call of the session has for ``n_rows`` of data.

        A GPU sets itself up for each new shape, which takes seconds. On a CPU
        a repeated row costs as much as any: an incomplete batch gets at most a
        quarter more rows, so that there are few shapes all the same.
        """
        if self.device != 'cpu':
            return self.batch_size
        step = 1 << max(n_rows.bit_length() - 3, 0)
        return min(self.batch_size, max(1, -(-n_rows // step) * step))

    def run_batch(self, inputs, outputs):
        """
        One call of the session; its results stay on the device.

        Parameters
        ----------
        inputs : dict of str to array or `onnxruntime.OrtValue`
            Arrays as `batch` makes them, copied to the device once, or results
            of another runner on this device.
        outputs : list of str

        Returns
        -------
        values : list of `onnxruntime.OrtValue`
            Their ``numpy`` copies them to an array.
        """
        session = self.start()
        binding = session.io_binding()
        for name, value in inputs.items():
            bind = binding.bind_cpu_input if isinstance(value, np.ndarray) else binding.bind_ortvalue_input
            bind(name, value)
        for name in outputs:
            # TensorRT's results are in the memory of CUDA
            binding.bind_output(name, 'cpu' if self.device == 'cpu' else 'cuda')
        session.run_with_iobinding(binding)
        return binding.get_outputs()


def native_rows(array, size):
    """
    An array of ``size`` rows in the machine's byte order, the last one repeated after those that are given.

    ONNX Runtime takes FITS's byte order without a word and computes nonsense.
    Repeated rows, and not zeros: a graph may take a longer way if any row needs it.
    """
    kind = np.int64 if np.issubdtype(array.dtype, np.integer) else np.float32
    if len(array) == size:
        return np.ascontiguousarray(array, dtype=kind)
    filled = np.empty((size, *array.shape[1:]), dtype=kind)
    filled[:len(array)] = array
    filled[len(array):] = array[-1:] if len(array) else 0
    return filled
