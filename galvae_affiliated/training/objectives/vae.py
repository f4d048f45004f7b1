# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The variational auto-encoder, guided by votes where there are any."""

import lightning
import torch

from galvae_affiliated.training.data.augment import random_view
from galvae_affiliated.training.data.dataset import as_composites
from galvae_affiliated.training.networks.model import GalaxyVAE, load_weights
from galvae_affiliated.training.networks.preprocess import Preprocess
from galvae_affiliated.training.networks.vote_heads import vote_loss
from galvae_affiliated.training.objectives import losses

__all__ = ['VAEObjective']


class VAEObjective(lightning.LightningModule):
    """
    The loss of every kind of model.

    With two views, the second is decoded from the latents of the first with
    its own pose: whatever a rotation, flip, shift or zoom changes can only
    pass through the pose, and the latents keep the rest. The votes, where
    there are any, pull on the latents of both views.

    An objective of another kind has its own ``training_step`` and, if it asks
    for other options than those of the run, puts them into its ``config``,
    whose steps and batches the run follows.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`
        Whose votes and classes guide; the images come in batches.
    """

    def __init__(self, config, galaxies):
        super().__init__()
        self.config = config
        self.preprocess = Preprocess(config.model.grid)
        votes = galaxies.votes.values() if config.is_guided else ()
        n_answers = [v.fractions.shape[1] for v in votes]
        n_classes = len(galaxies.class_names) if config.loss.class_weight else 0
        model = GalaxyVAE(config.model, n_answers, n_classes)
        self.model = model.to(memory_format=torch.channels_last)
        self.fractions, self.weights = galaxies.vote_tensors()
        self.classes = torch.from_numpy(galaxies.classes)
        # the divergence is summed over latents, the residuals averaged over the values of an image
        self.n_values = float(self.preprocess.aperture.sum()) * 3
        self.diagnostics = {}
        self.measured = []

    def take_weights(self, path):
        """Start from the weights of a checkpoint; see `load_weights`."""
        load_weights(self.model, path)

    def random_views(self, images, number):
        """
        Views of a batch, and what the last of them shall be decoded to.

        The random numbers depend on the batch's number alone, so a resumed run sees the same views.

        Parameters
        ----------
        images : (N, grid, grid, 3) uint8 tensor
        number : int

        Returns
        -------
        normalised : (views N, 3, grid, grid) tensor
        target : (N, 3, grid, grid) tensor
        """
        generator = torch.Generator().manual_seed(self.batch_seed(number))
        images = as_composites(images).cpu()
        drawn = [random_view(images, self.config.augmentation, generator)
                 for _ in range(self.config.model.views)]
        _, normalised, _ = self.preprocess(torch.cat([view for view, _ in drawn]).to(self.device))
        _, target, _ = self.preprocess(drawn[-1][1].to(self.device))
        return normalised.contiguous(memory_format=torch.channels_last), target

    def batch_seed(self, number):
        """Seed of all that is random about a batch."""
        return self.config.training.random_state * 1_000_003 + number

    @property
    def batch_number(self):
        """int: Of this process's batch among those of all steps and processes."""
        return self.global_step * self.trainer.world_size + self.global_rank

    def split_code(self, code):
        """Latents and pose of a (N, n_latents + n_pose) tensor."""
        return code.tensor_split([self.config.model.n_latents], dim=1)

    def residual_loss(self, decoded, target):
        """The reconstruction's loss, and its mean square error."""
        weight = self.preprocess.aperture
        if self.config.loss.noise_aware:
            weight = losses.noise_weights(target, weight)
        return losses.reconstruction_loss(decoded.float(), target, weight)

    def training_step(self, batch, _):
        images, rows = batch
        n = len(rows)
        config, model = self.config, self.model
        number = self.batch_number
        # drawn anew each step, so that a resumed run goes on as an unbroken one would have
        torch.manual_seed(self.batch_seed(number))
        normalised, target = self.random_views(images, number)
        mean, logvar = model.encoder(normalised)
        code = mean
        if config.model.sample_latents:
            code = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        latent, pose = self.split_code(code)
        mean, pose_mean = self.split_code(mean)
        logvar, pose_logvar = self.split_code(logvar)

        terms = {}
        # the pose is the last view's, the latents are the first's: with one view both are its own
        terms['rec'], mse = self.residual_loss(model.decoder(latent[:n], pose[-n:]), target)
        terms['kl'] = losses.divergence(mean, logvar, config.loss.free_bits)
        terms['pose_kl'] = losses.divergence(pose_mean, pose_logvar, config.loss.free_bits)
        terms |= self.guidance_losses(latent, rows.cpu().repeat(config.model.views))
        if config.loss.contrast_weight and config.model.views == 2:
            terms['contrast'] = losses.contrast_loss(mean[:n], mean[n:], model.log_contrast)
        return self.weighted_sum(terms, mse)

    def weighted_sum(self, terms, mse):
        """The loss, of terms that are logged."""
        self.log_dict({**terms, 'mse': mse}, prog_bar=True)
        weights = self.loss_weights()
        return sum(weights[name] * value for name, value in terms.items())

    def guidance_losses(self, latent, rows):
        """How badly latents predict votes and classes of some rows, by the name of the term."""
        votes = self.vote_losses(latent, [f[rows] for f in self.fractions],
                                 [w[rows] for w in self.weights])
        return votes | self.class_losses(latent, rows)

    def vote_losses(self, latent, fractions, weights):
        """The term of votes, which are given; none where the model answers no question."""
        if not self.model.heads:
            return {}
        return {'votes': vote_loss(self.model.heads.log_fractions(latent),
                                   [f.to(self.device) for f in fractions],
                                   [w.to(self.device) for w in weights])}

    def class_losses(self, latent, rows):
        """The term of the coarse classes of some rows; none where the model has none."""
        if not self.model.classes:
            return {}
        classes = self.classes[rows].to(self.device)
        return {'classes': losses.class_loss(self.model.classes(latent), classes)}

    def loss_weights(self):
        """Weight of each term at this step."""
        loss = self.config.loss
        warmup = loss.kl_warmup_share * self.config.training.steps
        growth = min(1.0, (self.global_step + 1) / warmup) if warmup else 1.0
        return {'rec': loss.reconstruction_weight, 'kl': growth * loss.beta / self.n_values,
                'pose_kl': growth * loss.pose_beta / self.n_values, 'votes': loss.votes_weight,
                'classes': loss.class_weight, 'contrast': loss.contrast_weight}

    def validation_step(self, batch, _):
        images, rows = batch
        frame, normalised, _ = self.preprocess(as_composites(images))
        mean, logvar = self.model.encoder(normalised.contiguous(memory_format=torch.channels_last))
        latent, pose = self.split_code(mean)
        decoded = self.model.decoder(latent, pose).float()
        _, mse = losses.reconstruction_loss(decoded, self.preprocess.normalise(frame),
                                            self.preprocess.aperture)
        votes = self.guidance_losses(latent, rows.cpu()).get('votes', torch.tensor(0.0))
        self.measured.append((mean.cpu(), logvar.cpu(), mse.cpu().repeat(len(rows)),
                              votes.cpu().repeat(len(rows))))

    def on_validation_epoch_end(self):
        self.diagnose(self.global_step)
        self.log_dict({'val_mse': self.diagnostics['mse'],
                       'val_votes': self.diagnostics['votes loss'],
                       'val_nats': sum(self.diagnostics['nats a latent']),
                       'val_active': float(self.diagnostics['active latents'])})

    def diagnose(self, step):
        """
        Put what the held-out galaxies show of the latents into ``diagnostics``.

        A latent that is the same for all galaxies has collapsed: it says nothing.
        """
        mean, logvar, mse, votes = (torch.cat(parts) for parts in zip(*self.measured))
        self.measured.clear()
        latent, pose = self.split_code(mean)
        nats = (0.5 * (mean ** 2 + logvar.exp() - 1.0 - logvar)).mean(0)
        nats = [round(float(x), 3) for x in nats]
        n = self.config.model.n_latents
        self.diagnostics = {
            'step': step, 'mse': float(mse.mean()), 'votes loss': float(votes.mean()),
            'active latents': losses.active_units(latent),
            'active pose': losses.active_units(pose),
            'nats a latent': nats[:n], 'nats a pose': nats[n:],
        }

    @torch.inference_mode()
    def measure_held_out(self, batches, step):
        """Fill ``diagnostics`` outside a run, for weights that were loaded."""
        self.model.eval()
        for batch in batches:
            self.validation_step(batch, 0)
        self.diagnose(step)

    def configure_optimizers(self):
        fit = self.config.training
        learnt = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learnt, fit.learning_rate, weight_decay=fit.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, fit.learning_rate, fit.steps,
                                                       pct_start=fit.warmup_share)
        return {'optimizer': optimizer,
                'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}
