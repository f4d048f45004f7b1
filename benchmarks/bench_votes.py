# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How well Galaxy Zoo 2 votes are predicted from latents.

    bench_votes.py methods GALAXIES.parquet ENCODED.parquet --supervised SUPERVISED.parquet
                   --plain NAME=MODEL.galvae ... --heads NAME=MODEL.galvae ...
                   [--earlier FIGURES.json --take NAME ...] --json OUT --rst OUT
    bench_votes.py sets GALAXIES.parquet ENCODED.parquet [--n-volunteers 40] --json OUT --rst OUT
    bench_votes.py protocol GALAXIES.parquet ENCODED.parquet [--confident 0.6 0.8]
                   --json OUT --rst OUT

ENCODED.parquet is what ``galvae encode GALAXIES.parquet`` writes (with ``--n-samples 32`` for
``sets``). A galaxy counts for a question when at least half of its volunteers were asked it. All is
measured on the galaxies of ``test``, and on those of them that were not selected by their votes.

``methods``: the default model beside what else could be done with the same images and votes.
SUPERVISED.parquet is what ``bench_supervised.py predict`` writes. Of each other model the latents
go through a random forest that is fitted on the votes of ``train``, and so do the 40 first
principal components of the images, and the default model's own latents. Models of ``--heads`` are
what ``galvae fit-heads`` made of the default model: their heads answer from its latents. Methods
that have nothing to do with the default model need not be measured again with each: ``--take``
names those whose figures are those of an earlier run on the same galaxies, the JSON of which
``--earlier`` names. The tables say which.

``sets``: do prediction sets hold the answer, and intervals the votes, as often as they say? Of the
galaxies that were asked, whether or not the model thinks that a question applies: the share whose
most voted answer is in the prediction set, the mean number of answers in it, the share of sets that
are empty, the calibration error, and the share of the voted fractions within one error of the
predicted one. That error is half of the interval, and with it the chance with which a limited
number of volunteers vote.

``protocol``: that of Xu et al. (2023, MNRAS 526, 6391), a random forest on the latents, fitted and
tested on confident galaxies alone. The rule is that of the code its authors published
(github.com/xuquanfeng/Galaxy_VAE, transfer/select_overlap.py and RF_class_.ipynb): the answer, and
every answer on the way to its question, has a fraction above 0.6. Theirs, too, are the balanced
classes and the questions, except bulge shape and arm count, which the table beside that code lacks.
Of the GZ2 votes, a merger is confident where something odd and, of the odd features, the merger are
above the threshold; no merger is where one minus their product is. Ours are the data's own votes
and split (theirs: DECaLS, where another script of theirs selects on fractions that a network
predicted, and 30 % at random), 300 trees (5), all answers (they leave out weak bars and large
bulges), a reach of at least 0.5 as well, one threshold for no merger too (0.8, and not edge-on),
and the second threshold of 0.8. The second part scores every test galaxy that was asked, with 95 %
bootstrap intervals over galaxies. An answer that fewer than five test galaxies have is left out of
the means over answers, though its galaxies count for the accuracy; recall, so averaged, is the
balanced accuracy. A question is scored if 40 galaxies and two answers are left. A galaxy without a
prediction counts as wrong; one without latents teaches nothing.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from _common import add_outputs, composites, list_table, name_of, rounded, write_report
from astropy.table import Table
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import precision_recall_fscore_support

from galvae_affiliated import Engine, LatentTransformer, get_model
from galvae_affiliated.models.votes import ASKED, predict_votes, set_thresholds
from galvae_affiliated.training.data.galaxy_zoo import GZ2_QUESTIONS
from galvae_affiliated.training.data.labels import Votes, question_tree, read_labels, read_votes
from galvae_affiliated.training.evaluate import votes as scores

TREE = question_tree('gz2')
SCORED = [q for q in GZ2_QUESTIONS if q not in ('something-odd', 'odd-feature')]
# what the 2014 challenge asks; mergers were made of two of these
CHALLENGE = {q: entry for q, entry in TREE.items() if q != 'merging'}
N_COMPONENTS, PCA_GALAXIES, PCA_BINNING = 40, 6000, 2
PRINCIPAL = 'PCA, forest'
TREES, LEAST_IN_LEAF = 300, 3
MEANS = {'balanced accuracy': 'balanced', 'AUC': 'auc', 'calibration': 'calibration'}
COVERAGE = 0.9
SET_COLUMNS = ('question', 'galaxies', 'covered', 'answers a set', 'empty', 'calibration',
               'within one error')
