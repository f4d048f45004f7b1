# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Trained networks to a bundle, checked against PyTorch before a file is written."""

import io

import numpy as np
import onnx
import torch
from torch import nn

from galvae_affiliated.exceptions import ParityError
from galvae_affiliated.models._runner import GraphRunner
from galvae_affiliated.models.bundle import ModelBundle
from galvae_affiliated.models.manifest import SCHEMA_VERSION
from galvae_affiliated.models.self_test import PARTS, SELF_TEST, self_test
from galvae_affiliated.training.export.folding import in_half, reading_frames, writing_frames
from galvae_affiliated.training.networks.preprocess import Rendering, without_missing

__all__ = ['edge_images', 'export_bundle', 'export_graph', 'random_latents', 'run_graph']

OPSET = 18
# largest absolute difference between PyTorch and ONNX Runtime, both in float32
PARITY = 1e-3
# and of the latents, if the weights are stored in half precision: far below any latent's own error
HALF_PARITY = 0.02
# and if they are computed with in half precision
FLOAT16_PARITY = 0.1
LEAST_HALVED = 1024  # values; smaller arrays (biases) would save nothing
SELF_TEST_ROWS = 4
ENCODED = [*PARTS['encoder'].outputs, 'frame', 'weight']


class _EncoderGraph(nn.Module):
    """Image and rendering to the posterior, the pose, and the frame that the network saw."""

    def __init__(self, renderings, preprocess, encoder):
        super().__init__()
        self.rendering, self.preprocess = Rendering(renderings), preprocess
        self.encoder, self.reads_frames = reading_frames(encoder, preprocess)

    def forward(self, image, rendering):
        filled, known = without_missing(image)
        composite = self.rendering.render_filled(filled, known, rendering)
        frame, weight = self.preprocess.frame(composite, known)
        seen = frame if self.reads_frames else self.preprocess.normalise(frame)
        mean, logvar = self.encoder(seen)
        n = self.encoder.n_latents
        return mean[:, :n], logvar[:, :n], mean[:, n:], frame, weight


class _DecoderGraph(nn.Module):
    """Latents and pose to a composite, in the frame of the encoder."""

    def __init__(self, preprocess, decoder):
        super().__init__()
        self.preprocess = preprocess
        self.decoder, self.writes_frames = writing_frames(decoder, preprocess)

    def forward(self, latent, pose):
        decoded = self.decoder(latent, pose)
        if self.writes_frames:
            return self.preprocess.within(decoded)
        return self.preprocess.composite(decoded)


def export_graph(module, inputs, outputs, *, half_weights=False, tolerance=None):
    """
    Serialise a module with rows as a dynamic first axis, check it, and compare with PyTorch.

    Parameters
    ----------
    module : `torch.nn.Module`
    inputs : dict of str to (N, ...) tensor
        Named inputs; N at least 3. The comparison runs on all, three, and one of these rows.
    outputs : list of str
        Names of the outputs.
    half_weights : bool, optional
        Store the weights in half precision, which halves the file. They are
        computed with in single precision, so that every device runs the graph.
    tolerance : float, optional
        Largest difference between PyTorch and the graph; None takes 1e-3, and 0.02 with
        ``half_weights``.

    Returns
    -------
    graph : bytes

    Raises
    ------
    ParityError
        If an output differs by more, or is not finite in the same places.
    """
    tolerance = tolerance or (HALF_PARITY if half_weights else PARITY)
    module = module.eval().cpu().to(memory_format=torch.contiguous_format)
    rows = torch.export.Dim('rows', min=1, max=1 << 20)
    program = torch.onnx.export(
        module, tuple(inputs.values()), dynamo=True, opset_version=OPSET, verbose=False,
        input_names=list(inputs), output_names=list(outputs),
        dynamic_shapes=tuple({0: rows} for _ in inputs))
    buffer = io.BytesIO()
    program.save(buffer)
    model = onnx.load_from_string(buffer.getvalue())
    _strip_traces(model)
    if half_weights:
        _halve_weights(model)
    onnx.checker.check_model(model, full_check=True)
    graph = model.SerializeToString()
    for size in (1, 3, len(next(iter(inputs.values())))):
        _check_parity(module, graph, {k: v[:size] for k, v in inputs.items()}, outputs, tolerance)
    return graph


