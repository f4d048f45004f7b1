# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Galaxy morphology as columns of an astropy Table.

A variational auto-encoder turns cutouts of galaxies into latent vectors, and
these into predicted Galaxy Zoo vote fractions. Names are loaded when they are
first used: importing the package loads neither ONNX Runtime nor scikit-learn.
"""

import importlib

try:
    from galvae_affiliated.version import version as __version__
except ImportError:  # a checkout that was never built
    __version__ = '0+unknown'

# name: the module that defines it
PUBLIC = {
    'encode_catalog': 'catalog',
    'stream_catalog': 'streaming',
    'make_cutouts': 'catalog',
    'CutoutStack': 'cutouts.stack',
    'LatentTransformer': 'models.transformer',
    'ModelBundle': 'models.bundle',
    'get_model': 'models.registry',
    'list_models': 'models.registry',
    'add_latents': 'tables.columns',
    'add_morphology': 'tables.columns',
    'get_latents': 'tables.columns',
    'GalvaeFlags': 'flags',
    'BundleError': 'exceptions',
    'DeviceError': 'exceptions',
    'GalvaeWarning': 'exceptions',
    'ModelMismatchError': 'exceptions',
}

__all__ = [*PUBLIC]


def __getattr__(name):
    if name not in PUBLIC:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{PUBLIC[name]}'), name)


def __dir__():
    return sorted([*globals(), *PUBLIC])
