# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The input, the result and the table of the quick start.

    python docs/figures/quickstart.py FOLDER
"""

import numpy as np
from _demo import DPI, PIXEL_SCALE, composite, field_images, field_path, out_folder, truth
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from galvae_affiliated import add_latents, add_morphology, make_cutouts
from galvae_affiliated.models import Encoder
from galvae_affiliated.plotting import plot_votes

SHOWN = 10, 15, 22  # as on the page
QUESTIONS = 'smooth-or-featured', 'disk-edge-on', 'has-spiral-arms', 'bar'
COLUMNS = {'id': '{}', 'kind': '{}', 'galvae_latent': None,
           'smooth-or-featured_answer': '{}', 'bar_yes_fraction': '{:.2f}', 'bar_set': '{}',
           'galvae_flags': '{}'}


def draw_field(catalog, path):
    figure = Figure(figsize=(4.6, 4.6))
    figure.subplots_adjust(0, 0, 1, 1)
    axis = figure.subplots()
    axis.imshow(composite(field_images()), origin='lower')
    axis.set_axis_off()
    for row in catalog:
        r90 = float(row['petro_r90']) / PIXEL_SCALE
        axis.add_patch(Circle((row['x'], row['y']), r90, fill=False, color='#e69f00'))
        axis.text(row['x'], row['y'] + 1.1 * r90, row['id'], color='#e69f00', ha='center')
    figure.savefig(path, dpi=DPI)


def draw_result(table, cutouts, path):
    encoder, n = Encoder(), len(table)
    encoding = encoder.encode(cutouts, reconstruction=False)
    decoded = encoder.decode(encoding.latent, encoding.pose)
    figure = Figure(figsize=(2.7 * n, 8.6), layout='constrained')
    axes = figure.subplots(3, n, height_ratios=[1, 1, 1.4])
    for i, (row, frame) in enumerate(zip(table, encoder.frames(cutouts))):
        for axis, picture, title in ((axes[0, i], frame, f'{row["id"]}: {row["kind"]}'),
                                     (axes[1, i], decoded[i], 'decoded')):
            axis.imshow(np.moveaxis(picture, 0, -1), origin='lower')
            axis.set_title(title, fontsize='small')
            axis.set_axis_off()
        plot_votes(row, questions=QUESTIONS, ax=axes[2, i])
        if i:
            axes[2, i].set_yticklabels([])
    figure.savefig(path, dpi=100)


def write_table(table, path):
    """Some columns, as a table of the page."""
    lines = ['.. made by docs/figures/quickstart.py', '', '.. list-table:: Some of the columns',
             '   :header-rows: 1', '']
    rows = [[f'``{name}``' for name in COLUMNS]]
    for row in table:
        latent = ', '.join(f'{value:.2f}' for value in row['galvae_latent'][:2])
        rows.append([form.format(row[name]) if form else f'{latent}, ...'
                     for name, form in COLUMNS.items()])
    for row in rows:
        lines += [f'   {" " if i else "*"} - {cell}' for i, cell in enumerate(row)]
    path.write_text('\n'.join([*lines, '']))


def main():
    folder, catalog = out_folder(), truth(*SHOWN)
    cutouts = make_cutouts(field_path(), catalog, bands='g,r,z')
    table = add_morphology(add_latents(catalog, cutouts))
    draw_field(catalog, folder / 'quickstart-field.png')
    draw_result(table, cutouts, folder / 'quickstart-result.png')
    write_table(table, folder / 'quickstart-table.inc')


if __name__ == '__main__':
    main()
