# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How well images are decoded."""

import numpy as np
import torch
from skimage.metrics import structural_similarity

from galvae_affiliated.training.networks.noise import noise_level

__all__ = ['borrowed_texture', 'image_mse', 'image_ssim', 'noiseless_ssim']


def image_mse(decoded, images, weight=1.0):
    """
    Mean square residual of decoded images.

    Parameters
    ----------
    decoded, images : (N, 3, H, W) arrays
    weight : array that broadcasts to them, optional
        How much each pixel counts.

    Returns
    -------
    mse : float
    """
    weight = np.broadcast_to(weight, decoded.shape)
    return float((weight * (decoded - images) ** 2).sum() / weight.sum())


def image_ssim(decoded, images):
    """
    Mean structural similarity of composites in [0, 1].

    Parameters
    ----------
    decoded, images : (N, 3, H, W) arrays

    Returns
    -------
    ssim : float

    References
    ----------
    Wang, Z. et al. 2004, IEEE Trans. Image Processing 13, 600.
    """
    return float(np.mean([structural_similarity(a, b, channel_axis=0, data_range=1.0)
                          for a, b in zip(decoded, images)]))


def noiseless_ssim(clean, images, *, random_state=0):
    """
    Similarity of images with themselves under the noise of others: more than this is fitted noise.

    Parameters
    ----------
    clean, images : (N, 3, H, W) arrays
        Composites without noise, and those whose noise is measured.
    random_state : int, optional

    Returns
    -------
    ssim : float
    """
    level = noise_level(torch.from_numpy(images)).numpy()
    noise = level * np.random.default_rng(random_state).standard_normal(images.shape)
    return image_ssim(clean, np.clip(clean + noise, 0.0, 1.0).astype(clean.dtype))


def borrowed_texture(decoded, images):
    """
    Decoded images with what the decoder left out of other galaxies: a texture that is real.

    Each gets the residual of the galaxy next to it in brightness, turned by a quarter, which no
    latent of its own could tell. What looks like data cannot be more similar to them than this, in
    the mean, unless the texture is predicted.

    Parameters
    ----------
    decoded, images : (N, 3, H, W) arrays
        Square composites in [0, 1], of two galaxies or more.

    Returns
    -------
    composites : (N, 3, H, W) array

    Raises
    ------
    ValueError
        If there is one galaxy alone.
    """
    if len(decoded) < 2:
        raise ValueError(f'there is {len(decoded)} galaxy; expected two or more')
    order = np.argsort(decoded.mean(axis=(1, 2, 3)), kind='stable')
    other = np.empty_like(order)
    other[order] = [*order[1:], order[-2]]
    residual = (images - decoded)[other]
    return np.clip(decoded + np.rot90(residual, axes=(2, 3)), 0.0, 1.0)
