# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What petroR90 and the cutout of 5.12 petroR90 look like, and good and bad radii.

    python docs/figures/radii.py FOLDER
"""

import numpy as np
from _demo import (
    DPI,
    FIELD_OF_VIEW,
    PIXEL_SCALE,
    composite,
    field_images,
    field_path,
    out_folder,
    save_tile,
    tile_figure,
    tiles_page,
    truth,
    window,
)
from astropy.table import vstack
from matplotlib.patches import Circle, Rectangle

from galvae_affiliated import add_latents, add_morphology, describe_flags, get_latents, make_cutouts
from galvae_affiliated.models import Encoder

GALAXY = 15  # number in the catalogue
# factor of the right radius, and what it is
FACTORS = {1.0: 'petroR90', 0.42: 'a half-light radius taken for it', 0.8: '20 per cent too small',
           1.25: '25 per cent too large', 2.0: 'twice too large'}


def draw_cutout(row, frame, path):
    """The galaxy in its field with circle and square, and what the network sees."""
    x, y, r90 = float(row['x']), float(row['y']), float(row['petro_r90']) / PIXEL_SCALE
    half = 3.6 * r90
    figure, axes = tile_figure((1, 2), 3.2)
    axes[0, 0].imshow(window(composite(field_images()), x, y, half), origin='lower',
                      extent=(-half, half, -half, half))
    side = FIELD_OF_VIEW * r90
    axes[0, 0].add_patch(Circle((0, 0), r90, fill=False, color='#56b4e9', linewidth=1.5))
    axes[0, 0].add_patch(Rectangle((-side / 2, -side / 2), side, side, fill=False, color='#e69f00',
                                   linewidth=1.5))
    axes[0, 0].text(0, 1.06 * r90, 'petroR90', color='#56b4e9', ha='center', va='bottom')
    axes[0, 0].text(0, -1.04 * side / 2, '5.12 petroR90', color='#e69f00', ha='center', va='top')
    axes[0, 1].imshow(np.moveaxis(frame, 0, -1), origin='lower')
    figure.savefig(path, dpi=DPI)


def main():
    folder = out_folder()
    catalog = vstack([truth(GALAXY)] * len(FACTORS))
    catalog['petro_r90'] *= list(FACTORS)
    cutouts = make_cutouts(field_path(), catalog, bands='g,r,z')
    table = add_morphology(add_latents(catalog, cutouts))
    frames, latents = Encoder().frames(cutouts), get_latents(table)
    draw_cutout(catalog[0], frames[0], folder / 'radius-cutout.png')
    errors, tiles = np.asarray(table['galvae_latent_err'][0]), []
    for factor, frame, latent, row in zip(FACTORS, frames, latents, table):
        name = f'radius-{factor:g}.png'
        save_tile(np.moveaxis(frame, 0, -1), folder / name)
        moved = np.sqrt(np.mean(((latent - latents[0]) / errors) ** 2))
        flags = ', '.join(f'``{one}``' for one in describe_flags(row['galvae_flags']))
        text = [f'{FACTORS[factor]} (x {factor:g})',
                f'latents moved by {moved:.1f} of their errors',
                f'bar: {row["bar_yes_fraction"]:.2f}, arms: '
                f'{row["has-spiral-arms_yes_fraction"]:.2f}', flags or 'no flag']
        tiles.append((name, f'a galaxy cut out with {factor:g} times its radius', text))
    tiles_page(folder, 'radii-examples', tiles)


if __name__ == '__main__':
    main()
