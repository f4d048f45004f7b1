# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Train the model that ships with the package, and make its bundle and its card.

    make_default_model.py train GZ2.parquet RUN        the first run, on votes and coarse classes
    benchmarks/bench_supervised.py train GZ2.parquet RUN                              the teacher
    benchmarks/bench_supervised.py predict GZ2.parquet RUN --unvoted -o TEACHER.parquet
    make_default_model.py train GZ2.parquet RUN2 --run 2 --after RUN/last.ckpt
                          --teacher TEACHER.parquet
    make_default_model.py bundle GZ2.parquet RUN2 --run 2 --after ... --teacher ...
                          --adapt DECALS.parquet -o BUNDLE2
    galvae encode GZ2.parquet --model BUNDLE2 --already-scaled -o ENCODED2.parquet
    make_default_model.py teacher TEACHER.parquet ENCODED2.parquet -o TEACHER3.parquet
    make_default_model.py train GZ2.parquet RUN3 --run 3 --after RUN2/last.ckpt
                          --teacher TEACHER3.parquet
    make_default_model.py bundle GZ2.parquet RUN3 --run 3 --after ... --teacher ...
                          --adapt DECALS.parquet -o BUNDLE3
    make_default_model.py train GZ2.parquet RUN4 --run 4 --after RUN3/settling/last.ckpt
                          --teacher TEACHER3.parquet
    make_default_model.py bundle GZ2.parquet RUN4 --run 4 --after ... --teacher ...
                          --adapt DECALS.parquet -o BUNDLE
    galvae encode GZ2.parquet --model gz2-sdss-v1 --already-scaled -o ENCODED1.parquet
    galvae encode GZ2.parquet --model gz2-sdss-v2 --already-scaled -o ENCODED4.parquet
    galvae encode DECALS_ADAPT.parquet --model gz2-sdss-v1 -o ADAPT1.parquet
    galvae encode DECALS_ADAPT.parquet --model gz2-sdss-v2 -o ADAPT4.parquet
    make_default_model.py teacher ENCODED1.parquet ENCODED4.parquet -o TEACHER5.parquet
    make_default_model.py teacher ADAPT1.parquet ADAPT4.parquet -o ADAPT_TEACHER.parquet
    make_default_model.py train GZ2.parquet RUN5 --run 5 --teacher TEACHER5.parquet
                          --adapt DECALS_ADAPT.parquet --adapt-teacher ADAPT_TEACHER.parquet
                          --vis EUCLID.parquet
    make_default_model.py bundle GZ2.parquet RUN5 --run 5 ... -o BUNDLE5
    galvae fit-parts BUNDLE5 GZ2.parquet --already-scaled --split-column split
                     --also DECALS_ADAPT.parquet --also EUCLID.parquet,pixel_scale=0.1 -o BUNDLE6
    make_default_model.py train GZ2.parquet RUN6 --run 6 --after BUNDLE6
    make_default_model.py sharpen GZ2.parquet RUN6 --run 6 --after BUNDLE6 -o BUNDLE
    make_default_model.py card BUNDLE COMPARISON.json INVARIANCE.json -o BUNDLE --card CARD.inc

``teacher`` averages what two models predict for the same galaxies: before the third run the
supervised network and the second run's model. The fourth run distils the third's network into the
light one, the fifth makes its latents hold in grey, for worse images and for other surveys, and the
sixth teaches a sharp decoder. DECALS_ADAPT.parquet holds the rows of DECaLS that may be adapted to.
``card`` adds what was
measured on the test split, through ``galvae encode``, to the manifest.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from galvae_affiliated import get_model
from galvae_affiliated.cutouts.composites import composite_radius, decode_image, resize_composite
from galvae_affiliated.models.card import model_card
from galvae_affiliated.models.registry import DEFAULT_MODEL
from galvae_affiliated.training.build import build_bundle
from galvae_affiliated.training.config import TrainingConfig
from galvae_affiliated.training.data.dataset import read_galaxies
from galvae_affiliated.training.data.galaxy_zoo import survey_renderings
from galvae_affiliated.training.data.module import GalaxyData
from galvae_affiliated.training.data.rendered import model_frame
from galvae_affiliated.training.export.generator import code_correction, with_generator
from galvae_affiliated.training.fit import fit_model, load_trained
from galvae_affiliated.training.networks.inference import encode_rows
from galvae_affiliated.training.networks.preprocess import Rendering
from galvae_affiliated.training.objectives.vae import VAEObjective

