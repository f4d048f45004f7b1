# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A picture of the galaxies as the model sees them, with what it says of them; needs matplotlib."""

import importlib.util

import numpy as np

from galvae_affiliated.encoder import Encoder
from galvae_affiliated.flags import UNMEASURED, GalvaeFlags

__all__ = ['caption', 'draw_gallery', 'gallery_rows']

COLUMNS = 8
WARNINGS = GalvaeFlags.EDGE | GalvaeFlags.MISSING_PIXELS | GalvaeFlags.SMALL | GalvaeFlags.FAINT


def check_matplotlib():
    """Raise, saying what to install, if there is no matplotlib."""
    if importlib.util.find_spec('matplotlib') is None:
        raise ModuleNotFoundError("a picture needs matplotlib; install it, or galvae_affiliated with the 'plot' extra")


def gallery_rows(table, *, limit=48):
    """
    Rows worth drawing, the largest galaxies first, those with a warning last.

    Parameters
    ----------
    table : `~astropy.table.Table`
        With the columns of `~galvae_affiliated.encode_catalog`.
    limit : int, optional
        Rows at most.

    Returns
    -------
    rows : (M,) int array
    """
    flags = np.asarray(table['galvae_flags'])
    radius = np.ma.filled(np.ma.asarray(table['galvae_radius']), 0.0)
    order = np.lexsort([-radius, (flags & WARNINGS) != 0])
    return order[(flags[order] & UNMEASURED) == 0][:limit]


def draw_gallery(path, cutouts, table, rows, bundle, *, device='auto'):
    """
    Draw some galaxies of a table.

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
    bundle : `~galvae_affiliated.ModelBundle`
    device : {'auto', 'cpu', 'cuda'}, optional
    """
    from matplotlib.figure import Figure

    frames = Encoder(bundle, device=device).frames(cutouts) if len(rows) else []
    n_lines = max(1, -(-len(rows) // COLUMNS))
    figure = Figure(figsize=(1.6 * COLUMNS, 2.3 * n_lines), facecolor='black', layout='constrained')
    axes = np.atleast_1d(figure.subplots(n_lines, COLUMNS)).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, row, frame in zip(axes, rows, frames):
        axis.imshow(np.moveaxis(frame, 0, -1), origin='lower', interpolation='nearest')
        axis.set_title(caption(table[int(row)], bundle), color='white', fontsize=7, linespacing=1.1)
    figure.savefig(path, dpi=150)


def caption(row, bundle):
    """
    The likeliest answers down the tree of questions, on up to four lines.

    Parameters
    ----------
    row : `~astropy.table.Row`
        With the predicted vote fractions.
    bundle : `~galvae_affiliated.ModelBundle`

    Returns
    -------
    text : str
    """
    answers = answers_down(next(iter(bundle.questions)), row, bundle)
    return '\n'.join([f'row {row.index + 1}', *answers[:3]])


def answers_down(question, row, bundle):
    """Likeliest answer of a question and of those that it leads to, with its fraction."""
    fractions = {a: float(row[f'{question}_{a}_fraction']) for a in bundle.questions[question]}
    answer = max(fractions, key=fractions.get)
    answers = [f'{short(question, answer)} {fractions[answer]:.2f}']
    for child, entry in bundle.manifest['questions'].items():
        if entry.get('parent') == [question, answer]:
            answers += answers_down(child, row, bundle)
    return answers


def short(question, answer):
    """An answer that can be read without its question."""
    names = {'featured-or-disk': 'featured', 'has-spiral-arms': 'arms', 'disk-edge-on': 'edge-on',
             'bulge-size': 'bulge', 'spiral-arm-count': 'arms', 'bulge-shape': 'bulge', 'spiral-winding': 'winding'}
    if answer in ('yes', 'no'):
        return ('' if answer == 'yes' else 'no ') + names.get(question, question)
    if question in ('smooth-or-featured', 'how-rounded'):
        return names.get(answer, answer)
    return f'{names.get(question, question)} {answer}'
