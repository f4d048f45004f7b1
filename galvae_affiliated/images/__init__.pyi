# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .field import FieldImages as FieldImages
