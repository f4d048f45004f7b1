# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae info``, ``models`` and ``doctor``."""


def add_info(commands):
    parser = commands.add_parser('info', help='print the card of a model')
    parser.add_argument('model', nargs='?', help='name or file; the default model if left out')
    parser.add_argument('--json', action='store_true', help='the whole manifest')
    parser.set_defaults(run=_run_info)


def add_models(commands):
    parser = commands.add_parser('models', help='list the models')
    parser.set_defaults(run=_run_models)


def add_doctor(commands):
    parser = commands.add_parser('doctor', help='report what this installation can do')
    parser.set_defaults(run=_run_doctor)


def _run_info(options):
    from galvae_affiliated.models.card import model_card
    from galvae_affiliated.models.registry import get_model

    model = get_model(options.model)
    print(model.manifest.content.decode() if options.json else model_card(model))


def _run_models(options):
    from galvae_affiliated.models.registry import DEFAULT_MODEL, list_models

    for name in list_models():
        print(name, '(default)' if name == DEFAULT_MODEL else '')


def _run_doctor(options):
    from galvae_affiliated.models.doctor import diagnose

    healthy = True
    for line, good in diagnose():
        print(line)
        healthy &= good
    if not healthy:
        raise RuntimeError('the default model does not run here')
