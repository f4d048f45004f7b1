# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The noise of images."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from galvae_affiliated.training.networks.noise import noise_level  # noqa: E402


@pytest.mark.parametrize('sigma', [0.003, 0.05])
def test_the_noise_of_known_images(sigma):
    """A smooth galaxy is no noise."""
    x = np.arange(128) - 63.5
    light = 0.8 * np.exp(-(x[None] ** 2 + x[:, None] ** 2) / 800)
    noise = np.random.default_rng(0).normal(size=(2, 3, 128, 128)) * np.array([1.0, 2.0]).reshape(
        2, 1, 1, 1
    )
    images = light + sigma * noise
    level = noise_level(torch.from_numpy(images)).numpy()
    assert level.shape == (2, 3, 1, 1)
    assert np.allclose(level[0], sigma, rtol=0.05) and np.allclose(level[1], 2 * sigma, rtol=0.05)
