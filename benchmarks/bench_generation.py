# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Reconstructions and samples beside data: how much they look like galaxies, and what they keep.

    bench_generation.py GALAXIES.parquet MODEL [--split test] [--galaxies 2000]
                        [--judge gz2-sdss-v1] [--sheet PNG] [--json OUT]

The smooth decoder and the sharp one of MODEL draw the same latents. Power, features and
neighbours are compared with those of the data; features are those of the JUDGE's encoder, which
took no part in the training of the sharp decoder, before its latents. Two halves of the data are
the floor of every distance. Half of a sheet of pictures is data; its key is in the JSON.
"""

import argparse
import time

import numpy as np
import torch
from _common import add_outputs, composites, split_ids, write_report

from galvae_affiliated import get_model
from galvae_affiliated.models import Encoder
from galvae_affiliated.models.generation import draw_latents
from galvae_affiliated.training.evaluate.images import image_mse, image_ssim
from galvae_affiliated.training.evaluate.pictures import (
    coverage_scores,
    frechet_distance,
    kernel_distance,
    power_distance,
    told_apart,
)
from galvae_affiliated.training.networks.from_bundle import network_of_bundle
from galvae_affiliated.training.networks.preprocess import Preprocess

BATCH = 128
LEAST_NORM_IMAGES = 256
SHEET = 8  # pictures a side


class Judge:
    """Features of a network: means and largest values of its last layer."""

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


def _same_steps(images):
    """Images in the 8-bit steps of the data."""
    return (np.rint(images * 255.0) / 255.0).astype(np.float32)


def _distances(drawn, features, data, data_features):
    scale = data_features.std(axis=0) + 1e-6
    drawn_features, data_features = features / scale, data_features / scale
    accuracy, auc = told_apart(drawn_features, data_features)
    return {'power, dex': power_distance(drawn, data),
            'Frechet distance': frechet_distance(drawn_features, data_features),
            'kernel distance': kernel_distance(drawn_features, data_features),
            **coverage_scores(drawn_features, data_features),
            'told apart, balanced accuracy': accuracy, 'told apart, AUC': auc}


def _kept(encoder, encoding, drawn):
    """What the encoder reads from reconstructions."""
    again = encoder.encode(drawn, reconstruction=False)
    cov = np.cov(encoding.latent.T)
    values, vectors = np.linalg.eigh(cov)
    white = vectors / np.sqrt(np.maximum(values, 1e-2 * values.mean()))
    one, two = (x.latent @ white for x in (again, encoding))
    distance = ((one[:, None] - two[None]) ** 2).sum(2) if len(one) < 500 else _square(one, two)
    nearest = distance.argmin(1) == np.arange(len(one))
    heads = encoder.engine.runner(encoder.model, 'heads')
    votes = [heads({'latent': x.latent}, ['fractions'])[0] for x in (again, encoding)]
    return {'own is nearest': float(nearest.mean()),
            'votes, mean difference': float(np.abs(votes[0] - votes[1]).mean())}


def _square(one, two):
    return (one ** 2).sum(1)[:, None] + (two ** 2).sum(1) - 2.0 * one @ two.T


def _nearest_training(features, training):
    """Median distance of the nearest training galaxy, in features."""
    return float(np.median(np.sqrt(np.maximum(_square(features, training), 0.0).min(1))))


def _draw_sheet(path, drawn, data, rng):
    """A shuffled sheet of data and drawn pictures; returns which are drawn."""
    from PIL import Image

    n = SHEET ** 2 // 2
    both, is_drawn = np.concatenate([drawn[:n], data[:n]]), np.repeat([True, False], n)
    order = rng.permutation(2 * n)
    side = both.shape[-1]
    pixels = np.rint(both[order].transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    lines = pixels.reshape(SHEET, SHEET, side, side, 3).transpose(0, 2, 1, 3, 4)
    Image.fromarray(lines.reshape(SHEET * side, SHEET * side, 3)).save(path)
    return is_drawn[order].tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('model')
    parser.add_argument('--split', default='test')
    parser.add_argument('--galaxies', type=int, default=2000)
    parser.add_argument('--judge', default='gz2-sdss-v1')
    parser.add_argument('--sheet')
    add_outputs(parser, rst=False)
    options = parser.parse_args()
    model = get_model(options.model)
    encoder, rng = Encoder(model, device='cpu'), np.random.default_rng(0)
    images = composites(options.data, model, split_ids(options.data, options.split)
                        [:options.galaxies])
    data = encoder.frames(images)
    encoding = encoder.encode(images, reconstruction=False)
    code = encoding.latent, encoding.pose
    latent, pose = draw_latents(model, len(data), rng)
    judge = Judge(get_model(options.judge), data)
    data_features = judge(data)
    half = len(data) // 2
    report = {'galaxies': len(data), 'floor: halves of the data': _distances(
        data[:half], data_features[:half], data[half:], data_features[half:])}
    kinds = {'smooth': lambda *code: encoder.decode(*code),
             'sharp': lambda *code: encoder.draw(*code, random_state=1)}
    training = split_ids(options.data, 'train')[:options.galaxies]
    training = judge(encoder.frames(composites(options.data, model, training)))
    report['nearest training galaxy of data'] = _nearest_training(data_features, training)
    samples = None
    for name, draw in kinds.items():
        start = time.perf_counter()
        drawn = _same_steps(draw(*code))
        seconds = time.perf_counter() - start
        features = judge(drawn)
        report[f'{name}: reconstructions'] = {
            'mse': image_mse(drawn, data), 'ssim': image_ssim(drawn, data),
            'a second': len(drawn) / seconds, **_distances(drawn, features, data, data_features),
            **_kept(encoder, encoding, drawn)}
        samples = _same_steps(draw(latent, pose))
        features = judge(samples)
        report[f'{name}: samples'] = {
            **_distances(samples, features, data, data_features),
            'nearest training galaxy': _nearest_training(features, training)}
    report['latents told apart, AUC'] = told_apart(latent, encoding.latent)[1]
    if options.sheet:
        report['key of the sheet'] = _draw_sheet(options.sheet, samples, data, rng)
    for name, values in report.items():
        print(name, {key: round(value, 4) for key, value in values.items()}
              if isinstance(values, dict) else values)
    write_report(options, report)


if __name__ == '__main__':
    main()
