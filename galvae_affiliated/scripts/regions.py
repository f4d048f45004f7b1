# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae regions`` and ``send``: tables in other programs."""

from pathlib import Path

from galvae_affiliated.scripts._common import add_output_options, check_output
from galvae_affiliated.scripts._messages import print_done


def add_regions(commands):
    parser = commands.add_parser('regions', help='write the sources as regions of DS9')
    add = parser.add_argument
    add('table', metavar='TABLE')
    add_output_options(parser, 'REG', 'region file to write')
    add('--text', metavar='NAME', help='column written at the sources; identifiers if left out')
    add('--color', metavar='NAME',
        help='column of few texts, told apart by colour; the flags if left out')
    add('--radius', metavar='NAME', help='column of the radii; galvae_radius if left out')
    add('--position-columns', metavar='A,B', help='columns of the positions')
    parser.set_defaults(run=_run_regions)


def add_send(commands):
    parser = commands.add_parser(
        'send', help='send a table to TOPCAT, Aladin and others over SAMP')
    add = parser.add_argument
    add('table', metavar='TABLE')
    add('--client', metavar='NAME', help='the program; all that take tables if left out')
    add('--timeout', type=float, default=30.0, metavar='S',
        help='seconds that a program may take (default 30)')
    parser.set_defaults(run=_run_send)


def _run_regions(options):
    from galvae_affiliated._atomic import check_inputs_kept
    from galvae_affiliated.tables.files import read_catalog
    from galvae_affiliated.tables.regions import write_regions

    check_output(options.output, options.overwrite)
    check_inputs_kept(options.output, [options.table])
    n = write_regions(read_catalog(options.table), options.output, text=options.text,
                      color=options.color, radius=options.radius,
                      position_columns=options.position_columns, overwrite=options.overwrite)
    print_done(f'{n} regions written to {options.output}')


def _run_send(options):
    from galvae_affiliated.tables.files import read_catalog
    from galvae_affiliated.tables.samp import send_table

    names = send_table(read_catalog(options.table), name=Path(options.table).stem,
                       client=options.client, timeout=options.timeout)
    print_done(f'{options.table} sent to {", ".join(names)}')
