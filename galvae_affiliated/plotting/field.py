# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the sources of a table lie in their field."""

import numpy as np

from galvae_affiliated.cutouts.maker import read_field
from galvae_affiliated.flags import UNMEASURED
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.plotting._axes import new_axes
from galvae_affiliated.sources.positions import read_positions

__all__ = ['plot_field']

MAX_PIXELS = 2000  # of a side of the picture; larger fields are thinned out
SOFTENING = 5.0  # noise levels at which the stretch turns from linear to logarithmic
HIGHEST = 99.7  # percentile that becomes white
SMALLEST = 4.0  # pixels of a circle
COLORS = ('tab:green', 'gold', 'tab:red')  # without flags, with a warning, without latents


def plot_field(images, table, model=None, *, text=None, position_columns=None, ax=None,
               **options):
    """
    Plot the sources of a table in the images of their field.

    Parameters
    ----------
    images : object
        As `~galvae_affiliated.encode_catalog` takes them, or
        `~galvae_affiliated.images.FieldImages`.
    table : `~astropy.table.Table`
        With positions and ``galvae_radius``.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        Whose bands are taken; None takes the default.
    text : str, optional
        Column to write at the sources.
    position_columns : str or sequence of str, optional
        See `~galvae_affiliated.encode_catalog`.
    ax : `~matplotlib.axes.Axes`, optional
        None makes a figure, with the axes of the sky if the images have them.
    **options
        Of `~galvae_affiliated.open_field`.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`
        Circles of petroR90: green without flags, yellow with warnings, red without latents.

    Raises
    ------
    KeyError, ValueError
        If there is no such column, or there are no positions.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated import encode_catalog, open_field
    >>> from galvae_affiliated.plotting import plot_field
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> field = open_field(images, unit='nmgy', pixel_scale=0.262)
    >>> table = encode_catalog(field, Table({'x': [70.0], 'y': [90.0]}))
    >>> ax = plot_field(field, table)
    >>> len(ax.images)
    1
    """
    if text is not None and text not in table.colnames:
        raise KeyError(f'the table has no column {text!r}')
    radius = 'galvae_radius' if 'galvae_radius' in table.colnames else None
    positions = read_positions(table, radius=radius, position_columns=position_columns)
    field = read_field(images, get_model(model).frame, **options)
    x, y = positions.pixels(field.wcs)
    sizes = positions.radius_in_pixels(field.pixel_scale)
    projection = None if field.wcs is None else {'projection': field.wcs}
    ax = new_axes(ax, size=(8.0, 8.0), subplot_kw=projection)
    picture, step = _composite(field)
    ny, nx = field.shape
    # pixels are where they were, however few of them are drawn
    extent = (-0.5, picture.shape[1] * step - 0.5, -0.5, picture.shape[0] * step - 0.5)
    ax.imshow(picture, origin='lower', extent=extent, interpolation='nearest')
    _draw_circles(ax, x, y, sizes, _degrees(table))
    for row in np.flatnonzero(np.isfinite(x) & np.isfinite(y)) if text else ():
        ax.text(x[row], y[row] + max(sizes[row], SMALLEST), str(table[text][row]),
                color='white', fontsize='xx-small', ha='center', clip_on=True)
    ax.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5))
    if hasattr(ax, 'coords'):
        ax.set(xlabel='right ascension', ylabel='declination')
    return ax


def _composite(field):
    """(ny, nx, 3) picture in [0, 1] of every n-th pixel, and n."""
    step = max(1, -(-max(field.shape) // MAX_PIXELS))
    ny, nx = field.shape
    planes = np.stack([field.window((0, nx), (0, ny), (channel,))[0][::step, ::step]
                       for channel in range(3)])
    noise = np.asarray(field.noise)[:, None, None]
    level = np.nan_to_num(planes) / np.where(noise > 0, noise, 1.0)
    stretched = np.arcsinh(level / SOFTENING)
    highest = np.percentile(stretched, HIGHEST)
    return np.clip(np.moveaxis(stretched / (highest or 1.0), 0, -1), 0.0, 1.0), step


def _degrees(table):
    """(N,) int: 0 without flags, 1 with a warning, 2 without latents."""
    if 'galvae_flags' not in table.colnames:
        return np.zeros(len(table), dtype=int)
    flags = np.ma.filled(np.ma.asarray(table['galvae_flags']), 0)
    return np.where(flags & UNMEASURED, 2, np.where(flags != 0, 1, 0))


def _draw_circles(ax, x, y, sizes, degrees):
    from matplotlib.collections import EllipseCollection

    for degree, color in enumerate(COLORS):
        rows = np.isfinite(x) & np.isfinite(y) & (degrees == degree)
        width = 2.0 * np.maximum(np.nan_to_num(sizes[rows]), SMALLEST)
        ax.add_collection(EllipseCollection(
            width, width, np.zeros(len(width)), units='xy', facecolors='none',
            edgecolors=color, linewidths=1.0, offsets=np.stack([x[rows], y[rows]], axis=1),
            offset_transform=ax.transData))
