# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The latents under the protocol of Xu et al. (2023, MNRAS 526, 6391), and on every galaxy that was asked.

    paper_protocol.py GALAXIES.parquet --encoded ENCODED.parquet [--confident 0.6 0.8] --json OUT.json --rst OUT.inc

ENCODED.parquet is what ``galvae encode GALAXIES.parquet`` writes.

The protocol is a random forest on the latents, fitted and tested on confident galaxies alone. The rule is that of the
code its authors published (github.com/xuquanfeng/Galaxy_VAE, transfer/select_overlap.py and RF_class_.ipynb): the
answer, and every answer on the way to its question, has a fraction above 0.6. Theirs, too, are the balanced classes and
the questions, except bulge shape and arm count, which the table beside that code lacks. Of the GZ2 votes, a merger is
confident where something odd and, of the odd features, the merger are above the threshold; no merger is where one minus
their product is.

Ours are the data's own votes and split (theirs: DECaLS, where another script of theirs selects on fractions that a
network predicted, and 30 % at random), 300 trees (5), all answers (they leave out weak bars and large bulges), a reach
of at least 0.5 as well, one threshold for no merger too (0.8, and not edge-on), and the second threshold of 0.8.

The second part scores every test galaxy whose question at least half of its volunteers were asked, with 95 % bootstrap
intervals over galaxies. An answer that fewer than five test galaxies have is left out of the means over answers, though
its galaxies count for the accuracy; recall, so averaged, is the balanced accuracy. A question is scored if 40 galaxies
and two answers are left. A galaxy without a prediction counts as wrong; one without latents teaches nothing.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from compare import rounded
from scores import ASKED, LEAST, LEAST_GALAXIES, SCORED, TREE, mean, read_predictions, truth
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import precision_recall_fscore_support

QUESTIONS = [question for question in SCORED if question != 'smooth-or-featured']
TREES, N_BOOT, NO_ANSWER = 300, 500, -1
MEASURES = {'accuracy': 'accuracy', 'precision': 'precision', 'balanced': 'recall, or balanced accuracy', 'f1': 'F1'}


def read_latents(path, ids):
    """(N, n_latents) latents of the galaxies, NaN where there are none."""
    table = pq.read_table(path, columns=['id_str', 'galvae_latent']).to_pandas().drop_duplicates('id_str')
    rows = table.set_index('id_str')['galvae_latent'].dropna()
    place = rows.index.get_indexer(ids)
    latents = np.stack(rows.to_numpy()).astype(np.float32)[place]
    return np.where((place >= 0)[:, None], latents, np.float32(np.nan))


def fraction(votes, question, answer):
    """(N,) vote fractions of one answer."""
    return votes[question].fractions[:, TREE[question]['answers'].index(answer)]


def confidence(votes, question):
    """(N,) smallest fraction among the winning answer and those on the way to the question."""
    if question == 'merging':  # its votes are all or nothing, made of two questions
        odd, merger = fraction(votes, 'something-odd', 'yes'), fraction(votes, 'odd-feature', 'merger')
        merges = fraction(votes, 'merging', 'merger') > 0
        return np.where(merges, np.minimum(odd, merger), 1 - odd * merger)
    least, above = votes[question].fractions.max(1), TREE[question]['parent']
    while above is not None:
        least, above = np.minimum(least, fraction(votes, *above)), TREE[above[0]]['parent']
    return least


def forest_answers(latents, answers, latents_test):
    """(N,) answers to one question by a random forest on the latents."""
    known, finite = np.isfinite(latents).all(1), np.isfinite(latents_test).all(1)  # or the forest would split on NaN
    found = np.full(len(latents_test), NO_ANSWER)
    if known.any() and finite.any():
        forest = RandomForestClassifier(TREES, class_weight='balanced', random_state=0, n_jobs=1)
        found[finite] = forest.fit(latents[known], answers[known]).predict(latents_test[finite])
    return found


def likeliest(fractions):
    """(N,) answers with the highest predicted fraction."""
    finite = np.isfinite(fractions).all(1)
    return np.where(finite, np.nan_to_num(fractions, nan=-1.0).argmax(1), NO_ANSWER)


def measures(true, found, kept):
    """Accuracy, and means over the kept answers."""
    precision, recall, f1, _ = precision_recall_fscore_support(true, found, labels=kept, average='macro',
                                                               zero_division=0)
    return {'accuracy': np.mean(true == found), 'precision': precision, 'recall': recall, 'balanced': recall, 'f1': f1}


def score(question, true, found, *, n_boot=0):
    """Row of one question; without measures where too few galaxies or answers are left."""
    answers = TREE[question]['answers']
    counts = np.bincount(true, minlength=len(answers))
    kept = np.flatnonzero(counts >= LEAST)
    row = {'question': question, 'n': len(true), 'counts': dict(zip(answers, counts.tolist())),
           'left out of means': [a for a, n in zip(answers, counts) if n < LEAST],
           'no prediction': int((found == NO_ANSWER).sum())}
    if len(true) < LEAST_GALAXIES or len(kept) < 2:
        return row
    row |= {'majority': counts.max() / len(true), **measures(true, found, kept)}
    if n_boot:
        rng = np.random.default_rng(0)
        resampled = [rng.integers(0, len(true), len(true)) for _ in range(n_boot)]
        boot = [measures(true[i], found[i], kept) for i in resampled]
        for name in boot[0]:
            row[f'{name}_lo'], row[f'{name}_hi'] = np.percentile([b[name] for b in boot], [2.5, 97.5])
    return row


