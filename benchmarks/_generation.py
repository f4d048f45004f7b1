# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pictures beside data for bench_generation.py: how they are made alike, and what is measured."""

import io

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image, JpegImagePlugin

from galvae_affiliated.models.votes import predict_votes
from galvae_affiliated.training.evaluate.images import image_mse, image_ssim
from galvae_affiliated.training.evaluate.neighbours import nearest_distance, own_is_nearest
from galvae_affiliated.training.evaluate.pictures import (
    coverage_scores,
    frechet_distance,
    kernel_distance,
    octave_distance,
    simple_features,
    told_apart,
)
from galvae_affiliated.training.networks.from_bundle import network_of_bundle
from galvae_affiliated.training.networks.preprocess import Preprocess

BATCH = 128
LEAST_NORM_IMAGES = 256
SMALL = 1e-6  # of a feature's scatter
NEAR_SHARE = 0.01  # of data that are called near to a training galaxy
SHEET = 8  # pictures a side


class Judge:
    """Features of a network: means and largest values of its last layer before the latents."""

    def __init__(self, model, images):
        self.network = network_of_bundle(model, torch.from_numpy(images[:LEAST_NORM_IMAGES]))
        self.preprocess = Preprocess(model.grid)

    @torch.inference_mode()
    def __call__(self, images):
        parts = []
        for batch in torch.from_numpy(images).split(BATCH):
            x = self.network.encoder.seen(self.preprocess(batch)[1])
            parts.append(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))
        return torch.cat(parts).numpy()


class Storage:
    """The steps that the images of a Parquet file went through: 8 bits, and JPEG of its tables."""

    def __init__(self, path):
        with pq.ParquetFile(path) as file:
            first = next(file.iter_batches(1, columns=['image'])).column('image')[0].as_py()
        with Image.open(io.BytesIO(first['bytes'])) as image:
            self.options = {} if image.format != 'JPEG' else {
                'qtables': image.quantization, 'subsampling': JpegImagePlugin.get_sampling(image)}

    def __call__(self, images):
        """(N, 3, H, W) float32 composites as the file would hold them."""
        pixels = np.rint(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)
        if self.options:
            pixels = np.stack([self._again(one) for one in pixels.transpose(0, 2, 3, 1)])
            pixels = pixels.transpose(0, 3, 1, 2)
        return (pixels / 255.0).astype(np.float32)

    def _again(self, pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, 'JPEG', **self.options)
        return np.asarray(Image.open(file))


class Data:
    """Frames of galaxies and their features, which pictures are compared with."""

    def __init__(self, frames, judge, training):
        self.frames, self.judge = frames, judge
        features = judge(frames)
        self.simple = simple_features(frames)
        self.scale = features.std(axis=0) + SMALL
        self.features, self.training = features / self.scale, judge(training) / self.scale
        self.nearest = nearest_distance(self.features, self.training)

    def likeness(self, pictures):
        """How much pictures look like the data."""
        features = self.judge(pictures) / self.scale
        nearest = nearest_distance(features, self.training)
        return {**_distances(simple_features(pictures), features, self.simple, self.features),
                'nearest training galaxy': float(np.median(nearest)),
                'share near to one': float((nearest < self._near).mean())}

    def halves(self):
        """The same of one half of the data beside the other: the floor."""
        half = len(self.frames) // 2
        one, two = ({name: values[rows] for name, values in self.simple.items()}
                    for rows in (slice(half), slice(half, None)))
        return {**_distances(one, self.features[:half], two, self.features[half:]),
                'nearest training galaxy': float(np.median(self.nearest)),
                'share near to one': NEAR_SHARE}

    @property
    def _near(self):
        """Distance to the nearest training galaxy that few of the data fall below."""
        return np.quantile(self.nearest, NEAR_SHARE)


def _distances(simple, features, data_simple, data_features):
    """Measures of two sets, by their simple features and by those of the judge."""
    power = [10.0 ** some['power'] for some in (simple, data_simple)]
    apart = {'features': told_apart(features, data_features)}
    apart |= {name: told_apart(simple[name], data_simple[name]) for name in simple}
    return {'power, dex': octave_distance(*power),
            'Frechet distance': frechet_distance(features, data_features),
            'kernel distance': kernel_distance(features, data_features),
            **coverage_scores(features, data_features),
            'told apart': {name: {'accuracy': accuracy, 'AUC': auc}
                           for name, (accuracy, auc) in apart.items()}}


def kept(encoder, encoding, drawn, data):
    """What reconstructions keep of the images, and what their encoder reads from them."""
    again = encoder.encode(drawn, reconstruction=False)
    shares = own_is_nearest(again.latent, encoding.latent)
    found = {'mse': image_mse(drawn, data), 'ssim': image_ssim(drawn, data),
             **{f'own is nearest, {metric}': share for metric, share in shares.items()}}
    if encoder.model.questions:
        one, two = (predict_votes(x.latent, encoder.model, encoder.engine).fractions
                    for x in (again, encoding))
        found['votes, mean difference'] = float(np.mean(np.concatenate(
            [np.abs(one[name] - two[name]).ravel() for name in one])))
    return found


def draw_sheet(path, drawn, data, rng):
    """A shuffled sheet of data and drawn pictures; returns which are drawn."""
    n = SHEET ** 2 // 2
    both, is_drawn = np.concatenate([drawn[:n], data[:n]]), np.repeat([True, False], n)
    order = rng.permutation(2 * n)
    side = both.shape[-1]
    pixels = np.rint(both[order].transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    lines = pixels.reshape(SHEET, SHEET, side, side, 3).transpose(0, 2, 1, 3, 4)
    Image.fromarray(lines.reshape(SHEET * side, SHEET * side, 3)).save(path)
    return is_drawn[order].tolist()
