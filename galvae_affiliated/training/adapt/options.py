# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What decides how a model is adapted to another survey."""

import difflib
import math
from dataclasses import asdict, dataclass

__all__ = ['LOSSES', 'AdaptationOptions']

# by name, what each term asks; see `galvae_affiliated.training.adapt.terms`
LOSSES = {
    'consistency': 'a view that imitates the other survey keeps the latents of the galaxy',
    'mmd': 'maximum mean discrepancy with five kernels',
    'conditional-mmd': 'the same between galaxies of like predicted answers',
    'sinkhorn': 'Sinkhorn divergence, of optimal transport',
    'coral': 'means and covariances are equal',
    'adversarial': 'a network cannot tell the surveys apart',
    'pairs': 'one galaxy has the same latents in both surveys',
}


@dataclass(frozen=True)
class AdaptationOptions:
    """
    How a model is adapted.

    Attributes
    ----------
    losses : tuple of str
        Names of the terms that bring the surveys together, any of 'consistency', 'mmd',
        'conditional-mmd', 'sinkhorn', 'coral', 'adversarial' and 'pairs'. The last asks for
        pairs, and is taken without being named where there are pairs.
    steps : int
        Optimiser steps at most.
    batch_size : int
        Galaxies of each survey a step.
    learning_rate : float
        Highest learning rate of AdamW.
    tolerance : float
        How far the latents of the source may be moved, root mean square in standard deviations of
        a latent: there the pull of the anchor equals that of all terms together.
    max_source_loss : float
        Largest growth of the source's vote loss, in nats a question, of a model that is kept.
    validate_every : int
        Steps between two looks at the held-out galaxies.
    patience : int
        Looks without a smaller discrepancy after which the run ends.
    held_out_share : float
        Share of each survey's galaxies, and of the pairs, that are measured on and not learnt
        from.
    max_galaxies : int
        Galaxies of each survey at most; of more, some are drawn.
    settling_steps : int
        Steps after those in which the decoder alone learns, from both surveys; 0 keeps it.
    random_state : int

    Raises
    ------
    ValueError
        Naming what is wrong, what was given and what was expected.

    Examples
    --------
    >>> from galvae_affiliated.training.adapt.options import AdaptationOptions
    >>> AdaptationOptions(losses=('consistency', 'coral'), steps=200).steps
    200
    """

    losses: tuple = ('consistency', 'conditional-mmd')
    steps: int = 600
    batch_size: int = 64
    learning_rate: float = 3e-4
    tolerance: float = 0.2
    max_source_loss: float = 0.01
    validate_every: int = 50
    patience: int = 5
    held_out_share: float = 0.25
    max_galaxies: int = 8000
    settling_steps: int = 0
    random_state: int = 0

    def __post_init__(self):
        object.__setattr__(self, 'losses', _checked_losses(self.losses))
        for name, least in (('steps', 1), ('batch_size', 2), ('validate_every', 1),
                            ('patience', 1), ('max_galaxies', 1), ('settling_steps', 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f'{name} is {value!r}; expected a whole number of at least '
                                 f'{least}')
        for name in ('learning_rate', 'tolerance', 'max_source_loss'):
            value = getattr(self, name)
            if not value > 0 or math.isinf(value):
                raise ValueError(f'{name} is {value!r}; expected a positive number')
        if not 0.0 < self.held_out_share <= 0.5:
            raise ValueError(f'held_out_share is {self.held_out_share!r}; expected more than 0 and '
                             'at most 0.5')

    def entries(self):
        """dict : The options as a manifest holds them."""
        return {**asdict(self), 'losses': list(self.losses)}


def _checked_losses(losses):
    losses = (losses,) if isinstance(losses, str) else tuple(losses)
    if not losses:
        raise ValueError(f'losses is empty; expected some of {", ".join(LOSSES)}')
    for name in losses:
        if name not in LOSSES:
            near = difflib.get_close_matches(str(name), LOSSES, n=1)
            hint = f'did you mean {near[0]!r}?' if near else f'there are {", ".join(LOSSES)}'
            raise ValueError(f'there is no loss {name!r}; {hint}')
    return tuple(dict.fromkeys(losses))
