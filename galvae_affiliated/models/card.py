# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a model is, as text."""

from galvae_affiliated.exceptions import BundleError

__all__ = ['model_card']

SCORES = ('n', 'majority', 'accuracy', 'balanced', 'auc', 'calibration')


def model_card(model):
    """
    The model card.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`

    Returns
    -------
    text : str
        Lines of what the model is, was trained on, and scored.

    Raises
    ------
    BundleError
        If the manifest has figures that cannot be shown.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.models import model_card
    >>> print(model_card(get_model()).splitlines()[0])
    gz2-sdss-v3@...
    """
    try:
        return _card(model, model.manifest.raw)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration) as error:
        # figures that only the card reads are not checked when a bundle is read
        raise BundleError(f'{model.id}: the manifest has figures that are not as they should be '
                          f'({type(error).__name__}: {error})') from None


def model_lines(model):
    """
    What a model is for, in a few lines.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`

    Returns
    -------
    lines : list of str
        Its description; the images that it takes; what it was trained on, where that is stated;
        and what it gives.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.models.card import model_lines
    >>> model_lines(get_model())[1]
    'images: g,r,i or g,r,z best, one to five of any bands; pictures: composite, legacy-composite'
    """
    flux = [','.join(reversed(entry.bands)) for entry in model.frame.renderings
            if entry.kind == 'flux']
    pictures = [entry.name for entry in model.frame.renderings if entry.kind != 'flux']
    images = [f'{" or ".join(flux)} best, one to five of any bands'] if flux else []
    images += [f'pictures: {", ".join(pictures)}'] if pictures else []
    lines = [model.manifest.description, f'images: {"; ".join(images)}']
    training = model.manifest.raw.get('training')
    data = training.get('data') if isinstance(training, dict) else None
    lines += [f'trained on: {data}'] if isinstance(data, str) else []
    if model.manifest.adapter:
        lines.append(f'adapted to: {model.manifest.adapter.survey}, for images of it alone')
    if 'adapted' in model.manifest.raw:
        lines.append(f'adapted to: {model.manifest.raw["adapted"]["target"]["set"]} too')
    return [*lines, f'gives: {", ".join(_abilities(model))}']


def _abilities(model):
    """What a model gives, in words."""
    manifest = model.manifest
    found = [f'{model.n_latents} latents']
    if model.questions:
        found.append(f'answers to {len(model.questions)} questions')
    if manifest.quantities:
        found.append(', '.join(manifest.quantities.names))
    found += ['new galaxies'] if manifest.density else []
    found += ['how like the training an image is'] if manifest.applicability else []
    return found


def _card(model, entries):
    sections = [_head(model, entries), _questions(model), _training(model, entries)]
    if 'heads' in entries:
        sections.append(['heads', *_figures(entries['heads'])])
    if model.manifest.quantities:
        sections.append(['quantities, of galaxies left out in turn',
                         *_figures(entries['quantities']['report'])])
    if 'adapted' in entries:
        sections.append(_adaptation(entries['adapted']))
    if 'adapter' in entries and 'report' in entries['adapter']:
        report = entries['adapter']['report']
        sections.append([f'latents mapped to {entries["adapter"]["survey"]}: {report["why"]}',
                         *_before_and_after(report)])
    if 'invariance' in entries:
        sections.append(['turned, flipped, shifted', *_figures(entries['invariance'])])
    if 'test' in entries['reconstruction']:
        sections.append(['reconstruction of the test split',
                         *_figures(entries['reconstruction']['test'])])
    for name, scores in entries.get('scores', {}).items():
        sections.append([f'scores on {name}', *_score_lines(scores)])
    for name, methods in entries.get('comparison', {}).items():
        sections.append([f'beside others, on {name}', *_comparison_lines(methods)])
    sections.append([f'sha256         {model.sha256}'])
    return '\n\n'.join('\n'.join(lines) for lines in sections)


def format_value(value):
    """Figures to four digits, whatever holds them."""
    if isinstance(value, dict):
        return ', '.join(f'{key} {format_value(part)}' for key, part in value.items())
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def _figures(entries):
    """A line an entry."""
    return [f'  {key:20s} {format_value(value)}' for key, value in entries.items()]


