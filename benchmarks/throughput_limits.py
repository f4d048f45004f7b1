# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the machine can do at most, against what the network asks of it.

One multiply-add is a multiplication and the addition of its product; those of the network are counted from the shapes
in its ONNX graph. The bytes are those of the arrays that every node reads and writes, weights included, as if nothing
stayed in a cache and no two nodes were one: an upper bound. Kernel times are ONNX Runtime's own, with the options that
the package runs it with, so that what it fuses is fused. All times are the shortest of several, as what lengthens one
is the rest of the machine.
"""

import contextlib
import json
import math
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from galvae_affiliated import get_model

SIZES = (512, 1024, 2048, 4096)  # of the matrices
LEAST_SECONDS = 0.3  # each size is repeated as long
TRIAD = 1 << 26  # numbers in an array of the triad: 256 MiB, more than a cache
REPEATS = 8
COUNTED = {'Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'FusedConv', 'FusedMatMul', 'FusedGemm'}
BRANCHES = {'If', 'Loop', 'Scan'}  # the nodes inside are told besides
OUTPUTS = ['latent_mean', 'latent_logvar', 'latent_pose']
WORST = 6  # convolutions that are told one by one


def limits(settings, quick=False):
    """
    Everything about the limit of the machine.

    Parameters
    ----------
    settings : dict
        ``model``, ``device`` and ``n_threads``.
    quick : bool, optional
        Smaller matrices and arrays.

    Returns
    -------
    found : dict
        Rates are a second: multiply-adds, or bytes.
    """
    torch.set_num_threads(settings['n_threads'])
    device, sizes = torch.device(settings['device']), SIZES[:2] if quick else SIZES
    peaks = {'PyTorch': matmul_peak(torch_matmul(device), sizes)}
    if device.type == 'cpu':
        peaks['NumPy'] = matmul_peak(numpy_matmul, sizes)
    bundle = get_model(settings['model'])
    network = graph_cost(bundle.runner('encoder').graph)
    found = {'peaks': peaks, 'bandwidth': bandwidth(device, settings['n_threads'], TRIAD >> (3 if quick else 0)),
             'network': network, 'encoder': encoder_times(bundle, settings['device'])}
    if device.type == 'cuda':
        found['device'] = torch.cuda.get_device_name(device)
    best = max(peak['rate'] for peak in peaks.values())
    encoder = found['encoder']
    found['shares of peak'] = {'encoder graph': network['multiply-adds'] / encoder['seconds a galaxy'] / best}
    if 'kernels' in encoder:
        convolutions = sum(t for name, t in encoder['kernels'].items() if 'Conv' in name)
        found['shares of peak']['its convolutions'] = network['convolutions'] / convolutions / best
        found['convolutions'] = [{**row, 'share of peak': row['multiply-adds'] / row['seconds'] / best}
                                 for row in encoder.pop('convolutions')[:WORST]]
    found['least seconds a galaxy'] = {'multiply-adds': network['multiply-adds'] / best,
                                       'bytes': network['bytes'] / found['bandwidth']}
    return found


def matmul_peak(make, sizes):
    """The best of several sizes: ``size``, and ``rate`` in multiply-adds a second."""
    rates = {size: size ** 3 / best_seconds(make(size)) for size in sizes}
    best = max(rates, key=rates.get)
    return {'size': best, 'rate': rates[best], 'rates': rates}


def numpy_matmul(size):
    """A call that multiplies two square float32 matrices by the BLAS of NumPy."""
    a, b = np.random.default_rng(0).random((2, size, size), dtype=np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def torch_matmul(device):
    """Maker of such calls by PyTorch."""
    def make(size):
        a, b = torch.rand(2, size, size, device=device)
        out = torch.empty_like(a)

        def call():
            torch.matmul(a, b, out=out)
            if device.type == 'cuda':
                torch.cuda.synchronize()

        return call

    return make


def best_seconds(call):
    """Shortest of as many calls as fit in a while."""
    call()
    shortest, until = math.inf, time.perf_counter() + LEAST_SECONDS
    while (start := time.perf_counter()) < until:
        call()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def bandwidth(device, n_threads, length):
    """Bytes a second of ``a = b + s c``, three arrays being moved, on arrays larger than the caches."""
    if device.type == 'cuda':
        a, b, c = torch.rand(3, length, device=device)

        def triad():
            torch.add(b, c, alpha=3.0, out=a)
            torch.cuda.synchronize()

        return 3 * 4 * length / best_seconds(triad)
    a, b, c = np.zeros((3, length), dtype=np.float32)
    parts = [slice(length * i // n_threads, length * (i + 1) // n_threads) for i in range(n_threads)]

    def part(rows):
        np.multiply(c[rows], np.float32(3.0), out=a[rows])
        np.add(a[rows], b[rows], out=a[rows])

    with ThreadPoolExecutor(n_threads) as pool:
        # NumPy has no triad in one pass: a is written, read and written again
        return 5 * 4 * length / best_seconds(lambda: list(pool.map(part, parts)))


def graph_cost(graph):
    """
    Multiply-adds and bytes of one row of a graph.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model whose first axis is the rows.

    Returns
    -------
    cost : dict
        ``multiply-adds`` of all nodes, ``convolutions`` of these alone, ``bytes``, ``weights`` (how many numbers), and
        ``nodes``: name to multiply-adds of each that has any.
    """
    model = onnx.load_from_string(graph)
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {value.name: [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
              for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)}
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    shapes |= weights
    nodes, moved = {}, 0
    for node in model.graph.node:
        moved += 4 * sum(math.prod(shapes[name]) for name in (*node.input, *node.output) if name in shapes)
        if node.op_type in COUNTED:
            nodes[node.name or node.output[0]] = multiply_adds(node, shapes), node.op_type
    convolutions = sum(count for count, kind in nodes.values() if 'Conv' in kind)
    return {'multiply-adds': sum(count for count, _ in nodes.values()), 'convolutions': convolutions, 'bytes': moved,
            'weights': sum(math.prod(dims) for dims in weights.values()),
            'nodes': {name: count for name, (count, _) in nodes.items()}}


def multiply_adds(node, shapes):
    """Of one convolution or product of matrices."""
    first, second, out = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == 'ConvTranspose':
        return math.prod(first) * math.prod(second[1:])
    if 'Conv' in node.op_type:
        # the second axis of the weights is the channels of one group
        return math.prod(out) * math.prod(second[1:])
    transposed = any(a.name == 'transA' and a.i for a in node.attribute)
    return math.prod(out) * first[-2 if transposed else -1]


def encoder_times(bundle, device):
    """Seconds a galaxy of the encoder in batches, and on the CPU what its kernels took."""
    rng = np.random.default_rng(0)
    rendering = next(i for i, entry in enumerate(bundle.renderings) if entry['kind'] == 'flux')
    runner = bundle.runner('encoder', device=device)
    # several batches for each of those that run side by side
    n_rows = 8 * runner.workers * runner.batch_size
    inputs = {'image': rng.random((n_rows, 3, bundle.grid, bundle.grid), dtype=np.float32),
              'rendering': np.full(n_rows, rendering, dtype=np.int64)}
    runner(inputs, OUTPUTS)
    found = {'seconds a galaxy': min(timed(lambda: runner(inputs, OUTPUTS)) for _ in range(REPEATS)) / n_rows}
    if device == 'cpu':
        some = {name: value[:runner.batch_size] for name, value in inputs.items()}
        found |= kernel_times(bundle, some, runner.workers)
    return found


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def kernel_times(bundle, inputs, workers):
    """
    Seconds a galaxy of ONNX Runtime's kernels in the shortest run of a batch, by type and of each convolution.

    One batch is looked at, in one thread; so many ``workers`` do the same side by side, each other's time being saved.
    """
    n_rows = len(inputs['image'])
    with tempfile.TemporaryDirectory() as folder, profiled_sessions(folder) as sessions:
        runner = bundle.runner('encoder', device='cpu', batch_size=n_rows, n_threads=1)
        for _ in range(REPEATS):
            runner(inputs, OUTPUTS)
        events = json.loads(Path(sessions[-1].end_profiling()).read_text())
    run = min((event for event in events if event['name'] == 'model_run'), key=lambda event: event['dur'])
    by_type, by_node = {}, {}
    for event in events:
        inside = run['ts'] <= event['ts'] <= run['ts'] + run['dur']
        if not inside or event.get('cat') != 'Node' or not event['name'].endswith('_kernel_time'):
            continue
        kind, name = event['args']['op_name'], event['name'].removesuffix('_kernel_time')
        if kind in BRANCHES:
            continue
        seconds = event['dur'] * 1e-6 / n_rows / workers
        by_type[kind] = by_type.get(kind, 0.0) + seconds
        if 'Conv' in kind:
            entry = by_node.setdefault(name, {'node': name, 'seconds': 0.0, 'multiply-adds': event_cost(event)})
            entry['seconds'] += seconds
    return {'kernels': dict(sorted(by_type.items(), key=lambda item: -item[1])),
            'convolutions': sorted(by_node.values(), key=lambda row: -row['seconds'])}


def event_cost(event):
    """Multiply-adds a row of a convolution, from the shapes that the profile tells."""
    shapes = [next(iter(entry.values())) for entry in event['args']['input_type_shape']]
    out = next(iter(event['args']['output_type_shape'][0].values()))
    return math.prod(out[1:]) * math.prod(shapes[1][1:])


@contextlib.contextmanager
def profiled_sessions(folder):
    """Sessions that are built in this context write a profile, whatever other options they have; yields their list."""
    sessions, before = [], onnxruntime.InferenceSession

    class Profiled(before):
        def __init__(self, graph, sess_options=None, *args, **keywords):
            options = sess_options or onnxruntime.SessionOptions()
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / 'profile')
            super().__init__(graph, options, *args, **keywords)
            sessions.append(self)

    onnxruntime.InferenceSession = Profiled
    try:
        yield sessions
    finally:
        onnxruntime.InferenceSession = before
