# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Whether a simulated field gives back what was drawn into it: sizes and answers.

    bench_simulate.py [MODEL] [--galaxies 2000] [--size 4000] [--seed 1]
                      [--separation 1.4 0] [--details galaxy] [--json OUT] [--rst OUT]

A field is drawn as ``galvae simulate`` does, and encoded from detection to table. Galaxies are
matched by place; those with a signal-to-noise ratio above 50 within petroR90 and without a flag
of their radius or of a neighbour are compared.

So many bright galaxies in so small a field are hundreds of times as many as there are on the sky:
where they fall at random, most cutouts hold a part of another galaxy, and look like mergers. So
there are two fields: in one they keep apart, by 1.4 times the sum of their petroR90. Of the other
the answers of those galaxies that happen to be so far from others are counted by themselves too.

Radii are compared with those that the galaxies were asked to have, before the PSF, and with those
that they have after it. Answers are compared with those of the latents that were drawn, and with
those of the latents that the encoder reads from each composite as it was drawn, before there was
a field.
"""

import argparse
import time

import numpy as np
from _common import add_outputs, list_table, write_report
from scipy.spatial import cKDTree

from galvae_affiliated import Engine, encode_catalog, get_model
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.models.details import DETAILS
from galvae_affiliated.models.votes import predict_votes
from galvae_affiliated.simulation import random_catalog, simulate_field, surface_brightness
from galvae_affiliated.simulation.templates import flux_rendering, log_brightness

NOISE, PIXEL_SCALE, SEEING = 0.01, 0.262, 0.8  # nmgy a pixel, arcsec, arcsec
MAGNITUDES = 14.0, 18.5  # whose galaxies are resolved
TYPICAL, DRAWN = (16.4, 16.6), 500  # magnitudes of the training galaxies, and how many are drawn
MIN_SN, REACH = 50.0, 3.0
APART = 1.4
CLEAR = 0.6  # fraction of the likeliest answer above which it is hardly a matter of chance
DOUBTFUL = (GalvaeFlags.RADIUS_UNCERTAIN | GalvaeFlags.BLENDED | GalvaeFlags.MISSING_PIXELS
            | GalvaeFlags.EDGE | GalvaeFlags.UNRESOLVED)


def _signal_to_noise(truth):
    """Of each galaxy's light in the middle band, within petroR90."""
    flux = 10.0 ** (0.4 * (22.5 - np.asarray(truth['mag'])))
    radius = np.asarray(truth['petro_r90']) / PIXEL_SCALE
    return flux / (NOISE * np.sqrt(np.pi) * radius)


def _agreement(model, drawn, again):
    """How often the likeliest answer stays: of all that are asked, of clear ones, by question."""
    before, after = (predict_votes(np.asarray(latent, dtype=np.float32), model, Engine())
                     for latent in (drawn, again))
    same, is_clear, by_question = [], [], {}
    for question in model.questions:
        asked = before.applies(question)
        if asked.any():
            same.append(before.likeliest(question)[asked] == after.likeliest(question)[asked])
            is_clear.append(before.fractions[question][asked].max(axis=1) > CLEAR)
            by_question[question] = {'galaxies': int(asked.sum()), 'agree': float(same[-1].mean())}
    same, is_clear = (np.concatenate(values) for values in (same, is_clear))
    return {'all': float(same.mean()), f'clearer than {CLEAR}': float(same[is_clear].mean()),
            'answers': len(same), 'by question': by_question}


def _brighter(model, seed):
    """Magnitudes by which a random catalogue is brighter for its size than what is drawn."""
    rng = np.random.default_rng(seed)
    drawn = model.generate(DRAWN, random_state=seed, details='none').images
    light = surface_brightness(drawn, flux_rendering(model))
    catalog = random_catalog(DRAWN, (1000, 1000), pixel_scale=PIXEL_SCALE, magnitudes=TYPICAL,
                             random_state=rng)
    asked = 0.4 * (22.5 - catalog['mag'].value) - 2.0 * np.log10(catalog['petro_r90'].value)
    return 2.5 * float(np.median(asked)
                       - np.nanmedian(log_brightness(light, model.field_of_view)))


def _is_apart(truth):
    """Which galaxies have no other nearer than `APART` times the sum of their petroR90."""
    x, y = truth['x'], truth['y']
    radius = truth['petro_r90'].value / PIXEL_SCALE
    return np.array([np.sum(np.hypot(x - x[i], y - y[i]) < APART * (radius + radius[i])) == 1
                     for i in range(len(truth))])


def _matched(table, truth):
    """The rows of a table that are nearest to the galaxies of the truth, and how far they are."""
    x, y = (np.ma.filled(table[name], np.nan) for name in ('x_centroid', 'y_centroid'))
    far, place = cKDTree(np.c_[x, y]).query(np.c_[truth['x'], truth['y']])
    return place, far


