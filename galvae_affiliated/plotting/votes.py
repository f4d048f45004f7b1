# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Predicted votes as bars, and whether they are right."""

import numpy as np

from galvae_affiliated.models.registry import get_model
from galvae_affiliated.plotting._axes import new_axes
from galvae_affiliated.tables.maps import floats_of

__all__ = ['plot_calibration', 'plot_votes']

RARE = 0.1  # share of volunteers who are asked, below which a question means little


def plot_votes(row, model=None, *, questions=None, ax=None):
    """
    Plot the predicted vote fractions of a galaxy as bars.

    Parameters
    ----------
    row : `~astropy.table.Row`
        With the columns of `~galvae_affiliated.add_morphology`. Intervals are drawn where it
        has them (``n_samples``), and questions are pale that few volunteers are asked.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    questions : sequence of str, optional
        None takes all.
    ax : `~matplotlib.axes.Axes`, optional
        None makes a figure.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    KeyError
        If the model has no such question, or the row has no fractions of it.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galvae_affiliated import add_latents, add_morphology, get_model
    >>> from galvae_affiliated.plotting import plot_votes
    >>> images = get_model().generate(4, random_state=0).images
    >>> table = add_morphology(add_latents(Table({'id': range(4)}), images))
    >>> ax = plot_votes(table[0], questions=['smooth-or-featured', 'bar'])
    """
    known = get_model(model).questions
    questions = list(known if questions is None else questions)
    for question in questions:
        if question not in known:
            raise KeyError(f'the model has no question {question!r}; it has {", ".join(known)}')
        if f'{question}_{known[question][0]}_fraction' not in row.colnames:
            raise KeyError(f'the row has no fractions of the question {question!r}')
    n_lines = sum(len(known[question]) + 1 for question in questions)
    ax = new_axes(ax, size=(4.5, 0.22 * n_lines + 0.6))
    ticks, labels, place = [], [], 0.0
    for question in questions:
        place = _plot_question(ax, row, question, known[question], place, ticks, labels)
    ax.set_yticks(ticks, labels, fontsize='x-small')
    ax.set_ylim(place + 0.5, -1.0)
    ax.set_xlim(0.0, 1.0)
    ax.set_xlabel('predicted vote fraction')
    return ax


def _plot_question(ax, row, question, answers, place, ticks, labels):
    """Bars of one question from a place on; returns the place of the next."""
    reach = _number(row, f'{question}_reach_fraction')
    ax.text(0.01, place, question, fontsize='x-small', weight='bold', va='center')
    for answer in answers:
        place += 1.0
        name = f'{question}_{answer}_fraction'
        ax.barh(place, np.nan_to_num(_number(row, name)), height=0.7, color='C0',
                alpha=0.35 if reach < RARE else 1.0)
        low, high = _number(row, f'{name}_lo'), _number(row, f'{name}_hi')
        if np.isfinite(low) and np.isfinite(high):
            ax.plot([low, high], [place, place], color='black', linewidth=1.2)
        ticks.append(place)
        labels.append(answer)
    return place + 1.2


def _number(row, name):
    """A value of a row; NaN where masked or not there."""
    if name not in row.colnames or np.ma.is_masked(row[name]):
        return np.nan
    return float(row[name])


def plot_calibration(predicted, observed, *, n_bins=10, label=None, ax=None):
    """
    Plot observed against predicted fractions, in bins of as many galaxies each.

    Parameters
    ----------
    predicted, observed : (N,) arrays
        Fractions from 0 to 1; masked and not finite ones are left out.
    n_bins : int, optional
        At most so many.
    label : str, optional
        For a legend.
    ax : `~matplotlib.axes.Axes`, optional
        None makes a figure.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`
        The means of the bins with the standard errors of the observed ones; on the diagonal
        the prediction is right.

    Raises
    ------
    ValueError
        If the lengths differ, fractions are not from 0 to 1, or none is left.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.plotting import plot_calibration
    >>> rng = np.random.default_rng(0)
    >>> predicted = rng.random(500)
    >>> ax = plot_calibration(predicted, rng.binomial(40, predicted) / 40)
    >>> len(ax.lines) > 0
    True
    """
    predicted, observed = (floats_of(values) for values in (predicted, observed))
    if predicted.shape != observed.shape or predicted.ndim != 1:
        raise ValueError(f'predicted and observed have shapes {predicted.shape} and '
                         f'{observed.shape}; expected the same (N,)')
    good = np.isfinite(predicted) & np.isfinite(observed)
    predicted, observed = predicted[good], observed[good]
    for name, values in (('predicted', predicted), ('observed', observed)):
        if len(values) == 0 or values.min() < 0.0 or values.max() > 1.0:
            raise ValueError(f'{name} fractions are not numbers from 0 to 1')
    ax = new_axes(ax, size=(4.0, 4.0))
    ax.plot([0, 1], [0, 1], color='0.7', linewidth=1, zorder=0)
    parts = np.array_split(np.argsort(predicted, kind='stable'), min(n_bins, len(predicted)))
    x = [predicted[part].mean() for part in parts]
    y = [observed[part].mean() for part in parts]
    errors = [observed[part].std() / np.sqrt(len(part)) for part in parts]
    ax.errorbar(x, y, errors, fmt='o-', markersize=4, capsize=2, label=label)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect='equal', xlabel='predicted fraction',
           ylabel='observed fraction')
    return ax
