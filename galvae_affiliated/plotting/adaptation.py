# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A model before and after it was adapted to another survey."""

import numpy as np

__all__ = ['draw_adaptation']

BEFORE, AFTER = '0.55', 'C0'


def draw_adaptation(model, path):
    """
    Draw what a bundle says of its adaptation: held-out galaxies, before and after.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
        Of ``galvae adapt``.
    path : str or path
        Of the picture; its ending gives the format.

    Raises
    ------
    ValueError
        If the model was not adapted.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.plotting import draw_adaptation
    >>> draw_adaptation(get_model('both.galvae'), 'both.png')  # doctest: +SKIP

    A model that was not adapted has nothing to draw:

    >>> draw_adaptation(get_model(), 'adapted.png')
    Traceback (most recent call last):
    ValueError: gz2-sdss-v3@... was not adapted to another survey; ...
    """
    from matplotlib.figure import Figure

    about = model.manifest.get('adapted')
    if about is None:
        raise ValueError(f'{model.id} was not adapted to another survey; expected a model of '
                         'galvae adapt')
    before, after = about['before'], about['after']
    has_pairs = 'pairs' in before and 'pairs' in after
    figure = Figure(figsize=(10.5 + 2.6 * has_pairs, 3.3), layout='constrained')
    axes = figure.subplots(1, 4 if has_pairs else 3, width_ratios=[2.0] + [1.0] * (2 + has_pairs))
    _draw_history(axes[0], about)
    _draw_scores(axes[1], [before['mmd']], [after['mmd']], [''],
                 'discrepancy (MMD$^2$)', 0.0)
    _draw_scores(axes[2], [before['survey_area']], [after['survey_area']], [''],
                 'survey told by a classifier (AUC)', 0.5)
    if has_pairs:
        names = ['recall_1', 'recall_10', 'recall_100']
        _draw_scores(axes[3], *([report['pairs'][name] for name in names]
                                for report in (before, after)),
                     ['1', '10', '100'], 'own galaxy among the nearest', None)
    axes[1].legend(frameon=False, fontsize='small')
    source, target = (about[word]['set'] for word in ('source', 'target'))
    figure.suptitle(f'{model.name}: {source} and {target}, {after["galaxies"]} held-out galaxies '
                    'of like kind', fontsize='medium')
    figure.savefig(path, dpi=150)


def _draw_history(axes, about):
    """Discrepancy and source loss against the steps, and the step that was kept."""
    history = about['history']
    steps = [entry['step'] for entry in history]
    axes.plot(steps, [entry['mmd'] for entry in history], 'o-', color='C0')
    axes.set_xlabel('step')
    axes.set_ylabel('discrepancy (MMD$^2$)', color='C0')
    axes.set_ylim(bottom=min(0.0, *(entry['mmd'] for entry in history)))
    axes.axvline(about['steps'], color='0.8', zorder=0)
    twin = axes.twinx()
    twin.plot(steps, [entry['source_loss'] for entry in history], 's--', color='C1')
    twin.axhline(about['options']['max_source_loss'], color='C1', linewidth=0.8, linestyle=':')
    twin.set_ylim(bottom=0.0)
    twin.set_ylabel('source votes, loss in nats a question', color='C1')


def _draw_scores(axes, before, after, names, title, nothing):
    """Values with their intervals, before and after; a line where nothing tells them apart."""
    place = np.arange(len(names))
    for offset, scores, color, word in ((-0.12, before, BEFORE, 'before'),
                                        (0.12, after, AFTER, 'after')):
        value, low, high = (np.array([score[key] for score in scores])
                            for key in ('value', 'low', 'high'))
        axes.errorbar(place + offset, value, [np.maximum(value - low, 0.0),
                                              np.maximum(high - value, 0.0)],
                      fmt='o', color=color, capsize=3, label=word)
    if nothing is not None:
        axes.axhline(nothing, color='0.8', zorder=0)
    axes.set_xticks(place, names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_title(title, fontsize='small')
