# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Networks that cost a sixth of the residual ones: separable blocks, and halving first."""

import torch
from torch import nn
from torch.nn import functional

from galvae_affiliated.training.networks.blocks import BLOCK, PooledEncoder, StagedDecoder

__all__ = ['LightDecoder', 'LightEncoder', 'Modulation', 'SeparableBlock']

# pixels a side of a convolution of single channels; PyTorch has no fast gradient of a wider one
# on a CPU
REACH = 3
DECODER_DEPTHS = (1, 1, 2)  # blocks of a stage, from the coarsest
LOOK_WIDTH = 64  # numbers that say what an image looks like, for the gains of the blocks


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

    def forward(self, x, gain=None, offset=None):
        """(N, width, H, W), and optionally (N, width) factors less one and offsets, to the same."""
        y = self.first(self.around(x))
        if gain is not None:
            gain, offset = (1.0 + gain).to(y.dtype), offset.to(y.dtype)
            y = y * gain[:, :, None, None] + offset[:, :, None, None]
        y = self.second(functional.relu(y))
        return functional.relu(x + y)


class Modulation(nn.Module):
    """
    Gains and offsets of an encoder's blocks, from the look of the image (Perez et al. 2018).

    What one survey shows differs from another in what is the same all over an
    image: its bands, noise and sharpness. The means and scatters of the channels
    before the first block tell these apart, and what they say reaches every block.
    Before training, nothing changes.

    Parameters
    ----------
    width : int
        Channels before the first block.
    block_widths : sequence of int

    References
    ----------
    Perez, E. et al. 2018, AAAI (arXiv:1709.07871).
    """

    def __init__(self, width, block_widths):
        super().__init__()
        self.block_widths = list(block_widths)
        self.look = nn.Linear(2 * width, LOOK_WIDTH)
        self.gains = nn.Linear(LOOK_WIDTH, 2 * sum(self.block_widths))
        nn.init.zeros_(self.gains.weight)
        nn.init.zeros_(self.gains.bias)

    def forward(self, x):
        """(N, width, H, W) -> a (gain, offset) a block, each (N, width of the block)."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            mean = x.mean((2, 3))
            scatter = torch.sqrt((x * x).mean((2, 3)) - mean * mean + 1e-4)
            look = functional.relu(self.look(torch.cat([mean, scatter], dim=1)))
            both = self.gains(look).split(self.block_widths * 2, dim=1)
        n = len(self.block_widths)
        return list(zip(both[:n], both[n:]))


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
        self.modulation = None
        if config.modulated:
            repeated = [w for w, depth in zip(config.widths, config.depths) for _ in range(depth)]
            self.modulation = Modulation(repeated[0], repeated)

    def seen(self, x):
        """Channels of the last stage."""
        if self.modulation is None:
            return super().seen(x)
        gains = None
        for layer in self.features:
            if not isinstance(layer, SeparableBlock):
                x = layer(x)
                continue
            if gains is None:
                gains = iter(self.modulation(x))
            x = layer(x, *next(gains))
        return x


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
