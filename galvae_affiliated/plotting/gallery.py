# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A picture of some galaxies of a table, with what is predicted of them, and of their field."""

from pathlib import Path

import numpy as np

from galvae_affiliated.flags import BITS, UNMEASURED, GalvaeFlags, describe_flags
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.plotting._field_map import draw_field_map

__all__ = ['caption', 'check_picture', 'draw_gallery', 'gallery_rows']

COLUMNS = 8
TRUSTED, DOUBTED = 'white', 'orange'  # colors of what is said of a row
ID_LENGTH = 20  # letters of an identifier that a caption has room for
# what is said against a row, from what makes a picture worse to what makes it no galaxy's
WARNINGS = tuple(
    sum(GalvaeFlags[name] for name in names.split()) for names in (
        'EDGE MISSING_PIXELS FAINT POOR_FIT', 'SMALL UNRESOLVED', 'UNLIKE_TRAINING',
        'RADIUS_UNCERTAIN BLENDED', 'POINT_SOURCE ARTIFACT'))
DOUBTS = sum(WARNINGS)


def check_picture(path):
    """
    Refuse a picture that could not be drawn, before the work for it.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is not installed.
    ValueError
        If it writes no files of this ending.

    Examples
    --------
    >>> from galvae_affiliated.plotting import check_picture
    >>> check_picture('galaxies.png')
    >>> check_picture('galaxies.fits')
    Traceback (most recent call last):
    ValueError: ...
    """
    from galvae_affiliated._optional import check_matplotlib

    check_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    endings = sorted(FigureCanvasAgg.get_supported_filetypes())
    if Path(path).suffix.lower().lstrip('.') not in endings:
        raise ValueError(f'{path}: the ending {Path(path).suffix!r} is none of a picture; expected '
                         f'one of .{", .".join(endings)}')


def gallery_rows(table, *, limit=48):
    """
    Rows worth drawing, the largest galaxies first among those that nothing is said against.

    Those with a warning follow, then uncertain radii, and at last what may be no galaxy.

    Parameters
    ----------
    table : `~astropy.table.Table`
        With the columns of `~galvae_affiliated.encode_catalog` or
        `~galvae_affiliated.encode_cutout_set`.
    limit : int, optional
        Rows at most.

    Returns
    -------
    rows : (M,) int array

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galvae_affiliated import add_latents, add_morphology, get_model
    >>> from galvae_affiliated.plotting import gallery_rows
    >>> images = get_model().generate(4, random_state=0).images
    >>> table = add_morphology(add_latents(Table({'id': range(4)}), images))
    >>> gallery_rows(table, limit=3).shape
    (3,)
    """
    flags = np.asarray(table['galvae_flags'])
    radius = np.ma.filled(np.ma.asarray(table['galvae_radius']), 0.0)
    doubt = np.zeros(len(flags), dtype=int)
    for degree, bits in enumerate(WARNINGS, 1):
        doubt[(flags & bits) != 0] = degree
    order = np.lexsort([-radius, doubt])
    return order[(flags[order] & UNMEASURED) == 0][:limit]


