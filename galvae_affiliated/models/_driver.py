# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""NVIDIA's driver, asked directly: which GPUs a process sees, and what to install for them."""

import ctypes
import os
import platform
import sys
from dataclasses import dataclass

LIBRARY = 'nvcuda.dll' if sys.platform == 'win32' else 'libcuda.so.1'
HIDING = 'CUDA_VISIBLE_DEVICES'
NO_DEVICE = 100  # of CUDA's driver: there is none, or all of them are hidden
NAME_LENGTH = 256
WHEELS = (('Linux', 'x86_64'), ('Windows', 'AMD64'))  # of onnxruntime-gpu
EXTRA = "pip install 'galvae_affiliated[cuda]'"
ONE_RUNTIME = f'pip uninstall -y onnxruntime onnxruntime-gpu && {EXTRA}'
# by the wheels' metadata, 1.26 is the last release on PyPI that is built for CUDA 12
FOR_CUDA_12 = "pip install 'onnxruntime-gpu[cuda,cudnn]<1.27'"


@dataclass(frozen=True)
class Driver:
    """
    What the driver says.

    Attributes
    ----------
    gpus : tuple of str
        Names of those that the process sees.
    cuda : tuple of int or None
        Highest version of CUDA that the driver runs, such as (12, 4); None without a driver.
    failure : str
        Why there are no GPUs; empty if there are.
    """

    gpus: tuple = ()
    cuda: tuple | None = None
    failure: str = ''


def read_driver():
    """
    Ask the driver; without one this takes no time.

    Returns
    -------
    driver : `Driver`
    """
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return Driver(failure='there is no NVIDIA driver on this machine')
    number = ctypes.c_int()
    cuda = None
    if library.cuDriverGetVersion(ctypes.byref(number)) == 0:
        cuda = divmod(number.value // 10, 100)  # 12040 is 12.4
    code = library.cuInit(0)
    if code not in (0, NO_DEVICE):
        return Driver((), cuda, f'the NVIDIA driver answers with error {code}')
    if code == 0 and library.cuDeviceGetCount(ctypes.byref(number)) == 0 and number.value > 0:
        return Driver(tuple(_name(library, i) for i in range(number.value)), cuda)
    if HIDING in os.environ:
        return Driver((), cuda, f'{HIDING}={os.environ[HIDING]} hides the GPUs')
    return Driver((), cuda, 'the NVIDIA driver sees no GPU')


def _name(library, number):
    device, text = ctypes.c_int(), ctypes.create_string_buffer(NAME_LENGTH)
    if library.cuDeviceGet(ctypes.byref(device), number) == 0:
        library.cuDeviceGetName(text, NAME_LENGTH, device)
    return text.value.decode('utf-8', 'replace') or f'GPU {number}'


def is_too_old(driver, built):
    """
    Whether the driver does not run the CUDA that ONNX Runtime is built for.

    Parameters
    ----------
    driver : `Driver`
    built : str
        Such as '13.0'; empty where it is not known. Any driver of the same first number does.
    """
    return bool(built) and driver.cuda is not None and driver.cuda[0] < int(built.split('.')[0])


def remedy(driver, built, *, is_missing, runtimes):
    """
    The one line to install for the GPUs that there are.

    Parameters
    ----------
    driver : `Driver`
    built : str
        CUDA that ONNX Runtime is built for; empty for a build without.
    is_missing : bool
        Whether a library of CUDA or cuDNN is not found.
    runtimes : sequence of str
        Those of 'onnxruntime-gpu' and 'onnxruntime' that are installed.

    Returns
    -------
    line : str
        For a shell; empty where nothing that could be installed helps.
    """
    if not driver.gpus or (platform.system(), platform.machine()) not in WHEELS:
        return ''
    if len(runtimes) > 1 or not built:
        return ONE_RUNTIME  # the files of two have overwritten each other
    if is_too_old(driver, built):
        return FOR_CUDA_12 if driver.cuda >= (12, 0) else ''
    return EXTRA if is_missing else ''
