# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Kinds of galaxies in a table, and whether they are there again in half of it."""

from dataclasses import dataclass, replace

import numpy as np
from astropy.table import Table

from galvae_affiliated.explore._columns import explore_columns
from galvae_affiliated.explore._kinds import NONE, DensityKinds, MixtureKinds, stability
from galvae_affiliated.explore._latents import Metric, fit_metric, read_latents, spread
from galvae_affiliated.models._column import Column
from galvae_affiliated.tables.columns import check_column_names, with_columns

__all__ = ['Clusters', 'add_clusters', 'cluster_latents', 'describe_clusters']

CLUSTER_METHODS = ('hdbscan', 'mixture')
NAMES = ('galvae_cluster', 'galvae_cluster_probability')
MAX_FITTED = 5000
# answers that are typical of a kind: how much more of it has them than of all
LEAST_EXCESS, N_TYPICAL = 0.1, 3
LEAST_SHARE = 0.01  # fewest galaxies of a kind, of those that are fitted
LEAST_CLEAN = 50
TRIED = range(2, 9)  # numbers of Gaussians
# mean Jaccard index of a kind that is kept, and of all kinds of a number that is chosen
STABLE, SURELY_STABLE = 0.6, 0.75
# directions that vary by less than an error of a latent, or than a latent does, say nothing
LEAST_VARIANCE = 1.0


@dataclass(frozen=True)
class Clusters:
    """
    Kinds of galaxies, and how to tell them.

    Attributes
    ----------
    model_id : str
        Model of the latents.
    method : str
    n_clusters : int
        Zero is an answer: the galaxies are one continuum.
    stability : (n_clusters,) float array
        Mean Jaccard index of each kind with the most similar one in fits to halves.
    sizes : (n_clusters,) int array
        Members among the rows that were fitted.
    n_fitted : int

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated.explore import cluster_latents
    >>> latent = np.random.default_rng(0).normal(size=(300, 40)).astype('f4')
    >>> latent[:, 8:] *= 0.3
    >>> latent[200:, 0] += 9.0  # another kind
    >>> error = np.tile(np.where(np.arange(40) < 8, 0.2, 1.0), (300, 1))
    >>> table = Table({'galvae_latent': latent, 'galvae_latent_err': error})
    >>> clusters = cluster_latents(table, 'gz2-sdss-v3', n_clusters=2, n_resamples=2)
    >>> clusters.n_clusters, clusters.sizes.tolist()
    (2, [200, 100])
    """

    model_id: str
    method: str
    n_clusters: int
    stability: np.ndarray
    sizes: np.ndarray
    n_fitted: int
    _kinds: object = None
    _metric: Metric = None
    _names: np.ndarray = None  # of the fitted kinds, `NONE` of those that are not stable

    def predict(self, latent):
        """
        Kinds of latents.

        Parameters
        ----------
        latent : (N, n_latents) array
            Of the same model.

        Returns
        -------
        kinds : (N,) int array
            From 0, the largest first; -1 for none.
        probability : (N,) float array
            How sure the kind is, from 0 to 1; NaN in rows without latents.
        """
        latent = np.asarray(latent)
        kinds, sure = np.full(len(latent), NONE), np.full(len(latent), np.nan)
        rows = np.isfinite(latent).all(axis=1)
        if rows.any():
            found, sure[rows] = self._kinds.predict(self._metric(latent[rows]))
            # the last of the names is that of no kind
            kinds[rows] = self._names[found]
        return kinds, sure


def cluster_latents(table, model=None, *, method='mixture', n_clusters=None, n_resamples=10,
                    max_fitted=MAX_FITTED, random_state=0):
    """
    Look for kinds of galaxies among latents.

    A sample of the rows without flags is divided in the directions in which latents vary by
    more than their errors, and halves of it again, ``n_resamples`` times. Kinds that are not
    found again count as none.

    Parameters
    ----------
    table : `~astropy.table.Table` or ``pandas.DataFrame``
        With latents.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        That the latents must be of; None takes the one that the table states.
    method : {'mixture', 'hdbscan'}, optional
        'mixture' divides a continuum where it is best described by Gaussians, and 'hdbscan'
        finds regions of high density with gaps between them.
    n_clusters : int, optional
        Number of Gaussians; None takes the largest, up to 8, all of whose kinds are stable.
    n_resamples : int, optional
        Fits to halves of the sample; at least two.
    max_fitted : int, optional
        Rows, evenly spaced, that are fitted.
    random_state : int, optional
        Of the halves.

    Returns
    -------
    clusters : `Clusters`

    Raises
    ------
    KeyError, ModelMismatchError
        If there are no latents, or they are of another model.
    ValueError
        If fewer than 50 rows have latents and no flags, or for a wrong option.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated.explore import cluster_latents
    >>> latent = np.random.default_rng(0).normal(size=(300, 40)).astype('f4')
    >>> latent[:, 8:] *= 0.3
    >>> latent[200:, 0] += 9.0  # another kind
    >>> error = np.tile(np.where(np.arange(40) < 8, 0.2, 1.0), (300, 1))
    >>> table = Table({'galvae_latent': latent, 'galvae_latent_err': error})
    >>> cluster_latents(table, 'gz2-sdss-v3', n_clusters=2, n_resamples=2).n_clusters
    2
    """
    latents = read_latents(table, model)
    return _fit_clusters(latents, method, n_clusters, n_resamples, max_fitted, random_state)


