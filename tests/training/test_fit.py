# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is learnt, and how a run goes on after it was killed."""

import types
from unittest import mock

import numpy as np
import pytest

torch = pytest.importorskip('torch')
lightning = pytest.importorskip('lightning')

from training_sets import GRID, PARQUET_LABELS, tiny  # noqa: E402

from galvae_affiliated.training import PRESETS  # noqa: E402
from galvae_affiliated.training.data.dataset import GalaxySet  # noqa: E402
from galvae_affiliated.training.data.module import GalaxyData  # noqa: E402
from galvae_affiliated.training.fit import fit_model, load_trained  # noqa: E402
from galvae_affiliated.training.networks.model import load_weights  # noqa: E402
from galvae_affiliated.training.objectives.vae import VAEObjective  # noqa: E402

# Lightning warns of few workers and of a small set, as it should
pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]

TINY = tiny(**PARQUET_LABELS)


def weights_of(module):
    return {name: value.clone() for name, value in module.model.state_dict().items()}


def assert_same(found, expected, **tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, msg=name, **(tolerance or {'atol': 1e-5, 'rtol': 1e-5})
        )


def loss_of(module, galaxies, step=0):
    """The loss of all galaxies at one step, outside a run."""
    batch = (torch.from_numpy(np.array(galaxies.images)), torch.arange(len(galaxies)))
    with (
        torch.no_grad(),
        mock.patch.object(VAEObjective, 'global_step', step),
        mock.patch.object(
            VAEObjective, 'trainer', types.SimpleNamespace(world_size=1, global_rank=0)
        ),
        mock.patch.object(VAEObjective, 'log_dict'),
    ):
        return float(module.eval().training_step(batch, 0))


@pytest.fixture(scope='module')
def unbroken(tiny_set, tmp_path_factory):
    """A run, and its folder."""
    folder = tmp_path_factory.mktemp('unbroken')
    return fit_model(TINY, tiny_set, folder, logger=False), folder


class Killed(Exception):
    """A run is killed."""


def kill_at(step):
    def kill(module, *_):
        if module.global_step == step:
            raise Killed

    return mock.patch.object(lightning.LightningModule, 'on_train_batch_end', kill)


def test_the_loss_falls(tiny_set, unbroken):
    assert loss_of(unbroken[0], tiny_set) < loss_of(VAEObjective(TINY, tiny_set), tiny_set) - 0.1


def test_a_checkpoint_holds_the_averaged_weights_that_a_run_returns(tiny_set, unbroken):
    module, folder = unbroken
    model, step = load_trained(folder / 'last.ckpt', TINY, tiny_set)
    assert step == TINY.training.steps
    assert_same(dict(model.state_dict()), weights_of(module))


@pytest.mark.parametrize('steps', [(27,), (13, 33), (4,), (13,)], ids=str)
def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(tiny_set, unbroken, tmp_path, steps):
    """Killed between two checkpoints, twice, before the first one, and in the first half."""
    config = tiny(**PARQUET_LABELS, checkpoint_every=10)
    for step in steps:
        with kill_at(step), pytest.raises(Killed):
            fit_model(config, tiny_set, tmp_path, logger=False)
    resumed = fit_model(config, tiny_set, tmp_path, logger=False)
    assert resumed.trainer.datamodule.start == {27: 20, 33: 30, 4: 0, 13: 10}[steps[-1]]
    assert_same(weights_of(resumed), weights_of(unbroken[0]))
    assert resumed.diagnostics == unbroken[0].diagnostics


def test_a_finished_run_is_not_trained_again(tiny_set, unbroken):
    module, folder = unbroken
    with mock.patch(
        'galvae_affiliated.training.objectives.vae.random_view',
        side_effect=AssertionError('a step was made'),
    ):
        again = fit_model(TINY, tiny_set, folder, logger=False)
    assert_same(weights_of(again), weights_of(module))
    assert again.diagnostics == module.diagnostics


def test_another_configuration_is_not_trained_in_the_same_folder(tiny_set, unbroken):
    with pytest.raises(
        ValueError, match=r'another configuration \(beta, random_state\); take another folder'
    ):
        fit_model(
            tiny(**PARQUET_LABELS, beta=3.0, random_state=1), tiny_set, unbroken[1], logger=False
        )


def test_another_seed_learns_other_weights(tiny_set, unbroken, tmp_path):
    other = fit_model(tiny(**PARQUET_LABELS, random_state=1), tiny_set, tmp_path, logger=False)
    name = 'encoder.head.weight'
    assert not torch.allclose(
        other.model.state_dict()[name], unbroken[0].model.state_dict()[name], atol=1e-2
    )


