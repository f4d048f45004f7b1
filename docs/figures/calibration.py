# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Voted against predicted fractions, from what ``benchmarks/bench_calibration.py`` measured.

    python docs/figures/calibration.py FOLDER
"""

from pathlib import Path

from _demo import DPI, out_folder
from astropy.table import Table
from matplotlib.figure import Figure

MEASURED = Path(__file__).parents[1] / 'calibration.ecsv'
SAMPLES = {'test, not selected': 'test galaxies that votes did not select',
           'test': 'all test galaxies'}
SHOWN = {('smooth-or-featured', 'featured-or-disk'): 'features or disc',
         ('disk-edge-on', 'yes'): 'edge-on', ('has-spiral-arms', 'yes'): 'spiral arms',
         ('bar', 'yes'): 'bar', ('how-rounded', 'round'): 'round', ('merging', 'merger'): 'merger',
         ('spiral-winding', 'tight'): 'tight arms', ('bulge-size', 'obvious'): 'obvious bulge'}


def draw(axis, table, title):
    axis.plot([0, 1], [0, 1], color='0.7', linewidth=1, zorder=0)
    for k, ((question, answer), label) in enumerate(SHOWN.items()):
        some = table[(table['question'] == question) & (table['answer'] == answer)]
        if len(some):
            axis.errorbar(some['predicted'], some['voted'], some['error'], marker='os^vD<>p'[k],
                          markersize=4, linewidth=1, label=label)
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect='equal', xlabel='predicted fraction',
             ylabel='voted fraction', title=title)


def main():
    folder, table = out_folder(), Table.read(MEASURED)
    figure = Figure(figsize=(9, 4.9), layout='constrained')
    for axis, (name, title) in zip(figure.subplots(1, 2), SAMPLES.items()):
        draw(axis, table[table['sample'] == name], title)
    axis.legend(fontsize='small', frameon=False)
    figure.savefig(folder / 'calibration.png', dpi=DPI)


if __name__ == '__main__':
    main()
