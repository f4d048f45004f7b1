# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Why a galaxy is odd: its answers, its latents, and what it is next to, as text."""

import numpy as np

from galvae_affiliated.explore._latents import fit_metric, spread
from galvae_affiliated.explore._nearest import nearest_rows
from galvae_affiliated.models.votes import ASKED

# what is worth saying: a fraction that this share of the galaxies reaches, and so far above that
# of half of them
RARE, ABOVE = 0.005, 0.15
N_ANSWERS, N_LATENTS, N_NEIGHBORS = 2, 3, 3
N_COMPARED = 10  # neighbours from whose mean a galaxy differs
MAX_COMPARED = 100_000
BLOCK = 65536


def find_reasons(table, latents, scores, n_reasons, vote_names=(), reference=None):
    """
    Reasons of the rows with the highest scores.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        Whose predicted fractions are looked at.
    latents : `~galvae_affiliated.explore._latents.LatentTable`
        Of the table.
    scores : (N,) array
    n_reasons : int
        How many rows.
    vote_names : sequence of str
        Columns of fractions that are part of the score: they are said first.
    reference : `~galvae_affiliated.explore._latents.LatentTable`, optional
        What the galaxies are compared with; None for the table itself.

    Returns
    -------
    reasons : (N,) array of str
        Empty in the other rows.
    """
    known = np.flatnonzero(np.isfinite(scores))
    rows = known[np.argsort(-scores[known], kind='stable')[:n_reasons]]
    texts = [''] * len(latents)
    if len(rows) == 0:
        return np.array(texts, dtype=str)
    answers = _rare_answers(table, rows, latents.clean, vote_names)
    for row, *parts in zip(rows, answers, _directions(latents, rows, reference)):
        texts[row] = '; '.join(filter(None, parts))
    return np.array(texts, dtype=str)


def _rare_answers(table, rows, clean, vote_names):
    """Text of each row: the fractions that fewest galaxies reach."""
    names = [name for name in table.colnames if name.endswith('_fraction')
             and not name.endswith('_reach_fraction')]
    names = [name for name in table.colnames if name in vote_names] + [
        name for name in names if name not in vote_names]
    # in a sample, fractions are compared column by column
    compared = spread(np.flatnonzero(clean), MAX_COMPARED)
    found = [[] for _ in rows]
    for name in names:
        values = np.ma.filled(np.ma.asarray(table[name]).astype(float), np.nan)
        asked = _asked(table, name)
        among = np.sort(values[compared][asked[compared] & np.isfinite(values[compared])])
        if len(among) == 0:
            continue
        share = 1.0 - np.searchsorted(among, values[rows], side='left') / len(among)
        is_high = values[rows] > np.median(among) + ABOVE
        for i in np.flatnonzero((share <= RARE) & is_high & asked[rows]):
            found[i].append((name not in vote_names, share[i], name, values[rows[i]]))
    return [', '.join(f'{name.removesuffix("_fraction")} {value:.2f}'
                      for _, _, name, value in sorted(one)[:N_ANSWERS]) for one in found]


def _asked(table, name):
    """(N,) bool array: where the question of a fraction applies."""
    base = name.partition('_')[0]
    reach = f'{base}_reach_fraction'
    if reach not in table.colnames:
        return np.ones(len(table), dtype=bool)
    return np.ma.filled(np.ma.asarray(table[reach]).astype(float), 0.0) >= ASKED


def _directions(latents, rows, reference):
    """Text of each row: latents that differ most from its neighbours, and who these are."""
    others = latents if reference is None else reference
    metric = fit_metric(others, None if others.error is not None else 'standard')
    clean = others.clean
    blocks = ((start, metric(others.latent[start : start + BLOCK]),
               clean[start : start + BLOCK]) for start in range(0, len(others), BLOCK))
    place = metric(latents.latent[rows])
    _, near = nearest_rows(place, blocks, N_COMPARED + 1)
    unit = 'errors' if metric.name == 'errors' else 'sigma'
    texts = []
    for row, own, neighbors in zip(rows, place, near):
        is_other = neighbors >= 0 if reference is not None else (neighbors >= 0) & (
            neighbors != row)
        neighbors = neighbors[is_other][:N_COMPARED]
        away = own - metric(others.latent[neighbors]).mean(axis=0)
        largest = np.argsort(-np.abs(away))[:N_LATENTS]
        latent = ', '.join(f'{i:02d} {away[i]:+.1f}' for i in largest)
        of = ' of the reference' if reference is not None else ''
        next_to = ', '.join(map(str, neighbors[:N_NEIGHBORS]))
        texts.append(f'latents {latent} {unit}; next to rows {next_to}{of}')
    return texts
