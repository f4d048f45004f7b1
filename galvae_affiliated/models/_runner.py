# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Graphs that run over any number of rows, in batches of fixed shape."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models._devices import BATCH_SIZE, check_device, usable_threads
from galvae_affiliated.models._sessions import start_session, unrunnable

FLOATS = ('tensor(float)', 'tensor(double)')
LOCK = threading.RLock()  # threads that share a runner build its session once


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
        See `~galvae_affiliated.models._sessions.start_session`.
    n_threads : int, optional
        Batches that run side by side on a CPU; None takes the processors that the process
        may use.
    label : str, optional
        What errors call the graph, such as 'gz2-sdss-v3@3f9d0c2ab715: heads.onnx'.
    shapes : dict of str to tuple of int, optional
        Shape of a row of the outputs, for those where it is known: what a graph gives is
        compared with it, and not what it states.

    Raises
    ------
    ValueError
        For a batch size or threads below 1, or names that do not exist.
    """

    def __init__(self, graph, *, device='auto', batch_size=BATCH_SIZE, n_threads=None,
                 precision='float32', label='', shapes=None):
        check_counts(batch_size=batch_size, n_threads=n_threads)
        check_device(device, precision)
        self.graph = graph
        self.requested_device = device
        self.batch_size = int(batch_size)
        self.n_threads = n_threads
        self.precision = precision
        self.label = label
        self.shapes = shapes or {}
        self._session = self._device = self._workers = None

    def __getstate__(self):
        return {**self.__dict__, '_session': None, '_device': None, '_workers': None}

    def start(self):
        """
        Build the session unless there is one.

        Raises
        ------
        DeviceError
            If the device does not start.
        BundleError
            If the graph cannot be run.
        """
        if self._session is None:
            with LOCK:
                if self._session is None:
                    self._start()
        return self._session

    def _start(self):
        try:
            session, self._device = start_session(self.graph, self.requested_device,
                                                  self.batch_size, self.precision)
        except BundleError as error:
            raise self._labelled(error) from None
        # a GPU is one, and takes its batches one after the other
        on_cpu = self._device == 'cpu'
        self._workers = (self.n_threads or usable_threads()) if on_cpu else 1
        self._session = session

    def warm_up(self):
        """Build the session and, on a GPU, run a batch of zeros: the first takes seconds."""
        session = self.start()
        if self.device != 'cpu':
            zeros = {}
            for entry in session.get_inputs():
                shape = [n if isinstance(n, int) else self.batch_size for n in entry.shape]
                kind = np.int64 if entry.type == 'tensor(int64)' else np.float32
                zeros[entry.name] = np.zeros(shape, kind)
            self.run_batch(zeros, [entry.name for entry in session.get_outputs()])

    @property
    def device(self):
        """The device that runs: 'cpu' or 'cuda'."""
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
        size = self.batch_size
        if self.device == 'cpu':
            size = min(size, max(1, -(-n_rows // self.workers)))
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
        n_workers = min(self.workers, len(batches))
        with ThreadPoolExecutor(n_workers, thread_name_prefix='galvae-network') as pool:
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
        n_rows = len(next(iter(inputs.values())))
        arrays = []
        lock = threading.Lock()

        def run(rows):
            results = self.run_batch(self.batch(inputs, rows), outputs)
            values = [value.numpy() for value in results]
            with lock:
                # whichever is first has the shapes of the results
                if not arrays:
                    arrays.extend(np.empty((n_rows, *value.shape[1:]), value.dtype)
                                  for value in values)
            for array, value in zip(arrays, values):
                array[rows] = value[:rows.stop - rows.start]

        self.each(run, self.slices(n_rows) or [slice(0, 0)])
        return arrays

    def batch(self, inputs, rows):
        """
        Some rows of all inputs, as the session takes them.

        The last one is repeated, see `padded_size`.

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

        Raises
        ------
        BundleError
            If the graph does not take these inputs, or gives something else.
        """
        session = self.start()
        try:
            values = self._bound(session, inputs, outputs)
        except Exception as error:  # those of ONNX Runtime have no base in common
            raise self._labelled(unrunnable(error)) from None
        for name, value in zip(outputs, values):
            if name in self.shapes:
                self._check_output(name, value, _n_rows(next(iter(inputs.values()))))
        return values

    def _bound(self, session, inputs, outputs):
        """Values of the outputs, as ONNX Runtime gives them."""
        binding = session.io_binding()
        for name, value in inputs.items():
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, value)
            else:
                binding.bind_ortvalue_input(name, value)
        for name in outputs:
            binding.bind_output(name, self.device)
        session.run_with_iobinding(binding)
        return binding.get_outputs()

    def _check_output(self, name, value, n_rows):
        """Refuse what would be broadcast, or cut, where it is put."""
        expected = [n_rows, *self.shapes[name]]
        # quantities are in double precision: their units may be large numbers
        if value.data_type() not in FLOATS or value.shape() != expected:
            found = f'{value.data_type()} of shape {value.shape()}'
            raise self._labelled(BundleError(f'{name} is {found}; expected tensor(float) of '
                                             f'shape {expected}'))

    def _labelled(self, error):
        """An error of the same kind that says of which graph it is."""
        return type(error)(f'{self.label}: {error}') if self.label else error


def _n_rows(value):
    """Length of an array, or of an array on the device."""
    return len(value) if isinstance(value, np.ndarray) else value.shape()[0]


def check_counts(**counts):
    """Raise ValueError for a number of rows or threads that is below one; None stands for any."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f'{name} is {value}; expected at least 1')


def native_rows(array, size):
    """
    An array of ``size`` rows in the machine's byte order, the last one given repeated.

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
