# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Do two surveys share the latents of a model, and what does `SurveyAdapter` change?

    bench_two_surveys.py SDSS.parquet ENCODED_SDSS DECALS.parquet ENCODED_DECALS
                         [--pairs PAIRS.csv] [--model MODEL] [--json OUT] [--rst OUT]

The encoded tables are what ``galvae encode`` writes of the two sets (``--already-scaled`` for that
of Galaxy Zoo 2). A map is fitted to galaxies of ``train`` and of ``adapt``, of like kind by the
predicted fractions of `QUESTIONS`: it gives the target the means and covariances of the source. On
half of the galaxies, which another fit leaves out: the squared maximum mean discrepancy, and the
area under the ROC curve of boosted trees that are told to tell the surveys apart, with intervals of
95 per cent; beside it, what the means alone do.

On the measured galaxies of ``test`` of the target, whose Galaxy10 classes are known: means over the
`TASKS` of the balanced accuracy of the likeliest answer, and of the area under the ROC curve of
each answer. PAIRS has the columns ``decals_id`` and ``sdss_id``: the share of the galaxies that
find themselves, by the distance of whitened latents, among all of ``test`` of the source.
"""

import argparse

import numpy as np
import pandas as pd
from _common import add_outputs, list_table, rounded, text_table, write_report
from sklearn.metrics import roc_auc_score

from galvae_affiliated import Engine, get_model
from galvae_affiliated.models.votes import predict_votes
from galvae_affiliated.models.whitening import Whitening
from galvae_affiliated.surveys import SurveyAdapter, pair_scores
from galvae_affiliated.tables.files import read_catalog

QUESTIONS = ('smooth-or-featured', 'disk-edge-on', 'has-spiral-arms', 'bar', 'how-rounded',
             'merging')
WHEN = ('before', 'after', 'shifted')
N_SOURCE = 6000  # galaxies of the source that the map is fitted to, at most
SMOOTH = ('Round_Smooth_Galaxies', 'In_Between_Round_Smooth_Galaxies',
          'Cigar_Shaped_Smooth_Galaxies')
EDGE_ON = ('Edge_On_Galaxies_With_Bulge', 'Edge_On_Galaxies_Without_Bulge')
BARRED, TIGHT, LOOSE = ('Barred_Spiral_Galaxies', 'Unbarred_Tight_Spiral_Galaxies',
                        'Unbarred_Loose_Spiral_Galaxies')
SPIRALS = (BARRED, TIGHT, LOOSE)
# question to the classes of each of the answers that are told apart
TASKS = {
    'how-rounded': dict(zip(('round', 'in-between', 'cigar'), zip(SMOOTH))),
    'smooth-or-featured': {'smooth': SMOOTH, 'featured-or-disk': EDGE_ON + SPIRALS},
    'disk-edge-on': {'yes': EDGE_ON, 'no': SPIRALS},
    'bar': {'yes': (BARRED,), 'no': (TIGHT, LOOSE)},
    'spiral-winding': {'tight': (TIGHT,), 'loose': (LOOSE,)},
    'bulge-shape': {'round': EDGE_ON[:1], 'no-bulge': EDGE_ON[1:]},
    'merging': {'merger': ('Merging_Galaxies',), 'none': SMOOTH + EDGE_ON + SPIRALS},
}


class Survey:
    """Labels and latents of the measured galaxies of a survey."""

    def __init__(self, path, encoded, model, columns):
        labels = pd.read_parquet(path, columns=['id_str', 'split', *columns])
        labels = labels.assign(id_str=labels.id_str.astype(str)).set_index('id_str')
        table = read_catalog(encoded)
        latents = np.ma.filled(np.ma.asarray(table['galvae_latent'], dtype=float), np.nan)
        known = np.isfinite(latents).all(axis=1)
        self.latents = latents[known]
        self.labels = labels.loc[np.asarray(table['id_str'])[known].astype(str)]
        self.fractions = predict_votes(self.latents.astype(np.float32), model, Engine()).fractions

    def rows(self, split):
        """Rows of a split."""
        return np.flatnonzero(self.labels['split'] == split)

    def kinds(self, rows):
        """(N, K) predicted fractions."""
        return np.concatenate([self.fractions[q][rows] for q in QUESTIONS], axis=1)


def fit_map(source, target, random_state=0):
    """`SurveyAdapter` of galaxies of like kind."""
    its = source.rows('train')
    its = np.sort(np.random.default_rng(random_state).permutation(its)[:N_SOURCE])
    others = target.rows('adapt')
    return SurveyAdapter.fit(source.latents[its], target.latents[others], method='coral',
                             kinds=(source.kinds(its), target.kinds(others)),
                             random_state=random_state)


def answer_scores(fractions, classes, questions):
    """
    Means over `TASKS` of balanced accuracy and area under the ROC curve.

    Parameters
    ----------
    fractions : dict of str to (N, n_answers) array
    classes : (N,) array of str
        Of Galaxy10.
    questions : dict of str to tuple of str
        The answers of each question.

    Returns
    -------
    balanced, auc : float
    """
    balanced, areas = [], []
    for question, answers in TASKS.items():
        place = {name: i for i, names in enumerate(answers.values()) for name in names}
        asked = np.isin(classes, list(place))
        true = np.array([place[name] for name in classes[asked]])
        columns = [questions[question].index(answer) for answer in answers]
        shares = fractions[question][asked][:, columns]
        found = shares.argmax(axis=1)
        there = np.unique(true)
        balanced.append(np.mean([(found[true == i] == i).mean() for i in there]))
        areas.append(np.mean([roc_auc_score(true == i, shares[:, i]) for i in there]))
    return float(np.mean(balanced)), float(np.mean(areas))


def read_pairs(path, source, target):
    """(P, 2) rows of ``test`` of the source, and of the target, that are the same galaxy."""
    pairs = pd.read_csv(path, dtype=str)
    place = {name: i for i, name in enumerate(source.labels.index[source.rows('test')])}
    other = {name: i for i, name in enumerate(target.labels.index)}
    return np.array([(place[a], other[b]) for a, b in zip(pairs['sdss_id'], pairs['decals_id'])
                     if a in place and b in other])


def measure(source, target, model, pairs=None):
    """Figures before and after the map; those of the means alone where there are any."""
    adapter = fit_map(source, target)
    report = adapter.report
    found = {'verdict': f'{report["verdict"]}: {report["why"]}',
             'discrepancy (MMD2)': {when: report[when]['mmd'] for when in WHEN},
             'survey classifier, AUC': {when: report[when]['survey_area'] for when in WHEN}}
    rows = target.rows('test')
    mapped = adapter.transform(target.latents)
    fractions = {'before': target.fractions,
                 'after': predict_votes(mapped, model, Engine()).fractions}
    classes = np.array(target.labels['galaxy10_class'].fillna('').to_list())[rows]
    scores = {when: answer_scores({q: f[rows] for q, f in some.items()}, classes, model.questions)
              for when, some in fractions.items()}
    for i, name in enumerate(('answers, balanced accuracy', 'answers, AUC')):
        found[name] = {when: {'value': one[i]} for when, one in scores.items()}
    if pairs is not None:
        found |= _pair_figures(source, target.latents, mapped, pairs)
    return found


def _pair_figures(source, before, after, pairs):
    """Recall of pairs by whitened latents, before and after."""
    whitening = Whitening.fit(source.latents[source.rows('test')])
    own = whitening(source.latents[source.rows('test')])
    scores = {when: pair_scores(own, whitening(latents), pairs)
              for when, latents in (('before', before), ('after', after))}
    return {f'pairs found at rank {n}': {when: one[f'recall_{n}'] for when, one in scores.items()}
            for n in (1, 10)}


def table(figures, title):
    """Title, header and rows."""
    def cell(entry):
        if entry is None:
            return ''
        interval = f' ({entry["low"]:.2g} to {entry["high"]:.2g})' if 'low' in entry else ''
        return f'{entry["value"]:.3g}{interval}'

    rows = [[name, *(cell(entry.get(when)) for when in WHEN)] for name, entry in figures.items()
            if isinstance(entry, dict)]
    return title, ['', 'as encoded', 'mapped', 'by a shift alone'], rows


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ('source', 'encoded_source', 'target', 'encoded_target'):
        parser.add_argument(name)
    parser.add_argument('--pairs')
    parser.add_argument('--model', help='name or file; the default model if left out')
    add_outputs(parser)
    options = parser.parse_args()
    model = get_model(options.model)
    source = Survey(options.source, options.encoded_source, model, [])
    target = Survey(options.target, options.encoded_target, model, ['galaxy10_class'])
    pairs = read_pairs(options.pairs, source, target) if options.pairs else None
    figures = measure(source, target, model, pairs)
    made = table(figures, f'Two surveys, ``{model.name}``')
    print(text_table(*made))
    print(figures['verdict'])
    sizes = {'galaxies of test': len(target.rows('test')),
             'pairs': 0 if pairs is None else len(pairs)}
    write_report(options, rounded({'model': model.id, **sizes, **figures}),
                 list_table(*made, compact=True), 'bench_two_surveys.py')


if __name__ == '__main__':
    main()
