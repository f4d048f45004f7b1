# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies of any size on one grid: cutouts of a field, and sets of ready ones."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