def draw_gallery(path, cutouts, table, rows, model, *, device='auto', field=None, positions=None):
    """
    Draw some galaxies of a table, and where in their field they lie.

    Of what a flag is said against, the flags are named, in another color. Below the galaxies it
    is said how many rows are not drawn.

    Parameters
    ----------
    path : str or path
        The picture's file; its ending gives the format.
    cutouts : `~galvae_affiliated.CutoutStack`
        A cutout for each of ``rows``.
    table : `~astropy.table.Table`
        With the predicted vote fractions.
    rows : (M,) int array
        Rows of ``table``; see `gallery_rows`.
    model : `~galvae_affiliated.ModelBundle`
    device : {'auto', 'cpu', 'cuda'}, optional
    field : `~galvae_affiliated.images.FieldImages`, optional
        The field, for a map with a circle of petroR90 around each.
    positions : (M, 2) array, optional
        Pixels x and y of the galaxies in the field.

    Examples
    --------
    >>> import tempfile
    >>> from astropy.table import Table
    >>> from galvae_affiliated import add_latents, add_morphology, get_model
    >>> from galvae_affiliated import CutoutStack
    >>> from galvae_affiliated.plotting import draw_gallery, gallery_rows
    >>> model = get_model()
    >>> stack = CutoutStack.from_composites(model.generate(4, random_state=0).images)
    >>> table = add_morphology(add_latents(Table({'id': range(4)}), stack))
    >>> rows = gallery_rows(table)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_gallery(f'{folder}/galaxies.png', stack[rows], table, rows, model)
    """
    from matplotlib.figure import Figure

    frames = Encoder(model, device=device).frames(cutouts) if len(rows) else []
    n_columns = min(COLUMNS, max(1, len(rows)))
    n_lines = max(1, -(-len(rows) // n_columns))
    height, width = 2.15 * n_lines + 0.4, 1.6 * n_columns
    side = 0.0 if field is None else max(5.0, min(0.55 * width, height))
    figure = Figure(figsize=(width + side, max(height, side)), facecolor='black',
                    layout='constrained')
    grid = figure.add_gridspec(n_lines, 2 if side else 1,
                               width_ratios=[width, side] if side else None)
    galaxies = grid[:, 0].subgridspec(n_lines, n_columns)
    is_flux = np.isin(cutouts.rendering, list(model.frame.flux_renderings()))
    for place in range(n_lines * n_columns):
        axis = figure.add_subplot(galaxies[place // n_columns, place % n_columns])
        axis.set_axis_off()
        if place < len(rows):
            _draw_galaxy(axis, frames[place], table[int(rows[place])], model, is_flux[place])
    if side:
        colors = [_color(flags) for flags in table['galvae_flags'][rows]]
        draw_field_map(figure.add_subplot(grid[:, 1]), field, positions, cutouts.radius,
                       [str(row + 1) for row in rows], colors)
    figure.supxlabel(_what_is_drawn(table, rows), color=TRUSTED, fontsize=9)
    figure.savefig(path, dpi=150)


def _draw_galaxy(axis, frame, row, model, is_flux):
    """One galaxy; pictures have their first line of pixels at the top, images of flux below."""
    axis.imshow(np.moveaxis(frame, 0, -1), origin='lower' if is_flux else 'upper',
                interpolation='nearest')
    text = caption(row, model)
    doubts = describe_flags(row['galvae_flags'] & DOUBTS)
    if doubts:
        # the gravest is the one that put it where it is
        gravest = max(doubts, key=lambda name: [bool(GalvaeFlags[name] & bits)
                                                for bits in WARNINGS].index(True))
        text += f'\n{gravest}' + f' +{len(doubts) - 1}' * (len(doubts) > 1)
    axis.set_title(text, color=_color(row['galvae_flags']), fontsize=7, linespacing=1.1)


def _color(flags):
    return DOUBTED if flags & DOUBTS else TRUSTED


def _what_is_drawn(table, rows):
    """A line that says how many rows there are, and how many of them are not drawn."""
    flags = np.asarray(table['galvae_flags'])
    measured = int(np.sum((flags & UNMEASURED) == 0))
    names = [name for name in BITS if GalvaeFlags[name] & DOUBTS]
    parts = [f'{len(rows)} of {len(table)} rows']
    if measured > len(rows):
        parts.append(f'{measured - len(rows)} more are measured and not drawn')
    if measured < len(table):
        parts.append(f'{len(table) - measured} could not be measured')
    if np.any(flags[rows] & DOUBTS):
        shown = [name for name in names if np.any(flags[rows] & GalvaeFlags[name])]
        parts.append(f'in {DOUBTED}: flagged ({", ".join(shown)})')
    return '; '.join(parts)


def caption(row, model):
    """
    Number and identifier of a row, and the likeliest answers down the tree of questions.

    Parameters
    ----------
    row : `~astropy.table.Row`
        With the predicted vote fractions.
    model : `~galvae_affiliated.ModelBundle`

    Returns
    -------
    text : str
        On up to five lines.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galvae_affiliated import add_latents, add_morphology, get_model
    >>> from galvae_affiliated.plotting import caption
    >>> model = get_model()
    >>> images = model.generate(1, random_state=0).images
    >>> table = add_morphology(add_latents(Table({'id': ['J1']}), images))
    >>> print(caption(table[0], model))
    row 1
    smooth ...
    ...
    """
    lines = [f'row {row.index + 1}']
    if 'id_str' in row.colnames:
        name = str(row['id_str'])
        lines.append(name if len(name) <= ID_LENGTH else f'{name[:ID_LENGTH - 1]}\u2026')
    if model.questions:
        lines += _answers_down(next(iter(model.questions)), row, model)[:3]
    return '\n'.join(lines)


def _answers_down(question, row, model):
    """Likeliest answer of a question and of those that it leads to, with its fraction."""
    fractions = {a: float(row[f'{question}_{a}_fraction']) for a in model.questions[question]}
    answer = max(fractions, key=fractions.get)
    answers = [f'{_shorten(question, answer)} {fractions[answer]:.2f}']
    for child, entry in model.manifest.questions.items():
        if entry.parent == (question, answer):
            answers += _answers_down(child, row, model)
    return answers


def _shorten(question, answer):
    """An answer that can be read without its question."""
    names = {'featured-or-disk': 'featured', 'has-spiral-arms': 'arms', 'disk-edge-on': 'edge-on',
             'bulge-size': 'bulge', 'spiral-arm-count': 'arms', 'bulge-shape': 'bulge',
             'spiral-winding': 'winding'}
    if answer in ('yes', 'no'):
        return ('' if answer == 'yes' else 'no ') + names.get(question, question)
    if question in ('smooth-or-featured', 'how-rounded'):
        return names.get(answer, answer)
    return f'{names.get(question, question)} {answer}'
