# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A decoder that draws what latents do not hold, and the network that judges what it draws."""

import torch
from torch import nn
from torch.nn import functional

from galvae_affiliated.training.networks.blocks import BLOCK
from galvae_affiliated.training.networks.light import LightDecoder

__all__ = ['Critic', 'Generator']

FINE_WIDTH = 16  # channels of the stage that the smooth decoder lacks, of 2 x 2 pixels
FINER = 2  # times as many pixels a side
CRITIC_WIDTHS = (24, 48, 96, 128)  # channels; each stage sees half the pixels a side
JUDGED = (1, 3)  # stages of the critic that say what they think: knots, and arms
LEAK = 0.2


class Generator(LightDecoder):
    """
    A light decoder with random numbers beside its latents, and details of its own.

    The place of each knot and the noise of the sky are not in the latents of a
    galaxy. They are drawn: each of the smooth decoder's finest pixels, which
    becomes 4 x 4 of the image, has ``n_noise`` standard normal numbers. The same numbers
    give the same picture. Details are made on a grid twice as fine as that one, and
    of what is around a pixel: blocks of 4 x 4 pixels would show. How strong they are is said by
    the latents and by the means of all numbers: one galaxy's sky is noisier than another's, and
    latents hold only a part of that. Before training, the network
    gives what the decoder gives that it was made from, whatever the numbers are.

    Parameters
    ----------
    config : `~galvae_affiliated.training.config.ModelConfig`
    n_noise : int, optional
        Random numbers a pixel of the smooth decoder's finest stage.
    """

    def __init__(self, config, n_noise=8):
        super().__init__(config)
        widths = config.decoder_widths
        self.n_noise = n_noise
        self.side = self.base * 2 ** (len(widths) - 1)
        # the coarser stages have theirs from the means of blocks of the same numbers
        self.mixers = nn.ModuleList(
            [nn.Conv2d(n_noise, n_out, 1, bias=False) for n_out in widths])
        for mixer in self.mixers:
            nn.init.zeros_(mixer.weight)
        # transposed convolutions here and for the blocks: convolutions whose pixels are shuffled
        # after them take ONNX Runtime twice the time
        self.finer = nn.ConvTranspose2d(widths[-1] + n_noise, FINE_WIDTH, FINER, FINER)
        self.detail = nn.ConvTranspose2d(FINE_WIDTH, 3, 4, 2, padding=1)
        self.part_widths = [*widths, FINE_WIDTH]
        self.gains = nn.Linear(config.n_latents + n_noise, sum(self.part_widths))
        for layer in (self.detail, self.gains):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def noise_shape(self):
        """tuple: Of the random numbers of one image."""
        return self.n_noise, self.side, self.side

    def fix_norms(self):
        """Batch normalisations as they are in use: a batch of drawn galaxies is small."""
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()

    def fix_blocks(self):
        """Keep what the smooth decoder makes 4 x 4 pixels of a block with: details are finer."""
        self.layers[-2].requires_grad_(False)

    def forward(self, latent, pose, noise):
        """(N, n_latents), (N, n_pose), (N, n_noise, grid / 4, grid / 4) -> (N, 3, grid, grid)."""
        x = self.start(torch.cat([latent, pose], dim=1))
        x = x.unflatten(1, (-1, self.base, self.base))
        gains, stage = self._gains(latent, noise), 0
        for layer in self.layers[:-2]:
            x = layer(x)
            # after what makes a stage's channels comes the noise of its pixels
            if isinstance(layer, nn.ReLU) and stage == 0 or isinstance(layer, nn.Upsample):
                x = x + gains[stage] * self.mixers[stage](_at_side(noise, x.shape[-1]))
                stage += 1
        fine = functional.leaky_relu(self.finer(torch.cat([x, noise], dim=1)), LEAK)
        return self._blocks(x) + self.detail(gains[-1] * fine)

    def _blocks(self, x):
        """What the last layers of the smooth decoder give: its convolution, and the shuffle."""
        last = self.layers[-2]
        weight = last.weight.flatten(1).T.unflatten(1, (-1, BLOCK, BLOCK))
        bias = last.bias.unflatten(0, (-1, BLOCK, BLOCK)).tile(1, self.side, self.side)
        return functional.conv_transpose2d(x, weight, stride=BLOCK) + bias

    def _gains(self, latent, noise):
        """(N, width, 1, 1) factors of the noise of each stage, and of the details."""
        gains = 1.0 + self.gains(torch.cat([latent, _at_side(noise, 1).flatten(1)], dim=1))
        return gains[:, :, None, None].split(self.part_widths, dim=1)


def _at_side(noise, side):
    """Unit noise of a coarser grid: means of blocks, times the root of how many they are of."""
    step = noise.shape[-1] // side
    return noise if step == 1 else functional.avg_pool2d(noise, step) * step


class Critic(nn.Module):
    """
    How much each patch of an image looks like data, knowing what it shall show.

    It sees the smooth decoder's picture beside the image, and judges at two
    scales. Without batch normalisation, so that an image is judged by itself.

    Parameters
    ----------
    n_latents : int
    widths : tuple of int, optional
    """

    def __init__(self, n_latents, widths=CRITIC_WIDTHS):
        super().__init__()
        stages, n_in = [], 6
        for width in widths:
            stages.append(nn.Conv2d(n_in, width, 4, 2, 1))
            n_in = width
        self.stages = nn.ModuleList(stages)
        self.verdicts = nn.ModuleList(
            [nn.Conv2d(widths[stage], 1, 3, padding=1) for stage in JUDGED])
        self.match = nn.Linear(n_latents, n_in)

    def forward(self, images, smooth, latent):
        """
        Scores of patches, and the features that they were judged by.

        Parameters
        ----------
        images, smooth : (N, 3, grid, grid) tensors
        latent : (N, n_latents) tensor

        Returns
        -------
        scores : list of (N, 1, H, W) tensors
            Of each scale; more is likelier to be data.
        features : list of (N, C, H, W) tensors
        """
        features, x = [], torch.cat([images, smooth], dim=1)
        for stage in self.stages:
            x = functional.leaky_relu(stage(x), LEAK)
            features.append(x)
        scores = [verdict(features[stage]) for verdict, stage in zip(self.verdicts, JUDGED)]
        wanted = self.match(latent)[:, :, None, None]
        scores[-1] = scores[-1] + (wanted * x).mean(1, keepdim=True)
        return scores, features
