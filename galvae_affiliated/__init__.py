# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Galaxy morphology as columns of an astropy Table.

A variational auto-encoder turns cutouts of galaxies into latent vectors, and
these into predicted Galaxy Zoo vote fractions. Names are loaded when they are
first used: importing the package loads neither ONNX Runtime nor scikit-learn.
"""

import lazy_loader

try:
    from galvae_affiliated.version import version as __version__
except ImportError:  # a checkout that was never built
    __version__ = '0+unknown'

# the names are in __init__.pyi, where editors and type checkers see them too
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
