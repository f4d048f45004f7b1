# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Many machines: partitions of a catalogue, and tiles of a survey, over a Dask cluster."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