def _report(table, truth, model):
    place, far = _matched(table, truth)
    flags = np.asarray(table['galvae_flags'])[place]
    latent = np.ma.filled(table['galvae_latent'], np.nan)[place]
    radius = np.asarray(np.ma.filled(table['galvae_radius'], np.nan))[place]
    bright, found = _signal_to_noise(truth) > MIN_SN, far < REACH
    sure = bright & found & (flags & int(DOUBTFUL) == 0) & np.isfinite(latent).all(1)
    report = {'rows': len(table), 'above S/N 50': int(bright.sum()),
              'found of these': float(found[bright].mean()), 'compared': int(sure.sum())}
    for name, words in (('petro_r90_seen', 'after'), ('petro_r90', 'before')):
        ratio = radius[sure] / np.asarray(truth[name].value)[sure]
        report[f'radius {words} the PSF'] = {
            'median': float(np.nanmedian(ratio)),
            'off by, median': float(np.nanmedian(np.abs(ratio - 1.0)))}
    for name, words in (('galvae_latent', 'drawn latents'),
                        ('galvae_latent_read', 'latents read')):
        report[f'agree with {words}'] = _agreement(model, truth[name][sure], latent[sure])
    report['read and drawn'] = _agreement(
        model, truth['galvae_latent'][sure], truth['galvae_latent_read'][sure])
    apart = sure & _is_apart(truth)
    report['galaxies apart'] = int(apart.sum())
    report['agree with drawn latents, apart'] = _agreement(
        model, truth['galvae_latent'][apart], latent[apart]) if apart.any() else {'all': np.nan}
    return report


def _field(model, separation, options):
    """What comes back of a field of galaxies that keep so far apart."""
    shape = options.size, options.size
    catalog = random_catalog(options.galaxies, shape, pixel_scale=PIXEL_SCALE,
                             magnitudes=MAGNITUDES, separation=separation,
                             random_state=options.seed)
    start = time.perf_counter()
    field = simulate_field(catalog, model, shape=shape, pixel_scale=PIXEL_SCALE, noise=NOISE,
                           psf_fwhm=SEEING, details=options.details, read_back=True,
                           random_state=options.seed)
    simulated = time.perf_counter() - start
    start = time.perf_counter()
    table = encode_catalog(field.images, model=model, unit='nmgy', pixel_scale=PIXEL_SCALE,
                           psf_fwhm=SEEING)
    encoded = time.perf_counter() - start
    return {'separation': separation, 'galaxies': len(field.truth),
            'seconds to simulate': simulated, 'seconds to encode': encoded,
            **_report(table, field.truth, model)}


def _table(fields):
    """The figures of both fields, side by side."""
    off, drawn, read = 'off by, median', 'agree with drawn latents', 'agree with latents read'
    clear = f'clearer than {CLEAR}'
    lines = [
        ('galaxies found', lambda f: f['found of these']),
        ('radius, off from that after the PSF', lambda f: f['radius after the PSF'][off]),
        ('radius, off from that asked for', lambda f: f['radius before the PSF'][off]),
        ('answers as of the drawn latents', lambda f: f[drawn]['all']),
        (f'these, of galaxies that are apart by {APART:g}',
         lambda f: f[f'{drawn}, apart']['all']),
        (f'all galaxies, answers of a fraction above {CLEAR}', lambda f: f[drawn][clear]),
        ('answers as of the latents read from composites', lambda f: f[read]['all']),
        ('composites: answers as of the drawn latents', lambda f: f['read and drawn']['all'])]
    header = ['', *(f'apart by {one:g}' if one else 'at random' for one in fields)]
    return list_table('', header, [[name, *(f'{get(field):.3f}' for field in fields.values())]
                                   for name, get in lines])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', nargs='?')
    parser.add_argument('--galaxies', type=int, default=2000)
    parser.add_argument('--size', type=int, default=4000, help='pixels a side')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--separation', type=float, nargs='+', default=[APART, 0.0],
                        help='of each field, in units of the sum of two radii; 0 leaves galaxies '
                        'upon others')
    parser.add_argument('--details', choices=DETAILS, default='galaxy')
    add_outputs(parser)
    options = parser.parse_args()
    model = get_model(options.model)
    fields = {}
    for separation in options.separation:
        fields[separation] = _field(model, separation, options)
        for name, value in fields[separation].items():
            print(name, value, flush=True)
    report = {'model': model.id, 'brighter for its size, mag': _brighter(model, options.seed),
              'fields': fields}
    print(*list(report.items())[:2])
    write_report(options, report, _table(fields), 'bench_simulate.py')


if __name__ == '__main__':
    main()
