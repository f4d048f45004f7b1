# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Where a model stops knowing: scores against blur, noise and pixel size, in color and in grey.

    bench_degraded.py GALAXIES.parquet [--model MODEL] [--split test] [-n 500]
                      [--json OUT] [--csv OUT] [--rst OUT] [--picture PNG]

GALAXIES.parquet holds composites at the model's scale, with Galaxy Zoo 2 votes; of ``split``, N
galaxies with all votes are drawn. Each composite is undone to surface brightness and blurred (a
Gaussian, its FWHM in units of petroR90, on top of the survey's own seeing), or noise is added
until the signal to noise within petroR90 is the one stated (that of the flag FAINT; where the image
has less it stays as it is), or it is binned to larger pixels and cut out of these. The radius stays
that of the good image, as of a catalogue from one. Grey is the middle band alone.

The votes are those of the good image. ``auc`` and ``balanced`` are means over the questions that at
least 40 of the galaxies were asked, ``rmse`` is that of the cumulative fractions of the 2014 Galaxy
Zoo challenge; ``smooth`` is the mean predicted fraction of the first answer to the first question,
``entropy`` the mean of that question's predicted fractions, in units of that of equal ones.
``distance`` is that of the latents to those of the same galaxy's good image in color, the median in
units of the median distance of two different good galaxies; ``recall`` is the share of the galaxies
that are nearest to themselves among all good ones, ``kept`` the share that is nearer to itself than
that median distance, or has the flag UNRESOLVED. ``chi2`` is the median of the decoder's
residual, ``poor`` and ``unresolved`` the shares of the rows with the flags POOR_FIT and UNRESOLVED.
At last it prints where half of what the balanced accuracy has above chance is lost.
"""

import argparse
import csv

import numpy as np
from _common import add_outputs, composites, list_table, rounded, text_table, write_report
from _degraded import Degrader
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from galvae_affiliated import get_model
from galvae_affiliated.cutouts.resolution import MIN_PIXELS, MIN_RESOLUTION
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.models.votes import predict_votes
from galvae_affiliated.sources.point_sources import MOFFAT_R90
from galvae_affiliated.training.data.labels import question_tree, read_labels, read_votes
from galvae_affiliated.training.evaluate import votes as scores

AXES = {
    'PSF FWHM / R90': (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
    'signal to noise': (1000.0, 200.0, 100.0, 50.0, 25.0, 15.0, 10.0, 5.0),
    'pixels in R90': (25.0, 12.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0),
}
COLUMNS = ('auc', 'balanced', 'rmse', 'smooth', 'entropy', 'distance', 'recall', 'kept', 'chi2',
           'poor', 'unresolved')
# what has room on a page; the files of --csv and --json have the rest
IN_PAGE = ('auc', 'balanced', 'rmse', 'smooth', 'distance', 'poor', 'unresolved')
TREE = question_tree('gz2')
# questions of the challenge, whose votes have to be known
CHALLENGE = [question for question in TREE if question != 'merging']
SHOWN = {'auc': 'area under the ROC curve', 'rmse': 'RMSE of the fractions',
         'smooth': 'mean fraction "smooth"', 'distance': 'distance to its good image'}


def degraded_scores(degrader, votes, encoder):
    """
    Scores of all levels of all kinds of degradation.

    Parameters
    ----------
    degrader : `Degrader`
        Of N galaxies.
    votes : dict of str to `~galvae_affiliated.training.data.labels.Votes`
        Of the same galaxies, all of whose votes are known.
    encoder : `~galvae_affiliated.models.Encoder`

    Returns
    -------
    rows : list of dict
        ``axis``, ``value``, ``bands`` ('color' or 'grey') and the scores.
    """
    clean = encoder.encode(degrader.stack(degrader.flux, grey=False), reconstruction=False).latent
    apart = pairwise_distances(clean)
    unit = np.median(apart[np.triu_indices(len(clean), 1)])
    change = {'PSF FWHM / R90': degrader.blurred, 'signal to noise': degrader.noisier,
              'pixels in R90': degrader.coarser}
    rows = []
    for axis, values in AXES.items():
        for value in values:
            flux = change[axis](value)
            about = {'fwhm': value} if axis.startswith('PSF') else {}
            about |= {'pixels': value} if axis.startswith('pixels') else {}
            for bands in ('color', 'grey'):
                stack = degrader.stack(flux, grey=bands == 'grey', **about)
                row = _scores(encoder.encode(stack), votes, encoder, clean, unit)
                rows.append({'axis': axis, 'value': value, 'bands': bands, **row})
    return rows


def _scores(encoding, votes, encoder, clean, unit):
    """Scores of one encoding."""
    model = encoder.model
    known = {q: one for q, one in votes.items() if q in model.questions}
    fractions = predict_votes(encoding.latent, model, encoder.engine).fractions
    found = scores.vote_scores(fractions, known, n_boot=1)
    first = next(iter(model.questions))
    share = fractions[first].clip(1e-6, 1)
    nearest = NearestNeighbors(n_neighbors=1).fit(clean).kneighbors(encoding.latent)[1][:, 0]
    rmse = np.nan
    if set(CHALLENGE) <= set(fractions):
        tree = {q: TREE[q] for q in CHALLENGE}
        rmse = scores.cumulative_rmse(fractions, votes, tree, np.ones(len(clean), bool))
    away = np.linalg.norm(encoding.latent - clean, axis=1) / unit
    unresolved = (encoding.flags & GalvaeFlags.UNRESOLVED) != 0
    return {
        'auc': _mean(found, 'auc'), 'balanced': _mean(found, 'balanced'),
        'rmse': rmse, 'smooth': share[:, 0].mean(),
        'entropy': -(share * np.log(share)).sum(1).mean() / np.log(share.shape[1]),
        'distance': np.median(away), 'kept': np.mean((away < 1) | unresolved),
        'recall': np.mean(nearest == np.arange(len(clean))),
        'chi2': np.median(encoding.recon_chi2),
        'poor': np.mean((encoding.flags & GalvaeFlags.POOR_FIT) != 0),
        'unresolved': np.mean(unresolved)}


def _mean(found, name):
    """Mean of a score over the questions that have it; NaN if none has."""
    values = [row[name] for row in found if np.isfinite(row[name])]
    return np.mean(values) if values else np.nan


def chance(votes, questions):
    """Balanced accuracy of one answer for all galaxies."""
    known = {q: one for q, one in votes.items() if q in questions}
    same = {q: np.broadcast_to(np.eye(one.fractions.shape[1])[0], one.fractions.shape)
            for q, one in known.items()}
    return _mean(scores.vote_scores(same, known, n_boot=1), 'balanced')


def half_lost(rows, by_chance):
    """
    Where half of what the balanced accuracy has above chance is lost.

    Parameters
    ----------
    rows : list of dict
        See `degraded_scores`.
    by_chance : float
        See `chance`.

    Returns
    -------
    limits : dict of str to dict of str to float
        By axis and bands, between the levels by linear interpolation; NaN where it is not lost.
    """
    limits = {}
    for axis in AXES:
        for bands in ('color', 'grey'):
            some = [row for row in rows if row['axis'] == axis and row['bands'] == bands]
            score = np.array([row['balanced'] for row in some])
            values = np.log(np.maximum([row['value'] for row in some], 1e-3))
            half = (score[0] + by_chance) / 2
            below = np.flatnonzero(score < half)
            limit = np.nan
            if len(below):
                i = below[0]
                share = (score[i - 1] - half) / (score[i - 1] - score[i])
                limit = np.exp(values[i - 1] + share * (values[i] - values[i - 1]))
            limits.setdefault(axis, {})[bands] = float(limit)
    return limits


def draw(path, rows, n, model):
    """The scores against each axis; where rows are flagged UNRESOLVED is shaded."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 10), layout='constrained')
    axes = figure.subplots(len(SHOWN), len(AXES), sharey='row', sharex='col')
    limits = {'PSF FWHM / R90': 1 / (MOFFAT_R90 * MIN_RESOLUTION), 'pixels in R90': MIN_PIXELS}
    for line, (score, label) in zip(axes, SHOWN.items()):
        for ax, (axis, values) in zip(line, AXES.items()):
            for bands, style in (('color', 'C0o-'), ('grey', 'C7s--')):
                some = [row for row in rows if row['axis'] == axis and row['bands'] == bands]
                ax.plot([row['value'] for row in some], [row[score] for row in some], style,
                        label=bands, markersize=4)
            if axis in limits:
                worst = values[-1]
                ax.axvspan(limits[axis], worst, color='C3', alpha=0.12, lw=0,
                           label='UNRESOLVED')
            if not axis.startswith('PSF'):
                ax.set_xscale('log')
                ax.set_xlim(values[0] * 1.1, values[-1] / 1.1)
                ax.set_xticks(values, [f'{value:g}' for value in values])
                ax.set_xticks([], minor=True)
            ax.grid(alpha=0.3)
            if score == 'distance':
                ax.axhline(1.0, color='k', lw=0.8, ls=':')
                ax.set_xlabel(axis)
        line[0].set_ylabel(label)
    axes[0][0].legend(fontsize=8)
    figure.suptitle(f'{model}, {n} galaxies', fontsize=10)
    figure.savefig(path, dpi=110)


def tables(rows, columns=COLUMNS):
    """A title, header and rows for each axis."""
    for axis, values in AXES.items():
        lines = []
        for value in values:
            for bands in ('color', 'grey'):
                row = next(r for r in rows if (r['axis'], r['value'], r['bands']) ==
                           (axis, value, bands))
                lines.append([f'{value:g}', bands, *(f'{row[name]:.3f}' for name in columns)])
        yield axis, [axis, 'bands', *columns], lines


def limit_table(limits):
    """Title, header and rows of what `half_lost` gives."""
    rows = [[axis, *(f'{value:.2f}' for value in values.values())]
            for axis, values in limits.items()]
    return 'Where half of the balanced accuracy above chance is lost', ['', 'color', 'grey'], rows


def read_galaxies(path, split, n):
    """Identifiers and votes of ``n`` galaxies of a split with all votes, drawn at random."""
    labels = read_labels(path, 'id_str')
    labels = labels[labels['split'] == split]
    complete = np.all([labels[f'{q}-gz2_reach'].notna() for q in CHALLENGE], axis=0)
    labels = labels[complete]
    chosen = np.sort(np.random.default_rng(0).permutation(len(labels))[:n])
    labels = labels.iloc[chosen]
    return labels.index.to_numpy(), read_votes(labels, TREE, '-gz2')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('--model', help='name or file; the default model if left out')
    parser.add_argument('--split', default='test')
    parser.add_argument('-n', type=int, default=500, help='galaxies (default 500)')
    parser.add_argument('--n-threads', type=int)
    parser.add_argument('--csv', help='file for the scores, a row a level')
    parser.add_argument('--picture', help='file for the figure')
    add_outputs(parser)
    options = parser.parse_args()
    bundle = get_model(options.model)
    ids, votes = read_galaxies(options.data, options.split, options.n)
    degrader = Degrader(composites(options.data, bundle, ids), bundle)
    encoder = Encoder(bundle, n_threads=options.n_threads)
    rows = degraded_scores(degrader, votes, encoder)
    found = list(tables(rows))
    for title, header, lines in found:
        print(text_table(title, header, lines))
    if options.csv:
        with open(options.csv, 'w', newline='') as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(map(rounded, rows))
    if options.picture:
        draw(options.picture, rows, len(ids), bundle.id)
    by_chance = chance(votes, bundle.questions)
    limits = half_lost(rows, by_chance)
    print(f'balanced accuracy by chance {by_chance:.3f}; half of the rest is lost at')
    for axis, values in limits.items():
        print(f'  {axis}: ' + ', '.join(f'{value:.2f} in {name}' for name, value in values.items()))
    figures = {'model': bundle.id, 'split': options.split, 'galaxies': len(ids),
               'chance': by_chance, 'half lost at': limits,
               'own signal to noise': np.percentile(degrader.signal / degrader.noise,
                                                    [10, 50, 90]).tolist(),
               'rows': rows}
    parts = [*tables(rows, IN_PAGE), limit_table(limits)]
    text = '\n'.join(list_table(*part, compact=True) for part in parts)
    about = f'{len(ids)} galaxies of ``{options.split}``, ``{bundle.name}``.\n'
    write_report(options, rounded(figures), f'{text}\n{about}', 'bench_degraded.py')


if __name__ == '__main__':
    main()
