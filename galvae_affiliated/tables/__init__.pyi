# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .columns import add_latents as add_latents
from .columns import add_morphology as add_morphology
from .columns import add_quantities as add_quantities
from .columns import get_latents as get_latents
from .columns import in_set as in_set
from .files import read_catalog as read_catalog
from .files import write_table as write_table
from .outputs import Outputs as Outputs
from .regions import write_regions as write_regions
from .samp import send_table as send_table
