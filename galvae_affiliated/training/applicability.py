# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The test of how like the training images others are, fitted on a model's own galaxies."""

import logging

import numpy as np

from galvae_affiliated.models.applicability import (
    KINDS,
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
        Of the training galaxies, with statistics, as images of several kinds.
    calibrated : sequence of (N,) bool array, optional
        Of each encoding, the rows to calibrate on, such as galaxies that the model was not trained
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
        If no kind has 200 galaxies to fit and 200 to calibrate on; kinds with fewer are left
        out.
    """
    values, is_calibrated = {}, {}
    if calibrated is None:
        rng = np.random.default_rng(random_state)
        calibrated = [rng.random(len(encoding)) < CALIBRATED for encoding in encodings]
    for encoding, marked in zip(encodings, calibrated, strict=True):
        for kind, rows, its in features(encoding):
            values.setdefault(kind, []).append(its)
            is_calibrated.setdefault(kind, []).append(np.asarray(marked)[rows])
    kinds, about, lacks = {}, {}, []
    numbers = (n_components,) if np.ndim(n_components) == 0 else n_components
    for kind in filter(values.__contains__, KINDS):
        its, marked = np.concatenate(values[kind]), np.concatenate(is_calibrated[kind])
        lack = _lack(kind, its[~marked], its[marked])
        if lack:
            lacks.append(lack)
            continue
        kinds[kind], about[kind] = _fit_kind(kind, its[~marked], its[marked], numbers,
                                             reason_below, random_state)
    if not kinds:
        raise ValueError(lacks[0] if lacks else 'there are no measured galaxies to fit to')
    for lack in lacks:
        logger.warning('%s: images of this kind will have no p-value', lack)
    return ApplicabilityTest(kinds, flag_below), about


def _lack(kind, fitted, others):
    """What a kind has too few of, as text; empty if of nothing."""
    for rows, what in ((fitted, 'fit'), (others, 'calibrate')):
        if len(rows) < LEAST_GALAXIES:
            return (f'there are {len(rows)} images in {kind} to {what} to; expected '
                    f'at least {LEAST_GALAXIES}')
    return ''


def _fit_kind(kind, fitted, others, n_components, reason_below, random_state):
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
