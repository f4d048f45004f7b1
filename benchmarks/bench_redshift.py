# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Do latents hold for a galaxy that is made smaller and fainter, as if it were farther away?

    bench_redshift.py GALAXIES.parquet [--model MODEL] [--split test] [-n 300]
                      [--json OUT] [--rst OUT] [--picture PNG]

GALAXIES.parquet holds composites at the model's scale; of ``split``, N galaxies are drawn. Each is
undone to surface brightness and put to other redshifts: its angular size shrinks as the distance
of angular diameter grows (Planck 2018), and its surface brightness per unit frequency fades as
(1 + z)^-3. Its spectrum is taken as flat and as not evolving. It is blurred to the seeing of each
of three surveys, where this is wider than its own, binned to their pixels, covered with their
noise, and cut out of these. All galaxies are taken to be at the redshift and of the radius that are
typical of the set (``--redshift``, ``--radius``).

``distance`` is that of the latents to those of the same galaxy's good image in color, the median in
units of the median distance of two different good galaxies; ``near`` is the share of the galaxies
that are nearer to themselves than that, ``unresolved`` the share whose row has the flag UNRESOLVED,
and ``kept`` the share with one or the other.
"""

import argparse

import numpy as np
from _common import (
    add_outputs,
    composites,
    list_table,
    rounded,
    split_ids,
    text_table,
    write_report,
)
from _degraded import Degrader
from astropy.cosmology import Planck18
from sklearn.metrics import pairwise_distances

from galvae_affiliated import get_model
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.models.encoder import Encoder

REDSHIFTS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
# FWHM and side of a pixel in arcsec, and how much deeper than the set's images, in noise at equal
# area; the ground and space are like LSST's r band of a year and Euclid's VIS
SURVEYS = {'SDSS': (1.3, 0.396, 1.0), 'ground': (0.7, 0.2, 10.0), 'space': (0.16, 0.1, 10.0)}
REDSHIFT, RADIUS = 0.08, 7.0  # of bright SDSS galaxies; arcsec
OWN_FWHM = 1.3  # arcsec
COLUMNS = ('distance', 'near', 'unresolved', 'kept')


def as_seen(degrader, z, survey, own_z, own_radius):
    """
    Flux of the galaxies as a survey would show them at another redshift.

    Parameters
    ----------
    degrader : `_degraded.Degrader`
    z : float
    survey : tuple of 3 float
        A value of ``SURVEYS``.
    own_z, own_radius : float
        Redshift and petroR90 in arcsec of the galaxies as they are.

    Returns
    -------
    flux : (N, 3, grid, grid) array
    fwhm, pixels : float
        FWHM of the PSF in petroR90, and pixels in petroR90.
    """
    fwhm, pixel, depth = survey
    distances = Planck18.angular_diameter_distance([own_z, z])
    radius = own_radius * float(distances[0] / distances[1])
    dimming = ((1 + own_z) / (1 + z)) ** 3
    added = max((fwhm / radius) ** 2 - (OWN_FWHM / own_radius) ** 2, 0.0) ** 0.5
    level = degrader.level[:, :, None, None]
    flux = level + dimming * (degrader.blurred(added) - level)
    # that of a pixel of the images as they are, for the area of one of the survey
    own_pixel = own_radius / degrader.r90
    noise = np.median(degrader.noise, axis=0) * own_pixel / pixel / depth
    pixels = radius / pixel
    return degrader.coarser(min(pixels, degrader.r90), flux, noise), fwhm / radius, pixels


def measure(degrader, encoder, own_z, own_radius):
    """
    Scores of all redshifts, surveys and bands.

    Returns
    -------
    rows : list of dict
        ``survey``, ``z``, ``bands``, ``fwhm`` in petroR90, and ``COLUMNS``.
    """
    clean = encoder.encode(degrader.stack(degrader.flux, grey=False), reconstruction=False).latent
    unit = np.median(pairwise_distances(clean)[np.triu_indices(len(clean), 1)])
    rows = []
    for survey, about in SURVEYS.items():
        for z in REDSHIFTS:
            flux, fwhm, pixels = as_seen(degrader, z, about, own_z, own_radius)
            for bands in ('color', 'grey'):
                stack = degrader.stack(flux, grey=bands == 'grey', fwhm=fwhm, pixels=pixels)
                found = encoder.encode(stack, reconstruction=False)
                away = np.linalg.norm(found.latent - clean, axis=1) / unit
                is_told = (found.flags & GalvaeFlags.UNRESOLVED) != 0
                rows.append({'survey': survey, 'z': z, 'bands': bands, 'fwhm': fwhm,
                             'distance': float(np.median(away)), 'near': float((away < 1).mean()),
                             'unresolved': float(is_told.mean()),
                             'kept': float((is_told | (away < 1)).mean())})
    return rows


def draw(path, rows, n, model):
    """The distance against redshift, one axis a survey; where rows are flagged it is shaded."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout='constrained')
    axes = figure.subplots(1, len(SURVEYS), sharey=True)
    for ax, survey in zip(axes, SURVEYS):
        some = [row for row in rows if row['survey'] == survey]
        for bands, style in (('color', 'C0o-'), ('grey', 'C7s--')):
            its = [row for row in some if row['bands'] == bands]
            ax.plot([row['z'] for row in its], [row['distance'] for row in its], style,
                    markersize=4, label=bands)
        told = [row['z'] for row in some if row['unresolved'] > 0.5]
        if told:
            ax.axvspan(min(told), REDSHIFTS[-1], color='C3', alpha=0.12, lw=0, label='UNRESOLVED')
        ax.axhline(1.0, color='k', lw=0.8, ls=':')
        ax.set(xlabel='redshift', title=survey)
        ax.grid(alpha=0.3)
    axes[0].set(ylabel='distance to its good image', ylim=(0, None))
    axes[0].legend(fontsize=8)
    figure.suptitle(f'{model}, {n} galaxies', fontsize=10)
    figure.savefig(path, dpi=110)


