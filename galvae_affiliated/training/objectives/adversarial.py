# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A sharp decoder, taught by a network that tells what it draws from data."""

import torch
from torch.nn import functional

from galvae_affiliated.training.networks.blocks import BLOCK
from galvae_affiliated.training.networks.generator import Critic, Generator
from galvae_affiliated.training.objectives import losses
from galvae_affiliated.training.objectives.sharpening import Sharpening, channels_last
from galvae_affiliated.training.objectives.texture import band_powers, energy_score

__all__ = ['AdversarialDecoder']

PENALTY_EVERY = 8  # steps: gradients of gradients are dear, and change little between steps
BALANCE_EVERY = 8
BALANCE_MEMORY = 0.95  # of the running weight of the critic's opinion
MAX_BALANCE = 100.0
CRITIC_BETAS = (0.0, 0.99)
SMOOTHED = 16  # pixels a side: light of blocks of so many shall stay where it is; arms may move
PLACED = 4  # and what is bright shall be where the galaxy has it, as far as its latents know
MAX_ROLL = 8  # pixels by which both sides are moved before they are judged
BRIGHTNESS = 0.1  # and the standard deviation of the factor on their light


class AdversarialDecoder(Sharpening):
    """
    The loss of a decoder whose pictures shall look like data.

    A `~galvae_affiliated.training.networks.generator.Generator` starts as the smooth decoder of
    the bundle named by ``sharpen`` and learns against a critic: a relativistic loss with
    penalties on the gradients at data and at pictures (Huang et al. 2024),
    features of the critic that shall agree, power in bands of frequency that
    shall scatter as the data's, light in blocks as the smooth decoder has it,
    bright knots and arms where the data have them, what the encoder's last stage
    sees in the galaxy that was encoded, and the code that it reads from the
    picture, which shall be the code that was drawn. The critic's
    weight is the ratio of the gradients at the last layer (Esser et al. 2021).
    Both sides are moved and dimmed alike before they are judged (Zhao et al.
    2020), as a critic would soon know a small set by heart.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
        With ``sharpen``, a bundle of light networks.
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`

    References
    ----------
    Huang, Y. et al. 2024, NeurIPS (arXiv:2501.05441).
    Esser, P., Rombach, R., Ommer, B. 2021, CVPR (arXiv:2012.09841).
    Zhao, S. et al. 2020, NeurIPS (arXiv:2006.10738).
    """

    parts = 'generator', 'critic'

    def __init__(self, config, galaxies):
        super().__init__(config, galaxies)
        self.critic = Critic(config.model.n_latents).to(memory_format=torch.channels_last)
        self.critic_optimizer = torch.optim.Adam(
            self.critic.parameters(), config.training.critic_rate, CRITIC_BETAS)
        self.register_buffer('balance', torch.tensor(1.0))

    def make_generator(self, images):
        generator = Generator(self.config.model, self.config.model.n_noise)
        generator.load_state_dict(self.model.decoder.state_dict(), strict=False)
        generator.fix_blocks()
        return generator

    def training_step(self, batch, _):
        images, _ = batch
        number = self.batch_number
        torch.manual_seed(self.batch_seed(number))
        self.generator.fix_norms()
        real, smooth, latent, pose = self.encoded_views(images, number)
        drawn, other = (self.drawn(latent, pose) for _ in range(2))
        shown_real, shown_drawn, shown_smooth = self._augmented(real, drawn, smooth)
        self.log('critic', self._teach_critic(shown_real, shown_drawn.detach(), shown_smooth,
                                              latent), prog_bar=True)
        self.critic.requires_grad_(False)
        opinion, features = self._critic_losses(shown_real, shown_drawn, shown_smooth, latent)
        self.critic.requires_grad_(True)
        terms = {'feature': features, 'texture': self._unlike_texture(drawn, other, real),
                 **self._given_losses(real, drawn, smooth)}
        given = sum(getattr(self.config.loss, f'{name}_weight') * value
                    for name, value in terms.items())
        if number % BALANCE_EVERY == 0:
            self._follow_balance(given, opinion)
        self.log_dict({**terms, 'opinion': opinion, 'balance': self.balance}, prog_bar=True)
        return given + self.config.loss.critic_weight * self.balance * opinion

    def _given_losses(self, real, drawn, smooth):
        """How far a picture is from the galaxy that it is drawn from; no opinion of the critic."""
        return {'light': functional.smooth_l1_loss(_blocks(drawn), _blocks(smooth)),
                'place': self._misplaced(drawn, real, smooth),
                **self._perceived_losses(real, drawn)}

    def _unlike_texture(self, drawn, other, real):
        """Two pictures of each galaxy: their power shall be the data's, and scatter as much."""
        pictures = self.preprocess.composite(torch.cat([drawn, other, real]))
        return energy_score(*band_powers(pictures).chunk(3))

    def _misplaced(self, drawn, real, smooth):
        """
        Light of small blocks against the data's, where the galaxy is bright.

        The sky's texture is nowhere in the latents: asked for, it would only be drawn fainter.
        """
        light = (smooth - self.preprocess.normalise(self.preprocess.sky)).mean(1, keepdim=True)
        roll = torch.randint(0, PLACED, (2,)).tolist()  # or just these blocks would show
        drawn, real, light = (torch.roll(side, roll, (2, 3)) for side in (drawn, real, light))
        light = _blocks(light.clamp(min=0.0), PLACED)
        apart = (_blocks(drawn, PLACED) - _blocks(real, PLACED)).square()
        return (light * apart).mean() / (light.mean() + 1e-6)

    def _perceived_losses(self, real, drawn):
        """
        What the encoder sees in both, and the code that it reads.

        Both are moved by the same few pixels: the encoder begins with blocks of 4 x 4 pixels, and
        a picture could please it by a pattern of just these blocks.
        """
        encoder, roll = self.model.encoder, torch.randint(-BLOCK, BLOCK + 1, (2,)).tolist()
        real, drawn = (torch.roll(side, roll, (2, 3)) for side in (real, drawn))
        with torch.no_grad():
            seen = encoder.seen(channels_last(real))
        again = encoder.seen(channels_last(drawn))
        return {'perceived': functional.l1_loss(again, seen) / seen.abs().mean(),
                'code': losses.posterior_divergence(*encoder.read(seen), *encoder.read(again))}

    def _augmented(self, *images):
        """All moved and dimmed alike."""
        n = len(images[0])
        roll = torch.randint(-MAX_ROLL, MAX_ROLL + 1, (2,)).tolist()
        gain = torch.exp(BRIGHTNESS * torch.randn(n, 1, 1, 1, device=self.device))
        return [gain * torch.roll(side, roll, (2, 3)) for side in images]

    def _teach_critic(self, real, drawn, smooth, latent):
        """A step of the critic; returns its loss."""
        is_penalised = self.batch_number % PENALTY_EVERY == 0
        real, drawn = (side.detach().requires_grad_(is_penalised) for side in (real, drawn))
        with torch.enable_grad():
            of_real, of_drawn = (self.critic(side, smooth, latent)[0] for side in (real, drawn))
            loss = _relative(of_drawn, of_real)
            total = loss
            if is_penalised:
                for scores, side in ((of_real, real), (of_drawn, drawn)):
                    score = sum(of.mean((1, 2, 3)).sum() for of in scores)
                    slope, = torch.autograd.grad(score, side, create_graph=True)
                    penalty = slope.square().sum((1, 2, 3)).mean()
                    total = total + 0.5 * PENALTY_EVERY * self.config.loss.penalty * penalty
            self.critic_optimizer.zero_grad()
            total.backward()
            self.critic_optimizer.step()
        return loss.detach()

    def _critic_losses(self, real, drawn, smooth, latent):
        """How far drawn images are from fooling the critic, and their features from data's."""
        with torch.no_grad():
            of_real, real_features = self.critic(real, smooth, latent)
        of_drawn, features = self.critic(drawn, smooth, latent)
        # means over the patches: knots are where they are by chance
        apart = [functional.l1_loss(one.mean((2, 3)), two.mean((2, 3)))
                 + functional.l1_loss(one.std((2, 3)), two.std((2, 3)))
                 for one, two in zip(features, real_features)]
        return _relative(of_real, of_drawn), sum(apart) / len(apart)

    def _follow_balance(self, given, opinion):
        """The running ratio of the gradients of both parts at the last layer."""
        last = self.generator.detail.weight
        size = [torch.autograd.grad(part, last, retain_graph=True)[0].norm()
                for part in (given, opinion)]
        ratio = (size[0] / (size[1] + 1e-6)).clamp(0.0, MAX_BALANCE)
        self.balance.mul_(BALANCE_MEMORY).add_((1.0 - BALANCE_MEMORY) * ratio.detach())

    def on_save_checkpoint(self, checkpoint):
        checkpoint['critic_optimizer'] = self.critic_optimizer.state_dict()

    def on_load_checkpoint(self, checkpoint):
        self.critic_optimizer.load_state_dict(checkpoint['critic_optimizer'])

    def configure_optimizers(self):
        fit = self.config.training
        optimizer = torch.optim.Adam(self.generator.parameters(), fit.learning_rate, CRITIC_BETAS)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / max(fit.warmup_share * fit.steps, 1.0)))
        return {'optimizer': optimizer,
                'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}


def _blocks(images, side=SMOOTHED):
    return functional.avg_pool2d(images, side)


def _relative(worse, better):
    """How far scores of one side are from being below those of the other, patch by patch."""
    parts = [functional.softplus(low - high).mean() for low, high in zip(worse, better)]
    return sum(parts) / len(parts)
