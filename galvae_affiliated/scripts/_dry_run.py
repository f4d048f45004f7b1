# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae encode --dry-run``: what a run would do, from headers and the catalogue."""

import contextlib
import warnings
from pathlib import Path

import numpy as np

from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.models.engine import Engine
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.scripts._common import engine_options, is_cutout_set
from galvae_affiliated.scripts._images import reading_options
from galvae_affiliated.scripts._messages import one_line
from galvae_affiliated.scripts._request import check_request, column_options, source_options
from galvae_affiliated.tables.columns import check_column_names
from galvae_affiliated.tables.files import (
    check_identifiers,
    check_writable,
    output_format,
    read_catalog,
)
from galvae_affiliated.tables.outputs import Outputs

# what the library refuses, and what a file or a device may fail with
REFUSALS = (ValueError, TypeError, KeyError, OSError, RuntimeError, ImportError)
WIDTH = 10


class _Plan:
    """Lines of what would be done, and how many of them are problems."""

    def __init__(self):
        self.n_problems = 0

    def say(self, name, text):
        print(f'{name:{WIDTH}s}  {one_line(text)}')

    @contextlib.contextmanager
    def step(self):
        """What is done within, with its warnings and its error as lines; others go on."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('ignore')
            warnings.simplefilter('always', GalvaeWarning)
            try:
                yield
            except REFUSALS as error:
                self.n_problems += 1
                is_key = isinstance(error, KeyError) and error.args
                self.say('PROBLEM', error.args[0] if is_key else str(error))
        for text in dict.fromkeys(str(warning.message) for warning in caught):
            self.say('warning', text)


def run_dry(options):
    """
    Say what ``galvae encode`` would do with these options.

    Returns
    -------
    summary : str

    Raises
    ------
    ValueError
        If the run would be refused; every reason that headers show has been told before.
    """
    plan = _Plan()
    model = None
    with plan.step():
        check_request(options)
    with plan.step():
        model = get_model(options.model)
        plan.say('model', model.id)
    n_rows, catalog = None, None
    if model is not None:
        about = _about_set if is_cutout_set(options.images) else _about_field
        n_rows, catalog = about(plan, options, model)
        with plan.step():
            _about_device(plan, options, model)
        with plan.step():
            _about_output(plan, options, model, n_rows, catalog)
    if plan.n_problems:
        s = 's' * (plan.n_problems > 1)
        raise ValueError(f'this run would be refused: {plan.n_problems} problem{s}, see above')
    return 'nothing was written; without --dry-run the run would begin'


def _about_field(plan, options, model):
    """Say what becomes of images and sources; returns rows and catalogue where they are known."""
    catalog = positions = headers = None
    with plan.step():
        if options.catalog is not None:
            catalog = read_catalog(options.catalog)
            positions = _about_catalog(plan, options, catalog)
    with plan.step():
        headers = _about_images(plan, options, model)
    with plan.step():
        if positions is not None and headers is not None:
            _about_places(plan, positions, headers)
    if options.catalog is None:
        plan.say('sources', 'are detected: their number is known when the pixels are read; '
                 'radii are measured')
    return None if catalog is None else len(catalog), catalog


def _about_images(plan, options, model):
    from galvae_affiliated.cutouts.resolution import check_fwhm
    from galvae_affiliated.images.headers import read_headers

    reading = reading_options(options)
    rendering = reading.pop('rendering')
    del reading['already_scaled']
    band_sets, scales = model.frame.band_sets(rendering)
    images = options.images[0] if len(options.images) == 1 else options.images
    headers = read_headers(images, band_sets=band_sets, scales=scales, **reading)
    ny, nx = headers.shape
    plan.say('images', f'{", ".join(options.images)}: {len(headers.given)} of {nx} x {ny} pixels')
    name = list(model.frame.flux_renderings(rendering))[headers.plan.place]
    plan.say('bands', f'{",".join(headers.given)}; channels from red to blue '
             f'{headers.plan.channels} ({name})')
    plan.say('units', '; '.join(f'{band}: {text or "unknown"}'
                                for band, text in headers.units.items()))
    unknown = [band for band, text in headers.units.items() if not text]
    if unknown:
        plan.say('warning', f'no flux scale is known for band {", ".join(unknown)}: it would be '
                 'estimated from the noise, and rows would have the flag SCALE_ESTIMATED; '
                 '--unit or --zero-point states it'
                 + ('' if headers.pixel_scale else ', with --pixel-scale'))
    by = 'as given' if options.pixel_scale is not None else 'of the WCS'
    plan.say('pixels', f'{headers.pixel_scale:.4g} arcsec a side, {by}' if headers.pixel_scale
             else 'of unknown size; no WCS')
    if headers.moved:
        plan.say('grids', f'{", ".join(headers.moved)} would be reprojected to the grid of the '
                 'middle band')
    _say_seeing(plan, options, headers, check_fwhm)
    return headers


def _say_seeing(plan, options, headers, check_fwhm):
    if options.psf_fwhm is not None:
        plan.say('seeing', f'{check_fwhm(options.psf_fwhm):g} arcsec, as given')
    elif headers.seeing is not None:
        size = headers.seeing * (headers.pixel_scale or 1.0)
        plan.say('seeing', f'{size:.3g} {"arcsec" if headers.pixel_scale else "pixels"}, of the '
                 'header; of the stars where radii are measured')
    else:
        plan.say('seeing', 'from stars, where radii are measured; the headers state none')


def _about_catalog(plan, options, catalog):
    from galvae_affiliated.sources.positions import read_positions, used_columns

    given = source_options(options)
    positions = read_positions(catalog, **given)
    places, radius = used_columns(catalog, radius=given['radius'],
                                  position_columns=given['position_columns'])
    plan.say('catalogue', f'{options.catalog}: {len(catalog)} rows, '
             f'{len(catalog.colnames)} columns')
    plan.say('positions', f'of {" and ".join(places)}, '
             f'{"in pixels" if positions.x is not None else "on the sky"}')
    n_given = int(np.count_nonzero(np.isfinite(positions.radius)))
    if isinstance(given['radius'], float):
        radius = f'{given["radius"]:g} for all'
    unit = positions.radius_unit or 'pixels'
    what = f'petroR90 of {radius} in {unit}' if radius else 'no column has petroR90'
    n_left = len(catalog) - n_given
    plan.say('radii', what + (f'; {n_left} would be measured' if n_left else ''))
    return positions


def _about_places(plan, positions, headers):
    """Compare the catalogue with the grid of the images."""
    if positions.x is not None or headers.wcs is not None:
        positions.check_against(headers.wcs, headers.shape)
    x, y = positions.pixels(headers.wcs)
    positions.radius_in_pixels(headers.pixel_scale)
    ny, nx = headers.shape
    inside = (-0.5 <= x) & (x < nx - 0.5) & (-0.5 <= y) & (y < ny - 0.5)
    plan.say('sources', f'{int(inside.sum())} of {len(x)} lie on the images')


def _about_set(plan, options, model):
    """Say what becomes of a set of cutouts; returns its rows, and no catalogue."""
    from galvae_affiliated.cutouts.sets import FitsFolder, open_cutout_set

    path, n_rows = options.images[0], None
    with plan.step():
        reading = reading_options(options)
        cutouts = open_cutout_set(path, model.frame, psf_fwhm=options.psf_fwhm, **reading)
        n_rows = len(cutouts)
        if isinstance(cutouts, FitsFolder):
            first = cutouts.files[0]
            plan.say('cutouts', f'{path}: {n_rows} FITS files; the first is {first.name}')
            _about_first(plan, first, options, model)
        else:
            plan.say('cutouts', f'{path}: {n_rows} rows; columns {", ".join(cutouts.columns)}')
            plan.say('pixels', _scale_of(options, 'pixel_scale_arcsec' in cutouts.columns))
        if options.output is not None:
            check_identifiers(cutouts, options.output)
    return n_rows, None


def _about_first(plan, path, options, model):
    """The first file of a folder; one that cannot be read costs its row alone."""
    from galvae_affiliated.images.headers import read_headers

    reading = reading_options(options)
    band_sets, scales = model.frame.band_sets(reading.pop('rendering'))
    already = reading.pop('already_scaled')
    try:
        headers = read_headers(path, band_sets=band_sets, scales=scales, **reading)
    except (ValueError, TypeError, OSError) as error:
        plan.say('warning', f'{error}; such a row is UNREADABLE, and a set of nothing else is '
                 'refused')
        return
    plan.say('bands', f'{",".join(headers.given)}; channels from red to blue '
             f'{headers.plan.channels}')
    plan.say('units', '; '.join(f'{band}: {text or "unknown, estimated from the noise"}'
                                for band, text in headers.units.items()))
    plan.say('pixels', _scale_of(options, False) if already or not headers.pixel_scale else
             f'{headers.pixel_scale:.4g} arcsec a side: the galaxies are measured')


def _scale_of(options, is_column):
    """What is known of the size of the galaxies of a set."""
    if options.already_scaled:
        return "at the model's scale, as given"
    if options.pixel_scale is not None:
        return f'{options.pixel_scale:g} arcsec a side, as given: the galaxies are measured'
    if is_column:
        return 'of pixel_scale_arcsec: the galaxies are measured where it says something'
    return "of unknown size: the cutouts are taken to be at the model's scale"


def _about_device(plan, options, model):
    engine = Engine(**engine_options(options))
    runner = engine.runner(model, 'encoder')
    plan.say('device', f'{runner.device}, {options.precision}, batches of {options.batch_size}'
             + (f', {runner.workers} at a time' if runner.device == 'cpu' else ''))


def _about_output(plan, options, model, n_rows, catalog):
    names = Outputs(**column_options(options)).names(model)
    before = 1 if is_cutout_set(options.images) else 0
    if catalog is not None:
        check_column_names(catalog, names, overwrite=options.overwrite)
        before = len([name for name in catalog.colnames if name not in names])
        if options.output is not None:
            check_writable(catalog, options.output)
    rows = 'a row a source' if n_rows is None else f'{n_rows} rows'
    own = f'{before} and ' if before else ''
    columns = f'{rows}, {own}{len(names)} columns of galvae'
    if options.output is None:
        plan.say('output', f'{columns}; -o OUT is not given')
        return
    kind, _ = output_format(options.output)
    chunks = '' if options.chunk_size is None else f', {options.chunk_size} rows at a time'
    state = '; it exists and is replaced' if Path(options.output).exists() else ''
    plan.say('output', f'{options.output}: {kind}, {columns}{chunks}{state}')
    if options.picture:
        plan.say('picture', options.picture)
