# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the decoder of the default model makes of latents: reconstructions, a traversal, a gallery.

    python docs/figures/decoder.py FOLDER
"""

import numpy as np
from _demo import DPI, field_path, out_folder, tile_figure, truth

from galvae_affiliated import get_model, make_cutouts
from galvae_affiliated.models import Encoder

SHOWN = 10, 15, 12, 20, 22, 24, 1, 4  # numbers in the catalogue
MOVED = 1  # of these
DIRECTIONS, STEPS = 6, (-3, -2, -1, 0, 1, 2, 3)  # standard deviations
DRAWN, GALLERY = 400, (3, 8)


def draw_grid(pictures, labels, path):
    """Rows of pictures (3, grid, grid), a label at the left of each row."""
    figure, axes = tile_figure((len(pictures), len(pictures[0])), 1.15)
    for line, row, label in zip(axes, pictures, labels):
        for axis, picture in zip(line, row):
            axis.imshow(np.moveaxis(picture, 0, -1).clip(0, 1), origin='lower')
        line[0].text(0.03, 0.97, label, transform=line[0].transAxes, va='top', color='white',
                     fontsize=8)
    figure.savefig(path, dpi=DPI)


def principal_directions(latents):
    """The first principal directions, and the standard deviation along each."""
    centred = latents - latents.mean(axis=0)
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    return axes[:DIRECTIONS], size[:DIRECTIONS] / np.sqrt(len(latents) - 1)


def main():
    folder, model = out_folder(), get_model()
    encoder = Encoder(model)
    cutouts = make_cutouts(field_path(), truth(*SHOWN), bands='g,r,z')
    encoding = encoder.encode(cutouts, reconstruction=False)
    decoded = encoder.decode(encoding.latent, encoding.pose)
    draw_grid([encoder.frames(cutouts), decoded], ['image', 'decoded'],
              folder / 'reconstructions.png')

    directions, size = principal_directions(model.density.sample(DRAWN, random_state=0))
    moves = np.array(STEPS)[None, :, None] * (size[:, None] * directions)[:, None, :]
    moved = (encoding.latent[MOVED] + moves).reshape(-1, model.n_latents).astype('f4')
    pictures = encoder.decode(moved, pose=np.repeat(encoding.pose[MOVED][None], len(moved), axis=0))
    draw_grid(pictures.reshape(DIRECTIONS, len(STEPS), *pictures.shape[1:]),
              [f'{i + 1}' for i in range(DIRECTIONS)], folder / 'traversal.png')

    for name, answers in (('generated', None), ('generated-barred', {'bar': 'yes'})):
        drawn = model.generate(GALLERY[0] * GALLERY[1], random_state=1, answers=answers).images
        draw_grid(drawn.reshape(*GALLERY, *drawn.shape[1:]), [''] * GALLERY[0],
                  folder / f'{name}.png')


if __name__ == '__main__':
    main()
