# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How well images are decoded."""

import numpy as np
from skimage.metrics import structural_similarity

__all__ = ['noise_level']



def ssim_of(image, other):
    """Structural similarity of two (3, H, W) composites."""
    return structural_similarity(image, other, channel_axis=0, data_range=1.0)


def noise_level(images):
    """
    Standard deviation of the noise of each image and channel, by Immerkaer's (1996) second differences.

    Parameters
    ----------
    images : (N, 3, H, W) array

    Returns
    -------
    sigma : (N, 3, 1, 1) array
    """
    along = np.diff(np.diff(images, 2, axis=2), 2, axis=3)
    return np.sqrt(np.pi / 2) / 6.0 * np.abs(along).mean(axis=(2, 3), keepdims=True)


def noiseless_ssim(clean, images, *, random_state=0):
    """Mean SSIM of ``clean`` with itself under the noise of ``images``: more than this is fitting noise."""
    noise = noise_level(images) * np.random.default_rng(random_state).standard_normal(images.shape)
    noisy = np.clip(clean + noise, 0.0, 1.0).astype(clean.dtype)
    return float(np.mean([ssim_of(a, b) for a, b in zip(clean, noisy)]))