def test_a_run_starts_from_another_ones_weights(tiny_set, unbroken, tmp_path):
    """Heads of other questions are new."""
    module, folder = unbroken
    first = tiny(
        'beta-vae', n_pose=2, steps=1, learning_rate=1e-9, initial=str(folder / 'last.ckpt')
    )
    started = fit_model(first, tiny_set, tmp_path, logger=False)
    for part in ('encoder.head.weight', 'decoder.start.weight'):
        torch.testing.assert_close(
            started.model.state_dict()[part], module.model.state_dict()[part]
        )
    with pytest.raises(ValueError, match=r'last\.ckpt: this checkpoint is of another network'):
        load_weights(torch.nn.Linear(2, 2), folder / 'last.ckpt')


def test_the_settled_decoder_decodes_better_and_the_latents_stay(tiny_set, unbroken, tmp_path):
    settled = fit_model(tiny(**PARQUET_LABELS, settling_steps=20), tiny_set, tmp_path, logger=False)
    before, after = (weights_of(module) for module in (unbroken[0], settled))
    changed = {
        name.split('.')[0]
        for name in before
        if not torch.allclose(before[name], after[name], atol=1e-6)
    }
    assert changed == {'decoder'}
    assert settled.diagnostics['mse'] < unbroken[0].diagnostics['mse']


@pytest.mark.parametrize('preset', PRESETS)
def test_presets_train(tiny_set, tmp_path, preset):
    # the layers of Xu et al. are many
    options = (
        {'batch_size': 2, 'validation_split': ''}
        if preset == 'xu2023'
        else {'noise_aware': preset == 'vae'}
    )
    config = tiny(preset, steps=3, kl_warmup_share=0.0, **{**PARQUET_LABELS, **options})
    module = fit_model(config, tiny_set, tmp_path, logger=False)
    logged = {name: float(value) for name, value in module.trainer.callback_metrics.items()}
    assert {'rec', 'kl', 'mse'} < set(logged)
    guidance = {'votes', 'classes', 'contrast'}
    assert guidance & set(logged) == (guidance if config.is_guided else set())
    assert all(np.isfinite(value) for value in logged.values()), logged
    assert (logged['pose_kl'] > 0) == config.is_guided
    assert len(module.diagnostics['nats a latent']) == 4
    assert len(module.diagnostics['nats a pose']) == config.model.n_pose


def test_an_auto_encoder_draws_no_latents(tiny_set):
    """Twice the same batch: the loss of a plain auto-encoder is the same, that of a VAE is not."""
    draws = {}
    for preset in ('ae', 'vae'):
        module = VAEObjective(tiny(preset, steps=4), tiny_set)
        with mock.patch.object(torch, 'manual_seed'):
            draws[preset] = loss_of(module, tiny_set), loss_of(module, tiny_set)
    assert draws['ae'][0] == draws['ae'][1]
    assert draws['vae'][0] != draws['vae'][1]


def test_a_set_without_held_out_galaxies_is_trained(tiny_set, tmp_path):
    everything = GalaxySet(tiny_set.images, tiny_set.ids)
    module = fit_model(tiny('vae', steps=2), everything, tmp_path, logger=False)
    assert module.global_step == 2 and module.diagnostics == {}


def test_a_collapsed_latent_is_counted_as_not_active(tiny_set):
    module = VAEObjective(TINY, tiny_set)
    torch.manual_seed(0)
    torch.nn.init.normal_(module.model.encoder.head.weight, std=10.0)
    batches = GalaxyData(TINY, tiny_set).val_dataloader()
    module.measure_held_out(batches, 7)
    assert module.diagnostics['active latents'] == 4 and module.diagnostics['active pose'] == 2
    with torch.no_grad():  # rows 1 and 5: the means of one latent and of one value of the pose
        module.model.encoder.head.weight[[1, 5]] = 0.0
    module.measure_held_out(batches, 8)
    assert module.diagnostics['active latents'] == 3 and module.diagnostics['active pose'] == 1
    assert module.diagnostics['step'] == 8


def test_the_weight_of_the_divergence_grows():
    config = tiny(**PARQUET_LABELS, steps=100, kl_warmup_share=0.1, beta=30.0)
    module = VAEObjective(config, GalaxySet(np.zeros((1, GRID, GRID, 3), np.uint8), ['a']))
    weights = []
    for step in (0, 4, 9, 50):
        with mock.patch.object(VAEObjective, 'global_step', step):
            weights.append(module.loss_weights()['kl'] * module.n_values)
    assert weights == pytest.approx([3.0, 15.0, 30.0, 30.0])
