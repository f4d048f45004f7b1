# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae regions`` and ``send``: tables in other programs."""

from pathlib import Path

from galvae_affiliated.scripts._common import add_output_options, check_output


def add_regions(parser):
    parser.describe(
        'Circles at the sources, of the radii of the cutouts.',
        'galvae regions table.fits -o table.reg',
        'galvae regions table.fits --text bar_yes_fraction --color smooth-or-featured_answer '
        '-o answers.reg',
        run=_run_regions)
    parser.add_argument('table', metavar='TABLE', help='as galvae encode wrote it')
    add_output_options(parser, 'REG', 'region file to write')
    add = parser.add_argument_group('what is drawn').add_argument
    add('--text', metavar='NAME', help='column written at the sources; identifiers if left out')
    add('--color', metavar='NAME',
        help='column of few texts, told apart by colour; the flags if left out')
    add('--radius', metavar='NAME', help='column of the radii; galvae_radius if left out')
    add('--position-columns', metavar='A,B', help='columns of the positions')


def add_send(parser):
    parser.describe(
        "Over SAMP, to programs that run on this machine; needs the 'samp' extra.",
        'galvae send table.fits', 'galvae send table.fits --client topcat', run=_run_send)
    parser.add_argument('table', metavar='TABLE')
    add = parser.add_argument
    add('--client', metavar='NAME', help='the program; all that take tables if left out')
    add('--timeout', type=float, default=30.0, metavar='S',
        help='seconds that a program may take (default 30)')


def _run_regions(options):
    from galvae_affiliated._atomic import check_inputs_kept
    from galvae_affiliated.tables.files import read_catalog
    from galvae_affiliated.tables.regions import write_regions

    check_output(options.output, options.overwrite)
    check_inputs_kept(options.output, [options.table])
    n = write_regions(read_catalog(options.table), options.output, text=options.text,
                      color=options.color, radius=options.radius,
                      position_columns=options.position_columns, overwrite=options.overwrite)
    return f'{options.output}: {n} regions'


def _run_send(options):
    from galvae_affiliated.tables.files import read_catalog
    from galvae_affiliated.tables.samp import send_table

    names = send_table(read_catalog(options.table), name=Path(options.table).stem,
                       client=options.client, timeout=options.timeout)
    return f'{options.table}: sent to {", ".join(names)}'
