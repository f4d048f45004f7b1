# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Devices, their options, and the threads of a session of ONNX Runtime."""

import ctypes
import functools
import math
import os
import re
from importlib import resources
from pathlib import Path

from galvae_affiliated.exceptions import DeviceError

# rows a call of a network: so few stay in a processor's cache
BATCH_SIZE = 16
DEVICES = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}
CGROUP = Path('/sys/fs/cgroup')
PRECISIONS = ('float32', 'float16', 'int8')
PROCESSOR = Path('/proc/cpuinfo')
VNNI = ('avx512_vnni', 'avx_vnni', 'avx512vnni', 'avxvnni')
# what tools/make_probe_graph.py made takes, and gives for ones
PROBE_SHAPE, PROBE_RESULT = (1, 4, 8, 8), 4.0 * 9 * 36
CUDA_OPTIONS = {
    # every batch has the same shape: an arena that doubles would only hold memory that
    # nothing needs
    'arena_extend_strategy': 'kSameAsRequested',
    # the search for the fastest algorithm takes seconds and does not always end with the
    # same one, nor the same digits
    'cudnn_conv_algo_search': 'HEURISTIC',
    # copies wait for the kernels before them; on a stream of their own they race with them
    'do_copy_in_default_stream': True,
    # TensorFloat-32 keeps 10 bits of the mantissa: who wants that asks for float16, which
    # is faster still
    'use_tf32': False,
}


def check_device(device, precision):
    """Raise ValueError for names that do not exist, and for half precision on a CPU."""
    if device not in ('auto', *DEVICES):
        raise ValueError(f"device is {device!r}; expected 'auto', 'cpu' or 'cuda'")
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected 'float32', 'float16' or 'int8'")
    if device == 'cpu' and precision == 'float16':
        raise ValueError("precision 'float16' is for GPUs: a CPU converts each number, which "
                         "is slower than 'float32'")
    if precision == 'int8':
        _check_int8(device)


def _check_int8(device):
    """Refuse eight bits where they are not faster, or give other digits."""
    if device == 'cuda':
        raise ValueError("precision 'int8' is for processors; a GPU has 'float16'")
    if not has_vnni():
        raise DeviceError("precision 'int8' was asked for, but this processor has no VNNI: eight "
                          "bits are not faster on it, and give other latents; use "
                          "precision='float32'")


@functools.cache
def has_vnni():
    """
    Whether the processor multiplies eight bits and adds in 32, as far as it says.

    Linux lists what an x86 processor has; others are not asked, and the self-test of a model
    shows whether they compute what they should.
    """
    try:
        text = PROCESSOR.read_text()
    except OSError:
        return True
    flags = re.search(r'^flags\s*:(.*)$', text, re.MULTILINE)
    return flags is None or not set(VNNI).isdisjoint(flags[1].split())


def usable_threads(number=None):
    """
    Processors this process may use.

    The affinity mask and the quota of a container are the limit; below it count, in
    this order, ``OMP_NUM_THREADS``, the processors of a Slurm task, and those of a Slurm
    job on this node, shared among the tasks of the step. The number of processors of the
    machine does not count. A ``number`` takes the place of all but the limit.
    """
    has_mask = hasattr(os, 'sched_getaffinity')
    allowed = len(os.sched_getaffinity(0)) if has_mask else os.cpu_count() or 1
    allowed = max(1, min(allowed, _container_quota()))
    # set only if the job was given --cpus-per-task
    a_task = _leading_number('SLURM_CPUS_PER_TASK')
    a_node = _leading_number('SLURM_CPUS_ON_NODE')
    shared = a_node // max(_leading_number('SLURM_STEP_TASKS_PER_NODE'), 1)
    wanted = number or _leading_number('OMP_NUM_THREADS') or a_task or shared or allowed
    return min(allowed, wanted)


def _container_quota():
    """
    Processors that the control group of a container grants, rounded up; infinity if any.

    joblib.cpu_count reads the same files, and takes 50 ms to import.
    """
    try:
        quota, period = (CGROUP / 'cpu.max').read_text().split()
    except (OSError, ValueError):
        try:  # the first version of control groups
            quota = (CGROUP / 'cpu' / 'cpu.cfs_quota_us').read_text()
            period = (CGROUP / 'cpu' / 'cpu.cfs_period_us').read_text()
        except OSError:
            return math.inf
    try:
        granted = math.ceil(int(quota) / int(period))
    except (ValueError, ZeroDivisionError):
        return math.inf  # 'max'
    return granted if granted > 0 else math.inf


def _leading_number(variable):
    """Number with which a variable of the environment begins ('4', '4,2', '4(x3)'), or 0."""
    found = re.match(r'\d+', os.environ.get(variable, ''))
    return int(found.group()) if found else 0


def providers(device):
    """Execution providers with their options, the preferred one first."""
    cpu = (DEVICES['cpu'], {})
    return [cpu] if device == 'cpu' else [(DEVICES[device], CUDA_OPTIONS), cpu]


def missing_library(device, folder):
    """Which shared library ONNX Runtime's part for a device does not find; '' if none."""
    try:
        ctypes.CDLL(str(Path(folder) / f'libonnxruntime_providers_{device}.so'))
    except OSError as error:
        found = re.match(r'(lib[^:/]+): cannot open shared object file', str(error))
        return f'the library {found.group(1)} is missing' if found else ''
    return ''


@functools.cache
def residual_graph(few=False):
    """
    The ONNX graph of the reduced chi-square, for the device that the images are on.

    See `~galvae_affiliated.models.reduced_chi2`; with ``few``, that of images of one or two bands
    too.
    """
    return _packaged('reduced_chi2_few.onnx' if few else 'reduced_chi2.onnx')


def probe_graph():
    """The ONNX graph by which a device is tried; of ones it gives `PROBE_RESULT`."""
    return _packaged('probe.onnx')


def _packaged(name):
    return resources.files('galvae_affiliated').joinpath('data', name).read_bytes()
