# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Rows that a report shows as galleries: odd ones, kinds."""

from dataclasses import dataclass

import numpy as np

from galvae_affiliated.tables.identifiers import read_identifiers

MAX_CLUSTERS = 12
PER_CLUSTER = 8
SCORE, REASON = 'galvae_outlier_score', 'galvae_outlier_reason'


@dataclass(frozen=True)
class Gallery:
    """
    Rows that are shown side by side.

    Attributes
    ----------
    title, text : str
    rows : (n,) int array
        Of the table.
    captions, reasons : list of str
        Empty, or one a row.
    """

    title: str
    text: str
    rows: np.ndarray
    captions: list
    reasons: list


def with_scores(table, latents, n):
    """
    A table with outlier scores, and a text that says where they are from.

    Parameters
    ----------
    table : `~astropy.table.Table`
    latents : `~galvae_affiliated.explore._latents.LatentTable`
    n : int
        Rows of a gallery, which get reasons.

    Returns
    -------
    table : `~astropy.table.Table`
        The same if it has scores, or too few rows for them.
    text : str
    """
    if SCORE in table.colnames:
        return table, f'by the column {SCORE} of the table'
    from galvae_affiliated.explore.outliers import LEAST_CLEAN, add_outlier_scores

    n_clean = int(latents.clean.sum())
    if n_clean < LEAST_CLEAN:
        return table, f'no score: {n_clean} rows have no flags, and it needs {LEAST_CLEAN}'
    # the flagged ones have a gallery of their own
    scored = add_outlier_scores(table, latents.model, n_reasons=4 * n, overwrite=True)
    return scored, 'scored for this page, as galvae outliers does'


def odd_galleries(table, clean, placed, n):
    """
    The oddest rows: those without flags, and apart from them those with flags.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        None of them is odd if it has no scores.
    clean, placed : (N,) bool arrays
        Rows without flags, and rows that have a place on the map.
    n : int
        Rows of a gallery.

    Returns
    -------
    galleries : list of `Gallery`
    """
    if SCORE not in table.colnames:
        return []
    score = np.ma.filled(np.ma.asarray(table[SCORE]).astype(float), np.nan)
    galleries = []
    for title, text, which in (
            ('Odd ones', 'The highest scores among the rows without flags: 3 is one in a '
             'thousand.', clean & placed),
            ('Odd, with flags', 'Kept apart: many of these are artifacts, stars, pieces of other '
             'galaxies, or cutouts of a wrong size.', ~clean & placed)):
        rows = np.flatnonzero(which & np.isfinite(score))
        rows = rows[np.argsort(-score[rows], kind='stable')][:n]
        reasons = read_identifiers(table, REASON, rows) if REASON in table.colnames else []
        if len(rows):
            galleries.append(Gallery(title, text, rows, [f'{score[row]:.3g}' for row in rows],
                                     reasons))
    return galleries


def cluster_galleries(table, placed, random_state=0):
    """Some rows of each kind, if the table has a column ``galvae_cluster``."""
    if 'galvae_cluster' not in table.colnames:
        return []
    labels = np.ma.filled(np.ma.asarray(table['galvae_cluster']).astype(str), '')
    names, counts = np.unique(labels[placed & (labels != '')], return_counts=True)
    rng = np.random.default_rng(random_state)
    galleries = []
    for i in np.argsort(-counts, kind='stable')[:MAX_CLUSTERS]:
        rows = np.flatnonzero(placed & (labels == names[i]))
        rows = np.sort(rng.choice(rows, min(PER_CLUSTER, len(rows)), replace=False))
        galleries.append(Gallery(f'Cluster {names[i]}', f'{counts[i]} rows, some drawn at random.',
                                 rows, [], []))
    return galleries
