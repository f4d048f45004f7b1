# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Train the model that ships with the package, and make its bundle and its card.

    make_default_model.py train GZ2.parquet RUN
    make_default_model.py bundle GZ2.parquet RUN -o BUNDLE --adapt DECALS.parquet
    make_default_model.py scores BUNDLE JSON... -o BUNDLE --card CARD.inc

``scores`` adds what a scorer measured on the test split through ``galvae encode``.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import lightning
import numpy as np
import pyarrow.parquet as pq
import torch

from galvae_affiliated import ModelBundle, get_model
from galvae_affiliated.cards import card
from galvae_affiliated.cutout_sets import composite_radius, decode, recut
from galvae_affiliated.registry import DEFAULT_MODEL
from galvae_affiliated.training.config import TrainingConfig
from galvae_affiliated.training.dataset import read_galaxy_set, validation_rows
from galvae_affiliated.training.export import export_bundle
from galvae_affiliated.training.fit import load_trained, train
from galvae_affiliated.training.galaxy_zoo import GZ2_QUESTIONS, question_entries, survey_renderings
from galvae_affiliated.training.heads import calibrate
from galvae_affiliated.training.preprocess import Preprocess, Rendering
from galvae_affiliated.transformer import reduced_chi2

VALIDATION_SHARE = 0.08
FAINT = 0.04  # composite level below which a pixel is sky
FIELD_OF_VIEW = 5.12  # petroR90
EXPOSURES = (0.7, 1.0, 1.2, 1.4, 1.7, 2.0, 2.4, 2.8, 4.0)
# usual noise of a pixel of 0.262 arcsec in nanomaggies per square arcsecond (measured on Legacy Surveys images; i is
# between r and z), and flux relative to r of a galaxy of g - r = 0.65, r - i = 0.3, r - z = 0.5
TYPICAL = {'g': {'noise': 0.041, 'flux': 0.55}, 'r': {'noise': 0.070, 'flux': 1.0},
           'i': {'noise': 0.11, 'flux': 1.3}, 'z': {'noise': 0.172, 'flux': 1.6}}


def read_training_set(path, run):
    questions = {question: answers for question, (_, answers) in GZ2_QUESTIONS.items()}
    galaxies = read_galaxy_set(path, questions, cache=Path(run) / 'cache', class_column='clean5_class', split='train')
    return galaxies, validation_rows(galaxies.ids, VALIDATION_SHARE)


def run_train(options):
    config = TrainingConfig(steps=options.steps)
    galaxies, held_out = read_training_set(options.data, options.run)
    last = Path(options.run) / 'last.ckpt'
    train(config, galaxies, np.flatnonzero(~held_out), options.run, resume=last if last.exists() else None)


def run_bundle(options):
    config = TrainingConfig()
    galaxies, held_out = read_training_set(options.data, options.run)
    model, step = load_trained(options.checkpoint, config, galaxies)
    preprocess = Preprocess(config.grid)
    rows = np.flatnonzero(held_out)
    labelled = np.flatnonzero(held_out & galaxies.has_votes)
    heads = calibrate(model.heads, encode(model, preprocess, images_of(galaxies, labelled))[0],
                      [torch.from_numpy(v.fractions[labelled]) for v in galaxies.votes.values()],
                      [torch.from_numpy(v.weight[labelled]) for v in galaxies.votes.values()])
    encoded = encode(model, preprocess, images_of(galaxies, rows))
    seen = reconstruct(model, preprocess, *encoded)
    floor, slope = residual_variance(*seen)
    chi2 = reduced_chi2(*seen, floor, slope)
    exposure, by_exposure = choose_exposure(model, preprocess, options.adapt, encoded[0])
    manifest = {
        'name': DEFAULT_MODEL, 'version': '1', 'licence': 'BSD-3-Clause',
        'description': 'Variational auto-encoder of SDSS galaxies, guided by the votes of Galaxy Zoo 2.',
        'input': {'grid': config.grid, 'field_of_view': FIELD_OF_VIEW, 'radius': 'petroR90 in the r band',
                  'flux_unit': 'nmgy / arcsec2', 'channels': 'red to blue', 'typical': TYPICAL},
        'renderings': survey_renderings(exposure),
        'latents': {'n_latents': config.n_latents, 'n_pose': config.n_pose},
        'questions': question_entries(),
        'reconstruction': {'floor': floor, 'slope': slope, 'chi2_99': float(np.quantile(chi2, 0.99))},
        'training': {**describe_training(config, galaxies, held_out, step, exposure, by_exposure),
                     'remark': options.remark},
    }
    # real images for the comparison with PyTorch; none is kept
    bundle = export_bundle(manifest, preprocess, model, heads, extra_images=images_of(galaxies, rows[:56]))
    bundle.write(options.output, overwrite=True)
    print(bundle, bundle.verify(device='cpu'))


def describe_training(config, galaxies, held_out, step, exposure, by_exposure):
    learnt = ~held_out
    return {
        'data': 'SDSS gri colour composites with Galaxy Zoo 2 votes (Willett et al. 2013), split train',
        'terms': 'images and votes were collected from third parties for research use and are not in this file',
        'galaxies': int(learnt.sum()), 'galaxies with votes': int((learnt & galaxies.has_votes).sum()),
        'coarse classes': f'{int((learnt & (galaxies.classes >= 0)).sum())} galaxies with one of '
                          f'{len(galaxies.class_names)} classes (clean5_class), as a second, weaker guide',
        'held out': f'{int(held_out.sum())} of the train split, by a hash of the identifier, for calibration',
        'steps': step, 'views a step': 2 * config.batch_size,
        'exposure': f'{exposure} times the published SDSS scales: Legacy Surveys galaxies (adapt) then lie nearest',
        'distance by exposure': {str(k): v for k, v in by_exposure.items()},
        'votes head': 'one hidden layer, cross-entropy with the vote fractions, a temperature a question',
        'torch': torch.__version__, 'lightning': lightning.__version__, 'config': dataclasses.asdict(config),
    }


