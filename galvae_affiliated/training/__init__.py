# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Train models on PyTorch and export them; needs the ``train`` extra."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
