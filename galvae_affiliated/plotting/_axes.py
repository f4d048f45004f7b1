# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the plots for notebooks share."""


def new_axes(axes=None, *, shape=None, size=None, **options):
    """
    Axes to draw on: those that were given, or those of a new figure of pyplot.

    Parameters
    ----------
    axes : object, optional
    shape : (int, int), optional
        Lines and columns of axes; None makes one.
    size : (float, float), optional
        Of the figure in inches.
    **options
        Of ``pyplot.subplots``.

    Returns
    -------
    axes : `~matplotlib.axes.Axes` or array of them
    """
    if axes is not None:
        return axes
    from matplotlib import pyplot

    n_lines, n_columns = shape or (1, 1)
    _, axes = pyplot.subplots(n_lines, n_columns, figsize=size, layout='constrained',
                              squeeze=shape is None, **options)
    return axes


def show_picture(axis, picture, is_flux):
    """A (3, ny, nx) composite in [0, 1]; the first line of pixels of a field is the lowest."""
    axis.imshow(picture.transpose(1, 2, 0).clip(0, 1), origin='lower' if is_flux else 'upper',
                interpolation='nearest')
    axis.set_axis_off()


def is_flux(stack, model):
    """List of bool: whether each cutout is one of flux."""
    names = set(model.frame.flux_renderings())
    return [str(name) in names for name in stack.rendering]