PROTOCOL = [q for q in SCORED if q != 'smooth-or-featured']
N_BOOT, NO_ANSWER = 500, -1
MEASURES = {'accuracy': 'accuracy', 'precision': 'precision', 'balanced': 'recall', 'f1': 'F1'}


# ---- what is read -------------------------------------------------------------------------------


def _truth(path, split):
    """Identifiers and votes of a split's galaxies, who has all votes, and who was not selected."""
    labels = read_labels(path, 'id_str')
    labels = labels[labels['split'] == split]
    complete = np.all([labels[f'{q}-gz2_reach'].notna() for q in CHALLENGE], axis=0)
    votes = read_votes(labels, TREE, '-gz2')
    return labels.index.to_numpy(), votes, complete, labels['unbiased'].astype(bool).to_numpy()


def _samples(unbiased):
    """Name to the galaxies of a sample."""
    return {'test': np.ones(len(unbiased), bool), 'test, not selected': unbiased}


def _model_of(path):
    """Identifier of the model that encoded a table."""
    return Table.read(path, include_names=['galvae_latent'])['galvae_latent'].meta['galvae_model']


def _columns(path, names, ids):
    """Columns of a table for the galaxies, in their order; empty where it has none of them."""
    table = pd.read_parquet(path, columns=['id_str', *names])
    return table.drop_duplicates('id_str').set_index('id_str').reindex(ids)


def _fraction_names(question):
    return [f'{question}_{answer}_fraction' for answer in TREE[question]['answers']]


def _read_predictions(path, ids):
    """Question to (N, n_answers) predicted fractions, NaN where there is none."""
    there = set(pq.read_schema(path).names)
    names = {q: _fraction_names(q) for q in TREE if _fraction_names(q)[0] in there}
    table = _columns(path, sum(names.values(), []), ids)
    return {q: table[some].to_numpy(float) for q, some in names.items()}


def _read_latents(path, ids):
    """(N, n_latents) latents of the galaxies, NaN where there are none."""
    rows = _columns(path, ['galvae_latent'], ids)['galvae_latent']
    known = rows.notna().to_numpy()
    latents = np.full((len(rows), len(rows[known].iloc[0])), np.nan, np.float32)
    latents[known] = np.stack(rows[known])
    return latents


def _chosen(votes, rows):
    """Votes of some of the galaxies."""
    return {q: Votes(one.fractions[rows], one.weight[rows]) for q, one in votes.items()}


def _table(*about):
    """A table for the documentation, whose columns are narrow."""
    return list_table(*about, compact=True)


def _mean(rows, name):
    return float(np.mean([row[name] for row in rows]))


# ---- methods ------------------------------------------------------------------------------------


def run_methods(options):
    """Scores of every method, their JSON and their tables."""
    learn_ids, learn_votes, *_ = _truth(options.data, 'train')
    ids, votes, complete, unbiased = _truth(options.data, 'test')
    found = _predictions(options, learn_ids, learn_votes, ids)
    parts = {name: _method_report(found, votes, complete, chosen)
             for name, chosen in _samples(unbiased).items()}
    taken = []
    if options.earlier:
        earlier = json.loads(Path(options.earlier).read_text())['methods']
        taken = options.take
        parts = {name: _with_earlier(part, earlier[name], taken) for name, part in parts.items()}
    model = _model_of(options.encoded)
    text = f'{_method_tables(parts)}\n{_about_methods(name_of(model), taken)}\n'
    own = {name: {'challenge RMSE': part['default model']['means']['challenge RMSE'],
                  'questions': part['default model']['questions']}
           for name, part in parts.items()}
    return {'model': model, 'scores': own, 'taken': taken, 'methods': parts}, text


