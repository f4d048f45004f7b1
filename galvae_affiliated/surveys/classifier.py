# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How well a classifier tells from which survey the latents of galaxies are."""

import numpy as np

from galvae_affiliated.models.whitening import check_latents

__all__ = ['matched_rows', 'survey_area']

N_FOLDS = 5
LEAST_ROWS = 2 * N_FOLDS
BLOCK = 512  # rows of the target whose distances are in memory
N_NEAR = 32  # of the source, that a galaxy may match; others seldom have taken all of them
WITHIN = 2.0  # median distances of neighbours, that galaxies of like kind are apart at most


def matched_rows(source, target, *, max_distance=None):
    """
    Galaxies of two surveys of like kind: each of the target with one of the source of its own.

    A difference of the surveys is not a difference of what they hold, if what is compared is
    alike. The nearest pairs are taken first.

    Parameters
    ----------
    source, target : (N, K), (M, K) arrays
        What the galaxies are to agree in, such as predicted vote fractions and the radius, in
        like units.
    max_distance : float, optional
        Pairs that are farther apart are left out; None takes twice the median distance of a
        galaxy of the source to its nearest neighbour there.

    Returns
    -------
    source_rows, target_rows : (P,) int arrays
        The rows that match.

    Raises
    ------
    ValueError
        If a set is empty, or any number is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.surveys import matched_rows
    >>> source, target = np.array([[0.0], [1.0], [2.0]]), np.array([[2.1], [0.1]])
    >>> source_rows, target_rows = matched_rows(source, target, max_distance=0.5)
    >>> sorted(zip(source_rows.tolist(), target_rows.tolist()))
    [(0, 1), (2, 0)]
    """
    source = check_latents(source, 'source')
    target = check_latents(target, 'target', n_columns=source.shape[1])
    if max_distance is None:
        near = _nearest(source, source, min(2, len(source)))[0]
        max_distance = WITHIN * np.median(near[:, 1]) if len(source) > 1 else np.inf
    distance, near = _nearest(target, source, min(len(source), N_NEAR))
    order = np.argsort(distance, axis=None, kind='stable')
    taken_source = np.zeros(len(source), dtype=bool)
    taken_target = np.zeros(len(target), dtype=bool)
    pairs = []
    for row, place in zip(*np.unravel_index(order, distance.shape)):
        if distance[row, place] > max_distance:
            break
        other = near[row, place]
        if not taken_target[row] and not taken_source[other]:
            taken_target[row] = taken_source[other] = True
            pairs.append((other, row))
    pairs = np.array(sorted(pairs, key=lambda pair: pair[1]), dtype=int).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _nearest(rows, among, n_near):
    """Distances and places of the nearest of some others, (N, n_near) arrays, ascending."""
    distances, places = [], []
    for start in range(0, len(rows), BLOCK):
        some = rows[start:start + BLOCK]
        square = (some ** 2).sum(axis=1)[:, None] + (among ** 2).sum(axis=1)
        square -= 2.0 * some @ among.T
        place = np.argpartition(square, n_near - 1, axis=1)[:, :n_near]
        near = np.take_along_axis(square, place, axis=1)
        order = np.argsort(near, axis=1)
        places.append(np.take_along_axis(place, order, axis=1))
        distances.append(np.sqrt(np.maximum(np.take_along_axis(near, order, axis=1), 0.0)))
    return np.concatenate(distances), np.concatenate(places)


def survey_area(source, target, *, n_boot=200, max_rows=3000, random_state=0):
    """
    Area under the ROC curve of a classifier that tells two sets of latents apart.

    Trees that are boosted on histograms of the latents, on five shuffled folds: a linear
    classifier would be satisfied by equal means.

    Parameters
    ----------
    source, target : (N, D), (M, D) arrays
        Finite; the larger is thinned to the size of the other.
    n_boot : int, optional
        Samples of the galaxies for the interval.
    max_rows : int, optional
        Of each set.
    random_state : int, optional

    Returns
    -------
    area, low, high : float
        0.5 if they cannot be told apart, and the interval of 95 per cent over the galaxies.

    Raises
    ------
    ValueError
        If a set has fewer than ten rows, or any number is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.surveys import survey_area
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(300, 3)), rng.normal(0.5, 2.0, (200, 3))
    >>> area, low, high = survey_area(source, target, n_boot=20)
    >>> low < area < high, area > 0.6
    (True, True)
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    source = check_latents(source, 'source', least=LEAST_ROWS)
    target = check_latents(target, 'target', least=LEAST_ROWS, n_columns=source.shape[1])
    rng = np.random.default_rng(random_state)
    n_rows = min(len(source), len(target), max_rows)
    # in an order of their own: those of a mixture come sorted by its components
    source, target = (rows[rng.permutation(len(rows))[:n_rows]] for rows in (source, target))
    rows, is_target = np.concatenate([source, target]), np.repeat([0, 1], n_rows)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=random_state)
    classifier = HistGradientBoostingClassifier(random_state=random_state)
    share = cross_val_predict(classifier, rows, is_target, cv=folds,
                              method='predict_proba')[:, 1]
    # of each pair of a galaxy of one survey and one of the other, whether they are in order
    ours, theirs = share[:n_rows, None], share[None, n_rows:]
    in_order = (theirs > ours) + np.float32(0.5) * (theirs == ours)
    drawn = rng.multinomial(n_rows, np.full(n_rows, 1.0 / n_rows), (2, n_boot)) / n_rows
    areas = ((drawn[0] @ in_order) * drawn[1]).sum(axis=1)
    low, high = np.percentile(areas, [2.5, 97.5]) if n_boot else (np.nan, np.nan)
    return float(in_order.mean()), float(low), float(high)
