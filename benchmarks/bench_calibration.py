# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Voted against predicted fractions of test galaxies, in bins: ``docs/calibration.ecsv``.

    galvae encode gz2_sdss.parquet --already-scaled -o encoded.parquet
    python bench_calibration.py gz2_sdss.parquet encoded.parquet -o ../docs/calibration.ecsv

A galaxy counts for a question that at least half of its volunteers were asked. Each answer has
bins of as many galaxies each. ``docs/figures/calibration.py`` draws them.
"""

import argparse

import numpy as np
from astropy.table import Table
from bench_votes import SCORED, TREE, _read_predictions, _samples, _truth

from galvae_affiliated import get_model
from galvae_affiliated.models.votes import ASKED

N_BINS, LEAST_IN_BIN = 10, 15


def bins(predicted, voted):
    """Number, mean prediction, mean vote and its standard error of each bin."""
    n_bins = min(N_BINS, len(predicted) // LEAST_IN_BIN)
    if n_bins < 2:
        return []
    parts = np.array_split(np.argsort(predicted, kind='stable'), n_bins)
    return [(len(part), predicted[part].mean(), voted[part].mean(),
             voted[part].std(ddof=1) / np.sqrt(len(part))) for part in parts]


def calibration_table(data, encoded):
    """A row a bin, of all answers of the questions that are scored."""
    ids, votes, _, unselected = _truth(data, 'test')
    predicted, rows = _read_predictions(encoded, ids), []
    for name, chosen in _samples(unselected).items():
        for question in SCORED:
            asked = (chosen & (votes[question].weight >= ASKED)
                     & np.isfinite(predicted[question]).all(axis=1))
            for i, answer in enumerate(TREE[question]['answers']):
                found = bins(predicted[question][asked, i], votes[question].fractions[asked, i])
                rows += [(name, question, answer, *one) for one in found]
    names = 'sample', 'question', 'answer', 'galaxies', 'predicted', 'voted', 'error'
    table = Table(rows=rows, names=names, meta={'model': get_model().id})
    for column in names[-3:]:
        table[column] = np.round(np.asarray(table[column], dtype=float), 4)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('encoded', help='what galvae encode wrote, with the default model')
    parser.add_argument('-o', '--output', required=True)
    options = parser.parse_args()
    table = calibration_table(options.data, options.encoded)
    table.write(options.output, overwrite=True)


if __name__ == '__main__':
    main()