def _with_earlier(part, earlier, taken):
    """The scores of a sample with those of some methods of an earlier run, in its order."""
    lacking = set(taken) - set(earlier)
    if lacking:
        raise SystemExit(f'the earlier run has no {", ".join(sorted(lacking))}; expected some of '
                         f'{", ".join(earlier)}')
    its = {row['question']: row['n'] for row in part['default model']['questions']}
    for name in taken:
        for row in earlier[name]['questions']:
            if row['n'] != its.get(row['question']):
                raise SystemExit(f'{name} was scored on {row["n"]} galaxies in '
                                 f'{row["question"]}; expected {its.get(row["question"])}')
    known = {**part, **{name: earlier[name] for name in taken}}
    return {name: known[name] for name in dict.fromkeys([*earlier, *known]) if name in known}


def _about_methods(model, taken):
    """A line on what the tables are of."""
    line = f'The default model is ``{model}``.'
    if taken:
        line += (f' Taken from an earlier run on the same galaxies and votes, since they do not '
                 f'depend on it: {"; ".join(taken)}.')
    return line


def _predictions(options, learn_ids, learn_votes, ids):
    """Method to predicted fractions of the test galaxies."""
    known = np.any([one.weight > 0 for one in learn_votes.values()], axis=0)
    learn_ids, votes = learn_ids[known], _chosen(learn_votes, known)
    found = {'default model': _read_predictions(options.encoded, ids)}
    latents = [_read_latents(options.encoded, some) for some in (learn_ids, ids)]
    found['default latents, forest'] = _forest_fractions(*latents, votes)
    for item in options.heads:
        name, path = item.split('=', 1)
        found[name] = predict_votes(latents[1], get_model(path), Engine()).fractions
    if options.supervised:
        found['supervised network'] = _read_predictions(options.supervised, ids)
    with_images = PRINCIPAL not in options.take
    if not (options.plain or with_images):
        return found
    images = [composites(options.data, get_model(), some, np.float16) for some in (learn_ids, ids)]
    for item in options.plain:
        name, path = item.split('=', 1)
        transformer = LatentTransformer(get_model(path))
        latents = [transformer.transform(some.astype(np.float32)) for some in images]
        found[f'{name}, forest'] = _forest_fractions(*latents, votes)
    if with_images:
        found[PRINCIPAL] = _forest_fractions(*_principal_components(*images), votes)
    return found


def _principal_components(learn, test):
    """The first components of the images of both."""
    pca = PCA(N_COMPONENTS, svd_solver='randomized', random_state=0)
    pca.fit(_circle(learn[:PCA_GALAXIES]))
    return pca.transform(_circle(learn)), pca.transform(_circle(test))


def _circle(images):
    """Pixels in the inscribed circle, which is what the networks see, two by two averaged."""
    n, bands, side, _ = images.shape
    side //= PCA_BINNING
    small = images.reshape(n, bands, side, PCA_BINNING, side, PCA_BINNING).mean((3, 5))
    x = np.arange(side) - (side - 1) / 2
    return small[:, :, np.hypot(x, x[:, None]) < side / 2].reshape(n, -1).astype(np.float32)


def _forest_fractions(features, features_test, votes):
    """Question to predicted fractions, by a random forest a question."""
    predicted = {}
    for question, true in votes.items():
        known = true.weight > 0
        forest = RandomForestRegressor(TREES, min_samples_leaf=LEAST_IN_LEAF, max_features='sqrt',
                                       n_jobs=-1, random_state=0)
        weight = true.weight[known]
        forest.fit(features[known], true.fractions[known], sample_weight=weight)
        predicted[question] = forest.predict(features_test)
    return predicted


def _method_report(found, votes, complete, chosen):
    """Scores of every method on the chosen galaxies."""
    votes, complete, result = _chosen(votes, chosen), complete[chosen], {}
    for method, predicted in found.items():
        predicted = {q: p[chosen] for q, p in predicted.items()}
        questions = scores.vote_scores(predicted, votes, SCORED)
        means = {name: _mean(questions, key) for name, key in MEANS.items()}
        means['challenge RMSE'] = scores.cumulative_rmse(predicted, votes, CHALLENGE, complete)
        result[method] = {'means': means, 'questions': questions,
                          'answers': scores.answer_areas(predicted, votes, SCORED)}
    return result


