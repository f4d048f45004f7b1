# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Networks that cost a sixth of the residual ones: separable blocks, and halving first."""

from torch import nn
from torch.nn import functional

from galvae_affiliated.training.networks.blocks import BLOCK, PooledEncoder, StagedDecoder

__all__ = ['LightDecoder', 'LightEncoder', 'SeparableBlock']

# pixels a side of a convolution of single channels; PyTorch has no fast gradient of a wider one
# on a CPU
REACH = 3
DECODER_DEPTHS = (1, 1, 2)  # blocks of a stage, from the coarsest


def _pointwise(n_in, n_out):
    """A 1 x 1 convolution with its batch normalisation."""
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out))


class SeparableBlock(nn.Module):
    """
    What a residual block of two 3 x 3 convolutions does, for an eighth of its multiply-adds.

    A convolution a channel looks around, two of single pixels mix the channels (Howard et al.
    2017).

    References
    ----------
    Howard, A. et al. 2017, arXiv:1704.04861.
    """

    def __init__(self, width):
        super().__init__()
        around = nn.Conv2d(width, width, REACH, padding=REACH // 2, groups=width, bias=False)
        self.around = nn.Sequential(around, nn.BatchNorm2d(width))
        self.first = _pointwise(width, width)
        self.second = _pointwise(width, width)

    def forward(self, x):
        y = self.second(functional.relu(self.first(self.around(x))))
        return functional.relu(x + y)


class LightEncoder(PooledEncoder):
    """
    Normalised image to the parameters of the posterior.

    Blocks of 4 x 4 pixels are one pixel of the first stage, as in
    `~galvae_affiliated.training.networks.residual.Encoder`.
    """

    def __init__(self, config):
        n_in, layers = 3, []
        for i, (width, depth) in enumerate(zip(config.widths, config.depths)):
            step = BLOCK if i == 0 else 2
            halving = nn.Conv2d(n_in, width, step, step, bias=False)
            layers += [halving, nn.BatchNorm2d(width), nn.ReLU()]
            layers += [SeparableBlock(width) for _ in range(depth)]
            n_in = width
        super().__init__(layers, n_in, config)


class LightDecoder(StagedDecoder):
    """Latents and pose to the image, in the frame that the encoder reads."""

    def __init__(self, config):
        super().__init__(config)
        widths = config.decoder_widths
        layers = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for i, width in enumerate(widths):
            if i:
                # mixed before they are doubled: pixels cost four times as much after it
                mixed = _pointwise(widths[i - 1], width)
                layers += [mixed, nn.ReLU(), nn.Upsample(scale_factor=2)]
            depth = DECODER_DEPTHS[min(i, len(DECODER_DEPTHS) - 1)]
            layers += [SeparableBlock(width) for _ in range(depth)]
        layers += [nn.Conv2d(widths[-1], 3 * BLOCK ** 2, 1), nn.PixelShuffle(BLOCK)]
        self.layers = nn.Sequential(*layers)
