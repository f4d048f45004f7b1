# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Galaxies of the simulated field, and what the default model says of them: the index's strip.

    python docs/figures/strip.py FOLDER
"""

import numpy as np
from _demo import field_path, out_folder, save_tile, tiles_page, truth

from galvae_affiliated import add_latents, add_morphology, describe_flags, get_model, make_cutouts
from galvae_affiliated.models import Encoder

WORDS = {'disk-edge-on': 'edge-on', 'has-spiral-arms': 'spiral arms', 'bar': 'bar',
         'something-odd': 'something odd'}
SHOWN = 10, 15, 12, 20, 22, 24, 1, 25  # numbers in the catalogue


def answers(row, model):
    """The likeliest answers that say what is there, and their fractions among those asked."""
    lines = []
    for question, entry in model.manifest.questions.items():
        answer = max(entry.answers, key=lambda one: row[f'{question}_{one}_fraction'])
        fraction = row[f'{question}_{answer}_fraction']
        if question == 'smooth-or-featured' or answer == 'yes':
            lines.append(f'{WORDS.get(question, answer)} {fraction:.2f}')
        elif question == 'how-rounded' and row[f'{question}_reach_fraction'] > 0.5:
            lines.append(f'{answer} {fraction:.2f}')
    return lines


def main():
    folder, model = out_folder(), get_model()
    catalog = truth(*SHOWN)
    cutouts = make_cutouts(field_path(), catalog, bands='g,r,z')
    table = add_morphology(add_latents(catalog, cutouts))
    frames = Encoder(model).frames(cutouts)
    tiles = []
    for frame, row in zip(frames, table):
        name = f'strip-{row["id"]}.png'
        save_tile(np.moveaxis(frame, 0, -1), folder / name)
        flags = ', '.join(describe_flags(row['galvae_flags'])) or 'no flag'
        tiles.append((name, f'simulated galaxy: {row["kind"]}', [*answers(row, model), flags]))
    tiles_page(folder, 'strip', tiles)


if __name__ == '__main__':
    main()
