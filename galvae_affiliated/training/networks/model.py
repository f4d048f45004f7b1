# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Encoder, decoder and vote heads as one network, and its weights from a checkpoint."""

import torch
from torch import nn

from galvae_affiliated.training.checkpoints import read_checkpoint
from galvae_affiliated.training.networks.light import LightDecoder, LightEncoder
from galvae_affiliated.training.networks.residual import Decoder, Encoder
from galvae_affiliated.training.networks.vote_heads import VoteHeads
from galvae_affiliated.training.networks.xu2023 import XuDecoder, XuEncoder

__all__ = ['GalaxyVAE', 'load_weights']

# by ``ModelConfig.network``
NETWORKS = {
    'residual': (Encoder, Decoder),
    'light': (LightEncoder, LightDecoder),
    'xu2023': (XuEncoder, XuDecoder),
}


class GalaxyVAE(nn.Module):
    """
    Encoder, decoder, and the heads that guide the latents while they are learnt.

    Parameters
    ----------
    config : `~galvae_affiliated.training.config.ModelConfig`
    n_answers : list of int
        Answers of each question; empty for a network without vote heads.
    n_classes : int, optional
        Coarse classes; 0 for a network that is not guided by them.
    """

    def __init__(self, config, n_answers=(), n_classes=0):
        super().__init__()
        encoder, decoder = NETWORKS[config.network]
        self.encoder = encoder(config)
        self.decoder = decoder(config)
        self.heads = VoteHeads(config.n_latents, n_answers) if n_answers else None
        self.classes = nn.Linear(config.n_latents, n_classes) if n_classes else None
        self.n_latents = config.n_latents
        self.log_contrast = nn.Parameter(torch.tensor(0.0))


def load_weights(model, path):
    """
    Take what fits of a checkpoint's weights: all but the heads of other questions.

    Parameters
    ----------
    model : `GalaxyVAE`
        Is changed.
    path : str or path
        A checkpoint of ``galvae train``.

    Raises
    ------
    ValueError
        If the checkpoint is of another network.
    """
    saved = read_checkpoint(path)['state_dict']
    weights = {name.removeprefix('model.'): value for name, value in saved.items()
               if name.startswith('model.')}
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items()
               if name in own and own[name].shape == value.shape}
    if not any(name.startswith('encoder.') for name in fitting):
        raise ValueError(f'{path}: this checkpoint is of another network')
    model.load_state_dict(fitting, strict=False)
