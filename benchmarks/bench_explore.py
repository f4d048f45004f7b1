# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the latents of galaxies are good for: odd ones, similar ones, and how long it takes.

    bench_explore.py GALAXIES.parquet ENCODED [--parts scores search neighbors copies speed]
                     [--json OUT] [--rst OUT]

ENCODED is what ``galvae encode GALAXIES.parquet --already-scaled`` writes, in any format. A
galaxy is odd where at least half of its volunteers said so, and a merger or a ring where this
share times that of the answer is at least 0.3.

``scores``: average precision over the share of the class, of each way to score, on the galaxies of
``test`` that have all votes. The scores are fitted to ``train``, and know no votes; the intervals
are 95 % of a bootstrap over the galaxies. Beside them, the predicted fraction of something odd, and
the default, which uses both. The last row looks for rings by their nearness to one of ``train``:
mean over the examples, and what 80 % of them reach.

``search``: a person, played by the votes, looks at galaxies of ``train`` that have all votes, in
the order that ``ActiveSearch`` gives. How many of a class are among the first so many, mean over
seeds; rings are sought from one example, mean over examples. Beside it, the score without a person,
and chance.

``neighbors``: is the most voted answer of test galaxies that of their 20 nearest of ``train`` (mean
of their votes), as often as a random forest on the same latents says it? Balanced over the answers.

``copies``: share of the test galaxies of which a copy is nearest to the galaxy itself, among all of
the file: turned by any angle, flipped and shifted by up to 2 pixels; or of 0.7 times the light.

``speed``: 20 neighbours of 1,000 queries among 1,000,000 rows of 40 random numbers, beside their
matrix product, as the least of three turns; memory beyond the file; scores of as many
rows. All but the ratios and bytes is in seconds.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _common import add_outputs, list_table, name_of, rounded, text_table, write_report
from astropy.table import Table
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from galvae_affiliated.explore import ActiveSearch, SimilarityIndex, add_outlier_scores
from galvae_affiliated.explore.outliers import OUTLIER_METHODS
from galvae_affiliated.tables.files import read_catalog

CLASSES = ('odd', 'merger', 'ring')
ODD, PRODUCT = 0.5, 0.3
N_BOOT = 500
LOOKED_AT, N_SEEDS, ROUND = (100, 200, 400), 5, 20
N_NEIGHBORS, ASKED, N_TREES = 20, 0.5, 100
QUESTIONS = ('smooth-or-featured', 'disk-edge-on', 'bar', 'has-spiral-arms', 'bulge-size',
             'how-rounded', 'bulge-shape', 'spiral-winding', 'spiral-arm-count')
N_COPIES, FAINTER = 1000, 0.7
N_ROWS, N_LATENTS, N_QUERIES = 1_000_000, 40, 1000
PARTS = ('scores', 'search', 'neighbors', 'copies', 'speed')


# ---- what is read -------------------------------------------------------------------------------


def _read(data, encoded):
    """Votes without images, and the encoded table in their order."""
    import pyarrow.parquet as pq

    names = [name for name in pq.read_schema(data).names if name != 'image']
    votes = pd.read_parquet(data, columns=names)
    table = read_catalog(encoded)
    ids = np.asarray(table['id_str']).astype(str)
    place = pd.Series(np.arange(len(ids)), index=ids).loc[votes['id_str'].astype(str)]
    return votes, table[place.to_numpy()]


def _classes(votes):
    """Class to the galaxies of it."""
    odd = votes['something-odd-gz2_yes_fraction'].to_numpy()
    return {'odd': odd >= ODD,
            **{name: odd * votes[f'odd-feature-gz2_{name}_fraction'].to_numpy() >= PRODUCT
               for name in ('merger', 'ring')}}


# ---- scores -------------------------------------------------------------------------------------


