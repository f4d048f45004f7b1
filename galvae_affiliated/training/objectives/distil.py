# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A smaller network learns what a larger one says."""

import dataclasses

import torch

from galvae_affiliated.training.checkpoints import load_weights
from galvae_affiliated.training.networks.model import GalaxyVAE
from galvae_affiliated.training.objectives import losses
from galvae_affiliated.training.objectives.vae import VAEObjective

__all__ = ['Distillation', 'read_teacher']



class Distillation(VAEObjective):
    """
    The loss of a network that learns the posterior of another.

    It sees one view at a time, and the other network sees the same. The
    divergence between their posteriors measures each latent by its own error,
    so that latents which tell much count more; where the smaller network
    cannot follow, its errors grow. Votes guide as they did the other network,
    and so do the fractions that the other network predicts. The decoder learns
    from means, which is what users decode.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
        With ``distil_from``, a checkpoint of the other network.
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`
    start : int, optional
        Step that the run goes on from.
    """

    def __init__(self, config, galaxies, *, start=0):
        super().__init__(dataclasses.replace(config, views=1), galaxies, start=start)
        teacher = read_teacher(config, self.model)
        # in a tuple it is no part of this module: not learnt, not averaged, not in its checkpoints
        self.teacher = (teacher.to(memory_format=torch.channels_last),)
        if self.model.heads:
            self.model.heads.load_state_dict(teacher.heads.state_dict())

    def training_step(self, batch, _):
        images, rows = batch
        config, model, rows = self.config, self.model, rows.cpu()
        number = self.batch_number
        torch.manual_seed(self.batch_seed(number))
        normalised, target = self.views(images, number)
        with torch.no_grad():
            teacher = self.teacher[0].to(normalised.device)
            known = teacher.encoder(normalised)
        mean, logvar = model.encoder(normalised)
        latent, pose = mean.split([config.n_latents, config.n_pose], 1)
        terms = {'distil': losses.posterior_divergence(*known, mean, logvar), **self.guidance(latent, rows)}
        terms['rec'], mse = self.residuals(model.decoder(latent, pose), target)
        if model.heads:
            with torch.no_grad():
                predicted = teacher.heads.log_fractions(known[0][:, :config.n_latents])
            terms['echo'] = losses.vote_loss(model.heads.log_fractions(latent), [p.exp() for p in predicted],
                                             [w[rows].to(latent.device) for w in self.weights])
        self.log_dict({**terms, 'mse': mse}, prog_bar=True)
        weights = {**self.loss_weights(), 'distil': config.distil_weight, 'echo': config.votes_weight}
        return sum(weights[name] * value for name, value in terms.items())


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
    path = config.distil_from
    saved = torch.load(path, map_location='cpu', weights_only=False)
    known = {f.name for f in dataclasses.fields(config)}
    described = {name: value for name, value in saved.get('galvae_config', {}).items() if name in known}
    other = dataclasses.replace(config, **described)
    differ = [name for name in ('grid', 'field_of_view', 'n_latents', 'n_pose', 'questions')
              if getattr(other, name) != getattr(config, name)]
    if not described or differ:
        raise ValueError(f'{path}: a network cannot learn from this one, as '
                         + (f'{", ".join(differ)} differ' if differ else 'it is not a checkpoint of galvae train'))
    teacher = GalaxyVAE(other, model.heads.n_answers if model.heads else [])
    load_weights(teacher, path)
    return teacher.eval().requires_grad_(False)
