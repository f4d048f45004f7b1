# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .detection import detect as detect
from .detection import map_sources as map_sources
from .petrosian import measure_radii as measure_radii
from .positions import Positions as Positions
from .positions import read_positions as read_positions
from .radii import convert_to_r90 as convert_to_r90
from .radii import sersic_r90 as sersic_r90
from .sizes import measure_sizes as measure_sizes
from .source_map import SourceMap as SourceMap
