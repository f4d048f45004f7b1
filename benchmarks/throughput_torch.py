# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What would be done without this package, in PyTorch: a plain loop, and the path of Xu et al. (2023).

Both are written here from nothing but what is published, and have random weights: only their time is looked at. What
is ours, and rather too kind than too harsh to them:

The plain loop runs the network and the rendering of the model that it is compared with, as they stand in
``galvae_affiliated.training``, with one vote head where the model averages several. ``plain`` is what one writes first:
a source at a time, cutouts enlarged as ``scipy.ndimage.zoom`` does if it is not told otherwise (a cubic spline), zero
where there is no image. ``plain, batches`` is what one makes of it when it is too slow: batches of 64 and linear
interpolation (``order=1``, a third of the time).

The path of the paper (MNRAS 526, 6391) has the layers of its network, which reads three bands of 256 pixels a side, 40
latents, and a random forest a question. ``paper`` enlarges cutouts of the same galaxies, 5.12 petroR90 a side, to these
256 pixels by linear interpolation, stretches all bands at once with an arcsinh of their mean (Lupton et al. 2004), and
has forests of 100 trees, the default of scikit-learn: all three are ours. ``paper, its code`` follows what its authors
published (github.com/xuquanfeng/Galaxy_VAE, transfer/stretch.py and RF_class_.ipynb): 256 pixels of the survey without
enlarging, each band brought to [0, 1], the darkest thousandth cut off by a histogram of 65,536 bins, a midtones
transfer function that brings the median to about one eighth, and 5 trees. Batches of 64 are ours in both (their
training has 512 or 128), forests answer all galaxies at once, and they are fitted beforehand on as many galaxies as the
smallest of their sets has, with random answers.
"""

from types import SimpleNamespace

import numpy as np
import torch
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.table import Table
from scipy.ndimage import zoom
from sklearn.ensemble import RandomForestClassifier
from throughput_field import BANDS

from galvae_affiliated import get_model
from galvae_affiliated.training.config import TrainingConfig
from galvae_affiliated.training.networks.model import GalaxyVAE
from galvae_affiliated.training.networks.preprocess import Preprocess, Rendering
from galvae_affiliated.training.networks.vote_heads import VoteHeads
from galvae_affiliated.training.networks.xu2023 import XuEncoder

BATCH = 64
XU_SIDE, XU_LATENTS = 256, 40
TREES, PUBLISHED_TREES, FITTED_ON = 100, 5, 225
SOFTENING = 0.1  # nanomaggies a pixel; of the arcsinh
BINS, DARKEST, MEDIAN = 65536, 0.001, 1 / 8  # of the published stretch
LEAST_MIDDLE = 1e-6  # where a band is all of one value, which the published code refuses


class Plain:
    """
    A loop over the sources.

    Parameters
    ----------
    settings : dict
        ``model``, ``device`` and ``n_threads``; see `throughput_paths.Ours`.
    batch : int, optional
        Sources a call of the network.
    order : int, optional
        Of the spline by which cutouts are enlarged.
    """

    def __init__(self, settings, batch=1, order=3):
        self.batch, self.order, self.device = batch, order, set_threads(settings)
        bundle = get_model(settings['model'])
        self.grid, self.field_of_view = bundle.grid, bundle.field_of_view
        self.rendering = next(i for i, entry in enumerate(bundle.renderings)
                              if entry['kind'] == 'flux' and set(entry['bands']) == set(BANDS))
        self.bands = bundle.renderings[self.rendering]['bands']
        config = training_config(bundle)
        n_answers = [len(answers) for answers in bundle.questions.values()]
        # of all that is trained the encoder alone is kept
        self.encoder = GalaxyVAE(config, n_answers).encoder.eval().to(self.device)
        self.render = Rendering(bundle.renderings).to(self.device)
        self.preprocess = Preprocess(self.grid).to(self.device)
        self.heads = VoteHeads(config.n_latents, n_answers).eval().to(self.device)

    def table(self, images, catalog, n_rows=None):
        """Encode; see `throughput_paths.Ours`."""
        sources, rows = Table.read(catalog)[:n_rows], []
        with Mosaic(images, self.bands) as mosaic:
            for start in range(0, len(sources), self.batch):
                some = sources[start:start + self.batch]
                cutouts = np.stack([self.cutout(mosaic, source) for source in some])
                latents = self.network(cutouts)
                fractions = self.heads_of(latents)
                for source, latent, fraction in zip(some, latents.cpu().numpy(), fractions):
                    rows.append((source['id'], latent, fraction))
        return Table(rows=rows, names=('id', 'latent', 'fractions'))

    def arrays(self, images, catalog, n_rows):
        """(N, 3, grid, grid) float32 array of flux, from red to blue."""
        with Mosaic(images, self.bands) as mosaic:
            return np.stack([self.cutout(mosaic, source) for source in Table.read(catalog)[:n_rows]])

    def latents(self, arrays):
        """(N, n_latents) array."""
        parts = [self.network(arrays[i:i + self.batch]).cpu() for i in range(0, len(arrays), self.batch)]
        return torch.cat(parts).numpy()

    def cutout(self, mosaic, source):
        """(3, grid, grid) surface brightness of one source."""
        cutout = mosaic.cutout(source, self.field_of_view * source['petro_r90'])
        return enlarged(cutout, self.grid, self.order) / mosaic.pixel_area

    @torch.inference_mode()
    def network(self, cutouts):
        """Latents of a batch, on the device."""
        image = torch.from_numpy(cutouts).to(self.device)
        rendering = torch.full((len(image),), self.rendering, device=self.device)
        _, normalised, _ = self.preprocess(self.render(image, rendering))
        return self.encoder(normalised)[0][:, :self.encoder.n_latents]

    @torch.inference_mode()
    def heads_of(self, latents):
        """Vote fractions of a batch."""
        return self.heads(latents).cpu().numpy()


class Paper:
    """
    The path of Xu et al. (2023).

    Parameters
    ----------
    settings : dict
        See `Plain`.
    published : bool, optional
        Stretch, scale of the cutouts and trees of the code that its authors published.
    """

    def __init__(self, settings, published=False):
        self.published, self.device = published, set_threads(settings)
        bundle = get_model(settings['model'])
        self.field_of_view, questions = bundle.field_of_view, bundle.questions
        config = SimpleNamespace(grid=XU_SIDE, n_latents=XU_LATENTS, n_pose=0)
        self.encoder = XuEncoder(config).eval().to(self.device)
        # what enlarges a smaller grid has nothing to do here
        self.encoder.features[0] = torch.nn.Identity()
        rng = np.random.default_rng(0)
        fitted_on = rng.standard_normal((FITTED_ON, XU_LATENTS), dtype=np.float32)
        self.forests = {question: RandomForestClassifier(PUBLISHED_TREES if published else TREES, random_state=0,
                                                         class_weight='balanced', n_jobs=settings['n_threads'])
                        .fit(fitted_on, rng.integers(len(answers), size=FITTED_ON))
                        for question, answers in questions.items()}

    def table(self, images, catalog, n_rows=None):
        """Encode; see `throughput_paths.Ours`."""
        sources, parts = Table.read(catalog)[:n_rows], []
        with Mosaic(images, BANDS[::-1]) as mosaic:
            for start in range(0, len(sources), BATCH):
                cutouts = [self.cutout(mosaic, source) for source in sources[start:start + BATCH]]
                parts.append(self.network(np.stack(cutouts)))
        latents = np.concatenate(parts)
        table = Table({'id': sources['id'], 'latent': latents})
        for question, forest in self.forests.items():
            table[question] = forest.predict_proba(latents)
        return table

    def arrays(self, images, catalog, n_rows):
        """(N, 3, 256, 256) float32 array of flux, which is not stretched yet."""
        with Mosaic(images, BANDS[::-1]) as mosaic:
            return np.stack([self.cutout(mosaic, source) for source in Table.read(catalog)[:n_rows]])

    def latents(self, arrays):
        """(N, 40) array."""
        return np.concatenate([self.network(arrays[i:i + BATCH]) for i in range(0, len(arrays), BATCH)])

    def cutout(self, mosaic, source):
        """(3, 256, 256) flux of one source."""
        if self.published:
            return mosaic.cutout(source, XU_SIDE)
        return enlarged(mosaic.cutout(source, self.field_of_view * source['petro_r90']), XU_SIDE, order=1)

    @torch.inference_mode()
    def network(self, cutouts):
        """(N, 40) latents of a batch of flux."""
        images = np.stack([midtones(image) for image in cutouts]) if self.published else arcsinh(cutouts)
        return self.encoder(torch.from_numpy(images).to(self.device))[0].cpu().numpy()


class Mosaic:
    """
    Memory-mapped images, open as long as the context is.

    Parameters
    ----------
    images : dict of str to str
        Band to FITS file.
    bands : sequence of str
        Order of the planes that are cut out.
    """

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
        cutouts = [Cutout2D(plane, (source['x'], source['y']), int(round(side)), mode='partial', fill_value=np.nan).data
                   for plane in self.planes]
        return np.nan_to_num(np.array(cutouts, dtype=np.float32))


def set_threads(settings):
    """Threads of PyTorch as all paths have them; returns its device."""
    torch.set_num_threads(settings['n_threads'])
    return torch.device(settings['device'])


def training_config(bundle):
    """The configuration that the bundle says it was trained by; what is newer than the bundle has its default."""
    known = bundle.manifest.get('training', {}).get('config')
    if known is None:
        raise ValueError(f'the model {bundle.name} does not say how it was trained, so its network cannot be built')
    return SimpleNamespace(**{**vars(TrainingConfig()), **known})


def enlarged(cutout, side, order):
    """(3, side, side) from (3, h, w), a band at a time, by a spline of this order."""
    return np.stack([zoom(band, side / len(band), order=order, grid_mode=True, mode='nearest') for band in cutout])


def arcsinh(flux):
    """(N, 3, h, w) flux to [0, 1]; colours are kept."""
    intensity = np.clip(flux.mean(axis=1, keepdims=True), 1e-6, None) / np.float32(SOFTENING)
    return np.clip(flux * (np.arcsinh(intensity) / (intensity * np.float32(SOFTENING) * 6)), 0, 1)


def midtones(image):
    """One (3, h, w) image as the published code stretches it."""
    low, high = (edge(image, axis=(1, 2), keepdims=True) for edge in (np.min, np.max))
    image = (image - low) / np.maximum(high - low, np.float32(1e-12))
    return np.clip(np.stack([stretched(band) for band in image]), 0, 1).astype(np.float32)


def stretched(band):
    """One band in [0, 1], its shadows cut off and its median brought to `MEDIAN`."""
    counts, edges = np.histogram(band, bins=BINS)
    shadow = edges[np.argmax(counts.cumsum() > DARKEST * band.size)]
    middle = max(np.median(band) - shadow, LEAST_MIDDLE)
    band = np.maximum(band, shadow)
    band = (band - band.min()) / max(np.ptp(band), 1e-12)
    return transfer(band, max(middle * np.median(transfer(band, middle)) / MEDIAN, LEAST_MIDDLE))


def transfer(band, middle):
    """The midtones transfer function: zero and one stay, ``middle`` becomes one half."""
    return (middle - 1) * band / ((2 * middle - 1) * band - middle)
