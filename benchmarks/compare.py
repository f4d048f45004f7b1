# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The default model beside what else could be done with the same images and votes.

    compare.py GALAXIES.parquet --encoded DEFAULT.parquet --supervised SUPERVISED.parquet --plain NAME=MODEL.galvae ...
               --heads NAME=MODEL.galvae ... --json OUT.json --rst OUT.inc

DEFAULT.parquet is what ``galvae encode GALAXIES.parquet`` writes; SUPERVISED.parquet is what ``supervised.py predict``
writes. Of each other model the latents go through a random forest that is fitted on the votes of ``train``, and so do
the 40 first principal components of the images, and the default model's own latents. Models of ``--heads`` are what
``galvae fit-heads`` made of the default model: their heads answer from its latents. All are scored on the same
galaxies of ``test``, and on those of them that were not selected by their votes.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scores import TREE, answer_areas, challenge_rmse, mean, read_predictions, scores, truth
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor

from galvae_affiliated import LatentTransformer, get_model
from galvae_affiliated.cutouts.sets import ParquetSet
from galvae_affiliated.models.votes import predict_votes

N_COMPONENTS, PCA_GALAXIES, PCA_BINNING = 40, 6000, 2
TREES, LEAST_IN_LEAF = 300, 3


def galaxies(path, bundle, wanted):
    """(N, 3, grid, grid) float32 composites of the wanted identifiers, in their order."""
    place = {name: i for i, name in enumerate(wanted)}
    images = np.zeros((len(wanted), 3, bundle.grid, bundle.grid), np.float16)
    for names, stack in ParquetSet(path, bundle, already_scaled=True).chunks(256):
        for name, image in zip(names, stack.data):
            if name in place:
                images[place[name]] = image
    return images