def confident_rows(learn, test, threshold):
    """Rows of every question, fitted and tested on confident galaxies."""
    parts, rows = {'train': learn, 'test': test}, []
    for question in QUESTIONS:
        asked = {name: votes[question].weight >= ASKED for name, (_, votes) in parts.items()}
        chosen = {name: asked[name] & (confidence(parts[name][1], question) > threshold) for name in parts}
        latents = {name: parts[name][0][chosen[name]] for name in parts}
        answers = {name: parts[name][1][question].fractions[chosen[name]].argmax(1) for name in parts}
        found = forest_answers(latents['train'], answers['train'], latents['test'])
        counts = {f'{name} left out': int((asked[name] & ~chosen[name]).sum()) for name in parts}
        rows.append({**score(question, answers['test'], found), 'train n': len(answers['train']), **counts})
    return rows


def asked_rows(learn, test, fractions, samples):
    """Every galaxy that was asked: sample to method to rows of every question."""
    rows = {name: {'forest on the latents': [], 'predicted fractions': []} for name in samples}
    for question in QUESTIONS:
        known, asked = learn[1][question].weight >= ASKED, test[1][question].weight >= ASKED
        answers = learn[1][question].fractions[known].argmax(1)
        found = {'forest on the latents': forest_answers(learn[0][known], answers, test[0][asked]),
                 'predicted fractions': likeliest(fractions[question][asked])}
        true = test[1][question].fractions[asked].argmax(1)
        for name, sample in samples.items():
            for method, one in found.items():
                inside = sample[asked]
                rows[name][method].append(score(question, true[inside], one[inside], n_boot=N_BOOT))
    return rows


def summary(blocks):
    """Means over those questions of every block that are scored."""
    result = {}
    for name, rows in blocks.items():
        scored = [row for row in rows if 'accuracy' in row]
        if scored:
            means = {measure: mean(scored, measure) for measure in ('majority', *MEASURES)}
            without = [row['question'] for row in rows if 'accuracy' not in row]
            result[name] = {'questions': len(scored), 'without': without, **means}
    return result


def list_table(title, header, rows):
    """Lines of a reStructuredText list-table."""
    lines = [f'.. list-table:: {title}', '   :header-rows: 1', '']
    for row in [header, *rows]:
        lines += [f'   {"*" if i == 0 else " "} - {text}' for i, text in enumerate(row)]
    return [*lines, '']


def cell(row, name):
    """A measure with its interval, if there is one."""
    if name not in row:
        return '-'
    interval = f' ({row[name + "_lo"]:.3f}-{row[name + "_hi"]:.3f})' if f'{name}_lo' in row else ''
    return f'{row[name]:.3f}{interval}'


def tables(blocks):
    """reStructuredText: the means of every block, then its questions."""
    rows = [[name, m['questions'], ', '.join(m['without']) or '-', *(cell(m, x) for x in ('majority', *MEASURES))]
            for name, m in summary(blocks).items()]
    header = ['galaxies', 'questions', 'too few to score', 'majority share', *MEASURES.values()]
    lines = list_table('Means over the questions that are scored', header, rows)
    for title, block in blocks.items():
        cut = 'test left out' in block[0]
        header = ['question', 'galaxies', *(['left out by the cut'] if cut else []), 'majority share',
                  *MEASURES.values(), 'answers too rare for the means']
        body = [[row['question'], row['n'], *([row['test left out']] if cut else []), cell(row, 'majority'),
                 *(cell(row, name) for name in MEASURES), ', '.join(row['left out of means']) or '-']
                for row in block]
        lines += list_table(title[0].upper() + title[1:], header, body)
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('--encoded', required=True)
    parser.add_argument('--confident', nargs='+', type=float, default=[0.6, 0.8])
    parser.add_argument('--json', required=True)
    parser.add_argument('--rst', required=True)
    options = parser.parse_args()
    learn_ids, learn_votes, _ = truth(options.data, 'train')
    ids, votes, _ = truth(options.data, 'test')
    unbiased = np.isin(ids, truth(options.data, 'test', unbiased=True)[0])
    learn, test = (read_latents(options.encoded, learn_ids), learn_votes), (read_latents(options.encoded, ids), votes)
    blocks = {f'protocol of Xu et al., fractions above {threshold:g}': confident_rows(learn, test, threshold)
              for threshold in options.confident}
    samples = {'test': np.ones(len(ids), bool), 'test, not selected': unbiased}
    for name, methods in asked_rows(learn, test, read_predictions(options.encoded, ids), samples).items():
        blocks |= {f'every galaxy that was asked, {name}: {method}': rows for method, rows in methods.items()}
    result = rounded({'means': summary(blocks), 'questions': blocks})
    Path(options.json).write_text(json.dumps(result, indent=1))
    Path(options.rst).write_text('.. made by benchmarks/paper_protocol.py\n\n' + tables(blocks))
    for name, row in result['means'].items():
        print(f'{name:70s}', row)


if __name__ == '__main__':
    main()
