# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The networks: encoder, decoder and vote heads."""

import torch
from torch import nn

from galvae_affiliated.training.networks.residual import Decoder, Encoder
from galvae_affiliated.training.networks.vote_heads import VoteHeads
from galvae_affiliated.training.networks.xu2023 import XuDecoder, XuEncoder

__all__ = ['GalaxyVAE']



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
    from galvae_affiliated.training.networks.light import LightDecoder, LightEncoder

    return {'residual': (Encoder, Decoder), 'light': (LightEncoder, LightDecoder),
            'xu2023': (XuEncoder, XuDecoder)}[name]
