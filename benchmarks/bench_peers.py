# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Galaxies a second beside what measures or encodes morphology otherwise, in one run.

    bench_peers.py [--galaxies 200] [--beside MODEL] [--json OUT.json] [--rst OUT.inc]

All start from the same kind of simulated field (``_field.py``; FITS files in three bands, a
catalogue with positions and radii), or from cutouts of it that are ready, and end with a row a
galaxy in memory, in one process and with the same number of threads (one, if not told otherwise).
They take turns, after a run on a few galaxies that is not timed, and medians are given. What each
does:

encode_catalog
    of this package, three bands, with the model that is named; on ``--fast-galaxies``, or its
    start would be much of the time. Votes, latents and flags; the decoder only with reconstruction,
    which the two lines below are without. ``measured radii``: the catalogue has none, so that
    petroR90 is measured. ``detection``: no catalogue; sources are detected and measured.
encode_cutout_set
    of this package, without reconstruction, on a Parquet file of color JPEG pictures at the model's
    scale, which is ready.
photutils
    the r band: a threshold of `N_SIGMA` of the noise, ``detect_sources``, ``deblend_sources`` as it
    comes, and the `PROPERTIES` of ``SourceCatalog`` of the segments that positions lie on.
statmorph
    the same segments, then ``SourceMorphology`` of each, with all that it comes with, a Sersic fit
    included.
Zoobot
    the encoders that it publishes, of timm, on three bands by ``_rivals.py``: the network alone, in
    PyTorch, a galaxy at a time, which on one thread is as fast as batches or faster. The cutouts of
    224 pixels are ready, and weights are random, since only the time is looked at.
Hyrax
    ``infer`` of its own autoencoder with 40 latents, as ``_rivals.py`` sets it up, from FITS files
    of 128 pixels, one a galaxy and band, which are ready, to results that are read again.

Two galaxies of the field may lie on one segment, so a rate is of the rows that were delivered. A
peer that is not installed is named as such and left out: statmorph, photutils, timm, hyrax.
``--beside``
adds a line of another model of this package.
"""

import argparse
import importlib.util
import io
import math
import os
import platform
import sys
import tempfile
import time
import warnings
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from _common import add_outputs, list_table, rounded, text_table, write_report
from _field import NOISE, simulate
from astropy.io import fits
from astropy.table import Table

PIXELS_A_GALAXY = 3200  # of the field, as crowded as that of bench_throughput.py
WARM_UP = 16  # galaxies
N_SIGMA, LEAST_PIXELS = 2.0, 10
PROPERTIES = ('x_centroid', 'y_centroid', 'kron_radius', 'kron_flux', 'semimajor_axis',
              'ellipticity', 'orientation', 'fwhm', 'gini')
INDICES = ('gini', 'm20', 'concentration', 'asymmetry', 'smoothness', 'sersic_n', 'rpetro_circ')
ZOOBOT = ('efficientnet_b0', 'convnext_nano')
VOTES = 'encode_catalog, no reconstruction'  # what the others are compared with
RESULTS = 'latents with errors, vote fractions, flags'


class Ours:
    """
    `~galvae_affiliated.encode_catalog`.

    ``columns`` are those of the catalogue that are given; without any, sources are detected.
    """

    def __init__(self, settings, reconstruction=False, columns=('x', 'y', 'petro_r90')):
        from galvae_affiliated import get_model

        self.model, self.columns = get_model(settings['model']), columns
        self.options = {'reconstruction': reconstruction, 'device': 'cpu',
                        'n_threads': settings['n_threads']}

    def __call__(self, field):
        """Table of the field's galaxies."""
        from galvae_affiliated import encode_catalog

        catalog = Table.read(field.catalog)[list(self.columns)] if self.columns else None
        return encode_catalog(field.images, catalog, self.model, **self.options)


class OurSet(Ours):
    """`~galvae_affiliated.encode_cutout_set`."""

    def prepared(self, field):
        """Path of a Parquet set with the field's galaxies; made once."""
        path = field.folder / 'set.parquet'
        if not path.exists():
            write_set(path, field, self.model)
        return path

    def __call__(self, path):
        """Table of the set's galaxies."""
        from galvae_affiliated import encode_cutout_set

        return encode_cutout_set(path, self.model, already_scaled=True, **self.options)


