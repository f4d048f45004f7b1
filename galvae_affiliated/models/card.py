# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a model is, as text."""



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
    """
    m = model.manifest
    lines = [f'{model.id}  version {m["version"]}', m.get('description', ''), '',
             f'latents        {model.n_latents}, and {model.n_pose} of pose',
             f'cutout         {model.grid} x {model.grid} pixels, {model.field_of_view} petroR90 a side',
             f'flux unit      {m["input"].get("flux_unit", "")}',
             f'licence        {m.get("licence", "not stated")}', '', 'renderings']
    lines += [f'  {e["name"]:18s} {e["kind"]}' + (f' of {",".join(reversed(e["bands"]))}' if 'bands' in e else '')
              for e in m['renderings']]
    lines += ['', 'questions'] + [f'  {q}: {", ".join(answers)}' for q, answers in model.questions.items()]
    lines += ['', 'training'] + [f'  {key:20s} {value}' for key, value in m.get('training', {}).items()
                                 if not isinstance(value, dict)]
    diagnostics = m.get('training', {}).get('diagnostics')
    if diagnostics:
        lines.append(f'  {"active latents":20s} {diagnostics["active latents"]} of {model.n_latents}, '
                     f'{sum(diagnostics["nats a latent"]):.0f} nats in all')
    if 'heads' in m:
        lines += ['', 'heads'] + [f'  {key:20s} {format_value(value)}' for key, value in m['heads'].items()]
    if 'targets' in m:
        lines += ['', 'targets, of galaxies left out in turn']
        lines += [f'  {name:20s} {format_value(m["targets"]["report"][name])}' for name in m['targets']['names']]
    if 'invariance' in m:
        lines += ['', 'turned, flipped, shifted'] + [f'  {key}: {value}' for key, value in m['invariance'].items()]
    if 'test' in m['reconstruction']:
        lines += ['', 'reconstruction of the test split']
        lines += [f'  {name:20s} ' + ', '.join(f'{k} {v}' for k, v in row.items())
                  for name, row in m['reconstruction']['test'].items()]
    for name, scores in m.get('scores', {}).items():
        lines += ['', f'scores on {name}'] + score_lines(scores)
    for name, methods in m.get('comparison', {}).items():
        lines += ['', f'beside others, on {name}'] + comparison_lines(methods)
    lines += ['', f'sha256         {model.sha256}']
    return '\n'.join(lines)


def format_value(value):
    """Figures to four digits, whatever holds them."""
    if isinstance(value, dict):
        return ', '.join(f'{key} {format_value(part)}' for key, part in value.items())
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def score_lines(scores):
    """A table of the scores a question, and the single figures."""
    lines = [f'  {key}: {value}' for key, value in scores.items() if key != 'questions']
    questions = scores.get('questions', [])
    if questions:
        lines.append(f'  {"question":26s}' + ''.join(f'{name:>12s}' for name in SCORES) + '   95 % of auc')
    for row in questions:
        values = ''.join(f'{row[s]:12.0f}' if s == 'n' else f'{row[s]:12.3f}' for s in SCORES)
        interval = f'   {row["auc_lo"]:.3f} - {row["auc_hi"]:.3f}' if 'auc_lo' in row else ''
        lines.append(f'  {row["question"]:26s}{values}{interval}')
    return lines


def comparison_lines(methods):
    """A line a method with its means over the questions."""
    names = list(next(iter(methods.values())))
    lines = [f'  {"method":34s}' + ''.join(f'{name:>19s}' for name in names)]
    return lines + [f'  {method:34s}' + ''.join(f'{row[name]:19.4f}' for name in names)
                    for method, row in methods.items()]
