# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How well vote fractions are predicted, and how well answers can be told from latents.

A galaxy counts for a question when at least half of its volunteers were asked it; its
true answer is the one with most votes.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galvae_affiliated.models.votes import ASKED

__all__ = ['answer_areas', 'calibration_error', 'cumulative_rmse', 'latent_scores',
           'question_scores', 'vote_scores']

LEAST_GALAXIES = 40  # that were asked a question; fewer give no score
LEAST_OF_AN_ANSWER = 5  # galaxies with the answer, and with another; fewer give no area
BINS = 10  # of predicted fractions, in which they are compared with the votes


def vote_scores(predicted, votes, questions=None, *, n_boot=200, random_state=0):
    """
    Scores of every question that at least 40 galaxies were asked.

    Parameters
    ----------
    predicted : dict of str to (N, n_answers) array
        Fractions by question, NaN where there is no prediction.
    votes : dict of str to `~galvae_affiliated.training.data.labels.Votes`
        Of the same N galaxies.
    questions : sequence of str, optional
        None scores all of ``votes``.
    n_boot : int, optional
        Samples of the galaxies for the 95 % interval of the area.
    random_state : int, optional

    Returns
    -------
    rows : list of dict
        ``question``, ``n``, ``majority`` (share of the commonest answer), those of
        `question_scores`, and ``auc_lo``, ``auc_hi``.
    """
    rng, rows = np.random.default_rng(random_state), []
    for question in votes if questions is None else questions:
        asked = votes[question].weight >= ASKED
        if asked.sum() < LEAST_GALAXIES:
            continue
        share = predicted[question][asked]
        voted = votes[question].fractions[asked]
        n = len(voted)
        draws = (rng.integers(0, n, n) for _ in range(n_boot))
        areas = [np.nanmean(_areas(share[i], voted[i])) for i in draws]
        low, high = np.nanpercentile(areas, [2.5, 97.5])
        majority = np.bincount(voted.argmax(1)).max() / n
        rows.append({'question': question, 'n': n, 'majority': majority,
                     **question_scores(share, voted), 'auc_lo': low, 'auc_hi': high})
    return rows


def question_scores(predicted, voted):
    """
    Scores of one question.

    Parameters
    ----------
    predicted : (N, n_answers) array
        NaN where there is no prediction: an error, and no help for the area.
    voted : (N, n_answers) array

    Returns
    -------
    scores : dict of str to float
        ``accuracy``; ``balanced``, the mean over the answers of the share that is found;
        ``auc``, the mean area under the ROC curve of an answer against the rest;
        ``calibration``, see `calibration_error`; ``rmse`` of the fractions. Answers of
        fewer than five galaxies do not count for ``balanced`` and ``auc``.
    """
    answer = voted.argmax(1)
    known = np.isfinite(predicted).all(1)
    hit = known & (np.nan_to_num(predicted, nan=-1.0).argmax(1) == answer)
    counts = np.bincount(answer, minlength=voted.shape[1])
    recall = [hit[answer == a].mean() for a, n in enumerate(counts) if n >= LEAST_OF_AN_ANSWER]
    filled = _filled(predicted)
    return {'accuracy': hit.mean(), 'balanced': np.mean(recall),
            'auc': np.nanmean(_areas(predicted, voted)),
            'calibration': calibration_error(filled, voted),
            'rmse': float(np.sqrt(np.mean((filled - voted) ** 2)))}


def answer_areas(predicted, votes, questions=None):
    """
    Area under the ROC curve of each answer against the rest.

    Parameters
    ----------
    predicted, votes, questions : object
        As `vote_scores` takes them.

    Returns
    -------
    areas : dict of str to list of float
        By question, an area an answer; NaN where fewer than five galaxies have the answer.
    """
    areas = {}
    for question in votes if questions is None else questions:
        asked = votes[question].weight >= ASKED
        areas[question] = _areas(predicted[question][asked], votes[question].fractions[asked])
    return areas


