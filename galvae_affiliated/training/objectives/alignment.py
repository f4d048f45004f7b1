# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How far the latents of two surveys are apart, as a loss, within kinds of galaxies."""

import torch

__all__ = ['LatentMemory', 'weighted_mmd']

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernels, times the median of the squared distances
KIND_WIDTH = 0.3  # of predicted fractions: galaxies further apart are of another kind


class LatentMemory:
    """
    Latents of the last batches, so that distributions are compared and not two handfuls.

    Parameters
    ----------
    size : int
        Rows that are kept.
    """

    def __init__(self, size):
        self.size = size
        self.kept = None

    def with_new(self, latent, kind):
        """New latents, through which the gradient goes, before those that are remembered."""
        both = (latent, kind)
        if self.kept is not None:
            both = tuple(torch.cat([new, old]) for new, old in zip(both, self.kept))
        self.kept = tuple(values.detach()[:self.size] for values in both)
        return both


def weighted_mmd(source, source_kind, other, other_kind):
    """
    Squared maximum mean discrepancy between two sets, within kinds (Gretton et al. 2012).

    The kernel is the mean of five Gaussians in the latents, and each galaxy of
    the source counts by how common its kind is in the other set: sets that
    hold other shares of the kinds, each distributed alike, are not apart.

    Parameters
    ----------
    source, other : (N, n_latents), (M, n_latents) tensors
    source_kind, other_kind : (N, k), (M, k) tensors
        Predicted vote fractions.

    Returns
    -------
    loss : tensor
        Of zero for equal distributions; a little below by chance.

    References
    ----------
    Gretton, A. et al. 2012, JMLR 13, 723.
    """
    weight = _kind_weights(source_kind, other_kind)
    equal = torch.full_like(other[:, 0], 1.0 / len(other))
    between = torch.cdist(source, other) ** 2
    scale = between.detach().median().clamp(min=1e-6)
    within_source, within_other = torch.cdist(source, source) ** 2, torch.cdist(other, other) ** 2
    return (_mean_kernel(within_source, scale, weight, weight, is_same=True)
            + _mean_kernel(within_other, scale, equal, equal, is_same=True)
            - 2.0 * _mean_kernel(between, scale, weight, equal))


def _kind_weights(source_kind, other_kind):
    """(N,) weights, of sum one: how common each one's kind is in the other set over its own."""
    def density(of):
        return torch.exp(-0.5 * torch.cdist(source_kind, of) ** 2 / KIND_WIDTH ** 2).mean(1)

    ratio = density(other_kind) / density(source_kind).clamp(min=1e-6)
    return ratio / ratio.sum().clamp(min=1e-6)


def _mean_kernel(square, scale, rows, columns, *, is_same=False):
    kernel = sum(torch.exp(-square / (width * scale)) for width in WIDTHS) / len(WIDTHS)
    weight = rows[:, None] * columns[None, :]
    if is_same:  # a galaxy is no sample of its own neighbours
        weight = weight - torch.diag(weight.diagonal())
    return (weight * kernel).sum() / weight.sum().clamp(min=1e-6)
