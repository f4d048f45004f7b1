# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .cutouts import TableCutouts as TableCutouts
from .cutouts import open_table_cutouts as open_table_cutouts
from .labelling import LabelServer as LabelServer
from .report import write_report as write_report
