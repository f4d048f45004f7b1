# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Train a model on a Galaxy Zoo set."""

from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader

from galvae_affiliated.training import losses
from galvae_affiliated.training.augment import random_view
from galvae_affiliated.training.dataset import MixedSampler
from galvae_affiliated.training.networks import GalaxyVAE
from galvae_affiliated.training.preprocess import Preprocess

__all__ = ['GuidedTraining', 'load_trained', 'train']


class GuidedTraining(lightning.LightningModule):
    """
    Two views of each galaxy, one morphology.

    The second view is decoded from the latents of the first with its own pose:
    whatever a rotation, flip, shift or zoom changes can only pass through the
    pose, and the latents keep the rest. The votes, where there are any, pull
    on the latents of both views.
    """

    def __init__(self, config, galaxies):
        super().__init__()
        self.config, self.galaxies = config, galaxies
        self.preprocess = Preprocess(config.grid)
        self.model = GalaxyVAE(config, [v.fractions.shape[1] for v in galaxies.votes.values()],
                               len(galaxies.class_names)).to(memory_format=torch.channels_last)
        self.fractions = [torch.from_numpy(v.fractions) for v in galaxies.votes.values()]
        self.weights = [torch.from_numpy(v.weight) for v in galaxies.votes.values()]
        self.classes = torch.from_numpy(galaxies.classes)

    def views(self, images, step):
        """
        Normalised images of both views, (2 N, 3, grid, grid), and what the second shall be decoded to, (N, ...).

        The random numbers depend on the step alone, so a resumed run sees the same views.
        """
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        images = images.permute(0, 3, 1, 2).float().cpu() / 255.0
        first, _ = random_view(images, self.config, generator)
        second, clean = random_view(images, self.config, generator)
        _, normalised, _ = self.preprocess(torch.cat([first, second]).to(self.device))
        _, target, _ = self.preprocess(clean.to(self.device))
        return normalised.contiguous(memory_format=torch.channels_last), target

    def training_step(self, batch, _):
        images, rows = batch
        config, model, n = self.config, self.model, len(rows)
        # drawn anew each step, so that a resumed run goes on as an unbroken one would have
        torch.manual_seed(config.seed * 1_000_003 + self.global_step)
        normalised, target = self.views(images, self.global_step)
        mean, logvar = model.encoder(normalised)
        code = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        latent, pose = code[:, :config.n_latents], code[:, config.n_latents:]

        decoded = model.decoder(latent[:n], pose[n:]).float()
        rec, mse = losses.reconstruction_loss(decoded, target, self.preprocess.aperture)
        kl = losses.divergence(mean[:, :config.n_latents], logvar[:, :config.n_latents], config.free_bits)
        pose_kl = losses.divergence(mean[:, config.n_latents:], logvar[:, config.n_latents:], config.free_bits)
        rows = rows.cpu().repeat(2)
        votes = losses.vote_loss(model.heads.log_fractions(latent),
                                 [f[rows].to(self.device) for f in self.fractions],
                                 [w[rows].to(self.device) for w in self.weights])
        classes = losses.class_loss(model.classes(latent), self.classes[rows].to(self.device)) if model.classes else 0.0
        contrast = losses.contrast_loss(mean[:n, :config.n_latents], mean[n:, :config.n_latents], model.log_contrast)
        self.log_dict({'rec': rec, 'mse': mse, 'kl': kl, 'pose_kl': pose_kl, 'votes': votes, 'classes': classes,
                       'contrast': contrast}, prog_bar=True)
        return (config.reconstruction_weight * rec + config.beta * kl + config.pose_beta * pose_kl
                + config.votes_weight * votes + config.class_weight * classes + config.contrast_weight * contrast)

    def configure_optimizers(self):
        config = self.config
        optimizer = torch.optim.AdamW(self.model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, config.steps,
                                                       pct_start=config.warmup_share)
        return {'optimizer': optimizer, 'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}


def train(config, galaxies, rows, folder, *, resume=None, accelerator='auto', logger=True):
    """
    Train and return the module with its averaged weights.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    galaxies : `~galvae_affiliated.training.GalaxySet`
    rows : (M,) int array
        The rows to learn from.
    folder : str or path
        For checkpoints and logs.
    resume : str or path, optional
        A checkpoint to go on from.

    Returns
    -------
    module : `GuidedTraining`
    """
    lightning.seed_everything(config.seed)
    module = GuidedTraining(config, galaxies)
    start = torch.load(resume, weights_only=False)['global_step'] if resume else 0
    labelled = galaxies.has_votes[rows]
    sampler = MixedSampler(rows[labelled], rows[~labelled], batch_size=config.batch_size, share=config.labelled_share,
                           steps=config.steps, seed=config.seed, start=start)
    trainer = lightning.Trainer(
        accelerator=accelerator, max_steps=config.steps, precision='bf16-mixed', default_root_dir=folder, logger=logger,
        callbacks=[EMAWeightAveraging(decay=config.ema_decay),
                   ModelCheckpoint(Path(folder), filename='{step}', every_n_train_steps=500, save_last=True)],
        gradient_clip_val=5.0, log_every_n_steps=20, enable_progress_bar=False)
    trainer.fit(module, DataLoader(galaxies, batch_sampler=sampler, num_workers=0), ckpt_path=resume)
    return module


def load_trained(checkpoint, config, galaxies):
    """
    The model of a checkpoint, with its averaged weights.

    Parameters
    ----------
    checkpoint : str or path
    config : `~galvae_affiliated.training.TrainingConfig`
    galaxies : `~galvae_affiliated.training.GalaxySet`
        The set that it was trained on, for its questions and classes.

    Returns
    -------
    model : `~galvae_affiliated.training.networks.GalaxyVAE`
    step : int
        Optimiser steps that it has had.
    """
    saved = torch.load(checkpoint, weights_only=False, map_location='cpu')
    module = GuidedTraining(config, galaxies)
    module.load_state_dict(saved['state_dict'])
    return module.model.eval(), int(saved['global_step'])
