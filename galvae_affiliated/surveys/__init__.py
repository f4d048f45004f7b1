# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How far latents of two surveys differ, and a map from one to the other."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
