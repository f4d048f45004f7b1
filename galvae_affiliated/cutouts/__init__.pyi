# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .frame import ImageRendering as ImageRendering
from .frame import ModelFrame as ModelFrame
from .maker import CutoutMaker as CutoutMaker
from .maker import open_cutouts as open_cutouts
from .maker import read_field as read_field
from .sets import FitsFolder as FitsFolder
from .sets import FrameSet as FrameSet
from .sets import ParquetSet as ParquetSet
from .sets import open_cutout_set as open_cutout_set
from .source import CutoutSource as CutoutSource
from .stack import CutoutStack as CutoutStack
