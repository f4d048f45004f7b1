# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Kinds of galaxies, told by predicted answers, so that surveys are compared kind by kind."""

import numpy as np

from galvae_affiliated.models.votes import predict_votes

__all__ = ['answer_vectors', 'effective_size', 'likeness_weights']

REGULARISATION = 0.1  # of the logistic regression; a target has few galaxies for many answers
LARGEST = 10.0  # weight over the mean, and its inverse


def answer_vectors(latents, model, engine):
    """
    What volunteers would say of galaxies, as rows of numbers.

    Parameters
    ----------
    latents : (N, n_latents) array
    model : `~galvae_affiliated.ModelBundle`
    engine : `~galvae_affiliated.Engine`

    Returns
    -------
    answers : (N, A) array
        The predicted fraction of each answer among all volunteers: that of those who are asked,
        times the share who are. No columns if the model answers no question.
    """
    if not model.questions:
        return np.empty((len(latents), 0))
    votes = predict_votes(np.asarray(latents, dtype=np.float32), model, engine)
    parts = [votes.fractions[name] * votes.reach[name][:, None] for name in votes.questions]
    return np.concatenate(parts, axis=1).astype(float)


def likeness_weights(source_answers, target_answers):
    """
    Weights of source galaxies with which their answers are distributed as the target's.

    The ratio of the densities, from a logistic regression that tells the surveys apart by
    the answers alone (Bickel et al. 2009).

    Parameters
    ----------
    source_answers, target_answers : (N, A), (M, A) arrays

    Returns
    -------
    weights : (N,) array
        Their sum is one; equal where there are no answers.

    References
    ----------
    Bickel, S., Brueckner, M., Scheffer, T. 2009, JMLR 10, 2137.
    """
    n = len(source_answers)
    if not source_answers.shape[1]:
        return np.full(n, 1.0 / n)
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.concatenate([source_answers, target_answers])
    is_target = np.repeat([0, 1], [n, len(target_answers)])
    regression = make_pipeline(StandardScaler(), LogisticRegression(
        C=REGULARISATION, class_weight='balanced', max_iter=1000))
    odds = np.exp(regression.fit(rows, is_target).decision_function(source_answers))
    weights = np.clip(odds / odds.mean(), 1.0 / LARGEST, LARGEST)
    return weights / weights.sum()


def effective_size(weights):
    """
    How many galaxies of equal weight say as much (Kish 1965).

    Parameters
    ----------
    weights : (N,) array

    Returns
    -------
    size : float
    """
    weights = np.asarray(weights, dtype=float)
    return float(weights.sum() ** 2 / (weights ** 2).sum())
