# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scores against the number of latents."""

import numpy as np

__all__ = ['draw_sweep', 'elbow']


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

    Examples
    --------
    >>> from galvae_affiliated.plotting import elbow
    >>> elbow([8, 16, 32, 64], [0.0040, 0.0030, 0.0028, 0.0027])
    16
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

    Examples
    --------
    >>> import tempfile
    >>> from astropy.table import Table
    >>> from galvae_affiliated.plotting import draw_sweep
    >>> table = Table({'n_latents': [8, 16, 32], 'mse': [0.004, 0.003, 0.0028],
    ...                'ssim': [0.80, 0.85, 0.86], 'ssim_noiseless': [0.90, 0.90, 0.90],
    ...                'auc': [0.85, 0.90, 0.91], 'balanced_accuracy': [0.70, 0.80, 0.81]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_sweep(table, f'{folder}/sweep.png')
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
