# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pixels to a calibrated field: three bands on one grid, in nanomaggies per square arcsecond."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
