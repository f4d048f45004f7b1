# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Write the ONNX graphs of the reduced chi-square: build time only, the package has the files."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

FOLDER = Path(__file__).resolve().parents[1] / 'galvae_affiliated' / 'data'
PATH = FOLDER / 'reduced_chi2.onnx'
FEW_PATH = FOLDER / 'reduced_chi2_few.onnx'
IMAGES = ('rows', 3, 'ny', 'nx')
CHANNELS = (3, 1, 1)
PLAIN = ('residual', 'variance', 'weight')
OPSET = 18
IR_VERSION = 8  # all versions of ONNX Runtime that the package takes read it


def mixing_nodes(name, result):
    """Nodes that mix the channels of images."""
    return [
        helper.make_node('Reshape', [name, 'flat'], [f'{name}_flat']),
        helper.make_node('MatMul', ['mix', f'{name}_flat'], [f'{name}_mixed']),
        helper.make_node('Shape', [name], [f'{name}_shape']),
        helper.make_node('Reshape', [f'{name}_mixed', f'{name}_shape'], [result]),
    ]


def residual_graph(*, few=False):
    """
    Bytes of the graph: the weighted mean of (decoded - frame)^2 / (floor + slope * decoded).

    With ``few`` the channels of residual and variance are mixed before, row by row, and counted
    as ``share`` says.
    """
    residual, variance, weight = ('difference', 'growing', 'counted') if few else PLAIN
    nodes = [helper.make_node('Sub', ['decoded', 'frame'], [residual])]
    nodes += mixing_nodes(residual, 'residual') if few else []
    nodes += [
        helper.make_node('Mul', ['residual', 'residual'], ['square']),
        helper.make_node('Mul', ['decoded', 'slope'], ['growth']),
        helper.make_node('Add', ['growth', 'floor'], [variance]),
    ]
    nodes += mixing_nodes(variance, 'variance') if few else []
    nodes += [helper.make_node('Mul', ['weight', 'share'], [weight])] if few else []
    nodes += [
        helper.make_node('Div', ['square', 'variance'], ['ratio']),
        helper.make_node('Mul', ['ratio', weight], ['weighted']),
        helper.make_node('ReduceSum', ['weighted', 'axes'], ['sum'], keepdims=0),
        helper.make_node('ReduceSum', [weight, 'axes'], ['weights'], keepdims=0),
        helper.make_node('Max', ['weights', 'least'], ['divisor']),
        helper.make_node('Div', ['sum', 'divisor'], ['chi2']),
    ]
    shapes = {
        'decoded': IMAGES,
        'frame': IMAGES,
        'weight': IMAGES,
        'floor': CHANNELS,
        'slope': CHANNELS,
    }
    if few:
        shapes |= {'mix': ('rows', 3, 3), 'share': ('rows', *CHANNELS)}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    outputs = [helper.make_tensor_value_info('chi2', TensorProto.FLOAT, IMAGES[:1])]
    constants = [
        numpy_helper.from_array(np.array([1, 2, 3]), 'axes'),
        numpy_helper.from_array(np.float32(1e-6), 'least'),
    ]
    if few:
        constants.append(numpy_helper.from_array(np.array([0, 3, -1]), 'flat'))
    graph = helper.make_graph(nodes, 'reduced_chi2', inputs, outputs, constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', OPSET)], ir_version=IR_VERSION
    )
    checker.check_model(model, full_check=True)
    return model.SerializeToString()


if __name__ == '__main__':
    PATH.write_bytes(residual_graph())
    FEW_PATH.write_bytes(residual_graph(few=True))
