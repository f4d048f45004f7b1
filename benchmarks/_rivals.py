# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What would be done without this package, in PyTorch.

All are written here from nothing but what is published, and have random weights: only their time is
looked at. What is ours, and rather too kind than too harsh to them:

The plain loop runs the network and the rendering of the model that it is compared with, as they
stand in ``galvae_affiliated.training``, with one vote head where the model averages several.
``plain`` is what one writes first: a source at a time, cutouts enlarged as ``scipy.ndimage.zoom``
does by default (a cubic spline), zero where there is no image. ``plain, batches`` is what one makes
of it when it is too slow: batches of 64, linear interpolation (``order=1``, a third of the time).

The path of Xu et al. (2023, MNRAS 526, 6391) has the layers of its network, which reads three bands
of 256 pixels a side, 40 latents, and a random forest a question. ``paper`` enlarges cutouts of the
same galaxies, 5.12 petroR90 a side, to these 256 pixels by linear interpolation, stretches all
bands at once with an arcsinh of their mean (Lupton et al. 2004), and has forests of 100 trees, the
default of scikit-learn: all three are ours. ``paper, its code`` follows what its authors published
(github.com/xuquanfeng/Galaxy_VAE, transfer/stretch.py and RF_class_.ipynb): 256 pixels of the
survey without enlarging, each band brought to [0, 1], the darkest thousandth cut off by a histogram
of 65,536 bins, a midtones transfer function that brings the median to about one eighth, and 5
trees. Batches of 64 are ours in both (their training has 512 or 128), forests answer all galaxies
at once, and they are fitted beforehand on as many galaxies as the smallest of their sets has, with
random answers.

