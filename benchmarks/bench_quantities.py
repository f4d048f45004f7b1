# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How well latents predict the structure of simulated galaxies.

    bench_quantities.py [--model MODEL] [--galaxies 3000] [--encoded FITS] [--json OUT] [--rst OUT]
                        [--picture PNG]

GalSim draws Sersic galaxies of known magnitude, colours, half-light radius, index and axis ratio,
with the seeing (Moffat, 1.2 arcsec), pixels (0.262 arcsec) and depth of the Legacy Surveys. They
are encoded as a user's images are, radii measured. Regressions are fitted on two thirds, put into a
bundle, and measured on the other third through it. Tuccillo et al. (2018) do the same with a
network on the images themselves.
"""

import argparse
import json
from pathlib import Path

import galsim
import numpy as np
from _common import add_outputs, list_table, write_report
from astropy.table import Table, vstack

from galvae_affiliated import add_quantities, encode_catalog, get_latents, get_model
from galvae_affiliated.training.evaluate.quantities import quantity_scores
from galvae_affiliated.training.heads.quantities import fit_quantities, with_quantities

PIXEL, SEEING, BETA = 0.262, 1.2, 3.0  # arcsec, arcsec, and the slope of the Moffat profile
# 5 sigma of a point source, two passes of the Legacy Surveys
DEPTH = {'g': 23.95, 'r': 23.54, 'z': 22.50}
ZERO_POINT = 22.5  # of nanomaggies
CELLS = 6  # galaxies a side of a mosaic
CELL, LEAST_CELL = 16, 96  # side of a cell in half-light radii, and in pixels at least
UNITS = {'mag_r': 'mag', 'g_r': 'mag', 'r_z': 'mag'}
LABELS = {'mag_r': 'r', 'g_r': 'g - r', 'r_z': 'r - z',
          'log_radius': 'log half-light radius / arcsec', 'sersic': 'Sersic index',
          'axis_ratio': 'axis ratio'}
DRAWN = ('mag_r', 'log_radius', 'sersic', 'axis_ratio')
COLUMNS = {'rmse': 'RMSE', 'scatter': 'scatter', 'bias': 'bias', 'r2': 'R2',
           'within 1 error': 'within 1 error'}


def _random_galaxies(n, rng):
    """Table of n galaxies of independent parameters; the radius is of the circle of equal area."""
    return Table({'mag_r': rng.uniform(14.5, 18.5, n), 'g_r': rng.uniform(0.2, 1.0, n),
                  'r_z': rng.uniform(0.2, 0.9, n), 'log_radius': rng.uniform(0.0, 0.5, n),
                  'axis_ratio': rng.uniform(0.2, 1.0, n),
                  # GalSim tabulates each index that it meets
                  'sersic': np.round(rng.uniform(0.5, 6.0, n), 1),
                  'angle': rng.uniform(0.0, np.pi, n)})


def _noise(band):
    """Standard deviation of a pixel in nanomaggies at which a point source of the depth has 5."""
    sigma = SEEING / 2.355 / PIXEL
    return 10 ** (0.4 * (ZERO_POINT - DEPTH[band])) / 5 / np.sqrt(4 * np.pi * sigma ** 2)


def _stamp(galaxy, side, offset):
    """(side, side) image of a galaxy of unit flux in all; what lies off the stamp is lost."""
    # coarser than GalSim's default, which is for shears: a hundredth of the light may fold back
    precision = galsim.GSParams(folding_threshold=1e-2, maximum_fft_size=16384)
    profile = galsim.Sersic(galaxy['sersic'], 10 ** galaxy['log_radius'], gsparams=precision)
    profile = profile.shear(q=galaxy['axis_ratio'], beta=galaxy['angle'] * galsim.radians)
    seen = galsim.Convolve(profile, galsim.Moffat(BETA, fwhm=SEEING), gsparams=precision)
    return seen.drawImage(nx=side, ny=side, scale=PIXEL, offset=offset).array


def _mosaic(galaxies, rng):
    """Band to image in nanomaggies of up to ``CELLS`` squared galaxies, and their positions."""
    side = max(LEAST_CELL, int(CELL * 10 ** galaxies['log_radius'].max() / PIXEL))
    shape = (CELLS * side, CELLS * side)
    images = {band: rng.normal(0.0, _noise(band), shape) for band in DEPTH}
    placed = galaxies.copy()
    placed['x'], placed['y'] = np.zeros((2, len(galaxies)))
    for i, galaxy in enumerate(galaxies):
        y, x = (side * cell for cell in divmod(i, CELLS))
        dx, dy = rng.uniform(-0.5, 0.5, 2)
        light, r = _stamp(galaxy, side, (dx, dy)), galaxy['mag_r']
        magnitudes = {'g': r + galaxy['g_r'], 'r': r, 'z': r - galaxy['r_z']}
        for band, magnitude in magnitudes.items():
            flux = 10 ** (0.4 * (ZERO_POINT - magnitude))
            images[band][y:y + side, x:x + side] += light * flux
        middle = (side - 1) / 2
        placed['x'][i], placed['y'][i] = x + middle + dx, y + middle + dy
    return {band: image.astype(np.float32) for band, image in images.items()}, placed


def _encoded_galaxies(n, bundle, random_state=0):
    """Table of the galaxies with their latents, in random order; like sizes share a mosaic."""
    rng = np.random.default_rng(random_state)
    galaxies = _random_galaxies(n, rng)
    galaxies.sort('log_radius')
    parts = []
    for start in range(0, n, CELLS ** 2):
        images, placed = _mosaic(galaxies[start:start + CELLS ** 2], rng)
        parts.append(encode_catalog(images, placed, bundle, unit='nmgy', pixel_scale=PIXEL,
                                    morphology=False, reconstruction=False))
        print(f'{start + len(placed)} of {n}', flush=True)
    return vstack(parts, metadata_conflicts='silent')[rng.permutation(n)]


def _measured(table, report, name):
    """Scores of a quantity's columns."""
    known = ~np.ma.getmaskarray(table[f'galvae_{name}'])
    columns = (name, f'galvae_{name}', f'galvae_{name}_err')
    values = [np.asarray(table[column][known], dtype=float) for column in columns]
    return {'galaxies': int(known.sum()), 'regression': report['model'], **quantity_scores(*values)}