def _method_tables(parts):
    """The means of every method, the area of every question, and that of each answer."""
    tables = []
    for name, part in parts.items():
        methods = list(part)
        rows = [[method, *(f'{entry["means"][mean]:.3f}' for mean in MEANS),
                 f'{entry["means"]["challenge RMSE"]:.4f}'] for method, entry in part.items()]
        header = ['method', *MEANS, 'challenge RMSE']
        tables.append(_table(f'Means over the questions, on {name}', header, rows))
        rows = [[row['question'], *(f'{part[method]["questions"][i]["auc"]:.3f}'
                                    for method in methods)]
                for i, row in enumerate(part[methods[0]]['questions'])]
        title = f'Area under the ROC curve a question, on {name}'
        tables.append(_table(title, ['question', *methods], rows))
        tables.append(_table(f'Area of each answer against the rest, default model, on {name}',
                             ['question', 'galaxies', 'majority share', 'mean, and 95 per cent',
                              'answers'], _answer_rows(part['default model'])))
    return '\n'.join(tables)


def _answer_rows(entry):
    """A row a question: galaxies, the area with its interval, and the area of each answer."""
    areas = {question: ', '.join(f'{answer} {"-" if np.isnan(area) else format(area, ".3f")}'
                                 for answer, area in zip(TREE[question]['answers'], some))
             for question, some in entry['answers'].items()}
    return [[row['question'], row['n'], f'{row["majority"]:.3f}', _cell(row, 'auc'),
             areas[row['question']]] for row in entry['questions']]


# ---- sets ---------------------------------------------------------------------------------------


def run_sets(options):
    """Coverage of sets and intervals, their JSON and their tables."""
    ids, votes, _, unbiased = _truth(options.data, 'test')
    predicted = _read_predictions(options.encoded, ids)
    thresholds = set_thresholds(get_model(options.model), COVERAGE)
    found, tables = {}, []
    for name, chosen in _samples(unbiased).items():
        found[name] = []
        for question in SCORED:
            asked = chosen & (votes[question].weight >= ASKED)
            if question not in thresholds or asked.sum() < scores.LEAST_GALAXIES:
                continue
            some = Votes(votes[question].fractions[asked], votes[question].weight[asked])
            half = _half_widths(options.encoded, question, ids[asked])
            found[name].append(_set_row(question, predicted[question][asked], some,
                                        thresholds[question], half, options.n_volunteers))
        rows = [[row['question'], row['galaxies'],
                 *('' if np.isnan(row[c]) else f'{row[c]:.3f}' for c in SET_COLUMNS[2:])]
                for row in found[name]]
        title = f'Prediction sets at 90 per cent, calibration and intervals at 68, on {name}'
        tables.append(_table(title, SET_COLUMNS, rows))
    model = _model_of(options.encoded)
    return {'model': model, **found}, '\n'.join([*tables, f'The model is ``{name_of(model)}``.\n'])


def _half_widths(path, question, ids):
    """(N, n_answers) half widths of the intervals."""
    low, high = ([name + end for name in _fraction_names(question)] for end in ('_lo', '_hi'))
    table = _columns(path, low + high, ids)
    return (table[high].to_numpy(float) - table[low].to_numpy(float)) / 2


def _set_row(question, predicted, votes, threshold, half, n_volunteers):
    """What the galaxies that were asked a question show."""
    voted = votes.fractions
    inside = predicted >= 1 - threshold
    n_answers = inside.sum(1)
    hit = inside[np.arange(len(voted)), voted.argmax(1)]
    chance = predicted * (1 - predicted) / (n_volunteers * votes.weight[:, None])
    residual = np.abs(voted - predicted) / np.sqrt(half ** 2 + chance)
    # 'merging' is a yes or no that was made of votes, and has no fractions to be within
    within = np.nan if question == 'merging' else (residual <= 1).mean()
    values = [question, len(voted), hit.mean(), n_answers.mean(), (n_answers == 0).mean(),
              scores.calibration_error(predicted, voted), within]
    return dict(zip(SET_COLUMNS, values))


# ---- protocol -----------------------------------------------------------------------------------


