# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Distances of two sets of latents as distributions, with tests and intervals."""

from dataclasses import dataclass

import numpy as np

from galvae_affiliated.models.whitening import check_latents

__all__ = ['Discrepancy', 'kernel_widths', 'maximum_mean_discrepancy', 'sliced_wasserstein']

# kernels of so many octaves about the median distance
OCTAVES = (-2, -1, 0, 1, 2)
MAX_ROWS = 1500  # of each set; the matrix of kernels has four times the square of it
BLOCK = 64  # permutations at a time


@dataclass(frozen=True)
class Discrepancy:
    """
    A distance of two distributions.

    Attributes
    ----------
    value : float
        The estimate, which is about zero for equal distributions, and may be below.
    p_value : float
        Share of random divisions of all rows that give as much.
    low, high : float
        Interval of 95 per cent over the galaxies.
    n_source, n_target : int
        Rows that were compared.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.surveys import maximum_mean_discrepancy
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(300, 3)), rng.normal(0.5, 2.0, (200, 3))
    >>> found = maximum_mean_discrepancy(source, target)
    >>> found.n_source, found.n_target, found.low < found.value < found.high
    (300, 200, True)
    """

    value: float
    p_value: float
    low: float
    high: float
    n_source: int
    n_target: int


def kernel_widths(source, target, *, random_state=0):
    """
    Widths of the kernels of `maximum_mean_discrepancy`.

    Parameters
    ----------
    source, target : (N, D), (M, D) arrays
    random_state : int, optional
        Of the rows that are compared, where there are many.

    Returns
    -------
    widths : (5,) array
        The median distance of two rows, from a quarter of it to four times.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.surveys import kernel_widths
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(300, 3)), rng.normal(0.5, 2.0, (200, 3))
    >>> widths = kernel_widths(source, target)
    >>> (widths / widths[0]).round(2).tolist()
    [1.0, 2.0, 4.0, 8.0, 16.0]
    """
    rng = np.random.default_rng(random_state)
    rows = np.concatenate([_sample(source, MAX_ROWS, rng), _sample(target, MAX_ROWS, rng)])
    square = _square_distances(rows, rows)
    median = np.sqrt(np.median(square[np.triu_indices(len(rows), 1)]))
    return max(median, np.finfo(float).tiny) * 2.0 ** np.array(OCTAVES)


def maximum_mean_discrepancy(source, target, *, widths=None, n_permutations=500, n_boot=200,
                             max_rows=MAX_ROWS, random_state=0):
    """
    Squared maximum mean discrepancy, its test, and its interval.

    The unbiased estimate of Gretton et al. 2012 (JMLR 13, 723; equation 3) for the mean of
    Gaussian kernels of several widths.

    Parameters
    ----------
    source, target : (N, D), (M, D) arrays
        Finite, in a metric in which distances have a meaning; see
        `~galvae_affiliated.models.Whitening`.
    widths : sequence of float, optional
        Standard deviations of the kernels; None takes `kernel_widths`. To compare before
        and after, take the same.
    n_permutations : int, optional
        Random divisions of the rows for the test; zero leaves it out, and the p-value is NaN.
    n_boot : int, optional
        Samples of the galaxies for the interval; zero leaves it out.
    max_rows : int, optional
        Of each set; more are thinned at random.
    random_state : int, optional

    Returns
    -------
    discrepancy : `Discrepancy`

    Raises
    ------
    ValueError
        If there are fewer than two rows of one, the numbers of columns differ, or any is not
        finite.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.surveys import maximum_mean_discrepancy
    >>> rng = np.random.default_rng(0)
    >>> near, far = rng.normal(size=(200, 3)), rng.normal(0.5, 1.0, (200, 3))
    >>> maximum_mean_discrepancy(near, far).p_value < 0.01
    True
    """
    source = check_latents(source, 'source', least=2)
    target = check_latents(target, 'target', least=2, n_columns=source.shape[1])
    rng = np.random.default_rng(random_state)
    widths = kernel_widths(source, target, random_state=random_state) if widths is None else widths
    source, target = _sample(source, max_rows, rng), _sample(target, max_rows, rng)
    n, m = len(source), len(target)
    kernel = _kernel(np.concatenate([source, target]), widths)
    value = float(_estimates(kernel, np.arange(n + m)[None] < n)[0])
    p_value = _permutation_p(kernel, n, value, n_permutations, rng)
    low, high = _interval(kernel, n, n_boot, rng)
    return Discrepancy(value, p_value, low, high, n, m)


