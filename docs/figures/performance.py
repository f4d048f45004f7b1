# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Galaxies a second beside what is used otherwise, from what ``benchmarks/bench_peers.py`` measured.

A chart, and a sentence of what it says.

    python docs/figures/performance.py FOLDER
"""

import json
from pathlib import Path
from statistics import median

from _demo import DPI, out_folder
from matplotlib.figure import Figure

MEASURED = Path(__file__).parents[1] / 'peers.json'
VOTES = 'encode_catalog, no reconstruction'
OURS, OTHERS = '#0072b2', '0.62'
LABELS = {'encode_catalog': 'encode_catalog\nwith reconstruction',
          VOTES: 'encode_catalog\nno reconstruction',
          'encode_catalog, measured radii': 'encode_catalog\nradii measured',
          'encode_catalog, detection': 'encode_catalog\nsources detected, measured',
          'encode_cutout_set': 'encode_cutout_set\nready pictures',
          'Hyrax: infer': 'Hyrax infer\nready cutouts',
          'photutils': 'photutils\nsegments: sizes, shapes',
          'statmorph': 'statmorph\nindices, Sersic fit'}


def threads():
    """Number of threads, in words."""
    number = json.loads(MEASURED.read_text())['machine']['n_threads']
    return f'{number} threads' if number > 1 else 'one thread'


def rates():
    """Name to galaxies a second, from the slowest, of what was timed and is not another model."""
    paths = json.loads(MEASURED.read_text())['paths']
    found = {name: median(run['rows'] / run['seconds'] for run in entry['runs'])
             for name, entry in paths.items()
             if 'runs' in entry and not name.startswith(f'{VOTES},')}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def draw(axis, found):
    colors = [OURS if name.startswith('encode_') else OTHERS for name in found]
    labels = [LABELS.get(name, f'{name.replace(": ", " ")}\nencoder, ready cutouts')
              for name in found]
    bars = axis.barh(labels, list(found.values()), color=colors, height=0.7)
    axis.bar_label(bars, [f'{rate:.2g}' if rate < 10 else f'{rate:.0f}' for rate in found.values()],
                   padding=4)
    axis.set_xscale('log')
    axis.xaxis.set_major_formatter('{x:.0f}')
    axis.set_xlim(1, 3 * max(found.values()))
    axis.set_xlabel(f'galaxies a second, {threads()} (logarithmic)')
    axis.spines[['top', 'right']].set_visible(False)
    axis.tick_params(axis='y', length=0)


def claim(found):
    """A sentence in reStructuredText: the rate of this package, and its ratios to the others."""
    ours = found[VOTES]
    ratios = {name.replace(': ', "'s "): ours / rate for name, rate in found.items()
              if not name.startswith('encode_')}
    shown = [f'{float(f"{ratio:.2g}"):g} times the rate of {name}'
             for name, ratio in ratios.items()]
    return (f'On {threads()} ``encode_catalog(reconstruction=False)`` takes '
            f'**{ours:.0f} galaxies a second** from FITS images to a table of latents, vote '
            f'fractions and flags. That is {", ".join(shown)}.')


def main():
    folder, found = out_folder(), rates()
    comment = '.. made by docs/figures/performance.py'
    (folder / 'performance.inc').write_text(f'{comment}\n\n{claim(found)}\n')
    figure = Figure(figsize=(7.5, 0.55 * len(found) + 0.8), layout='constrained')
    draw(figure.subplots(), found)
    figure.savefig(folder / 'performance.png', dpi=DPI)


if __name__ == '__main__':
    main()
