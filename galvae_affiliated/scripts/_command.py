# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The verbs of the ``galvae`` command."""

import atexit
import gc
import warnings

from galvae_affiliated import __version__
from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.scripts import (
    adapt,
    draw,
    encode,
    explore,
    generate,
    label,
    models,
    parts,
    regions,
    report,
    simulate,
    train,
)
from galvae_affiliated.scripts._common import Parser
from galvae_affiliated.scripts._messages import print_warning

COMMANDS = (
    encode.add_encode, encode.add_demo,
    report.add_report, label.add_label, explore.add_outliers, explore.add_similar,
    explore.add_clusters, explore.add_map, regions.add_regions, regions.add_send,
    draw.add_reconstruct, draw.add_traverse, generate.add_generate, simulate.add_simulate,
    train.add_train, train.add_sweep, train.add_fit_heads, parts.add_fit_parts, adapt.add_adapt,
    models.add_info, models.add_models, models.add_doctor,
)


def run_command(args=None):
    """
    Run what the words ask for.

    Parameters
    ----------
    args : list of str, optional
        See `~galvae_affiliated.scripts.main.main`.
    """
    options = _build_parser().parse_args(args)
    # else the collector looks through all that was imported once more before the process ends
    atexit.register(gc.freeze)
    warnings.simplefilter('ignore')
    warnings.simplefilter('once', GalvaeWarning)
    warnings.showwarning = print_warning
    options.run(options)


def _build_parser():
    parser = Parser(prog='galvae', description='Galaxy morphology as columns of a table.')
    parser.add_argument('--version', action='version',
                        version=f'galvae_affiliated {__version__}')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    for add_command in COMMANDS:
        add_command(commands)
    return parser
