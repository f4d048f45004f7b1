# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pictures for notebooks, papers and the command, with Matplotlib: nobody else imports it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