def _gain(is_it, score):
    """Average precision over the share of the class, and the interval of its bootstrap."""
    rng = np.random.default_rng(0)
    drawn = (rng.integers(len(score), size=len(score)) for _ in range(N_BOOT))
    values = [_ratio(is_it[rows], score[rows]) for rows in drawn if is_it[rows].any()]
    return {'gain': _ratio(is_it, score), 'interval': np.percentile(values, [2.5, 97.5]).tolist()}


def _ratio(is_it, score):
    return average_precision_score(is_it, score) / is_it.mean()


def measure_scores(votes, table):
    """Way to score to class to gain."""
    classes = _classes(votes)
    complete, split = votes['votes'] == 'all', votes['split']
    test = np.flatnonzero(complete & (split == 'test'))
    reference, queries = table[np.flatnonzero(split == 'train')], table[test]
    scores = {f'latents, {method}': _scores(queries, reference, method=method, votes=())
              for method in OUTLIER_METHODS}
    if 'galvae_recon_chi2' in table.colnames:
        scores['residual of the decoder'] = np.asarray(queries['galvae_recon_chi2'])
    scores['predicted votes, something odd'] = np.asarray(queries['something-odd_yes_fraction'])
    scores['default: density and votes'] = _scores(queries, reference)
    found = {name: {kind: _gain(classes[kind][test], np.asarray(score, dtype=float))
                    for kind in CLASSES} for name, score in scores.items()}
    found['nearness to one ring'] = {'ring': _one_example(votes, table, classes['ring'], test)}
    found['share'] = {kind: float(classes[kind][test].mean()) for kind in CLASSES}
    found['galaxies'] = len(test)
    return found


def _scores(queries, reference, **options):
    table = add_outlier_scores(queries, reference=reference, n_reasons=0, overwrite=True, **options)
    return np.ma.filled(table['galvae_outlier_score'], 0.0)


def _one_example(votes, table, is_ring, test):
    """Gains of the nearness to each ring of ``train`` that has all votes."""
    examples = np.flatnonzero(is_ring & (votes['votes'] == 'all') & (votes['split'] == 'train'))
    index = SimilarityIndex.build(table[test])
    latent = np.asarray(table['galvae_latent'], dtype=float)
    distances, rows = index.kneighbors(latent[examples], len(test))
    gains = [_ratio(is_ring[test][row], -distance) for distance, row in zip(distances, rows)]
    return {'gain': float(np.mean(gains)), 'examples': len(gains),
            'interval': np.percentile(gains, [10, 90]).tolist()}


# ---- a person in the loop -----------------------------------------------------------------------


def measure_search(votes, table):
    """Class to what is found among the first galaxies that are looked at."""
    classes = _classes(votes)
    train = np.flatnonzero(votes['split'] == 'train')
    rows = np.flatnonzero((votes['votes'] == 'all') & (votes['split'] == 'train'))
    scored = {name: add_outlier_scores(table[train], votes=some, n_reasons=0, overwrite=True)
              [np.isin(train, rows)] for name, some in (('latents', ()), ('votes', None))}
    found = {'galaxies': len(rows)}
    for kind in CLASSES:
        is_it = classes[kind][rows]
        found[kind] = {'in all': int(is_it.sum()),
                       'chance': {n: float(is_it.mean() * n) for n in LOOKED_AT}}
        for name, some in scored.items():
            plain = np.argsort(-np.asarray(some['galvae_outlier_score']), kind='stable')
            found[kind][f'score, {name}'] = {n: int(is_it[plain[:n]].sum()) for n in LOOKED_AT}
        found[kind]['person'] = _mean_counts(_persons(scored['latents'], is_it, kind))
    return found


def _persons(table, is_it, kind):
    """What each simulated person has found, as a function of the galaxies looked at."""
    if kind == 'ring':
        return [_look(table, is_it, 0, like=[row]) for row in np.flatnonzero(is_it)[:12]]
    return [_look(table, is_it, seed) for seed in range(N_SEEDS)]


