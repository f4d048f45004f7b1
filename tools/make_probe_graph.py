# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Write the ONNX graph by which a device is tried: build time only, the package has the file."""

from pathlib import Path

import numpy as np
from make_residual_graph import FOLDER, IR_VERSION, OPSET
from onnx import TensorProto, checker, helper, numpy_helper

PATH = Path(FOLDER) / 'probe.onnx'
CHANNELS, SIDE = 4, 8


def probe_graph():
    """
    Bytes of a graph that takes what the networks do: a convolution and a product of matrices.

    Of an image (1, 4, 8, 8) of ones each of the 4 numbers that it gives is 4 * 9 * 36.
    """
    inside = (SIDE - 2) ** 2
    constants = {'kernel': np.ones((CHANNELS, CHANNELS, 3, 3), np.float32),
                 'flat': np.array([1, CHANNELS, inside]),
                 'sums': np.ones((inside, 1), np.float32)}
    nodes = [helper.make_node('Conv', ['image', 'kernel'], ['features']),
             helper.make_node('Reshape', ['features', 'flat'], ['rows']),
             helper.make_node('MatMul', ['rows', 'sums'], ['result'])]
    image = helper.make_tensor_value_info('image', TensorProto.FLOAT, (1, CHANNELS, SIDE, SIDE))
    result = helper.make_tensor_value_info('result', TensorProto.FLOAT, (1, CHANNELS, 1))
    graph = helper.make_graph(nodes, 'probe', [image], [result],
                              [numpy_helper.from_array(value, name)
                               for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)],
                              ir_version=IR_VERSION)
    checker.check_model(model, full_check=True)
    return model.SerializeToString()


if __name__ == '__main__':
    PATH.write_bytes(probe_graph())