def run_protocol(options):
    """Forests on confident galaxies, and on all; their JSON and their tables."""
    learn_ids, learn_votes, *_ = _truth(options.data, 'train')
    ids, votes, _, unbiased = _truth(options.data, 'test')
    learn = _read_latents(options.encoded, learn_ids), learn_votes
    test = _read_latents(options.encoded, ids), votes
    blocks = {f'protocol of Xu et al., fractions above {threshold:g}':
              _confident_rows(learn, test, threshold) for threshold in options.confident}
    fractions = _read_predictions(options.encoded, ids)
    for name, methods in _asked_rows(learn, test, fractions, _samples(unbiased)).items():
        blocks |= {f'every galaxy that was asked, {name}: {method}': rows
                   for method, rows in methods.items()}
    model = _model_of(options.encoded)
    return ({'model': model, 'means': _block_summary(blocks), 'questions': blocks},
            f'{_block_tables(blocks)}\nLatents and fractions are those of ``{name_of(model)}``.\n')


def _fraction(votes, question, answer):
    """(N,) vote fractions of one answer."""
    return votes[question].fractions[:, TREE[question]['answers'].index(answer)]


def confidence(votes, question):
    """(N,) smallest fraction among the winning answer and those on the way to the question."""
    if question == 'merging':  # its votes are all or nothing, made of two questions
        odd = _fraction(votes, 'something-odd', 'yes')
        merger = _fraction(votes, 'odd-feature', 'merger')
        merges = _fraction(votes, 'merging', 'merger') > 0
        return np.where(merges, np.minimum(odd, merger), 1 - odd * merger)
    least, above = votes[question].fractions.max(1), TREE[question]['parent']
    while above is not None:
        least, above = np.minimum(least, _fraction(votes, *above)), TREE[above[0]]['parent']
    return least


def _forest_answers(latents, answers, latents_test):
    """(N,) answers to one question by a random forest on the latents."""
    # or the forest would split on NaN
    known, finite = (np.isfinite(x).all(1) for x in (latents, latents_test))
    found = np.full(len(latents_test), NO_ANSWER)
    if known.any() and finite.any():
        forest = RandomForestClassifier(TREES, class_weight='balanced', random_state=0, n_jobs=1)
        found[finite] = forest.fit(latents[known], answers[known]).predict(latents_test[finite])
    return found


def _likeliest(fractions):
    """(N,) answers with the highest predicted fraction."""
    known = np.isfinite(fractions).all(1)
    return np.where(known, np.nan_to_num(fractions, nan=-1.0).argmax(1), NO_ANSWER)


def _measures(true, found, kept):
    """Accuracy, and means over the kept answers."""
    precision, recall, f1, _ = precision_recall_fscore_support(
        true, found, labels=kept, average='macro', zero_division=0)
    return {'accuracy': np.mean(true == found), 'precision': precision, 'balanced': recall,
            'f1': f1}


def answer_scores(question, true, found, *, n_boot=0):
    """
    Row of one question; without measures where too few galaxies or answers are left.

    Parameters
    ----------
    question : str
    true, found : (N,) int array
        Answers, -1 where there is none.
    n_boot : int, optional
        Samples of the galaxies for 95 % intervals; 0 gives none.

    Returns
    -------
    row : dict
    """
    answers = TREE[question]['answers']
    counts = np.bincount(true, minlength=len(answers))
    kept = np.flatnonzero(counts >= scores.LEAST_OF_AN_ANSWER)
    rare = [answer for i, answer in enumerate(answers) if i not in kept]
    row = {'question': question, 'n': len(true), 'counts': dict(zip(answers, counts.tolist())),
           'left out of means': rare, 'no prediction': int((found == NO_ANSWER).sum())}
    if len(true) < scores.LEAST_GALAXIES or len(kept) < 2:
        return row
    row |= {'majority': counts.max() / len(true), **_measures(true, found, kept)}
    if n_boot:
        rng = np.random.default_rng(0)
        samples = [rng.integers(0, len(true), len(true)) for _ in range(n_boot)]
        boot = pd.DataFrame([_measures(true[i], found[i], kept) for i in samples])
        for name in boot:
            row[f'{name}_lo'], row[f'{name}_hi'] = np.percentile(boot[name], [2.5, 97.5])
    return row


