# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae fit-parts``; scikit-learn is imported when it runs."""

from pathlib import Path

from galvae_affiliated._atomic import check_inputs_kept
from galvae_affiliated.scripts._common import (
    add_engine_options,
    add_output_options,
    check_output,
    engine_options,
)

PARTS = ('density', 'applicability')
MORE = ('int8',)


def add_fit_parts(commands):
    parser = commands.add_parser(
        'fit-parts', help='teach a model what its training galaxies are like',
        description='Fit, on the galaxies that MODEL was trained on, the density that galvae '
        'generate draws from, and the test that says how like the training other images are. '
        'Encoder, decoder and heads stay as they are. SET is a Parquet file of cutouts, or a '
        'folder of FITS cutouts.')
    add = parser.add_argument
    add('model', metavar='MODEL', help='name or file')
    add('set', metavar='SET')
    add_output_options(parser, 'NEW.galvae', 'the new model')
    add('--parts', default=','.join(PARTS), metavar='PART,...',
        help='density, applicability (default: both), and int8, an encoder in eight bits')
    add('--already-scaled', action='store_true',
        help="the cutouts are at the model's scale already")
    add('--bands', help='of FITS cutouts, such as g,r,z')
    add('--split-column', metavar='NAME', help='take the rows where it says SPLIT alone')
    add('--split', default='train', metavar='SPLIT', help='(default train)')
    add('--held-out-column', metavar='NAME', help='true where the model did not learn from the '
        'galaxy: these tell the p-values; a quarter at random without it')
    add('--components', metavar='N,...', help='numbers of Gaussians of the density to choose from')
    add('--no-grey', action='store_true', help='do not learn what images of one band are like')
    add('--random-state', type=int, default=0, metavar='SEED')
    add('--name', help="of the new model; the old one's if left out")
    add_engine_options(parser)
    parser.set_defaults(run=_run_fit_parts)


def _run_fit_parts(options):
    check_output(options.output, options.overwrite)
    check_inputs_kept(options.output, [options.set])
    parts = options.parts.split(',')
    unknown = [part for part in parts if part not in (*PARTS, *MORE)]
    if unknown:
        raise ValueError(f'--parts has {unknown[0]!r}; expected '
                         f'{", ".join((*PARTS, *MORE))}')
    components = None
    if options.components:
        try:
            components = [int(n) for n in options.components.split(',')]
        except ValueError:
            raise ValueError(f'--components is {options.components}; expected whole '
                             'numbers') from None
    columns = filter(None, (options.split_column, options.held_out_column))
    if any(columns) and Path(options.set).is_dir():
        raise ValueError('--split-column and --held-out-column are of a Parquet file')
    from galvae_affiliated.models.engine import Engine
    from galvae_affiliated.models.registry import get_model
    from galvae_affiliated.training.parts import fit_parts

    model = fit_parts(
        get_model(options.model), options.set, Engine(**engine_options(options)), parts=parts,
        bands=options.bands, already_scaled=options.already_scaled,
        split_column=options.split_column, split=options.split,
        held_out_column=options.held_out_column, n_components=components,
        grey=not options.no_grey, random_state=options.random_state, name=options.name)
    model.write(options.output, overwrite=options.overwrite)
    print(model.id, 'written to', options.output)