def _head(model, entries):
    lines = [f'{model.id}  version {model.manifest.version}', model.manifest.description, '',
             f'latents        {model.n_latents}, and {model.n_pose} of pose',
             f'cutout         {model.grid} x {model.grid} pixels, '
             f'{model.field_of_view} petroR90 a side',
             f'flux unit      {entries["input"].get("flux_unit", "")}',
             f'license        {model.manifest.license}', *_more(model), '', 'renderings']
    for entry in model.frame.renderings:
        bands = f' of {",".join(reversed(entry.bands))}' if entry.bands else ''
        lines.append(f'  {entry.name:18s} {entry.kind}{bands}')
    return lines


def _more(model):
    """Lines of what a model has besides encoder, decoder and heads."""
    manifest, lines = model.manifest, []
    if 'adapted' in manifest.raw:
        about = manifest.raw['adapted']
        lines.append(f'adapted        from {about["from"]} to {about["target"]["set"]}')
    if manifest.adapter:
        lines.append(f'adapted        to {manifest.adapter.survey} ({manifest.adapter.method}); '
                     'for images of that survey alone')
    if manifest.density:
        lines.append(f'density        of the latents of {manifest.density.n_galaxies} galaxies, '
                     'for galvae generate')
    if manifest.applicability:
        lines.append('applicability  UNLIKE_TRAINING where the p-value is below '
                     f'{manifest.applicability.flag_below:g}')
    return lines


def _adaptation(about):
    """Lines of how an encoder was adapted to another survey, and what came of it."""
    source, target = (f'{about[word]["set"]} ({about[word]["galaxies"]} galaxies)'
                      for word in ('source', 'target'))
    lines = [f'adapted from {source} to {target}, {about["steps"]} steps of '
             f'{", ".join(about["options"]["losses"])}', *_before_and_after(about)]
    for name, scores in about.get('baselines', {}).items():
        lines.append(f'  {"by " + name + " alone":30s} MMD^2 {format_value(scores["mmd"]["value"])}'
                     f', survey classifier AUC {format_value(scores["survey_area"]["value"])}')
    return lines


def _before_and_after(report):
    """A line a measure of galaxies left out."""
    before, after = report['before'], report['after']
    names = {'mmd': 'MMD^2', 'survey_area': 'survey classifier AUC',
             'source_loss': 'source loss, nats'}
    rows = [(label, before[name], after[name]) for name, label in names.items()
            if name in before]
    rows += [(f'pairs, {name}', before['pairs'][name], after['pairs'][name])
             for name in ('recall_1', 'recall_10', 'distance') if 'pairs' in before]
    return [f'  {label:30s} {format_value(one["value"])} before, {format_value(other["value"])} '
            f'({format_value(other["low"])} to {format_value(other["high"])}) after'
            for label, one, other in rows]


def _questions(model):
    return ['questions', *(f'  {name}: {", ".join(answers)}'
                           for name, answers in model.questions.items())]


def _training(model, entries):
    training = entries.get('training', {})
    plain = {key: value for key, value in training.items() if not isinstance(value, dict)}
    lines = ['training', *(f'  {key:20s} {value}' for key, value in plain.items())]
    diagnostics = training.get('diagnostics')
    if diagnostics:
        lines.append(f'  {"active latents":20s} {diagnostics["active latents"]} of '
                     f'{model.n_latents}, {sum(diagnostics["nats a latent"]):.0f} nats in all')
    return lines


def _score_lines(scores):
    """A table of the scores a question, and the single figures."""
    lines = [f'  {key}: {value}' for key, value in scores.items() if key != 'questions']
    questions = scores.get('questions', [])
    if questions:
        names = ''.join(f'{name:>12s}' for name in SCORES)
        lines.append(f'  {"question":26s}{names}   95 % of auc')
    for row in questions:
        values = ''.join(f'{row[s]:12.0f}' if s == 'n' else f'{row[s]:12.3f}' for s in SCORES)
        interval = f'   {row["auc_lo"]:.3f} - {row["auc_hi"]:.3f}' if 'auc_lo' in row else ''
        lines.append(f'  {row["question"]:26s}{values}{interval}')
    return lines


def _comparison_lines(methods):
    """A line a method with its means over the questions."""
    names = list(next(iter(methods.values())))
    lines = [f'  {"method":34s}' + ''.join(f'{name:>19s}' for name in names)]
    return lines + [f'  {method:34s}' + ''.join(f'{row[name]:19.4f}' for name in names)
                    for method, row in methods.items()]
