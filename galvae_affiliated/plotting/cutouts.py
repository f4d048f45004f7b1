# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts with what is predicted of them, and what the decoder makes of them."""

import numpy as np

from galvae_affiliated.cutouts.stack import CutoutStack
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.models.reconstruction import reconstruct
from galvae_affiliated.plotting._axes import is_flux, new_axes, show_picture
from galvae_affiliated.plotting.gallery import caption

__all__ = ['draw_reconstructions', 'plot_cutouts', 'plot_reconstructions']

COLUMNS = 8
LIMIT = 0.15  # of a residual, in levels of a composite


def plot_cutouts(cutouts, table=None, model=None, *, engine=None, n_columns=COLUMNS, axes=None):
    """
    Plot cutouts as the network sees them, with the likeliest answers where a table has them.

    Parameters
    ----------
    cutouts : `~galvae_affiliated.CutoutStack` or (N, 3, grid, grid) array
    table : `~astropy.table.Table` of N rows, optional
        With the predicted vote fractions of the same rows.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    engine : `~galvae_affiliated.Engine`, optional
    n_columns : int, optional
        Cutouts a line.
    axes : (M,) array of `~matplotlib.axes.Axes`, optional
        At least N, in any shape; None makes a figure.

    Returns
    -------
    axes : (n_lines, n_columns) array of `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If there are no cutouts, or the numbers of rows or axes differ.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.plotting import plot_cutouts
    >>> axes = plot_cutouts(get_model().generate(3, random_state=0).images)
    >>> axes.shape
    (1, 3)
    """
    stack, encoder = _opened(cutouts, model, engine)
    if table is not None and len(table) != len(stack):
        raise ValueError(f'there are {len(stack)} cutouts for {len(table)} rows')
    n_columns = min(n_columns, len(stack))
    n_lines = -(-len(stack) // n_columns)
    axes = new_axes(axes, shape=(n_lines, n_columns), size=(1.6 * n_columns, 2.3 * n_lines))
    places = np.asarray(axes, dtype=object).ravel()
    if len(places) < len(stack):
        raise ValueError(f'there are {len(places)} axes for {len(stack)} cutouts')
    for axis in places:
        axis.set_axis_off()
    frames = encoder.frames(stack)
    for i, (axis, frame, flux) in enumerate(zip(places, frames, is_flux(stack, encoder.model))):
        show_picture(axis, frame, flux)
        if table is not None:
            axis.set_title(caption(table[i], encoder.model), fontsize=7)
    return axes


def plot_reconstructions(cutouts, model=None, *, details='none', random_state=None, engine=None,
                         axes=None):
    """
    Plot cutouts, what the decoder makes of their latents, and the difference.

    Parameters
    ----------
    cutouts : `~galvae_affiliated.CutoutStack` or (N, 3, grid, grid) array
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    details, random_state : object
        What is drawn beside what the latents hold, see `~galvae_affiliated.models.reconstruct`.
    engine : `~galvae_affiliated.Engine`, optional
    axes : (3, N) array of `~matplotlib.axes.Axes`, optional
        None makes a figure.

    Returns
    -------
    axes : (3, N) array of `~matplotlib.axes.Axes`
        A column a cutout. The difference is the mean over the channels, from -0.15 (blue) to
        0.15 (red, where the image is brighter).

    Raises
    ------
    ValueError
        If there are no cutouts, or the axes are others.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.plotting import plot_reconstructions
    >>> axes = plot_reconstructions(get_model().generate(3, random_state=0).images)
    >>> axes.shape
    (3, 3)
    """
    stack, encoder = _opened(cutouts, model, engine)
    n = len(stack)
    axes = new_axes(axes, shape=(3, n), size=(1.6 * n, 5.0))
    if np.shape(axes) != (3, n):
        raise ValueError(f'axes have shape {np.shape(axes)}; expected (3, {n})')
    found = reconstruct(stack, encoder.model, details=details, random_state=random_state,
                        engine=encoder.engine)
    # what could not be measured is shown, with nothing beside it
    frames, decoded = encoder.frames(stack), np.nan_to_num(found.decoded)
    for i, flux in enumerate(is_flux(stack, encoder.model)):
        show_picture(axes[0, i], frames[i], flux)
        show_picture(axes[1, i], decoded[i], flux)
        axes[2, i].imshow((frames[i] - decoded[i]).mean(axis=0), cmap='RdBu_r', vmin=-LIMIT,
                          vmax=LIMIT, origin='lower' if flux else 'upper')
        axes[2, i].set_axis_off()
    for line, title in enumerate(('image', 'decoded', 'difference')):
        axes[line, 0].set_title(title, loc='left', fontsize='small')
    return axes


def draw_reconstructions(path, cutouts, model=None, *, details='none', random_state=None,
                         engine=None):
    """
    Draw what `plot_reconstructions` plots into a PNG file.

    Parameters
    ----------
    path : str or path
    cutouts, model, details, random_state, engine : object
        See `plot_reconstructions`.

    Examples
    --------
    >>> import tempfile
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.plotting import draw_reconstructions
    >>> images = get_model().generate(3, random_state=0).images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_reconstructions(f'{folder}/decoded.png', images)
    """
    from matplotlib.figure import Figure

    stack, _ = _opened(cutouts, model, engine)
    n = len(stack)
    figure = Figure(figsize=(1.6 * n, 5.0), layout='constrained')
    plot_reconstructions(stack, model, details=details, random_state=random_state, engine=engine,
                         axes=figure.subplots(3, n, squeeze=False))
    figure.savefig(path, format='png', dpi=100)


def _opened(cutouts, model, engine):
    """`CutoutStack` of at least one cutout, and the `Encoder`."""
    if not isinstance(cutouts, CutoutStack):
        cutouts = CutoutStack.from_composites(cutouts)
    if not len(cutouts):
        raise ValueError('there are no cutouts to plot')
    return cutouts, Encoder(model, engine)
