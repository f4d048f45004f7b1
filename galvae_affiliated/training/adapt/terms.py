# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The terms that bring the latents of two surveys together, all of one shape."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from galvae_affiliated.training.objectives.alignment import (
    gaussian_kernel,
    kernel_discrepancy,
    square_distances,
)

__all__ = ['TERMS', 'Codes', 'make_terms']

OCTAVES = (-2, -1, 0, 1, 2)  # of the widths of kernels about the median distance
BLUR, SCALING = 0.05, 0.9  # of the Sinkhorn divergence, in units of the spread of the latents
HIDDEN = 128  # units a layer of the network that tells the surveys apart


@dataclass(frozen=True)
class Codes:
    """
    Latents of one step, whitened: a unit is a standard deviation of the source.

    Attributes
    ----------
    source : (N, D) tensor
        Of source galaxies whose predicted answers are distributed as the target's; no gradient.
    source_answers : (N, A) tensor
        Their predicted answers, standardised.
    target : (M, D) tensor
        Of target galaxies.
    target_answers : (M, A) tensor
    target_known : (M, D) tensor
        What the encoder gave, before it was adapted, of views of these galaxies that imitate the
        source; empty where no imitation brings them nearer to it.
    memory, memory_answers : (K, D), (K, A) tensors
        Of target galaxies of the last steps; no gradient.
    view, view_known : (V, D) tensors
        Of views of source galaxies that imitate the target, and what the encoder gave, before it
        was adapted, of these galaxies.
    pair, pair_known : (P, D) tensors
        Of target galaxies, and what the source's image of the same galaxy had; empty where no
        pairs are known.
    """

    source: torch.Tensor
    source_answers: torch.Tensor
    target: torch.Tensor
    target_answers: torch.Tensor
    target_known: torch.Tensor
    memory: torch.Tensor
    memory_answers: torch.Tensor
    view: torch.Tensor
    view_known: torch.Tensor
    pair: torch.Tensor
    pair_known: torch.Tensor

    @property
    def all_target(self):
        """(M + K, D) tensor: target galaxies of this step and of the last ones."""
        return torch.cat([self.target, self.memory])


class DiscrepancyTerm(nn.Module):
    """
    Squared maximum mean discrepancy, with Gaussian kernels of five widths.

    The unbiased estimate of Gretton et al. (2012), widths about the median distance.

    Parameters
    ----------
    is_conditional : bool, optional
        A second kernel, of the predicted answers: only galaxies of like answers are compared, so
        that kinds which are more frequent in one survey are not pulled to others.

    References
    ----------
    Gretton, A. et al. 2012, JMLR 13, 723.
    """

    def __init__(self, *, is_conditional=False):
        super().__init__()
        self.is_conditional = is_conditional

    def forward(self, codes):
        source, target = codes.source, codes.all_target
        kernels = _latent_kernels(source, target)
        if self.is_conditional and codes.source_answers.shape[1]:
            answers = torch.cat([codes.target_answers, codes.memory_answers])
            likeness = _answer_kernels(codes.source_answers, answers)
            kernels = [k * like for k, like in zip(kernels, likeness)]
        return kernel_discrepancy(kernels)


def _latent_kernels(source, target):
    """Kernels within the source, within the target, and of both; a mean over the widths."""
    squares = square_distances(source, target)
    middle = squares[2].detach().median()
    return [gaussian_kernel(square, [2.0 * middle * 4.0 ** octave for octave in OCTAVES])
            for square in squares]


def _answer_kernels(source, target):
    """One Gaussian kernel of answers, as wide as half the median distance."""
    squares = square_distances(source, target)
    scale = (squares[2].median() / 4.0).clamp(min=1e-6)
    return [gaussian_kernel(square, [2.0 * scale]) for square in squares]


class SinkhornTerm(nn.Module):
    """
    Sinkhorn divergence: optimal transport between the surveys, smoothed by an entropy.

    References
    ----------
    Feydy, J. et al. 2019, AISTATS (arXiv:1810.08278).
    """

    def __init__(self):
        super().__init__()
        try:
            from geomloss import SamplesLoss
        except ImportError:
            raise ImportError("the loss 'sinkhorn' needs geomloss: "
                              "pip install 'galvae_affiliated[train]'") from None
        self.divergence = SamplesLoss('sinkhorn', p=2, blur=BLUR, scaling=SCALING,
                                      backend='tensorized')

    def forward(self, codes):
        # the blur is a length: in units of the spread it is the same for any number of latents
        spread = codes.source.shape[1] ** 0.5
        return self.divergence(codes.all_target / spread, codes.source / spread)


class CovarianceTerm(nn.Module):
    """
    CORAL: mean square difference of means and covariances.

    References
    ----------
    Sun, B., Saenko, K. 2016, ECCV workshops (arXiv:1607.01719).
    """

    def forward(self, codes):
        source, target = codes.source, codes.all_target
        shift = (source.mean(0) - target.mean(0)).square().mean()
        return shift + (source.T.cov() - target.T.cov()).square().mean()


class AdversarialTerm(nn.Module):
    """
    A network learns to tell the surveys apart, and the encoder to leave it nothing.

    References
    ----------
    Ganin, Y. et al. 2016, JMLR 17, 59 (gradient reversal).
    """

    def __init__(self, n_latents):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_latents, HIDDEN), nn.ReLU(),
                                    nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))

    def forward(self, codes):
        latent = torch.cat([codes.source, _Reversal.apply(codes.all_target)])
        is_target = torch.zeros(len(latent), device=latent.device)
        is_target[len(codes.source):] = 1.0
        # both surveys weigh the same, however many galaxies of each there are
        n = len(codes.source), len(codes.all_target)
        weight = torch.where(is_target > 0, 0.5 / n[1], 0.5 / n[0])
        loss = functional.binary_cross_entropy_with_logits(
            self.layers(latent)[:, 0], is_target, reduction='none')
        return (weight * loss).sum()


class _Reversal(torch.autograd.Function):
    """The same values, and the gradient with its sign turned."""

    @staticmethod
    def forward(_, values):
        return values.view_as(values)

    @staticmethod
    def backward(_, gradient):
        return -gradient


class ConsistencyTerm(nn.Module):
    """
    Views that imitate the other survey keep the latents that the galaxy had.

    Of the source, views that imitate the target keep the latents of the image; of the target,
    images come to the latents of their views that imitate the source.
    """

    def forward(self, codes):
        loss = (codes.view - codes.view_known).square().mean()
        if len(codes.target_known):
            loss = loss + (codes.target - codes.target_known).square().mean()
        return loss


class PairTerm(nn.Module):
    """The galaxies that are known in both surveys have the latents of the source."""

    def forward(self, codes):
        if not len(codes.pair):
            return codes.target.sum() * 0.0
        return (codes.pair - codes.pair_known).square().mean()


TERMS = {
    'consistency': lambda n: ConsistencyTerm(),
    'mmd': lambda n: DiscrepancyTerm(),
    'conditional-mmd': lambda n: DiscrepancyTerm(is_conditional=True),
    'sinkhorn': lambda n: SinkhornTerm(),
    'coral': lambda n: CovarianceTerm(),
    'adversarial': AdversarialTerm,
    'pairs': lambda n: PairTerm(),
}


def make_terms(names, n_latents):
    """
    Terms by name.

    Parameters
    ----------
    names : sequence of str
        See `~galvae_affiliated.training.adapt.options.LOSSES`.
    n_latents : int

    Returns
    -------
    terms : `torch.nn.ModuleDict`
        Each takes `Codes` and gives a scalar.
    """
    return nn.ModuleDict({name: TERMS[name](n_latents) for name in names})
