# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A mixture of Gaussians in NumPy: log density, samples, and conditionals in closed form."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from galvae_affiliated.exceptions import BundleError

__all__ = ['GaussianMixture', 'log_sum_exp', 'packed', 'positive_factors', 'unpacked']

BLOCK = 2048  # rows at a time, whose distances to all components are in memory


@dataclass(frozen=True)
class GaussianMixture:
    """
    K Gaussians in D dimensions.

    Attributes
    ----------
    weights : (K,) array
        They sum to one.
    means : (K, D) array
    factors : (K, D, D) array
        Lower triangular: factor times its transpose is the covariance matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.models import GaussianMixture
    >>> mixture = GaussianMixture(np.array([0.5, 0.5]), np.array([[-2.0], [2.0]]),
    ...                           np.ones((2, 1, 1)))
    >>> mixture.responsibilities([[2.0]]).round(3).tolist()
    [[0.0, 1.0]]
    """

    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray

    @classmethod
    def of_arrays(cls, arrays, prefix, size):
        """
        The mixture in the arrays of a bundle's part.

        Parameters
        ----------
        arrays : dict of str to array
            ``weights``, ``means`` and lower triangles ``factors``, each after a prefix.
        prefix : str
        size : int
            Number of dimensions.

        Returns
        -------
        mixture : `GaussianMixture`

        Raises
        ------
        BundleError
            If they cannot be those of one.
        """
        weights = arrays[f'{prefix}weights']
        if not len(weights) or (weights < 0).any() or abs(weights.sum() - 1.0) > 1e-3:
            raise BundleError(f'{prefix}weights are no weights of a mixture: they sum to '
                              f'{weights.sum():.3g}')
        factors = positive_factors(arrays[f'{prefix}factors'], size, f'{prefix}factors')
        return cls(weights / weights.sum(), arrays[f'{prefix}means'], factors)

    def arrays(self, prefix=''):
        """dict of str to array : What `of_arrays` takes."""
        return {f'{prefix}weights': self.weights, f'{prefix}means': self.means,
                f'{prefix}factors': packed(self.factors)}

    @cached_property
    def _inverses(self):
        return np.linalg.inv(self.factors)

    @cached_property
    def _norms(self):
        """(K,) logarithms of the weights and of the heights of the Gaussians."""
        diagonal = np.diagonal(self.factors, axis1=1, axis2=2)
        height = -np.log(diagonal).sum(axis=1) - 0.5 * self.means.shape[1] * np.log(2.0 * np.pi)
        with np.errstate(divide='ignore'):  # of components that a condition rules out
            return np.log(self.weights) + height

    def component_log_densities(self, values):
        """(N, K) logarithms of weight times density of each component, of (N, D) values."""
        values = np.asarray(values, dtype=float)
        result = np.empty((len(values), len(self.weights)))
        for start in range(0, len(values), BLOCK):
            some = values[start:start + BLOCK]
            for k, inverse in enumerate(self._inverses):
                deviates = (some - self.means[k]) @ inverse.T
                result[start:start + BLOCK, k] = -0.5 * np.einsum('nd,nd->n', deviates, deviates)
        return result + self._norms

    def log_density(self, values):
        """(N,) natural logarithms of the density at (N, D) values."""
        return log_sum_exp(self.component_log_densities(values))

    def responsibilities(self, values):
        """(N, K) probabilities of each component, given (N, D) values."""
        logs = self.component_log_densities(values)
        return np.exp(logs - log_sum_exp(logs)[:, None])

    def sample(self, n, rng, temperature=1.0):
        """
        Draw values.

        Parameters
        ----------
        n : int
        rng : `numpy.random.Generator`
        temperature : float, optional
            Factor on the standard deviations of each component.

        Returns
        -------
        values : (n, D) array
            In random order.
        component : (n,) int array
        """
        component = rng.choice(len(self.weights), n, p=self.weights / self.weights.sum())
        values = rng.standard_normal((n, self.means.shape[1]))
        for k in np.unique(component):
            rows = component == k
            values[rows] = values[rows] @ (temperature * self.factors[k].T) + self.means[k]
        return values, component


def log_sum_exp(logs):
    """(N,) logarithms of the sums of the exponentials of (N, K) numbers."""
    top = logs.max(axis=1)
    # a row of nothing but minus infinity stays so
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide='ignore'):
        return top + np.log(np.exp(logs - top[:, None]).sum(axis=1))


def packed(factors):
    """(K, D (D + 1) / 2) lower triangles of (K, D, D) matrices."""
    return factors[:, *np.tril_indices(factors.shape[1])]


def unpacked(triangles, size):
    """(K, D, D) matrices of their (K, D (D + 1) / 2) lower triangles; the rest is zero."""
    factors = np.zeros((len(triangles), size, size))
    factors[:, *np.tril_indices(size)] = triangles
    return factors


def positive_factors(triangles, size, name):
    """Matrices of their lower triangles, or BundleError if a diagonal is not above zero."""
    factors = unpacked(triangles, size)
    if not (np.diagonal(factors, axis1=1, axis2=2) > 0).all():
        raise BundleError(f'{name} has a width that is not above zero')
    return factors
