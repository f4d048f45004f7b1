# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Textures that are borrowed from other galaxies."""

import numpy as np
import pytest

from galvae_affiliated.training.evaluate.images import borrowed_texture, image_mse

RNG = np.random.default_rng(0)


def test_a_borrowed_texture_has_the_scatter_of_the_data_and_is_not_their_own():
    decoded = np.broadcast_to(np.linspace(0.2, 0.6, 20)[:, None, None, None], (20, 3, 16, 16))
    images = decoded + 0.05 * RNG.standard_normal(decoded.shape)
    drawn = borrowed_texture(decoded, images)
    assert np.std(drawn - decoded) == pytest.approx(0.05, rel=0.05)
    # independent noise twice
    assert image_mse(drawn, images) == pytest.approx(2 * image_mse(decoded, images), rel=0.1)


def test_it_is_that_of_the_next_in_brightness_turned():
    decoded = np.zeros((3, 3, 4, 4)) + np.array([0.5, 0.1, 0.3])[:, None, None, None]
    images = decoded.copy()
    images[2, :, 0, 0] += 0.2  # its residual goes to the fainter galaxy and to the brightest
    residual = borrowed_texture(decoded, images) - decoded
    np.testing.assert_allclose(residual[:2, :, 3, 0], 0.2)
    assert np.count_nonzero(residual) == 6


def test_one_galaxy_has_no_other():
    with pytest.raises(ValueError, match='1 galaxy; expected two'):
        borrowed_texture(np.zeros((1, 3, 4, 4)), np.zeros((1, 3, 4, 4)))
