# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae report``."""

from pathlib import Path

from galvae_affiliated.scripts._common import (
    add_model_group,
    add_output_options,
    check_output,
    parse_names,
)
from galvae_affiliated.scripts._cutouts import add_cutout_options, open_cutouts
from galvae_affiliated.scripts._messages import is_interactive


def add_report(parser):
    parser.describe(
        'One file that needs no network: a map of the latents with cutouts, odd and similar '
        'galaxies, votes, flags, and where all of it is from.',
        'galvae report table.fits --images g.fits r.fits z.fits --bands g,r,z -o table.html',
        run=_run_report)
    parser.add_argument('table', metavar='TABLE', help='as galvae encode wrote it')
    add_output_options(parser, 'HTML', 'page to write')
    add = parser.add_argument_group('what is shown').add_argument
    add('--title', help='of the page')
    add('--map-columns', metavar='A,B',
        help='coordinates of the map; those of galvae map, or principal components, if left out')
    add('--columns', metavar='A,B,...', help='columns to colour by; all that fit if left out')
    add('--max-points', type=int, default=100_000, metavar='N',
        help='rows that are shown; of more a sample is (default 100000)')
    add('--max-megabytes', type=float, default=20.0, metavar='MB',
        help='size of the page, by which the pictures are made smaller (default 20)')
    add('--n-gallery', type=int, default=24, metavar='N', help='odd galaxies (default 24)')
    add_cutout_options(parser)
    add_model_group(parser)


def _run_report(options):
    from galvae_affiliated._atomic import check_inputs_kept
    from galvae_affiliated.explore._latents import read_latents
    from galvae_affiliated.pages import write_report
    from galvae_affiliated.tables.files import read_catalog

    check_output(options.output, options.overwrite)
    check_inputs_kept(options.output, [options.table, options.images, options.model])
    table = read_catalog(options.table)
    model = read_latents(table, options.model).model
    n_points = write_report(
        table, options.output, cutouts=open_cutouts(options, table, model), model=model,
        map_columns=parse_names(options.map_columns), columns=parse_names(options.columns),
        id_column=options.id_column, max_points=options.max_points,
        max_bytes=int(1e6 * options.max_megabytes), n_gallery=options.n_gallery,
        title=options.title or f'Report of {Path(options.table).name}',
        source=Path(options.table).name, overwrite=options.overwrite, progress=is_interactive())
    return f'{options.output}: {n_points} rows shown'
