# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A decoder that draws what latents do not hold, and the network that judges what it draws."""

import torch
from torch import nn
from torch.nn import functional

from galvae_affiliated.training.networks.blocks import BLOCK
from galvae_affiliated.training.networks.light import LightDecoder, SeparableBlock

__all__ = ['Critic', 'Generator']

CRITIC_WIDTHS = (24, 48, 96, 128)  # channels; each stage sees half the pixels a side
LEAK = 0.2


class Generator(LightDecoder):
    """
    A light decoder with random numbers beside its latents.

    The place of each knot and the noise of the sky are not in the latents of a
    galaxy. They are drawn: each of the finest stage's pixels, which becomes 4 x
    4 of the image, has ``n_noise`` standard normal numbers. The same numbers
    give the same picture. Before training, the network gives what the decoder
    gives that it was made from, whatever the numbers are.

    Parameters
    ----------
    config : `~galvae_affiliated.training.config.ModelConfig`
    n_noise : int, optional
        Random numbers a pixel of the finest stage.
    """

    def __init__(self, config, n_noise=16):
        super().__init__(config)
        width = config.decoder_widths[-1]
        self.n_noise = n_noise
        self.side = config.grid // BLOCK
        # the coarser stages have theirs from the means of blocks of the same numbers
        self.mixers = nn.ModuleList(
            [nn.Conv2d(n_noise, n_out, 1, bias=False) for n_out in config.decoder_widths])
        for mixer in self.mixers:
            nn.init.zeros_(mixer.weight)
        self.texture = nn.Sequential(SeparableBlock(width), SeparableBlock(width))
        self.detail = nn.Conv2d(width, 3 * BLOCK ** 2, 1, bias=False)
        nn.init.zeros_(self.detail.weight)

    @property
    def noise_shape(self):
        """tuple: Of the random numbers of one image."""
        return self.n_noise, self.side, self.side

    def forward(self, latent, pose, noise):
        """(N, n_latents), (N, n_pose), (N, n_noise, grid / 4, grid / 4) -> (N, 3, grid, grid)."""
        x = self.start(torch.cat([latent, pose], dim=1))
        x = x.unflatten(1, (-1, self.base, self.base))
        stage = 0
        for layer in self.layers[:-2]:
            x = layer(x)
            # after what makes a stage's channels comes the noise of its pixels
            if isinstance(layer, nn.ReLU) and stage == 0 or isinstance(layer, nn.Upsample):
                x = x + self.mixers[stage](_at_side(noise, x.shape[-1]))
                stage += 1
        last, shuffle = self.layers[-2:]
        return shuffle(last(x) + self.detail(self.texture(x)))


def _at_side(noise, side):
    """Unit noise of a coarser grid: means of blocks, times the root of how many they are of."""
    step = noise.shape[-1] // side
    return noise if step == 1 else functional.avg_pool2d(noise, step) * step


class Critic(nn.Module):
    """
    How much each patch of an image looks like data, knowing the galaxy's latents.

    Without batch normalisation, so that an image is judged by itself.

    Parameters
    ----------
    n_latents : int
    widths : tuple of int, optional
    """

    def __init__(self, n_latents, widths=CRITIC_WIDTHS):
        super().__init__()
        stages, n_in = [], 3
        for width in widths:
            stages.append(nn.Conv2d(n_in, width, 4, 2, 1))
            n_in = width
        self.stages = nn.ModuleList(stages)
        self.last = nn.Conv2d(n_in, 1, 3, padding=1)
        self.match = nn.Linear(n_latents, n_in)

    def forward(self, images, latent):
        """
        Scores of patches, and the features that they were judged by.

        Returns
        -------
        scores : (N, 1, grid / 16, grid / 16) tensor
            More is likelier to be data.
        features : list of (N, C, H, W) tensors
        """
        features, x = [], images
        for stage in self.stages:
            x = functional.leaky_relu(stage(x), LEAK)
            features.append(x)
        wanted = self.match(latent)[:, :, None, None]
        joint = (wanted * x).mean(1, keepdim=True)
        return self.last(x) + joint, features
