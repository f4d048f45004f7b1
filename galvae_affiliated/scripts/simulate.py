# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae simulate``."""

from pathlib import Path

from galvae_affiliated.scripts._common import (
    add_drawing_options,
    add_model_group,
    parse_names,
    parse_pairs,
)


def add_simulate(parser):
    parser.describe(
        "A FITS image a band, in nanomaggies with a WCS, and a table of the truth; needs the "
        "'simulate' extra.",
        'galvae simulate -n 20 --shape 400,400 --bands g,r,z --random-state 1 -o simulated',
        'galvae simulate --catalog sources.fits --shape 500,500 --answers bar=yes -o barred',
        run=_run_simulate)
    parser.add_argument_group('output').add_argument(
        '-o', '--output', required=True, metavar='FOLDER',
        help='folder to make, with <band>.fits and truth.fits')
    group = parser.add_argument_group('galaxies')
    add = group.add_argument
    add('--catalog', metavar='CAT', help='table with x, y, mag and petro_r90 (arcsec)')
    add('-n', dest='number', type=int, metavar='N',
        help='random galaxies, without a catalogue (default 100)')
    add('--answers', default='', metavar='QUESTION=ANSWER,...',
        help='what the heads of the model are to say of the galaxies')
    add_drawing_options(group, 'galaxy')
    add('--read-back', action='store_true',
        help='add to the truth the latents that the encoder reads from each galaxy as drawn')
    add = parser.add_argument_group('images').add_argument
    add('--shape', default='1000,1000', metavar='NY,NX', help='pixels (default 1000,1000)')
    add('--pixel-scale', type=float, default=0.262, metavar='ARCSEC',
        help='side of a pixel (default 0.262)')
    add('--psf-fwhm', type=float, default=1.2, metavar='ARCSEC', help='seeing (default 1.2)')
    add('--noise', type=float, default=0.01, metavar='NMGY',
        help='standard deviation of a pixel in nanomaggies (default 0.01)')
    add('--bands', metavar='NAMES',
        help="bands of one of the model's renderings of flux, such as g,r,z")
    add_model_group(parser)


def _run_simulate(options):
    folder = Path(options.output)
    if folder.exists():
        raise FileExistsError(f'{folder} exists; expected the name of a new folder')
    if options.catalog is not None and options.number is not None:
        raise ValueError('expected one of --catalog and -n')
    shape = _shape(options.shape)
    from galvae_affiliated.models.engine import Engine
    from galvae_affiliated.simulation.fields import check_galsim, simulate_field, write_field
    from galvae_affiliated.tables.files import read_catalog

    check_galsim()
    catalog = 100 if options.number is None else options.number
    if options.catalog is not None:
        catalog = read_catalog(options.catalog)
    field = simulate_field(
        catalog, options.model, shape=shape, pixel_scale=options.pixel_scale,
        psf_fwhm=options.psf_fwhm, noise=options.noise,
        bands=parse_names(options.bands or None),
        answers=parse_pairs(options.answers, '--answers'), details=options.details,
        read_back=options.read_back, random_state=options.random_state,
        engine=Engine(device=options.device))
    folder.mkdir(parents=True)
    write_field(field, folder)
    return f'{folder}: {len(field.truth)} galaxies in {len(field.images)} bands'


def _shape(text):
    try:
        shape = tuple(int(part) for part in text.split(','))
    except ValueError:
        shape = ()
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f'--shape is {text!r}; expected rows and columns, such as 1000,1000')
    return shape
