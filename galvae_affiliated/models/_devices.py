# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a session of ONNX Runtime is told: devices and their options, threads, where engines are kept."""

import ctypes
import functools
import hashlib
import os
import re
from importlib import resources
from pathlib import Path

from astropy.config import get_cache_dir

__all__ = ['BATCH_SIZE', 'DEVICES', 'NAMES', 'NEEDS', 'check_device', 'missing_library', 'n_threads', 'providers', 'residual_graph']

# rows a call of a network: so few stay in a processor's cache
BATCH_SIZE = 16
DEVICES = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider', 'tensorrt': 'TensorrtExecutionProvider'}
NAMES = {'cuda': 'CUDA', 'tensorrt': 'TensorRT'}
# for the message where a device does not start and ONNX Runtime does not say why
NEEDS = {'cuda': 'no GPU, or no matching CUDA and cuDNN libraries',
         'tensorrt': 'no GPU, or no matching TensorRT, CUDA and cuDNN libraries'}
PRECISIONS = ('float32', 'float16')
CUDA_OPTIONS = {
    # every batch has the same shape: an arena that doubles would only hold memory that nothing needs
    'arena_extend_strategy': 'kSameAsRequested',
    # the search for the fastest algorithm takes seconds and does not always end with the same one, nor the same digits
    'cudnn_conv_algo_search': 'HEURISTIC',
    # copies wait for the kernels before them; on a stream of their own they race with them
    'do_copy_in_default_stream': True,
    # TensorFloat-32 keeps 10 bits of the mantissa: who wants that asks for float16, which is faster still
    'use_tf32': False,
}


def check_device(device, precision):
    """Raise ValueError for names that do not exist, and for half precision on a CPU."""
    if device not in ('auto', *DEVICES):
        raise ValueError(f"device is {device!r}; expected 'auto', 'cpu', 'cuda' or 'tensorrt'")
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected 'float32' or 'float16'")
    if device == 'cpu' and precision == 'float16':
        raise ValueError("precision 'float16' is for GPUs: a CPU converts each number, which is slower than 'float32'")


def usable_threads(number=None):
    """
    Processors this process may use.

    The affinity mask (which Slurm and containers set) is the limit; below it
    count, in this order, ``OMP_NUM_THREADS``, the processors of a Slurm task,
    and those of a Slurm job on this node, shared among the tasks of the step.
    The number of processors of the machine does not count. A ``number`` takes the
    place of all but the affinity mask.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    # set only if the job was given --cpus-per-task
    a_task = leading_number('SLURM_CPUS_PER_TASK')
    shared = leading_number('SLURM_CPUS_ON_NODE') // max(leading_number('SLURM_STEP_TASKS_PER_NODE'), 1)
    return min(allowed, number or leading_number('OMP_NUM_THREADS') or a_task or shared or allowed)


def leading_number(variable):
    """Number with which a variable of the environment begins ('4', '4,2', '4(x3)'); 0 if there is none."""
    found = re.match(r'\d+', os.environ.get(variable, ''))
    return int(found.group()) if found else 0


def providers(device, graph, batch_size, precision, version):
    """
    Execution providers with their options, the preferred first: what one cannot run, the next one does.

    Parameters
    ----------
    device : {'cpu', 'cuda', 'tensorrt'}
    graph : bytes
    batch_size : int
    precision : {'float32', 'float16'}
    version : str
        Of ONNX Runtime.

    Returns
    -------
    providers : list of (str, dict)
    """
    chosen = [(DEVICES['cpu'], {})]
    if device != 'cpu':
        chosen.insert(0, (DEVICES['cuda'], CUDA_OPTIONS))
    if device == 'tensorrt':
        # without leave, TensorRT refuses the parts of a graph that are in half precision
        options = {'trt_fp16_enable': precision == 'float16', **engine_cache(graph, batch_size, version)}
        chosen.insert(0, (DEVICES['tensorrt'], options))
    return chosen


def engine_cache(graph, batch_size, version):
    """
    Options of TensorRT to keep its engines, which take minutes to build.

    A folder holds those of one graph, number of rows and version of ONNX
    Runtime: TensorRT looks at none of these when it finds an engine. Without a
    folder that can be written to, engines are built anew by each process.
    """
    name = f'{hashlib.sha256(graph).hexdigest()[:16]}-{batch_size}-{version}'
    try:
        root = Path(get_cache_dir('galvae_affiliated')) / 'tensorrt'
        (root / name).mkdir(parents=True, exist_ok=True)
    except OSError:
        return {}
    if not os.access(root / name, os.W_OK):
        return {}
    return {'trt_engine_cache_enable': True, 'trt_engine_cache_path': str(root / name),
            # times of single layers, which serve any graph
            'trt_timing_cache_enable': True, 'trt_timing_cache_path': str(root)}


def missing_library(device, folder):
    """Says which shared library that ONNX Runtime's part for a device, in a folder, does not find; '' if none."""
    try:
        ctypes.CDLL(str(Path(folder) / f'libonnxruntime_providers_{device}.so'))
    except OSError as error:
        found = re.match(r'(lib[^:/]+): cannot open shared object file', str(error))
        return f'the library {found.group(1)} is missing' if found else ''
    return ''


@functools.cache
def residual_graph():
    """The ONNX graph of `~galvae_affiliated.models.encoder.reduced_chi2`, for the device that the images are on."""
    return resources.files('galvae_affiliated').joinpath('data', 'reduced_chi2.onnx').read_bytes()
