# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .detection import detect as detect
from .detection import map_sources as map_sources
from .petrosian import measure_radii as measure_radii
from .positions import Positions as Positions
from .positions import read_positions as read_positions
from .sizes import measure_sizes as measure_sizes
from .source_map import SourceMap as SourceMap
