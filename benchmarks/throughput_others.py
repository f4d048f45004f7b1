# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Other packages, from cutouts to latents, where they are installed: encoders as Zoobot has them, and Hyrax's ``infer``.

Zoobot (Walmsley et al. 2023) publishes encoders of timm; these are the same architectures with random weights, in
PyTorch eager, on arrays of 224 pixels a side that are ready: its transforms and file reading are left out. Hyrax reads
a FITS file a cutout and band, so that this, and the results that it writes, are in its time; its network is its own
``HyraxAutoencoderV2``, with 40 latents and otherwise as it comes, which trains on a few cutouts for an epoch beforehand
because ``infer`` takes its weights from a file. It neither trains well nor has to.
"""

import logging
import tempfile
from pathlib import Path

import numpy as np
import torch
from astropy.io import fits
from astropy.table import Table
from throughput_field import BANDS
from throughput_torch import BATCH, Mosaic, arcsinh, enlarged, set_threads

FIELD_OF_VIEW = 5.12  # petroR90, as our model has it
ZOOBOT_SIDE, HYRAX_SIDE, N_LATENTS = 224, 128, 40


class Zoobot:
    """
    An encoder of timm.

    Parameters
    ----------
    settings : dict
        See `throughput_torch.Plain`.
    network : str
        timm's name of it.
    """

    def __init__(self, settings, network):
        import timm

        self.device = set_threads(settings)
        self.encoder = timm.create_model(network, pretrained=False, num_classes=0).eval().to(self.device)

    def arrays(self, images, catalog, n_rows):
        """(N, 3, 224, 224) float32 array in [0, 1]."""
        return np.concatenate([arcsinh(cutout[None]) for cutout in cutouts(images, catalog, n_rows, ZOOBOT_SIDE)])

    @torch.inference_mode()
    def latents(self, arrays):
        """(N, n_features) array."""
        parts = [self.encoder(torch.from_numpy(arrays[i:i + BATCH]).to(self.device)).cpu()
                 for i in range(0, len(arrays), BATCH)]
        return torch.cat(parts).numpy()


class Hyrax:
    """
    Hyrax's ``infer``.

    Parameters
    ----------
    settings : dict
        See `throughput_torch.Plain`.
    """

    def __init__(self, settings):
        import hyrax

        set_threads(settings)
        # it says what it does at length
        logging.disable(logging.WARNING)
        self.folder = tempfile.TemporaryDirectory()
        self.hyrax = hyrax.Hyrax()
        for key, value in {'model.name': 'HyraxAutoencoderV2', 'model.HyraxAutoencoderV2.latent_dim': N_LATENTS,
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
        for number, cutout in enumerate(cutouts(images, catalog, n_rows, HYRAX_SIDE)):
            for band, plane in zip(BANDS[::-1], cutout):
                fits.PrimaryHDU(plane).writeto(folder / f'{number}-{band}.fits')
                files.append((number, band, f'{number}-{band}.fits'))
        Table(rows=files, names=('object_id', 'filter', 'filename')).write(folder / 'catalog.fits')
        self.n_sets += 1
        if self.n_sets == 1:
            self.use(folder)
            self.hyrax.train()
        return folder

    def latents(self, arrays):
        """(N, n_latents) array."""
        self.use(arrays)
        result = self.hyrax.infer()
        return np.array([result[i]['data'] for i in range(len(result))])

    def use(self, folder):
        """Point Hyrax at a folder of cutouts."""
        self.hyrax.set_config('data_set.filter_catalog', str(folder / 'catalog.fits'))
        data = {'dataset_class': 'FitsImageDataset', 'data_location': str(folder), 'primary_id_field': 'object_id',
                'fields': ['image']}
        self.hyrax.set_config('data_request', {group: {'data': data} for group in ('train', 'infer')})


def cutouts(images, catalog, n_rows, side):
    """Yield the (3, side, side) flux of sources, from red to blue."""
    with Mosaic(images, BANDS[::-1]) as mosaic:
        for source in Table.read(catalog)[:n_rows]:
            yield enlarged(mosaic.cutout(source, FIELD_OF_VIEW * source['petro_r90']), side, order=1)