def table(rows):
    """Title, header and lines of all rows."""
    header = ['survey', 'z', 'FWHM / R90', 'bands', *COLUMNS]
    lines = [[row['survey'], f'{row["z"]:g}', f'{row["fwhm"]:.2f}', row['bands'],
              *(f'{row[name]:.3f}' for name in COLUMNS)] for row in rows]
    return 'Galaxies as if farther away', header, lines


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('--model', help='name or file; the default model if left out')
    parser.add_argument('--split', default='test')
    parser.add_argument('-n', type=int, default=300, help='galaxies (default 300)')
    parser.add_argument('--redshift', type=float, default=REDSHIFT, help='of the galaxies as '
                        f'they are (default {REDSHIFT})')
    parser.add_argument('--radius', type=float, default=RADIUS, metavar='ARCSEC',
                        help=f'petroR90 of the galaxies as they are (default {RADIUS:g})')
    parser.add_argument('--n-threads', type=int)
    parser.add_argument('--picture', help='file for the figure')
    add_outputs(parser)
    options = parser.parse_args()
    bundle = get_model(options.model)
    ids = split_ids(options.data, options.split)
    ids = ids[np.sort(np.random.default_rng(0).permutation(len(ids))[:options.n])]
    degrader = Degrader(composites(options.data, bundle, ids), bundle)
    encoder = Encoder(bundle, n_threads=options.n_threads)
    rows = measure(degrader, encoder, options.redshift, options.radius)
    found = table(rows)
    print(text_table(*found))
    least = {survey: min(row['kept'] for row in rows if row['survey'] == survey
                         and row['z'] >= 0.3) for survey in SURVEYS}
    print('at z of 0.3 and more, kept at least: '
          + ', '.join(f'{share:.3f} in {survey}' for survey, share in least.items()))
    if options.picture:
        draw(options.picture, rows, len(ids), bundle.id)
    figures = {'model': bundle.id, 'split': options.split, 'galaxies': len(ids),
               'redshift': options.redshift, 'radius': options.radius, 'least kept': least,
               'rows': rows}
    about = f'{len(ids)} galaxies of ``{options.split}``, ``{bundle.name}``.\n'
    text = f'{list_table(*found, compact=True)}\n{about}'
    write_report(options, rounded(figures), text, 'bench_redshift.py')


if __name__ == '__main__':
    main()
