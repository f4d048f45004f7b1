# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the network asks of the machine is counted right."""

import numpy as np
import pytest

pytest.importorskip('torch')
onnx = pytest.importorskip('onnx')


def test_multiply_adds_are_counted(benchmark):
    from onnx import TensorProto, helper

    rng = np.random.default_rng(0)
    weights = {'w': (8, 3, 3, 3), 'd': (8, 1, 5, 5), 'm': (512, 10)}
    nodes = [
        helper.make_node(
            'Conv', ['image', 'w'], ['a'], name='plain', strides=[2, 2], pads=[1, 1, 1, 1]
        ),
        helper.make_node('Conv', ['a', 'd'], ['b'], name='depthwise', group=8, pads=[2, 2, 2, 2]),
        helper.make_node('Flatten', ['b'], ['c']),
        helper.make_node('Gemm', ['c', 'm'], ['out'], name='product'),
    ]
    graph = helper.make_graph(
        nodes,
        'test',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, ['rows', 3, 16, 16])],
        [helper.make_tensor_value_info('out', TensorProto.FLOAT, ['rows', 10])],
        [
            onnx.numpy_helper.from_array(rng.random(shape, dtype=np.float32), name)
            for name, shape in weights.items()
        ],
    )
    model = helper.make_model(graph).SerializeToString()
    cost = benchmark('_limits').graph_cost(model)
    assert cost['nodes'] == {'plain': 8 * 64 * 27, 'depthwise': 8 * 64 * 25, 'product': 512 * 10}
    assert cost['convolutions'] == 8 * 64 * 52
    assert cost['multiply-adds'] == 8 * 64 * 52 + 5120
    numbers = (768 + 216 + 512) + (512 + 200 + 512) + (512 + 512) + (512 + 5120 + 10)
    assert cost['bytes'] == 4 * numbers


def test_tables_of_the_limits(benchmark):
    found = {
        'peaks': {'NumPy': {'size': 512, 'rate': 1e11}},
        'bandwidth': 5e10,
        'network': {'multiply-adds': 5e7, 'convolutions': 4e7, 'bytes': 2e7},
        'least seconds a galaxy': {'multiply-adds': 5e-4, 'bytes': 4e-4},
        'shares of peak': {'encoder graph': 0.8},
        'encoder': {'seconds a galaxy': 6e-4, 'kernels': {'Conv': 3e-4, 'Mul': 1e-4, 'Add': 1e-9}},
        'convolutions': [{'node': 'one', 'seconds': 1e-4, 'share of peak': 0.9}],
    }
    (_, _, rows), (_, header, kernels) = benchmark('_limits').limit_tables(found)
    assert ['time of the encoder', '0.600 ms a galaxy'] in rows
    assert ['share of the peak: encoder graph', '80.0%'] in rows
    # a kernel of no weight is left out
    assert [row[0] for row in kernels] == ['all Conv', 'all Mul', 'convolution one']
    assert all(len(row) == len(header) for row in kernels)
