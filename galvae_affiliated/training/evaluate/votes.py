# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How well answers are told from latents."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galvae_affiliated.models.votes import ASKED
from galvae_affiliated.training.networks.inference import posteriors

LEAST_OF_AN_ANSWER = 5
LEARNT = 5000  # galaxies with votes that a classifier is fitted on


def morphology_scores(model, preprocess, galaxies):
    """Mean area under the ROC curve and balanced accuracy, over the questions, of a logistic regression."""
    learn = galaxies.train[galaxies.has_votes[galaxies.train]][:LEARNT]
    test = galaxies.held_out[galaxies.has_votes[galaxies.held_out]]
    if not len(learn) or not len(test):
        return np.nan, np.nan
    x, x_test = (posteriors(model, preprocess, galaxies, rows)[0].numpy() for rows in (learn, test))
    scores = []
    for votes in galaxies.votes.values():
        y, y_test = votes.fractions[learn].argmax(1), votes.fractions[test].argmax(1)
        asked, asked_test = votes.weight[learn] >= ASKED, votes.weight[test] >= ASKED
        counts = np.bincount(y_test[asked_test], minlength=2)
        if len(np.unique(y[asked])) < 2 or (counts >= LEAST_OF_AN_ANSWER).sum() < 2:
            continue
        classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight='balanced', max_iter=1000))
        classifier.fit(x[asked], y[asked])
        scores.append(classifier_scores(classifier, x_test[asked_test], y_test[asked_test]))
    return tuple(float(x) for x in np.mean(scores, axis=0)) if scores else (np.nan, np.nan)


def classifier_scores(classifier, x, y):
    """Mean one-against-the-rest area of the answers that are there, and balanced accuracy."""
    share = classifier.predict_proba(x)
    areas = [roc_auc_score(y == answer, share[:, i]) for i, answer in enumerate(classifier.classes_)
             if LEAST_OF_AN_ANSWER <= (y == answer).sum() <= len(y) - LEAST_OF_AN_ANSWER]
    return np.mean(areas) if areas else np.nan, balanced_accuracy_score(y, classifier.predict(x))