Zoobot (Walmsley et al. 2023) publishes encoders of timm; these are the same architectures in
PyTorch eager, on arrays of 224 pixels a side that are ready: its transforms and file reading are
left out. Hyrax reads a FITS file a cutout and band, so that this, and the results that it writes,
are in its time; its network is its own ``HyraxAutoencoderV2``, with 40 latents and otherwise as it
comes, which trains on a few cutouts for an epoch beforehand because ``infer`` takes its weights
from a file. It neither trains well nor has to.
"""

import logging
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from _field import BANDS
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.table import Table
from scipy.ndimage import zoom
from sklearn.ensemble import RandomForestClassifier

from galvae_affiliated import get_model
from galvae_affiliated.training.config import ModelConfig
from galvae_affiliated.training.networks.model import GalaxyVAE
from galvae_affiliated.training.networks.preprocess import Preprocess, Rendering
from galvae_affiliated.training.networks.vote_heads import VoteHeads
from galvae_affiliated.training.networks.xu2023 import XuEncoder

BATCH = 64
FIELD_OF_VIEW = 5.12  # petroR90, as our model has it
XU_SIDE, ZOOBOT_SIDE, HYRAX_SIDE, N_LATENTS = 256, 224, 128, 40
TREES, PUBLISHED_TREES, FITTED_ON = 100, 5, 225
SOFTENING = 0.1  # nanomaggies a pixel; of the arcsinh
BINS, DARKEST, MEDIAN = 65536, 0.001, 1 / 8  # of the published stretch
LEAST_MIDDLE = 1e-6  # where a band is all of one value, which the published code refuses


class _Loop:
    """What the loops share; each has ``bands``, ``batch``, ``_cutout`` and ``_network``."""

    bands, batch = BANDS[::-1], BATCH

    def arrays(self, images, catalog, n_rows):
        """(N, 3, side, side) float32 array of flux, from red to blue."""
        with Mosaic(images, self.bands) as mosaic:
            return np.stack([self._cutout(mosaic, one) for one in Table.read(catalog)[:n_rows]])

    def latents(self, arrays):
        """(N, n_latents) array."""
        return np.concatenate([self._network(batch) for batch in _batches(arrays, self.batch)])

    def table(self, images, catalog, n_rows=None):
        """Encode; see `bench_throughput.Ours`."""
        sources, latents, votes = Table.read(catalog)[:n_rows], [], []
        with Mosaic(images, self.bands) as mosaic:
            for some in _batches(sources, self.batch):
                cutouts = np.stack([self._cutout(mosaic, one) for one in some])
                latents.append(self._network(cutouts))
                votes.append(self._votes(latents[-1]))
        latents = np.concatenate(latents)
        return Table({'id': sources['id'], 'latent': latents, **self._columns(latents, votes)})

    def _votes(self, latents):
        """Of one batch, where they are made so."""

    def _columns(self, latents, votes):
        """Name to values of all sources."""
        return {'fractions': np.concatenate(votes)}


class Plain(_Loop):
    """A loop over the sources; ``order`` is of the spline by which cutouts are enlarged."""

    def __init__(self, settings, batch=1, order=3):
        self.batch, self.order, self.device = batch, order, _set_threads(settings)
        bundle = get_model(settings['model'])
        self.grid, self.field_of_view = bundle.grid, bundle.field_of_view
        renderings = bundle.frame.renderings
        self.rendering = next(i for i, entry in enumerate(renderings)
                              if entry.kind == 'flux' and set(entry.bands) == set(BANDS))
        self.bands = renderings[self.rendering].bands
        n_answers = [len(answers) for answers in bundle.questions.values()]
        # of all that is trained the encoder alone is kept
        network = GalaxyVAE(_model_config(bundle), n_answers)
        self.encoder = network.encoder.eval().to(self.device)
        self.render = Rendering(bundle.manifest.raw['renderings']).to(self.device)
        self.preprocess = Preprocess(self.grid).to(self.device)
        self.heads = VoteHeads(bundle.n_latents, n_answers).eval().to(self.device)

    def _cutout(self, mosaic, source):
        """(3, grid, grid) surface brightness of one source."""
        cutout = mosaic.cutout(source, self.field_of_view * source['petro_r90'])
        return _enlarged(cutout, self.grid, self.order) / mosaic.pixel_area

    @torch.inference_mode()
    def _network(self, cutouts):
        """Latents of a batch."""
        image = torch.from_numpy(cutouts).to(self.device)
        rendering = torch.full((len(image),), self.rendering, device=self.device)
        _, normalised, _ = self.preprocess(self.render(image, rendering))
        return self.encoder(normalised)[0][:, :self.encoder.n_latents].cpu().numpy()

    @torch.inference_mode()
    def _votes(self, latents):
        return self.heads(torch.from_numpy(latents).to(self.device)).cpu().numpy()


class Paper(_Loop):
    """The path of Xu et al. (2023), with stretch, scale and trees as ``published`` or ours."""

    def __init__(self, settings, published=False):
        self.published, self.device = published, _set_threads(settings)
        bundle = get_model(settings['model'])
        self.field_of_view = bundle.field_of_view
        config = SimpleNamespace(grid=XU_SIDE, n_latents=N_LATENTS, n_pose=0)
        self.encoder = XuEncoder(config).eval().to(self.device)
        # what enlarges a smaller grid has nothing to do here
        self.encoder.features[0] = torch.nn.Identity()
        rng = np.random.default_rng(0)
        fitted_on = rng.standard_normal((FITTED_ON, N_LATENTS), dtype=np.float32)
        forest = {'n_estimators': PUBLISHED_TREES if published else TREES, 'random_state': 0,
                  'class_weight': 'balanced', 'n_jobs': settings['n_threads']}
        self.forests = {}
        for question, answers in bundle.questions.items():
            labels = rng.integers(len(answers), size=FITTED_ON)
            self.forests[question] = RandomForestClassifier(**forest).fit(fitted_on, labels)

    def _cutout(self, mosaic, source):
        """(3, 256, 256) flux of one source, which is not stretched yet."""
        if self.published:
            return mosaic.cutout(source, XU_SIDE)
        cutout = mosaic.cutout(source, self.field_of_view * source['petro_r90'])
        return _enlarged(cutout, XU_SIDE, order=1)

    @torch.inference_mode()
    def _network(self, cutouts):
        """(N, 40) latents of a batch of flux."""
        if self.published:
            images = np.stack([published_stretch(image) for image in cutouts])
        else:
            images = _arcsinh(cutouts)
        return self.encoder(torch.from_numpy(images).to(self.device))[0].cpu().numpy()

    def _columns(self, latents, votes):
        return {name: forest.predict_proba(latents) for name, forest in self.forests.items()}


class Zoobot(_Loop):
    """An encoder of timm by its name, on (N, 3, 224, 224) arrays in [0, 1]."""

    def __init__(self, settings, network):
        import timm

        self.device = _set_threads(settings)
        self.encoder = timm.create_model(network, pretrained=False, num_classes=0)
        self.encoder.eval().to(self.device)

    def _cutout(self, mosaic, source):
        return _arcsinh(_standard_cutout(mosaic, source, ZOOBOT_SIDE)[None])[0]

    @torch.inference_mode()
    def _network(self, cutouts):
        return self.encoder(torch.from_numpy(cutouts).to(self.device)).cpu().numpy()


class Hyrax:
    """Hyrax's ``infer``."""

    def __init__(self, settings):
        import hyrax

        _set_threads(settings)
        # it says what it does at length
        logging.disable(logging.WARNING)
        self.folder = tempfile.TemporaryDirectory()
        self.hyrax = hyrax.Hyrax()
        for key, value in {'model.name': 'HyraxAutoencoderV2',
                           'model.HyraxAutoencoderV2.latent_dim': N_LATENTS,
                           'general.results_dir': str(Path(self.folder.name) / 'results'),
                           'data_set.crop_to': [HYRAX_SIDE] * 2, 'data_set.use_cache': False,
                           'train.epochs': 1}.items():
            self.hyrax.set_config(key, value)
        self.n_sets = 0

    def arrays(self, images, catalog, n_rows):
        """A folder with the cutouts as Hyrax reads them; the first one is trained on."""
        folder = Path(self.folder.name) / f'cutouts-{self.n_sets}'
        folder.mkdir()
        files = []
        with Mosaic(images, BANDS[::-1]) as mosaic:
            for number, source in enumerate(Table.read(catalog)[:n_rows]):
                for band, plane in zip(BANDS[::-1], _standard_cutout(mosaic, source, HYRAX_SIDE)):
                    fits.PrimaryHDU(plane).writeto(folder / f'{number}-{band}.fits')
                    files.append((number, band, f'{number}-{band}.fits'))
        names = ('object_id', 'filter', 'filename')
        Table(rows=files, names=names).write(folder / 'catalog.fits')
        self.n_sets += 1
        if self.n_sets == 1:
            self._use(folder)
            self.hyrax.train()
        return folder

    def latents(self, arrays):
        """(N, n_latents) array."""
        self._use(arrays)
        result = self.hyrax.infer()
        return np.array([result[i]['data'] for i in range(len(result))])

    def _use(self, folder):
        """Point Hyrax at a folder of cutouts."""
        self.hyrax.set_config('data_set.filter_catalog', str(folder / 'catalog.fits'))
        data = {'dataset_class': 'FitsImageDataset', 'data_location': str(folder),
                'primary_id_field': 'object_id', 'fields': ['image']}
        groups = {group: {'data': data} for group in ('train', 'infer')}
        self.hyrax.set_config('data_request', groups)