def _look(table, is_it, seed, like=()):
    with tempfile.TemporaryDirectory() as folder:
        search = ActiveSearch(table, Path(folder) / 'answers.jsonl', like=like, random_state=seed)
        found = []
        while len(found) < LOOKED_AT[-1]:
            for row in search.next_rows(ROUND):
                found.append(bool(is_it[row]))
                search.answer(row, 'interesting' if is_it[row] else 'boring')
    return np.cumsum(found)


def _mean_counts(counts):
    return {n: float(np.mean([count[n - 1] for count in counts])) for n in LOOKED_AT}


# ---- neighbours ---------------------------------------------------------------------------------


def measure_neighbors(votes, table):
    """Question to balanced accuracies of the neighbours and of the forest."""
    from sklearn.ensemble import RandomForestRegressor

    latent = np.asarray(table['galvae_latent'], dtype=np.float32)
    found = {}
    for question in QUESTIONS:
        names = [name for name in votes if name.startswith(f'{question}-gz2_')
                 and name.endswith('_fraction')]
        asked = votes[f'{question}-gz2_reach'].to_numpy() >= ASKED
        fractions = votes[names].to_numpy()
        asked &= np.isfinite(fractions).all(axis=1)
        train = np.flatnonzero(asked & (votes['split'] == 'train'))
        test = np.flatnonzero(asked & (votes['split'] == 'test'))
        truth = fractions[test].argmax(axis=1)
        index = SimilarityIndex.build(table[train])
        near = index.kneighbors(latent[test], N_NEIGHBORS, return_distance=False)
        forest = RandomForestRegressor(N_TREES, min_samples_leaf=3, random_state=0, n_jobs=-1)
        forest.fit(latent[train], fractions[train])
        answers = {'neighbors': fractions[train][near].mean(axis=1),
                   'forest': forest.predict(latent[test])}
        found[question] = {'galaxies': len(test), **{
            name: float(balanced_accuracy_score(truth, one.argmax(axis=1)))
            for name, one in answers.items()}}
    found['mean'] = {name: float(np.mean([found[q][name] for q in QUESTIONS]))
                     for name in ('neighbors', 'forest')}
    return found


# ---- copies -------------------------------------------------------------------------------------


def measure_copies(votes, table, data):
    """Share of the galaxies that their copies are nearest to, among all of the file."""
    from _common import composites
    from bench_invariance import _turned

    from galvae_affiliated import LatentTransformer, get_model

    bundle = get_model(_model_name(table))
    index = SimilarityIndex.build(table)
    test = np.flatnonzero(votes['split'] == 'test')[:N_COPIES]
    images = composites(data, bundle, votes['id_str'].to_numpy()[test])
    rng = np.random.default_rng(0)
    copies = {'turned and shifted': np.stack([_turned(image, rng) for image in images]),
              'fainter': _fainter(images, bundle)}
    transformer = LatentTransformer(bundle)
    found = {}
    for name, some in copies.items():
        latent = transformer.transform(some.astype(np.float32).clip(0, 1))
        near = index.kneighbors(latent, 1, return_distance=False)[:, 0]
        found[name] = float((near == test).mean())
    return {'galaxies': len(test), **found}


def _fainter(images, bundle):
    """Composites of less light: their stretch is undone, and done again."""
    root = np.sqrt(next(one.softening for one in bundle.frame.renderings if one.kind == 'flux'))
    return np.arcsinh(FAINTER * np.sinh(root * images)) / root


def _model_name(table):
    from galvae_affiliated.explore._latents import stated_name

    return stated_name(table)


# ---- speed --------------------------------------------------------------------------------------