def _baseline(train, test, name):
    """Scores of the mean of the galaxies that are fitted."""
    mean, deviation = (np.full(len(test), x) for x in (train[name].mean(), train[name].std()))
    return quantity_scores(np.array(test[name]), mean, deviation)


def _tables(found, baseline):
    """A list-table with two lines a quantity: the regression's, and the mean's."""
    rows = [[LABELS[name], method, *(f'{scores[key]:.3f}' for key in COLUMNS)]
            for name in found for method, scores in ((found[name]['regression'], found[name]),
                                                     ('mean', baseline[name]))]
    return list_table('', ['quantity', 'method', *COLUMNS.values()], rows)


def _draw(path, table):
    """Predicted against true values with their errors."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout='constrained')
    for ax, name in zip(figure.subplots(2, 2).flat, DRAWN):
        ax.errorbar(table[name], table[f'galvae_{name}'], table[f'galvae_{name}_err'], fmt='.',
                    ms=3, lw=0.3, alpha=0.5, color='#2b6a99')
        ax.plot(ends := (np.min(table[name]), np.max(table[name])), ends, color='k', lw=1)
        ax.set_xlabel(f'true {LABELS[name]}')
        ax.set_ylabel(f'predicted {LABELS[name]}')
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', help='name or file; the default model if left out')
    parser.add_argument('--galaxies', type=int, default=3000)
    parser.add_argument('--encoded', help='table that is read if it exists, written otherwise')
    parser.add_argument('--picture', help='PNG of predicted against true values')
    add_outputs(parser)
    options = parser.parse_args()
    bundle = get_model(options.model)
    if options.encoded and Path(options.encoded).exists():
        table = Table.read(options.encoded)
    else:
        table = _encoded_galaxies(options.galaxies, bundle)
        if options.encoded:
            table.write(options.encoded)
    n_train = 2 * len(table) // 3
    train, test = table[:n_train], table[n_train:]
    model = fit_quantities(get_latents(train, bundle), train['galvae_latent_err'],
                           {name: train[name] for name in LABELS}, radius=train['galvae_radius'])
    test = add_quantities(test, with_quantities(bundle, model, units=UNITS))
    found = {name: _measured(test, model.report[name], name) for name in LABELS}
    baseline = {name: _baseline(train, test, name) for name in LABELS}
    figures = {'model': bundle.name, 'train': len(train), 'test': len(test), 'quantities': found,
               'mean': baseline, 'left out in turn': model.report}
    print(json.dumps(figures, indent=1))
    text = (f'{_tables(found, baseline)}\n{len(test)} galaxies of {len(table)}; the latents are '
            f'those of ``{bundle.name}``.\n')
    write_report(options, figures, text, Path(__file__).name)
    if options.picture:
        _draw(options.picture, test)


if __name__ == '__main__':
    main()
