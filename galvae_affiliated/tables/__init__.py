# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""In and out of tables: the columns, which of them, and the files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
