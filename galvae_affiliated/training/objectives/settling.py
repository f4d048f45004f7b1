# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The decoder learns from latents as users have them."""

import torch

from galvae_affiliated.training.objectives.vae import VAEObjective

__all__ = ['DecoderSettling']

GEOMETRY_ALONE = {'color_jitter': 0.0, 'sky_jitter': 0.0, 'noise': 0.0, 'blurred_share': 0.0,
                  'cut_share': 0.0}


class DecoderSettling(VAEObjective):
    """
    The decoder alone goes on learning, from latents without noise; latents and heads stay.

    While the latents are learnt the decoder sees samples of them, and the second view through the
    first's; users decode means, with their own pose. Only the geometry of the views changes, since
    their colours and noise are no matter of the decoder's.

    Parameters
    ----------
    config, galaxies
        As `VAEObjective` takes them; ``settling_steps`` are made.
    """

    def __init__(self, config, galaxies):
        plain = config.replaced(views=1, steps=config.training.settling_steps, **GEOMETRY_ALONE)
        super().__init__(plain, galaxies)

    def training_step(self, batch, _):
        images, _ = batch
        # batch normalisation too stays as it was learnt
        self.model.encoder.eval()
        normalised, target = self.random_views(images, self.batch_number)
        with torch.no_grad():
            mean, _ = self.model.encoder(normalised)
        rec, mse = self.residual_loss(self.model.decoder(*self.split_code(mean)), target)
        self.log('mse', mse, prog_bar=True)
        return rec

    def configure_optimizers(self):
        self.model.requires_grad_(False)
        self.model.decoder.requires_grad_(True)
        return super().configure_optimizers()
