# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What an installation can do, as text."""

import platform
from importlib import metadata

from galvae_affiliated import __version__
from galvae_affiliated.exceptions import BundleError, DeviceError
from galvae_affiliated.models._devices import DEVICES, usable_threads
from galvae_affiliated.models._driver import read_driver
from galvae_affiliated.models._sessions import (
    RUNTIMES,
    built_for_cuda,
    device_trial,
    installed_runtimes,
    runtime_version,
)
from galvae_affiliated.models.registry import get_model


def diagnose():
    """
    Look at the installation.

    Returns
    -------
    findings : list of (str, bool)
        A line of text each, and whether it is as it should be. A line ``install`` is there
        where this machine has a GPU that ONNX Runtime does not use, and something that can be
        installed would change that.

    Examples
    --------
    >>> from galvae_affiliated.models import diagnose
    >>> findings = diagnose()
    >>> findings[0][0].split()[0], all(good for _, good in findings)
    ('galvae_affiliated', True)
    """
    runtimes = installed_runtimes()
    both = len(runtimes) > 1
    clash = '  both onnxruntime and onnxruntime-gpu are installed: remove one, or CUDA is lost'
    name = runtimes[0] if runtimes else RUNTIMES[1]
    built = f' for CUDA {built_for_cuda()}' if built_for_cuda() else ''
    findings = [_line('galvae_affiliated', __version__),
                _line('python', platform.python_version())]
    findings += [_line(name, _installed_version(name))
                 for name in ('numpy', 'astropy', 'photutils', 'scikit-learn')]
    findings.append((_line(name, f'{runtime_version()}{built}{clash if both else ""}')[0],
                     not both))
    findings.append(_line('threads', usable_threads()))
    findings.append(_line('GPU', _about_gpus()))
    findings += [_device_finding(device, get_model()) for device in DEVICES]
    line = device_trial('cuda')[1]
    # a machine whose GPU is not used is slower than it could be, not ill
    return findings + ([_line('install', line)] if line else [])


def _line(name, value):
    return f'{name:18s} {value}', True


def _about_gpus():
    driver = read_driver()
    if not driver.gpus:
        return driver.failure
    version = f'; the driver runs CUDA {".".join(map(str, driver.cuda))}' if driver.cuda else ''
    return f'{", ".join(driver.gpus)}{version}'


def _device_finding(device, model):
    """A line of text on a device, and whether it is as it should be."""
    try:
        report = model.verify(device=device)
    except (BundleError, DeviceError) as error:
        reason = device_trial(device)[0] if device != 'cpu' else ''
        # a machine without a GPU is not ill; one that computes something else is
        return f'{device:18s} {reason or error}', device != 'cpu' and bool(reason)
    worst = max(value for key, value in report.items() if key != 'device')
    return f'{device:18s} starts; self-test of {model.id} within {worst:.1g}', True


def _installed_version(name):
    """Version of an installed distribution, or that it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return 'missing'
