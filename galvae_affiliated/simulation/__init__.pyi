# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .catalogs import random_catalog as random_catalog
from .fields import SimulatedField as SimulatedField
from .fields import simulate_field as simulate_field
from .templates import surface_brightness as surface_brightness
