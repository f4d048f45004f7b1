# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The terms of the losses."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')

from training_sets import galaxy  # noqa: E402

from galvae_affiliated.training.objectives import losses  # noqa: E402


def test_active_units_vary_from_galaxy_to_galaxy():
    spread = torch.tensor([1.0, 0.2, 0.05, 0.0])
    mean = torch.linspace(-1, 1, 101)[:, None] * spread + 3.0
    assert losses.active_units(mean) == 2
    assert losses.active_units(mean, threshold=1e-6) == 3


def test_a_deep_image_counts_for_more_than_a_shallow_one():
    """Noise of standard deviation 0.5 is a variance of five floors: a sixth of the weight."""
    generator = torch.Generator().manual_seed(0)
    light = torch.from_numpy(galaxy(0, 64, 12.0)).float().expand(2, 3, 64, 64)
    noise = torch.randn(2, 3, 64, 64, generator=generator) * torch.tensor([0.0, 0.5]).view(
        2, 1, 1, 1
    )
    aperture = torch.ones(64, 64)
    aperture[:, :8] = 0.0
    weight = losses.noise_weights(light + noise, aperture)
    assert (weight[:, :, :, :8] == 0).all()
    inside = weight[:, :, 0, 8:]
    assert (inside == inside[:, :, :1]).all()
    assert inside[0, :, 0].tolist() == pytest.approx([1.0] * 3, abs=0.01)
    assert inside[1, :, 0].tolist() == pytest.approx([1 / 6] * 3, rel=0.1)


def test_residuals_are_averaged_over_what_counts():
    image, target = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    target[..., 0] = 0.5
    loss, square = losses.reconstruction_loss(image, target, torch.ones(2, 2))
    assert float(square) == pytest.approx(0.125)
    assert float(loss) == pytest.approx(0.5 * np.log(0.125), abs=1e-4)
    _, square = losses.reconstruction_loss(image, target, torch.tensor([1.0, 0.0]))
    assert float(square) == pytest.approx(0.25)


def test_galaxies_without_a_class_do_not_count():
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    both = losses.class_loss(logits, torch.tensor([0, 1]))
    assert float(losses.class_loss(logits, torch.tensor([0, -1]))) == pytest.approx(float(both) / 2)
    assert float(losses.class_loss(logits, torch.tensor([-1, -1]))) == 0


def test_divergence_of_the_unit_normal_is_the_free_bits():
    mean, logvar = torch.zeros(3, 5), torch.zeros(3, 5)
    assert float(losses.divergence(mean, logvar, 0.0)) == pytest.approx(0.0)
    assert float(losses.divergence(mean, logvar, 0.1)) == pytest.approx(0.5)
    # mean 1: half a nat a dimension
    assert float(losses.divergence(mean + 1, logvar, 0.0)) == pytest.approx(2.5)


def test_contrast_is_least_where_a_galaxys_views_are_neighbours():
    latent = 3.0 * torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    own = losses.contrast_loss(latent, latent + 0.01, torch.tensor(0.0))
    others = losses.contrast_loss(latent, latent.roll(1, 0) + 0.01, torch.tensor(0.0))
    assert own < 0.1 < others
