# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A small image of a field, with some of its sources."""

import numpy as np

SIDE = 700  # pixels of the map at most: a large image is not read as a whole
SOFT = 3.0  # units of the noise, above which the stretch becomes logarithmic
BRIGHTEST = 99.7  # per cent of the pixels are not brighter than white


def draw_field_map(axis, field, positions, radii, names, colors):
    """
    Draw the middle channel of a field, and a named circle for each of some sources.

    Parameters
    ----------
    axis : `matplotlib.axes.Axes`
    field : `~galvae_affiliated.images.FieldImages`
    positions : (M, 2) array
        Pixels x and y.
    radii : (M,) array
        In pixels.
    names, colors : sequence of M str
    """
    from matplotlib.patches import Circle

    ny, nx = field.shape
    axis.imshow(sample_field(field), origin='lower', cmap='gray', vmin=0, vmax=1,
                extent=(-0.5, nx - 0.5, -0.5, ny - 0.5), interpolation='nearest')
    smallest = 0.006 * max(nx, ny)  # that can be seen
    # of sources that hide one another the first is on top
    for (x, y), radius, name, color in reversed([*zip(positions, radii, names, colors)]):
        radius = max(radius, smallest)
        axis.add_patch(Circle((x, y), radius, fill=False, color=color, linewidth=0.8))
        axis.annotate(name, (x + 0.72 * radius, y + 0.72 * radius), color=color, fontsize=6,
                      clip_on=True)
    axis.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), anchor='N')
    axis.set_title('rows of the table in the field', color='white', fontsize=8)
    axis.tick_params(colors='0.6', labelsize=6)


def sample_field(field):
    """
    (h, w) array: pixels of the middle channel that are evenly apart, stretched to [0, 1].

    Parameters
    ----------
    field : `~galvae_affiliated.images.FieldImages`
    """
    ny, nx = field.shape
    step = -(-max(ny, nx) // SIDE)
    lines = [field.window((0, nx), (y, y + 1), [1])[0, 0, ::step]
             for y in range(step // 2, ny, step)]
    light = np.array(lines) - field.residual[1]
    noise = float(field.noise[1]) or 1.0
    light = np.arcsinh(light / (SOFT * noise))
    known = light[np.isfinite(light)]
    white = np.percentile(known, BRIGHTEST) if known.size else 1.0
    return np.nan_to_num(np.clip(light / max(white, 1.0), 0.0, 1.0))
