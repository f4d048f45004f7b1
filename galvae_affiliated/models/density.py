# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How the latents of the training galaxies are distributed: to draw from, and to condition."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from galvae_affiliated.models._archive import checked_arrays, read_arrays
from galvae_affiliated.models.mixture import (
    GaussianMixture,
    log_sum_exp,
    packed,
    positive_factors,
)
from galvae_affiliated.models.whitening import Whitening, check_latents

__all__ = ['LatentDensity', 'log_ratios', 'ratio_names']

DENSITY = 'density.npz'
LEAST_FRACTION = 0.01  # that counts, as the logarithm of none is infinite
MAX_COMPONENTS, MAX_PATTERNS = 4096, 1 << 20
# standard deviations of a quantity from each component, beyond which it is none of a galaxy
IMPOSSIBLE = 8.0


@dataclass(frozen=True)
class LatentDensity:
    """
    A mixture of Gaussians over whitened latents and pose, and linear laws of what goes with them.

    In each component, the log ratios of vote fractions and the quantities have a mean that is
    linear in the latents, and a Gaussian scatter about it. So all of them together are a
    mixture of Gaussians too, and given some of them, so are latents and pose.

    Attributes
    ----------
    whitening, pose_whitening : `~galvae_affiliated.models.Whitening`
    mixture : `~galvae_affiliated.models.GaussianMixture`
        Of whitened latents followed by whitened pose: a pose is one of galaxies of such
        latents.
    questions : mapping of str to tuple of str
        Whose log ratios of fractions are known, and their answers.
    quantities : tuple of str
        Which come after these.
    offset, slope, scatter : (K, Q), (K, Q, D), (K, Q, Q) arrays
        Mean at each component's own mean, its slope in whitened latents, and the covariance
        matrix about it.
    patterns : (P, n_questions) int array
        Likeliest answers of the training galaxies by their places, -1 where a question is not
        asked; each pattern once.
    counts : (P,) int array
        How many galaxies have each.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> density = get_model().density
    >>> latent = density.sample(100, random_state=0)
    >>> latent.shape, density.log_density(latent).shape
    ((100, 40), (100,))
    >>> density.names[:2]
    ('smooth-or-featured/smooth', 'smooth-or-featured/featured-or-disk')
    """

    whitening: Whitening
    pose_whitening: Whitening
    mixture: GaussianMixture
    questions: dict
    quantities: tuple
    offset: np.ndarray
    slope: np.ndarray
    scatter: np.ndarray
    patterns: np.ndarray
    counts: np.ndarray

    @property
    def names(self):
        """tuple of str : Of what can be conditioned on: 'question/answer', and the quantities."""
        return (*ratio_names(self.questions), *self.quantities)

    def log_density(self, latent):
        """
        How densely the training galaxies lie about some latents.

        Parameters
        ----------
        latent : (N, n_latents) array
            Finite.

        Returns
        -------
        log_density : (N,) array
            Natural logarithm, in whitened coordinates.
        """
        return self._of_latents.log_density(self.whitening(self._checked(latent)))

    @cached_property
    def _of_latents(self):
        """The mixture of the latents alone, whatever the pose."""
        n = len(self.whitening.mean)
        # factors are lower triangular: their corner is the factor of what comes first
        return GaussianMixture(self.mixture.weights, self.mixture.means[:, :n],
                               self.mixture.factors[:, :n, :n])

    def _checked(self, latent):
        return check_latents(latent, n_columns=len(self.whitening.mean))

    def sample(self, n, random_state=None, temperature=1.0):
        """
        Draw latents.

        Parameters
        ----------
        n : int
        random_state : int or `numpy.random.Generator`, optional
        temperature : float, optional
            Factor on the widths of the components: below one, galaxies are more typical, and
            statistics of them are not those of the training set.

        Returns
        -------
        latent : (n, n_latents) float32 array

        Raises
        ------
        ValueError
            If ``n`` is negative, or the temperature is not a positive number.
        """
        return self.sample_with_pose(n, random_state, temperature)[0]

    def sample_with_pose(self, n, random_state=None, temperature=1.0):
        """
        Draw latents, each with a pose.

        Parameters
        ----------
        n, random_state, temperature : object
            See `sample`.

        Returns
        -------
        latent : (n, n_latents) float32 array
        pose : (n, n_pose) float32 array

        Raises
        ------
        ValueError
            See `sample`.
        """
        if n < 0:
            raise ValueError(f'n is {n}; expected zero or more')
        if not 0.0 < temperature < np.inf:
            raise ValueError(f'temperature is {temperature}; expected a positive number')
        rng = np.random.default_rng(random_state)
        values, _ = self.mixture.sample(n, rng, temperature)
        n_latents = len(self.whitening.mean)
        return (self.whitening.back(values[:, :n_latents]).astype(np.float32),
                self.pose_whitening.back(values[:, n_latents:]).astype(np.float32))

    def condition(self, fractions=None, quantities=None):
        """
        The density of galaxies of which something is known.

        The Gaussian formula in each component, whose weights change with how well each
        explains what is known.

        Parameters
        ----------
        fractions : mapping of str to sequence of float, optional
            Question to the vote fractions of its answers, which sum to one.
        quantities : mapping of str to float, optional

        Returns
        -------
        density : `LatentDensity`
            Which cannot be conditioned further.

        Raises
        ------
        ValueError
            If a question or a quantity is not known, fractions are none, or a quantity lies
            farther from all components than any galaxy would.
        """
        known = {}
        for question, shares in (fractions or {}).items():
            ratios = self._ratios(question, shares)
            known.update(zip(ratio_names({question: self.questions[question]}), ratios))
        for name, value in (quantities or {}).items():
            self._check_quantity(name, value)
            known[name] = value
        if not known:
            return self
        return self._given(self._places(known), np.array(list(known.values()), dtype=float))

    def usual_fractions(self, question):
        """
        Fractions of the answers of a question, in the mean of the log ratios.

        Parameters
        ----------
        question : str
            One of `questions`.

        Returns
        -------
        fractions : (n_answers,) array
        """
        names = ratio_names({question: self.questions[question]})
        ratios = np.append(self.mixture.weights @ self.offset[:, self._places(names)], 0.0)
        shares = np.exp(ratios - ratios.max())
        return shares / shares.sum()

    def _places(self, names):
        known = self.names
        return [known.index(name) for name in names]

    def _ratios(self, question, shares):
        if question not in self.questions:
            raise ValueError(f'the density knows no question {question!r}; it has '
                             f'{", ".join(self.questions) or "none"}')
        shares = np.asarray(shares, dtype=float)
        n = len(self.questions[question])
        if shares.shape != (n,) or not (shares >= 0).all() or abs(shares.sum() - 1.0) > 1e-6:
            raise ValueError(f'the fractions of {question} are {shares.tolist()}; expected {n} '
                             'of zero or more, which sum to one')
        return log_ratios({question: shares[None]})[0]

    def _check_quantity(self, name, value):
        if name not in self.quantities:
            raise ValueError(f'the density knows no quantity {name!r}; it has '
                             f'{", ".join(self.quantities) or "none"}')
        if not np.isfinite(value):
            raise ValueError(f'{name} is {value}; expected a finite number')
        place = self.names.index(name)
        mean, covariance = self._marginal([place])
        away = np.abs(value - mean[:, 0]) / np.sqrt(covariance[:, 0, 0])
        if away.min() > IMPOSSIBLE:
            width = 3.0 * np.sqrt(covariance[:, 0, 0])
            low, high = (mean[:, 0] - width).min(), (mean[:, 0] + width).max()
            raise ValueError(f'{name} is {value:g}; galaxies have {low:.4g} to {high:.4g}')

    def _marginal(self, places):
        """Means (K, q) and covariance matrices (K, q, q) of some of what goes with the latents."""
        spread = self.slope[:, places] @ self._of_latents.factors
        scatter = self.scatter[:, places][:, :, places]
        return self.offset[:, places], spread @ spread.swapaxes(1, 2) + scatter

    def _given(self, places, values):
        """The density given the values at some places of `names`."""
        mean, covariance = self._marginal(places)
        factor = np.linalg.cholesky(covariance)
        residual = values - mean
        deviates = np.linalg.solve(factor, residual[..., None])[..., 0]
        logs = (np.log(self.mixture.weights) - 0.5 * (deviates ** 2).sum(axis=1)
                - np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1))
        weights = np.exp(logs - log_sum_exp(logs[None]))
        # gain: covariance of latents with what is known, times the inverse of its covariance
        prior = self.mixture.factors @ self.mixture.factors.swapaxes(1, 2)
        # what goes with the latents says something of the pose by way of them
        cross = self.slope[:, places] @ prior[:, :self.slope.shape[2]]
        gain = np.linalg.solve(covariance, cross).swapaxes(1, 2)
        means = self.mixture.means + (gain @ residual[..., None])[..., 0]
        posterior = prior - gain @ cross
        tiny = 1e-9 * np.eye(posterior.shape[1])
        factors = np.linalg.cholesky(0.5 * (posterior + posterior.swapaxes(1, 2)) + tiny)
        none = self.offset[:, :0], self.slope[:, :0], self.scatter[:, :0, :0]
        return replace(self, mixture=GaussianMixture(weights, means, factors), questions={},
                       quantities=(), offset=none[0], slope=none[1], scatter=none[2])

    def count(self, answers):
        """
        How many of the training galaxies have some answers.

        Parameters
        ----------
        answers : mapping of str to int
            Question to the place of its likeliest answer.

        Returns
        -------
        n : int or None
            None if not all of the questions are known.
        """
        if not set(answers) <= set(self.questions):
            return None
        names = list(self.questions)
        having = np.ones(len(self.counts), dtype=bool)
        for question, place in answers.items():
            having &= self.patterns[:, names.index(question)] == place
        return int(self.counts[having].sum())

    def evaluate(self, inputs):
        """Outputs of the self-test."""
        return {'log_density': self.log_density(inputs['latent'])}

    def arrays(self):
        """dict of str to array : What `read` takes."""
        found = {**self.mixture.arrays(), 'offset': self.offset, 'slope': self.slope}
        if self.names:
            found['scatter'] = packed(np.linalg.cholesky(self.scatter))
        found = {name: values.astype(np.float32) for name, values in found.items()}
        # the map is inverted when it is read
        return {**found, 'latent_mean': self.whitening.mean,
                'latent_matrix': self.whitening.matrix, 'pose_mean': self.pose_whitening.mean,
                'pose_matrix': self.pose_whitening.matrix,
                'patterns': self.patterns.astype(np.int8), 'counts': self.counts.astype(np.int32)}

    @classmethod
    def read(cls, content, table, n_latents, n_pose):
        """
        The density of a bundle.

        Parameters
        ----------
        content : bytes
            Of the part.
        table : `~galvae_affiliated.models.manifest.DensityTable`
            What the manifest says of it.
        n_latents, n_pose : int

        Returns
        -------
        density : `LatentDensity`

        Raises
        ------
        BundleError
            If an array is missing, of a wrong shape, or cannot be one of a mixture.
        """
        n_given = len(ratio_names(table.questions)) + len(table.quantities)
        shapes = _shapes(n_latents, n_pose, n_given, len(table.questions))
        arrays = checked_arrays(read_arrays(content, len(shapes)), shapes,
                                {'K': MAX_COMPONENTS, 'P': MAX_PATTERNS})
        whitenings = [Whitening.of_arrays(arrays[f'{of}_mean'], arrays[f'{of}_matrix'])
                      for of in ('latent', 'pose')]
        mixture = GaussianMixture.of_arrays(arrays, '', n_latents + n_pose)
        n_components = len(mixture.weights)
        scatter = np.zeros((n_components, n_given, n_given))
        if n_given:
            factor = positive_factors(arrays['scatter'], n_given, 'scatter')
            scatter = factor @ factor.swapaxes(1, 2)
        return cls(*whitenings, mixture, dict(table.questions), tuple(table.quantities),
                   arrays['offset'], arrays['slope'], scatter, arrays['patterns'].astype(int),
                   arrays['counts'].astype(int))


