# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Simulated galaxies as two surveys show them, on the grid of the tiny model."""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from training_sets import GRID, QUESTIONS, galaxy, tiny, write_parquet

from galvae_affiliated.training.adapt.images import SurveyImages

COLOUR = np.array([1.0, 0.8, 0.6])
SKY = 0.06  # above the noise: little is cut off at zero
# of the target: standard deviation of its blur in pixels, factors of its channels, noise
BLUR, GAIN, NOISE = 1.2, np.array([0.6, 0.9, 1.3]), 0.03


def light(i):
    """(GRID, GRID, 3) composite of a galaxy without noise: round for even numbers."""
    scale = 3.0 + 2.0 * np.random.default_rng(i).random()
    return 0.7 * galaxy(i, scale=scale)[..., None] * COLOUR


def composites(numbers, *, is_target=False, random_state=0):
    """(N, GRID, GRID, 3) uint8 images of galaxies by their numbers."""
    rng = np.random.default_rng((random_state, int(is_target)))
    images = np.array([light(i) for i in numbers])
    noise = 0.01
    if is_target:
        images, noise = gaussian_filter(images, (0, BLUR, BLUR, 0)) * GAIN, NOISE
    images = images + noise * rng.standard_normal(images.shape) + SKY
    return (255 * np.clip(images, 0.0, 1.0)).round().astype(np.uint8)


def survey(numbers, **options):
    """`SurveyImages` of galaxies by their numbers."""
    name = 'target' if options.get('is_target') else 'source'
    ids = np.array([f'{name}{i}' for i in numbers])
    return SurveyImages(composites(numbers, **options), ids, name)


def write_survey(path, numbers, **options):
    """A Parquet set of galaxies, every fifth of split 'test'."""
    some = survey(numbers, **options)
    rows = []
    for i, (name, image) in enumerate(zip(some.ids, some.images)):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, 'PNG')
        rows.append({'id_str': str(name), 'image': {'bytes': buffer.getvalue(), 'path': ''},
                     'split': 'train' if i % 5 else 'test'})
    return write_parquet(path, rows)


def untrained_model(name='untrained', *, has_questions=True, random_state=0):
    """A bundle of networks as they begin: as good as a trained one to see what adapting does."""
    import torch

    from galvae_affiliated.training.data.rendered import frame_entries
    from galvae_affiliated.training.export.graphs import (
        export_bundle,
        export_graph,
        random_latents,
    )
    from galvae_affiliated.training.networks.model import GalaxyVAE
    from galvae_affiliated.training.networks.preprocess import Preprocess

    torch.manual_seed(random_state)
    config = tiny()
    network = GalaxyVAE(config.model, [2]).eval()
    with torch.no_grad():
        network.encoder.head.weight.mul_(3.0)  # else all galaxies have much the same latents
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                # an exporter leaves out what is zero, and keeps equal arrays once
                for values, centre in ((layer.bias, 0.0), (layer.running_mean, 0.0),
                                       (layer.weight, 1.0), (layer.running_var, 1.0)):
                    values.copy_(centre + 0.2 * torch.rand_like(values))
    heads = None
    if has_questions:
        heads = export_graph(network.heads, {'latent': random_latents(8, 4)}, ['fractions'])
    manifest = {
        'name': name, 'version': '1', **frame_entries(config),
        'latents': {'n_latents': 4, 'n_pose': 2, 'same_as': ['other@123']},
        'questions': QUESTIONS if has_questions else {},
        'reconstruction': {'floor': [0.1] * 3, 'slope': [0.1] * 3, 'chi2_99': 1.0,
                           'test': {'mse': 0.5}},
        'training': {'config': config.options()}, 'invariance': {'recall at 1': 0.5},
    }
    return export_bundle(manifest, Preprocess(GRID), network, heads)
