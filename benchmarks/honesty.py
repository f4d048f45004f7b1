# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Do prediction sets hold the answer, and intervals the votes, as often as they say?

    honesty.py GALAXIES.parquet ENCODED.parquet [--model MODEL] [--n-volunteers 40] --json OUT.json --rst OUT.inc

ENCODED.parquet is what ``galvae encode GALAXIES.parquet --n-samples 32`` writes. On the galaxies of ``test`` that were
asked the question, whether or not the model thinks that it applies, and on those of them that votes did not select: the
share whose most voted answer is in the prediction set, the mean number of answers in it, the share of sets that are
empty, the calibration error, and the share of the voted fractions within one error of the predicted one. That error is
half of the interval, and with it the chance with which a limited number of volunteers vote.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scores import ASKED, LEAST_GALAXIES, SCORED, TREE, calibration, read_predictions, truth

from galvae_affiliated import get_model
from galvae_affiliated.models.votes import set_threshold

COVERAGE = 0.9
COLUMNS = ['question', 'galaxies', 'covered', 'answers a set', 'empty', 'calibration', 'within one error']


def table(path, ids, names):
    """The columns of the galaxies, in the order of the identifiers."""
    frame = pd.read_parquet(path, columns=['id_str', *names]).set_index('id_str')
    return frame.reindex(ids)


def intervals_of(path, question, ids):
    """(N, n_answers) half widths of the intervals."""
    names = [f'{question}_{answer}_fraction' for answer in TREE[question]['answers']]
    low, high = (table(path, ids, [name + end for name in names]).to_numpy(float) for end in ('_lo', '_hi'))
    return (high - low) / 2


def row(question, predicted, votes, chosen, threshold, half, volunteers):
    """What one question's galaxies tell."""
    asked = chosen & (votes.weight >= ASKED)
    v, p = votes.fractions[asked], predicted[asked]
    inside = p >= 1 - threshold
    hit = inside[np.arange(len(v)), v.argmax(1)]
    chance = p * (1 - p) / (volunteers * votes.weight[asked][:, None])
    residual = np.abs(v - p) / np.sqrt(half[asked] ** 2 + chance)
    # 'merging' is a yes or no that was made of votes, and has no fractions to be within
    within = np.nan if question == 'merging' else (residual <= 1).mean()
    return dict(zip(COLUMNS, [question, len(v), hit.mean(), inside.sum(1).mean(),
                              (inside.sum(1) == 0).mean(), calibration(p, v), within]))


def report(options):
    ids, votes, _ = truth(options.data, 'test')
    unbiased = np.isin(ids, truth(options.data, 'test', unbiased=True)[0])
    predicted = read_predictions(options.encoded, ids)
    bundle = get_model(options.model)
    found = {}
    for name, chosen in (('test', np.ones(len(ids), bool)), ('test, not selected', unbiased)):
        found[name] = []
        for question in SCORED:
            threshold = set_threshold(bundle, question, COVERAGE)
            if threshold is None or (chosen & (votes[question].weight >= ASKED)).sum() < LEAST_GALAXIES:
                continue
            found[name].append(row(question, predicted[question], votes[question], chosen, threshold,
                                   intervals_of(options.encoded, question, ids), options.volunteers))
    return found


def rst(found):
    lines = ['.. made by benchmarks/honesty.py', '']
    for name, rows in found.items():
        lines += [f'.. list-table:: Prediction sets at 90 per cent, calibration and intervals at 68, on {name}',
                  '   :header-rows: 1', '']
        lines += [f'   {"*" if i == 0 else " "} - {column}' for i, column in enumerate(COLUMNS)]
        for entry in rows:
            lines += [f'   * - {entry["question"]}', f'     - {entry["galaxies"]}']
            lines += ['     - ' + ('' if np.isnan(entry[c]) else f'{entry[c]:.3f}') for c in COLUMNS[2:]]
        lines.append('')
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('encoded')
    parser.add_argument('--model', help='name or file; the default model if left out')
    parser.add_argument('--n-volunteers', type=int, default=40)
    parser.add_argument('--json', required=True)
    parser.add_argument('--rst', required=True)
    options = parser.parse_args()
    found = report(options)
    Path(options.json).write_text(json.dumps(found, indent=1))
    Path(options.rst).write_text(rst(found))
    for name, rows in found.items():
        print(name)
        print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == '__main__':
    main()