def images_of(galaxies, rows):
    return torch.from_numpy(np.array(galaxies.images[rows])).permute(0, 3, 1, 2).float() / 255.0


@torch.inference_mode()
def encode(model, preprocess, images):
    """Latents, pose, frames and weights of composites, in batches."""
    parts = []
    for batch in images.split(128):
        frame, normalised, weight = preprocess(batch)
        mean, _ = model.encoder(normalised)
        parts.append((mean[:, :model.n_latents], mean[:, model.n_latents:], frame, weight))
    return [torch.cat(p) for p in zip(*parts)]


@torch.inference_mode()
def reconstruct(model, preprocess, latent, pose, frame, weight):
    """Decoded images, frames and weights of what `encode` gives, as arrays in the range of composites."""
    decoded = torch.cat([model.decoder(z, p) for z, p in zip(latent.split(128), pose.split(128))])
    return preprocess.composite(decoded).numpy(), frame.numpy(), weight.numpy()


def residual_variance(decoded, frame, weight):
    """Variance of each channel's residuals at the sky's level, and how it grows with the decoded light."""
    square = (decoded - frame) ** 2
    faint = weight * (decoded < FAINT)
    floor = (faint * square).sum((0, 2, 3)) / faint.sum((0, 2, 3))
    excess = weight * decoded * (square - floor.reshape(1, 3, 1, 1))
    slope = excess.sum((0, 2, 3)) / (weight * decoded ** 2).sum((0, 2, 3))
    return [float(x) for x in floor], [max(float(x), 0.0) for x in slope]


def choose_exposure(model, preprocess, path, latent):
    """
    The factor on SDSS's published scales at which another survey's galaxies lie nearest to the training set.

    Nearest by the median squared Mahalanobis distance of their latents. How well the decoder
    explains them would not do: the fainter an image is shown, the better it is explained.
    """
    mean, inverse = latent.mean(0), torch.linalg.inv(torch.cov(latent.T))
    cutouts = legacy_cutouts(path)
    by_exposure = {}
    for exposure in EXPOSURES:
        composites = Rendering(survey_renderings(exposure))(cutouts, torch.full((len(cutouts),), 3))
        offset = encode(model, preprocess, composites)[0] - mean
        by_exposure[exposure] = round(float(torch.einsum('ni,ij,nj->n', offset, inverse, offset).median()), 2)
    return min(by_exposure, key=by_exposure.get), by_exposure


def legacy_cutouts(path):
    """(N, 3, grid, grid) composites of the Legacy Surveys' viewer, split adapt, brought to the model's scale."""
    bundle = argparse.Namespace(renderings=survey_renderings(1.0))
    cutouts = []
    for row in pq.read_table(path, columns=['image', 'split', 'pixel_scale_arcsec']).to_pylist():
        if row['split'] == 'adapt' and row['pixel_scale_arcsec']:
            image = decode(row['image'])
            radius = composite_radius(image, 'legacy-composite', bundle)
            if FIELD_OF_VIEW * radius < image.shape[1]:
                cutouts.append(recut(image, FIELD_OF_VIEW * radius, TrainingConfig().grid))
    return torch.from_numpy(np.array(cutouts))


def run_scores(options):
    bundle = get_model(options.bundle)
    manifest = bundle.manifest
    manifest['scores'] = {}
    for item in options.scores:
        name, path = item.split('=', 1)
        scores = json.loads(Path(path).read_text())
        manifest['scores'][name] = {'challenge RMSE': round(scores['challenge_rmse'], 4), 'questions': [
            {key: value if isinstance(value, str) else round(value, 4) for key, value in row.items()}
            for row in scores['questions']]}
    bundle = ModelBundle(manifest, bundle._parts)
    bundle.write(options.output, overwrite=True)
    text = '\n'.join('    ' + line for line in card(bundle).splitlines())
    Path(options.card).write_text('.. made by tools/make_default_model.py\n\n.. code-block:: text\n\n' + text + '\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    p = commands.add_parser('train')
    p.add_argument('data')
    p.add_argument('run')
    p.add_argument('--steps', type=int, default=TrainingConfig().steps)
    p.set_defaults(run_command=run_train)
    p = commands.add_parser('bundle')
    p.add_argument('data')
    p.add_argument('run')
    p.add_argument('--checkpoint', required=True)
    p.add_argument('--adapt', required=True)
    p.add_argument('--remark', default='', help='what else should be known of the run')
    p.add_argument('-o', '--output', required=True)
    p.set_defaults(run_command=run_bundle)
    p = commands.add_parser('scores')
    p.add_argument('bundle')
    p.add_argument('scores', nargs='+', metavar='NAME=JSON')
    p.add_argument('-o', '--output', required=True)
    p.add_argument('--card', required=True)
    p.set_defaults(run_command=run_scores)
    options = parser.parse_args()
    options.run_command(options)


if __name__ == '__main__':
    main()
