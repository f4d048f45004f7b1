# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scores of any scale as probabilities: conformal p-values, and a tail beyond the galaxies."""

from dataclasses import dataclass

import numpy as np

# share of the calibration rows beyond which an exponential tail continues the distribution
TAIL = 0.02
LEAST_IN_TAIL = 10


@dataclass(frozen=True)
class Calibration:
    """
    Distribution of a score among galaxies that nothing was fitted to.

    Attributes
    ----------
    scores : (n,) array
        In rising order.
    """

    scores: np.ndarray

    @classmethod
    def of(cls, scores):
        """That of some scores, in any order."""
        return cls(np.sort(np.asarray(scores, dtype=float)))

    def p_values(self, scores):
        """
        Conformal p-values.

        If a galaxy comes from the same distribution as those of the calibration, its p-value
        is at most p with a probability of at most p (Vovk et al. 2005, "Algorithmic learning
        in a random world").

        Parameters
        ----------
        scores : (N,) array

        Returns
        -------
        p : (N,) array
            One plus the number of galaxies that score as high, over one plus their number.

        Examples
        --------
        >>> from galvae_affiliated.explore._calibration import Calibration
        >>> Calibration.of([1.0, 2.0, 3.0]).p_values([0.0, 2.0, 9.0]).tolist()
        [1.0, 0.75, 0.25]
        """
        below = np.searchsorted(self.scores, scores, side='left')
        return (1.0 + len(self.scores) - below) / (1.0 + len(self.scores))

    def rarity(self, scores):
        """
        Minus the decimal logarithm of the p-values, without steps and without an end.

        Between the galaxies of the calibration it is interpolated; beyond the last few per
        cent the distribution of the scores goes on as an exponential with the excess of
        these, by their median: a few that are very odd do not stretch it. So scores that are
        higher than all keep their order, and those of several estimators can be compared.

        Parameters
        ----------
        scores : (N,) array

        Returns
        -------
        rarity : (N,) array
            3 is one in a thousand; it rises strictly with the score.
        """
        n = len(self.scores)
        known, last = np.unique(self.scores[::-1], return_index=True)
        exceeding = last + 1.0  # galaxies that score as high
        rarities = -np.log10(exceeding / (n + 1.0))
        n_tail = min(max(int(TAIL * n), LEAST_IN_TAIL), n - 1)
        edge = self.scores[n - 1 - n_tail]
        excess = float(np.median(self.scores[n - n_tail :]) - edge) / np.log(2.0)
        excess = max(excess, np.finfo(float).tiny)
        start = np.interp(edge, known, rarities)
        tail = start + (scores - edge) / excess * np.log10(np.e)
        body = np.interp(scores, known, rarities) + np.minimum(scores - known[0], 0.0) * 1e-6
        return np.where(scores > edge, tail, body)
