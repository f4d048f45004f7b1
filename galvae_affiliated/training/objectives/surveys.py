# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents that hold whatever survey shows a galaxy: in grey, blurred, faint, at another scale."""

import copy

import numpy as np
import torch

from galvae_affiliated.models.registry import get_model
from galvae_affiliated.training.data.augment import random_view
from galvae_affiliated.training.data.dataset import as_composites, vote_tensors
from galvae_affiliated.training.data.degrade import survey_view
from galvae_affiliated.training.data.labels import no_votes
from galvae_affiliated.training.data.other_surveys import draw_others
from galvae_affiliated.training.networks.from_bundle import network_of_bundle
from galvae_affiliated.training.networks.inference import encode_rows, posteriors
from galvae_affiliated.training.networks.vote_heads import vote_loss
from galvae_affiliated.training.objectives import losses
from galvae_affiliated.training.objectives.alignment import LatentMemory, weighted_mmd
from galvae_affiliated.training.objectives.vae import VAEObjective

__all__ = ['SurveyViews']

FIRST_IMAGES = 1024  # of which batch normalisations and the whitening have their first statistics
OTHERS_SHARE = 6  # galaxies of the labelled survey for one of each other survey, in a batch
REMEMBERED = 512  # latents of each survey that later batches are compared with
LOG_CONTRAST = -2.0  # at the start, of the factor on squared distances; 2 a latent are usual
HEADS_STEPS, HEADS_RATE = 150, 3e-3  # of heads, before the encoder learns from them
LEAST_VARIANCE = 1e-4  # of the largest, in any direction, before it is scaled to one
COVARIANCE_SHARE = 0.02  # of a batch in the running covariance of the latents


