# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae train``, ``sweep`` and ``fit-heads``; PyTorch is imported when one of them runs."""

import logging
from pathlib import Path

from galvae_affiliated._optional import check_matplotlib, check_training_installed
from galvae_affiliated.models._schema import check_model_name
from galvae_affiliated.scripts._common import (
    add_device_option,
    add_output_options,
    add_overwrite_option,
    check_output,
    is_cutout_set,
)
from galvae_affiliated.scripts._images import add_reading_options
from galvae_affiliated.scripts._messages import is_interactive
from galvae_affiliated.tables.files import read_catalog


def add_train(parser):
    parser.describe(
        "Train the model that CONFIG describes; needs the 'train' extra. A run that was killed "
        'goes on where its last checkpoint is.',
        'galvae train mine.toml -o mine.galvae',
        'galvae train mine.toml -o named.galvae --name spirals --license CC-BY-4.0',
        run=_run_train)
    parser.add_argument('config', metavar='CONFIG.toml')
    add = add_output_options(parser, 'MODEL.galvae', 'the model').add_argument
    add('--run', dest='folder', metavar='FOLDER',
        help='of checkpoints and logs; MODEL.run beside MODEL.galvae if left out')
    add('--name', help="of the model; the output file's if left out")
    add('--license', default='not stated', help='of the model, for its card')
    add('--description', default='', help='one line for its card')


def add_sweep(parser):
    parser.describe(
        'Train what CONFIG describes with each number of latents, measure on the galaxies held '
        "out, and name the elbow; needs the 'train' and 'plot' extras.",
        'galvae sweep mine.toml --latents 2,8 --folder sweep', run=_run_sweep)
    parser.add_argument('config', metavar='CONFIG.toml')
    parser.add_argument('--latents', required=True, metavar='N,N,...',
                        help='such as 5,10,20,40,80')
    parser.add_argument('--folder', required=True, help='for the runs, sweep.ecsv and sweep.png')
    add_overwrite_option(parser, 'sweep.ecsv and sweep.png')


def add_fit_heads(parser):
    parser.describe(
        'Fit what predicts vote fractions, classes or numbers from the latents of MODEL, whose '
        "encoder stays as it is; needs the 'train' extra. LABELS is a table with an identifier a "
        'row, or a Parquet set that holds the cutouts too.',
        'galvae fit-heads gz2-sdss-v3 galaxies.parquet --already-scaled --class-column kind '
        '-o kinds.galvae',
        run=_run_fit_heads)
    parser.add_argument('model', metavar='MODEL', help='name or file')
    parser.add_argument('labels', metavar='LABELS')
    group = add_output_options(parser, 'NEW.galvae', 'the new model')
    group.add_argument('--name', help="of the new model; the output file's if left out")
    group = parser.add_argument_group('latents')
    group.add_argument('--latents', metavar='TABLE', help='what galvae encode wrote, with '
                       'id_str; the cutouts of LABELS are encoded without it')
    add_reading_options(group, ('already_scaled',))
    add_device_option(group)
    add = parser.add_argument_group('labels').add_argument
    add('--id-column', default='id_str', metavar='NAME', help='of LABELS (default id_str)')
    add('--questions', default='gz2', metavar='TREE',
        help="'gz2' (default), or a TOML file of [questions]")
    add('--suffix', default='', help="between question and answer in LABELS, such as '-gz2'")
    add('--class-column', metavar='NAME', help='fit the classes of this column instead of votes')
    add('--quantity', action='append', default=[], metavar='NAME',
        help='fit the numbers of this column; may be given more than once. The heads for votes '
        'stay as they are, and their options do nothing')
    add('--split-column', metavar='NAME', help='learn from the rows where it says SPLIT alone')
    add('--split', default='train', metavar='SPLIT', help='(default train)')
    add('--random-sample-column', metavar='NAME',
        help='true where votes did not select the galaxy')
    add('--labels-are-training-set', action='store_true',
        help='LABELS are those that MODEL was trained on; the galaxies it held out calibrate the '
        'heads')
    add = parser.add_argument_group('heads').add_argument
    add('--head', default='auto', metavar='KIND',
        help='auto (default), network, dirichlet, logistic or forest')
    add('--n-volunteers', type=int, default=40, metavar='N', help='who see a galaxy (default 40)')