EXPOSURES = (0.7, 1.0, 1.2, 1.4, 1.7, 2.0, 2.4, 2.8, 4.0)
LEGACY = 3  # row of the renderings
DATA = {
    'questions': 'gz2',
    'suffix': '-gz2',
    'class_column': 'clean5_class',
    'split_column': 'split',
    'random_sample_column': 'unbiased',
    'already_scaled': True,
}
# With a teacher, 18,000 galaxies that have no votes guide too, and votes have more weight. The
# third run has a better teacher, whose fractions count as votes do: theirs are off by what the
# votes of 40 people scatter.
RUNS = {
    1: {'steps': 3600},
    2: {'steps': 3400, 'learning_rate': 1.5e-3, 'votes_weight': 1.0},
    3: {
        'steps': 3200,
        'settling_steps': 1500,
        'learning_rate': 1.5e-3,
        'votes_weight': 1.0,
        'teacher_weight': 1.0,
    },
    4: {
        'preset': 'light',
        'steps': 8000,
        'votes_weight': 1.0,
        'teacher_weight': 1.0,
        'class_weight': 0.0,
    },
    5: {
        'preset': 'light',
        'anchor': 'gz2-sdss-v2',
        'modulated': True,
        'steps': 4500,
        # what ships settled for 2,400 steps at a rate of 3e-3, the first 900 before the encoder's
        # last 1,750
        'settling_steps': 2400,
        'batch_size': 48,
        'learning_rate': 1.5e-3,
        'dropout': 0.0,
        'reconstruction_weight': 0.0,
        'votes_weight': 1.0,
        'teacher_weight': 1.0,
        'class_weight': 0.0,
        'distil_weight': 2.0,
        'view_distil_weight': 0.5,
        'identity_weight': 0.2,
        'alignment_weight': 0.3,
        'survey_psf': 6.0,
        'survey_blurred_share': 0.45,
        'survey_noise': 0.08,
        'survey_gain': 0.5,
        'survey_contrast': 0.25,
        'survey_zoom': 0.2,
        'grey_share': 0.42,
        'two_band_share': 0.08,
        'head': 'network',  # which the cross-validation of the fourth run preferred
    },
    6: {
        'preset': 'light',
        'modulated': True,
        'dropout': 0.0,
        # what ships began as a copy, by 1,200 steps of distillation, of a larger network that had
        # learnt in the same way for 3,300 steps, and learnt for 4,200 steps without the term for
        # texture. Then came these, of which the last 5,800 had a code_weight of 10, 12 and 15 and
        # rates of 1e-4, 7e-5 and 4e-5, and the last 2,100 a critic_weight of 1 and a
        # texture_weight of 1.5
        'steps': 9800,
        'code_weight': 4.0,
        'batch_size': 16,
        'labelled_share': 0.25,
        'learning_rate': 2e-4,
        'warmup_share': 0.01,
        'validate_every': 1000,
    },
}


def _configuration(options):
    settings = {'preset': 'guided', 'head': 'auto', **RUNS[options.number]}
    if options.number == 5:
        # Euclid's galaxies are of other masses and distances: they are not aligned
        settings['other_surveys'] = (
            {
                'source': options.adapt,
                'rendering': 'legacy-composite',
                'teacher': options.adapt_teacher,
            },
            {'source': options.vis, 'rendering': 'composite', 'is_aligned': False},
        )
    else:
        option = {4: 'distil_from', 6: 'sharpen'}.get(options.number, 'initial')
        settings[option] = options.after
    return TrainingConfig.of_preset(
        source=options.data, teacher=options.teacher, **DATA, **settings
    )


def _run_teacher(options):
    one, other = (
        pd.read_parquet(path).set_index('id_str') for path in (options.supervised, options.encoded)
    )
    both = [c for c in one if c in other and c.endswith('_fraction')]
    (
        (one[both].astype(float) + other.loc[one.index, both].astype(float)) / 2
    ).reset_index().to_parquet(options.output)


def _run_train(options):
    config = _configuration(options)
    galaxies = read_galaxies(config, options.cache or Path(options.run) / 'cache')
    fit_model(config, galaxies, options.run)


def _run_bundle(options):
    config = _configuration(options)
    galaxies = read_galaxies(config, options.cache or Path(options.run) / 'cache')
    module = VAEObjective(config, galaxies)
    settled = Path(options.run) / 'settling' / 'last.ckpt'
    last = settled if settled.exists() else Path(options.run) / 'last.ckpt'
    checkpoint = options.checkpoint or last
    module.model, step = load_trained(checkpoint, config, galaxies)
    module.measure_held_out(GalaxyData(config, galaxies).val_dataloader(), step)
    by_exposure = {}
    exposure = config.data.exposure
    if not config.training.anchor:  # whose renderings the latents are of
        exposure, by_exposure = _choose_exposure(module, galaxies, options.adapt)
    module.config = config.replaced(exposure=exposure)
    about = {
        'data': 'SDSS gri colour composites with Galaxy Zoo 2 votes (Willett et al. 2013), '
        'split train',
        'terms': 'images and votes were collected from third parties for research use and are not '
        'in this file',
    }
    if config.loss.class_weight:
        n_classes = len(galaxies.class_names)
        about['coarse classes'] = f'{n_classes} (clean5_class), as a second, weaker guide'
    if config.data.other_surveys:
        about['other surveys'] = ', '.join(
            f'{len(other.images)} of {Path(own["source"]).name}'
            for other, own in zip(galaxies.other_surveys, config.data.other_surveys)
        )
    if by_exposure:
        about |= {
            'exposure': f'{exposure} times the published SDSS scales: Legacy Surveys galaxies '
            '(adapt) then lie nearest',
            'distance by exposure': {str(k): v for k, v in by_exposure.items()},
        }
    about['remark'] = options.remark
    bundle = build_bundle(
        module,
        galaxies,
        name=options.name,
        version='1',
        license='BSD-3-Clause',
        about=about,
        description='Variational auto-encoder of SDSS galaxies, guided by the votes of Galaxy '
        'Zoo 2.',
    )
    bundle.write(options.output, overwrite=True)
    print(bundle, bundle.verify(device='cpu'))


