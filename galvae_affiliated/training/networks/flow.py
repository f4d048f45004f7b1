# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A decoder that turns noise into details, in a few steps or in one."""

import math

import torch
from torch import nn
from torch.nn import functional

from galvae_affiliated.training.networks.blocks import BLOCK

__all__ = ['FlowGenerator']

WIDTHS = (64, 112, 160)  # channels of the stages, of blocks of 4 x 4 pixels and coarser
DEPTH = 2  # blocks of a stage, on the way down and up again
EXPANSION = 2
STATE_WIDTH = 128  # numbers that say which galaxy it is, and how far its picture has come
WAVES = 16  # by which a time is told


class FlowGenerator(nn.Module):
    """
    The smooth picture of latents, and details that begin as noise.

    The mean velocity at which noise becomes details is learnt between any two times (Geng et al.
    2025): where both are the same, that is flow matching (Lipman et al. 2023), and the way from 1,
    noise, to 0, details, may be made in as many steps as one likes, or in one. Details are what
    an image has beyond the picture of the smooth decoder, over ``scale``. The network sees
    blocks of 4 x 4 pixels as channels, as the encoder does.

    Parameters
    ----------
    config : `~galvae_affiliated.training.config.ModelConfig`
        ``flow_steps`` of the way are made when a picture is drawn.
    decoder : `~galvae_affiliated.training.networks.light.LightDecoder` or other
        The smooth one.
    scale : float
        Standard deviation of what images have beyond its pictures.

    References
    ----------
    Geng, Z. et al. 2025, arXiv:2505.13447. Lipman, Y. et al. 2023, ICLR (arXiv:2210.02747).
    """

    def __init__(self, config, decoder, scale):
        super().__init__()
        self.decoder = decoder.requires_grad_(False)
        self.n_steps = config.flow_steps
        self.side = config.grid // BLOCK
        self.register_buffer('scale', torch.tensor(float(scale)))
        n_pixel, n_code = 3 * BLOCK ** 2, config.n_latents + config.n_pose
        self.register_buffer('waves', torch.exp(torch.linspace(0.0, math.log(100.0), WAVES)))
        self.state = nn.Sequential(nn.Linear(n_code + 4 * WAVES, STATE_WIDTH), nn.SiLU(),
                                   nn.Linear(STATE_WIDTH, STATE_WIDTH), nn.SiLU())
        self.enter = nn.Conv2d(2 * n_pixel, WIDTHS[0], 1)
        self.down = nn.ModuleList([_stage(width) for width in WIDTHS])
        self.coarser = nn.ModuleList(
            [nn.Conv2d(fine, coarse, 2, 2) for fine, coarse in zip(WIDTHS, WIDTHS[1:])])
        self.finer = nn.ModuleList(
            [nn.ConvTranspose2d(coarse, fine, 2, 2) for fine, coarse in zip(WIDTHS, WIDTHS[1:])])
        self.up = nn.ModuleList([_stage(width) for width in WIDTHS[:-1]])
        self.leave = nn.Conv2d(WIDTHS[0] + 2 * n_pixel, n_pixel, 1)

    @property
    def noise_shape(self):
        """tuple: Of the random numbers of one image: as many as it has values."""
        return 3 * BLOCK ** 2, self.side, self.side

    def forward(self, latent, pose, noise):
        """(N, n_latents), (N, n_pose), (N, 48, grid / 4, grid / 4) -> (N, 3, grid, grid)."""
        smooth = self.decoder(latent, pose)
        seen, code = self.as_blocks(smooth), torch.cat([latent, pose], dim=1)
        times = torch.linspace(1.0, 0.0, self.n_steps + 1).tolist()
        x = noise
        for start, end in zip(times, times[1:]):
            until, since = (torch.full_like(latent[:, 0], time) for time in (end, start))
            x = x - (start - end) * self.velocity(x, until, since, code, seen)
        return smooth + self.scale * functional.pixel_shuffle(x, BLOCK)

    def as_blocks(self, images):
        """(N, 3, grid, grid) -> (N, 48, grid / 4, grid / 4)."""
        return functional.pixel_unshuffle(images, BLOCK)

    def velocity(self, x, until, since, code, smooth):
        """
        Mean velocity of details between two times.

        Parameters
        ----------
        x : (N, 48, grid / 4, grid / 4) tensor
            Details and noise at the time ``since``.
        until, since : (N,) tensors
            0 for details alone, 1 for noise alone.
        code : (N, n_latents + n_pose) tensor
        smooth : (N, 48, grid / 4, grid / 4) tensor
            Picture of the smooth decoder.

        Returns
        -------
        velocity : (N, 48, grid / 4, grid / 4) tensor
        """
        angle = torch.cat([time[:, None] * self.waves for time in (since, since - until)], dim=1)
        state = self.state(torch.cat([code, angle.sin(), angle.cos()], dim=1))
        given = torch.cat([x, smooth], dim=1)
        y, kept = self.enter(given), []
        for stage, blocks in enumerate(self.down):
            if stage:
                kept.append(y)
                y = self.coarser[stage - 1](y)
            y = _through(blocks, y, state)
        for blocks, finer in zip(reversed(self.up), reversed(self.finer)):
            y = _through(blocks, finer(y) + kept.pop(), state)
        return self.leave(torch.cat([y, given], dim=1))


def _stage(width):
    return nn.ModuleList([_GuidedBlock(width) for _ in range(DEPTH)])


def _through(blocks, x, state):
    for block in blocks:
        x = block(x, state)
    return x


class _GuidedBlock(nn.Module):
    """A look around in each channel, and a mixture of them that follows the state."""

    def __init__(self, width):
        super().__init__()
        self.around = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.guide = nn.Linear(STATE_WIDTH, 2 * width)
        self.first = nn.Conv2d(width, EXPANSION * width, 1)
        self.second = nn.Conv2d(EXPANSION * width, width, 1)
        for layer in (self.guide, self.second):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x, state):
        gain, offset = self.guide(state)[:, :, None, None].chunk(2, dim=1)
        y = (1.0 + gain) * self.around(x) + offset
        return x + self.second(functional.silu(self.first(y)))
