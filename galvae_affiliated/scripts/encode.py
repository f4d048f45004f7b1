# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae encode`` and ``galvae demo``."""

import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.models._devices import BATCH_SIZE, DEVICES
from galvae_affiliated.scripts._common import Parser, check_output, is_cutout_set, print_done, progress_bar
from galvae_affiliated.tables.files import FORMATS, output_format, read_catalog, write_table


def add_encode(commands):
    p = commands.add_parser('encode', help='add latents and morphology to a catalogue',
                            description='IMAGE is a FITS file a band, one file with all bands, a Parquet file of '
                            'cutouts, or a folder of FITS cutouts.')
    add_encode_options(p)
    p.set_defaults(run=run_encode)


def add_encode_options(p):
    p.add_argument('images', nargs='+', metavar='IMAGE')
    p.add_argument('-o', '--output', required=True, metavar='OUT',
                   help='table to write; its ending gives the format: ' + ', '.join(FORMATS))
    p.add_argument('--overwrite', action='store_true', help='replace OUT, and columns of the same names')
    p.add_argument('--bands', help='names of the bands in the order of the images, such as g,r,z')
    p.add_argument('--catalog', metavar='CAT', help='table of the sources; they are detected without one')
    p.add_argument('--radius-column', metavar='NAME',
                   help='column of petroR90; without it petro_r90 or petroR90_r is taken, else it is measured')
    p.add_argument('--radius-unit', metavar='UNIT', help="'pix' or an angle, where the column states no unit")
    p.add_argument('--unit', help="flux unit, such as nmgy, uJy or MJy/sr, in place of the header's")
    p.add_argument('--zero-point', metavar='MAG',
                   help='AB magnitude of one count, for all bands or as g=25.1,r=25.3,...')
    p.add_argument('--pixel-scale', type=float, metavar='ARCSEC', help='side of a pixel')
    p.add_argument('--already-scaled', action='store_true', help="cutouts are at the model's scale already")
    p.add_argument('--rendering', metavar='NAME', help='how the cutouts enter the model; galvae info lists the names')
    p.add_argument('--model', metavar='NAME', help='name or file of the model')
    p.add_argument('--device', choices=('auto', *DEVICES), default='auto',
                   help='auto takes CUDA where it starts, else the CPU; tensorrt builds engines for minutes once')
    p.add_argument('--precision', choices=('float32', 'float16'), default='float32', help='float16 is for GPUs')
    p.add_argument('--n-threads', type=int, metavar='N', help='on the CPU; all that the process may use if left out')
    p.add_argument('--batch-size', type=int, default=BATCH_SIZE, metavar='N', help='cutouts a call of the network')
    p.add_argument('--chunk-size', type=int, metavar='N',
                   help='write N rows at a time to .parquet or .fits: for more than fits in memory, and a run that is '
                   'ended goes on if the same command is given again')
    p.add_argument('--split', action='store_true', help='a scalar column a latent')
    p.add_argument('--no-morphology', action='store_true', help='leave out the vote fractions, answers and sets')
    p.add_argument('--coverage', type=float, default=0.9, metavar='SHARE',
                   help='of galaxies whose most voted answer is in the prediction set, 0.5 to 0.99 (default 0.9)')
    p.add_argument('--n-samples', type=int, default=0, metavar='N',
                   help='latents to draw from each posterior, for intervals of the fractions; 32 are enough')
    p.add_argument('--no-reconstruction', action='store_true', help='leave out galvae_recon_chi2; faster')
    p.add_argument('--picture', metavar='PNG', help='draw the largest galaxies with their predictions')


def run_encode(options):
    """Encode images with a catalogue, or a set of cutouts."""
    kind, keywords = output_format(options.output)
    check_output(options.output, options.overwrite)
    check_combinations(options, kind)
    encode = encode_set if is_cutout_set(options.images) else encode_field
    n_rows = encode(options, lambda table: write_table(table, options.output, kind, keywords))
    print_done(f'{n_rows} rows written to {options.output}')


def check_combinations(options, kind):
    """Refuse before the work what could not be done after it."""
    if options.chunk_size is not None:
        import_module('galvae_affiliated.streaming').checked_output(options.output, options.chunk_size, options.overwrite)
        if options.picture:
            raise ValueError('--picture takes the whole table; leave out --chunk-size')
    if kind == 'ascii.csv' and not options.split:
        raise ValueError(f'{options.output}: CSV has no vector columns; --split makes a column a latent')
    if options.n_samples and options.no_morphology:
        raise ValueError('--n-samples is for intervals of the vote fractions; leave out --no-morphology')
    if options.picture and options.no_morphology:
        raise ValueError('--picture shows the vote fractions; leave out --no-morphology')
    if options.picture:
        import_module('galvae_affiliated._optional').check_matplotlib()


