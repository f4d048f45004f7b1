# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A light network learns what another says, and what is folded into networks before they are exported."""

import io

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')
onnx = pytest.importorskip('onnx')

from training_sets import GRID, PARQUET_LABELS, tiny  # noqa: E402

from galvae_affiliated.training.build import build_bundle  # noqa: E402
from galvae_affiliated.training.data.galaxy_zoo import survey_renderings  # noqa: E402
from galvae_affiliated.training.export import folding, graphs  # noqa: E402
from galvae_affiliated.training.fit import fit_model  # noqa: E402
from galvae_affiliated.training.networks.inference import encode_rows  # noqa: E402
from galvae_affiliated.training.networks.light import LightDecoder, LightEncoder  # noqa: E402
from galvae_affiliated.training.networks.preprocess import Preprocess, Rendering  # noqa: E402
from galvae_affiliated.training.networks.residual import Decoder, Encoder  # noqa: E402
from galvae_affiliated.training.networks.xu2023 import XuEncoder  # noqa: E402
from galvae_affiliated.training.objectives import losses  # noqa: E402
from galvae_affiliated.training.objectives.distil import Distillation  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]

LIGHT = tiny('light', n_pose=2, **PARQUET_LABELS)


@pytest.fixture(scope='module')
def teacher(tiny_set, tmp_path_factory):
    folder = tmp_path_factory.mktemp('teacher')
    fit_model(tiny(**PARQUET_LABELS), tiny_set, folder, logger=False)
    return folder / 'last.ckpt'


@pytest.fixture(scope='module')
def config(teacher):
    return tiny('light', n_pose=2, distil_from=str(teacher), learning_rate=1e-2, **PARQUET_LABELS)


@pytest.fixture(scope='module')
def student(config, tiny_set, tmp_path_factory):
    return fit_model(config, tiny_set, tmp_path_factory.mktemp('student'), logger=False)


def latents(model, tiny_set):
    return encode_rows(model.eval(), Preprocess(GRID), tiny_set.composites(tiny_set.train))[0]


def test_latents_are_learnt(config, student, tiny_set):
    """After distillation they are nearer to the other network's than what the other's spread would explain."""
    assert isinstance(student, Distillation)
    expected = latents(student.teacher[0], tiny_set)
    found = latents(student.model, tiny_set)
    untrained = latents(Distillation(config, tiny_set).model, tiny_set)
    error = ((found - expected) ** 2).mean()
    assert error < 0.5 * ((untrained - expected) ** 2).mean()
    assert error < 0.5 * expected.var(0).mean()


def test_the_other_network_is_no_part_of_the_module(student, config):
    assert not [name for name in student.state_dict() if 'teacher' in name]
    assert not any(p.requires_grad for p in student.teacher[0].parameters())
    # and it stays as it was: its batch normalisation too
    saved = torch.load(config.distil_from, weights_only=False)['state_dict']
    for name, value in student.teacher[0].state_dict().items():
        torch.testing.assert_close(value, saved[f'model.{name}'], msg=name)


def test_what_was_learnt_becomes_a_bundle(student, tiny_set):
    student.config = tiny('light', n_pose=2, float16=True, **PARQUET_LABELS)
    bundle = build_bundle(student, tiny_set, name='light')
    assert {'encoder.float16.onnx', 'decoder.float16.onnx'} < set(bundle.manifest['parts'])
    assert bundle.verify(device='cpu')['encoded'] < 1e-4


@pytest.mark.parametrize('changed', [{'n_latents': 5}, {'n_pose': 1}, {'field_of_view': 4.0}])
def test_another_frame_or_other_latents_are_refused(teacher, tiny_set, changed):
    config = tiny('light', **{'n_pose': 2, 'distil_from': str(teacher), **PARQUET_LABELS, **changed})
    with pytest.raises(ValueError, match=rf'last\.ckpt: .* {next(iter(changed))} differ'):
        Distillation(config, tiny_set)


