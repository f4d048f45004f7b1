# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The only importer of ONNX Runtime: devices, threads, batches, byte order."""

import os

import numpy as np

from galvae_affiliated.exceptions import DeviceError

__all__ = ['GraphRunner', 'available_devices', 'runtime_version']

DEVICES = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}
SILENT = 4  # severity that leaves only fatal messages


def runtime_version():
    """Version of ONNX Runtime."""
    import onnxruntime

    return onnxruntime.__version__


def available_devices():
    """Devices that this build of ONNX Runtime knows; whether one starts is told by trying."""
    import onnxruntime

    built = onnxruntime.get_available_providers()
    return [device for device, provider in DEVICES.items() if provider in built]


def n_threads():
    """
    Processors this process may use.

    ``OMP_NUM_THREADS`` and the affinity mask (which Slurm and containers set)
    count; the number of processors of the machine does not.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    requested = os.environ.get('OMP_NUM_THREADS', '').split(',')[0]
    return min(allowed, int(requested)) if requested.isdigit() and int(requested) > 0 else allowed


def start_session(graph, device):
    """
    An inference session on the device, or an error.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model.
    device : {'auto', 'cpu', 'cuda'}
        'auto' takes CUDA where it starts and the CPU otherwise.

    Returns
    -------
    session : `onnxruntime.InferenceSession`
    device : str
        The device that runs.

    Raises
    ------
    ValueError
        For another name of a device.
    DeviceError
        If CUDA was asked for and did not start.
    """
    if device not in ('auto', *DEVICES):
        raise ValueError(f"device is {device!r}; expected 'auto', 'cpu' or 'cuda'")
    built = available_devices()
    if device == 'cuda' and 'cuda' not in built:
        raise DeviceError("device 'cuda' was asked for, but this ONNX Runtime is built without CUDA; "
                          "install onnxruntime-gpu in place of onnxruntime, or use device='cpu'")
    if device != 'cpu' and 'cuda' in built:
        session = quiet_session(graph, [DEVICES['cuda'], DEVICES['cpu']])
        # ONNX Runtime goes on with the CPU without a word where CUDA does not start
        if session.get_providers()[0] == DEVICES['cuda']:
            return session, 'cuda'
        if device == 'cuda':
            raise DeviceError("device 'cuda' was asked for, but CUDA did not start: no GPU, or no matching CUDA and "
                              "cuDNN libraries; device='cpu' does without")
        return session, 'cpu'
    return quiet_session(graph, [DEVICES['cpu']]), 'cpu'


def quiet_session(graph, providers):
    """A session whose construction does not write to the standard error stream."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads()
    options.log_severity_level = SILENT
    onnxruntime.set_default_logger_severity(SILENT)
    try:
        return onnxruntime.InferenceSession(graph, options, providers=providers)
    finally:
        onnxruntime.set_default_logger_severity(2)  # the library's own default: warnings


class GraphRunner:
    """
    An ONNX graph that runs over any number of rows in batches.

    The session is built at the first call and left out when the object is
    pickled: sessions cannot be pickled, and a worker has its own threads.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model whose inputs all have rows as first axis.
    device : {'auto', 'cpu', 'cuda'}
        See `start_session`.
    batch_size : int
        Rows a call of the session.
    """

    def __init__(self, graph, *, device='auto', batch_size=64):
        if batch_size < 1:
            raise ValueError(f'batch_size is {batch_size}; expected at least 1')
        self.graph, self.requested_device, self.batch_size = graph, device, int(batch_size)
        self._session = self._device = None

    def __getstate__(self):
        return {**self.__dict__, '_session': None, '_device': None}

    def start(self):
        """Build the session unless there is one; raises `DeviceError` if the device does not start."""
        if self._session is None:
            self._session, self._device = start_session(self.graph, self.requested_device)
        return self._session

    @property
    def device(self):
        """The device that runs, 'cpu' or 'cuda'."""
        self.start()
        return self._device

    def __call__(self, inputs, outputs):
        """
        Run all rows.

        Parameters
        ----------
        inputs : dict of str to (N, ...) array
            Of any byte order and any float type; integers stay 64-bit integers.
        outputs : list of str
            Names of the outputs wanted; others are not computed.

        Returns
        -------
        arrays : list of (N, ...) arrays
        """
        inputs = {name: np.asarray(value) for name, value in inputs.items()}
        n_rows = len(next(iter(inputs.values())))
        batches = [self.run_batch({k: v[i:i + self.batch_size] for k, v in inputs.items()}, outputs)
                   for i in range(0, max(n_rows, 1), self.batch_size)]
        return [np.concatenate(parts) for parts in zip(*batches)]

    def run_batch(self, inputs, outputs):
        n_rows = len(next(iter(inputs.values())))
        size = self.batch_size if self.device == 'cuda' else n_rows
        inputs = {name: pad_rows(native(value), size) for name, value in inputs.items()}
        return [value[:n_rows] for value in self.start().run(outputs, inputs)]


def native(array):
    """Contiguous, in the machine's byte order: ONNX Runtime takes FITS's order without a word and computes nonsense."""
    kind = np.int64 if np.issubdtype(array.dtype, np.integer) else np.float32
    return np.ascontiguousarray(array, dtype=kind)


def pad_rows(array, size):
    """Repeat the last row up to ``size`` rows: on a GPU every new shape costs a second of set-up."""
    if len(array) in (0, size):
        return array
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