def encode_set(options, write_table):
    """Encode a set and write its table; returns the number of rows."""
    from galvae_affiliated.catalog import encode_cutout_set

    for name in ('catalog', 'radius_column', 'radius_unit', 'picture'):
        if getattr(options, name):
            raise ValueError(f'--{name.replace("_", "-")} goes with images of a field, not with a set of cutouts')
    keywords = {'pixel_scale': options.pixel_scale, 'already_scaled': options.already_scaled, 'bands': options.bands, **shared_options(options)}
    if options.chunk_size is not None:
        from galvae_affiliated.streaming import stream_cutout_set

        return stream_cutout_set(options.images[0], options.output, options.model, chunk_size=options.chunk_size,
                                 overwrite=options.overwrite, **keywords)
    return write_table(encode_cutout_set(options.images[0], options.model, **keywords))


def encode_field(options, write_table):
    """Encode a field and write its table; returns the number of rows."""
    from astropy.table import Table

    from galvae_affiliated.catalog import encode_catalog

    if options.already_scaled:
        raise ValueError('--already-scaled goes with a set of cutouts, not with images of a field')
    images = options.images[0] if len(options.images) == 1 else options.images
    catalog = None if options.catalog is None else read_catalog(options.catalog)
    settings = {'bands': options.bands, 'pixel_scale': options.pixel_scale, 'radius': options.radius_column,
                'radius_unit': options.radius_unit}
    keywords = {'overwrite': options.overwrite, **settings, **shared_options(options)}
    if options.chunk_size is not None:
        from galvae_affiliated.streaming import stream_catalog

        return stream_catalog(images, catalog, options.output, options.model, chunk_size=options.chunk_size, **keywords)
    table = encode_catalog(images, catalog, options.model, **keywords)
    if options.picture:
        draw_picture(images, Table(table, copy=False), options, settings)
    return write_table(table)


def shared_options(options):
    """Keywords that fields and sets share."""
    return {'unit': options.unit, 'zero_point': parse_zero_point(options.zero_point), 'rendering': options.rendering,
            'morphology': not options.no_morphology, 'coverage': options.coverage, 'n_samples': options.n_samples,
            'reconstruction': not options.no_reconstruction,
            'split': options.split, 'device': options.device, 'batch_size': options.batch_size,
            'n_threads': options.n_threads, 'precision': options.precision, 'progress': progress_bar()}


def draw_picture(images, table, options, settings):
    """Cut out once more, at the radii that were used, the galaxies that are drawn."""
    from galvae_affiliated.catalog import make_cutouts
    from galvae_affiliated.models.registry import get_model
    from galvae_affiliated.plotting import draw_gallery, gallery_rows

    model, rows = get_model(options.model), gallery_rows(table)
    settings = {**settings, 'radius': 'galvae_radius', 'radius_unit': None}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', GalvaeWarning)  # said already
        stack = make_cutouts(images, table[rows], model, unit=options.unit, zero_point=parse_zero_point(options.zero_point),
                             rendering=options.rendering, **settings)
    draw_gallery(options.picture, stack, table, rows, model, device=options.device)
    print_done(f'{len(rows)} galaxies drawn in {options.picture}')


def run_demo(options):
    """The main job on the field that comes with the package."""
    from importlib import resources

    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    table, picture = folder / 'demo.fits', folder / 'demo.png'
    drawn = find_spec('matplotlib') is not None
    with resources.as_file(resources.files('galvae_affiliated').joinpath('data', 'demo_field.fits')) as field:
        words = [str(field), '--bands', 'g,r,z', '--device', options.device, '--overwrite', '-o', str(table)]
        parser = Parser(prog='galvae encode')
        add_encode_options(parser)
        run_encode(parser.parse_args(words + ['--picture', str(picture)] * drawn))
    shown = f'{picture} shows the galaxies' if drawn else "a picture needs matplotlib (the 'plot' extra)"
    print(f'{table} holds the table; {shown}')


def parse_zero_point(text):
    """'25.1' -> 25.1; 'g=25.1,r=25.3' -> {'g': 25.1, 'r': 25.3}."""
    if text is None:
        return None
    try:
        if '=' not in text:
            return float(text)
        return {band.strip(): float(value) for band, value in (item.split('=') for item in text.split(','))}
    except ValueError:
        raise ValueError(f'--zero-point is {text!r}; expected a number, or one a band such as g=25.1,r=25.3') from None