def test_a_checkpoint_of_something_else_is_refused(tiny_set, tmp_path):
    torch.save({'state_dict': {}}, tmp_path / 'other.ckpt')
    config = tiny('light', n_pose=2, distil_from=str(tmp_path / 'other.ckpt'), **PARQUET_LABELS)
    with pytest.raises(ValueError, match='not a checkpoint of galvae train'):
        Distillation(config, tiny_set)


def test_divergence_of_two_posteriors():
    """Of normal distributions, as torch.distributions has it."""
    generator = torch.Generator().manual_seed(0)
    known, learnt = ([torch.randn(6, 4, generator=generator) for _ in range(2)] for _ in range(2))
    normal = [torch.distributions.Normal(mean, torch.exp(0.5 * logvar)) for mean, logvar in (known, learnt)]
    expected = torch.distributions.kl_divergence(*normal).mean()
    torch.testing.assert_close(losses.posterior_divergence(*known, *learnt), expected)
    assert abs(losses.posterior_divergence(*known, *known)) < 1e-6


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
    encoder, preprocess = randomised(LightEncoder(LIGHT)), Preprocess(GRID)
    folded, reads_frames = folding.reading_frames(encoder, preprocess)
    frame = torch.rand(3, 3, GRID, GRID)
    assert reads_frames
    torch.testing.assert_close(folded(frame), encoder(preprocess.normalise(frame)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('kind', [Encoder, XuEncoder])
def test_an_encoder_that_pads_or_does_something_else_first_is_left(kind):
    encoder = kind(tiny())
    assert folding.reading_frames(encoder, Preprocess(GRID)) == (encoder, False)


@torch.no_grad()
@pytest.mark.parametrize('kind', [Decoder, LightDecoder])
def test_a_decoder_that_writes_frames(kind):
    decoder, preprocess = randomised(kind(LIGHT)), Preprocess(GRID, centre=(0.1, 0.2, 0.3), scale=(0.2, 0.1, 0.3))
    folded, writes_frames = folding.writing_frames(decoder, preprocess)
    code = torch.randn(3, LIGHT.n_latents), torch.randn(3, LIGHT.n_pose)
    assert writes_frames
    expected = preprocess.composite(decoder(*code))
    assert expected.std() > 0
    torch.testing.assert_close(preprocess.within(folded(*code)), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_half_precision_within_the_network():
    encoder = randomised(LightEncoder(LIGHT))
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
        return torch.where(missing, 0.0, self.rendering.render_filled(filled, 1.0 - missing.float(), rendering))


@pytest.mark.parametrize('rows', [[0, 0, 0], [1, 2, 1], [3, 3, 3], [0, 1, 0], [0, 3, 2], [3]])
def test_a_graph_renders_any_mixture_of_rows(rendering_graph, rows):
    """Whichever branches of the graph are taken."""
    graph, image = rendering_graph
    inputs = {'image': image[2 : 2 + len(rows)].numpy(), 'rendering': np.array(rows)}
    found = graphs.run_graph(graph, inputs, ['composite'])[0]
    expected = Rendering(survey_renderings(1.7))(*(torch.from_numpy(value) for value in inputs.values()))
    np.testing.assert_allclose(found, np.nan_to_num(expected.numpy()), atol=2e-5)


def test_branches_of_the_graph(rendering_graph):
    model = onnx.load(io.BytesIO(rendering_graph[0]))
    assert [node.op_type for node in model.graph.node].count('If') == 2


def test_arcsinh_by_the_logarithm():
    """To a hundredth of an 8-bit level of what it multiplies, down to the smallest intensity."""
    flux = torch.logspace(-7, 3, 500).view(1, 1, 1, -1).expand(1, 3, 1, -1)
    entry = survey_renderings(1.7)[1]
    found = Rendering(survey_renderings(1.7))(flux, torch.ones(1, dtype=torch.long))
    scale, q = torch.tensor(entry['scales']).view(1, 3, 1, 1).double(), entry['softening']
    value = scale * flux.double() + entry['offset']
    intensity = value.mean(1, keepdim=True).clamp(min=1e-6)
    expected = (value * torch.asinh(q * intensity) / (q**0.5 * intensity)).clamp(0, 1)
    assert (found - expected).abs().max() < 0.01 / 255
