# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae info``, ``models`` and ``doctor``."""





def run_info(options):
    import json

    from galvae_affiliated.models.card import model_card
    from galvae_affiliated.models.registry import get_model

    model = get_model(options.model)
    print(json.dumps(model.manifest, indent=1) if options.json else model_card(model))


def run_models(options):
    from galvae_affiliated.models.registry import DEFAULT_MODEL, list_models

    for name in list_models():
        print(name, '(default)' if name == DEFAULT_MODEL else '')


def run_doctor(options):
    from galvae_affiliated.models.doctor import diagnose

    healthy = True
    for line, good in diagnose():
        print(line)
        healthy &= good
    if not healthy:
        raise RuntimeError('the default model does not run here')