def add_clusters(table, model=None, *, overwrite=False, **options):
    """
    Add the kind of each galaxy to a table.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        With latents. Not changed.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        That the latents must be of; None takes the one that the table states.
    overwrite : bool, optional
        Replace columns of the same names.
    **options
        Those of `cluster_latents`.

    Returns
    -------
    table : `~astropy.table.Table`
        A new table with ``galvae_cluster``, from 0 for the largest kind, masked where there
        is none, and ``galvae_cluster_probability``. The metadata of the columns hold the
        number of the kinds and the stability of each. Rows with flags have a kind too, and
        have not taught any.

    Raises
    ------
    KeyError, ModelMismatchError, ValueError
        See `cluster_latents`; or if the columns exist.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated.explore import add_clusters
    >>> latent = np.random.default_rng(0).normal(size=(300, 40)).astype('f4')
    >>> latent[:, 8:] *= 0.3
    >>> latent[200:, 0] += 9.0  # another kind
    >>> error = np.tile(np.where(np.arange(40) < 8, 0.2, 1.0), (300, 1))
    >>> table = Table({'galvae_latent': latent, 'galvae_latent_err': error})
    >>> table = add_clusters(table, 'gz2-sdss-v3', n_clusters=2, n_resamples=2)
    >>> sorted(set(table['galvae_cluster'].tolist()))
    [0, 1]
    """
    check_column_names(table, NAMES, overwrite=overwrite)
    latents = read_latents(table, model)
    clusters = _fit_clusters(latents, **_options(**options))
    kinds, sure = clusters.predict(latents.latent)
    what = f'{clusters.n_clusters} kinds by {clusters.method}'
    columns = [Column(NAMES[0], np.maximum(kinds, 0).astype(np.int32), what, 'meta.code;src.class',
                      mask=kinds == NONE),
               Column(NAMES[1], sure, 'of belonging to the kind', 'stat.probability;src.class',
                      mask=kinds == NONE)]
    about = {'method': clusters.method, 'n_clusters': clusters.n_clusters,
             'stability': [round(float(value), 3) for value in clusters.stability],
             'fitted_rows': clusters.n_fitted}
    return with_columns(table, explore_columns(columns, latents.model, **about),
                        overwrite=overwrite)


def describe_clusters(table):
    """
    What the kinds of a table are, by the predicted answers.

    Parameters
    ----------
    table : `~astropy.table.Table`
        With ``galvae_cluster``.

    Returns
    -------
    kinds : `~astropy.table.Table`
        A row a kind: ``kind``, ``n_rows``, ``stability``, ``typical``, the answers that it has
        more often than all galaxies do, with their shares of the kind, and ``purity``, the
        largest of these shares. The shares are of all members: a question that does not
        apply to one has no answer there.

    Raises
    ------
    KeyError
        If the table has no kinds.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated.explore import add_clusters, describe_clusters
    >>> latent = np.random.default_rng(0).normal(size=(300, 40)).astype('f4')
    >>> latent[:, 8:] *= 0.3
    >>> latent[200:, 0] += 9.0  # another kind
    >>> error = np.tile(np.where(np.arange(40) < 8, 0.2, 1.0), (300, 1))
    >>> table = Table({'galvae_latent': latent, 'galvae_latent_err': error})
    >>> table = add_clusters(table, 'gz2-sdss-v3', n_clusters=2, n_resamples=2)
    >>> kinds = describe_clusters(table)
    >>> kinds['kind'].tolist(), kinds['n_rows'].tolist()
    ([0, 1], [200, 100])
    """
    if NAMES[0] not in table.colnames:
        raise KeyError(f'the table has no column {NAMES[0]}; add_clusters adds it')
    column = table[NAMES[0]]
    kinds = np.ma.filled(np.ma.asarray(column), NONE)
    stable = (column.info.meta or {}).get('galvae_stability')
    n_kinds = kinds.max(initial=NONE) + 1 if stable is None else len(stable)
    answers = {name.removesuffix('_answer'): np.ma.asarray(table[name]).astype(str).filled('')
               for name in table.colnames if name.endswith('_answer')}
    rows = [(kind, int((kinds == kind).sum()), np.nan if stable is None else stable[kind],
             *_typical(answers, kinds == kind)) for kind in range(n_kinds)]
    return Table(rows=rows or None, names=('kind', 'n_rows', 'stability', 'typical', 'purity'),
                 dtype=(int, int, float, str, float))


