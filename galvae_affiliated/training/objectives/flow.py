# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A sharp decoder, taught the way from noise to what an image has beyond its smooth picture."""

import torch

from galvae_affiliated.training.networks.flow import FlowGenerator
from galvae_affiliated.training.objectives.sharpening import Sharpening, channels_last

__all__ = ['FlowDecoder']

LEAP_SHARE = 0.25  # of a batch: learns mean velocities, the others those of one time
TIME_MEAN, TIME_SCATTER = -0.4, 1.0  # of the logit of a time
LEAST_ERROR = 0.01  # mean square below which no error counts more


class FlowDecoder(Sharpening):
    """
    The loss of a decoder that makes details of noise along straight ways.

    The details of a galaxy and noise are mixed at a random time, and the network is to tell the
    velocity at which one becomes the other (flow matching, Lipman et al. 2023). A part of
    each batch learns the mean velocity between two times from the velocity and its own change
    along the way (Geng et al. 2025), so that few steps are enough, or one.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
        With ``sharpen``, a bundle of light networks.
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`

    References
    ----------
    Lipman, Y. et al. 2023, ICLR (arXiv:2210.02747). Geng, Z. et al. 2025, arXiv:2505.13447.
    """

    given = 'decoder.',

    def make_generator(self, images):
        _, real, _ = self.preprocess(images)
        beyond = self.within(real) - self.decoded(real)[0]
        return FlowGenerator(self.config.model, self.model.decoder, beyond.std())

    def training_step(self, batch, _):
        number = self.batch_number
        torch.manual_seed(self.batch_seed(number))
        real, smooth, latent, pose = self.encoded_views(batch[0], number)
        flow = self.generator
        details, seen = (channels_last(flow.as_blocks(images)) for images in
                         ((self.within(real) - smooth) / flow.scale, smooth))
        code, noise = torch.cat([latent, pose], dim=1), torch.randn_like(details)
        n_leaps = round(LEAP_SHARE * len(real))
        until, since = _times(len(real), n_leaps, self.device)
        part = since[:, None, None, None]
        x, straight = (1.0 - part) * details + part * noise, noise - details
        apart = []
        given = x, straight, until, since, code, seen
        for error, rows in ((self._leap_error, slice(n_leaps)),
                            (self._error, slice(n_leaps, None))):
            apart.append(error(*(values[rows] for values in given)).square().mean((1, 2, 3)))
        square = torch.cat(apart)
        self.log_dict({'leap': square[:n_leaps].mean(), 'flow': square[n_leaps:].mean()},
                      prog_bar=True)
        # large errors count less, or those of few galaxies would be all that is learnt
        return (square / (square.detach() + LEAST_ERROR)).mean()

    def _error(self, x, straight, until, since, code, seen):
        """Of the velocity at one time."""
        return self.generator.velocity(x, until, since, code, seen) - straight

    def _leap_error(self, x, straight, until, since, code, seen):
        """Of the mean velocity: what the velocity and its change along the way make of it."""
        def velocity(x, since):
            return self.generator.velocity(x, until, since, code, seen)

        mean, change = torch.func.jvp(velocity, (x, since), (straight, torch.ones_like(since)))
        return mean - (straight - (since - until)[:, None, None, None] * change).detach()


def _times(n, n_leaps, device):
    """Two times a galaxy, the earlier first; only the first ``n_leaps`` differ."""
    both = torch.sigmoid(TIME_MEAN + TIME_SCATTER * torch.randn(2, n, device=device))
    until, since = both.amin(0), both.amax(0)
    until[n_leaps:] = since[n_leaps:] = both[0, n_leaps:]
    return until, since
