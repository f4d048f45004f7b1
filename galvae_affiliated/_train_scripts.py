# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae train`` and ``galvae sweep``; PyTorch is imported when one of them runs."""

import sys
from importlib.util import find_spec
from pathlib import Path

__all__ = ['add_sweep', 'add_train']

NEEDED = ('torch', 'lightning', 'onnx', 'onnxscript', 'pandas')


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
    p.add_argument('--licence', default='not stated', help='of the model, for its card')
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


def check_installed():
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f"training needs {', '.join(missing)}: pip install 'galvae_affiliated[train]'")


def run_train(options):
    from galvae_affiliated.scripts import check_output
    from galvae_affiliated.training.config import read_config

    output = Path(options.output)
    check_output(output, options.overwrite)
    config = read_config(options.config)
    check_installed()
    from galvae_affiliated.training.run import speak_quietly, train_model

    speak_quietly()
    bundle = train_model(config, options.folder or output.with_suffix('.run'), name=options.name or output.stem,
                         progress=sys.stderr.isatty(), licence=options.licence, description=options.description)
    if bundle is not None:
        bundle.write(output, overwrite=options.overwrite)
        print(bundle.id, 'written to', output)


def run_sweep(options):
    from galvae_affiliated.pictures import check_matplotlib
    from galvae_affiliated.training.config import read_config

    latents = latent_numbers(options.latents)
    config = read_config(options.config)
    check_installed()
    check_matplotlib()
    from galvae_affiliated.training.run import speak_quietly
    from galvae_affiliated.training.sweep import draw_sweep, elbow, sweep

    speak_quietly()
    folder = Path(options.output)
    table = sweep(config, latents, folder, progress=sys.stderr.isatty())
    table.write(folder / 'sweep.ecsv', overwrite=True)
    draw_sweep(table, folder / 'sweep.png')
    for line in table.pformat(max_lines=-1, max_width=-1):
        print(line)
    print('elbow at', elbow(table['n_latents'], table['mse']), 'latents; figure in', folder / 'sweep.png')


def latent_numbers(text):
    try:
        return [int(word) for word in text.split(',')]
    except ValueError:
        raise ValueError(f'--latents is {text!r}; expected numbers such as 5,10,20,40,80') from None
