# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How well a model tells galaxies like those of its training from what is none.

    bench_applicability.py SET.parquet [--model MODEL] [--split test] [-n 500] [--flux]
                           [--set NAME=FILE.parquet[,OPTION=VALUE...]]...
                           [--field NAME=FILE[+FILE...][,OPTION=VALUE...]]... [-o FILE.json]

SET is a Parquet file of cutouts at the model's scale with a column ``split``. Each kind of image
that is no such galaxy is made here, of the galaxies themselves; none takes part in the fit. A
line a kind: area under the ROC curve of the p-value against the galaxies as they are, share of
flagged rows, and the commonest reasons; with ``--flux`` once more for the same images seen as flux
with new noise in other pixels. The galaxies themselves follow, in color and in grey: the share
whose p-value is below 0.05 and below 0.01 should be that. So should it be of other sets, whose
options are those of `_sets.set_stack`, and of sources that are detected in fields (the demo field,
and others, whose options are those of `_sets.field_stack`). Of these, rows without
any flag of their own are counted: sources that are bright enough, resolved and whole.
"""

import argparse
import json
import time
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from _common import list_table, name_of, rounded
from _sets import field_stack, set_stack, split_words
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from galvae_affiliated import CutoutStack, Engine, GalvaeFlags, get_model
from galvae_affiliated.cutouts.sets import open_cutout_set
from galvae_affiliated.models.applicability import REASONS
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.training.other_looks import in_grey, other_look

KINDS = {}
LEVELS = (0.05, 0.01)
# flags that say nothing against a source, or what is measured here
HARMLESS = (GalvaeFlags.FEW_BANDS | GalvaeFlags.SCALE_ESTIMATED | GalvaeFlags.POOR_FIT
            | GalvaeFlags.UNLIKE_TRAINING)
DEMO = resources.files('galvae_affiliated') / 'data' / 'demo_field.fits'


def kind(function):
    """Make a kind of image known by the name of its function; it takes (N, 3, H, W) and a rng."""
    KINDS[function.__name__.replace('_', ' ')] = function
    return function


def sky_of(images, rng):
    """Sky without a galaxy: patches from a corner of each image, mirrored until it is full."""
    side = images.shape[-1]
    size = side // 5
    patches = images[:, :, :size, :size]
    whole = np.concatenate([patches, patches[..., ::-1]], axis=3)
    whole = np.concatenate([whole, whole[:, :, ::-1]], axis=2)
    n = -(-side // (2 * size))
    return np.tile(whole, (1, 1, n, n))[:, :, :side, :side].copy()


def distance(images):
    side = images.shape[-1]
    x = np.arange(side) - (side - 1) / 2
    return np.hypot(x[:, None], x)


@kind
def pure_noise(images, rng):
    level = images.mean(axis=(2, 3), keepdims=True)
    width = 10.0 ** rng.uniform(-2.0, -0.5, (len(images), 1, 1, 1))
    return level + width * rng.standard_normal(images.shape)


@kind
def star(images, rng):
    """A point source of the seeing of SDSS in a cutout of a galaxy's size, on sky."""
    width = rng.uniform(1.2, 3.0, (len(images), 1, 1, 1))
    peak = rng.uniform(0.2, 1.5, (len(images), 1, 1, 1))
    color = 1.0 + 0.2 * rng.standard_normal((len(images), 3, 1, 1))
    return sky_of(images, rng) + peak * color * np.exp(-0.5 * (distance(images) / width) ** 2)


@kind
def satellite_trail(images, rng):
    """A line of light over the galaxy, in all bands or in one."""
    side = images.shape[-1]
    x = np.arange(side) - (side - 1) / 2
    angle = rng.uniform(0.0, np.pi, (len(images), 1, 1))
    offset = rng.uniform(-0.2, 0.2, (len(images), 1, 1)) * side
    away = x[:, None] * np.cos(angle) + x * np.sin(angle) - offset
    line = np.exp(-0.5 * (away / rng.uniform(1.0, 2.5, (len(images), 1, 1))) ** 2)
    in_band = np.ones((len(images), 3))
    one = rng.random(len(images)) < 0.5
    in_band[one] = np.eye(3)[rng.integers(0, 3, one.sum())]
    bright = rng.uniform(0.2, 1.0, (len(images), 1, 1, 1))
    return images + bright * in_band[:, :, None, None] * line[:, None]


@kind
def blank_sky(images, rng):
    return sky_of(images, rng)


