# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Does a galaxy find itself after it was turned?

    invariance.py GALAXIES.parquet [--model MODEL] [--split test] [--galaxies 2000]

Each cutout is rotated by any angle, flipped or not, and shifted by up to 2 pixels each way; recall at 1 is the share
of the galaxies whose nearest neighbour among the others' unturned cutouts is their own.
"""

import argparse
import json

import numpy as np
import pyarrow.parquet as pq
from scipy.ndimage import affine_transform
from sklearn.neighbors import NearestNeighbors

from galvae_affiliated import LatentTransformer, get_model
from galvae_affiliated.cutouts.sets import ParquetSet

SHIFT = 2.0  # pixels of the model's grid


def turned(image, rng):
    """A (3, H, W) image rotated, flipped and shifted about its middle, by linear interpolation."""
    angle, flip, shift = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1]), rng.uniform(-SHIFT, SHIFT, 2)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([1, flip])
    middle = (image.shape[1] - 1) / 2
    offset = middle - matrix @ (np.array([middle, middle]) + shift)
    return np.stack([affine_transform(band, matrix, offset, order=1, mode='reflect') for band in image])


def cutouts(path, bundle, split, number):
    """The first ``number`` composites of a split."""
    inside = pq.read_table(path, columns=['split']).column('split').to_numpy(zero_copy_only=False) == split
    taken, start = [], 0
    for _, stack in ParquetSet(path, bundle, already_scaled=True).chunks(256):
        chosen = inside[start:start + len(stack)]
        taken.append(stack.data[chosen])
        start += len(stack)
        if sum(map(len, taken)) >= number:
            break
    return np.concatenate(taken)[:number]


def recall(reference, query):
    """Share of rows of ``query`` whose nearest neighbour in ``reference`` is the row of the same number."""
    _, nearest = NearestNeighbors(n_neighbors=1).fit(reference).kneighbors(query)
    return float((nearest[:, 0] == np.arange(len(query))).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('--model', help='name or file; the default model if left out')
    parser.add_argument('--split', default='test')
    parser.add_argument('--galaxies', type=int, default=2000)
    parser.add_argument('--json', help='file for the figures')
    options = parser.parse_args()
    bundle = get_model(options.model)
    images = cutouts(options.data, bundle, options.split, options.galaxies)
    rng = np.random.default_rng(0)
    transformer = LatentTransformer(bundle)
    reference = transformer.transform(images)
    query = transformer.transform(np.stack([turned(image, rng) for image in images]).astype(np.float32).clip(0, 1))
    scale = reference.std(axis=0)
    found = {'model': bundle.id, 'galaxies': len(images), 'split': options.split,
             'recall at 1': round(recall(reference, query), 4),
             'recall at 1, latents scaled to unit variance': round(recall(reference / scale, query / scale), 4)}
    print(json.dumps(found, indent=1))
    if options.json:
        with open(options.json, 'w') as file:
            json.dump(found, file, indent=1)


if __name__ == '__main__':
    main()
