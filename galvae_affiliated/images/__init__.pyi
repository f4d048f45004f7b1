# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .bands import Band as Band
from .bands import ChannelPlan as ChannelPlan
from .bands import parse_band as parse_band
from .bands import plan_channels as plan_channels
from .field import FieldImages as FieldImages
