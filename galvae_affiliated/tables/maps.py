# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the rows of a table lie on a map of their latents."""

import numpy as np

__all__ = ['find_map', 'principal_components']

MAX_FITTED = 100_000  # rows that the principal components are estimated from
MAP_COLUMNS = ('galvae_map_x', 'galvae_map_y')  # as galvae map writes them


def find_map(table, columns=None):
    """
    Coordinates of a map that a table has.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
    columns : sequence of two str, optional
        Their names; None takes those that ``galvae map`` writes.

    Returns
    -------
    names : list of str
    places : (N, 2) float array
        NaN where masked; None, with no names, if the table has no map.

    Raises
    ------
    KeyError
        If the table has no such columns.
    ValueError
        If there are not two of them.
    """
    if columns is None and not set(MAP_COLUMNS) <= set(table.colnames):
        return [], None
    names = list(MAP_COLUMNS if columns is None else columns)
    if len(names) != 2:
        raise ValueError(f'map columns are {", ".join(names)}; expected two')
    missing = [name for name in names if name not in table.colnames]
    if missing:
        raise KeyError(f'the table has no column {missing[0]!r}')
    return names, np.stack([floats_of(table[name]) for name in names], axis=1)


def principal_components(latent, clean):
    """
    The first two principal components of latents.

    Parameters
    ----------
    latent : (N, n_latents) array
        NaN in rows that have none.
    clean : (N,) bool array
        Rows that they are estimated from.

    Returns
    -------
    places : (N, 2) float array
    shares : (2,) float array
        Of the variance.
    """
    rows = latent[clean]
    rows = rows[::max(1, -(-len(rows) // MAX_FITTED))].astype(float)
    mean = rows.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((rows - mean).T))
    axes = vectors[:, :-3:-1]
    # the sign of an eigenvector means nothing; this way a table always has the same map
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    return (latent - mean) @ axes, values[:-3:-1] / values.sum()


def floats_of(column):
    """(N, ...) float array of a column of numbers, NaN where masked; without its unit."""
    return np.ma.filled(plain_values(column).astype(float), np.nan)


def plain_values(column):
    """Masked array of a column of any kind, without its unit."""
    values = getattr(column, 'value', column)
    if hasattr(values, 'unmasked'):  # of a QTable
        return np.ma.array(values.unmasked, mask=values.mask)
    return np.ma.asarray(values)
