# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pictures, with matplotlib."""

import numpy as np

from galvae_affiliated.flags import UNMEASURED, GalvaeFlags
from galvae_affiliated.models.encoder import Encoder

__all__ = ['caption', 'draw_gallery', 'draw_sweep', 'elbow', 'gallery_rows']

COLUMNS = 8
# what is said against a row, from what makes a picture worse to what makes it no galaxy's
WARNINGS = (GalvaeFlags.EDGE | GalvaeFlags.MISSING_PIXELS | GalvaeFlags.FAINT
            | GalvaeFlags.POOR_FIT, GalvaeFlags.SMALL,
            GalvaeFlags.RADIUS_UNCERTAIN | GalvaeFlags.BLENDED,
            GalvaeFlags.POINT_SOURCE | GalvaeFlags.ARTIFACT)


def gallery_rows(table, *, limit=48):
    """
    Rows worth drawing, the largest galaxies first among those that nothing is said against.

    Those with a warning follow, then uncertain radii, and at last what may be no galaxy.

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
    doubt = np.zeros(len(flags), dtype=int)
    for degree, bits in enumerate(WARNINGS, 1):
        doubt[(flags & bits) != 0] = degree
    order = np.lexsort([-radius, doubt])
    return order[(flags[order] & UNMEASURED) == 0][:limit]


def draw_gallery(path, cutouts, table, rows, model, *, device='auto'):
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
    model : `~galvae_affiliated.ModelBundle`
    device : {'auto', 'cpu', 'cuda'}, optional
    """
    from matplotlib.figure import Figure

    frames = Encoder(model, device=device).frames(cutouts) if len(rows) else []
    n_lines = max(1, -(-len(rows) // COLUMNS))
    figure = Figure(figsize=(1.6 * COLUMNS, 2.3 * n_lines), facecolor='black', layout='constrained')
    axes = np.atleast_1d(figure.subplots(n_lines, COLUMNS)).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, row, frame in zip(axes, rows, frames):
        axis.imshow(np.moveaxis(frame, 0, -1), origin='lower', interpolation='nearest')
        axis.set_title(caption(table[int(row)], model), color='white', fontsize=7, linespacing=1.1)
    figure.savefig(path, dpi=150)


def caption(row, model):
    """
    The likeliest answers down the tree of questions, on up to four lines.

    Parameters
    ----------
    row : `~astropy.table.Row`
        With the predicted vote fractions.
    model : `~galvae_affiliated.ModelBundle`

    Returns
    -------
    text : str
    """
    answers = _answers_down(next(iter(model.questions)), row, model)
    return '\n'.join([f'row {row.index + 1}', *answers[:3]])


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


def elbow(latents, mse):
    """
    Number of latents after which more of them help little.

    The point farthest below the straight line from the first to the last, the
    error against the logarithm of the number, both from 0 to 1 (Satopaa et
    al. 2011).

    Parameters
    ----------
    latents, mse : (N,) arrays

    Returns
    -------
    n_latents : int or None
        None if the error does not fall from the first number to the last: the latents have
        collapsed, or the training was too short.

    References
    ----------
    Satopaa, V. et al. 2011, 31st Int. Conf. on Distributed Computing Systems Workshops, 166.
    """
    x, y = np.log(np.asarray(latents, dtype=float)), np.asarray(mse, dtype=float)
    if y[0] <= y[-1]:
        return None
    x, y = (x - x[0]) / (x[-1] - x[0]), (y - y[-1]) / (y[0] - y[-1])
    return int(latents[int(np.argmax(1.0 - x - y))])


def draw_sweep(table, path):
    """
    Draw reconstruction and morphology against the number of latents.

    Parameters
    ----------
    table : `~astropy.table.Table`
        As `~galvae_affiliated.training.sweep_latents` gives it.
    path : str or path
        Of the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.4), layout='constrained')
    axes = figure.subplots(1, 3)
    n = np.asarray(table['n_latents'])
    best = elbow(n, table['mse'])
    axes[0].plot(n, 1e3 * np.asarray(table['mse']), 'o-', color='C0')
    axes[0].set_ylabel('mean square error / 10$^{-3}$')
    axes[1].plot(n, table['ssim'], 'o-', color='C0', label='reconstruction')
    axes[1].plot(n, table['ssim_noiseless'], '--', color='0.4', label='perfect, without noise')
    axes[1].set_ylabel('structural similarity')
    axes[1].legend(frameon=False)
    axes[2].plot(n, table['auc'], 'o-', color='C1', label='area under ROC curve')
    axes[2].plot(n, table['balanced_accuracy'], 's-', color='C2', label='balanced accuracy')
    axes[2].set_ylabel('mean over the questions')
    axes[2].legend(frameon=False)
    for ax in axes:
        ax.set_xscale('log', base=2)
        ax.set_xticks(n, [str(x) for x in n])
        ax.set_xlabel('latents')
        if best is not None:
            ax.axvline(best, color='0.8', zorder=0)
    axes[0].set_title('no elbow' if best is None else f'elbow at {best}', fontsize='medium',
                      color='0.3')
    figure.savefig(path, dpi=150)