class Mosaic:
    """Memory-mapped images, open as long as the context is; planes in the order of ``bands``."""

    def __init__(self, images, bands):
        self.files = [fits.open(images[band]) for band in bands]
        self.planes = [file[0].data for file in self.files]
        self.pixel_area = np.float32((self.files[0][0].header['CDELT2'] * 3600) ** 2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for file in self.files:
            file.close()

    def cutout(self, source, side):
        """(3, h, w) float32 array around a source, zero where there is no image."""
        position, side = (source['x'], source['y']), int(round(side))
        cutouts = [Cutout2D(plane, position, side, mode='partial', fill_value=np.nan).data
                   for plane in self.planes]
        return np.nan_to_num(np.array(cutouts, dtype=np.float32))


def published_stretch(image):
    """One (3, h, w) image as the published code of Xu et al. (2023) stretches it."""
    low, high = (edge(image, axis=(1, 2), keepdims=True) for edge in (np.min, np.max))
    image = (image - low) / np.maximum(high - low, np.float32(1e-12))
    return np.clip(np.stack([_stretched_band(band) for band in image]), 0, 1).astype(np.float32)


def midtones_transfer(band, middle):
    """The midtones transfer function: zero and one stay, ``middle`` becomes one half."""
    return (middle - 1) * band / ((2 * middle - 1) * band - middle)


def _stretched_band(band):
    """One band in [0, 1], its shadows cut off and its median brought to `MEDIAN`."""
    counts, edges = np.histogram(band, bins=BINS)
    shadow = edges[np.argmax(counts.cumsum() > DARKEST * band.size)]
    middle = max(np.median(band) - shadow, LEAST_MIDDLE)
    band = np.maximum(band, shadow)
    band = (band - band.min()) / max(np.ptp(band), 1e-12)
    factor = middle * np.median(midtones_transfer(band, middle)) / MEDIAN
    return midtones_transfer(band, max(factor, LEAST_MIDDLE))


def _arcsinh(flux):
    """(N, 3, h, w) flux to [0, 1]; colours are kept."""
    softening = np.float32(SOFTENING)
    intensity = np.clip(flux.mean(axis=1, keepdims=True), 1e-6, None) / softening
    return np.clip(flux * (np.arcsinh(intensity) / (intensity * softening * 6)), 0, 1)


def _enlarged(cutout, side, order):
    """(3, side, side) from (3, h, w), a band at a time, by a spline of this order."""
    return np.stack([zoom(band, side / len(band), order=order, grid_mode=True, mode='nearest')
                     for band in cutout])


def _standard_cutout(mosaic, source, side):
    """(3, side, side) flux of a source, as wide as our model has it."""
    return _enlarged(mosaic.cutout(source, FIELD_OF_VIEW * source['petro_r90']), side, order=1)


def _batches(rows, size):
    """Slices of an array or a table."""
    return (rows[start:start + size] for start in range(0, len(rows), size))


def _set_threads(settings):
    """Threads of PyTorch as all paths have them; returns its device."""
    torch.set_num_threads(settings['n_threads'])
    return torch.device(settings['device'])


def _model_config(bundle):
    """The network that a bundle was trained with; what is newer than it has its default."""
    known = bundle.manifest.get('training', {}).get('config')
    if known is None:
        raise ValueError(f'the model {bundle.name} does not state how it was trained, so its '
                         'network cannot be built')
    known = known.get('model', known)  # by sections, or without
    return ModelConfig(**{name: known[name] for name in ModelConfig.model_fields if name in known})
