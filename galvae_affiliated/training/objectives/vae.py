# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The variational auto-encoder, guided by votes where there are any."""

import dataclasses

import lightning
import torch
from torch.utils.data import DataLoader, Subset

from galvae_affiliated.training.data.augment import random_view
from galvae_affiliated.training.data.dataset import as_composites
from galvae_affiliated.training.networks.model import GalaxyVAE
from galvae_affiliated.training.networks.preprocess import Preprocess
from galvae_affiliated.training.objectives import losses

__all__ = ['VAEObjective']

VALIDATION_BATCH = 128


class VAEObjective(lightning.LightningModule):
    """
    The loss of every kind of model.

    With two views, the second is decoded from the latents of the first with
    its own pose: whatever a rotation, flip, shift or zoom changes can only
    pass through the pose, and the latents keep the rest. The votes, where
    there are any, pull on the latents of both views.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`
    start : int, optional
        Step that the run goes on from.
    """

    def __init__(self, config, galaxies, *, start=0):
        super().__init__()
        self.config, self.galaxies, self.start = config, galaxies, start
        self.preprocess = Preprocess(config.grid)
        n_answers = [v.fractions.shape[1] for v in galaxies.votes.values()] if config.votes_weight else []
        n_classes = len(galaxies.class_names) if config.class_weight else 0
        self.model = GalaxyVAE(config, n_answers, n_classes).to(memory_format=torch.channels_last)
        self.fractions, self.weights = galaxies.vote_tensors()
        self.classes = torch.from_numpy(galaxies.classes)
        # the divergence is summed over latents, the residuals are averaged over the values of an image
        self.n_values = float(self.preprocess.aperture.sum()) * 3
        self.diagnostics = {}
        self.measured = []

    def train_dataloader(self):
        config = self.config
        batches = self.galaxies.batches(config, batch_size=config.batch_size, steps=config.steps, random_state=config.random_state,
                                        start=self.start, rank=self.global_rank, world_size=self.trainer.world_size)
        return DataLoader(self.galaxies, batch_sampler=batches, num_workers=0)

    def val_dataloader(self):
        return DataLoader(Subset(self.galaxies, self.galaxies.held_out.tolist()), batch_size=VALIDATION_BATCH)

    def views(self, images, number):
        """
        Normalised images of all views, (views N, 3, grid, grid), and what the last shall be decoded to, (N, ...).

        The random numbers depend on the batch's number alone, so a resumed run sees the same views.
        """
        generator = torch.Generator().manual_seed(self.batch_seed(number))
        images = as_composites(images).cpu()
        drawn = [random_view(images, self.config, generator) for _ in range(self.config.views)]
        _, normalised, _ = self.preprocess(torch.cat([view for view, _ in drawn]).to(self.device))
        _, target, _ = self.preprocess(drawn[-1][1].to(self.device))
        return normalised.contiguous(memory_format=torch.channels_last), target

    def batch_seed(self, number):
        """Of all that is random about a batch."""
        return self.config.random_state * 1_000_003 + number

    @property
    def batch_number(self):
        """int: Of this process's batch among those of all steps and processes."""
        return self.global_step * self.trainer.world_size + self.global_rank

    def residuals(self, decoded, target):
        """The reconstruction's loss, and its mean square error."""
        weight = self.preprocess.aperture
        weight = losses.noise_weights(target, weight) if self.config.noise_aware else weight
        return losses.reconstruction_loss(decoded.float(), target, weight)

    def training_step(self, batch, _):
        images, rows = batch
        config, model, n = self.config, self.model, len(rows)
        number = self.batch_number
        # drawn anew each step, so that a resumed run goes on as an unbroken one would have
        torch.manual_seed(self.batch_seed(number))
        normalised, target = self.views(images, number)
        mean, logvar = model.encoder(normalised)
        code = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean) if config.sample_latents else mean
        latent, pose = code[:, :config.n_latents], code[:, config.n_latents:]
        sizes = [config.n_latents, config.n_pose]
        mean, logvar = mean.split(sizes, 1), logvar.split(sizes, 1)

        terms = {}
        # the pose is the last view's, the latents are the first's: with one view both are its own
        terms['rec'], mse = self.residuals(model.decoder(latent[:n], pose[-n:]), target)
        terms['kl'], terms['pose_kl'] = (losses.divergence(m, v, config.free_bits) for m, v in zip(mean, logvar))
        terms |= self.guidance(latent, rows.cpu().repeat(config.views))
        if config.contrast_weight and config.views == 2:
            terms['contrast'] = losses.contrast_loss(mean[0][:n], mean[0][n:], model.log_contrast)
        self.log_dict({**terms, 'mse': mse}, prog_bar=True)
        weights = self.loss_weights()
        return sum(weights[name] * value for name, value in terms.items())

    def guidance(self, latent, rows):
        """What votes and classes have to say of the latents."""
        terms = {}
        if self.model.heads:
            terms['votes'] = losses.vote_loss(self.model.heads.log_fractions(latent),
                                              [f[rows].to(self.device) for f in self.fractions],
                                              [w[rows].to(self.device) for w in self.weights])
        if self.model.classes:
            terms['classes'] = losses.class_loss(self.model.classes(latent), self.classes[rows].to(self.device))
        return terms

    def loss_weights(self):
        """Weight of each term at this step."""
        config = self.config
        warmup = config.kl_warmup_share * config.steps
        growth = min(1.0, (self.global_step + 1) / warmup) if warmup else 1.0
        return {'rec': config.reconstruction_weight, 'kl': growth * config.beta / self.n_values,
                'pose_kl': growth * config.pose_beta / self.n_values, 'votes': config.votes_weight,
                'classes': config.class_weight, 'contrast': config.contrast_weight}

    def validation_step(self, batch, _):
        images, rows = batch
        frame, normalised, _ = self.preprocess(as_composites(images))
        mean, logvar = self.model.encoder(normalised.contiguous(memory_format=torch.channels_last))
        n = self.config.n_latents
        target = (frame - self.preprocess.centre) / self.preprocess.scale
        _, mse = losses.reconstruction_loss(self.model.decoder(mean[:, :n], mean[:, n:]).float(), target,
                                            self.preprocess.aperture)
        votes = self.guidance(mean[:, :n], rows.cpu()).get('votes', torch.tensor(0.0))
        self.measured.append((mean.cpu(), logvar.cpu(), mse.cpu().repeat(len(rows)), votes.cpu().repeat(len(rows))))

    def on_validation_epoch_end(self):
        self.diagnose(self.global_step)
        n = self.config.n_latents
        self.log_dict({'val_mse': self.diagnostics['mse'], 'val_votes': self.diagnostics['votes loss'],
                       'val_nats': sum(self.diagnostics['nats a latent'][:n]),
                       'val_active': float(self.diagnostics['active latents'])})

    def diagnose(self, step):
        """
        What the held-out galaxies say of the latents, into ``diagnostics``.

        A latent that is the same for all galaxies has collapsed: it says nothing.
        """
        mean, logvar, mse, votes = (torch.cat(parts) for parts in zip(*self.measured))
        self.measured.clear()
        n = self.config.n_latents
        nats = (0.5 * (mean ** 2 + logvar.exp() - 1.0 - logvar)).mean(0)
        self.diagnostics = {
            'step': step, 'mse': float(mse.mean()), 'votes loss': float(votes.mean()),
            'active latents': losses.active_units(mean[:, :n]), 'active pose': losses.active_units(mean[:, n:]),
            'nats a latent': [round(float(x), 3) for x in nats[:n]],
            'nats a pose': [round(float(x), 3) for x in nats[n:]],
        }

    @torch.inference_mode()
    def measure_held_out(self, step):
        """Fill ``diagnostics`` outside a run, for weights that were loaded."""
        self.model.eval()
        for images, rows in self.val_dataloader():
            self.validation_step((images, rows), 0)
        self.diagnose(step)

    def configure_optimizers(self):
        config = self.config
        learnt = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learnt, config.learning_rate, weight_decay=config.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, config.steps,
                                                       pct_start=config.warmup_share)
        return {'optimizer': optimizer, 'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}


class DecoderSettling(VAEObjective):
    """
    The decoder alone goes on learning, from latents without their noise; latents and heads stay as they are.

    While the latents are learnt the decoder sees samples of them, and the second view through the first's; users decode
    means, with their own pose. Only the geometry of the views changes, since their colours and noise are no matter of
    the decoder's.
    """

    def __init__(self, config, galaxies, *, start=0):
        plain = dataclasses.replace(config, views=1, color_jitter=0.0, sky_jitter=0.0, noise=0.0, blurred_share=0.0,
                                    cut_share=0.0, steps=config.settling_steps)
        super().__init__(plain, galaxies, start=start)

    def training_step(self, batch, _):
        images, _ = batch
        # batch normalisation too stays as it was learnt
        self.model.encoder.eval()
        normalised, target = self.views(images, self.batch_number)
        with torch.no_grad():
            mean, _ = self.model.encoder(normalised)
        n = self.config.n_latents
        rec, mse = self.residuals(self.model.decoder(mean[:, :n], mean[:, n:]), target)
        self.log('mse', mse, prog_bar=True)
        return rec

    def configure_optimizers(self):
        self.model.requires_grad_(False)
        self.model.decoder.requires_grad_(True)
        return super().configure_optimizers()