def _typical(answers, members):
    """Answers that members have more often than all do, as text, and the largest share."""
    found = []
    for question, said in answers.items():
        for answer in np.unique(said[members]):
            share = np.mean(said[members] == answer)
            excess = share - np.mean(said == answer)
            if answer and excess >= LEAST_EXCESS:
                found.append((excess, share, f'{question} {answer}'))
    found = sorted(found, reverse=True)[:N_TYPICAL]
    return (', '.join(f'{name} {share:.2f}' for _, share, name in found),
            max((share for _, share, _ in found), default=np.nan))


def _options(method='mixture', n_clusters=None, n_resamples=10, max_fitted=MAX_FITTED,
             random_state=0):
    return {'method': method, 'n_clusters': n_clusters, 'n_resamples': n_resamples,
            'max_fitted': max_fitted, 'random_state': random_state}


def _fit_clusters(latents, method, n_clusters, n_resamples, max_fitted, random_state):
    if method not in CLUSTER_METHODS:
        raise ValueError(f'the method is {method!r}; expected one of '
                         f'{", ".join(CLUSTER_METHODS)}')
    if n_clusters is not None and (method != 'mixture' or n_clusters < 2):
        raise ValueError(f'n_clusters is {n_clusters} and the method {method!r}; expected two '
                         "or more, and method='mixture'")
    if n_resamples < 2:
        raise ValueError(f'n_resamples is {n_resamples}; expected two or more')
    latents.check_enough(LEAST_CLEAN, 'a division into kinds')
    rows = spread(np.flatnonzero(latents.clean), max_fitted)
    metric = _leading_directions(latents, rows)
    place = metric(latents.latent[rows])
    rng = np.random.default_rng(random_state)
    halves = [rng.permutation(len(rows))[: len(rows) // 2] for _ in range(n_resamples)]
    if method == 'hdbscan':
        makers = [lambda n_rows: DensityKinds(max(int(LEAST_SHARE * n_rows), 10))]
    else:
        numbers = [n_clusters] if n_clusters else TRIED
        makers = [lambda n_rows, n=n: MixtureKinds(n, is_tested=n_rows == len(rows))
                  for n in numbers]
    kinds, found = _finest([_fitted(make, place, halves) for make in makers])
    sizes = np.bincount(kinds.labels[kinds.labels != NONE], minlength=len(found))
    return _stable_ones(Clusters(latents.model.id, method, len(found), found, sizes, len(rows),
                                 kinds, metric))


def _finest(divisions):
    """The last of the divisions all of whose kinds are stable, else the most stable one."""
    least = [found.min() if len(found) else 0.0 for _, found in divisions]
    good = [i for i, value in enumerate(least) if value >= SURELY_STABLE]
    return divisions[good[-1] if good else int(np.argmax(least))]


def _fitted(make, place, halves):
    """Kinds of rows, and how stable each of them is."""
    kinds = make(len(place)).fit(place)
    others = ((half, make(len(half)).fit(place[half]).labels) for half in halves)
    return kinds, stability(kinds.labels, others)


def _leading_directions(latents, rows):
    """The metric, turned to directions that vary by more than the errors."""
    metric = fit_metric(latents, None if latents.error is not None else 'standard')
    place = metric(latents.latent[rows]).astype(float)
    variances, vectors = np.linalg.eigh(np.cov(place.T))
    kept = variances > min(LEAST_VARIANCE, variances[-1] / 2)
    return replace(metric, matrix=metric.matrix @ vectors[:, kept])


def _stable_ones(clusters):
    """Clusters without those that are not found again, the largest first."""
    order = np.argsort(-clusters.sizes, kind='stable')
    order = order[clusters.stability[order] >= STABLE]
    names = np.full(len(clusters.stability) + 1, NONE)
    names[order] = np.arange(len(order))
    return replace(clusters, n_clusters=len(order), stability=clusters.stability[order],
                   sizes=clusters.sizes[order], _names=names)
