# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What an installation can do, as text."""

import platform
from importlib import metadata

from galvae_affiliated import __version__
from galvae_affiliated.exceptions import BundleError, DeviceError
from galvae_affiliated.models._devices import usable_threads
from galvae_affiliated.models._sessions import available_devices, runtime_version
from galvae_affiliated.models.registry import get_model

RUNTIMES = ('onnxruntime-gpu', 'onnxruntime')


def diagnose():
    """
    Look at the installation.

    Returns
    -------
    findings : list of (str, bool)
        A line of text each, and whether it is as it should be.
    """
    there = [name for name in RUNTIMES if _installed_version(name)]
    both = len(there) > 1
    clash = '  both onnxruntime and onnxruntime-gpu are installed: remove one, or CUDA is lost'
    runtime = there[0] if there else RUNTIMES[1]
    findings = [(f'galvae_affiliated  {__version__}', True),
                (f'python             {platform.python_version()}', True)]
    findings += [(f'{name:18s} {_installed_version(name) or "missing"}', True)
                 for name in ('numpy', 'astropy', 'photutils', 'scikit-learn')]
    findings.append((f'{runtime:18s} {runtime_version()}{clash if both else ""}', not both))
    findings.append((f'threads            {usable_threads()}', True))
    return findings + [_device_finding(device, get_model()) for device in available_devices()]


def _device_finding(device, model):
    """A line of text on a device, and whether it is as it should be."""
    try:
        report = model.verify(device=device)
    except (BundleError, DeviceError) as error:
        # a machine without a GPU is not ill
        return f'{device:18s} {error}', device != 'cpu'
    worst = max(value for key, value in report.items() if key != 'device')
    return f'{device:18s} starts; self-test of {model.id} within {worst:.1g}', True


def _installed_version(name):
    """Version of an installed distribution, None if it is not."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