def write_set(path, field, model):
    """A Parquet set in the layout of Galaxy Zoo: JPEG pictures at the model's scale."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    from galvae_affiliated import make_cutouts

    pictures = []
    for cutout in make_cutouts(field.images, Table.read(field.catalog), model).data:
        # which stretch it is does not matter to the time
        levels = np.nan_to_num(cutout / np.percentile(np.nan_to_num(cutout), 99.5))
        pixels = (255 * levels.clip(0, 1) ** 0.5).astype(np.uint8).transpose(1, 2, 0)
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, 'JPEG', quality=90)
        pictures.append({'bytes': buffer.getvalue()})
    ids = [str(i) for i in range(len(pictures))]
    pq.write_table(pa.table({'id_str': ids, 'image': pictures}), path)


class Photutils:
    """Segmentation, and properties of the segments."""

    def __init__(self, settings):
        pass

    def __call__(self, field):
        """Table of the segments that the positions lie on."""
        from photutils.segmentation import SourceCatalog

        image, segments, labels = segmented(field)
        catalog = SourceCatalog(image, segments).select_labels(labels)
        return catalog.to_table(columns=PROPERTIES)


class Statmorph:
    """Morphology of the same segments by statmorph."""

    def __init__(self, settings):
        pass

    def __call__(self, field):
        """List of (N,) indices of each segment that a position lies on."""
        from statmorph import SourceMorphology

        image, segments, labels = segmented(field)
        weights = np.full(image.shape, NOISE['r'])
        rows = []
        for label in labels:
            found = SourceMorphology(image, segments, label, weightmap=weights)
            rows.append([getattr(found, name) for name in INDICES])
        return rows


class Zoobot:
    """An encoder of timm on cutouts that are ready."""

    def __init__(self, settings, network):
        from _rivals import Zoobot as Encoder

        self.encoder = Encoder({**settings, 'device': 'cpu'}, network)
        self.encoder.batch = 1

    def prepared(self, field):
        """(N, 3, 224, 224) array of the field's galaxies."""
        return self.encoder.arrays(field.images, field.catalog, None)

    def __call__(self, arrays):
        """(N, n_features) array."""
        return self.encoder.latents(arrays)


class Hyrax:
    """Hyrax's ``infer`` on cutouts that are ready."""

    def __init__(self, settings):
        from _rivals import Hyrax as Infer

        self.infer = Infer({**settings, 'device': 'cpu'})

    def prepared(self, field):
        """A folder with FITS files of the field's galaxies."""
        return self.infer.arrays(field.images, field.catalog, None)

    def __call__(self, folder):
        """(N, 40) array."""
        return self.infer.latents(folder)


def segmented(field):
    """The r band, its deblended segments, and the labels of those that a position lies on."""
    from photutils.segmentation import deblend_sources, detect_sources

    image = fits.getdata(field.images['r']).astype(float)
    segments = detect_sources(image, N_SIGMA * NOISE['r'], LEAST_PIXELS)
    segments = deblend_sources(image, segments, LEAST_PIXELS, progress_bar=False)
    catalog = Table.read(field.catalog)
    x, y = (np.round(catalog[name]).astype(int) for name in ('x', 'y'))
    labels = np.unique(np.asarray(segments)[y, x])
    return image, segments, labels[labels > 0]


# title: the libraries that it needs, its maker, whether it is fast, bands, and what it gives
PATHS = {
    'encode_catalog': (
        (), partial(Ours, reconstruction=True), True, 'g, r, z',
        f'{RESULTS}, and how well they reconstruct'),
    VOTES: ((), Ours, True, 'g, r, z', RESULTS),
    'encode_catalog, measured radii': (
        (), partial(Ours, columns=('x', 'y')), True, 'g, r, z', f'{RESULTS}, petroR90'),
    'encode_catalog, detection': (
        (), partial(Ours, columns=()), True, 'g, r, z', f'{RESULTS}, petroR90, sources'),
    'encode_cutout_set': ((), OurSet, True, 'g, r, z', f'{RESULTS}, of ready pictures'),
    'photutils': (
        ('photutils',), Photutils, False, 'r', 'Kron radius, ellipticity, FWHM, Gini'),
    'statmorph': (
        ('photutils', 'statmorph'), Statmorph, False, 'r',
        'Gini, M20, CAS, Sersic fit and others'),
    **{f'Zoobot: {name}': (
        ('torch', 'sklearn', 'timm'), partial(Zoobot, network=name), False, 'g, r, z',
        'features of ready cutouts, no votes') for name in ZOOBOT},
    'Hyrax: infer': (
        ('torch', 'hyrax'), Hyrax, False, 'g, r, z', 'latents of ready cutouts, no votes'),
}


def missing(libraries):
    """The first library that is not installed, or None."""
    return next((name for name in libraries if importlib.util.find_spec(name) is None), None)


def timed(path, field):
    """Rows that a path gives of a field, and its seconds; what it has prepared is not in them."""
    given = path.prepared(field) if hasattr(path, 'prepared') else field
    start = time.perf_counter()
    n_rows = len(path(given))
    return {'rows': n_rows, 'seconds': time.perf_counter() - start}


def rate(entry):
    """Galaxies a second: the median of repeated runs."""
    return median(run['rows'] / run['seconds'] for run in entry['runs'])


