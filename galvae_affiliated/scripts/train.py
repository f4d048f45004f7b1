# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae train``, ``sweep`` and ``fit-heads``; PyTorch is imported when one of them runs."""

import sys
from pathlib import Path

from galvae_affiliated._optional import check_training_installed

__all__ = ['add_fit_heads', 'add_sweep', 'add_train']



def add_train(commands):
    p = commands.add_parser('train', help='train a model on your own galaxies',
                            description="Train the model that CONFIG describes; needs the 'train' extra. A run that "
                            'was killed goes on where its last checkpoint is.')
    p.add_argument('config', metavar='CONFIG.toml')
    p.add_argument('-o', '--output', required=True, metavar='MODEL.galvae')
    p.add_argument('--overwrite', action='store_true', help='replace MODEL.galvae')
    p.add_argument('--run', dest='folder', metavar='FOLDER',
                   help='of checkpoints and logs; MODEL.run beside MODEL.galvae if left out')
    p.add_argument('--name', help="of the model; the output file's if left out")
    p.add_argument('--license', default='not stated', help='of the model, for its card')
    p.add_argument('--description', default='', help='one line for its card')
    p.set_defaults(run=run_train)


def add_sweep(commands):
    p = commands.add_parser('sweep', help='train models with several numbers of latents and compare them',
                            description='Train what CONFIG describes with each number of latents, measure on the '
                            "galaxies held out, and name the elbow; needs the 'train' and 'plot' extras.")
    p.add_argument('config', metavar='CONFIG.toml')
    p.add_argument('--latents', required=True, metavar='N,N,...', help='such as 5,10,20,40,80')
    p.add_argument('-o', '--output', required=True, metavar='FOLDER', help='for the runs, sweep.ecsv and sweep.png')
    p.set_defaults(run=run_sweep)


def add_fit_heads(commands):
    p = commands.add_parser('fit-heads', help='teach a model your own labels, on the latents that it has',
                            description='Fit what predicts vote fractions, classes or numbers from the latents of '
                            "MODEL, whose encoder stays as it is; needs the 'train' extra. LABELS is a table with an "
                            'identifier a row, or a Parquet set that holds the cutouts too.')
    p.add_argument('model', metavar='MODEL', help='name or file')
    p.add_argument('labels', metavar='LABELS')
    p.add_argument('-o', '--output', required=True, metavar='NEW.galvae')
    p.add_argument('--overwrite', action='store_true', help='replace NEW.galvae')
    p.add_argument('--latents', metavar='TABLE',
                   help='what galvae encode wrote, with id_str; the cutouts of LABELS are encoded without it')
    p.add_argument('--already-scaled', action='store_true', help="the cutouts of LABELS are at the model's scale already")
    p.add_argument('--id-column', default='id_str', metavar='NAME', help='of LABELS (default id_str)')
    p.add_argument('--questions', default='gz2', metavar='TREE', help="'gz2' (default), or a TOML file of [questions]")
    p.add_argument('--suffix', default='', help="between question and answer in LABELS, such as '-gz2'")
    p.add_argument('--class-column', metavar='NAME', help='fit the classes of this column instead of votes')
    p.add_argument('--target', action='append', default=[], metavar='NAME',
                   help='fit the numbers of this column; may be given more than once. The heads for votes stay as '
                   'they are, and their options do nothing')
    p.add_argument('--split-column', metavar='NAME', help='learn from the rows where it says SPLIT alone')
    p.add_argument('--split', default='train', metavar='SPLIT', help='(default train)')
    p.add_argument('--random-sample-column', metavar='NAME', help='true where votes did not select the galaxy')
    p.add_argument('--labels-are-training-set', action='store_true',
                   help='LABELS are those that MODEL was trained on; the galaxies it held out calibrate the heads')
    p.add_argument('--head', default='auto', metavar='KIND',
                   help='auto (default), network, dirichlet, logistic or forest')
    p.add_argument('--n-volunteers', type=int, default=40, metavar='N', help='who see a galaxy (default 40)')
    p.add_argument('--name', help="of the new model; the output file's if left out")
    p.set_defaults(run=run_fit_heads)


