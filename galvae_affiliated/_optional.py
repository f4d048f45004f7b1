# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Libraries of the optional extras: looked for before the work, imported when they are used."""

import importlib
from importlib.util import find_spec

TRAINING_PACKAGES = ('torch', 'lightning', 'onnx', 'onnxscript', 'pandas', 'pydantic')


def check_training_installed(*more):
    """Raise, saying what to install, if what training needs is not there."""
    missing = [name for name in (*TRAINING_PACKAGES, *more) if find_spec(name) is None]
    if missing:
        raise ImportError(f"training needs {', '.join(missing)}: "
                          "pip install 'galvae_affiliated[train]'")


def import_optional(name):
    """A module of the extra ``dask``, or an error that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(f"galvae_affiliated.distributed needs {name.partition('.')[0]}: "
                          "pip install 'galvae_affiliated[dask]'") from None


def check_matplotlib():
    """Raise, saying what to install, if there is no matplotlib."""
    if find_spec('matplotlib') is None:
        raise ModuleNotFoundError("a picture needs matplotlib; install it, or galvae_affiliated "
                                  "with the 'plot' extra")