def circle(images):
    """Pixels inside the inscribed circle, which is what the networks see, two by two averaged."""
    n, bands, side, _ = images.shape
    small = images.reshape(n, bands, side // PCA_BINNING, PCA_BINNING, side // PCA_BINNING, PCA_BINNING).mean((3, 5))
    x = np.arange(small.shape[-1]) - (small.shape[-1] - 1) / 2
    return small[:, :, np.hypot(x, x[:, None]) < small.shape[-1] / 2].reshape(n, -1).astype(np.float32)


def principal_components(learn, test):
    """The first 40 components of the images."""
    pca = PCA(N_COMPONENTS, svd_solver='randomized', random_state=0).fit(circle(learn[:PCA_GALAXIES]))
    return pca.transform(circle(learn)), pca.transform(circle(test))


def forest_fractions(features, votes, features_test):
    """Question to predicted fractions, by a random forest a question."""
    predicted = {}
    for question, true in votes.items():
        known = true.weight > 0
        forest = RandomForestRegressor(TREES, min_samples_leaf=LEAST_IN_LEAF, max_features='sqrt', n_jobs=-1,
                                       random_state=0)
        forest.fit(features[known], true.fractions[known], sample_weight=true.weight[known])
        predicted[question] = forest.predict(features_test)
    return predicted


def read_latents(path, ids):
    """(N, n_latents) latents of a table that ``galvae encode`` wrote."""
    table = pq.read_table(path, columns=['id_str', 'galvae_latent'])
    names = table.column('id_str').to_pylist()
    latents = np.array(table.column('galvae_latent').to_pylist(), dtype=np.float32)
    place = {name: i for i, name in enumerate(names)}
    return latents[[place[i] for i in ids]]


def answered(bundle, latents):
    """Question to the fractions that a model's heads predict."""
    return predict_votes(latents, bundle).fractions


def predictions(options, learn_ids, learn_votes, test_ids):
    """Method to predicted fractions of the test galaxies."""
    known = np.any([v.weight > 0 for v in learn_votes.values()], axis=0)
    learn_ids = learn_ids[known]
    votes = {q: type(v)(v.fractions[known], v.weight[known]) for q, v in learn_votes.items()}
    found = {'default model': read_predictions(options.encoded, test_ids)}
    found['default latents, forest'] = forest_fractions(read_latents(options.encoded, learn_ids), votes,
                                                        read_latents(options.encoded, test_ids))
    for item in options.heads:
        name, path = item.split('=', 1)
        found[name] = answered(get_model(path), read_latents(options.encoded, test_ids))
    if options.supervised:
        found['supervised network'] = read_predictions(options.supervised, test_ids)
    bundle = get_model()
    learn, test = galaxies(options.data, bundle, learn_ids), galaxies(options.data, bundle, test_ids)
    for item in options.plain:
        name, path = item.split('=', 1)
        transformer = LatentTransformer(get_model(path))
        latents = [transformer.transform(images.astype(np.float32)) for images in (learn, test)]
        found[f'{name}, forest'] = forest_fractions(latents[0], votes, latents[1])
    components, components_test = principal_components(learn, test)
    found['40 principal components, forest'] = forest_fractions(components, votes, components_test)
    return found


def report(found, votes, complete, chosen):
    """Scores of every method on the chosen galaxies."""
    votes = {q: type(v)(v.fractions[chosen], v.weight[chosen]) for q, v in votes.items()}
    result = {}
    for method, predicted in found.items():
        predicted = {q: p[chosen] for q, p in predicted.items()}
        rows = scores(predicted, votes)
        result[method] = {'questions': rows, 'challenge RMSE': challenge_rmse(predicted, votes, complete[chosen]),
                          'answers': answer_areas(predicted, votes)}
    return result


def rounded(value):
    """Figures to four digits, whatever holds them."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(float(value), 4) if isinstance(value, (float, np.floating)) else value


def summary(part):
    return {method: {'balanced accuracy': mean(entry['questions'], 'balanced'), 'AUC': mean(entry['questions'], 'auc'),
                     'calibration': mean(entry['questions'], 'calibration'), 'challenge RMSE': entry['challenge RMSE']}
            for method, entry in part.items()}


def tables(report_):
    """reStructuredText: the means of every method, then the area of every question."""
    lines = []
    for name, part in report_.items():
        methods = list(part)
        lines += [f'.. list-table:: Means over the questions, on {name}', '   :header-rows: 1', '',
                  '   * - method', '     - balanced accuracy', '     - AUC', '     - calibration',
                  '     - challenge RMSE']
        for method, row in summary(part).items():
            lines += [f'   * - {method}'] + [f'     - {value:.3f}' for value in list(row.values())[:3]]
            lines += [f'     - {row["challenge RMSE"]:.4f}']
        lines += ['', f'.. list-table:: Area under the ROC curve a question, on {name}', '   :header-rows: 1', '',
                  '   * - question', '     - galaxies', '     - majority share']
        lines += [f'     - {method}' for method in methods]
        for i, row in enumerate(part[methods[0]]['questions']):
            own = f'{row["auc"]:.3f} ({row["auc_lo"]:.3f}-{row["auc_hi"]:.3f})'
            lines += [f'   * - {row["question"]}', f'     - {row["n"]}', f'     - {row["majority"]:.3f}',
                      f'     - {own}']
            lines += [f'     - {part[m]["questions"][i]["auc"]:.3f}' for m in methods[1:]]
        lines += ['', f'.. list-table:: Area of each answer against the rest, default model, on {name}',
                  '   :header-rows: 1', '', '   * - question', '     - answers']
        for question, areas in part[methods[0]]['answers'].items():
            text = ', '.join(f'{a} {"-" if np.isnan(x) else format(x, ".3f")}'
                             for a, x in zip(TREE[question]['answers'], areas))
            lines += [f'   * - {question}', f'     - {text}']
        lines += ['']
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('--encoded', required=True)
    parser.add_argument('--supervised')
    parser.add_argument('--plain', nargs='*', default=[], metavar='NAME=MODEL')
    parser.add_argument('--heads', nargs='*', default=[], metavar='NAME=MODEL')
    parser.add_argument('--json', required=True)
    parser.add_argument('--rst', required=True)
    options = parser.parse_args()
    learn_ids, learn_votes, _ = truth(options.data, 'train')
    ids, votes, complete = truth(options.data, 'test')
    unbiased = np.isin(ids, truth(options.data, 'test', unbiased=True)[0])
    found = predictions(options, learn_ids, learn_votes, ids)
    parts = {'test': report(found, votes, complete, np.ones(len(ids), bool)),
             'test, not selected': report(found, votes, complete, unbiased)}
    own = {name: {key: part['default model'][key] for key in ('challenge RMSE', 'questions')}
           for name, part in parts.items()}
    result = rounded({'scores': own, 'comparison': {name: summary(part) for name, part in parts.items()}})
    Path(options.json).write_text(json.dumps(result, indent=1))
    Path(options.rst).write_text('.. made by benchmarks/compare.py\n\n' + tables(parts))
    for name, part in result['comparison'].items():
        print(name)
        for method, row in part.items():
            print(f'  {method:34s}', row)


if __name__ == '__main__':
    main()
