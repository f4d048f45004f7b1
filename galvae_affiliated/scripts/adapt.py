# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae adapt``: a model for another survey."""

import logging
from pathlib import Path

from galvae_affiliated._optional import check_matplotlib, check_training_installed
from galvae_affiliated.models._schema import check_model_name
from galvae_affiliated.scripts._common import add_device_option, add_output_options, check_output
from galvae_affiliated.scripts._images import READING, add_reading_options
from galvae_affiliated.scripts._messages import is_interactive

SET_OPTIONS = ('split_column', 'split', *READING)


def add_adapt(parser):
    """The command ``galvae adapt``."""
    parser.describe(
        'Fine-tune the encoder of MODEL, without labels, so that galaxies of the survey TARGET '
        'have the latents that they would have in SOURCE, the survey that it was trained on. '
        'Latents of SOURCE, heads and calibrations stay. A model that is no better on held-out '
        "galaxies is not written. Needs the 'train' extra.",
        'galvae adapt gz2-sdss-v3 --source sdss.parquet --target survey.parquet -o both.galvae',
        run=_run_adapt)
    parser.add_argument('model', metavar='MODEL', help='name or file')
    add = parser.add_argument_group('galaxies').add_argument
    add('--source', required=True, metavar='SET', help='Parquet file or folder of cutouts of the '
        'survey that MODEL knows')
    add('--target', required=True, metavar='SET', help='the same of the other survey')
    add('--pairs', metavar='CSV', help='identifiers of galaxies that are in both, in two columns')
    add = add_output_options(parser, 'ADAPTED', 'the new model').add_argument
    add('--figure', metavar='PNG', help='draw held-out galaxies before and after')
    add('--name', help="of the new model; the output file's if left out")
    add('--folder', metavar='RUN', help='for a checkpoint, from which a run that was killed goes '
        'on; ADAPTED.run if left out')
    add = parser.add_argument_group('training').add_argument
    add('--loss', action='append', metavar='NAME',
        help='what brings the surveys together: consistency, mmd, conditional-mmd, sinkhorn, '
        'coral, adversarial; may be given more than once (default: consistency and '
        'conditional-mmd; and pairs, where there are some)')
    add('--steps', type=int, metavar='N', help='at most (default 600)')
    add('--settling-steps', type=int, metavar='N',
        help='steps after those in which the decoder learns both surveys (default 0)')
    add('--max-galaxies', type=int, metavar='N', help='of each set (default 8000)')
    add('--random-state', type=int, metavar='N', help='(default 0)')
    add_device_option(parser)
    for word in ('source', 'target'):
        _add_set_options(parser.add_argument_group(f'what the rows of the {word} are'), word)


def _add_set_options(group, word):
    add = group.add_argument
    add(f'--{word}-split-column', metavar='NAME', help='take the rows where it says SPLIT alone')
    add(f'--{word}-split', metavar='SPLIT', help='such as train')
    add_reading_options(group, prefix=f'{word}-', already_scaled={'default': None})


def _set_options(options, word):
    """Keywords of `~galvae_affiliated.training.adapt.images.read_survey` that were given."""
    given = {name: getattr(options, f'{word}_{name}') for name in SET_OPTIONS}
    if (given['split_column'] is None) != (given['split'] is None):
        raise ValueError(f'--{word}-split-column and --{word}-split go together')
    return {name: value for name, value in given.items() if value is not None}


def _run_adapt(options):
    output = Path(options.output)
    check_output(output, options.overwrite)
    name = options.name or output.stem
    check_model_name(name)
    sets = {f'{word}_options': _set_options(options, word) for word in ('source', 'target')}
    if options.figure:
        check_output(Path(options.figure), options.overwrite)
        check_matplotlib()
    check_training_installed()
    from galvae_affiliated.training.adapt.options import AdaptationOptions

    changes = {key: getattr(options, key) for key in
               ('steps', 'settling_steps', 'max_galaxies', 'random_state')}
    changes['losses'] = options.loss
    chosen = AdaptationOptions(**{key: value for key, value in changes.items()
                                  if value is not None})
    from galvae_affiliated.training import adapt_model

    _quiet_logging()
    model = adapt_model(
        options.model, options.source, options.target, pairs=options.pairs, name=name,
        folder=options.folder or output.with_suffix('.run'), options=chosen,
        device=options.device, progress=is_interactive(), **sets)
    model.write(output, overwrite=options.overwrite)
    if options.figure:
        from galvae_affiliated.plotting import draw_adaptation

        draw_adaptation(model, options.figure)
    for line in _report_lines(model.manifest.raw['adapted']):
        print(line)
    return f'{output}: {model.id}'


def _report_lines(about):
    """Held-out scores before and after, a line each."""
    before, after = about['before'], about['after']
    rows = {'discrepancy (MMD^2)': lambda scores: scores['mmd'],
            'survey classifier AUC': lambda scores: scores['survey_area'],
            'source loss, nats': lambda scores: scores['source_loss']}
    for name in ('recall_1', 'recall_10', 'distance'):
        if 'pairs' in before:
            rows[f'pairs, {name.replace("_", " at ")}'] = lambda scores, name=name: (
                scores['pairs'][name])
    for name, score_of in rows.items():
        values = (f'{score["value"]:.4f} ({score["low"]:.4f} to {score["high"]:.4f})'
                  for score in map(score_of, (before, after)))
        yield f'{name:22s} before {next(values)}, after {next(values)}'
    for simple, scores in about['baselines'].items():
        values = (f'{name} {score_of(scores)["value"]:.4f}' for name, score_of in rows.items()
                  if 'loss' not in name)
        yield f'by {simple} alone: {"; ".join(values)}'
    if about['as good']:
        yield (f'{" and ".join(about["as good"])} alone did as much: see SurveyAdapter, which '
               'needs no training')


def _quiet_logging():
    """The package's warnings on the standard error stream, no messages of the libraries."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter('galvae: warning: %(message)s'))
    handler.setLevel(logging.WARNING)
    logging.getLogger('galvae_affiliated').handlers = [handler]
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
