# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Draw the figures of ``benchmarks/bench_explore.py`` for the documentation.

    make_explore_pictures.py FIGURES.json docs/images/exploring.png

FIGURES.json is what its parts ``scores`` and ``search`` wrote with ``--json``.
"""

import argparse
import json

import numpy as np
from matplotlib.figure import Figure

CLASSES = {'odd': '#0072b2', 'merger': '#d55e00'}
LABELS = {'latents, density': 'density', 'latents, neighbor': '5th neighbor, whitened',
          'latents, mixture': 'mixture', 'latents, isolation-forest': 'isolation forest',
          'latents, mahalanobis': 'Mahalanobis', 'latents, class-distance': 'class distance',
          'predicted votes, something odd': 'predicted votes',
          'default: density and votes': 'default: both'}


def draw_gains(axes, scores):
    """Average precision over the share, with intervals, of each way to score."""
    places = np.arange(len(LABELS))[::-1]
    for shift, (kind, color) in zip((0.13, -0.13), CLASSES.items()):
        gains = [scores[name][kind] for name in LABELS]
        values = np.array([one['gain'] for one in gains])
        low, high = np.array([one['interval'] for one in gains]).T
        axes.errorbar(values, places + shift, xerr=[values - low, high - values], fmt='o',
                      color=color, capsize=2, label=kind)
    axes.axvline(1.0, color='0.6', linestyle=':')
    axes.set_xscale('log')
    axes.set_xticks([1, 2, 5, 10, 20], ['1', '2', '5', '10', '20'])
    axes.set_yticks(places, LABELS.values())
    axes.set_xlabel('average precision / share')
    axes.legend(loc='lower left', frameon=False)


def draw_search(axes, search):
    """What is found among the first that are looked at."""
    for kind, color in CLASSES.items():
        for name, style in (('person', '-'), ('score, latents', '--'), ('chance', ':')):
            counts = {0: 0, **{int(n): value for n, value in search[kind][name].items()}}
            axes.plot(counts.keys(), counts.values(), style, color=color, marker='.',
                      label=f'{kind}, {name.split(", ")[0]}')
    axes.set_xlabel('galaxies looked at')
    axes.set_ylabel('found')
    axes.set_xlim(0)
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize='small')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('figures')
    parser.add_argument('picture')
    options = parser.parse_args()
    with open(options.figures) as file:
        figures = json.load(file)
    figure = Figure(figsize=(10.0, 4.0), layout='constrained')
    left, right = figure.subplots(1, 2)
    draw_gains(left, figures['scores'])
    draw_search(right, figures['search'])
    figure.savefig(options.picture, dpi=100)


if __name__ == '__main__':
    main()