def _confident_rows(learn, test, threshold):
    """Rows of every question, fitted and tested on confident galaxies."""
    rows = []
    for question in PROTOCOL:
        latents, answers, left_out = [], [], []
        for x, votes in (learn, test):
            asked = votes[question].weight >= ASKED
            chosen = asked & (confidence(votes, question) > threshold)
            latents.append(x[chosen])
            answers.append(votes[question].fractions[chosen].argmax(1))
            left_out.append(int((asked & ~chosen).sum()))
        found = _forest_answers(latents[0], answers[0], latents[1])
        rows.append({**answer_scores(question, answers[1], found), 'train n': len(answers[0]),
                     'train left out': left_out[0], 'test left out': left_out[1]})
    return rows


def _asked_rows(learn, test, fractions, samples):
    """Every galaxy that was asked: sample to method to rows of every question."""
    rows = {name: {'forest on the latents': [], 'predicted fractions': []} for name in samples}
    for question in PROTOCOL:
        known, asked = (votes[question].weight >= ASKED for _, votes in (learn, test))
        answers = learn[1][question].fractions[known].argmax(1)
        forest = _forest_answers(learn[0][known], answers, test[0][asked])
        found = {'forest on the latents': forest,
                 'predicted fractions': _likeliest(fractions[question][asked])}
        true = test[1][question].fractions[asked].argmax(1)
        for name, sample in samples.items():
            inside = sample[asked]
            for method, one in found.items():
                row = answer_scores(question, true[inside], one[inside], n_boot=N_BOOT)
                rows[name][method].append(row)
    return rows


def _block_summary(blocks):
    """Means over those questions of every block that are scored."""
    result = {}
    for name, rows in blocks.items():
        scored = [row for row in rows if 'accuracy' in row]
        without = [row['question'] for row in rows if 'accuracy' not in row]
        if scored:
            means = {measure: _mean(scored, measure) for measure in ('majority', *MEASURES)}
            result[name] = {'questions': len(scored), 'without': without, **means}
    return result


def _cell(row, name):
    """A measure with its interval, if there is one."""
    if name not in row:
        return '-'
    low, high = row.get(f'{name}_lo'), row.get(f'{name}_hi')
    return f'{row[name]:.3f}' + ('' if low is None else f' ({low:.3f}-{high:.3f})')


def _block_tables(blocks):
    """The means of every block, then its questions."""
    measures = ('majority', *MEASURES)
    rows = [[name, one['questions'], *(_cell(one, measure) for measure in measures)]
            for name, one in _block_summary(blocks).items()]
    header = ['galaxies', 'questions', 'majority', *MEASURES.values()]
    tables = [_table('Means over the questions that are scored', header, rows)]
    for title, block in blocks.items():
        cut = 'test left out' in block[0]
        header = ['question', 'galaxies', *['left out'] * cut, 'majority', *MEASURES.values()]
        rows = [[row['question'], row['n'], *([row['test left out']] if cut else []),
                 *(_cell(row, measure) for measure in measures)] for row in block]
        tables.append(_table(title[0].upper() + title[1:], header, rows))
    return '\n'.join(tables)


# -------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    added = {}
    for name, command in (('methods', run_methods), ('sets', run_sets),
                          ('protocol', run_protocol)):
        added[name] = one = commands.add_parser(name)
        one.add_argument('data')
        one.add_argument('encoded')
        add_outputs(one, required=True)
        one.set_defaults(command=command)
    added['methods'].add_argument('--supervised')
    for option in ('--plain', '--heads'):
        added['methods'].add_argument(option, nargs='*', default=[], metavar='NAME=MODEL')
    added['methods'].add_argument('--earlier', metavar='FIGURES.json')
    added['methods'].add_argument('--take', nargs='+', default=[], metavar='NAME')
    added['sets'].add_argument('--model', help='name or file; the default model if left out')
    added['sets'].add_argument('--n-volunteers', type=int, default=40)
    added['protocol'].add_argument('--confident', nargs='+', type=float, default=[0.6, 0.8])
    options = parser.parse_args()
    figures, tables = options.command(options)
    write_report(options, rounded(figures), tables, Path(__file__).name)
    print(tables)


if __name__ == '__main__':
    main()
