# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The one place where a training run's numbers have their defaults."""

from dataclasses import dataclass

__all__ = ['TrainingConfig']


@dataclass(frozen=True)
class TrainingConfig:
    """
    Everything that decides how a model is trained.

    Lengths in the image plane are in pixels of the model's grid.

    Attributes
    ----------
    n_latents, n_pose : int
        Length of the morphology vector and of the pose vector. Pose is what a
        rotation, flip, shift or zoom of the image changes; two views of a
        galaxy share their latents and differ in pose.
    grid : int
        Side of the square image that the encoder reads.
    widths : tuple of int
        Channels of the encoder's stages, from the finest to the coarsest.
    decoder_widths : tuple of int
        Channels of the decoder's stages, from the coarsest to the finest.
    batch_size : int
        Galaxies a step; each is seen in two views.
    labelled_share : float
        Share of a batch drawn from the galaxies with votes.
    steps : int
        Optimiser steps of the whole run.
    learning_rate, weight_decay, warmup_share, ema_decay : float
        AdamW with a linear warm-up and a cosine decay; the weights that are
        exported are an exponential moving average.
    reconstruction_weight : float
        Weight of the mean square residual, in units of the noise it is expected to have.
    beta, pose_beta, free_bits : float
        Weight of the Kullback-Leibler divergence, a nat, for latents and pose,
        and the nats a dimension that cost nothing.
    votes_weight, class_weight, contrast_weight : float
        Weights of the vote likelihood, of the coarse class and of telling a
        galaxy's second view from the other galaxies of the batch.
    max_shift, max_zoom, colour_jitter, sky_jitter, noise : float
        Strength of the augmentation: pixels, natural logarithm of the factor,
        the same for the colours, and additive levels of the [0, 1] composite.
    dropout : float
        Dropout before the latents.
    seed : int
        Seeds the weights, the order of the galaxies and every augmentation.
    """

    n_latents: int = 40
    n_pose: int = 8
    grid: int = 128
    widths: tuple[int, ...] = (48, 96, 192)
    decoder_widths: tuple[int, ...] = (160, 96, 64)
    batch_size: int = 64
    labelled_share: float = 0.5
    steps: int = 3600
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_share: float = 0.04
    ema_decay: float = 0.998
    beta: float = 1e-3
    pose_beta: float = 1e-3
    free_bits: float = 0.05
    reconstruction_weight: float = 1.0
    votes_weight: float = 0.5
    class_weight: float = 0.2
    contrast_weight: float = 0.1
    max_shift: float = 4.0
    max_zoom: float = 0.15
    colour_jitter: float = 0.08
    sky_jitter: float = 0.02
    noise: float = 0.02
    dropout: float = 0.1
    seed: int = 20230
