# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How far the latents of two surveys are apart, as a loss, within kinds of galaxies."""

import torch

__all__ = ['LatentMemory', 'gaussian_kernel', 'kernel_discrepancy', 'kernel_mean',
           'square_distances', 'weighted_mmd']

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
    squares = square_distances(source, other)
    scale = squares[2].detach().median().clamp(min=1e-6)
    kernels = [gaussian_kernel(square, [width * scale for width in WIDTHS]) for square in squares]
    return kernel_discrepancy(kernels, weight, equal)


def _kind_weights(source_kind, other_kind):
    """(N,) weights, of sum one: how common each one's kind is in the other set over its own."""
    def density(of):
        return torch.exp(-0.5 * torch.cdist(source_kind, of) ** 2 / KIND_WIDTH ** 2).mean(1)

    ratio = density(other_kind) / density(source_kind).clamp(min=1e-6)
    return ratio / ratio.sum().clamp(min=1e-6)


def square_distances(source, other):
    """Squared distances within (N, D) rows, within (M, D) others, and from these to those."""
    return [(a.square().sum(1)[:, None] + b.square().sum(1) - 2.0 * a @ b.T).clamp(min=0.0)
            for a, b in ((source, source), (other, other), (source, other))]


def gaussian_kernel(square, widths):
    """Mean of the Gaussian kernels of squared distances, ``exp(-square / width)``."""
    return sum(torch.exp(-square / width) for width in widths) / len(widths)


def kernel_discrepancy(kernels, weight=None, other_weight=None):
    """
    Squared maximum mean discrepancy of two sets, of which each row may have a weight.

    Parameters
    ----------
    kernels : sequence of 3 tensors
        (N, N) within the first, (M, M) within the second, and (N, M) of both.
    weight, other_weight : (N,), (M,) tensors, optional
        None counts all rows alike: the unbiased estimate of Gretton et al. (2012).

    Returns
    -------
    discrepancy : tensor
    """
    within, within_other, across = kernels
    return (kernel_mean(within, weight, weight, is_within=True)
            + kernel_mean(within_other, other_weight, other_weight, is_within=True)
            - 2.0 * kernel_mean(across, weight, other_weight))


def kernel_mean(kernel, rows=None, columns=None, *, is_within=False):
    """
    Mean of a kernel over pairs of rows.

    Parameters
    ----------
    kernel : (N, M) tensor
    rows, columns : (N,), (M,) tensors, optional
        Weights; None counts all alike.
    is_within : bool, optional
        Rows and columns are the same galaxies; one with itself is no pair.

    Returns
    -------
    mean : tensor
    """
    rows, columns = (kernel.new_ones(n) if values is None else values
                     for values, n in zip((rows, columns), kernel.shape))
    weight = rows[:, None] * columns
    if is_within:
        weight = weight - torch.diag(weight.diagonal())
    return (weight * kernel).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)
