# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies whose votes follow from their latents."""

import numpy as np
import torch

from galvae_affiliated.training.heads.labelled import LabelledLatents

QUESTIONS = ('shape', 'arms')
N, N_LATENTS, VOLUNTEERS = 600, 6, 40
QUICK = {'n_members': 2, 'steps': 120}


def draw(rng, fractions, n_votes=VOLUNTEERS):
    """Fractions among some volunteers."""
    return (rng.multinomial(n_votes, fractions) / n_votes).astype(np.float32)


def softmax(x):
    x = np.exp(x - x.max(1, keepdims=True))
    return x / x.sum(1, keepdims=True)


def make(n=N, random_state=0, shift=0.0, scatter=None):
    """Galaxies whose votes follow from their latents; ``shift`` makes arms rarer than these say."""
    rng = np.random.default_rng(random_state)
    latent = rng.standard_normal((n, N_LATENTS)).astype(np.float32)
    shape = softmax(latent[:, :3] * 2.0)
    arms = softmax(np.stack([2.0 * latent[:, 3] - shift, -2.0 * latent[:, 3]], 1))
    if scatter:
        arms = np.stack([rng.dirichlet(scatter * p + 1e-6) for p in arms])
    fractions = [torch.from_numpy(draw(rng, shape)), torch.from_numpy(draw(rng, arms))]
    # a quarter was not asked of arms
    asked = torch.from_numpy(np.where(np.arange(n) % 4, 1.0, 0.0).astype(np.float32))
    none = torch.zeros(n, dtype=torch.bool)
    fractions[1] = fractions[1] * asked[:, None]
    error = torch.full((n, N_LATENTS), 0.05)
    weights = [torch.ones(n), asked]
    return LabelledLatents(
        torch.from_numpy(latent), error, fractions, weights, none, none, QUESTIONS
    )


def true_fractions(data):
    """The fractions from which votes were drawn."""
    latent = data.latent.numpy()
    arms = np.stack([2.0 * latent[:, 3], -2.0 * latent[:, 3]], 1)
    return [torch.from_numpy(softmax(x)) for x in (2.0 * latent[:, :3], arms)]
