# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae encode`` and ``galvae demo``."""

import time
from importlib.util import find_spec
from pathlib import Path

from galvae_affiliated._atomic import check_inputs_kept
from galvae_affiliated.scripts._common import (
    Parser,
    add_device_option,
    add_engine_options,
    add_model_option,
    add_output_options,
    check_output,
    engine_options,
    is_cutout_set,
)
from galvae_affiliated.scripts._messages import is_interactive, print_line
from galvae_affiliated.scripts._outcome import (
    draw_field_picture,
    draw_set_picture,
    summary_line,
    written_flags,
)
from galvae_affiliated.tables.files import (
    FORMATS,
    check_identifiers,
    check_writable,
    output_format,
    read_catalog,
    write_table,
)


def add_encode(commands):
    parser = commands.add_parser(
        'encode', help='add latents and morphology to a catalogue',
        description='IMAGE is a FITS file a band, one file with all bands, a Parquet file of '
        'cutouts, or a folder of FITS cutouts.')
    _add_encode_options(parser)
    parser.set_defaults(run=_run_encode)


def add_demo(commands):
    parser = commands.add_parser(
        'demo', help='encode the simulated field that comes with the package')
    parser.add_argument('--folder', default='galvae_demo', help='for the table and the picture')
    add_device_option(parser)
    parser.set_defaults(run=_run_demo)


def _add_encode_options(parser):
    add = parser.add_argument
    add('images', nargs='+', metavar='IMAGE')
    add_output_options(parser, 'OUT', 'table to write; its ending gives the format: '
                       + ', '.join(FORMATS), 'OUT, and columns of the same names')
    add('--bands', help='one or more bands in the order of the images, such as g,r,z, VIS, HSC-I '
        "or '814 nm'")
    add('--catalog', metavar='CAT',
        help='table of the sources; they are detected without one')
    add('--radius', metavar='NAME', help='column of petroR90, or one number for all; without '
        'it petro_r90 or petroR90_r is taken, else it is measured')
    add('--position-columns', metavar='A,B',
        help='columns of the positions, where they are not found by their names')
    add('--radius-unit', metavar='UNIT', help="'pix' or an angle, where the radii state none")
    add('--psf-fwhm', type=float, metavar='ARCSEC',
        help='seeing, by which point sources and galaxies that are not resolved are told apart; '
        'without it the stars show it')
    add('--unit', help="flux unit, such as nmgy, uJy or MJy/sr, in place of the header's")
    add('--zero-point', metavar='MAG',
        help='AB magnitude of one count, for all bands or as g=25.1,r=25.3,...')
    add('--pixel-scale', type=float, metavar='ARCSEC', help='side of a pixel')
    add('--already-scaled', action='store_true',
        help="cutouts are at the model's scale already")
    add('--rendering', metavar='NAME',
        help='how the cutouts enter the model; galvae info lists the names, and linear is for '
        '8-bit pictures that were not compressed')
    add_model_option(parser)
    add_engine_options(parser)
    add('--chunk-size', type=int, metavar='N',
        help='write N rows at a time to .parquet or .fits: for more than fits in memory, and a '
        'run that is ended goes on if the same command is given again')
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
    add('--picture', metavar='PNG', help='draw the largest galaxies with their predictions')


def _run_encode(options):
    """Encode images with a catalogue, or a set of cutouts."""
    start = time.monotonic()
    kind, _ = output_format(options.output)
    _check_files(options)
    _check_combinations(options, kind)
    run = _encode_set if is_cutout_set(options.images) else _encode_field
    flags = run(options)
    print_line(summary_line(options.output, flags, time.monotonic() - start))


def _check_files(options):
    """Refuse outputs that cannot be written, or are inputs, before the work."""
    is_done = False
    if options.chunk_size is not None:
        from galvae_affiliated.tables.parts import is_published

        # by a run that was killed before it had tidied up
        is_done = is_published(Path(options.output))
    check_output(options.output, options.overwrite or is_done)
    for path in filter(None, (options.output, options.picture)):
        check_inputs_kept(path, [options.images, options.model])
    if options.picture:
        check_output(options.picture, overwrite=True)
        if Path(options.picture).absolute() == Path(options.output).absolute():
            raise ValueError(f'{options.picture} is to be the table and the picture')


