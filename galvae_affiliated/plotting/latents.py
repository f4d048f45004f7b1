# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A map of the latents of a table."""

import numpy as np

from galvae_affiliated.plotting._axes import new_axes
from galvae_affiliated.tables.columns import get_latents
from galvae_affiliated.tables.maps import find_map, floats_of, plain_values, principal_components

__all__ = ['plot_latent_map']

MANY = 20_000  # points beyond which hexagons are drawn
MAX_LABELS = 10
LEAST = 3  # rows that span a map


def plot_latent_map(table, *, color=None, columns=None, model=None, n_hexagons=80, ax=None):
    """
    Plot where galaxies lie among their latents.

    Parameters
    ----------
    table : `~astropy.table.Table`
        With coordinates of a map, or with latents: their principal components are taken, fitted
        to the rows without flags.
    color : str, optional
        Column of numbers or of few texts.
    columns : sequence of two str, optional
        Coordinates; None takes those that ``galvae map`` writes.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        That the latents must be of.
    n_hexagons : int, optional
        Across; of more than 20,000 rows the number a hexagon is drawn, or the mean of
        ``color`` in it.
    ax : `~matplotlib.axes.Axes`, optional
        None makes a figure.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`
        Rows with flags are hollow.

    Raises
    ------
    KeyError, ModelMismatchError
        If there is no such column, or there are no latents of this model.
    ValueError
        If fewer than three rows have a place.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated.plotting import plot_latent_map
    >>> latent = np.random.default_rng(0).normal(size=(200, 40)).astype('f4')
    >>> table = Table({'galvae_latent': latent})
    >>> ax = plot_latent_map(table, model='gz2-sdss-v3')
    """
    if color is not None and color not in table.colnames:
        raise KeyError(f'the table has no column {color!r}')
    flagged = np.zeros(len(table), dtype=bool)
    if 'galvae_flags' in table.colnames:
        flagged = np.ma.filled(np.ma.asarray(table['galvae_flags']), 0) != 0
    names, places = find_map(table, columns)
    if places is None:
        names, places = _components(get_latents(table, model), flagged)
    shown = np.isfinite(places).all(axis=1)
    if shown.sum() < LEAST:
        raise ValueError(f'{shown.sum()} rows have a place on the map; expected {LEAST} or more')
    ax = new_axes(ax, size=(6.0, 5.0))
    if shown.sum() > MANY:
        _plot_hexagons(ax, places[shown], table, color, shown, n_hexagons)
    else:
        _plot_points(ax, places, table, color, shown, flagged)
    ax.set(xlabel=names[0], ylabel=names[1])
    return ax


def _components(latent, flagged):
    measured = np.isfinite(latent).all(axis=1)
    clean = measured & ~flagged
    places, shares = principal_components(latent, clean if clean.sum() >= LEAST else measured)
    return [f'principal component {i + 1} ({share:.0%} of the variance)'
            for i, share in enumerate(shares)], places


def _plot_hexagons(ax, places, table, color, shown, n):
    if color is None:
        drawn = ax.hexbin(*places.T, gridsize=n, bins='log', mincnt=1)
        ax.figure.colorbar(drawn, ax=ax, label='rows')
        return
    values = floats_of(table[color])[shown]
    good = np.isfinite(values)
    drawn = ax.hexbin(*places[good].T, C=values[good], gridsize=n, mincnt=1)
    ax.figure.colorbar(drawn, ax=ax, label=f'mean of {color}')


def _plot_points(ax, places, table, color, shown, flagged):
    values = None if color is None else plain_values(table[color])
    size = 12.0 if shown.sum() < 2000 else 3.0
    if values is not None and values.dtype.kind in 'SUb':
        _plot_labels(ax, places, values.astype(str).filled(''), shown, flagged, size)
        return
    if values is None:
        for rows, style in ((shown & flagged, {'facecolors': 'none', 'edgecolors': 'C0'}),
                            (shown & ~flagged, {'color': 'C0'})):
            ax.scatter(*places[rows].T, s=size, linewidths=0.5, **style)
        return
    numbers = floats_of(values)
    low, high = np.nanpercentile(numbers[shown], [1, 99])
    for rows in (shown & flagged, shown & ~flagged):
        drawn = ax.scatter(*places[rows].T, s=size, c=numbers[rows], vmin=low, vmax=high,
                           linewidths=0.5)
        if flagged[rows].any():
            drawn.set(edgecolors=drawn.to_rgba(numbers[rows]), facecolors='none')
            drawn.set_array(None)
    ax.figure.colorbar(drawn, ax=ax, label=color)


def _plot_labels(ax, places, texts, shown, flagged, size):
    """Points of each text in a colour, the most frequent ones; others are grey."""
    labels, counts = np.unique(texts[shown & (texts != '')], return_counts=True)
    frequent = labels[np.argsort(-counts, kind='stable')][:MAX_LABELS]
    groups = [(f'C{i}', label, texts == label) for i, label in enumerate(frequent)]
    others = ~np.isin(texts, frequent)
    if (others & shown).any():
        groups.insert(0, ('0.7', 'others', others))
    for shade, label, which in groups:
        rows = shown & which
        ax.scatter(*places[rows & ~flagged].T, s=size, color=shade, label=label)
        ax.scatter(*places[rows & flagged].T, s=size, facecolors='none', edgecolors=shade,
                   linewidths=0.5)
    ax.legend(frameon=False, fontsize='small', markerscale=2)
