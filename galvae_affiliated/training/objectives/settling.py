# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The decoder learns from latents as users have them."""

import torch

from galvae_affiliated.training.data.augment import random_view
from galvae_affiliated.training.data.dataset import as_composites
from galvae_affiliated.training.data.degrade import survey_view
from galvae_affiliated.training.data.other_surveys import draw_others
from galvae_affiliated.training.objectives.vae import VAEObjective

__all__ = ['DecoderSettling']

GEOMETRY_ALONE = {'color_jitter': 0.0, 'sky_jitter': 0.0, 'noise': 0.0, 'blurred_share': 0.0,
                  'cut_share': 0.0}


class DecoderSettling(VAEObjective):
    """
    The decoder alone goes on learning, from latents without noise; latents and heads stay.

    While the latents are learnt the decoder sees samples of them, and the second view through the
    first's; users decode means, with their own pose. Only the geometry of the views changes, since
    their colours and noise are no matter of the decoder's. After a run with ``anchor`` whose
    decoder learnt too, every other galaxy is one as another survey would show it, which the decoder
    shall follow; where it did not, latents hold nothing of such views.

    Parameters
    ----------
    config, galaxies : object
        As `VAEObjective` takes them; ``settling_steps`` are made.
    """

    def __init__(self, config, galaxies):
        plain = config.replaced(views=1, steps=config.training.settling_steps, **GEOMETRY_ALONE)
        super().__init__(plain, galaxies)
        self.strengths = config.augmentation
        self.follows_views = bool(config.training.anchor) and config.loss.reconstruction_weight > 0
        self.others = galaxies.other_surveys if self.follows_views else ()

    def training_step(self, batch, _):
        images, _ = batch
        # batch normalisation too stays as it was learnt
        self.model.encoder.eval()
        if self.follows_views:
            normalised, target = self._views_of_surveys(images, self.batch_number)
        else:
            normalised, target = self.random_views(images, self.batch_number)
        with torch.no_grad():
            mean, _ = self.model.encoder(normalised)
        rec, mse = self.residual_loss(self.model.decoder(*self.split_code(mean)), target)
        self.log('mse', mse, prog_bar=True)
        return rec

    def _views_of_surveys(self, images, number):
        """Half of a batch as it is, half as another survey's, and galaxies of other surveys."""
        generator = torch.Generator().manual_seed(self.batch_seed(number))
        half = len(images) // 2
        own = [as_composites(part.cpu()) for part in (images[:half], images[half:])]
        own[0] = torch.cat([own[0], *(
            as_composites(drawn) for drawn, _ in draw_others(self.others, half // 4, generator))])
        _, clean = random_view(own[0], self.config.augmentation, generator)
        view, degraded = survey_view(own[1], self.strengths, generator)
        _, normalised, _ = self.preprocess(torch.cat([clean, view]).to(self.device))
        _, target, _ = self.preprocess(torch.cat([clean, degraded]).to(self.device))
        return normalised.contiguous(memory_format=torch.channels_last), target

    def configure_optimizers(self):
        self.model.requires_grad_(False)
        self.model.decoder.requires_grad_(True)
        return super().configure_optimizers()
