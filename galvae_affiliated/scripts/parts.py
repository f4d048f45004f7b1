# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae fit-parts``; scikit-learn is imported when it runs."""

from pathlib import Path

from galvae_affiliated._atomic import check_inputs_kept
from galvae_affiliated.scripts._common import (
    add_engine_options,
    add_output_options,
    check_output,
    engine_options,
    parse_pairs,
)
from galvae_affiliated.scripts._images import add_reading_options

PARTS = ('density', 'applicability')
MORE = ('int8',)
OF_OTHER_SETS = ('split', 'pixel_scale', 'rendering', 'bands')


def add_fit_parts(parser):
    parser.describe(
        'Fit, on the galaxies that MODEL was trained on, the density that galvae generate draws '
        'from, and the test that says how like the training other images are. Encoder, decoder '
        'and heads stay as they are. SET is a Parquet file of cutouts, or a folder of FITS '
        'cutouts.',
        'galvae fit-parts mine.galvae galaxies.parquet --already-scaled --split-column split '
        '-o mine-2.galvae',
        run=_run_fit_parts)
    parser.add_argument('model', metavar='MODEL', help='name or file')
    parser.add_argument('set', metavar='SET')
    group = add_output_options(parser, 'NEW.galvae', 'the new model')
    group.add_argument('--name', help="of the new model; the old one's if left out")
    add_reading_options(parser.add_argument_group('how the images are read'),
                        ('bands', 'already_scaled'))
    add = parser.add_argument_group('galaxies and parts').add_argument
    add('--parts', default=','.join(PARTS), metavar='PART,...',
        help='density, applicability (default: both), and int8, an encoder in eight bits')
    add('--split-column', metavar='NAME', help='take the rows where it says SPLIT alone')
    add('--split', default='train', metavar='SPLIT', help='(default train)')
    add('--held-out-column', metavar='NAME', help='true where the model did not learn from the '
        'galaxy: these tell the p-values; a quarter at random without it')
    add('--components', metavar='N,...', help='numbers of Gaussians of the density to choose from')
    add('--no-grey', action='store_true', help='do not learn what images of one band are like')
    add('--own-look-alone', action='store_true', help='do not learn how the galaxies look as flux '
        'of other surveys: a quarter of the time, and no p-values of calibrated fields')
    add('--also', action='append', default=[], metavar='SET[,NAME=VALUE...]',
        help='another set whose galaxies the model knows, for the applicability, such as that of a '
        'survey that it was adapted to; with split, pixel_scale, rendering or bands of its own')
    add('--random-state', type=int, default=0, metavar='SEED',
        help='the same number, the same parts (default 0)')
    add_engine_options(parser.add_argument_group('device'))


def _other_set(text):
    """Path and options of a set after --also."""
    path, _, words = text.partition(',')
    given = parse_pairs(words, '--also')
    unknown = [name for name in given if name not in OF_OTHER_SETS]
    if unknown:
        raise ValueError(f'--also has {unknown[0]!r}; expected {", ".join(OF_OTHER_SETS)}')
    if 'pixel_scale' in given:
        try:
            given['pixel_scale'] = float(given['pixel_scale'])
        except ValueError:
            raise ValueError(f'--also has pixel_scale={given["pixel_scale"]}; expected a '
                             'number') from None
    if 'split' in given:
        given['split_column'] = 'split'
    return path, given


def _run_fit_parts(options):
    check_output(options.output, options.overwrite)
    others = [_other_set(text) for text in options.also]
    check_inputs_kept(options.output, [options.set, *(path for path, _ in others)])
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
        grey=not options.no_grey, other_looks=not options.own_look_alone,
        also=others,
        random_state=options.random_state, name=options.name)
    model.write(options.output, overwrite=options.overwrite)
    return f'{options.output}: {model.id}'
