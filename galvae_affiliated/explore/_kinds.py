# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Ways to divide galaxies into kinds: fitted to a sample, applied to any rows."""

import warnings

import numpy as np

from galvae_affiliated.explore._nearest import nearest_rows, one_blas_thread

NONE = -1
# a row belongs to a mixture's component if this much of its probability does
MEMBERSHIP = 0.5
# of the distances of members from the next member, the quantile within which others join
JOINING = 0.99
BLOCK = 65536


class DensityKinds:
    """
    Regions of high density: HDBSCAN (Campello et al. 2015, ACM TKDD 10, 5).

    A row that was not in the fit belongs to the kind of the nearest row that was, if it is as
    near as members of that kind are to each other.

    Parameters
    ----------
    least : int
        Fewest galaxies of a kind.
    """

    def __init__(self, least):
        self.least = least

    def fit(self, place):
        from sklearn.cluster import HDBSCAN

        fitted = HDBSCAN(min_cluster_size=self.least, min_samples=min(10, self.least),
                         copy=True).fit(place)
        self.labels = fitted.labels_
        self._members = place[self.labels != NONE]
        self._kinds = self.labels[self.labels != NONE]
        self._reach = np.array([_spacing(place[self.labels == kind])
                                for kind in range(self.labels.max() + 1)])
        return self

    def predict(self, place):
        """(N,) kinds, `NONE` for none, and (N,) how sure that is, from 0 to 1."""
        kinds, sure = np.full(len(place), NONE), np.zeros(len(place))
        if len(self._members) == 0:
            return kinds, sure
        for start in range(0, len(place), BLOCK):
            rows = slice(start, start + BLOCK)
            distance, near = nearest_rows(place[rows], [(0, self._members, None)], 1)
            kind = self._kinds[near[:, 0]]
            reach = self._reach[kind]
            kinds[rows] = np.where(distance[:, 0] <= reach, kind, NONE)
            sure[rows] = reach / (reach + distance[:, 0])
        return kinds, sure


class MixtureKinds:
    """
    Components of a mixture of Gaussians, unless one Gaussian describes the galaxies as well.

    Parameters
    ----------
    n_kinds : int
        Number of the components.
    is_tested : bool
        Whether to look at one Gaussian: parts of a sample have too few rows for that.
    """

    def __init__(self, n_kinds, *, is_tested=True):
        self.n_kinds = n_kinds
        self.is_tested = is_tested

    def fit(self, place):
        numbers = {1, self.n_kinds} if self.is_tested else {self.n_kinds}
        mixtures = [self._mixture_of(n, place) for n in numbers]
        # the Bayesian information criterion counts the parameters against the likelihood
        self._mixture = min(mixtures, key=lambda mixture: mixture.bic(place))
        self.labels, _ = self.predict(place)
        return self

    @staticmethod
    def _mixture_of(n, place):
        from sklearn.mixture import GaussianMixture

        mixture = GaussianMixture(n, reg_covar=0.1, max_iter=50, tol=0.01, random_state=0)
        with one_blas_thread(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # that it goes on improving in the third digit
            return mixture.fit(place)

    def predict(self, place):
        """(N,) kinds, `NONE` for none, and (N,) the probability of the component."""
        kinds, sure = np.full(len(place), NONE), np.zeros(len(place))
        if self._mixture.n_components == 1:
            return kinds, sure  # one kind is none
        for start in range(0, len(place), BLOCK):
            rows = slice(start, start + BLOCK)
            shares = self._mixture.predict_proba(place[rows])
            kinds[rows], sure[rows] = shares.argmax(axis=1), shares.max(axis=1)
        kinds[sure < MEMBERSHIP] = NONE
        return kinds, sure


def stability(labels, others):
    """
    How well each kind is found again in other divisions of the same rows.

    Parameters
    ----------
    labels : (N,) int array
    others : iterable of ((n,) int array, (n,) int array)
        Rows that another division knows, and their labels in it.

    Returns
    -------
    stability : (n_kinds,) float array
        Mean over the divisions of the largest Jaccard index with a kind of each (Hennig 2007,
        Computational Statistics and Data Analysis 52, 258). Above 0.75 a kind is stable, and
        below 0.6 it had better not be trusted.
    """
    n_kinds = labels.max(initial=NONE) + 1
    found = [_best_overlaps(labels[rows], other, n_kinds) for rows, other in others]
    return np.mean(found, axis=0) if found else np.zeros(n_kinds)


def _best_overlaps(labels, others, n_kinds):
    """(n_kinds,) largest Jaccard index of each kind with one of the others."""
    n_others = others.max(initial=NONE) + 1
    if n_others == 0:
        return np.zeros(n_kinds)
    both = np.zeros((n_kinds + 1, n_others + 1))
    np.add.at(both, (labels, others), 1)  # what belongs to none is counted in the last place
    together = both[:-1, :-1]
    either = both.sum(axis=1)[:-1, None] + both.sum(axis=0)[None, :-1] - together
    return (together / np.maximum(either, 1)).max(axis=1)


def _spacing(members):
    """Distance within which almost every member has the next one."""
    distance, _ = nearest_rows(members, [(0, members, None)], 2)
    return np.quantile(distance[:, 1], JOINING)
