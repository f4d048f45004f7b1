# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a model says of cutouts and latents, and where its graphs run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
