# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How far the distribution of a quantity of drawn galaxies is from that of data."""

import numpy as np
from scipy.stats import ks_2samp, wasserstein_distance

__all__ = ['distribution_distance', 'half_width']

LEAST_ROWS = 10
NORMAL_95 = 1.96  # standard errors


def half_width(values):
    """
    Half of the range that holds the middle 68 per cent.

    Parameters
    ----------
    values : (N,) array

    Returns
    -------
    width : float
        The standard deviation, of a normal distribution.
    """
    low, high = np.percentile(values, [15.865, 84.135])
    return float(0.5 * (high - low))


def distribution_distance(drawn, data, *, n_boot=200, random_state=0):
    """
    Wasserstein and Kolmogorov-Smirnov distances of a quantity, with the interval of the first.

    Parameters
    ----------
    drawn, data : (N,), (M,) arrays
        NaN where not measured. Distances of few galaxies are never zero: those of two halves of
        the data, of as many rows, are the floor.
    n_boot : int, optional
        Resamplings of the galaxies, whose scatter is the standard error.
    random_state : int, optional

    Returns
    -------
    distance : dict
        ``wasserstein``, in units of `half_width` of the data; ``low`` and ``high``, its interval
        of 95 per cent; ``ks``, the largest difference of the cumulative distributions;
        ``measured``, the share of the drawn that is.

    Raises
    ------
    ValueError
        If fewer than ten rows of either are finite, or the data do not scatter.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.training.evaluate.distributions import distribution_distance
    >>> data = np.random.default_rng(0).normal(size=1000)
    >>> round(distribution_distance(data + 1.0, data)['wasserstein'], 1)
    1.0
    """
    known = [np.asarray(x, dtype=float)[np.isfinite(x)] for x in (drawn, data)]
    if min(map(len, known)) < LEAST_ROWS:
        raise ValueError(f'{len(known[0])} drawn and {len(known[1])} data are finite; expected '
                         f'{LEAST_ROWS} or more of each')
    width, rng = half_width(known[1]), np.random.default_rng(random_state)
    if not width > 0.0:
        raise ValueError('the data do not scatter; expected values that differ')
    distance = wasserstein_distance(*known) / width
    again = [wasserstein_distance(*(rng.choice(x, len(x)) for x in known)) / width
             for _ in range(n_boot)]
    error = float(np.std(again)) if n_boot else np.nan
    return {'wasserstein': float(distance),
            'low': float(max(distance - NORMAL_95 * error, 0.0)),
            'high': float(distance + NORMAL_95 * error),
            'ks': float(ks_2samp(*known).statistic), 'measured': len(known[0]) / len(drawn)}