def _run_train(options):
    output = Path(options.output)
    check_output(output, options.overwrite)
    check_model_name(options.name or output.stem)
    config = _read_config(options.config)
    _check_installed(config.training.head)
    from galvae_affiliated.training import train_model

    _quiet_logging()
    model = train_model(config, options.folder or output.with_suffix('.run'),
                        name=options.name or output.stem, progress=is_interactive(),
                        license=options.license, description=options.description)
    if model is not None:
        model.write(output, overwrite=options.overwrite)
    return None if model is None else f'{output}: {model.id}'


def _run_sweep(options):
    latents = _latent_numbers(options.latents)
    folder = Path(options.folder)
    if (folder / 'sweep.ecsv').exists():
        check_output(folder / 'sweep.ecsv', options.overwrite)
    config = _read_config(options.config)
    check_matplotlib()
    from galvae_affiliated.plotting import draw_sweep, elbow
    from galvae_affiliated.training import sweep_latents

    _quiet_logging()
    table = sweep_latents(config, latents, folder, progress=is_interactive())
    table.write(folder / 'sweep.ecsv', overwrite=True)
    draw_sweep(table, folder / 'sweep.png')
    for line in table.pformat(max_lines=-1, max_width=-1):
        print(line)
    best = elbow(table['n_latents'], table['mse'])
    found = f'elbow at {best} latents'
    if best is None:
        found = 'no elbow: more latents do not lower the error'
    print(found)
    return f'{folder}: {len(table)} models; sweep.ecsv, sweep.png'


def _run_fit_heads(options):
    output = Path(options.output)
    check_output(output, options.overwrite)
    check_model_name(options.name or output.stem)
    if options.class_column and options.quantity:
        raise ValueError('--class-column and --quantity are fitted one after the other, each on '
                         'what the other wrote')
    _check_installed(options.head)
    from galvae_affiliated.models.card import format_value
    from galvae_affiliated.models.registry import get_model
    from galvae_affiliated.training import fit_new_heads, fit_new_quantities
    from galvae_affiliated.training.heads.refit import read_questions

    _quiet_logging()
    model, name = get_model(options.model), options.name or output.stem
    questions = read_questions(options.questions)
    labels = _read_labels(options)
    table = _read_latents(options, model)
    if options.quantity:
        model = fit_new_quantities(model, labels, table, options.quantity, name=name)
        about = model.manifest.raw['quantities']['report']
    else:
        model = fit_new_heads(
            model, labels, table, questions=questions, suffix=options.suffix, head=options.head,
            class_column=options.class_column, n_volunteers=options.n_volunteers,
            random_sample_column=options.random_sample_column,
            labels_are_training_set=options.labels_are_training_set, name=name)
        about = model.manifest.raw['heads']
    model.write(output, overwrite=options.overwrite)
    for key, value in about.items():
        print(f'{key:24s} {format_value(value)}')
    return f'{output}: {model.id}'


def _read_config(path):
    # pydantic is one of the packages that training needs
    check_training_installed()
    from galvae_affiliated.training import read_config

    return read_config(path)


def _check_installed(head):
    check_training_installed(*['skl2onnx'] * (head == 'forest'))


def _read_labels(options):
    """The labels, of one split if that was asked for."""
    from galvae_affiliated.training import read_labels
    from galvae_affiliated.training.data.labels import label_column

    labels = read_labels(options.labels, options.id_column)
    if options.split_column:
        labels = labels[label_column(labels, options.split_column) == options.split]
        if labels.empty:
            raise ValueError(f'{options.labels}: column {options.split_column!r} nowhere says '
                             f'{options.split!r}')
    return labels


def _read_latents(options, model):
    """The table of latents, read or made."""
    if options.latents:
        return read_catalog(options.latents)
    if not is_cutout_set([options.labels]):
        raise ValueError(f'{options.labels} holds no cutouts to encode; name what galvae encode '
                         'wrote with --latents')
    from galvae_affiliated.catalog import encode_cutout_set

    return encode_cutout_set(options.labels, model, already_scaled=options.already_scaled,
                             morphology=False, reconstruction=False, device=options.device,
                             progress=is_interactive())


def _latent_numbers(text):
    try:
        return [int(word) for word in text.split(',')]
    except ValueError:
        raise ValueError(f'--latents is {text!r}; expected numbers such as '
                         '5,10,20,40,80') from None


def _quiet_logging():
    """The package's warnings on the standard error stream, no messages of the libraries."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter('galvae: warning: %(message)s'))
    logging.getLogger('galvae_affiliated').handlers = [handler]
    for name in ('lightning', 'lightning.pytorch', 'lightning.fabric', 'torch.onnx'):
        logging.getLogger(name).setLevel(logging.ERROR)
