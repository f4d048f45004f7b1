# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the ways to a sharp decoder have in common."""

import torch

from galvae_affiliated.models.registry import get_model
from galvae_affiliated.training.checkpoints import read_checkpoint
from galvae_affiliated.training.data.augment import turned_views
from galvae_affiliated.training.data.dataset import as_composites
from galvae_affiliated.training.networks.from_bundle import network_of_bundle
from galvae_affiliated.training.objectives import losses
from galvae_affiliated.training.objectives.vae import VAEObjective

__all__ = ['Sharpening']

FIRST_IMAGES = 512  # of which batch normalisations have their statistics


class Sharpening(VAEObjective):
    """
    The loss of a decoder that draws what latents do not hold.

    Encoder and smooth decoder of the bundle named by ``sharpen`` stay as they are. Subclasses put
    a decoder that takes latents, pose and random numbers of its ``noise_shape`` into
    ``generator``, in `make_generator`, and name the ``parts`` of a checkpoint that another run may
    start from, and what in them is ``given`` by the bundle.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
        With ``sharpen``, a bundle of light networks.
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`
    """

    parts = 'generator',
    given = ()

    def __init__(self, config, galaxies):
        super().__init__(config.replaced(views=1, votes_weight=0.0, class_weight=0.0), galaxies)
        bundle = get_model(config.training.sharpen)
        rows = galaxies.train[:: max(len(galaxies.train) // FIRST_IMAGES, 1)]
        images = galaxies.composites(rows)
        network = network_of_bundle(bundle, images)
        self.model = network.to(memory_format=torch.channels_last).requires_grad_(False)
        self.generator = self.make_generator(images).to(memory_format=torch.channels_last)

    def make_generator(self, images):
        """The sharp decoder before training; ``images`` are composites of some galaxies."""
        raise NotImplementedError

    def take_weights(self, path):
        """Start from the parts of an earlier run, perhaps of another encoder."""
        saved = read_checkpoint(path)['state_dict']
        for part in self.parts:
            own = getattr(self, part).state_dict()
            learnt = [name for name in own if not name.startswith(self.given)]
            weights = {name: saved.get(f'{part}.{name}') for name in learnt}
            if any(value is None for value in weights.values()):
                raise ValueError(f'{path}: this checkpoint is of a run without "sharpen", or with '
                                 'another "sharpen_by"')
            getattr(self, part).load_state_dict({**own, **weights})

    def encoded_views(self, images, number):
        """
        Images as batch ``number`` shows them, turned at random, and what latents say of them.

        Returns
        -------
        real, smooth : (N, 3, grid, grid) tensors
            Normalised, with sky outside the circle.
        latent, pose : (N, n_latents), (N, n_pose) tensors
            Means of the posterior.
        """
        generator = torch.Generator().manual_seed(self.batch_seed(number))
        options = self.config.augmentation
        turned = turned_views(as_composites(images).cpu(), options.max_zoom, options.max_shift,
                              generator)
        self.model.eval()
        with torch.no_grad():
            _, real, _ = self.preprocess(turned.to(self.device))
            return real, *self.decoded(real)

    @torch.no_grad()
    def decoded(self, real):
        """The smooth decoder's pictures of normalised images, their latents and pose."""
        latent, pose = self.read(real)
        return self.within(self.model.decoder(latent, pose)), latent, pose

    def read(self, normalised):
        """Latents and pose, means of the posterior, of normalised images."""
        return self.split_code(self.model.encoder(channels_last(normalised))[0])

    def drawn(self, latent, pose):
        """A picture of each galaxy, of fresh random numbers."""
        noise = torch.randn(len(latent), *self.generator.noise_shape, device=self.device)
        return self.within(self.generator(latent, pose, noise))

    def within(self, normalised):
        """Sky outside the circle, where no image shows anything."""
        aperture, empty = self.preprocess.aperture, self.preprocess.normalise(self.preprocess.sky)
        return empty + aperture * (normalised.float() - empty)

    def validation_step(self, batch, _):
        images, rows = batch
        _, normalised, _ = self.preprocess(as_composites(images))
        mean, logvar = self.model.encoder(channels_last(normalised))
        drawn = self.drawn(*self.split_code(mean))
        _, mse = losses.reconstruction_loss(drawn, normalised, self.preprocess.aperture)
        self.measured.append((mean.cpu(), logvar.cpu(), mse.cpu().repeat(len(rows)),
                              torch.zeros(len(rows))))


def channels_last(images):
    """The same images, as convolutions of a processor read them fastest."""
    return images.contiguous(memory_format=torch.channels_last)
