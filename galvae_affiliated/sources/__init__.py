# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the sources of a field are, and how large: read from a catalogue, or measured."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
