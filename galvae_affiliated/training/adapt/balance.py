# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Weights of terms by the size of their gradients."""

import torch

__all__ = ['GradientBalance']

DECAY = 0.9  # a step, of the running mean of the sizes
TINY = 1e-12


class GradientBalance:
    """
    Gives each term the same pull on the latents, and all together that of a moved source.

    A discrepancy may be a thousandth of a residual, and a weight that is typed in then does
    nothing. Here each term's gradient is divided by its running size; their sum has the size that
    the anchor's gradient has when the source's latents lie ``tolerance`` standard deviations
    from where they were.

    Parameters
    ----------
    names : sequence of str
        Of the terms.
    tolerance : float
        Root mean square, in standard deviations of a latent.
    """

    def __init__(self, names, tolerance):
        self.tolerance = tolerance
        self.strength = 1.0
        self.sizes = dict.fromkeys(names)

    def weights(self, gradients, n_anchored, n_latents):
        """
        Weight of each term at this step.

        Parameters
        ----------
        gradients : dict of str to tensor
            Of each term with respect to all latents of the step.
        n_anchored : int
            Galaxies that the anchor holds.
        n_latents : int

        Returns
        -------
        weights : dict of str to float
        """
        for name, gradient in gradients.items():
            size = float(gradient.norm())
            known = self.sizes[name]
            self.sizes[name] = size if known is None else DECAY * known + (1.0 - DECAY) * size
        # the anchor is the mean square over galaxies and latents
        full = 2.0 * self.tolerance / (n_anchored * n_latents) ** 0.5
        share = self.strength * full / len(self.sizes)
        return {name: share / max(self.sizes[name], TINY) for name in gradients}

    def relax(self):
        """Halve the pull, as the source is being moved too far."""
        self.strength *= 0.5

    def state(self):
        """dict : What a run needs to go on."""
        return {'strength': self.strength, 'sizes': dict(self.sizes)}

    def load(self, state):
        self.strength = state['strength']
        self.sizes = dict(state['sizes'])


def gradients_of(terms, latents, parameters=()):
    """
    Gradient of each term with respect to the latents, and to its own parameters.

    Parameters
    ----------
    terms : dict of str to tensor
        Scalars.
    latents : tensor
        That all of them depend on.
    parameters : dict of str to list of tensor, optional
        Of terms that learn; these get their ``grad``.

    Returns
    -------
    gradients : dict of str to tensor
        Of the shape of ``latents``.
    """
    gradients = {}
    for name, value in terms.items():
        own = list(dict(parameters).get(name, ()))
        found = torch.autograd.grad(value, [latents, *own], retain_graph=True, allow_unused=True)
        gradients[name] = torch.zeros_like(latents) if found[0] is None else found[0]
        for parameter, gradient in zip(own, found[1:]):
            parameter.grad = gradient
    return gradients
