# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The networks: encoder, decoder and vote heads."""

import torch
from torch import nn
from torch.nn import functional

__all__ = ['Decoder', 'Encoder', 'GalaxyVAE', 'VoteHeads', 'XuDecoder', 'XuEncoder']

BLOCK = 4
XU_SIDE, XU_WIDTHS, XU_BASE = 256, (32, 64, 128), 4


def conv(n_in, n_out, *, stride=1):
    """A 3 x 3 convolution with its batch normalisation."""
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out))


class ResidualBlock(nn.Module):
    """Two convolutions around a shortcut; the first may halve the image."""

    def __init__(self, n_in, n_out, *, stride=1):
        super().__init__()
        self.first = conv(n_in, n_out, stride=stride)
        self.second = conv(n_out, n_out)
        self.shortcut = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                                          nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x):
        y = self.second(functional.relu(self.first(x)))
        return functional.relu(y + self.shortcut(x))


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
    config : `~galvae_affiliated.training.TrainingConfig`
    """

    def __init__(self, layers, width, config):
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        self.n_latents = config.n_latents
        self.head = nn.Linear(2 * width, 2 * (config.n_latents + config.n_pose))

    def forward(self, x):
        """(N, 3, grid, grid) -> mean and log-variance, each (N, n_latents + n_pose)."""
        x = self.features(x)
        # the posterior is computed in full precision even where training runs in half of it
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
            return posterior(self.head(self.dropout(x)))


class StagedDecoder(nn.Module):
    """
    Latents and pose to a small image, and that through stages that double it.

    Subclasses have the ``layers`` of these stages, which begin with as many channels as the first of
    ``config.decoder_widths``.
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
            layers += [ResidualBlock(n_in, width, stride=1 if i == 0 else 2), ResidualBlock(width, width)]
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

    Their last ReLU is left out: an image of which the mean was taken off has values below zero.
    """

    def __init__(self, config):
        super().__init__()
        self.start = nn.Linear(config.n_latents + config.n_pose, XU_WIDTHS[-1] * XU_BASE ** 2)
        widths = (*XU_WIDTHS[::-1], XU_WIDTHS[0])
        layers = []
        for n_in, n_out in zip(widths, widths[1:]):
            layers += [nn.Upsample(scale_factor=2),
                       nn.ConvTranspose2d(n_in, n_out, 3, 2, padding=1, output_padding=1), nn.LeakyReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, padding=1),
                                    nn.AvgPool2d(XU_SIDE // config.grid))

    def forward(self, latent, pose):
        """(N, n_latents), (N, n_pose) -> (N, 3, grid, grid)."""
        x = self.start(torch.cat([latent, pose], dim=1))
        return self.layers(x.unflatten(1, (-1, XU_BASE, XU_BASE)))


class VoteHeads(nn.Module):
    """
    Latents to the vote fractions of every question.

    Parameters
    ----------
    n_latents : int
        Length of the latent vector.
    n_answers : list of int
        Answers of each question; the fractions of a question sum to one.
    """

    def __init__(self, n_latents, n_answers, *, hidden=128, dropout=0.1):
        super().__init__()
        self.n_answers = list(n_answers)
        self.layers = nn.Sequential(nn.Linear(n_latents, hidden), nn.ReLU(), nn.Dropout(dropout),
                                    nn.Linear(hidden, sum(self.n_answers)))

    def log_fractions(self, latent):
        """List of (N, n_answers) log-fractions, a question each."""
        with torch.autocast(latent.device.type, enabled=False):
            logits = self.layers(latent)
        return [functional.log_softmax(x, dim=1) for x in logits.split(self.n_answers, dim=1)]

    def forward(self, latent):
        return torch.cat([x.exp() for x in self.log_fractions(latent)], dim=1)


class GalaxyVAE(nn.Module):
    """Encoder, decoder, and the heads that guide the latents while they are learnt."""

    def __init__(self, config, n_answers, n_classes=0):
        super().__init__()
        encoder, decoder = network_classes(config.network)
        self.encoder, self.decoder = encoder(config), decoder(config)
        self.heads = VoteHeads(config.n_latents, n_answers) if n_answers else None
        self.classes = nn.Linear(config.n_latents, n_classes) if n_classes else None
        self.n_latents = config.n_latents
        self.log_contrast = nn.Parameter(torch.tensor(0.0))


def network_classes(name):
    """The classes of the encoder and of the decoder of a ``TrainingConfig.network``."""
    # the light network is built of this module's parts
    from galvae_affiliated.training.light import LightDecoder, LightEncoder

    return {'residual': (Encoder, Decoder), 'light': (LightEncoder, LightDecoder),
            'xu2023': (XuEncoder, XuDecoder)}[name]
