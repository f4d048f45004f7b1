# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The steps in which an encoder is adapted, and where a run that was killed goes on."""

import copy
import logging
import math
from pathlib import Path

import numpy as np
import torch

from galvae_affiliated._atomic import replacing
from galvae_affiliated.training.adapt.balance import GradientBalance, gradients_of
from galvae_affiliated.training.adapt.look import imitate
from galvae_affiliated.training.adapt.measure import held_out_scores
from galvae_affiliated.training.adapt.setup import trainable_copy
from galvae_affiliated.training.adapt.terms import Codes, make_terms
from galvae_affiliated.training.checkpoints import LAST, read_checkpoint
from galvae_affiliated.training.data.augment import turned_views

__all__ = ['Adaptation', 'turned']

logger = logging.getLogger(__name__)
N_BANK = 8  # batches of the source's known latents that a step compares with
N_MEMORY = 4  # batches of the target of the last steps
N_PAIRS = 16  # a step
WEAKEST, STRONGEST = 0.0, 1.5  # imitation of the target by views of the source
SPREAD = 0.1  # of the light and colour of these
MAX_ZOOM, MAX_SHIFT = 0.2, 2.0  # of these: radii and centres that two surveys measure differ
EMA_DECAY = 0.98
WARMUP_SHARE = 0.05
WEIGHT_DECAY = 1e-4
MAX_NORM = 5.0  # of the gradient of the weights


