# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae info``, ``models`` and ``doctor``."""


def add_info(parser):
    parser.describe('What a model is, what it was trained on, and how well it does.',
                    'galvae info', 'galvae info gz2-sdss-v1 --json', run=_run_info)
    parser.add_argument('model', nargs='?', help='name or file; the default model if left out')
    parser.add_argument('--json', action='store_true', help='the whole manifest')


def add_models(parser):
    parser.describe('The models that are known by name, the default first: which images each '
                    'takes best, and what it predicts. galvae info has the whole card.',
                    'galvae models', run=_run_models)


def add_doctor(parser):
    parser.describe('Versions, threads, GPUs, and whether the default model gives on each device '
                    'what it should. A machine without a GPU is healthy.',
                    'galvae doctor', run=_run_doctor)


def _run_info(options):
    from galvae_affiliated.models.card import model_card
    from galvae_affiliated.models.registry import get_model

    model = get_model(options.model)
    print(model.manifest.content.decode() if options.json else model_card(model))


def _run_models(options):
    from galvae_affiliated.models import registry
    from galvae_affiliated.models.card import model_lines

    for name in registry.list_models():
        default = ' (default)' if name == registry.DEFAULT_MODEL else ''
        if name in registry.REMOTE:
            print(f'{name}{default}: downloaded when it is first asked for')
            continue
        first, *more = model_lines(registry.get_model(name))
        print(f'{name}{default}: {first}', *(f'    {line}' for line in more), sep='\n')


def _run_doctor(options):
    from galvae_affiliated.models.doctor import diagnose

    healthy = True
    for line, good in diagnose():
        print(line)
        healthy &= good
    if not healthy:
        raise RuntimeError('the default model does not run here')
