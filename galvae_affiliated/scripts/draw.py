# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae reconstruct`` and ``galvae traverse``."""

from pathlib import Path

from galvae_affiliated.scripts._common import (
    add_drawing_options,
    add_model_group,
    add_output_options,
    check_output,
    engine_options,
    is_cutout_set,
)
from galvae_affiliated.scripts._images import add_reading_options, reading_options

MAX_DRAWN = 64  # cutouts of a picture: more are too small to be looked at


def add_reconstruct(parser):
    parser.describe(
        'Original, reconstruction and residual, as a picture (.png) or as images (.fits). IMAGE '
        'is as for galvae encode.',
        'galvae reconstruct g.fits r.fits z.fits --bands g,r,z -n 4 -o pairs.png',
        'galvae reconstruct cutouts.parquet --first 2 -n 3 -o pairs.fits',
        run=_run_reconstruct)
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    group = parser.add_argument_group('which galaxies')
    group.add_argument('--first', type=int, default=0, metavar='ROW', help='row to begin with')
    group.add_argument('-n', dest='number', type=int, default=8, metavar='N',
                       help='how many rows (default 8)')
    group = parser.add_argument_group('what is drawn')
    add_drawing_options(group, 'none')
    _add_image_options(parser, '.png or .fits')


def add_traverse(parser):
    parser.describe(
        'A film strip (.png) or a film (.gif) of the decoder, from the latents of a galaxy. '
        'IMAGE is as for galvae encode.',
        'galvae traverse g.fits r.fits z.fits --bands g,r,z --along bar=yes -o barred.gif',
        'galvae traverse cutouts.parquet --row 2 --to 4 -o between.png',
        run=_run_traverse)
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    add = parser.add_argument_group('what is drawn').add_argument
    add('--row', type=int, default=0, metavar='ROW', help='the galaxy (default the first)')
    add('--along', metavar='WHAT', help='number of a latent, or QUESTION=ANSWER such as bar=yes, '
        'whose other questions are held')
    add('--to', type=int, metavar='ROW', help='go to this galaxy instead')
    add('--steps', type=int, default=9, metavar='N', help='pictures (default 9)')
    add('--extent', type=float, default=3.0, metavar='L',
        help='how far to go each way, in units of the latents (default 3)')
    _add_image_options(parser, '.png or .gif')


def _add_image_options(parser, endings):
    add_output_options(parser, 'OUT', f'file to write, {endings}')
    add_reading_options(parser.add_argument_group('how the images are read'))
    add = parser.add_argument_group('sources of a field').add_argument
    add('--catalog', metavar='CAT', help='table of the sources; they are detected without one')
    add('--radius', metavar='NAME', help='column of petroR90')
    add_model_group(parser, engine=True)


def _run_reconstruct(options):
    kind = _check_drawing(options, ('.png', '.fits'))
    if options.first < 0 or options.number < 1:
        raise ValueError(f'--first {options.first} -n {options.number} asks for no row')
    if kind == '.png' and options.number > MAX_DRAWN:
        raise ValueError(f'{options.output}: {options.number} cutouts are too many for a picture; '
                         f'expected {MAX_DRAWN} at most, or .fits')
    from galvae_affiliated._atomic import replacing

    model, engine = _model_and_engine(options)
    stack = _stack(_open_cutouts(options, model), options.first, options.number)
    drawn = {'details': options.details, 'random_state': options.random_state, 'engine': engine}
    with replacing(options.output) as unfinished:
        if kind == '.png':
            from galvae_affiliated.plotting import draw_reconstructions

            draw_reconstructions(unfinished, stack, model, **drawn)
        else:
            from galvae_affiliated.models.reconstruction import reconstruct
            from galvae_affiliated.tables.drawings import write_reconstruction

            write_reconstruction(reconstruct(stack, model, **drawn), unfinished, model)
    return f'{options.output}: {len(stack)} cutouts'


def _run_traverse(options):
    kind = _check_drawing(options, ('.png', '.gif'))
    if (options.along is None) == (options.to is None):
        raise ValueError('expected one of --along and --to')
    from galvae_affiliated._atomic import replacing
    from galvae_affiliated.models.encoder import Encoder
    from galvae_affiliated.models.traversal import interpolate, traverse
    from galvae_affiliated.tables.drawings import write_film, write_strip

    model, engine = _model_and_engine(options)
    encoder = Encoder(model, engine)
    source = _open_cutouts(options, model)  # once for both galaxies
    latent, pose = _code(source, encoder, options.row)
    if options.to is not None:
        latents = interpolate(latent, _code(source, encoder, options.to)[0], model,
                              n_steps=options.steps)
    else:
        latents = traverse(latent, _along(options.along), model, n_steps=options.steps,
                           extent=options.extent, engine=engine)
    pictures = encoder.decode(latents, pose[None].repeat(len(latents), axis=0))
    with replacing(options.output) as unfinished:
        (write_strip if kind == '.png' else write_film)(pictures, unfinished)
    return f'{options.output}: {len(pictures)} pictures'


def _check_drawing(options, endings):
    """The ending of the output, which can be written, before the work for it."""
    kind = Path(options.output).suffix.lower()
    if kind not in endings:
        raise ValueError(f'{options.output}: expected a name that ends with {" or ".join(endings)}')
    check_output(options.output, options.overwrite)
    if endings[1] == '.fits' and kind == '.png':
        from galvae_affiliated._optional import check_matplotlib

        check_matplotlib()
    return kind


def _model_and_engine(options):
    from galvae_affiliated.models.engine import Engine
    from galvae_affiliated.models.registry import get_model

    return get_model(options.model), Engine(**engine_options(options))


def _code(source, encoder, row):
    """Latents and pose of a row."""
    if row < 0:
        raise ValueError(f'there is no row {row}')
    encoding = encoder.encode(_stack(source, row, 1), reconstruction=False)
    return encoding.latent[0], encoding.pose[0]


def _open_cutouts(options, model):
    """The `~galvae_affiliated.cutouts.CutoutSource` of the images."""
    images, reading = options.images, reading_options(options)
    if is_cutout_set(images):
        for name in ('catalog', 'radius'):
            if getattr(options, name):
                raise ValueError(f'--{name} goes with images of a field, not with a set of cutouts')
        from galvae_affiliated.cutouts.sets import open_cutout_set

        return open_cutout_set(images[0], model.frame, **reading)
    if reading.pop('already_scaled'):
        raise ValueError('--already-scaled goes with a set of cutouts, not with images of a field')
    from galvae_affiliated.catalog import open_cutouts
    from galvae_affiliated.tables.files import read_catalog

    catalog = None if options.catalog is None else read_catalog(options.catalog)
    source, _ = open_cutouts(
        images[0] if len(images) == 1 else images, catalog, model.frame, radius=options.radius,
        **reading)
    return source


def _stack(source, first, number):
    """The cutouts of some rows, as many as there are."""
    n = len(source)
    if first >= n:
        raise ValueError(f'there is no row {first}; there are {n} rows, from 0')
    stack, = source.stacks([slice(first, min(first + number, n))])
    return stack


def _along(text):
    return int(text) if text.lstrip('-').isdigit() else text
