# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The ``galvae`` command."""

import argparse
import atexit
import gc
import os
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from galvae_affiliated import __version__
from galvae_affiliated._providers import BATCH_SIZE, DEVICES
from galvae_affiliated._train_scripts import add_fit_heads, add_sweep, add_train
from galvae_affiliated.exceptions import DeviceError, GalvaeWarning

__all__ = ['main']

DONE, FAILURE, WRONG_USE = 0, 1, 2
# ending of the output file: format name of astropy's Table, and its options
HDF5 = ('hdf5', {'path': 'galvae', 'serialize_meta': True})
FORMATS = {'.fits': ('fits', {}), '.fit': ('fits', {}), '.ecsv': ('ascii.ecsv', {}), '.parquet': ('parquet', {}),
           '.vot': ('votable', {}), '.xml': ('votable', {}), '.h5': HDF5, '.hdf5': HDF5, '.csv': ('ascii.csv', {})}


def main(args=None):
    """
    Run the command.

    Parameters
    ----------
    args : list of str, optional
        Words of the command line; None takes those of the process.

    Returns
    -------
    code : int
        0 done, 1 failure, 2 wrong use.
    """
    options = parser().parse_args(args)
    # else the collector looks through all that was imported once more before the process ends
    atexit.register(gc.freeze)
    warnings.simplefilter('ignore')
    warnings.simplefilter('once', GalvaeWarning)
    warnings.showwarning = show_warning
    try:
        options.run(options)
    except BrokenPipeError:
        # the reader of our output has what it wanted; nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return complain('interrupted', FAILURE)
    except (ValueError, TypeError, KeyError, FileNotFoundError, FileExistsError, IsADirectoryError) as error:
        return complain(error.args[0] if isinstance(error, KeyError) else error, WRONG_USE)
    except (DeviceError, OSError, MemoryError, ImportError, RuntimeError) as error:
        return complain(error, FAILURE)
    return DONE


def complain(message, code):
    """One line on the standard error stream."""
    print('galvae: error:', ' '.join(str(message).split()) or 'unknown', file=sys.stderr)
    return code


def show_warning(message, *_, **__):
    print('galvae: warning:', ' '.join(str(message).split()), file=sys.stderr)


class Parser(argparse.ArgumentParser):
    """Tells a wrong option in one line, as all that is wrong is told."""

    def error(self, message):
        self.exit(complain(f'{message}; {self.prog} --help lists what there is', WRONG_USE))


def parser():
    top = Parser(prog='galvae', description='Galaxy morphology as columns of a table.')
    top.add_argument('--version', action='version', version=f'galvae_affiliated {__version__}')
    commands = top.add_subparsers(required=True, metavar='COMMAND')
    add_encode(commands)
    add_train(commands)
    add_sweep(commands)
    add_fit_heads(commands)
    demo = commands.add_parser('demo', help='encode the simulated field that comes with the package')
    demo.add_argument('-o', '--output', default='galvae_demo', help='folder for the table and the picture')
    demo.add_argument('--device', choices=('auto', *DEVICES), default='auto')
    demo.set_defaults(run=run_demo)
    info = commands.add_parser('info', help='print the card of a model')
    info.add_argument('model', nargs='?', help='name or file; the default model if left out')
    info.add_argument('--json', action='store_true', help='the whole manifest')
    info.set_defaults(run=run_info)
    models = commands.add_parser('models', help='list the models')
    models.set_defaults(run=run_models)
    doctor = commands.add_parser('doctor', help='tell what this installation can do')
    doctor.set_defaults(run=run_doctor)
    return top


def add_encode(commands):
    p = commands.add_parser('encode', help='add latents and morphology to a catalogue',
                            description='IMAGE is a FITS file a band, one file with all bands, a Parquet file of '
                            'cutouts, or a folder of FITS cutouts.')
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
    p.add_argument('--scaled', action='store_true', help="cutouts are at the model's scale already")
    p.add_argument('--rendering', metavar='NAME', help='how the cutouts enter the model; galvae info lists the names')
    p.add_argument('--model', metavar='NAME', help='name or file of the model')
    p.add_argument('--device', choices=('auto', *DEVICES), default='auto',
                   help='auto takes CUDA where it starts, else the CPU; tensorrt builds engines for minutes once')
    p.add_argument('--precision', choices=('float32', 'float16'), default='float32', help='float16 is for GPUs')
    p.add_argument('--threads', type=int, metavar='N', help='on the CPU; all that the process may use if left out')
    p.add_argument('--batch-size', type=int, default=BATCH_SIZE, metavar='N', help='cutouts a call of the network')
    p.add_argument('--chunk', type=int, metavar='N',
                   help='write N rows at a time to .parquet or .fits: for more than fits in memory, and a run that is '
                   'ended goes on if the same command is given again')
    p.add_argument('--split', action='store_true', help='a scalar column a latent')
    p.add_argument('--no-morphology', action='store_true', help='leave out the vote fractions, answers and sets')
    p.add_argument('--coverage', type=float, default=0.9, metavar='SHARE',
                   help='of galaxies whose most voted answer is in the prediction set, 0.5 to 0.99 (default 0.9)')
    p.add_argument('--samples', type=int, default=0, metavar='N',
                   help='latents to draw from each posterior, for intervals of the fractions; 32 are enough')
    p.add_argument('--no-reconstruction', action='store_true', help='leave out galvae_recon_chi2; faster')
    p.add_argument('--picture', metavar='PNG', help='draw the largest galaxies with their predictions')
    p.set_defaults(run=run_encode)


