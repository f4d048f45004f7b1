# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Fields of galaxies that a model draws, with the truth about them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