@kind
def shuffled_bands(images, rng):
    orders = np.array([[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    return np.stack([image[orders[i]] for image, i in
                     zip(images, rng.integers(0, len(orders), len(images)))])


@kind
def cosmic_rays(images, rng):
    """Short sharp tracks, each in one band, three to ten of them within the galaxy's radius."""
    result = images.copy()
    side = images.shape[-1]
    for image in result:
        for _ in range(rng.integers(3, 11)):
            angle, length = rng.uniform(0, 2 * np.pi), rng.integers(2, 16)
            start = side / 2 + rng.uniform(-0.25, 0.25, 2) * side
            steps = np.arange(length)
            y, x = (np.clip(np.rint(start[i] + steps * f(angle)), 0, side - 1).astype(int)
                    for i, f in enumerate((np.sin, np.cos)))
            image[rng.integers(0, 3), y, x] += rng.uniform(0.4, 1.0)
    return result


@kind
def blurred_4_times(images, rng):
    """A seeing four times that of SDSS, as of pixels of 0.04 petroR90 for a galaxy of 6 arcsec."""
    return gaussian_filter(images, (0, 0, 7.5, 7.5))


def blurred_with_noise(images, rng):
    """The same with the noise of the sky put back: harder, as no image is too smooth."""
    sky = sky_of(images, rng)
    noise = sky - gaussian_filter(sky, (0, 0, 2.0, 2.0))
    return blurred_4_times(images, rng) + noise


def as_stack(images):
    """8-bit composites, as the set itself has them."""
    return CutoutStack.from_composites(np.clip(np.rint(255 * images), 0, 255).astype(np.uint8))


def as_flux(images, model):
    """The same as flux of another survey: with its noise, in its pixels."""
    rng = np.random.default_rng(1)
    # nothing is taken away of them, so that they stay what they are
    return other_look('flux', np.clip(images, 0, 1), np.clip(images, 0, 1), model.frame, rng)


def measure(model, images, engine, *, to_stack=as_stack, random_state=0):
    """
    Scores of each kind of image that is no galaxy.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    images : (N, 3, grid, grid) array
        Composites in [0, 1].
    engine : `~galvae_affiliated.Engine`
    to_stack : callable, optional
        Images to what is encoded.
    random_state : int, optional

    Returns
    -------
    scores : dict of str to dict
        By the name of the kind.
    """
    whole, scores = judge(model, to_stack(images), engine), {}
    for name, change in {**KINDS, 'blurred with noise': blurred_with_noise}.items():
        changed = change(images, np.random.default_rng(random_state))
        found = judge(model, to_stack(changed), engine)
        p = np.concatenate([whole.p, found.p])
        is_other = np.repeat([0, 1], [len(images), len(found.p)])
        known = np.isfinite(p)
        scores[name] = {'auc': float(roc_auc_score(is_other[known], -p[known])),
                        'flagged': shares(found)['flagged'], 'reasons': commonest(found)}
    return scores


def judge(model, stack, engine):
    """`Applicability` of cutouts."""
    return model.applicability.test(Encoder(model, engine).encode(stack, statistics=True))


def shares(found, rows=slice(None)):
    """How many rows there are, and the shares of low p-values and of flags."""
    p = found.p[rows]
    known = np.isfinite(p)
    flags = found.flags()[rows][known] == GalvaeFlags.UNLIKE_TRAINING
    n = int(known.sum())
    return {'rows': n, **{f'p < {level}': float((p[known] < level).mean()) if n else np.nan
                          for level in LEVELS},
            'flagged': float(flags.mean()) if n else np.nan}


def commonest(found, rows=slice(None)):
    """The three commonest reasons, and their shares."""
    its = found.reasons[rows]
    reasons = {reason: float((its & bit > 0).mean()) if len(its) else 0.0
               for reason, (bit, _, _) in REASONS.items()}
    best = sorted(reasons, key=reasons.get, reverse=True)[:3]
    return {reason: reasons[reason] for reason in best if reasons[reason] > 0}


def others(model, engine, options):
    """Of other sets and fields, by name and rendering, the shares of all rows and of clean ones."""
    stacks = {'demo field': field_stack(str(DEMO), model, options.n, 'g+r+z')}
    for texts, read in ((options.set, set_stack), (options.field, field_stack)):
        for name, path, words in map(split_words, texts):
            stacks[name] = read(path, model, options.n, **words)
    scores = {}
    for name, stack in stacks.items():
        encoding = Encoder(model, engine).encode(stack, statistics=True)
        found = model.applicability.test(encoding)
        for kind in np.unique(encoding.image_kind[encoding.measured]):
            rows = encoding.measured & (encoding.image_kind == kind)
            clean = rows & ((encoding.flags & ~np.int32(HARMLESS)) == 0)
            scores[f'{name}, {kind}'] = {'all': shares(found, rows), 'clean': shares(found, clean),
                                         'reasons': commonest(found, clean & (found.p < 0.05))}
    return scores


def cost(model, images, engine):
    """Seconds of the processor a cutout, with and without applicability; the least of five."""
    encoder, stack = Encoder(model, engine), as_stack(images[:256])
    found = {}
    for name, wanted in (('without', False), ('with', True)):
        times = []
        for _ in range(5):
            start = time.process_time()
            encoding = encoder.encode(stack, statistics=wanted)
            if wanted:
                model.applicability.test(encoding)
            times.append(time.process_time() - start)
        found[name] = min(times) / len(stack)
    return found


def read_images(path, model, split, n, random_state=0):
    """(n, 3, grid, grid) composites of galaxies of a split, at random."""
    its = np.array(pq.read_table(path, columns=['split'])['split'].to_pylist()) == split
    rows = np.flatnonzero(its)
    rows = np.sort(np.random.default_rng(random_state).permutation(rows)[:n])
    source = open_cutout_set(path, model.frame, already_scaled=True)
    stacks = source.stacks(slice(row, row + 1) for row in rows)
    return np.concatenate([stack.data for stack in stacks]).astype(float)


def print_kinds(title, kinds):
    print(title)
    for name, row in kinds.items():
        reasons = ', '.join(f'{reason} {share:.2f}' for reason, share in row['reasons'].items())
        print(f'  {name:20s} AUC {row["auc"]:.3f}  flagged {row["flagged"]:.3f}  {reasons}')


def print_shares(scores):
    print('shares of p-values, of rows without another flag')
    for name, row in scores.items():
        row = row.get('clean', row)
        print(f'  {name:36s}', '  '.join(
            f'{key} {value:.3f}' if key != 'rows' else f'{value:5d}' for key, value in row.items()))


def tables(scores):
    """The scores as reStructuredText."""
    kinds = [[name, f'{row["auc"]:.3f}', f'{row["flagged"]:.3f}', ', '.join(row['reasons'])]
             for name, row in scores['kinds'].items()]
    if 'kinds as flux' in scores:
        for line, row in zip(kinds, scores['kinds as flux'].values()):
            line.insert(2, f'{row["auc"]:.3f}')
    header = ['images', 'AUC', *(['AUC as flux'] if len(kinds[0]) > 4 else []), 'flagged',
              'commonest reasons']
    shown = {name: row.get('clean', row) for name, row in scores['shares'].items()}
    lines = [[name, str(row['rows']), *(f'{row[key]:.3f}' for key in list(row)[1:])]
             for name, row in shown.items()]
    names = ['galaxies', 'rows', *list(next(iter(shown.values())))[1:]]
    title = f'Told from {scores["galaxies"]} galaxies by ``{name_of(scores["model"])}``'
    return [(title, header, kinds),
            ('Shares of p-values, of rows without another flag', names, lines)]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('galaxies', metavar='SET.parquet')
    parser.add_argument('--model')
    parser.add_argument('--split', default='test')
    parser.add_argument('-n', type=int, default=500, help='galaxies of each set at most')
    parser.add_argument('--flux', action='store_true', help='no galaxies as flux, too')
    for name, what in (('set', 'cutouts'), ('field', 'images')):
        parser.add_argument(f'--{name}', action='append', default=[], help=f'more {what}')
    parser.add_argument('--rst', help='file for the tables')
    parser.add_argument('-o', '--output')
    options = parser.parse_args()
    model, engine = get_model(options.model), Engine(device='cpu')
    if model.applicability is None:
        parser.error(f'{model.id} does not say how applicable it is; galvae fit-parts adds it')
    images = read_images(options.galaxies, model, options.split, options.n)
    scores = {'model': model.id, 'split': options.split, 'galaxies': len(images),
              'kinds': measure(model, images, engine)}
    print_kinds(f'told from {len(images)} galaxies', scores['kinds'])
    if options.flux:
        scores['kinds as flux'] = measure(model, images, engine,
                                          to_stack=lambda some: as_flux(some, model))
        print_kinds('the same as flux', scores['kinds as flux'])
    stacks = {'color': as_stack(images), 'grey': in_grey(as_stack(images), model.frame)}
    scores['shares'] = {f'{options.split}, {name}': shares(judge(model, stack, engine))
                        for name, stack in stacks.items()}
    scores['shares'] |= others(model, engine, options)
    print_shares(scores['shares'])
    scores['seconds a cutout'] = cost(model, images, engine)
    seconds = scores['seconds a cutout']
    print(f'cost: {1e3 * seconds["without"]:.3f} ms a cutout without, {1e3 * seconds["with"]:.3f} '
          f'with ({seconds["with"] / seconds["without"] - 1:+.1%})')
    if options.output:
        Path(options.output).write_text(json.dumps(rounded(scores), indent=1) + '\n')
    if options.rst:
        text = '\n'.join(list_table(*one, compact=True) for one in tables(scores))
        Path(options.rst).write_text(f'.. made by benchmarks/bench_applicability.py\n\n{text}')


if __name__ == '__main__':
    main()