def run_encode(options):
    """Encode images with a catalogue, or a set of cutouts."""
    kind, keywords = output_format(options.output)
    check_output(options.output, options.overwrite)
    check_combinations(options, kind)
    encode = encode_set if is_cutout_set(options.images) else encode_field
    n_rows = encode(options, lambda table: write(table, options.output, kind, keywords))
    tell(f'{n_rows} rows written to {options.output}')


def check_combinations(options, kind):
    """Refuse before the work what could not be done after it."""
    if options.chunk is not None:
        import_module('galvae_affiliated.streaming').checked_output(options.output, options.chunk, options.overwrite)
        if options.picture:
            raise ValueError('--picture takes the whole table; leave out --chunk')
    if kind == 'ascii.csv' and not options.split:
        raise ValueError(f'{options.output}: CSV has no vector columns; --split makes a column a latent')
    if options.samples and options.no_morphology:
        raise ValueError('--samples is for intervals of the vote fractions; leave out --no-morphology')
    if options.picture and options.no_morphology:
        raise ValueError('--picture shows the vote fractions; leave out --no-morphology')
    if options.picture:
        import_module('galvae_affiliated.pictures').check_matplotlib()


def encode_set(options, write_table):
    """Encode a set and write its table; returns the number of rows."""
    from galvae_affiliated.cutout_sets import encode_cutout_set

    for name in ('catalog', 'radius_column', 'radius_unit', 'picture'):
        if getattr(options, name):
            raise ValueError(f'--{name.replace("_", "-")} goes with images of a field, not with a set of cutouts')
    keywords = {'pixel_scale': options.pixel_scale, 'scaled': options.scaled, 'bands': options.bands, **common(options)}
    if options.chunk is not None:
        from galvae_affiliated.streaming import stream_cutout_set

        return stream_cutout_set(options.images[0], options.output, options.model, chunk=options.chunk,
                                 overwrite=options.overwrite, **keywords)
    return write_table(encode_cutout_set(options.images[0], options.model, **keywords))


def encode_field(options, write_table):
    """Encode a field and write its table; returns the number of rows."""
    from astropy.table import Table

    from galvae_affiliated.catalog import encode_catalog

    if options.scaled:
        raise ValueError('--scaled goes with a set of cutouts, not with images of a field')
    images = options.images[0] if len(options.images) == 1 else options.images
    catalog = None if options.catalog is None else read_catalog(options.catalog)
    settings = {'bands': options.bands, 'pixel_scale': options.pixel_scale, 'radius': options.radius_column,
                'radius_unit': options.radius_unit}
    keywords = {'overwrite': options.overwrite, **settings, **common(options)}
    if options.chunk is not None:
        from galvae_affiliated.streaming import stream_catalog

        return stream_catalog(images, catalog, options.output, options.model, chunk=options.chunk, **keywords)
    table = encode_catalog(images, catalog, options.model, **keywords)
    if options.picture:
        draw(images, Table(table, copy=False), options, settings)
    return write_table(table)


def common(options):
    """Keywords that fields and sets share."""
    return {'unit': options.unit, 'zero_point': zero_point(options.zero_point), 'rendering': options.rendering,
            'morphology': not options.no_morphology, 'coverage': options.coverage, 'samples': options.samples,
            'reconstruction': not options.no_reconstruction,
            'split': options.split, 'device': options.device, 'batch_size': options.batch_size,
            'threads': options.threads, 'precision': options.precision, 'progress': progress()}


def draw(images, table, options, settings):
    """Cut out once more, at the radii that were used, the galaxies that are drawn."""
    from galvae_affiliated.fields import make_cutouts
    from galvae_affiliated.pictures import draw_gallery, gallery_rows
    from galvae_affiliated.registry import get_model

    bundle, rows = get_model(options.model), gallery_rows(table)
    settings = {**settings, 'radius': 'galvae_radius', 'radius_unit': None}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', GalvaeWarning)  # said already
        stack = make_cutouts(images, table[rows], bundle, unit=options.unit, zero_point=zero_point(options.zero_point),
                             rendering=options.rendering, **settings)
    draw_gallery(options.picture, stack, table, rows, bundle, device=options.device)
    tell(f'{len(rows)} galaxies drawn in {options.picture}')


