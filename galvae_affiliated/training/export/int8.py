# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""An encoder that computes in eight bits, for processors."""

import tempfile
from pathlib import Path

import numpy as np

from galvae_affiliated.models._runner import GraphRunner
from galvae_affiliated.models.self_test import PARTS, SELF_TEST, read_vectors

__all__ = ['with_int8']

BATCH = 16
OPERATORS = ['Conv', 'Relu', 'Add']  # the others are small, or would lose their range
SLACK = 2.0  # of the tolerance, over the largest difference of the self-test: roundings differ


def with_int8(bundle, composites):
    """
    A bundle with an encoder in eight bits beside the one in single precision.

    Convolutions take unsigned activations and signed weights, a scale a
    channel, whose ranges are those of some images.

    Parameters
    ----------
    bundle : `~galvae_affiliated.ModelBundle`
    composites : (N, 3, grid, grid) array in [0, 1]
        Of the kind that the model was trained on; a few hundred.

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle`
        With the part 'encoder.int8.onnx', the tolerance of its self-test, and how far its latents
        are from those in single precision.

    Raises
    ------
    ValueError
        If there are fewer than 16 images.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.training.export.int8 import with_int8
    >>> model = get_model()
    >>> 'encoder.int8.onnx' in with_int8(model, model.generate(16, random_state=0).images).parts
    True
    """
    if len(composites) < BATCH:
        raise ValueError(f'there are {len(composites)} images; expected at least {BATCH}')
    images = np.ascontiguousarray(composites, dtype=np.float32)
    graph = _quantized(bundle.graph('encoder'), images)
    outputs = list(PARTS['encoder'].outputs)
    vectors = read_vectors(bundle.parts[SELF_TEST])['encoder']
    given = {name: vectors[name] for name in PARTS['encoder'].inputs}
    found = GraphRunner(graph, device='cpu')(given, outputs)
    worst = max(float(np.abs(values - vectors[name]).max())
                for name, values in zip(outputs, found))
    raw = bundle.manifest.raw
    entry = {'images': len(images), 'rms of each latent over its scatter':
             _relative_error(bundle.graph('encoder'), graph, images)}
    manifest = {**raw, 'int8': entry,
                'self_test_tolerance': {**raw['self_test_tolerance'],
                                        'int8': round(SLACK * worst, 3)}}
    return bundle.replaced(manifest=manifest, parts={'encoder.int8.onnx': graph})


def _quantized(graph, images):
    """A graph with quantised convolutions, by ONNX Runtime's tools."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class _Images(CalibrationDataReader):
        def __init__(self):
            self.starts = iter(range(0, len(images) - BATCH + 1, BATCH))

        def get_next(self):
            start = next(self.starts, None)
            if start is None:
                return None
            return {'image': images[start:start + BATCH],
                    'rendering': np.zeros(BATCH, dtype=np.int64)}

    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f'{name}.onnx' for name in ('given', 'prepared', 'quantized')]
        paths[0].write_bytes(graph)
        quant_pre_process(paths[0], paths[1], skip_symbolic_shape=True)
        quantize_static(paths[1], paths[2], _Images(), quant_format=QuantFormat.QDQ,
                        per_channel=True, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8, op_types_to_quantize=OPERATORS)
        return paths[2].read_bytes()


def _relative_error(graph, quantized, images):
    """The median over latents of the rms difference over the scatter."""
    given = {'image': images, 'rendering': np.zeros(len(images), dtype=np.int64)}
    one, two = (GraphRunner(each, device='cpu')(given, ['latent_mean'])[0]
                for each in (graph, quantized))
    return round(float(np.median(np.sqrt(((one - two) ** 2).mean(0)) / one.std(0))), 4)
