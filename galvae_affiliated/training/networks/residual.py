# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The residual encoder and decoder."""

from torch import nn
from torch.nn import functional

from galvae_affiliated.training.networks.blocks import BLOCK, PooledEncoder, StagedDecoder, conv

__all__ = ['Decoder', 'Encoder']


class _ResidualBlock(nn.Module):
    """Two convolutions around a shortcut; the first may halve the image."""

    def __init__(self, n_in, n_out, *, stride=1):
        super().__init__()
        self.first = conv(n_in, n_out, stride=stride)
        self.second = conv(n_out, n_out)
        self.shortcut = nn.Identity()
        if stride != 1 or n_in != n_out:
            pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
            mixed = nn.Conv2d(n_in, n_out, 1, bias=False)
            self.shortcut = nn.Sequential(pool, mixed, nn.BatchNorm2d(n_out))

    def forward(self, x):
        y = self.second(functional.relu(self.first(x)))
        return functional.relu(y + self.shortcut(x))


class Encoder(PooledEncoder):
    """
    Normalised image to the parameters of the posterior.

    Blocks of 4 x 4 pixels become channels before the first convolution: a
    network spends nearly all its multiply-adds at its finest grid, and a
    quarter of 128 pixels is fine enough for arms and bars.
    """

    def __init__(self, config):
        n_in = config.widths[0]
        layers = [nn.PixelUnshuffle(BLOCK), conv(3 * BLOCK ** 2, n_in), nn.ReLU()]
        for i, width in enumerate(config.widths):
            layers += [_ResidualBlock(n_in, width, stride=1 if i == 0 else 2),
                       _ResidualBlock(width, width)]
            n_in = width
        super().__init__(layers, n_in, config)


class Decoder(StagedDecoder):
    """Latents and pose to the image, in the frame that the encoder reads."""

    def __init__(self, config):
        super().__init__(config)
        widths = config.decoder_widths
        layers = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for n_in, n_out in zip(widths, widths[1:]):
            layers += [nn.Upsample(scale_factor=2), conv(n_in, n_out), nn.ReLU()]
        layers += [nn.Conv2d(widths[-1], 3 * BLOCK ** 2, 3, 1, 1), nn.PixelShuffle(BLOCK)]
        self.layers = nn.Sequential(*layers)