def _areas(predicted, voted):
    answer = voted.argmax(1)
    counts = np.bincount(answer, minlength=voted.shape[1])
    share = _filled(predicted)
    return [roc_auc_score(answer == a, share[:, a])
            if LEAST_OF_AN_ANSWER <= n <= len(answer) - LEAST_OF_AN_ANSWER else np.nan
            for a, n in enumerate(counts)]


def _filled(predicted):
    """Equal fractions where nothing was predicted."""
    known = np.isfinite(predicted).all(1)
    return np.where(known[:, None], predicted, 1.0 / predicted.shape[1])


def calibration_error(predicted, voted):
    """
    Mean gap of predicted and voted fraction, in ten bins of the former, a mean over the answers.

    Parameters
    ----------
    predicted, voted : (N, n_answers) arrays

    Returns
    -------
    error : float
    """
    gaps = []
    for share, votes in zip(predicted.T, voted.T):
        bins = np.minimum((BINS * share).astype(int), BINS - 1)
        gaps.append(sum(abs((share - votes)[bins == b].mean()) * (bins == b).mean()
                        for b in np.unique(bins)))
    return float(np.mean(gaps))


def cumulative_rmse(predicted, votes, tree, complete):
    """
    Root mean square error of the cumulative fractions, as the 2014 Galaxy Zoo challenge has it.

    Each fraction times the fraction that reached its question.

    Parameters
    ----------
    predicted, votes : object
        As `vote_scores` takes them.
    tree : dict
        Questions to ``answers`` and ``parent``, parents first; see
        `~galvae_affiliated.training.data.labels.question_tree`.
    complete : (N,) bool array
        Galaxies whose votes are all known; the others do not count.

    Returns
    -------
    error : float
    """
    cumulative, errors = {}, []
    for question, entry in tree.items():
        share = predicted[question] / predicted[question].sum(1, keepdims=True)
        if entry['parent'] is not None:
            above, answer = entry['parent']
            share = share * cumulative[above][:, [tree[above]['answers'].index(answer)]]
        cumulative[question] = share
        # a question that nobody reached has no votes, and its cumulative fractions are zero
        voted = votes[question].fractions * votes[question].weight[:, None]
        errors.append((share - voted)[complete])
    return float(np.sqrt(np.mean(np.concatenate(errors, axis=1) ** 2)))


def latent_scores(latent, votes, other_latent, other_votes):
    """
    How well a logistic regression tells the answers of other galaxies from their latents.

    Parameters
    ----------
    latent : (N, n_latents) array
        Of the galaxies that the regression learns from.
    votes : dict of str to `~galvae_affiliated.training.data.labels.Votes`
        Of the same.
    other_latent, other_votes : object
        The same of the galaxies that it is measured on.

    Returns
    -------
    auc, balanced_accuracy : float
        Means over the questions; NaN where no question has answers to tell apart.
    """
    scores = []
    for question, learnt in votes.items():
        other = other_votes[question]
        asked, other_asked = learnt.weight >= ASKED, other.weight >= ASKED
        answer = learnt.fractions[asked].argmax(1)
        true = other.fractions[other_asked].argmax(1)
        if len(np.unique(answer)) < 2 or (np.bincount(true) >= LEAST_OF_AN_ANSWER).sum() < 2:
            continue
        classifier = make_pipeline(StandardScaler(),
                                   LogisticRegression(class_weight='balanced', max_iter=1000))
        classifier.fit(latent[asked], answer)
        scores.append(_classifier_scores(classifier, other_latent[other_asked], true))
    return tuple(float(x) for x in np.mean(scores, axis=0)) if scores else (np.nan, np.nan)


def _classifier_scores(classifier, x, true):
    """Mean area of the answers that are there against the rest, and balanced accuracy."""
    share = classifier.predict_proba(x)
    areas = [roc_auc_score(true == answer, share[:, i])
             for i, answer in enumerate(classifier.classes_)
             if LEAST_OF_AN_ANSWER <= (true == answer).sum() <= len(true) - LEAST_OF_AN_ANSWER]
    area = np.mean(areas) if areas else np.nan
    return area, balanced_accuracy_score(true, classifier.predict(x))
