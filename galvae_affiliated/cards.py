# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a model is and what an installation can do, as text."""

import platform
from importlib import metadata

from galvae_affiliated import __version__
from galvae_affiliated._onnx import GraphRunner, available_devices, n_threads, runtime_version
from galvae_affiliated._providers import residual_graph
from galvae_affiliated.exceptions import BundleError, DeviceError
from galvae_affiliated.registry import get_model

__all__ = ['card', 'diagnosis']

SCORES = ('n', 'majority', 'accuracy', 'balanced', 'auc', 'calibration')


def card(bundle):
    """
    The model card.

    Parameters
    ----------
    bundle : `~galvae_affiliated.ModelBundle`

    Returns
    -------
    text : str
        Lines of what the model is, was trained on, and scored.
    """
    m = bundle.manifest
    lines = [f'{bundle.id}  version {m["version"]}', m.get('description', ''), '',
             f'latents        {bundle.n_latents}, and {bundle.n_pose} of pose',
             f'cutout         {bundle.grid} x {bundle.grid} pixels, {bundle.field_of_view} petroR90 a side',
             f'flux unit      {m["input"].get("flux_unit", "")}',
             f'licence        {m.get("licence", "not stated")}', '', 'renderings']
    lines += [f'  {e["name"]:18s} {e["kind"]}' + (f' of {",".join(reversed(e["bands"]))}' if 'bands' in e else '')
              for e in m['renderings']]
    lines += ['', 'questions'] + [f'  {q}: {", ".join(answers)}' for q, answers in bundle.questions.items()]
    lines += ['', 'training'] + [f'  {key:20s} {value}' for key, value in m.get('training', {}).items()
                                 if not isinstance(value, dict)]
    diagnostics = m.get('training', {}).get('diagnostics')
    if diagnostics:
        lines.append(f'  {"active latents":20s} {diagnostics["active latents"]} of {bundle.n_latents}, '
                     f'{sum(diagnostics["nats a latent"]):.0f} nats in all')
    if 'heads' in m:
        lines += ['', 'heads'] + [f'  {key:20s} {as_text(value)}' for key, value in m['heads'].items()]
    if 'targets' in m:
        lines += ['', 'targets, of galaxies left out in turn']
        lines += [f'  {name:20s} {as_text(m["targets"]["report"][name])}' for name in m['targets']['names']]
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
    lines += ['', f'sha256         {bundle.sha256}']
    return '\n'.join(lines)


def as_text(value):
    """Figures to four digits, whatever holds them."""
    if isinstance(value, dict):
        return ', '.join(f'{key} {as_text(part)}' for key, part in value.items())
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


def diagnosis():
    """
    Look at the installation.

    Returns
    -------
    findings : list of (str, bool)
        A line of text each, and whether it is as it should be.
    """
    runtime = next((name for name in ('onnxruntime-gpu', 'onnxruntime') if installed(name)), 'onnxruntime')
    both = installed('onnxruntime-gpu') and installed('onnxruntime')
    findings = [(f'galvae_affiliated  {__version__}', True), (f'python             {platform.python_version()}', True)]
    findings += [(f'{name:18s} {installed(name) or "missing"}', True)
                 for name in ('numpy', 'astropy', 'photutils', 'scikit-learn')]
    clash = '  both onnxruntime and onnxruntime-gpu are installed: remove one, or CUDA is lost' if both else ''
    findings.append((f'{runtime:18s} {runtime_version()}{clash}', not both))
    findings.append((f'threads            {n_threads()}', True))
    return findings + [device_finding(device, get_model()) for device in available_devices()]


def device_finding(device, bundle):
    """A line of text on a device, and whether it is as it should be."""
    try:
        if device == 'tensorrt':
            # the self-test would build engines of the model for minutes
            GraphRunner(residual_graph(), device=device, batch_size=1).start()
            return f'{device:18s} starts; get_model().verify(device={device!r}) builds the engines and tests them', True
        report = bundle.verify(device=device)
    except (BundleError, DeviceError) as error:
        # a machine without a GPU is not ill
        return f'{device:18s} {error}', device != 'cpu'
    worst = max(value for key, value in report.items() if key != 'device')
    return f'{device:18s} starts; self-test of {bundle.id} within {worst:.1g}', True


def installed(name):
    """Version of an installed distribution, None if it is not."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
