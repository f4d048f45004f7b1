# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae generate``."""

from galvae_affiliated.scripts._common import (
    add_drawing_options,
    add_model_group,
    add_output_options,
    check_output,
    engine_options,
    parse_pairs,
)


def add_generate(parser):
    parser.describe(
        'Draw latents from the density of those of the training galaxies, and decode them.',
        'galvae generate -n 16 -o gallery.png',
        'galvae generate -n 9 --answers bar=yes --random-state 1 -o barred.fits',
        run=_run_generate)
    group = parser.add_argument_group('what is drawn')
    add = group.add_argument
    add('-n', dest='number', type=int, default=64, metavar='N', help='how many (default 64)')
    add('--answers', default='', metavar='QUESTION=ANSWER,...',
        help='what the heads of the model are to say of them, such as bar=yes')
    add('--quantities', default='', metavar='NAME=VALUE,...',
        help='values of quantities of the model')
    add('--radius', type=float, metavar='R',
        help='petroR90 in the unit of the quantities, where they need one')
    add('--temperature', type=float, default=1.0, metavar='T',
        help='below 1, galaxies are more typical (default 1)')
    add_drawing_options(group, 'all')
    add_output_options(parser, 'OUT', 'a sheet (.png), images with latents (.fits), or a set of '
                       'cutouts with latents (.parquet)')
    add_model_group(parser, engine=True)


def _run_generate(options):
    check_output(options.output, options.overwrite)
    answers = parse_pairs(options.answers, '--answers')
    quantities = {name: _number(name, value)
                  for name, value in parse_pairs(options.quantities, '--quantities').items()}
    from galvae_affiliated.models.engine import Engine
    from galvae_affiliated.models.generation import generate_batches
    from galvae_affiliated.models.registry import get_model
    from galvae_affiliated.tables.generated import check_generated, write_generated

    check_generated(options.output, options.number)
    model = get_model(options.model)
    batches = generate_batches(
        model, options.number, random_state=options.random_state, answers=answers,
        quantities=quantities, radius=options.radius, temperature=options.temperature,
        details=options.details, engine=Engine(**engine_options(options)))
    write_generated(batches, options.number, options.output, model, overwrite=options.overwrite)
    return f'{options.output}: {options.number} galaxies'


def _number(name, text):
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'--quantities has {name}={text}; expected a number') from None
