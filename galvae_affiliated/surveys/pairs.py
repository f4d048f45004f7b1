# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The same galaxies in two surveys: how near their latents are, and whether they are found."""

import numpy as np

from galvae_affiliated.models.whitening import check_latents

__all__ = ['pair_scores']

RANKS = (1, 10, 100)


def pair_scores(source, target, pairs, *, n_boot=1000, random_state=0):
    """
    Whether galaxies of the target are found among those of the source.

    Parameters
    ----------
    source, target : (N, D), (M, D) arrays
        In a metric in which distances have a meaning; see
        `~galvae_affiliated.models.Whitening`.
    pairs : (P, 2) int array
        Row of the source and row of the target that are the same galaxy.
    n_boot : int, optional
        Samples of the pairs for the intervals.
    random_state : int, optional

    Returns
    -------
    scores : dict of str to dict
        Of each score ``value``, ``low`` and ``high``, the interval of 95 per cent over the
        pairs: ``recall_1``, ``recall_10``, ``recall_100``, the share whose own galaxy is among
        so many nearest; ``median_rank``; ``distance``, the median to the own galaxy over the
        median to all others.

    Raises
    ------
    ValueError
        If there are no pairs, or they name rows that do not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.surveys import pair_scores
    >>> source = np.random.default_rng(0).normal(size=(300, 3))
    >>> pairs = np.column_stack([np.arange(300)] * 2)
    >>> scores = pair_scores(source, source + 0.001, pairs, n_boot=20)
    >>> scores['recall_1']['value'], scores['median_rank']['value']
    (1.0, 1.0)
    """
    source = check_latents(source, 'source')
    target = check_latents(target, 'target', n_columns=source.shape[1])
    pairs = check_pairs(pairs, len(source), len(target))
    distance = np.array([np.linalg.norm(source - row, axis=1) for row in target[pairs[:, 1]]])
    own = distance[np.arange(len(pairs)), pairs[:, 0]]
    rank = 1 + (distance < own[:, None]).sum(axis=1)
    other = np.median(distance, axis=1)
    rng = np.random.default_rng(random_state)
    drawn = rng.integers(0, len(pairs), (n_boot, len(pairs)))
    statistics = {f'recall_{n}': lambda i, n=n: (rank[i] <= n).mean(axis=-1) for n in RANKS}
    statistics['median_rank'] = lambda i: np.median(rank[i], axis=-1)
    statistics['distance'] = lambda i: np.median(own[i], axis=-1) / np.median(other[i], axis=-1)
    every = np.arange(len(pairs))
    scores = {}
    for name, statistic in statistics.items():
        low, high = np.percentile(statistic(drawn), [2.5, 97.5])
        scores[name] = {'value': float(statistic(every)), 'low': float(low), 'high': float(high)}
    return scores


def check_pairs(pairs, n_source, n_target):
    """(P, 2) array of rows that exist, or ValueError."""
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.issubdtype(pairs.dtype, np.integer):
        raise ValueError(f'the pairs are {pairs.dtype} of shape {pairs.shape}; expected integers '
                         'of shape (P, 2): row of the source, row of the target')
    if not len(pairs):
        raise ValueError('there are no pairs')
    if (pairs < 0).any() or (pairs >= (n_source, n_target)).any():
        raise ValueError(f'the pairs name rows up to {pairs.max(axis=0).tolist()}; there are '
                         f'{n_source} of the source and {n_target} of the target')
    return pairs