class Adaptation:
    """
    A run: the encoder is learnt, everything else stays.

    Each step has target galaxies, source galaxies as they are, which the anchor holds where
    they were, and views of these that imitate the target.

    Parameters
    ----------
    setup : `~galvae_affiliated.training.adapt.setup.Setup`
    options : `~galvae_affiliated.training.adapt.options.AdaptationOptions`
    """

    def __init__(self, setup, options):
        self.setup, self.options = setup, options
        self.device = next(setup.network.parameters()).device
        self.network = trainable_copy(setup.network)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        names = [name for name in options.losses if name != 'pairs']
        self.learnt_pairs = setup.pairs[~setup.held_pairs]
        names += ['pairs'] * bool(len(self.learnt_pairs))
        n = setup.model.n_latents
        torch.manual_seed(options.random_state)
        self.terms = make_terms(names, n).to(self.device)
        self.balance = GradientBalance(names, options.tolerance)
        # those of the decoder are not used
        weights = list(self.network.encoder.parameters())
        self.optimizer = torch.optim.AdamW(weights, options.learning_rate,
                                           weight_decay=WEIGHT_DECAY)
        learning = list(self.terms.parameters())
        self.critic = torch.optim.Adam(learning, 1e-3) if learning else None
        self.whitening = [self._tensor(values) for values in
                          (setup.whitening.mean, setup.whitening.matrix)]
        self.known = [self._tensor(setup.whitening(values)) for values in
                      (setup.source_known, setup.target_known)]
        self.answers = [self._tensor(values) for values in
                        (setup.source_answers, setup.target_answers)]
        self.memory = [torch.empty(0, n, device=self.device),
                       torch.empty(0, self.answers[1].shape[1], device=self.device)]
        self.step, self.history, self.best, self.misses = 0, [], None, 0

    def _tensor(self, values):
        return torch.from_numpy(np.asarray(values, dtype=np.float32)).to(self.device)

    def run(self, folder=None, *, progress=None):
        """
        Make all steps that are left, and keep the best weights.

        Parameters
        ----------
        folder : path, optional
            Of the checkpoint; a run whose checkpoint is there goes on from it.
        progress : callable, optional
            Takes the steps done and all.

        Returns
        -------
        network : `~galvae_affiliated.training.networks.model.GalaxyVAE` or None
            That with the smallest discrepancy of held-out galaxies, among those that leave the
            source as it is; None if there is none.
        """
        options = self.options
        folder = None if folder is None else Path(folder)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._resume(folder / LAST)
        if not self.history:
            self._look()
        while self.step < options.steps and self.misses < options.patience:
            self._make_step()
            self.step += 1
            if progress is not None:
                progress(self.step, options.steps)
            if self.step % options.validate_every == 0 or self.step == options.steps:
                self._look()
                if folder is not None:
                    self._save(folder / LAST)
        if progress is not None and self.step < options.steps:
            progress(options.steps, options.steps)  # stopped early
        if self.best is None:
            return None
        network = copy.deepcopy(self.averaged)
        network.load_state_dict(self.best)
        return network

    @property
    def kept(self):
        """dict : What was measured at the step whose weights are kept; None without one."""
        kept = [entry for entry in self.history if entry['is_kept']]
        return kept[-1] if kept else None

    def _make_step(self):
        self._set_rate()
        rng = np.random.default_rng((self.options.random_state, self.step))
        images, rows = self._draw(rng)
        n = [len(some) for some in images]
        mean, logvar = self.network.encoder(self._normalised(torch.cat(images)))
        with torch.no_grad():
            old_mean, old_logvar = self.setup.network.encoder(self._normalised(images[0]))
        latent = self._whitened(mean)
        z = latent.detach().requires_grad_()
        codes = self._codes(z.split(n), self._whitened(old_mean), rows)
        values = {name: term(codes) for name, term in self.terms.items()}
        own = {name: list(term.parameters()) for name, term in self.terms.items()}
        gradients = gradients_of(values, z, own)
        weights = self.balance.weights(gradients, n[0], z.shape[1])
        pull = sum(weights[name] * gradient for name, gradient in gradients.items())
        n_latents = z.shape[1]
        anchor = ((latent[:n[0]] - self._whitened(old_mean)).square().mean()
                  + (mean[:n[0], n_latents:] - old_mean[:, n_latents:]).square().sum() / n[0]
                  / n_latents
                  + (logvar[:n[0]] - old_logvar).square().mean())
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([latent, anchor], [pull, None])
        torch.nn.utils.clip_grad_norm_(self.network.encoder.parameters(), MAX_NORM)
        self.optimizer.step()
        if self.critic:
            self.critic.step()
        self._remember(z.split(n)[2].detach(), rows['target'])
        self._average()

    def _draw(self, rng):
        """Composites of one step (source, its views, target, pairs), and the rows of each."""
        setup, options = self.setup, self.options
        size = options.batch_size
        learnt = np.flatnonzero(~setup.held_source), np.flatnonzero(~setup.held_target)
        half = max(2, size // 2)
        rows = {'view': rng.choice(learnt[0], half), 'target': rng.choice(learnt[1], size),
                'bank': rng.choice(len(setup.weights), N_BANK * size, p=setup.weights)}
        some = rng.choice(len(self.learnt_pairs), min(N_PAIRS, len(self.learnt_pairs)),
                          replace=False)
        rows['pair'] = self.learnt_pairs[some]
        generator = torch.Generator().manual_seed(int(rng.integers(2 ** 31)))
        source = turned(setup.source.composites(rows['view']), rng)
        strength = WEAKEST + (STRONGEST - WEAKEST) * torch.rand(half, generator=generator)
        moved = turned_views(source, MAX_ZOOM, MAX_SHIFT, generator)
        views = imitate(moved, setup.source_look, setup.target_look, generator,
                        aspects=setup.to_target, strength=strength, spread=SPREAD)
        target = turned(setup.target.composites(rows['target']), rng)
        pair = turned(setup.target.composites(rows['pair'][:, 1]), rng)
        return [source, views, target, pair], rows

    def _normalised(self, composites):
        normalised = self.setup.preprocess(composites.to(self.device))[1]
        return normalised.contiguous(memory_format=torch.channels_last)

    def _whitened(self, mean):
        centre, matrix = self.whitening
        return (mean[:, :len(centre)] - centre) @ matrix

    def _codes(self, parts, old, rows):
        _, view, target, pair = parts
        known, answers = self.known, self.answers
        imitating = known[1][rows['target']] if self.setup.to_source else target[:0]
        return Codes(known[0][rows['bank']], answers[0][rows['bank']], target,
                     answers[1][rows['target']], imitating, *self.memory, view, old, pair,
                     known[0][rows['pair'][:, 0]])

    def _remember(self, latent, rows):
        size = N_MEMORY * self.options.batch_size
        self.memory = [torch.cat([new, old])[:size] for new, old in
                       zip((latent, self.answers[1][rows]), self.memory)]

    def _set_rate(self):
        """Linear warm-up, then a cosine to zero."""
        steps = self.options.steps
        warmup = max(1, round(WARMUP_SHARE * steps))
        done = (self.step - warmup) / max(steps - warmup, 1)
        share = min((self.step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * max(done, 0.0)))
        for group in self.optimizer.param_groups:
            group['lr'] = self.options.learning_rate * share

    @torch.no_grad()
    def _average(self):
        # the mean of the first steps is that of those, not of where they began
        decay = min(EMA_DECAY, (1.0 + self.step) / (10.0 + self.step))
        for mean, value in zip(self.averaged.parameters(), self.network.parameters()):
            mean.lerp_(value, 1.0 - decay)

    def _look(self):
        """Measure the held-out galaxies; keep the weights, or go more gently."""
        scores = held_out_scores(self.setup, self.averaged)
        best = min((entry['mmd'] for entry in self.history), default=math.inf)
        is_fine = scores['source_loss'] <= self.options.max_source_loss
        is_kept = is_fine and self.step > 0 and scores['mmd'] < best
        if is_kept:
            self.best = {name: value.clone() for name, value in
                         self.averaged.state_dict().items()}
        self.misses = 0 if is_kept else self.misses + 1 if self.step else 0
        if not is_fine:
            self.balance.relax()
        self.history.append({'step': self.step, **scores, 'strength': self.balance.strength,
                             'is_kept': is_kept})
        logger.info('step %d: discrepancy %.4f, source loss %.4f', self.step, scores['mmd'],
                    scores['source_loss'])

    def _state(self):
        return {'network': self.network.state_dict(), 'averaged': self.averaged.state_dict(),
                'terms': self.terms.state_dict(), 'optimizer': self.optimizer.state_dict(),
                'critic': self.critic.state_dict() if self.critic else None, 'best': self.best,
                'memory': self.memory, 'balance': self.balance.state(), 'step': self.step,
                'misses': self.misses, 'history': self.history}

    def _save(self, path):
        about = {'fingerprint': self.setup.fingerprint, 'options': self.options.entries()}
        with replacing(path) as unfinished:
            torch.save({'state_dict': self._state(), 'galvae_adaptation': about}, unfinished)

    def _resume(self, path):
        if not path.exists():
            return
        saved = read_checkpoint(path)
        about = {'fingerprint': self.setup.fingerprint, 'options': self.options.entries()}
        if saved.get('galvae_adaptation') != about:
            raise ValueError(f'{path}: this run had another model, other galaxies or other '
                             'options; take another folder')
        state = saved['state_dict']
        for name in ('network', 'averaged', 'terms', 'optimizer'):
            getattr(self, name).load_state_dict(state[name])
        if self.critic:
            self.critic.load_state_dict(state['critic'])
        self.balance.load(state['balance'])
        for name in ('best', 'memory', 'step', 'misses', 'history'):
            setattr(self, name, state[name])


def turned(images, rng):
    """
    Images turned by right angles and flipped, all in one way; nothing is resampled.

    Parameters
    ----------
    images : (N, 3, H, W) tensor
    rng : `numpy.random.Generator`
    """
    images = torch.rot90(images, int(rng.integers(4)), (2, 3))
    return images.flip(3) if rng.random() < 0.5 else images