def measure(settings, folder):
    """Path to its runs, or to the library that is missing."""
    def field(n_galaxies):
        return simulate(folder, math.ceil(math.sqrt(n_galaxies * PIXELS_A_GALAXY)), n_galaxies)

    known, found, paths = dict(PATHS), {}, {}
    if settings.get('beside'):
        _, _, *about = PATHS[VOTES]
        other = {**settings, 'model': settings['beside']}
        known[f'{VOTES}, {_model_name(other)}'] = (), lambda _: Ours(other), *about
    for title, (libraries, make, *_, bands, gives) in known.items():
        lacks = missing(libraries)
        found[title] = {'bands': bands, 'gives': gives,
                        **({'missing': lacks} if lacks else {'runs': []})}
        if not lacks:
            paths[title] = make(settings)
            timed(paths[title], field(WARM_UP))
    for repeat in range(settings['repeats']):
        for title, path in paths.items():
            number = settings['fast_galaxies' if known[title][2] else 'galaxies']
            run = timed(path, field(number))
            found[title]['runs'].append({'galaxies': number, **run})
            print(f'{repeat + 1}: {title}: {run["rows"] / run["seconds"]:.4g} a second',
                  file=sys.stderr, flush=True)
    return found


def one_number_of_threads(n_threads):
    """A context in which the libraries of linear algebra have so many threads."""
    if missing(['threadpoolctl']):
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(n_threads)


def machine(settings):
    """What the figures are of."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    libraries = ('numpy', 'onnxruntime', 'onnxruntime-gpu', 'photutils', 'statmorph', 'torch',
                 'timm', 'hyrax')
    return {'processor': models[0] if models else platform.processor(),
            'python': platform.python_version(), **settings,
            'model': _model_name(settings),
            'load': rounded(os.getloadavg()[0]) if hasattr(os, 'getloadavg') else None,
            'libraries': {name: version(name) for name in libraries if _has(name)}}


def _model_name(settings):
    """Of the model that the settings name."""
    from galvae_affiliated import get_model

    return get_model(settings['model']).name


def _has(name):
    """Whether a distribution is installed."""
    try:
        return bool(version(name))
    except ImportError:
        return False


def table(found):
    """Title, header and rows; the fastest first."""
    there = {title: entry for title, entry in found.items() if 'runs' in entry}
    rows = [[title, f'{entry["gives"]} ({entry["bands"]})', f'{rate(entry):.3g}',
             f'{rate(there[VOTES]) / rate(entry):.3g}']
            for title, entry in sorted(there.items(), key=lambda item: -rate(item[1]))]
    return ('Beside what is used otherwise',
            ['path', 'gives (from bands)', 'galaxies a second',
             f'times as long as {VOTES}'], rows)


def conditions(about, found):
    """Lines on the run, in reStructuredText."""
    count = about['n_threads']
    line = (f'{about["processor"]}, {count} thread{"s" if count != 1 else ""}, model '
            f'``{about["model"]}``; {about["galaxies"]} galaxies, {about["fast_galaxies"]} for '
            f'this package; medians of {about["repeats"]}.')
    if about.get('load') is not None:
        line += f' The load of the machine was {about["load"]:.1f} when it began.'
    lacks = [f'{title} ({entry["missing"]})' for title, entry in found.items()
             if 'missing' in entry]
    return line + (f' Not installed, so left out: {", ".join(lacks)}.' if lacks else '') + '\n'


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--galaxies', type=int, default=200, help='of the field of the others')
    add('--fast-galaxies', type=int, default=2000, help='of the field of encode_catalog')
    add('--repeats', type=int, default=3)
    add('--n-threads', type=int, default=1, help='of every path')
    add('--model', help='name or file; the default model if left out')
    add('--beside', metavar='MODEL', help='another model, which gets a line too')
    add_outputs(parser)
    options = parser.parse_args(arguments)
    for name in ('galaxies', 'fast_galaxies', 'repeats', 'n_threads'):
        if getattr(options, name) < 1:
            parser.error(f'--{name.replace("_", "-")} is {getattr(options, name)}; expected one '
                         'or more')
    names = ('galaxies', 'fast_galaxies', 'repeats', 'n_threads', 'model')
    settings = {name: getattr(options, name) for name in names}
    about = machine(settings)
    settings['beside'] = options.beside
    with (tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(),
          one_number_of_threads(options.n_threads)):
        warnings.simplefilter('ignore')  # of fits to noise and to neighbours
        found = measure(settings, folder)
    made = table(found)
    print(text_table(*made))
    print(conditions(about, found))
    text = f'{list_table(*made, compact=True)}\n{conditions(about, found)}'
    write_report(options, rounded({'machine': about, 'paths': found}), text, Path(__file__).name)


if __name__ == '__main__':
    main()
