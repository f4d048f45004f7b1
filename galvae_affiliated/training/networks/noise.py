# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The noise of images, from their pixels alone."""

import math

import torch
from torch.nn import functional

__all__ = ['noise_level']


def noise_level(images, weight=None):
    """
    Standard deviation of the noise of each image and channel, from second differences.

    A galaxy's smooth light cancels in them.

    Parameters
    ----------
    images : (N, 3, H, W) tensor
    weight : (H, W) tensor, optional
        How much each pixel counts; None takes all but those on the edge, past which
        nothing is known.

    Returns
    -------
    level : (N, 3, 1, 1) tensor

    References
    ----------
    Immerkaer, J. 1996, Computer Vision and Image Understanding 64, 300.
    """
    if weight is None:
        height, width = images.shape[2:]
        weight = functional.pad(images.new_ones(height - 2, width - 2), (1, 1, 1, 1))
    line = torch.tensor([1.0, -2.0, 1.0], dtype=images.dtype, device=images.device)
    kernel = torch.outer(line, line).expand(3, 1, 3, 3)
    rough = functional.conv2d(images, kernel, padding=1, groups=3).abs() * weight
    return math.sqrt(math.pi / 2) / 6.0 * rough.sum((2, 3), keepdim=True) / weight.sum()
