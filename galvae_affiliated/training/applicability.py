# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The test of how like the training images others are, fitted on a model's own galaxies."""

import logging

import numpy as np

from galvae_affiliated.models.applicability import (
    ApplicabilityTest,
    KindTest,
    feature_names,
    features,
)
from galvae_affiliated.models.whitening import Whitening
from galvae_affiliated.training.density import LEAST_GALAXIES, choose_mixture

__all__ = ['fit_applicability']

logger = logging.getLogger(__name__)
CALIBRATED = 0.25  # share of the galaxies that the p-values are told from
MAX_SCORES = 4000  # kept in the bundle
FLAG_BELOW = 0.005  # one SDSS galaxy of 200 is flagged
REASON_BELOW = 0.005  # of each tail of each feature
N_COMPONENTS = 16  # 32 told other images of galaxies left out no better


def fit_applicability(encodings, *, calibrated=None, n_components=N_COMPONENTS,
                      flag_below=FLAG_BELOW, reason_below=REASON_BELOW, random_state=0):
    """
    Fit the density of latents and statistics, and calibrate p-values on other galaxies.

    Parameters
    ----------
    encodings : sequence of `~galvae_affiliated.models.Encoding`
        Of the training galaxies, with statistics: in color, and the same in grey.
    calibrated : (N,) bool array, optional
        Rows of each encoding to calibrate on, such as those that the model was not trained
        on; None takes a quarter at random.
    n_components : int or sequence of int, optional
        See `~galvae_affiliated.training.density.choose_mixture`.
    flag_below : float, optional
        p-value below which rows are flagged.
    reason_below : float, optional
        Share of the galaxies in each tail of a statistic that makes it a reason.
    random_state : int, optional

    Returns
    -------
    test : `~galvae_affiliated.models.ApplicabilityTest`
    about : dict
        Of each kind the number of galaxies and components, for the manifest.

    Raises
    ------
    ValueError
        If a kind has fewer than 200 galaxies to fit or to calibrate on, or none has more.
    """
    values, is_calibrated = {}, {}
    for encoding in encodings:
        marked = calibrated
        if marked is None:
            rng = np.random.default_rng(random_state)
            marked = rng.random(len(encoding)) < CALIBRATED
        for kind, rows, its in features(encoding):
            values.setdefault(kind, []).append(its)
            is_calibrated.setdefault(kind, []).append(np.asarray(marked)[rows])
    kinds, about = {}, {}
    numbers = (n_components,) if np.ndim(n_components) == 0 else n_components
    for kind in values:
        its, marked = np.concatenate(values[kind]), np.concatenate(is_calibrated[kind])
        if len(its):
            kinds[kind], about[kind] = _fit_kind(kind, its[~marked], its[marked], numbers,
                                                 reason_below, random_state)
    if not kinds:
        raise ValueError('there are no measured galaxies to fit to')
    return ApplicabilityTest(kinds, flag_below), about


def _fit_kind(kind, fitted, others, n_components, reason_below, random_state):
    for rows, what in ((fitted, 'fit'), (others, 'calibrate')):
        if len(rows) < LEAST_GALAXIES:
            raise ValueError(f'there are {len(rows)} images in {kind} to {what} to; expected '
                             f'at least {LEAST_GALAXIES}')
    whitening = Whitening.fit(fitted)
    mixture, held_out = choose_mixture(whitening(fitted), n_components, random_state)
    test = KindTest(whitening, mixture, np.zeros(1), np.zeros((1, 2)))
    scores = np.sort(test.score(others))
    if len(scores) > MAX_SCORES:
        # of that many, spread evenly over all
        scores = scores[np.linspace(0, len(scores) - 1, MAX_SCORES).round().astype(int)]
    few = others[:, -len(feature_names(kind)):]
    limits = np.quantile(few, [reason_below, 1.0 - reason_below], axis=0).T
    about = {'galaxies': len(fitted), 'calibrated on': len(others),
             'components': len(mixture.weights)}
    logger.info('applicability in %s: %s', kind, about)
    return KindTest(whitening, mixture, scores, limits), about
