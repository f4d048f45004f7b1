# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Whether a simulated field gives back what was drawn into it: sizes and answers.

    bench_simulate.py [MODEL] [--galaxies 2000] [--size 4000] [--seed 1] [--json OUT]

A field is drawn as ``galvae simulate`` does, and encoded from detection to table. Galaxies are
matched by place; those with a signal-to-noise ratio above 50 within petroR90 and without a flag
of their radius or of a neighbour are compared.
"""

import argparse
import time

import numpy as np
from _common import add_outputs, write_report
from scipy.spatial import cKDTree

from galvae_affiliated import Engine, encode_catalog, get_model
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.models.votes import predict_votes
from galvae_affiliated.simulation import random_catalog, simulate_field

NOISE, PIXEL_SCALE, SEEING = 0.01, 0.262, 0.8  # nmgy a pixel, arcsec, arcsec
MAGNITUDES = 14.0, 18.5  # whose galaxies are resolved
MIN_SN, REACH = 50.0, 3.0
DOUBTFUL = (GalvaeFlags.RADIUS_UNCERTAIN | GalvaeFlags.BLENDED | GalvaeFlags.MISSING_PIXELS
            | GalvaeFlags.EDGE | GalvaeFlags.UNRESOLVED)


def _signal_to_noise(truth):
    """Of each galaxy's light in the middle band, within petroR90."""
    flux = 10.0 ** (0.4 * (22.5 - np.asarray(truth['mag'])))
    radius = np.asarray(truth['petro_r90']) / PIXEL_SCALE
    return flux / (NOISE * np.sqrt(np.pi) * radius)


def _agreement(model, drawn, again):
    """How many galaxies a question is asked of, and the share whose likeliest answer stays."""
    before, after = (predict_votes(np.asarray(latent, dtype=np.float32), model, Engine())
                     for latent in (drawn, again))
    shares = {}
    for question in model.questions:
        asked = before.applies(question)
        if asked.sum():
            same = before.likeliest(question)[asked] == after.likeliest(question)[asked]
            shares[question] = {'galaxies': int(asked.sum()), 'agree': float(same.mean())}
    return shares


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', nargs='?')
    parser.add_argument('--galaxies', type=int, default=2000)
    parser.add_argument('--size', type=int, default=4000, help='pixels a side')
    parser.add_argument('--seed', type=int, default=1)
    add_outputs(parser, rst=False)
    options = parser.parse_args()
    model = get_model(options.model)
    start = time.perf_counter()
    shape = options.size, options.size
    catalog = random_catalog(options.galaxies, shape, pixel_scale=PIXEL_SCALE,
                             magnitudes=MAGNITUDES, random_state=options.seed)
    field = simulate_field(catalog, model, shape=shape, pixel_scale=PIXEL_SCALE, noise=NOISE,
                           psf_fwhm=SEEING, random_state=options.seed)
    simulated = time.perf_counter() - start
    start = time.perf_counter()
    table = encode_catalog(field.images, model=model, unit='nmgy', pixel_scale=PIXEL_SCALE)
    encoded = time.perf_counter() - start
    truth = field.truth
    x, y = (np.ma.filled(table[name], np.nan) for name in ('x_centroid', 'y_centroid'))
    far, place = cKDTree(np.c_[x, y]).query(np.c_[truth['x'], truth['y']])
    flags = np.asarray(table['galvae_flags'])[place]
    latent = np.ma.filled(table['galvae_latent'], np.nan)[place]
    bright = _signal_to_noise(truth) > MIN_SN
    found = far < REACH
    sure = bright & found & (flags & int(DOUBTFUL) == 0) & np.isfinite(latent).all(1)
    radius = np.ma.filled(table['galvae_radius'], np.nan)[place]
    ratio = np.asarray(radius) / np.asarray(truth['petro_r90'])
    agreed = _agreement(model, truth['galvae_latent'][sure], latent[sure])
    n_asked = sum(share['galaxies'] for share in agreed.values())
    report = {
        'galaxies': len(truth), 'seconds to simulate': simulated, 'seconds to encode': encoded,
        'rows': len(table), 'above S/N 50': int(bright.sum()),
        'found of these': float(found[bright].mean()), 'compared': int(sure.sum()),
        'radius over truth, median': float(np.nanmedian(ratio[sure])),
        'off by, median': float(np.nanmedian(np.abs(ratio[sure] - 1.0))),
        'answers that agree': agreed, 'of all answers': sum(share['galaxies'] * share['agree']
                              for share in agreed.values()) / n_asked,
    }
    for name, value in report.items():
        print(name, value)
    write_report(options, report)


if __name__ == '__main__':
    main()
