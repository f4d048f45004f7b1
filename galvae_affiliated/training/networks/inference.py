# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents and images of a trained network, by PyTorch."""

import numpy as np
import torch

__all__ = ['encode_rows', 'posteriors', 'reconstruct']

BATCH = 128


@torch.no_grad()
def posteriors(model, preprocess, galaxies, rows, *, change=None):
    """
    Encode galaxies of a set, in batches.

    Parameters
    ----------
    model : `~galvae_affiliated.training.networks.model.GalaxyVAE`
    preprocess : `~galvae_affiliated.training.networks.preprocess.Preprocess`
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`
    rows : (N,) int array
    change : callable, optional
        Of composites to the view of them that is encoded.

    Returns
    -------
    latent, error : (N, n_latents) tensors
        Mean and standard deviation.
    """
    n, parts = model.n_latents, []
    for some in np.array_split(rows, 1 + len(rows) // BATCH):
        composites = galaxies.composites(some)
        composites = composites if change is None else change(composites)
        mean, logvar = model.encoder(preprocess(composites)[1])
        parts.append((mean[:, :n], torch.exp(0.5 * logvar[:, :n])))
    return [torch.cat(part) for part in zip(*parts)]


@torch.inference_mode()
def encode_rows(model, preprocess, composites):
    """
    Encode composites, in batches.

    Parameters
    ----------
    model : `~galvae_affiliated.training.networks.model.GalaxyVAE`
    preprocess : `~galvae_affiliated.training.networks.preprocess.Preprocess`
    composites : (N, 3, grid, grid) tensor in [0, 1]

    Returns
    -------
    latent, pose : (N, n_latents), (N, n_pose) tensors
    frame, weight : (N, 3, grid, grid) tensors
        What the network saw, and what of it counts.
    """
    parts = []
    for batch in composites.split(BATCH):
        frame, normalised, weight = preprocess(batch)
        mean, _ = model.encoder(normalised)
        n = model.n_latents
        parts.append((mean[:, :n], mean[:, n:], frame, weight))
    return [torch.cat(p) for p in zip(*parts)]


@torch.inference_mode()
def reconstruct(model, preprocess, latent, pose, frame, weight):
    """Decoded images, frames and weights of what `encode_rows` gives, as arrays in [0, 1]."""
    batches = zip(latent.split(BATCH), pose.split(BATCH))
    decoded = torch.cat([model.decoder(*batch) for batch in batches])
    return preprocess.composite(decoded).numpy(), frame.numpy(), weight.numpy()
