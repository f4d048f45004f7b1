# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The parts that a bundle may hold, and the test that each carries with it."""

import io
from dataclasses import dataclass

import numpy as np

from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models._archive import read_arrays
from galvae_affiliated.models._runner import GraphRunner

SELF_TEST = 'self_test.npz'
MAX_ARRAYS = 64  # of a self-test; those of all parts are about 20


@dataclass(frozen=True)
class Part:
    """
    A part that a bundle may hold: a graph in ``<name>.onnx``, or arrays in ``<name>.npz``.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Of the graph, or of ``evaluate`` of what is made of the arrays, as the self-test gives
        and compares them.
    is_relative : bool
        Differences of the self-test count in units of what is expected where that is more
        than one: quantities have units of their own.
    kind : {'onnx', 'npz'}
    """

    inputs: tuple
    outputs: tuple
    is_relative: bool = False
    kind: str = 'onnx'


PARTS = {
    'encoder': Part(('image', 'rendering'), ('latent_mean', 'latent_logvar', 'latent_pose')),
    'decoder': Part(('latent', 'pose'), ('composite',)),
    'generator': Part(('latent', 'pose', 'noise'), ('composite',)),
    'heads': Part(('latent',), ('fractions',)),
    'quantities': Part(('latent', 'radius'), ('values', 'errors'), is_relative=True),
    'density': Part(('latent',), ('log_density',), is_relative=True, kind='npz'),
    'adapter': Part(('latent', 'latent_err'), ('adapted', 'adapted_err'), is_relative=True,
                    kind='npz'),
    'applicability': Part(('whitened',), ('score', 'p'), is_relative=True, kind='npz'),
}


def self_test(parts, inputs, known=None):
    """
    The self-test of some parts: what their graphs give on the CPU, and their arrays.

    Parameters
    ----------
    parts : dict of str to bytes, or to an object
        By name, see `PARTS`: a graph, or what is made of arrays.
    inputs : dict of str to dict of str to array
        By part, inputs by name.
    known : bytes, optional
        A self-test that has other parts as well, which are kept.

    Returns
    -------
    content : bytes
        Of 'self_test.npz', with arrays such as 'encoder/image'.
    """
    vectors = {} if known is None else read_vectors(known)
    for name, part in parts.items():
        given = {key: np.asarray(value) for key, value in inputs[name].items()}
        outputs = PARTS[name].outputs
        if PARTS[name].kind == 'npz':
            found = [part.evaluate(given)[key] for key in outputs]
        else:
            found = GraphRunner(part, device='cpu')(given, list(outputs))
        vectors[name] = {**given, **dict(zip(outputs, found))}
    return _packed_vectors(vectors)


def _packed_vectors(vectors):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{f'{name}/{key}': values for name, part in vectors.items()
                                   for key, values in part.items()})
    return buffer.getvalue()


def read_vectors(content):
    """Part to arrays by name; BundleError if there are other things than arrays of numbers."""
    vectors = {}
    for entry, array in read_arrays(content, MAX_ARRAYS).items():
        part, _, name = entry.partition('/')
        vectors.setdefault(part, {})[name] = array
    return vectors


def verify(model, engine):
    """
    Run the self-test of every part of a model; see `~galvae_affiliated.ModelBundle.verify`.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    engine : `~galvae_affiliated.Engine`

    Returns
    -------
    report : dict
        ``device``, and the largest difference of each output.
    """
    try:
        vectors = read_vectors(model.parts[SELF_TEST])
    except BundleError as error:
        raise BundleError(f'{model.id}: {SELF_TEST}: {error}') from None
    report = {}
    for name, part in PARTS.items():
        if f'{name}.{part.kind}' in model.parts:
            report |= _verify_part(model, name, engine, vectors.get(name))
    device = engine.runner(model, 'encoder').device
    tolerance = model.tolerance(device, engine.precision)
    worst = max(report, key=report.get)
    if not report[worst] <= tolerance:
        raise BundleError(f'{model.id} fails its self-test on {device} in {engine.precision}: '
                          f'{worst} differs by {report[worst]:.2g}, more than {tolerance:.2g}')
    return {'device': device, **report}


def _verify_part(model, name, engine, vectors):
    """Largest difference of each output of one part."""
    part = PARTS[name]
    file = f'{name}.{part.kind}'
    if not vectors or not set(part.outputs) <= set(vectors):
        raise BundleError(f'{model.id} has no self-test of {file}')
    inputs = {key: vectors[key] for key in part.inputs if key in vectors}
    lengths = {len(values) if values.ndim else 0 for values in inputs.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise BundleError(f'{model.id}: the self-test of {file} has no rows, or not the '
                          'same number of each input')
    found = _outputs(model, name, engine, inputs)
    report = {}
    for key, values in zip(part.outputs, found):
        expected = vectors[key]
        if values.shape != expected.shape or not np.isfinite(expected).all():
            raise BundleError(f'{model.id}: the self-test expects {name}/{key} of shape '
                              f'{expected.shape}, of finite numbers; {file} gives '
                              f'{values.shape}')
        difference = np.abs(values - expected)
        if part.is_relative:
            difference = difference / np.maximum(np.abs(expected), 1.0)
        report[f'{name}/{key}'] = float(difference.max(initial=0.0))
    return report


def _outputs(model, name, engine, inputs):
    """What a part gives, in the order of its outputs."""
    part = PARTS[name]
    if part.kind == 'onnx':
        return engine.runner(model, name)(inputs, list(part.outputs))
    missing = set(part.inputs) - set(inputs)
    if missing:
        raise BundleError(f'{model.id}: the self-test of {name}.npz lacks {", ".join(missing)}')
    try:
        found = getattr(model, name).evaluate(inputs)
    except ValueError as error:
        raise BundleError(f'{model.id}: the self-test of {name}.npz: {error}') from None
    return [found[key] for key in part.outputs]