def run_train(options):
    from galvae_affiliated.scripts._common import check_output
    from galvae_affiliated.training.config import read_config

    output = Path(options.output)
    check_output(output, options.overwrite)
    config = read_config(options.config)
    check_training_installed(*['skl2onnx'] * (config.head == 'forest'))
    from galvae_affiliated.training.run import quiet_logging, train_model

    quiet_logging()
    model = train_model(config, options.folder or output.with_suffix('.run'), name=options.name or output.stem,
                         progress=sys.stderr.isatty(), license=options.license, description=options.description)
    if model is not None:
        model.write(output, overwrite=options.overwrite)
        print(model.id, 'written to', output)


def run_fit_heads(options):
    from galvae_affiliated.scripts._common import check_output

    output = Path(options.output)
    check_output(output, options.overwrite)
    if options.class_column and options.target:
        raise ValueError('--class-column and --target are fitted one after the other, each on what the other wrote')
    check_training_installed(*['skl2onnx'] * (options.head == 'forest'))
    from galvae_affiliated.models.card import format_value
    from galvae_affiliated.models.registry import get_model
    from galvae_affiliated.training.heads.refit import (
        fit_new_heads,
        fit_new_quantities,
        read_questions,
    )
    from galvae_affiliated.training.run import quiet_logging

    quiet_logging()
    model, name = get_model(options.model), options.name or output.stem
    questions, labels = read_questions(options.questions), labels_of(options)
    table = latents_of(options, model)
    if options.target:
        model = fit_new_quantities(model, labels, table, options.target, name=name)
        about = model.manifest['targets']['report']
    else:
        model = fit_new_heads(model, labels, table, questions=questions, suffix=options.suffix, head=options.head,
                               class_column=options.class_column, random_sample_column=options.random_sample_column,
                               n_volunteers=options.n_volunteers, labels_are_training_set=options.labels_are_training_set, name=name)
        about = model.manifest['heads']
    model.write(output, overwrite=options.overwrite)
    for key, value in about.items():
        print(f'{key:24s} {format_value(value)}')
    print(model.id, 'written to', output)


def labels_of(options):
    """The labels, of one split if that was asked for."""
    from galvae_affiliated.training.data.labels import label_column, read_labels

    labels = read_labels(options.labels, options.id_column)
    if options.split_column:
        labels = labels[label_column(labels, options.split_column) == options.split]
        if labels.empty:
            raise ValueError(f'{options.labels}: column {options.split_column!r} nowhere says {options.split!r}')
    return labels


def latents_of(options, model):
    """The table of latents, read or made."""
    from galvae_affiliated.catalog import encode_cutout_set
    from galvae_affiliated.scripts._common import is_cutout_set, progress_bar
    from galvae_affiliated.tables.files import read_catalog

    if options.latents:
        return read_catalog(options.latents)
    if not is_cutout_set([options.labels]):
        raise ValueError(f'{options.labels} holds no cutouts to encode; name what galvae encode wrote with --latents')
    return encode_cutout_set(options.labels, model, already_scaled=options.already_scaled, morphology=False, reconstruction=False,
                             progress=progress_bar())


def run_sweep(options):
    from galvae_affiliated._optional import check_matplotlib
    from galvae_affiliated.training.config import read_config

    latents = latent_numbers(options.latents)
    config = read_config(options.config)
    check_training_installed()
    check_matplotlib()
    from galvae_affiliated.plotting import draw_sweep, elbow
    from galvae_affiliated.training.run import quiet_logging
    from galvae_affiliated.training.sweep import sweep_latents

    quiet_logging()
    folder = Path(options.output)
    table = sweep_latents(config, latents, folder, progress=sys.stderr.isatty())
    table.write(folder / 'sweep.ecsv', overwrite=True)
    draw_sweep(table, folder / 'sweep.png')
    for line in table.pformat(max_lines=-1, max_width=-1):
        print(line)
    best = elbow(table['n_latents'], table['mse'])
    named = 'no elbow: more latents do not lower the error' if best is None else f'elbow at {best} latents'
    print(f'{named}; figure in {folder / "sweep.png"}')


def latent_numbers(text):
    try:
        return [int(word) for word in text.split(',')]
    except ValueError:
        raise ValueError(f'--latents is {text!r}; expected numbers such as 5,10,20,40,80') from None
