# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Shapes and weights of the networks."""

import pytest

torch = pytest.importorskip('torch')

from galvae_affiliated.training import TrainingConfig  # noqa: E402
from galvae_affiliated.training.networks.model import GalaxyVAE  # noqa: E402
from galvae_affiliated.training.networks.vote_heads import vote_loss  # noqa: E402


@pytest.mark.parametrize(
    'options', [{}, {'grid': 64, 'network': 'xu2023', 'n_pose': 0}], ids=['residual', 'xu2023']
)
def test_shapes_of_the_networks(options):
    config = TrainingConfig.of_preset(**options).model
    grid, n_code = config.grid, config.n_latents + config.n_pose
    model = GalaxyVAE(config, [2, 3], n_classes=4).eval()
    with torch.inference_mode():
        mean, logvar = model.encoder(torch.zeros(2, 3, grid, grid))
        assert mean.shape == logvar.shape == (2, n_code)
        assert model.decoder(mean[:, :40], mean[:, 40:]).shape == (2, 3, grid, grid)
        assert model.heads(mean[:, :40]).sum(1).tolist() == pytest.approx([2.0, 2.0])


def test_vote_loss_is_least_at_the_voted_fractions():
    voted, weight = [torch.tensor([[0.7, 0.3]])], [torch.ones(1)]
    right = vote_loss([torch.log(voted[0])], voted, weight)
    for wrong in ([[0.5, 0.5]], [[0.9, 0.1]]):
        assert vote_loss([torch.log(torch.tensor(wrong))], voted, weight) > right
    assert vote_loss([torch.log(voted[0])], voted, [torch.zeros(1)]) == 0
