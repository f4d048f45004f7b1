# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .catalogs import random_catalog as random_catalog
from .fields import SimulatedField as SimulatedField
from .fields import simulate_field as simulate_field
from .painted import PaintedGalaxies as PaintedGalaxies
from .painted import paint_galaxies as paint_galaxies
from .templates import surface_brightness as surface_brightness
