# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Draw what the default model makes of the simulated demo field, for the documentation.

    make_model_pictures.py FOLDER [--model MODEL]

``reconstructions.png``: galaxies as the encoder sees them, above what the decoder makes of their
latents and pose.
``traversal.png``: one galaxy whose latents are moved, one direction a row, with its pose kept.
"""

import argparse
from importlib import resources
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from galvae_affiliated import LatentTransformer, encode_catalog, get_model, make_cutouts
from galvae_affiliated.plotting import gallery_rows

FIELD = 'demo_field.fits'
SHOWN, DIRECTIONS = 10, 6
STEPS = (-3, -2, -1, 0, 1, 2, 3)  # standard deviations


def demo_galaxies(model):
    """Table of the demo field and the cutouts of its largest galaxies."""
    with resources.as_file(resources.files('galvae_affiliated').joinpath('data', FIELD)) as field:
        table = encode_catalog(str(field), None, model, bands='g,r,z')
        rows = gallery_rows(table, limit=SHOWN)
        stack = make_cutouts(
            str(field), table[rows], model, bands='g,r,z', radius='galvae_radius'
        )
        return table, rows, stack


def grid_of(images, labels, path):
    """A row of images a line."""
    figure = Figure(figsize=(1.15 * len(images[0]), 1.2 * len(images)), layout='constrained')
    axes = np.atleast_2d(figure.subplots(len(images), len(images[0])))
    for line, row, label in zip(axes, images, labels):
        for ax, image in zip(line, row):
            ax.imshow(np.moveaxis(image, 0, -1).clip(0, 1), origin='lower', interpolation='nearest')
            ax.set_xticks([])
            ax.set_yticks([])
        line[0].set_ylabel(label, fontsize='small')
    figure.savefig(path, dpi=110)


def directions(latents):
    """The principal directions of some latents, and the standard deviation along each."""
    centred = latents - latents.mean(axis=0)
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    return axes[:DIRECTIONS], size[:DIRECTIONS] / np.sqrt(len(latents) - 1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder')
    parser.add_argument('--model')
    options = parser.parse_args()
    folder, model = Path(options.folder), get_model(options.model)
    table, rows, stack = demo_galaxies(model)
    encoder = LatentTransformer(model).encoder
    encoding = encoder.encode(stack)
    decoded = encoder.decode(encoding.latent, encoding.pose)
    grid_of(
        [encoder.frames(stack), decoded],
        ['image', 'reconstruction'],
        folder / 'reconstructions.png',
    )

    latents = np.ma.filled(np.ma.asarray(table['galvae_latent']), np.nan)
    axes, size = directions(latents[np.isfinite(latents).all(axis=1)])
    spiral = int(np.argmax(np.asarray(table['has-spiral-arms_yes_fraction'][rows])))
    moved = (
        encoding.latent[spiral]
        + np.array(STEPS)[None, :, None] * (size[:, None] * axes)[:, None, :]
    )
    pose = np.repeat(encoding.pose[spiral][None], moved.shape[0] * moved.shape[1], axis=0)
    images = encoder.decode(
        moved.reshape(-1, model.n_latents).astype(np.float32), pose=pose
    )
    images = images.reshape(len(axes), len(STEPS), *images.shape[1:])
    grid_of(images, [f'direction {i + 1}' for i in range(len(axes))], folder / 'traversal.png')


if __name__ == '__main__':
    main()
