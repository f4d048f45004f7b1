# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The graphs that a bundle may hold, and the test that each carries with it."""

import io
import math
from dataclasses import dataclass

import numpy as np

from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models._archive import read_archive
from galvae_affiliated.models._runner import GraphRunner

SELF_TEST = 'self_test.npz'
MAX_ARRAYS = 64  # of a self-test; those of all parts are 14


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
    """Part to arrays by name; BundleError if there are other things than arrays of numbers."""
    vectors = {}
    for entry, array in read_archive(content, MAX_ARRAYS).items():
        part, _, name = entry.removesuffix('.npy').partition('/')
        try:
            vectors.setdefault(part, {})[name] = _read_array(array)
        except (ValueError, EOFError, SyntaxError, RecursionError) as error:
            raise BundleError(f'{entry}: this is no array ({error})') from None
    return vectors


def _read_array(content):
    """An array of the format of NumPy; no memory is taken for more than there is."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0,
               (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f'version {version} of the format')
    shape, in_fortran, dtype = readers[version](file)
    if dtype.kind not in 'fiu':
        raise ValueError(f'it holds {dtype}; expected numbers')
    values = content[file.tell():]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f'{len(values)} bytes are not {dtype} of shape {shape}')
    array = np.frombuffer(values, dtype)
    return array.reshape(shape, order='F' if in_fortran else 'C')


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
        vectors = _self_test_vectors(model.parts[SELF_TEST])
    except BundleError as error:
        raise BundleError(f'{model.id}: {SELF_TEST}: {error}') from None
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
    lengths = {len(values) if values.ndim else 0 for values in inputs.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise BundleError(f'{model.id}: the self-test of {name}.onnx has no rows, or not the '
                          'same number of each input')
    found = engine.runner(model, name)(inputs, list(part.outputs))
    report = {}
    for key, values in zip(part.outputs, found):
        expected = vectors[key]
        if values.shape != expected.shape or not np.isfinite(expected).all():
            raise BundleError(f'{model.id}: the self-test expects {name}/{key} of shape '
                              f'{expected.shape}, of finite numbers; the graph gives '
                              f'{values.shape}')
        difference = np.abs(values - expected)
        if part.is_relative:
            difference = difference / np.maximum(np.abs(expected), 1.0)
        report[f'{name}/{key}'] = float(difference.max(initial=0.0))
    return report
