# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the machine can do at most, against what the network asks of it.

One multiply-add is a multiplication and the addition of its product; those of the network are
counted from the shapes in its ONNX graph. The bytes are those of the arrays that every node reads
and writes, weights included, as if nothing stayed in a cache and no two nodes were one: an upper
bound. Kernel times are ONNX Runtime's own, with the options that the package runs it with, so that
what it fuses is fused. All times are the shortest of several, as what lengthens one is the rest of
the machine.
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

from galvae_affiliated import Engine, get_model

SIZES = (512, 1024, 2048, 4096)  # of the matrices
LEAST_SECONDS = 0.3  # each size is repeated as long
TRIAD = 1 << 26  # numbers in an array of the triad: 256 MiB, more than a cache
REPEATS = 8
COUNTED = {'Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'FusedConv', 'FusedMatMul', 'FusedGemm'}
BRANCHES = {'If', 'Loop', 'Scan'}  # the nodes inside have events of their own
OUTPUTS = ['latent_mean', 'latent_logvar', 'latent_pose']
WORST = 6  # convolutions that are listed one by one


def limits(settings, quick=False):
    """Everything about the limit of the machine; rates are multiply-adds, or bytes, a second."""
    torch.set_num_threads(settings['n_threads'])
    device, sizes = torch.device(settings['device']), SIZES[:2] if quick else SIZES
    peaks = {'PyTorch': _matmul_peak(_torch_matmul(device), sizes)}
    if device.type == 'cpu':
        peaks['NumPy'] = _matmul_peak(_numpy_matmul, sizes)
    bundle = get_model(settings['model'])
    network = graph_cost(bundle.graph('encoder'))
    bandwidth = _bandwidth(device, settings['n_threads'], TRIAD >> (3 if quick else 0))
    encoder = _encoder_times(bundle, settings)
    best = max(peak['rate'] for peak in peaks.values())
    least = {'multiply-adds': network['multiply-adds'] / best,
             'bytes': network['bytes'] / bandwidth}
    shares = {'encoder graph': least['multiply-adds'] / encoder['seconds a galaxy']}
    found = {'peaks': peaks, 'bandwidth': bandwidth, 'network': network, 'encoder': encoder,
             'least seconds a galaxy': least, 'shares of peak': shares}
    if device.type == 'cuda':
        found['device'] = torch.cuda.get_device_name(device)
    if 'kernels' in encoder:
        seconds = sum(t for name, t in encoder['kernels'].items() if 'Conv' in name)
        shares['its convolutions'] = network['convolutions'] / seconds / best
        for row in (worst := encoder.pop('convolutions')[:WORST]):
            row['share of peak'] = row['multiply-adds'] / row['seconds'] / best
        found['convolutions'] = worst
    return found


def graph_cost(graph):
    """
    Multiply-adds and bytes of one row of a serialised ONNX model.

    ``multiply-adds`` are of all ``nodes``, ``convolutions`` of these alone, ``weights`` numbers.
    """
    model = onnx.load_from_string(graph)
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    shapes = {value.name: [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
              for value in values}
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    shapes |= weights
    nodes, convolutions, moved = {}, 0, 0
    for node in model.graph.node:
        names = [name for name in (*node.input, *node.output) if name in shapes]
        moved += 4 * sum(math.prod(shapes[name]) for name in names)
        if node.op_type in COUNTED:
            count = nodes[node.name or node.output[0]] = _multiply_adds(node, shapes)
            convolutions += count * ('Conv' in node.op_type)
    return {'multiply-adds': sum(nodes.values()), 'convolutions': convolutions, 'bytes': moved,
            'weights': sum(math.prod(dims) for dims in weights.values()), 'nodes': nodes}


def limit_tables(found):
    """What the machine can do and the network asks of it; what the encoder's time goes to."""
    network = found['network']
    milliseconds = {name: f'{seconds * 1e3:.3f} ms a galaxy' for name, seconds in
                    (*found['least seconds a galaxy'].items(),
                     ('encoder', found['encoder']['seconds a galaxy']))}
    rows = []
    for name, peak in found['peaks'].items():
        rows.append([f'matrix-multiply peak, {name}, {peak["size"]} x {peak["size"]}',
                     f'{peak["rate"] / 1e9:.1f} G multiply-adds/s'])
    rows += [['device', found['device']]] if 'device' in found else []
    rows += [['memory bandwidth, triad', f'{found["bandwidth"] / 1e9:.1f} GB/s'],
             ['encoder: multiply-adds a galaxy', f'{network["multiply-adds"] / 1e6:.1f} M'],
             ['of which convolutions', f'{network["convolutions"] / 1e6:.1f} M'],
             ['encoder: bytes read and written by its nodes',
              f'{network["bytes"] / 1e6:.1f} MB a galaxy'],
             ['least time for the multiply-adds', milliseconds['multiply-adds']],
             ['least time for the bytes, if none stayed in a cache', milliseconds['bytes']],
             ['time of the encoder', milliseconds['encoder']]]
    rows += [[f'share of the peak: {name}', f'{share:.1%}']
             for name, share in found['shares of peak'].items()]
    kernels = found['encoder'].get('kernels', {})
    total = sum(kernels.values())
    times = [[f'all {name}', f'{seconds * 1e6:.1f}', f'{seconds / total:.1%}', '-']
             for name, seconds in kernels.items() if seconds > 0.01 * total]
    times += [[f'convolution {row["node"]}', f'{row["seconds"] * 1e6:.1f}',
               f'{row["seconds"] / total:.1%}', f'{row["share of peak"]:.1%}']
              for row in found.get('convolutions', [])]
    header = ['kernel', 'microseconds a galaxy', 'share of the time', 'share of the peak']
    return [('The limit of the machine', ['what', 'figure'], rows),
            ("The encoder's kernels", header, times)]


def _matmul_peak(make, sizes):
    """The best of several sizes: ``size``, and ``rate`` in multiply-adds a second."""
    rates = {size: size ** 3 / _best_seconds(make(size)) for size in sizes}
    best = max(rates, key=rates.get)
    return {'size': best, 'rate': rates[best], 'rates': rates}


def _numpy_matmul(size):
    """A call that multiplies two square float32 matrices by the BLAS of NumPy."""
    a, b = np.random.default_rng(0).random((2, size, size), dtype=np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def _torch_matmul(device):
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


def _best_seconds(call):
    """Shortest of as many calls as fit in a while."""
    call()
    shortest, until = math.inf, time.perf_counter() + LEAST_SECONDS
    while time.perf_counter() < until:
        shortest = min(shortest, _seconds(call))
    return shortest


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _bandwidth(device, n_threads, length):
    """Bytes a second of ``a = b + s c``, on three arrays that are larger than the caches."""
    if device.type == 'cuda':
        a, b, c = torch.rand(3, length, device=device)

        def triad():
            torch.add(b, c, alpha=3.0, out=a)
            torch.cuda.synchronize()

        return 3 * 4 * length / _best_seconds(triad)
    a, b, c = np.zeros((3, length), dtype=np.float32)
    edges = [length * i // n_threads for i in range(n_threads + 1)]

    def part(start, stop):
        np.multiply(c[start:stop], np.float32(3.0), out=a[start:stop])
        np.add(a[start:stop], b[start:stop], out=a[start:stop])

    with ThreadPoolExecutor(n_threads) as pool:
        # NumPy has no triad in one pass: a is written, read and written again
        return 5 * 4 * length / _best_seconds(lambda: list(pool.map(part, edges, edges[1:])))


def _multiply_adds(node, shapes):
    """Of one convolution or product of matrices."""
    first, second, out = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == 'ConvTranspose':
        return math.prod(first) * math.prod(second[1:])
    if 'Conv' in node.op_type:
        # the second axis of the weights is the channels of one group
        return math.prod(out) * math.prod(second[1:])
    transposed = any(a.name == 'transA' and a.i for a in node.attribute)
    return math.prod(out) * first[-2 if transposed else -1]


def _encoder_times(bundle, settings):
    """Seconds a galaxy of the encoder in batches, and on the CPU what its kernels took."""
    rng, device = np.random.default_rng(0), settings['device']
    kinds = [entry.kind for entry in bundle.frame.renderings]
    runner = Engine(device=device, n_threads=settings['n_threads']).runner(bundle, 'encoder')
    # several batches for each of those that run side by side
    n_rows = 8 * runner.workers * runner.batch_size
    inputs = {'image': rng.random((n_rows, 3, bundle.grid, bundle.grid), dtype=np.float32),
              'rendering': np.full(n_rows, kinds.index('flux'), dtype=np.int64)}
    runner(inputs, OUTPUTS)
    shortest = min(_seconds(lambda: runner(inputs, OUTPUTS)) for _ in range(REPEATS))
    found = {'seconds a galaxy': shortest / n_rows}
    if device == 'cpu':
        some = {name: value[:runner.batch_size] for name, value in inputs.items()}
        found |= _kernel_times(bundle, some, runner.workers)
    return found


def _kernel_times(bundle, inputs, workers):
    """
    Seconds a galaxy of ONNX Runtime's kernels in the shortest run of a batch, by type and node.

    One batch is looked at, in one thread; otherwise as many as ``workers`` run side by side.
    """
    n_rows = len(inputs['image'])
    with tempfile.TemporaryDirectory() as folder, _profiled_sessions(folder) as sessions:
        runner = Engine(device='cpu', batch_size=n_rows, n_threads=1).runner(bundle, 'encoder')
        for _ in range(REPEATS):
            runner(inputs, OUTPUTS)
        events = json.loads(Path(sessions[-1].end_profiling()).read_text())
    runs = [event for event in events if event['name'] == 'model_run']
    run = min(runs, key=lambda event: event['dur'])
    by_type, by_node = {}, {}
    for event in events:
        inside = run['ts'] <= event['ts'] <= run['ts'] + run['dur']
        is_kernel = event.get('cat') == 'Node' and event['name'].endswith('_kernel_time')
        if not inside or not is_kernel or event['args']['op_name'] in BRANCHES:
            continue
        kind, name = event['args']['op_name'], event['name'].removesuffix('_kernel_time')
        seconds = event['dur'] * 1e-6 / n_rows / workers
        by_type[kind] = by_type.get(kind, 0.0) + seconds
        if 'Conv' in kind:
            new = {'node': name, 'seconds': 0.0, 'multiply-adds': _event_cost(event)}
            by_node.setdefault(name, new)['seconds'] += seconds
    return {'kernels': dict(sorted(by_type.items(), key=lambda item: -item[1])),
            'convolutions': sorted(by_node.values(), key=lambda row: -row['seconds'])}


def _event_cost(event):
    """Multiply-adds a row of a convolution, from the shapes in the profile."""
    shapes = [next(iter(entry.values())) for entry in event['args']['input_type_shape']]
    out = next(iter(event['args']['output_type_shape'][0].values()))
    return math.prod(out[1:]) * math.prod(shapes[1][1:])


@contextlib.contextmanager
def _profiled_sessions(folder):
    """Sessions that are built in this context write a profile; yields their list."""
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

