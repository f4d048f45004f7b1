# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Does a galaxy find itself after it was turned?

    bench_invariance.py GALAXIES.parquet [--model MODEL] [--split test] [--galaxies 2000]

Each cutout is rotated by any angle, flipped or not, and shifted by up to 2 pixels each way; recall
at 1 is the share of the galaxies whose nearest neighbour among the others' unturned cutouts is
their own.
"""

import argparse
import json

import numpy as np
from _common import add_outputs, composites, split_ids, write_report
from scipy.ndimage import affine_transform
from sklearn.neighbors import NearestNeighbors

from galvae_affiliated import LatentTransformer, get_model

SHIFT = 2.0  # pixels of the model's grid


def _turned(image, rng):
    """A (3, H, W) image rotated, flipped and shifted about its middle, linearly interpolated."""
    angle, flip = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    shift = rng.uniform(-SHIFT, SHIFT, 2)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.diag([1, flip])
    middle = (image.shape[1] - 1) / 2
    offset = middle - matrix @ (np.array([middle, middle]) + shift)
    return np.stack([affine_transform(band, matrix, offset, order=1, mode='reflect')
                     for band in image])


def _recall(reference, query):
    """Share of rows of ``query`` whose nearest neighbour in ``reference`` is their own row."""
    _, nearest = NearestNeighbors(n_neighbors=1).fit(reference).kneighbors(query)
    return float((nearest[:, 0] == np.arange(len(query))).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('--model', help='name or file; the default model if left out')
    parser.add_argument('--split', default='test')
    parser.add_argument('--galaxies', type=int, default=2000)
    add_outputs(parser, rst=False)
    options = parser.parse_args()
    bundle = get_model(options.model)
    ids = split_ids(options.data, options.split)[:options.galaxies]
    images = composites(options.data, bundle, ids)
    rng = np.random.default_rng(0)
    transformer = LatentTransformer(bundle)
    reference = transformer.transform(images)
    turned = np.stack([_turned(image, rng) for image in images]).astype(np.float32)
    query = transformer.transform(turned.clip(0, 1))
    scale = reference.std(axis=0)
    found = {'model': bundle.id, 'galaxies': len(images), 'split': options.split,
             'recall at 1': round(_recall(reference, query), 4),
             'recall at 1, latents scaled to unit variance':
                 round(_recall(reference / scale, query / scale), 4)}
    print(json.dumps(found, indent=1))
    write_report(options, found)


if __name__ == '__main__':
    main()
