# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the networks are built of."""

import torch
from torch import nn

BLOCK = 4


def conv(n_in, n_out, *, stride=1):
    """A 3 x 3 convolution with its batch normalisation."""
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out))


def posterior(values):
    """Mean and log-variance of the latents and the pose, from one vector with both."""
    mean, logvar = values.chunk(2, dim=1)
    return mean, logvar.clamp(-12.0, 4.0)


class PooledEncoder(nn.Module):
    """
    Layers, and the posterior from the means and the largest values of what they see.

    Parameters
    ----------
    layers : list of `torch.nn.Module`
    width : int
        Channels of the last one.
    config : `~galvae_affiliated.training.config.ModelConfig`
    """

    def __init__(self, layers, width, config):
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        self.n_latents = config.n_latents
        self.head = nn.Linear(2 * width, 2 * (config.n_latents + config.n_pose))

    def seen(self, x):
        """(N, 3, grid, grid) -> channels of the last stage."""
        return self.features(x)

    def forward(self, x):
        """(N, 3, grid, grid) -> mean and log-variance, each (N, n_latents + n_pose)."""
        return self.read(self.seen(x))

    def read(self, x):
        """Channels of the last stage -> mean and log-variance."""
        # the posterior is computed in full precision even where training runs in half of it
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
            return posterior(self.head(self.dropout(x)))


class StagedDecoder(nn.Module):
    """
    Latents and pose to a small image, and that through stages that double it.

    Subclasses have the ``layers`` of these stages, which begin with as many channels as the first
    of ``config.decoder_widths``.
    """

    def __init__(self, config):
        super().__init__()
        widths = config.decoder_widths
        self.base = config.grid // (BLOCK * 2 ** (len(widths) - 1))
        self.start = nn.Linear(config.n_latents + config.n_pose, widths[0] * self.base ** 2)

    def forward(self, latent, pose):
        """(N, n_latents), (N, n_pose) -> (N, 3, grid, grid)."""
        x = self.start(torch.cat([latent, pose], dim=1))
        return self.layers(x.unflatten(1, (-1, self.base, self.base)))
