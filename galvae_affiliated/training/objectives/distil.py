# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A smaller network learns the latents of a larger one."""

import torch

from galvae_affiliated.training.checkpoints import read_checkpoint
from galvae_affiliated.training.networks.model import GalaxyVAE, load_weights
from galvae_affiliated.training.networks.vote_heads import vote_loss
from galvae_affiliated.training.objectives import losses
from galvae_affiliated.training.objectives.vae import VAEObjective

__all__ = ['Distillation', 'read_teacher']


class Distillation(VAEObjective):
    """
    The loss of a network that learns the posterior of another.

    It sees one view at a time, and the other network sees the same. The
    divergence between their posteriors measures each latent by its own error,
    so that latents which hold much count more; where the smaller network
    cannot follow, its errors grow. Votes guide as they did the other network,
    and so do the fractions that the other network predicts. The decoder learns
    from means, which is what users decode.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
        With ``distil_from``, a checkpoint of the other network.
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`
    """

    def __init__(self, config, galaxies):
        super().__init__(config.replaced(views=1), galaxies)
        teacher = read_teacher(config, self.model)
        # in a tuple it is no part of this module: not learnt, not averaged, not in its checkpoints
        self.teacher = (teacher.to(memory_format=torch.channels_last),)
        if self.model.heads:
            self.model.heads.load_state_dict(teacher.heads.state_dict())

    def training_step(self, batch, _):
        images, rows = batch
        rows = rows.cpu()
        model = self.model
        number = self.batch_number
        torch.manual_seed(self.batch_seed(number))
        normalised, target = self.random_views(images, number)
        with torch.no_grad():
            teacher = self.teacher[0].to(normalised.device)
            known = teacher.encoder(normalised)
        mean, logvar = model.encoder(normalised)
        latent, pose = self.split_code(mean)
        terms = {'distil': losses.posterior_divergence(*known, mean, logvar),
                 **self.guidance_losses(latent, rows)}
        terms['rec'], mse = self.residual_loss(model.decoder(latent, pose), target)
        if model.heads:
            with torch.no_grad():
                predicted = teacher.heads.log_fractions(self.split_code(known[0])[0])
            terms['echo'] = vote_loss(model.heads.log_fractions(latent),
                                      [p.exp() for p in predicted],
                                      [w[rows].to(latent.device) for w in self.weights])
        return self.weighted_sum(terms, mse)

    def loss_weights(self):
        """Weight of each term at this step."""
        loss = self.config.loss
        return {**super().loss_weights(), 'distil': loss.distil_weight, 'echo': loss.votes_weight}


def read_teacher(config, model):
    """
    The network of a checkpoint, as it was when it was saved.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    model : `~galvae_affiliated.training.networks.model.GalaxyVAE`
        The one that shall learn, whose questions the other has to answer.

    Returns
    -------
    teacher : `~galvae_affiliated.training.networks.model.GalaxyVAE`

    Raises
    ------
    ValueError
        If the other network has another frame, other latents or other questions.
    """
    path = config.training.distil_from
    saved = read_checkpoint(path)
    own = config.options()
    described = {name: value for name, value in saved.get('galvae_config', {}).items()
                 if name in own}
    if not described:
        raise ValueError(f'{path}: a network cannot learn from this one, as it is not a checkpoint '
                         'of galvae train')
    other = config.replaced(**described)
    theirs = other.options()
    differ = [name for name in ('grid', 'field_of_view', 'n_latents', 'n_pose', 'questions')
              if theirs[name] != own[name]]
    if differ:
        raise ValueError(f'{path}: a network cannot learn from this one, as {", ".join(differ)} '
                         'differ')
    teacher = GalaxyVAE(other.model, model.heads.n_answers if model.heads else [])
    load_weights(teacher, path)
    return teacher.eval().requires_grad_(False)