def measure_speed():
    """Seconds and bytes of a million rows."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((N_ROWS, N_LATENTS), dtype=np.float32)
    table = Table({'galvae_latent': latent})
    queries = latent[rng.choice(N_ROWS, N_QUERIES)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'latents.index'
        SimilarityIndex.build(table, path, model='gz2-sdss-v3', metric='standard')
        size = os.path.getsize(path)
        found = {'bytes of the index over those of the latents': size / latent.nbytes}
        index = SimilarityIndex.load(path)
        seconds = {'matrix product': [], 'neighbors': []}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(3):  # in turns, as the machine may be busy with other things
            seconds['matrix product'].append(_seconds(lambda: _products(latent, queries)))
            seconds['neighbors'].append(_seconds(
                lambda: index.kneighbors(queries, N_NEIGHBORS)))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found.update({name: min(some) for name, some in seconds.items()})
    found['ratio'] = found['neighbors'] / found['matrix product']
    # the pages of the file that were read count too
    found['growth of the memory, MiB'] = (after - before) / 1024
    start = time.process_time()
    found['scores of all rows'] = _seconds(
        lambda: add_outlier_scores(table, 'gz2-sdss-v3', n_reasons=1000))
    # of all threads together: what a busy machine would take with nothing else to do
    found['scores of all rows, seconds of a processor'] = time.process_time() - start
    return found


def _products(latent, queries):
    for start in range(0, len(latent), 4096):
        latent[start : start + 4096] @ queries.T


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# ---- tables -------------------------------------------------------------------------------------


def _score_rows(scores):
    for name, classes in scores.items():
        if name in ('share', 'galaxies'):
            continue
        cells = []
        for kind in CLASSES:
            one = classes.get(kind)
            cells.append('' if one is None else
                         f'{one["gain"]:.1f} ({one["interval"][0]:.1f} - {one["interval"][1]:.1f})')
        yield [name, *cells]


def _search_rows(search):
    for kind in CLASSES:
        for name in ('chance', 'score, latents', 'score, votes', 'person'):
            counts = search[kind][name]
            yield [f'{kind} ({search[kind]["in all"]})', name,
                   *(f'{counts[n]:.0f}' for n in LOOKED_AT)]


def _neighbor_rows(neighbors):
    for question, one in neighbors.items():
        yield [question, one.get('galaxies', ''), f'{one["neighbors"]:.3f}', f'{one["forest"]:.3f}']


def _tables(figures, make):
    """All tables as text, by what makes one."""
    tables = []
    if 'scores' in figures:
        scores = figures['scores']
        shares = ', '.join(f'{kind} {100 * scores["share"][kind]:.1f} %' for kind in CLASSES)
        title = (f'Average precision over the share ({shares}) of {scores["galaxies"]} test '
                 'galaxies, with 95 % intervals')
        tables.append(make(title, ['score', *CLASSES], list(_score_rows(scores))))
    if 'search' in figures:
        search = figures['search']
        title = f'Found among the first that are looked at, of {search["galaxies"]} galaxies'
        tables.append(make(title, ['class (in all)', 'order', *map(str, LOOKED_AT)],
                           list(_search_rows(search))))
    if 'neighbors' in figures:
        tables.append(make('Balanced accuracy of the most voted answer',
                           ['question', 'galaxies', '20 neighbors', 'forest'],
                           list(_neighbor_rows(figures['neighbors']))))
    for part in ('copies', 'speed'):
        if part in figures:
            tables.append(make({'copies': 'Copies that are nearest to themselves',
                                'speed': 'A million rows of 40 latents'}[part],
                               ['what', 'figure'],
                               [[name, f'{value:.4g}'] for name, value in figures[part].items()]))
    return '\n'.join(tables)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('encoded')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS)
    add_outputs(parser)
    options = parser.parse_args()
    votes, table = _read(options.data, options.encoded)
    measures = {'scores': lambda: measure_scores(votes, table),
                'search': lambda: measure_search(votes, table),
                'neighbors': lambda: measure_neighbors(votes, table),
                'copies': lambda: measure_copies(votes, table, options.data),
                'speed': measure_speed}
    figures = {part: measures[part]() for part in options.parts}
    model = table['galvae_latent'].meta['galvae_model']
    print(_tables(figures, text_table))
    text = f'{_tables(figures, list_table)}\nThe latents are those of ``{name_of(model)}``.\n'
    write_report(options, rounded({'model': model, **figures}), text, 'bench_explore.py')


if __name__ == '__main__':
    main()
