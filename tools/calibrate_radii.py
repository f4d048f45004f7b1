# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fit how petroR90 follows from the sizes of other catalogues, on simulated galaxies.

Run from the repository::

    python tools/calibrate_radii.py [--galaxies N]

GalSim draws Sersic profiles behind a Moffat seeing, SEP measures them in noise as SExtractor
does. Half of the galaxies are fitted; the scatter is that of the others. Writes
galvae_affiliated/data/radii.json and docs/radii.inc.
"""

import argparse
import json
from pathlib import Path

import galsim
import numpy as np
import sep
from scipy.optimize import minimize

from galvae_affiliated.sources.petrosian import petrosian_r90
from galvae_affiliated.sources.radii import CALIBRATION, sersic_r90, terms, with_seeing

ROOT = Path(__file__).resolve().parents[1]
SEED = 7
# what is drawn: a mix of discs and bulges as in surveys of resolved galaxies
DISCS = 0.6  # share
DISC_INDICES, BULGE_INDICES = (0.5, 2.0), (2.0, 5.0)
RATIOS = 0.2, 1.0  # of the axes
SIZES = 0.4, 6.0  # effective radius over the FWHM of the seeing
SEEING = 2.5, 5.0  # FWHM in pixels
SIGNIFICANCE = 15.0, 500.0  # of the light within half-light radius
BETA = 3.0  # of the Moffat profile
STAMP, LARGEST_STAMP = 14.0, 901  # effective radii, pixels
KRON, KRON_REACH, LEAST_KRON = 2.5, 6.0, 3.5  # as SExtractor has them: PHOT_AUTOPARAMS
FILTER = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
# what may be given: the size that scales, and those beside it
COMBINATIONS = [('flux_radius',), ('r50',), ('a_image',), ('a_image', 'b_image'),
                ('a_image', 'kron_radius'), ('a_image', 'b_image', 'kron_radius')]
COMBINATIONS += [(size, *more) for size in ('flux_radius', 'r50') for more in COMBINATIONS[2:]]


def draw_galaxy(rng):
    """Parameters of a galaxy, its image without noise, and the noise of a pixel."""
    limits = DISC_INDICES if rng.random() < DISCS else BULGE_INDICES
    n, q = np.exp(rng.uniform(*np.log(limits))), rng.uniform(*RATIOS)
    fwhm = rng.uniform(*SEEING)
    r_eff = fwhm * np.exp(rng.uniform(*np.log(SIZES)))
    size = int(min(STAMP * (r_eff + fwhm), LARGEST_STAMP)) // 2 * 2 + 1
    profile = galsim.Sersic(n, half_light_radius=r_eff * np.sqrt(q))
    profile = profile.shear(q=q, beta=rng.uniform(0, np.pi) * galsim.radians)
    profile = galsim.Convolve(profile, galsim.Moffat(BETA, fwhm=fwhm))
    profile = profile.shift(*rng.uniform(-0.5, 0.5, 2))
    params = galsim.GSParams(maximum_fft_size=8192, folding_threshold=1e-2)
    image = profile.withGSParams(params).drawImage(nx=size, ny=size, scale=1.0).array
    noise = 0.5 / (np.exp(rng.uniform(*np.log(SIGNIFICANCE))) * np.sqrt(np.pi) * r_eff)
    return {'n': n, 'q': q, 'r_eff': r_eff, 'psf_fwhm': fwhm}, image.astype(float), noise


def measure_galaxy(image, noise, rng):
    """What SExtractor would say, and petroR90 without noise; None where it is not detected."""
    noisy = image + rng.normal(0, noise, image.shape)
    objects = sep.extract(noisy, 1.5, err=noise, filter_kernel=FILTER)
    middle = (image.shape[0] - 1) / 2
    far = np.hypot(objects['x'] - middle, objects['y'] - middle)
    if not len(far) or far.min() > 2:
        return None
    found = objects[np.argmin(far)]
    place = [np.array([found[name]]) for name in ('x', 'y', 'a', 'b', 'theta')]
    kron = KRON * sep.kron_radius(noisy, *place, KRON_REACH)[0]
    kron = np.maximum(kron, LEAST_KRON)
    flux = sep.sum_ellipse(noisy, *place, kron, subpix=5)[0]
    x, y, a = place[:3]
    radius = sep.flux_radius(noisy, x, y, KRON_REACH * a, 0.5, normflux=flux, subpix=5)[0]
    total = np.array([image.sum()])
    r50 = sep.flux_radius(image, x, y, np.array([middle]), 0.5, normflux=total, subpix=5)[0]
    values = {'flux_radius': radius[0], 'r50': r50[0], 'a_image': a[0], 'b_image': place[3][0],
              'kron_radius': kron[0], 'r90': petrosian_r90(image, middle, middle)}
    return values if np.isfinite(list(values.values())).all() and flux[0] > 0 else None


def simulate(n_galaxies):
    """Columns of what was drawn and measured."""
    rng = np.random.default_rng(SEED)
    rows = []
    while len(rows) < n_galaxies:
        drawn, image, noise = draw_galaxy(rng)
        measured = measure_galaxy(image, noise, rng)
        if measured is not None:
            rows.append({**drawn, **measured})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def spread(residual):
    """Standard deviation of the bulk: half of the range of the middle 68 per cent."""
    return float(np.diff(np.percentile(residual, [15.87, 84.13]))[0] / 2)


def fit_sizes(names, sky):
    """Coefficients, ranges and scatter for some measured sizes."""
    scale = sky[names[0]]
    ratios = [np.log(sky[name] if name == 'kron_radius' else sky[name] / scale)
              for name in names[1:]]
    ranges = [np.percentile(ratio, [1, 99]).tolist() for ratio in ratios]
    ratios = [np.clip(ratio, *limits) for ratio, limits in zip(ratios, ranges)]
    x, y = terms(ratios, scale.shape), np.log(sky['r90'] / scale)
    half = np.arange(len(y)) % 2 == 0
    kept = half.copy()
    for _ in range(5):  # without those that lie far off
        coefficients = np.linalg.lstsq(x[kept], y[kept], rcond=None)[0]
        residual = y - x @ coefficients
        kept = half & (np.abs(residual) < 4 * spread(residual[half]))
    return {'coefficients': np.round(coefficients, 5).tolist(),
            'ranges': np.round(ranges, 4).tolist(),
            'scatter': round(spread(residual[~half]), 4),
            'beyond_30_percent': round(float(np.mean(np.abs(residual[~half]) > 0.3)), 4)}


def fit_seeing(sky):
    """How the seeing is added to a Sersic profile's radius, and the scatter."""
    r90 = sersic_r90(sky['r_eff'], sky['n'], sky['q'])
    half = np.arange(len(r90)) % 2 == 0

    def residual(values):
        blurred = with_seeing(r90, sky['n'], sky['psf_fwhm'], *values)
        return np.log(sky['r90'] / blurred)

    found = minimize(lambda values: np.mean(np.abs(residual(values)[half])), [1.3, 0.1, 2.0],
                     method='Nelder-Mead').x
    return {**dict(zip(('factor', 'index', 'power'), np.round(found, 4).tolist())),
            'scatter': round(spread(residual(found)[~half]), 4)}


