# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae encode`` and ``galvae demo``."""

from importlib.util import find_spec
from pathlib import Path

from galvae_affiliated.scripts._common import (
    Parser,
    add_device_option,
    add_model_group,
    add_output_options,
    engine_options,
    is_cutout_set,
)
from galvae_affiliated.scripts._images import add_reading_options, reading_options
from galvae_affiliated.scripts._messages import is_interactive, print_line
from galvae_affiliated.scripts._outcome import (
    draw_field_picture,
    draw_set_picture,
    summary_line,
    written_flags,
)
from galvae_affiliated.scripts._request import check_request, column_options, source_options
from galvae_affiliated.tables.files import (
    FORMATS,
    check_identifiers,
    check_writable,
    read_catalog,
    write_table,
)


def add_encode(parser):
    parser.describe(
        'IMAGE is a FITS file a band, one file with all bands, a Parquet file of cutouts, or a '
        'folder of FITS cutouts. The table has all rows and columns of the catalogue, or a row '
        'for each source that is detected, or for each cutout.',
        'galvae encode g.fits r.fits z.fits --bands g,r,z -o table.fits',
        'galvae encode g.fits r.fits z.fits --bands g,r,z --catalog sources.fits --dry-run',
        'galvae encode cutouts.parquet --chunk-size 1000 -o latents.parquet',
        run=_run_encode)
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    _add_outputs(parser)
    add_reading_options(parser.add_argument_group('how the images are read'))
    _add_source_options(parser.add_argument_group('sources of a field'))
    _add_column_options(parser.add_argument_group('columns'))
    add_model_group(parser, engine=True)


def add_demo(parser):
    parser.describe('Write demo.fits and, with Matplotlib, demo.png, which are replaced if they '
                    'are there.', 'galvae demo', 'galvae demo --folder elsewhere', run=_run_demo)
    parser.add_argument('--folder', default='galvae_demo',
                        help='for the table and the picture (default galvae_demo)')
    add_device_option(parser)


def _add_outputs(parser):
    group = add_output_options(parser, 'OUT', 'table to write; its ending gives the format: '
                               + ', '.join(FORMATS), 'OUT, and columns of the same names',
                               required=False)
    add = group.add_argument
    add('--picture', metavar='PNG', help='draw the largest galaxies with their predictions')
    add('--chunk-size', type=int, metavar='N',
        help='write N rows at a time to .parquet or .fits: for more than fits in memory, and a '
        'run that is ended goes on if the same command is given again')
    add('--dry-run', action='store_true', help='read headers and the catalogue, say what would '
        'be done, and write nothing; fails where the run would be refused. OUT may be left out')


def _add_source_options(group):
    add = group.add_argument
    add('--catalog', metavar='CAT',
        help='table of the sources; they are detected without one')
    add('--radius', metavar='NAME', help='column of petroR90, or one number for all; without '
        'it petro_r90 or petroR90_r is taken, else it is measured')
    add('--radius-unit', metavar='UNIT', help="'pix' or an angle, where the radii state none")
    add('--position-columns', metavar='A,B',
        help='columns of the positions, where they are not found by their names')
    add('--psf-fwhm', type=float, metavar='ARCSEC',
        help='seeing, by which point sources and galaxies that are not resolved are told apart; '
        'without it the stars show it')


def _add_column_options(group):
    add = group.add_argument
    add('--scalar-columns', action='store_true', help='a scalar column a latent')
    add('--no-morphology', action='store_true',
        help='leave out the vote fractions, answers and sets')
    add('--coverage', type=float, default=0.9, metavar='SHARE',
        help='of galaxies whose most voted answer is in the prediction set, 0.5 to 0.99 '
        '(default 0.9)')
    add('--n-samples', type=int, default=0, metavar='N',
        help='latents to draw from each posterior, for intervals of the fractions; 32 are '
        'enough')
    add('--no-reconstruction', action='store_true', help='leave out galvae_recon_chi2; faster')