def _run_sharpen(options):
    config = _configuration(options)
    galaxies = read_galaxies(config, options.cache or Path(options.run) / 'cache')
    module = fit_model(config, galaxies, options.run)
    correction = code_correction(module.cpu(), galaxies)
    bundle = with_generator(get_model(options.after), module, correction=correction)
    bundle.write(options.output, overwrite=True)
    print(bundle, bundle.verify(device='cpu'))


def _choose_exposure(module, galaxies, path):
    """
    The factor on SDSS's published scales at which another survey lies nearest to the training set.

    Nearest by the median squared Mahalanobis distance of their latents. How well the decoder
    explains them would not do: the fainter an image is shown, the better it is explained.
    """
    model, preprocess = module.model.eval(), module.preprocess
    latent = encode_rows(model, preprocess, galaxies.composites(galaxies.held_out))[0]
    mean, inverse = latent.mean(0), torch.linalg.inv(torch.cov(latent.T))
    cutouts = _legacy_cutouts(path, module.config)
    by_exposure = {}
    for exposure in EXPOSURES:
        rendering = torch.full((len(cutouts),), LEGACY)
        composites = Rendering(survey_renderings(exposure))(cutouts, rendering)
        offset = encode_rows(model, preprocess, composites)[0] - mean
        distance = torch.einsum('ni,ij,nj->n', offset, inverse, offset).median()
        by_exposure[exposure] = round(float(distance), 2)
    return min(by_exposure, key=by_exposure.get), by_exposure


def _legacy_cutouts(path, config):
    """(N, 3, grid, grid) composites of the Legacy Surveys' viewer at the model's scale."""
    frame, cutouts = model_frame(config), []
    for row in pq.read_table(path, columns=['image', 'split', 'pixel_scale_arcsec']).to_pylist():
        if row['split'] == 'adapt' and row['pixel_scale_arcsec']:
            pixels = decode_image(row['image'])
            side = frame.field_of_view * composite_radius(pixels, 'legacy-composite', frame)
            if side < len(pixels):
                cutouts.append(resize_composite(pixels, side, frame.grid))
    return torch.from_numpy(np.array(cutouts))


def _run_card(options):
    bundle = get_model(options.bundle)
    manifest = bundle.manifest.raw
    comparison, invariance = (
        json.loads(Path(path).read_text()) for path in (options.comparison, options.invariance)
    )
    manifest['scores'] = comparison['scores']
    manifest['comparison'] = comparison['comparison']
    manifest['invariance'] = {key: value for key, value in invariance.items() if key != 'model'}
    if options.reconstruction:
        manifest['reconstruction']['test'] = json.loads(Path(options.reconstruction).read_text())
    bundle = bundle.replaced(manifest=manifest)
    bundle.write(options.output, overwrite=True)
    text = '\n'.join(('    ' + line).rstrip() for line in model_card(bundle).splitlines())
    Path(options.card).write_text(
        '.. made by tools/make_default_model.py\n\n.. code-block:: text\n\n' + text + '\n'
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for name, command in (
        ('train', _run_train),
        ('bundle', _run_bundle),
        ('sharpen', _run_sharpen),
    ):
        p = commands.add_parser(name)
        p.add_argument('data')
        p.add_argument('run')
        p.add_argument('--run', dest='number', type=int, choices=RUNS, default=1)
        p.add_argument('--after', default='', help='checkpoint or bundle of the run before')
        p.add_argument('--teacher', default='')
        p.add_argument('--adapt', help='galaxies of DECaLS that may be adapted to')
        p.add_argument('--adapt-teacher', default='', help='what a teacher predicts of them')
        p.add_argument('--vis', help='galaxies of Euclid')
        p.add_argument('--cache', help='folder of the rendered images')
        p.set_defaults(command=command)
        if name != 'train':
            p.add_argument('-o', '--output', required=True)
        if name == 'bundle':
            p.add_argument('--name', default=DEFAULT_MODEL)
            p.add_argument('--checkpoint', help='instead of the last')
            p.add_argument('--remark', default='', help='what else should be known of the run')
    p = commands.add_parser('teacher')
    p.add_argument('supervised')
    p.add_argument('encoded')
    p.add_argument('-o', '--output', required=True)
    p.set_defaults(command=_run_teacher)
    p = commands.add_parser('card')
    p.add_argument('bundle')
    p.add_argument('comparison')
    p.add_argument('invariance')
    p.add_argument('--reconstruction')
    p.add_argument('-o', '--output', required=True)
    p.add_argument('--card', required=True)
    p.set_defaults(command=_run_card)
    options = parser.parse_args()
    options.command(options)


if __name__ == '__main__':
    main()