def write_table(found, path):
    """The scatter of each combination, for the documentation."""
    lines = ['.. list-table::', '   :header-rows: 1', '', '   * - given', '     - scatter',
             '     - with ``psf_fwhm``']
    for names in COMBINATIONS:
        key = '+'.join(names)
        values = [found['measured'][one]['scatter'] for one in (key, f'{key}+psf_fwhm')]
        lines.append('   * - ' + ', '.join(f'``{name}``' for name in names))
        lines += [f'     - {100 * value:.0f} %' for value in values]
    lines += ['   * - ``r_eff``, ``n``, ``q``', '     - 0, before the seeing',
              f"     - {100 * found['sersic']['scatter']:.0f} %"]
    path.write_text('\n'.join(lines) + '\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--galaxies', type=int, default=4000)
    options = parser.parse_args()
    sky = simulate(options.galaxies)
    keys = [names + more for names in COMBINATIONS for more in ((), ('psf_fwhm',))]
    found = {'galaxies': options.galaxies, 'sersic': fit_seeing(sky),
             'measured': {'+'.join(names): fit_sizes(names, sky) for names in keys}}
    (ROOT / 'galvae_affiliated' / 'data' / CALIBRATION).write_text(json.dumps(found, indent=1))
    write_table(found, ROOT / 'docs' / 'radii.inc')
    print(json.dumps(found, indent=1))


if __name__ == '__main__':
    main()