def run_demo(options):
    """The main job on the field that comes with the package."""
    from importlib import resources

    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    table, picture = folder / 'demo.fits', folder / 'demo.png'
    drawn = find_spec('matplotlib') is not None
    with resources.as_file(resources.files('galvae_affiliated').joinpath('data', 'demo_field.fits')) as field:
        words = ['encode', str(field), '--bands', 'g,r,z', '--device', options.device, '--overwrite', '-o', str(table)]
        run_encode(parser().parse_args(words + ['--picture', str(picture)] * drawn))
    shown = f'{picture} shows the galaxies' if drawn else "a picture needs matplotlib (the 'plot' extra)"
    print(f'{table} holds the table; {shown}')


def run_info(options):
    import json

    from galvae_affiliated.cards import card
    from galvae_affiliated.registry import get_model

    bundle = get_model(options.model)
    print(json.dumps(bundle.manifest, indent=1) if options.json else card(bundle))


def run_models(options):
    from galvae_affiliated.registry import DEFAULT_MODEL, list_models

    for name in list_models():
        print(name, '(default)' if name == DEFAULT_MODEL else '')


def run_doctor(options):
    from galvae_affiliated.cards import diagnosis

    healthy = True
    for line, good in diagnosis():
        print(line)
        healthy &= good
    if not healthy:
        raise RuntimeError('the default model does not run here')


def is_cutout_set(images):
    first = Path(images[0])
    return len(images) == 1 and (first.is_dir() or first.suffix.lower() in ('.parquet', '.pq'))


def output_format(path):
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f'{path}: the ending {suffix!r} is no known format; expected one of {", ".join(FORMATS)}')
    return FORMATS[suffix]


def check_output(path, overwrite):
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f'{path} exists; --overwrite replaces it')
    if not Path(path).absolute().parent.is_dir():
        raise FileNotFoundError(f'{path}: there is no folder {Path(path).absolute().parent}')


def write(table, path, kind, keywords):
    """Write beside the target, then rename: a run that is ended leaves no half table. Returns the number of rows."""
    if kind in ('votable', 'ascii.csv'):
        table = without_coordinates(table)
    unfinished = Path(path).with_name(f'.{Path(path).name}.part')
    try:
        table.write(unfinished, format=kind, overwrite=True, **keywords)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return len(table)


def without_coordinates(table):
    """SkyCoord columns as two of degrees: VOTable and CSV cannot hold the object."""
    from astropy.coordinates import SkyCoord

    for name in [name for name in table.colnames if isinstance(table[name], SkyCoord)]:
        place, sky = table.index_column(name), table[name].icrs
        table.replace_column(name, sky.ra)
        table.rename_column(name, f'{name}.ra')
        table.add_column(sky.dec, index=place + 1, name=f'{name}.dec')
    return table


def read_catalog(path):
    """A table of any format that astropy recognises by its ending or content."""
    from astropy.io.registry import IORegistryError
    from astropy.table import QTable

    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: there is no such file')
    kinds = [FORMATS[suffix][0]] if (suffix := Path(path).suffix.lower()) in FORMATS else ['ascii']
    failures = []
    for kind in [None, *kinds]:
        try:
            table = QTable.read(path, format=kind) if kind else QTable.read(path)
            # SExtractor's FITS_LDAC holds the image's header in a table of its own, before that of the objects
            return QTable.read(path, hdu='LDAC_OBJECTS') if table.colnames == ['Field Header Card'] else table
        except (IORegistryError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
            failures.append(error)
    raise ValueError(f'{path}: this is not a table that can be read ({failures[-1]})')


def zero_point(text):
    """'25.1' -> 25.1; 'g=25.1,r=25.3' -> {'g': 25.1, 'r': 25.3}."""
    if text is None:
        return None
    try:
        if '=' not in text:
            return float(text)
        return {band.strip(): float(value) for band, value in (item.split('=') for item in text.split(','))}
    except ValueError:
        raise ValueError(f'--zero-point is {text!r}; expected a number, or one a band such as g=25.1,r=25.3') from None


def progress():
    """A progress bar on a terminal, nothing in a pipe."""
    if not sys.stderr.isatty():
        return None
    from astropy.utils.console import ProgressBar

    bars = []

    def update(done, total):
        if not bars:
            bars.append(ProgressBar(total, file=sys.stderr))
        bars[0].update(done)

    return update


def tell(message):
    """What was done, for a person at a terminal; the output itself is in files."""
    if sys.stderr.isatty():
        print('galvae:', message, file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
