# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How far galaxies lie from others: one class a way, all of one shape.

Each has ``fit(rows)``, with rows of a `Sample` that have no flags, and ``distances(rows)``,
larger for what is odder.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from galvae_affiliated.explore._latents import LatentTable, fit_metric, spread
from galvae_affiliated.explore._nearest import one_blas_thread
from galvae_affiliated.models._devices import usable_threads

BLOCK = 2048  # rows whose distances to the reference are in memory at a time


@dataclass(frozen=True)
class Sample:
    """
    Rows of a table, as the estimators take them.

    Attributes
    ----------
    latents : `~galvae_affiliated.explore._latents.LatentTable`
    kinds : (N,) int array or None
        Class of each galaxy, by its likeliest answers.
    """

    latents: LatentTable
    kinds: np.ndarray | None = None

    def rows(self, rows):
        """The sample of some rows."""
        return Sample(self.latents.rows(rows), None if self.kinds is None else self.kinds[rows])


class NeighborDistance:
    """
    Distance to the k-th neighbour: one over the density, averaged over as many galaxies.

    Parameters
    ----------
    metric : str or None
        See `~galvae_affiliated.explore._latents.fit_metric`.
    share : float or None
        k as a share of the reference: the density is then that of a region, which a handful
        of galaxies that are odd in the same way do not fill.
    k : int, optional
        In place of the share.
    max_reference : int
        Rows, evenly spaced, among which neighbours are sought.
    """

    def __init__(self, metric=None, *, share=None, k=None, max_reference=4000):
        self.metric = metric
        self.share = share
        self.k = k
        self.max_reference = max_reference

    def fit(self, sample):
        self._metric = fit_metric(sample.latents, self.metric)
        reference = self._metric(sample.latents.latent)
        self._reference = reference[spread(np.arange(len(reference)), self.max_reference)]
        wanted = self.k or int(round(self.share * len(self._reference)))
        self._k = min(max(wanted, 1), len(self._reference))
        self._right = np.vstack([-2.0 * self._reference.T,
                                 (self._reference**2).sum(axis=1)]).astype(np.float32)
        return self

    def distances(self, sample):
        place = self._metric(sample.latents.latent)
        starts = range(0, len(place), BLOCK)
        with one_blas_thread(), ThreadPoolExecutor(usable_threads()) as pool:
            parts = pool.map(lambda start: self._kth(place[start : start + BLOCK]), starts)
            return np.concatenate([*parts, np.zeros(0)])

    def _kth(self, place):
        """Distance of each row to its k-th neighbour in the reference."""
        left = np.column_stack([place, np.ones(len(place), dtype=np.float32)])
        squares = left @ self._right
        squares.partition(self._k - 1, axis=1)
        square = squares[:, self._k - 1].astype(float) + (place.astype(float) ** 2).sum(axis=1)
        return np.sqrt(np.maximum(square, 0.0))


class Mahalanobis:
    """Distance to the mean of all in whitened latents."""

    def fit(self, sample):
        self._metric = fit_metric(sample.latents, 'white')
        return self

    def distances(self, sample):
        return np.linalg.norm(self._metric(sample.latents.latent), axis=1).astype(float)


class MixtureDensity:
    """Minus the log density of a mixture of Gaussians in whitened latents."""

    def __init__(self, n_components=16, rows_each=200, max_rows=10_000):
        self.n_components = n_components
        self.rows_each = rows_each
        self.max_rows = max_rows

    def fit(self, sample):
        from sklearn.mixture import GaussianMixture

        self._metric = fit_metric(sample.latents, 'white')
        place = self._metric(sample.latents.latent[spread(np.arange(len(sample.latents)),
                                                          self.max_rows)])
        n = int(np.clip(len(place) // self.rows_each, 1, self.n_components))
        # a variance is added to each direction, that of a tenth of the spread of all
        self._mixture = GaussianMixture(n, reg_covar=0.1, max_iter=50, tol=0.01, random_state=0)
        with one_blas_thread(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # that it goes on improving in the third digit
            self._mixture.fit(place)
        return self

    def distances(self, sample):
        place = self._metric(sample.latents.latent)
        return -np.concatenate([self._mixture.score_samples(place[i : i + 65536])
                                for i in range(0, len(place), 65536)] or [np.zeros(0)])


class IsolationDepth:
    """How soon random cuts of the latents leave a galaxy alone: an isolation forest."""

    def __init__(self, n_trees=300, max_rows=20_000):
        self.n_trees = n_trees
        self.max_rows = max_rows

    def fit(self, sample):
        from sklearn.ensemble import IsolationForest

        self._metric = fit_metric(sample.latents, 'white')
        rows = spread(np.arange(len(sample.latents)), self.max_rows)
        self._forest = IsolationForest(n_estimators=self.n_trees, random_state=0)
        self._forest.fit(self._metric(sample.latents.latent[rows]))
        return self

    def distances(self, sample):
        return -self._forest.score_samples(self._metric(sample.latents.latent))


class ClassDistance:
    """
    Distance to the mean of a galaxy's class over the median of that class.

    The criterion of Xu et al. (2023, MNRAS 526, 6391), in units of the errors of the latents.
    Classes of fewer than ``least`` galaxies count as one.
    """

    def __init__(self, least=20):
        self.least = least

    def fit(self, sample):
        if sample.kinds is None:
            raise ValueError("method='class-distance' needs the predicted vote fractions of the "
                             "model's questions; add_morphology adds them")
        self._metric = fit_metric(sample.latents)
        place = self._metric(sample.latents.latent)
        self._means, self._medians = {}, {}
        for kind in (None, *np.unique(sample.kinds)):
            own = place if kind is None else place[sample.kinds == kind]
            if kind is None or len(own) >= self.least:
                mean = own.mean(axis=0)
                self._means[kind] = mean
                self._medians[kind] = np.median(np.linalg.norm(own - mean, axis=1))
        return self

    def distances(self, sample):
        place = self._metric(sample.latents.latent)
        result = np.zeros(len(place))
        for kind in np.unique(sample.kinds):
            rows = sample.kinds == kind
            known = kind if kind in self._means else None
            away = np.linalg.norm(place[rows] - self._means[known], axis=1)
            result[rows] = away / self._medians[known]
        return result


# k chosen on galaxies of a training split: from 2 to 6 per cent all is alike
METHODS = {
    'density': lambda: NeighborDistance(share=0.04),
    'neighbor': lambda: NeighborDistance('white', k=5, max_reference=20_000),
    'mixture': MixtureDensity,
    'isolation-forest': IsolationDepth,
    'mahalanobis': Mahalanobis,
    'class-distance': ClassDistance,
}
"""Name of a method to what makes its estimator."""


def make_estimator(method):
    """The estimator of a name, or an error that lists the names."""
    if method not in METHODS:
        raise ValueError(f'the method is {method!r}; expected one of {", ".join(METHODS)}')
    return METHODS[method]()
