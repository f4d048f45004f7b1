# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Score predicted vote fractions against volunteers' votes.

A galaxy counts for a question when at least half of its volunteers were asked it; its true answer is the one with
most votes. Areas under the ROC curve are one answer against the rest, averaged over the answers that at least five
galaxies have. Intervals are 95 % bootstrap intervals over galaxies.
"""

import numpy as np
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score

from galvae_affiliated.training.data.galaxy_zoo import GZ2_QUESTIONS
from galvae_affiliated.training.data.labels import question_tree, read_labels, read_votes

ASKED, LEAST, LEAST_GALAXIES = 0.5, 5, 40
TREE = question_tree('gz2')
SCORED = [question for question in GZ2_QUESTIONS if question not in ('something-odd', 'odd-feature')]


def truth(path, split, *, unbiased=False):
    """
    Identifiers and votes of the galaxies of a split, and which of them have all votes.

    ``unbiased`` keeps those that were not selected by their votes.
    """
    labels = read_labels(path, 'id_str')
    chosen = labels['split'] == split
    if unbiased:
        chosen &= labels['unbiased'].astype(bool)
    labels = labels[chosen]
    complete = np.all([labels[f'{q}-gz2_reach'].notna() for q in TREE if q != 'merging'], axis=0)
    return labels.index.to_numpy(), read_votes(labels, TREE, '-gz2'), complete


def read_predictions(path, ids):
    """Question to (N, n_answers) predicted fractions of the galaxies, NaN where there is none."""
    names = pq.read_schema(path).names
    columns = [f'{q}_{a}_fraction' for q, entry in TREE.items() for a in entry['answers']]
    table = pq.read_table(path, columns=['id_str', *(c for c in columns if c in names)]).to_pandas()
    table = table.drop_duplicates('id_str').set_index('id_str').reindex(ids)
    return {q: np.stack([table[f'{q}_{a}_fraction'].to_numpy(float) for a in entry['answers']], axis=1)
            for q, entry in TREE.items() if f'{q}_{entry["answers"][0]}_fraction' in table}


def scores(predicted, votes, *, n_boot=200, random_state=0):
    """
    Scores of every question that enough galaxies were asked.

    Returns
    -------
    rows : list of dict
        ``question``, ``n``, ``majority``, ``accuracy``, ``balanced``, ``auc``, ``auc_lo``, ``auc_hi``, ``calibration``.
    """
    rng, rows = np.random.default_rng(random_state), []
    for question in SCORED:
        true = votes[question]
        asked = true.weight >= ASKED
        if asked.sum() < LEAST_GALAXIES:
            continue
        p, v = predicted[question][asked], true.fractions[asked]
        found = measures(p, v)
        boot = [measures(p[i], v[i])['auc'] for i in (rng.integers(0, len(v), len(v)) for _ in range(n_boot))]
        low, high = np.nanpercentile(boot, [2.5, 97.5])
        rows.append({'question': question, 'n': len(v), 'majority': np.bincount(v.argmax(1)).max() / len(v), **found,
                     'auc_lo': low, 'auc_hi': high})
    return rows


def measures(p, votes):
    """Accuracy, balanced accuracy, area and calibration error of one question."""
    y, finite = votes.argmax(1), np.isfinite(p).all(1)
    hit = finite & (np.nan_to_num(p, nan=-1.0).argmax(1) == y)
    counts = np.bincount(y, minlength=votes.shape[1])
    p = np.where(finite[:, None], p, 1.0 / votes.shape[1])
    areas = [roc_auc_score(y == a, p[:, a]) for a, n in enumerate(counts) if LEAST <= n <= len(y) - LEAST]
    recall = [hit[y == a].mean() for a, n in enumerate(counts) if n >= LEAST]
    return {'accuracy': hit.mean(), 'balanced': np.mean(recall), 'auc': np.mean(areas),
            'calibration': calibration(p, votes)}


def answer_areas(predicted, votes):
    """Area of each answer against the rest: question to a list, NaN where fewer than five galaxies have the answer."""
    areas = {}
    for question in SCORED:
        asked = votes[question].weight >= ASKED
        y, p = votes[question].fractions[asked].argmax(1), predicted[question][asked]
        counts = np.bincount(y, minlength=p.shape[1])
        areas[question] = [roc_auc_score(y == a, p[:, a]) if LEAST <= n <= len(y) - LEAST else np.nan
                           for a, n in enumerate(counts)]
    return areas


def calibration(p, votes):
    """Mean gap of predicted and voted fraction, in ten bins of the former, averaged over the answers."""
    gaps = []
    for one, voted in zip(p.T, votes.T):
        bins = np.minimum((10 * one).astype(int), 9)
        gaps.append(sum(abs((one - voted)[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)))
    return float(np.mean(gaps))


def challenge_rmse(predicted, votes, complete):
    """
    Root mean square error of the cumulative vote fractions of the 2014 Galaxy Zoo challenge.

    Each fraction times the fraction that reached its question, over the galaxies whose votes are all known.
    """
    cumulative, errors = {}, []
    for q in TREE:
        if q == 'merging':
            continue
        p = predicted[q] / predicted[q].sum(1, keepdims=True)
        if TREE[q]['parent'] is not None:
            above, answer = TREE[q]['parent']
            p = p * cumulative[above][:, TREE[above]['answers'].index(answer)][:, None]
        cumulative[q] = p
        # a question that nobody reached has no votes, and its cumulative fractions are zero
        errors.append((p - votes[q].fractions * votes[q].weight[:, None])[complete])
    return float(np.sqrt(np.mean(np.concatenate(errors, axis=1) ** 2)))


def mean(rows, name):
    return float(np.mean([row[name] for row in rows]))