class SurveyViews(VAEObjective):
    """
    The loss of a network that keeps the latents of another, and gives them for worse images too.

    Each galaxy is seen twice: in its own survey, and as another would show it
    (`~galvae_affiliated.training.data.degrade.survey_view`). Both have to give
    the posterior that the ``anchor`` gives of the galaxy's own view, whose
    errors may grow where the other view no longer shows what is asked; the
    votes, which stay those of the good image; and latents that are nearer to
    each other than to other galaxies', in whitened latents, where every
    direction counts as users compare them. Galaxies of other surveys, of which
    a teacher may predict votes, are seen twice as well, and the distributions
    of the surveys' latents are drawn together by their maximum mean
    discrepancy (Xu et al. 2023), within kinds: a survey that has more spirals
    keeps them. With no weight of the reconstruction the decoder stays the
    anchor's.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
        With ``anchor``, the bundle.
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`
        And those of other surveys, if there are any.

    References
    ----------
    Xu, Q. et al. 2023, MNRAS 526, 6391.
    """

    def __init__(self, config, galaxies):
        super().__init__(config.replaced(views=1), galaxies)
        anchor = get_model(config.training.anchor)
        own = config.model
        if (anchor.grid, anchor.n_latents, anchor.n_pose) != (own.grid, own.n_latents, own.n_pose):
            raise ValueError(f'{anchor.id} has a grid of {anchor.grid} pixels, {anchor.n_latents} '
                             f'latents and {anchor.n_pose} of pose; the configuration asks for '
                             f'{own.grid}, {own.n_latents} and {own.n_pose}')
        rows = galaxies.train[:: max(len(galaxies.train) // FIRST_IMAGES, 1)]
        composites = galaxies.composites(rows)
        network = network_of_bundle(anchor, composites)
        latent = encode_rows(network, self.preprocess, composites)[0]
        self.register_buffer('latent_mean', latent.mean(0))
        self.register_buffer('covariance', torch.cov(latent.T))
        network = network.to(memory_format=torch.channels_last)
        # in a tuple it is no part of this module: not learnt, not averaged, not in its checkpoints
        self.anchor = (copy.deepcopy(network.encoder).requires_grad_(False),)
        # gains that the anchor lacks start where they change nothing
        self.model.encoder.load_state_dict(network.encoder.state_dict(), strict=False)
        self.model.decoder.load_state_dict(network.decoder.state_dict())
        self.has_decoder = config.loss.reconstruction_weight > 0
        self.model.decoder.requires_grad_(self.has_decoder)
        if self.model.heads:
            self._fit_heads(network, galaxies)
        self.model.log_contrast.data.fill_(LOG_CONTRAST)
        self.others = galaxies.other_surveys
        self.other_votes = [
            vote_tensors(other.votes or no_votes(galaxies.votes, len(other.images)))
            for other in self.others]
        self.memories = [LatentMemory(REMEMBERED) for _ in range(1 + len(self.others))]
        self.is_aligned = any(other.is_aligned for other in self.others)

    def _fit_heads(self, network, galaxies):
        """Heads for the latents as they are: a bundle's own are of another kind, and are fixed."""
        rows = np.intersect1d(galaxies.voted, galaxies.train)
        latent = posteriors(network, self.preprocess, galaxies, rows)[0]
        fractions, weights = galaxies.vote_tensors(rows)
        optimizer = torch.optim.AdamW(self.model.heads.parameters(), HEADS_RATE)
        for _ in range(HEADS_STEPS):
            optimizer.zero_grad()
            vote_loss(self.model.heads.log_fractions(latent), fractions, weights).backward()
            optimizer.step()

    def training_step(self, batch, _):
        images, rows = batch
        rows = rows.cpu()
        number = self.batch_number
        torch.manual_seed(self.batch_seed(number))
        generator = torch.Generator().manual_seed(self.batch_seed(number))
        drawn = list(draw_others(self.others, len(rows) // OTHERS_SHARE, generator))
        sets = [images.cpu(), *(drawn_images for drawn_images, _ in drawn)]
        everything = as_composites(torch.cat(sets))
        view, clean = random_view(everything, self.config.augmentation, generator)
        other_view, target = survey_view(everything, self.config.augmentation, generator)
        n, n_own = len(everything), len(rows)
        with torch.no_grad():
            known = self.anchor[0].to(self.device)(
                self._seen(torch.cat([clean[:n_own], target[:n_own]])))
        mean, logvar = self.model.encoder(self._seen(torch.cat([view, other_view])))
        latent, pose = self.split_code(mean)
        terms = self._distil_losses(known, mean, logvar, n)
        terms['pose_kl'] = losses.divergence(pose, self.split_code(logvar)[1],
                                             self.config.loss.free_bits)
        mse = torch.tensor(torch.nan)
        if self.has_decoder:
            _, target, _ = self.preprocess(target.to(self.device))
            terms['rec'], mse = self.residual_loss(self.model.decoder(latent[:n], pose[n:]),
                                                   target)
        terms |= self._answer_losses(latent, rows, [drawn_rows for _, drawn_rows in drawn])
        both = torch.cat([latent[:n_own], latent[n:n + n_own]])
        terms |= self.class_losses(both, rows.repeat(2))
        with torch.autocast(self.device.type, enabled=False):
            self._follow_covariance(latent[:n_own].detach())
            white = self._whitened(latent)
            terms['identity'] = losses.contrast_loss(white[:n], white[n:],
                                                     self.model.log_contrast)
            if self.is_aligned:
                terms['alignment'] = self._alignment_loss(white, latent, [len(s) for s in sets])
        return self.weighted_sum(terms, mse)

    def _seen(self, composites):
        """What the encoder reads of composites."""
        _, normalised, _ = self.preprocess(composites.to(self.device))
        return normalised.contiguous(memory_format=torch.channels_last)

    def _distil_losses(self, known, mean, logvar, n):
        """
        How far both views' posteriors are from the anchor's.

        The anchor's latents are those of the galaxy's own view, the pose is each view's own.
        """
        n_own = len(known[0]) // 2
        own, other = slice(0, n_own), slice(n, n + n_own)
        (latent, pose), (spread, pose_spread) = map(self.split_code, (known[0], known[1]))
        told = (torch.cat([latent[:n_own], pose[n_own:]], dim=1),
                torch.cat([spread[:n_own], pose_spread[n_own:]], dim=1))
        return {
            'distil': losses.posterior_divergence(known[0][:n_own], known[1][:n_own],
                                                  mean[own], logvar[own]),
            'view_distil': losses.posterior_divergence(*told, mean[other], logvar[other]),
        }

    def _answer_losses(self, latent, rows, other_rows):
        """How badly both views' latents predict votes, and what teachers say of other surveys."""
        drawn = [(self.fractions, self.weights, rows),
                 *((*votes, its) for votes, its in zip(self.other_votes, other_rows))]
        fractions = [torch.cat(of).repeat(2, 1) for of in
                     zip(*([f[its] for f in fractions] for fractions, _, its in drawn))]
        weights = [torch.cat(of).repeat(2) for of in
                   zip(*([w[its] for w in weights] for _, weights, its in drawn))]
        return self.vote_losses(latent, fractions, weights)

    @torch.no_grad()
    def _follow_covariance(self, latent):
        """Running mean and covariance of the labelled survey's latents."""
        self.latent_mean.lerp_(latent.mean(0), COVARIANCE_SHARE)
        offset = latent - self.latent_mean
        self.covariance.lerp_(offset.T @ offset / len(offset), COVARIANCE_SHARE)

    def _whitened(self, latent):
        """Latents of which those of the labelled survey scatter by one in any direction."""
        value, vector = torch.linalg.eigh(self.covariance)
        white = vector / torch.sqrt(value.clamp(min=LEAST_VARIANCE * float(value.max())))
        return (latent - self.latent_mean) @ white

    def _alignment_loss(self, white, latent, sizes):
        """
        Mean discrepancy between the labelled survey and each other, within kinds.

        Only the batch's rows among those that are remembered move; the factor makes the gradient
        that of all.
        """
        kinds = self._kinds(latent)
        parts = [(torch.cat(w), torch.cat(k)) for w, k in zip(
            zip(*(half.split(sizes) for half in white.chunk(2))),
            zip(*(half.split(sizes) for half in kinds.chunk(2))))]
        compared = [memory.with_new(*part) for memory, part in zip(self.memories, parts)]
        apart = [weighted_mmd(*compared[0], *latents) * len(latents[0]) / len(new[0])
                 for other, latents, new in zip(self.others, compared[1:], parts[1:])
                 if other.is_aligned]
        return sum(apart) / len(apart)

    @torch.no_grad()
    def _kinds(self, latent):
        """(N, n_columns) predicted fractions, by which like is compared with like."""
        if not self.model.heads:
            return latent.new_ones(len(latent), 1)
        self.model.heads.eval()
        kinds = torch.cat([f.exp() for f in self.model.heads.log_fractions(latent)[:2]], dim=1)
        self.model.heads.train()
        return kinds

    def loss_weights(self):
        """Weight of each term at this step."""
        loss = self.config.loss
        return {**super().loss_weights(), 'distil': loss.distil_weight,
                'view_distil': loss.view_distil_weight, 'identity': loss.identity_weight,
                'alignment': loss.alignment_weight}
