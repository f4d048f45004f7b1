# Licensed under a 3-clause BSD style license - see LICENSE.rst
from ._workers import share_model as share_model
from .partitions import encode_partition as encode_partition
from .partitions import partition_meta as partition_meta
from .tiles import encode_fields as encode_fields
