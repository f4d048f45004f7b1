# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The networks of Xu et al. (2023)."""

import torch
from torch import nn

from galvae_affiliated.training.networks.blocks import posterior

__all__ = ['XuDecoder', 'XuEncoder']

XU_SIDE = 256  # pixels that the network reads
XU_WIDTHS = (32, 64, 128)
XU_BASE = 4  # pixels of the smallest images


class XuEncoder(nn.Module):
    """
    The encoder of Xu et al. (2023): three convolutions, each halving twice, and one flat layer.

    As they publish it, on 256 pixels a side, to which the image is enlarged.

    References
    ----------
    Xu, Q. et al. 2023, MNRAS 526, 6391.
    """

    def __init__(self, config):
        super().__init__()
        layers = [nn.Upsample(scale_factor=XU_SIDE // config.grid, mode='bilinear')]
        for n_in, n_out in zip((3, *XU_WIDTHS), XU_WIDTHS):
            layers += [nn.Conv2d(n_in, n_out, 3, 2, 1), nn.MaxPool2d(2), nn.LeakyReLU()]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.n_latents = config.n_latents
        self.head = nn.Linear(XU_WIDTHS[-1] * XU_BASE ** 2, 2 * (config.n_latents + config.n_pose))

    def forward(self, x):
        """(N, 3, grid, grid) -> mean and log-variance, each (N, n_latents + n_pose)."""
        x = self.features(x)
        with torch.autocast(x.device.type, enabled=False):
            return posterior(self.head(x.float()))


class XuDecoder(nn.Module):
    """
    The decoder of Xu et al. (2023), its 256 pixels a side averaged to the grid.

    Their last ReLU is left out: an image less its mean has values below zero.
    """

    def __init__(self, config):
        super().__init__()
        self.start = nn.Linear(config.n_latents + config.n_pose, XU_WIDTHS[-1] * XU_BASE ** 2)
        widths = (*XU_WIDTHS[::-1], XU_WIDTHS[0])
        layers = []
        for n_in, n_out in zip(widths, widths[1:]):
            doubling = nn.ConvTranspose2d(n_in, n_out, 3, 2, padding=1, output_padding=1)
            layers += [nn.Upsample(scale_factor=2), doubling, nn.LeakyReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, padding=1),
                                    nn.AvgPool2d(XU_SIDE // config.grid))

    def forward(self, latent, pose):
        """(N, n_latents), (N, n_pose) -> (N, 3, grid, grid)."""
        x = self.start(torch.cat([latent, pose], dim=1))
        return self.layers(x.unflatten(1, (-1, XU_BASE, XU_BASE)))