def _check_combinations(options, kind):
    """Refuse before the work what could not be done after it."""
    if options.chunk_size is not None:
        from galvae_affiliated.streaming import check_stream_output

        check_stream_output(options.output, options.chunk_size, options.overwrite)
        if options.picture:
            raise ValueError('--picture takes the whole table; leave out --chunk-size')
    if kind == 'ascii.csv' and not options.scalar_columns:
        raise ValueError(f'{options.output}: CSV has no vector columns; --scalar-columns makes '
                         'a column a latent')
    if options.n_samples and options.no_morphology:
        raise ValueError('--n-samples is for intervals of the vote fractions; leave out '
                         '--no-morphology')
    if options.picture and options.no_morphology:
        raise ValueError('--picture shows the vote fractions; leave out --no-morphology')
    if options.picture:
        from galvae_affiliated.plotting import check_picture

        check_picture(options.picture)


def _encode_set(options):
    """Encode a set and write its table; returns the flags of the rows, in parts."""
    from galvae_affiliated.catalog import encode_cutout_set

    for name in ('catalog', 'position_columns', 'radius', 'radius_unit'):
        if getattr(options, name):
            raise ValueError(f'--{name.replace("_", "-")} goes with images of a field, not with '
                             'a set of cutouts')
    path, = options.images
    keywords = {**_shared_options(options), 'pixel_scale': options.pixel_scale,
                'already_scaled': options.already_scaled, 'bands': options.bands,
                'psf_fwhm': options.psf_fwhm}
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

    if options.already_scaled:
        raise ValueError('--already-scaled goes with a set of cutouts, not with images of a '
                         'field')
    catalog = None if options.catalog is None else read_catalog(options.catalog)
    if catalog is not None:
        check_writable(catalog, options.output)
    shared = _shared_options(options)
    image_options = {name: shared.pop(name) for name in ('unit', 'zero_point', 'rendering')}
    images = options.images[0] if len(options.images) == 1 else options.images
    field = open_field(images, options.model, bands=options.bands,
                       pixel_scale=options.pixel_scale, **image_options)
    keywords = {**shared, 'position_columns': options.position_columns,
                'radius': _radius(options.radius), 'radius_unit': options.radius_unit,
                'psf_fwhm': options.psf_fwhm, 'overwrite': options.overwrite}
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
    return {'unit': options.unit, 'zero_point': _parse_zero_point(options.zero_point),
            'rendering': options.rendering, 'morphology': not options.no_morphology,
            'coverage': options.coverage, 'n_samples': options.n_samples,
            'reconstruction': not options.no_reconstruction,
            'scalar_columns': options.scalar_columns, 'progress': is_interactive(),
            **engine_options(options)}


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
    _add_encode_options(parser)
    data = resources.files('galvae_affiliated').joinpath('data', 'demo_field.fits')
    with resources.as_file(data) as field:
        words = [str(field), '--bands', 'g,r,z', '--device', options.device, '--overwrite',
                 '-o', str(table)]
        if is_drawn:
            words += ['--picture', str(picture)]
        _run_encode(parser.parse_args(words))
    shown = (f'{picture} shows the galaxies' if is_drawn
             else "a picture needs matplotlib (the 'plot' extra)")
    print(f'{table} holds the table; {shown}')


def _radius(text):
    """A number, or the name of a column."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _parse_zero_point(text):
    """'25.1' -> 25.1; 'g=25.1,r=25.3' -> {'g': 25.1, 'r': 25.3}."""
    if text is None:
        return None
    try:
        if '=' not in text:
            return float(text)
        pairs = [item.split('=') for item in text.split(',')]
        return {band.strip(): float(value) for band, value in pairs}
    except ValueError:
        raise ValueError(f'--zero-point is {text!r}; expected a number, or one a band such as '
                         'g=25.1,r=25.3') from None
