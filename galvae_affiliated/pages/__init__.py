# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pages for a browser, which need no network: the report of a table, and labelling by hand."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
