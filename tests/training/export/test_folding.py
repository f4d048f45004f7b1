# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is folded into networks before they are exported, and the graph of the rendering."""

import io

import numpy as np
import pytest

torch = pytest.importorskip('torch')
onnx = pytest.importorskip('onnx')

from training_sets import GRID, PARQUET_LABELS, tiny  # noqa: E402

from galvae_affiliated.training.data.galaxy_zoo import survey_renderings  # noqa: E402
from galvae_affiliated.training.export import folding, graphs  # noqa: E402
from galvae_affiliated.training.networks.light import LightDecoder, LightEncoder  # noqa: E402
from galvae_affiliated.training.networks.preprocess import Preprocess, Rendering  # noqa: E402
from galvae_affiliated.training.networks.residual import Decoder, Encoder  # noqa: E402
from galvae_affiliated.training.networks.xu2023 import XuEncoder  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]

LIGHT = tiny('light', n_pose=2, **PARQUET_LABELS)


def randomised(network):
    """Batch normalisation as after training: an untrained one does nothing."""
    generator = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.copy_(0.2 * torch.randn(layer.num_features, generator=generator))
            layer.running_var.copy_(0.5 + torch.rand(layer.num_features, generator=generator))
    return network.eval()


@torch.no_grad()
def test_an_encoder_that_reads_frames():
    encoder, preprocess = randomised(LightEncoder(LIGHT.model)), Preprocess(GRID)
    folded, reads_frames = folding.reading_frames(encoder, preprocess)
    frame = torch.rand(3, 3, GRID, GRID)
    assert reads_frames
    torch.testing.assert_close(
        folded(frame), encoder(preprocess.normalise(frame)), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize('kind', [Encoder, XuEncoder])
def test_an_encoder_that_pads_or_does_something_else_first_is_left(kind):
    encoder = kind(tiny().model)
    assert folding.reading_frames(encoder, Preprocess(GRID)) == (encoder, False)


@torch.no_grad()
@pytest.mark.parametrize('kind', [Decoder, LightDecoder])
def test_a_decoder_that_writes_frames(kind):
    decoder, preprocess = (
        randomised(kind(LIGHT.model)),
        Preprocess(GRID, centre=(0.1, 0.2, 0.3), scale=(0.2, 0.1, 0.3)),
    )
    folded, writes_frames = folding.writing_frames(decoder, preprocess)
    code = torch.randn(3, LIGHT.model.n_latents), torch.randn(3, LIGHT.model.n_pose)
    assert writes_frames
    expected = preprocess.composite(decoder(*code))
    assert expected.std() > 0
    torch.testing.assert_close(preprocess.within(folded(*code)), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_half_precision_within_the_network():
    encoder = randomised(LightEncoder(LIGHT.model))
    image = torch.randn(2, 3, GRID, GRID)
    half = folding.in_half(encoder, 'features')
    assert next(half.features[1].parameters()).dtype == torch.float16
    assert next(encoder.features.parameters()).dtype == torch.float32
    mean, logvar = half(image)
    assert mean.dtype == logvar.dtype == torch.float32
    difference = (mean - encoder(image)[0]).abs().max()
    assert 0.0 < difference < 0.02


@pytest.fixture(scope='module')
def rendering_graph():
    """The rendering alone, as it is exported."""
    image = torch.cat([graphs.edge_images(GRID)] * 2)
    rows = torch.arange(len(image)) % 4
    graph = graphs.export_graph(Filled(), {'image': image, 'rendering': rows}, ['composite'])
    return graph, image


class Filled(torch.nn.Module):
    """What a graph does with missing pixels before and after the rendering."""

    def __init__(self):
        super().__init__()
        self.rendering = Rendering(survey_renderings(1.7))

    def forward(self, image, rendering):
        missing = torch.isnan(image)
        filled = torch.where(missing, 0.0, image)
        return torch.where(
            missing, 0.0, self.rendering.render_filled(filled, 1.0 - missing.float(), rendering)
        )


@pytest.mark.parametrize('rows', [[0, 0, 0], [1, 2, 1], [3, 3, 3], [0, 1, 0], [0, 3, 2], [3]])
def test_a_graph_renders_any_mixture_of_rows(rendering_graph, rows):
    """Whichever branches of the graph are taken."""
    graph, image = rendering_graph
    inputs = {'image': image[2 : 2 + len(rows)].numpy(), 'rendering': np.array(rows)}
    found = graphs.run_graph(graph, inputs, ['composite'])[0]
    expected = Rendering(survey_renderings(1.7))(
        *(torch.from_numpy(value) for value in inputs.values())
    )
    np.testing.assert_allclose(found, np.nan_to_num(expected.numpy()), atol=2e-5)


def test_branches_of_the_graph(rendering_graph):
    model = onnx.load(io.BytesIO(rendering_graph[0]))
    assert [node.op_type for node in model.graph.node].count('If') == 2
