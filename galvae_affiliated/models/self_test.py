# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The graphs that a bundle may hold, and the test that each carries with it."""

import io
from dataclasses import dataclass

import numpy as np

from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models._runner import GraphRunner

SELF_TEST = 'self_test.npz'


@dataclass(frozen=True)
class Part:
    """
    A graph that a bundle may hold, in the file ``<name>.onnx``.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Of the graph, as the self-test gives and compares them.
    is_relative : bool
        Differences of the self-test count in units of what is expected where that is more
        than one: quantities have units of their own.
    """

    inputs: tuple
    outputs: tuple
    is_relative: bool = False


PARTS = {
    'encoder': Part(('image', 'rendering'), ('latent_mean', 'latent_logvar', 'latent_pose')),
    'decoder': Part(('latent', 'pose'), ('composite',)),
    'heads': Part(('latent',), ('fractions',)),
    'quantities': Part(('latent', 'radius'), ('values', 'errors'), is_relative=True),
}


def self_test(graphs, inputs, known=None):
    """
    The self-test of some parts: what their graphs give on the CPU.

    Parameters
    ----------
    graphs : dict of str to bytes
        By part: 'encoder', 'decoder', 'heads', 'quantities'.
    inputs : dict of str to dict of str to array
        By part, inputs of its graph by name.
    known : bytes, optional
        A self-test that has other parts as well, which are kept.

    Returns
    -------
    content : bytes
        Of 'self_test.npz', with arrays such as 'encoder/image'.
    """
    vectors = {} if known is None else _self_test_vectors(known)
    for name, graph in graphs.items():
        given = {key: np.asarray(value) for key, value in inputs[name].items()}
        outputs = PARTS[name].outputs
        found = GraphRunner(graph, device='cpu')(given, list(outputs))
        vectors[name] = {**given, **dict(zip(outputs, found))}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{f'{name}/{key}': values for name, part in vectors.items()
                                   for key, values in part.items()})
    return buffer.getvalue()


def _self_test_vectors(content):
    """Part to arrays by name."""
    vectors = {}
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for key in arrays.files:
            part, _, name = key.partition('/')
            vectors.setdefault(part, {})[name] = arrays[key]
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
    vectors = _self_test_vectors(model.parts[SELF_TEST])
    report = {}
    for name in PARTS:
        if f'{name}.onnx' in model.parts:
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
    if not vectors or not set(part.outputs) <= set(vectors):
        raise BundleError(f'{model.id} has no self-test of {name}.onnx')
    inputs = {key: vectors[key] for key in part.inputs if key in vectors}
    try:
        found = engine.runner(model, name)(inputs, list(part.outputs))
    except BundleError as error:
        raise BundleError(f'{model.id}: {name}.onnx: {error}') from None
    report = {}
    for key, values in zip(part.outputs, found):
        expected = vectors[key]
        difference = np.abs(values - expected)
        if part.is_relative:
            difference = difference / np.maximum(np.abs(expected), 1.0)
        report[f'{name}/{key}'] = float(difference.max(initial=0.0))
    return report