def _sample(values, n_rows, rng):
    """At most so many rows, drawn at random."""
    if len(values) <= n_rows:
        return values
    return values[np.sort(rng.choice(len(values), n_rows, replace=False))]


def _square_distances(a, b):
    square = (a ** 2).sum(axis=1)[:, None] + (b ** 2).sum(axis=1) - 2.0 * a @ b.T
    return np.maximum(square, 0.0)


def _kernel(rows, widths):
    """Mean of the kernels of all pairs, and zero of each row with itself."""
    square = _square_distances(rows, rows)
    kernel = sum(np.exp(-square / (2.0 * width ** 2)) for width in widths) / len(widths)
    np.fill_diagonal(kernel, 0.0)
    return kernel


def _estimates(kernel, in_source, in_target=None):
    """
    The estimate for each of some divisions of the rows.

    Parameters
    ----------
    kernel : (R, R) array
        Zero on its diagonal.
    in_source : (B, R) array
        How often each row is in the source.
    in_target : (B, R) array, optional
        The same of the target; None takes those that are not in the source.

    Returns
    -------
    estimates : (B,) array
    """
    a = np.asarray(in_source, dtype=float)
    b = 1.0 - a if in_target is None else np.asarray(in_target, dtype=float)
    to_a, to_b = a @ kernel, b @ kernel
    return _mean(to_a, a, a) + _mean(to_b, b, b) - 2.0 * _mean(to_a, a, b)


def _mean(sums, one, other):
    """Mean kernel of a row of one and a row of the other; the same row is no pair."""
    n_pairs = one.sum(axis=1) * other.sum(axis=1) - (one * other).sum(axis=1)
    return (sums * other).sum(axis=1) / n_pairs


def _permutation_p(kernel, n, value, n_permutations, rng):
    """Share of the divisions, this one included, that give at least as much."""
    if not n_permutations:
        return float('nan')
    as_large = 0
    for start in range(0, n_permutations, BLOCK):
        n_now = min(BLOCK, n_permutations - start)
        order = rng.permuted(np.tile(np.arange(len(kernel)), (n_now, 1)), axis=1)
        as_large += int((_estimates(kernel, order < n) >= value).sum())
    return (1 + as_large) / (1 + n_permutations)


def _interval(kernel, n, n_boot, rng):
    """Interval of 95 per cent over galaxies that are drawn again from each set."""
    if not n_boot:
        return float('nan'), float('nan')
    m = len(kernel) - n
    counts = np.zeros((n_boot, len(kernel)))
    counts[:, :n] = rng.multinomial(n, np.full(n, 1.0 / n), n_boot)
    source, target = counts.copy(), np.zeros_like(counts)
    target[:, n:] = rng.multinomial(m, np.full(m, 1.0 / m), n_boot)
    values = _estimates(kernel, source, target)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def sliced_wasserstein(source, target, *, n_directions=200, n_quantiles=200, random_state=0):
    """
    Mean distance of the quantiles along random directions.

    The sliced Wasserstein distance of order one (Bonneel et al. 2015, JMIV 51, 22), in units of
    the coordinates. Unlike the discrepancy it grows with the distance of sets that do not
    overlap.

    Parameters
    ----------
    source, target : (N, D), (M, D) arrays
    n_directions, n_quantiles : int, optional
    random_state : int, optional

    Returns
    -------
    distance : float

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.surveys import sliced_wasserstein
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(300, 3)), rng.normal(0.5, 2.0, (200, 3))
    >>> round(sliced_wasserstein(source, source + [3.0, 0.0, 0.0]), 1)
    1.5
    """
    source = check_latents(source, 'source')
    target = check_latents(target, 'target', n_columns=source.shape[1])
    directions = np.random.default_rng(random_state).normal(size=(n_directions, source.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    at = (np.arange(n_quantiles) + 0.5) / n_quantiles
    gaps = [np.quantile(rows @ directions.T, at, axis=0) for rows in (source, target)]
    return float(np.abs(gaps[0] - gaps[1]).mean())