def _halve_weights(model):
    """Store large arrays in half precision, each behind a node that casts it back on loading."""
    casts = []
    for weights in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weights)
        is_large = values.dtype == np.float32 and values.size >= LEAST_HALVED
        if is_large and np.abs(values).max() < np.finfo('f2').max:
            name = weights.name
            half = onnx.numpy_helper.from_array(values.astype(np.float16), f'{name}.half')
            weights.CopyFrom(half)
            casts.append(onnx.helper.make_node('Cast', [f'{name}.half'], [name],
                                               to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _strip_traces(model):
    """Drop the exporter's notes: they hold paths of the machine that exported."""
    del model.metadata_props[:]
    model.doc_string = ''
    _strip_graph(model.graph)


def _strip_graph(graph):
    """Drop the notes of a graph, and of the graphs that its nodes choose from."""
    for value in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output,
                  *graph.initializer):
        value.doc_string = ''
        del value.metadata_props[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField('g'):
                _strip_graph(attribute.g)


def _check_parity(module, graph, inputs, outputs, tolerance):
    with torch.inference_mode():
        expected = module(*inputs.values())
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = run_graph(graph, {k: v.numpy() for k, v in inputs.items()}, outputs)
    for name, ours, theirs in zip(outputs, found, expected):
        difference = np.abs(ours - theirs.numpy())
        if not difference.max(initial=0.0) <= tolerance:
            raise ParityError(f'{name} of {len(ours)} rows differs between PyTorch and ONNX '
                              f'Runtime by {np.nanmax(difference):.2g}, more than {tolerance}')


def edge_images(grid, random_state=0):
    """
    Images to compare on: Sersic-like galaxies, missing pixels, empty, saturated, negative.

    Parameters
    ----------
    grid : int
    random_state : int, optional

    Returns
    -------
    images : (8, 3, grid, grid) tensor
    """
    rng = np.random.default_rng(random_state)
    x = np.arange(grid) - (grid - 1) / 2
    images = []
    for angle, ratio in ((0.0, 1.0), (0.5, 0.6), (1.0, 0.2), (2.0, 0.8)):
        major = x[None] * np.cos(angle) + x[:, None] * np.sin(angle)
        minor = (-x[None] * np.sin(angle) + x[:, None] * np.cos(angle)) / ratio
        light = np.exp(-np.hypot(major, minor) / (0.1 * grid))
        images.append(light[None] * np.array([0.8, 0.6, 0.4])[:, None, None])
    empty = np.zeros((3, grid, grid))
    images = np.array([*images, empty, empty + 50.0, -images[0], images[1]])
    images += 0.01 * rng.standard_normal(images.shape)
    images[7, :, :, : grid // 3] = np.nan
    images[2, 1] = np.nan
    return torch.from_numpy(images.astype(np.float32))


def export_bundle(manifest, preprocess, model, heads=None, *, extra_images=None,
                  half_weights=False, float16=False):
    """
    Make a bundle of trained networks.

    Parameters
    ----------
    manifest : dict
        All but ``schema_version``, ``parts`` and ``self_test_tolerance``.
    preprocess : `~galvae_affiliated.training.networks.preprocess.Preprocess`
    model : `~galvae_affiliated.training.networks.model.GalaxyVAE`
    heads : bytes, optional
        Graph from ``latent`` to ``fractions``; None if the model answers no question.
    extra_images : (N, 3, grid, grid) tensor, optional
        More composites to compare on; they are not kept in the bundle.
    half_weights : bool, optional
        See `export_graph`.
    float16 : bool, optional
        Add graphs whose convolutions are computed in half precision, for GPUs.

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle`

    Raises
    ------
    ParityError
        If a graph does not give what PyTorch gives.
    """
    renderings, sizes = manifest['renderings'], manifest['latents']
    image = edge_images(manifest['input']['grid'])
    image = image if extra_images is None else torch.cat([image, extra_images])
    rendering = torch.arange(len(image)) % len(renderings)
    inputs = {'encoder': {'image': image, 'rendering': rendering},
              'decoder': {'latent': random_latents(len(image), sizes['n_latents']),
                          'pose': random_latents(len(image), sizes['n_pose'], random_state=1)}}
    modules = {'encoder': _EncoderGraph(renderings, preprocess, model.encoder),
               'decoder': _DecoderGraph(preprocess, model.decoder)}
    outputs = {'encoder': ENCODED, 'decoder': PARTS['decoder'].outputs}
    graphs = {part: export_graph(module, inputs[part], outputs[part], half_weights=half_weights)
              for part, module in modules.items()}
    files = {f'{part}.onnx': graph for part, graph in graphs.items()}
    if float16:
        modules['encoder'].encoder = in_half(modules['encoder'].encoder, 'features')
        modules['decoder'].decoder = in_half(modules['decoder'].decoder, 'layers')
        for part, module in modules.items():
            files[f'{part}.float16.onnx'] = export_graph(
                module, inputs[part], outputs[part], half_weights=half_weights,
                tolerance=FLOAT16_PARITY)
    if heads is not None:
        graphs['heads'] = files['heads.onnx'] = heads
        inputs['heads'] = {'latent': inputs['decoder']['latent']}
    # half precision keeps the file small
    inputs['encoder']['image'] = image.half()
    few = {part: {name: value[:SELF_TEST_ROWS].numpy() for name, value in given.items()}
           for part, given in inputs.items()}
    files[SELF_TEST] = self_test(graphs, few)
    manifest = {'schema_version': SCHEMA_VERSION, **manifest,
                'weights': 'float16, computed with in float32' if half_weights else 'float32',
                'export_tolerance': HALF_PARITY if half_weights else PARITY,
                # a GPU computes with TensorFloat-32 and in another order
                'self_test_tolerance': {'cpu': 2e-3, 'cuda': 5e-2, 'float16': FLOAT16_PARITY}}
    return ModelBundle.from_parts(manifest, files)


def random_latents(n_rows, n_latents, *, random_state=0):
    """
    Latents of no galaxy, to compare and to test graphs on.

    Parameters
    ----------
    n_rows, n_latents : int
    random_state : int, optional

    Returns
    -------
    latents : (n_rows, n_latents) tensor
    """
    generator = torch.Generator().manual_seed(random_state)
    return torch.randn(n_rows, n_latents, generator=generator)


def run_graph(graph, inputs, outputs):
    """
    What a graph gives on the CPU.

    Parameters
    ----------
    graph : bytes
    inputs : dict of str to array
    outputs : sequence of str

    Returns
    -------
    values : list of array
    """
    return GraphRunner(graph, device='cpu')(inputs, list(outputs))