def _run_encode(options):
    """Encode images with a catalogue, or a set of cutouts."""
    if options.dry_run:
        from galvae_affiliated.scripts._dry_run import run_dry

        return run_dry(options)
    check_request(options)
    run = _encode_set if is_cutout_set(options.images) else _encode_field
    return summary_line(options.output, run(options))


def _encode_set(options):
    """Encode a set and write its table; returns the flags of the rows, in parts."""
    from galvae_affiliated.catalog import encode_cutout_set

    path, = options.images
    keywords = {**reading_options(options), **_shared_options(options)}
    if options.chunk_size is None:
        check_identifiers(_open_set(path, options, keywords)[0], options.output)
        table = encode_cutout_set(path, options.model, **keywords)
        if options.picture:
            cutouts, model = _open_set(path, options, keywords)
            n_rows = draw_set_picture(options.picture, cutouts, table, model, options.device)
            _print_drawn(n_rows, table, options)
        write_table(table, options.output)
        return [table['galvae_flags']]
    from galvae_affiliated.streaming import stream_cutout_set

    stream_cutout_set(path, options.output, options.model, overwrite=options.overwrite,
                      chunk_size=options.chunk_size, **keywords)
    return written_flags(options.output)


def _encode_field(options):
    """Encode a field and write its table; returns the flags of the rows, in parts."""
    from galvae_affiliated.catalog import encode_catalog, open_field

    catalog = None if options.catalog is None else read_catalog(options.catalog)
    if catalog is not None:
        check_writable(catalog, options.output)
    images = options.images[0] if len(options.images) == 1 else options.images
    reading = reading_options(options)
    del reading['already_scaled']  # of sets alone
    field = open_field(images, options.model, **reading)
    keywords = {**_shared_options(options), **source_options(options),
                'overwrite': options.overwrite}
    if options.chunk_size is not None:
        from galvae_affiliated.streaming import stream_catalog

        stream_catalog(field, catalog, options.output, options.model,
                       chunk_size=options.chunk_size, **keywords)
        return written_flags(options.output)
    table = encode_catalog(field, catalog, options.model, **keywords)
    if options.picture:
        from galvae_affiliated.models.registry import get_model

        n_rows = draw_field_picture(options.picture, field, table, get_model(options.model),
                                    options.device)
        _print_drawn(n_rows, table, options)
    write_table(table, options.output)
    return [table['galvae_flags']]


def _shared_options(options):
    """Keywords that fields and sets share."""
    return {**column_options(options), 'psf_fwhm': options.psf_fwhm,
            'progress': is_interactive(), **engine_options(options)}


def _open_set(path, options, keywords):
    """The set of cutouts, and the model."""
    from galvae_affiliated.cutouts.sets import open_cutout_set
    from galvae_affiliated.models.registry import get_model
    from galvae_affiliated.streaming import SET_OPTIONS

    model = get_model(options.model)
    read_options = {name: value for name, value in keywords.items() if name in SET_OPTIONS}
    return open_cutout_set(path, model.frame, **read_options), model


def _print_drawn(n_rows, table, options):
    left = '' if n_rows == len(table) else '; flagged and small ones are left out first'
    print_line(f'{options.picture}: {n_rows} of {len(table)} rows drawn{left}')


def _run_demo(options):
    """The main job on the field that comes with the package."""
    from importlib import resources

    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    table, picture = folder / 'demo.fits', folder / 'demo.png'
    is_drawn = find_spec('matplotlib') is not None
    parser = Parser(prog='galvae encode')
    add_encode(parser)
    data = resources.files('galvae_affiliated').joinpath('data', 'demo_field.fits')
    with resources.as_file(data) as field:
        words = [str(field), '--bands', 'g,r,z', '--device', options.device, '--overwrite',
                 '-o', str(table)]
        if is_drawn:
            words += ['--picture', str(picture)]
        summary = _run_encode(parser.parse_args(words))
    shown = (f'{picture} shows the galaxies' if is_drawn
             else "a picture needs matplotlib (the 'plot' extra)")
    print(f'{table} holds the table; {shown}')
    return summary