def _shapes(n_latents, n_pose, n_given, n_questions):
    """Array to its shape; a letter stands for any length, the same wherever it is."""
    def triangle(n):
        return n * (n + 1) // 2

    n = n_latents + n_pose
    shapes = {'latent_mean': (n_latents,), 'latent_matrix': (n_latents, n_latents),
              'pose_mean': (n_pose,), 'pose_matrix': (n_pose, n_pose), 'weights': ('K',),
              'means': ('K', n), 'factors': ('K', triangle(n)), 'offset': ('K', n_given),
              'slope': ('K', n_given, n_latents), 'patterns': ('P', n_questions),
              'counts': ('P',)}
    if n_given:
        shapes['scatter'] = 'K', triangle(n_given)
    return shapes


def ratio_names(questions):
    """
    Names of the log ratios of some questions.

    Parameters
    ----------
    questions : mapping of str to sequence of str
        Question to its answers.

    Returns
    -------
    names : list of str
        One an answer, but for the last of each question.
    """
    return [f'{question}/{answer}' for question, answers in questions.items()
            for answer in answers[:-1]]


def log_ratios(fractions):
    """
    Logarithms of each fraction over that of the last answer of its question.

    The additive log-ratio transform of Aitchison 1982 (JRSS B 44, 139); fractions count as one
    per cent at least.

    Parameters
    ----------
    fractions : mapping of str to (N, n_answers) array

    Returns
    -------
    ratios : (N, R) array
        In the order of `ratio_names`.

    Examples
    --------
    >>> from galvae_affiliated.models.density import log_ratios
    >>> log_ratios({'bar': [[0.5, 0.5], [0.8, 0.2]]}).round(3).tolist()
    [[0.0], [1.386]]
    """
    columns = []
    for shares in fractions.values():
        logs = np.log(np.maximum(np.asarray(shares, dtype=float), LEAST_FRACTION))
        columns.append(logs[:, :-1] - logs[:, -1:])
    return np.concatenate(columns, axis=1)
