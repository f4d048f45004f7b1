# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A light network learns the latents of another."""

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')
onnx = pytest.importorskip('onnx')

from training_sets import GRID, PARQUET_LABELS, tiny  # noqa: E402

from galvae_affiliated.training.build import build_bundle  # noqa: E402
from galvae_affiliated.training.fit import fit_model  # noqa: E402
from galvae_affiliated.training.networks.inference import encode_rows  # noqa: E402
from galvae_affiliated.training.networks.preprocess import Preprocess  # noqa: E402
from galvae_affiliated.training.objectives import losses  # noqa: E402
from galvae_affiliated.training.objectives.distil import Distillation  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]


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
    """They become nearer to the other network's than the spread of those would explain."""
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
    saved = torch.load(config.training.distil_from, weights_only=False)['state_dict']
    for name, value in student.teacher[0].state_dict().items():
        torch.testing.assert_close(value, saved[f'model.{name}'], msg=name)


def test_what_was_learnt_becomes_a_bundle(student, tiny_set):
    student.config = tiny('light', n_pose=2, float16=True, **PARQUET_LABELS)
    bundle = build_bundle(student, tiny_set, name='light')
    assert {'encoder.float16.onnx', 'decoder.float16.onnx'} < set(bundle.parts)
    assert bundle.verify(device='cpu')['encoder/latent_mean'] < 1e-4


@pytest.mark.parametrize('changed', [{'n_latents': 5}, {'n_pose': 1}, {'field_of_view': 4.0}])
def test_another_frame_or_other_latents_are_refused(teacher, tiny_set, changed):
    config = tiny(
        'light', **{'n_pose': 2, 'distil_from': str(teacher), **PARQUET_LABELS, **changed}
    )
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
    normal = [
        torch.distributions.Normal(mean, torch.exp(0.5 * logvar))
        for mean, logvar in (known, learnt)
    ]
    expected = torch.distributions.kl_divergence(*normal).mean()
    torch.testing.assert_close(losses.posterior_divergence(*known, *learnt), expected)
    assert abs(losses.posterior_divergence(*known, *known)) < 1e-6
