# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What an installation can do, as text."""

import platform
from importlib import metadata

from galvae_affiliated import __version__
from galvae_affiliated.exceptions import BundleError, DeviceError
from galvae_affiliated.models._devices import residual_graph, usable_threads
from galvae_affiliated.models._runner import GraphRunner, available_devices, runtime_version
from galvae_affiliated.models.registry import get_model

__all__ = ['diagnose']



def diagnose():
    """
    Look at the installation.

    Returns
    -------
    findings : list of (str, bool)
        A line of text each, and whether it is as it should be.
    """
    runtime = next((name for name in ('onnxruntime-gpu', 'onnxruntime') if installed_version(name)), 'onnxruntime')
    both = installed_version('onnxruntime-gpu') and installed_version('onnxruntime')
    findings = [(f'galvae_affiliated  {__version__}', True), (f'python             {platform.python_version()}', True)]
    findings += [(f'{name:18s} {installed_version(name) or "missing"}', True)
                 for name in ('numpy', 'astropy', 'photutils', 'scikit-learn')]
    clash = '  both onnxruntime and onnxruntime-gpu are installed: remove one, or CUDA is lost' if both else ''
    findings.append((f'{runtime:18s} {runtime_version()}{clash}', not both))
    findings.append((f'threads            {usable_threads()}', True))
    return findings + [device_finding(device, get_model()) for device in available_devices()]


def device_finding(device, model):
    """A line of text on a device, and whether it is as it should be."""
    try:
        if device == 'tensorrt':
            # the self-test would build engines of the model for minutes
            GraphRunner(residual_graph(), device=device, batch_size=1).start()
            return f'{device:18s} starts; get_model().verify(device={device!r}) builds the engines and tests them', True
        report = model.verify(device=device)
    except (BundleError, DeviceError) as error:
        # a machine without a GPU is not ill
        return f'{device:18s} {error}', device != 'cpu'
    worst = max(value for key, value in report.items() if key != 'device')
    return f'{device:18s} starts; self-test of {model.id} within {worst:.1g}', True


def installed_version(name):
    """Version of an installed distribution, None if it is not."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
