# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Looking at many galaxies through their latents: odd ones, similar ones, kinds, maps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
