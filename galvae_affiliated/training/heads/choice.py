# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which kind of head to take, by nested cross-validation."""

from sklearn.model_selection import GridSearchCV, cross_val_predict

from galvae_affiliated.training.heads.estimators import (
    NETWORKS,
    NetworkHeads,
    TorchHeads,
    folds,
)
from galvae_affiliated.training.heads.forest import ForestHeads
from galvae_affiliated.training.heads.labelled import mean_divergence

__all__ = ['ChosenHeads', 'head_estimator']

WEIGHT_DECAYS = [0.02, 0.2]
# in errors of the latents, which are too wide for the good images among those that an encoder for
# several surveys reads
NOISES = [1.0, 0.1]
N_FOLDS = 3


def head_estimator(kind='auto', *, n_members=8, steps=None, n_volunteers=40, n_trees=300,
                   random_state=0):
    """
    Heads of a kind, to be fitted.

    Parameters
    ----------
    kind : {'auto', 'network', 'dirichlet', 'logistic', 'forest'}, optional
        'auto' takes what a nested cross-validation prefers of the three in the middle.
    n_members, steps : int, optional
        Heads whose answers are averaged, and updates of each; None makes 300
        for up to a thousand galaxies, and more for more, up to 1,500.
    n_volunteers : int, optional
        Votes of a question that everybody was asked; 0 or 1 if the labels are classes.
    n_trees : int, optional
        Of each question's forest.
    random_state : int, optional

    Returns
    -------
    estimator : `~galvae_affiliated.training.heads.estimators.HeadEstimator`
    """
    if kind == 'forest':
        return ForestHeads(n_trees, random_state=random_state)
    # a Dirichlet-multinomial distribution differs where there are several votes a galaxy
    compared = tuple(name for name in NETWORKS if n_volunteers > 1 or name != 'dirichlet')
    kinds = compared if kind == 'auto' else (kind,)
    if not set(kinds) <= set(NETWORKS):
        raise ValueError(f'the head is {kind!r}; expected one of '
                         f'{", ".join(["auto", *NETWORKS, "forest"])}')
    return ChosenHeads(kinds, n_members=n_members, steps=steps, n_volunteers=n_volunteers,
                       random_state=random_state)


class ChosenHeads(TorchHeads):
    """
    Heads of the kind, and with the weight decay and noise, that suit the galaxies best.

    Kinds are scored on folds that neither their weights nor these two were chosen on.

    Parameters
    ----------
    kinds : sequence of {'network', 'dirichlet', 'logistic'}
        A single one is not compared.
    n_members, steps, n_volunteers, random_state : int, optional
        See `head_estimator`; while they are compared, heads have one member and a third of the
        steps.

    Attributes
    ----------
    best_ : `~galvae_affiliated.training.heads.estimators.NetworkHeads`
    scores_ : dict of str to float
        Divergence of each kind; empty if there was no choice. Less is better.
    """

    def __init__(self, kinds=tuple(NETWORKS), *, n_members=8, steps=None, n_volunteers=40,
                 random_state=0):
        self.kinds = kinds
        self.n_members = n_members
        self.steps = steps
        self.n_volunteers = n_volunteers
        self.random_state = random_state

    def fit(self, data, y=None):
        options = {'n_volunteers': self.n_volunteers, 'random_state': self.random_state}
        steps = self.steps or min(max(300, len(data) // 3), 1500)
        searches = {}
        for kind in self.kinds:
            quick = NetworkHeads(kind, n_members=1, steps=max(steps // 3, 1), **options)
            searches[kind] = GridSearchCV(
                quick, {'weight_decay': WEIGHT_DECAYS, 'noise': NOISES}, cv=folds(N_FOLDS),
                error_score='raise')
        self.scores_ = {}
        if len(searches) > 1:
            self.scores_ = {kind: _nested_divergence(search, data)
                            for kind, search in searches.items()}
        kind = min(self.kinds, key=self.scores_.get) if self.scores_ else self.kinds[0]
        best = searches[kind].fit(data).best_params_
        self.best_ = NetworkHeads(kind, n_members=self.n_members, steps=steps, **best,
                                  **options).fit(data)
        self.heads_ = self.best_.heads_
        return self

    def cross_log_proba(self, data):
        return self.best_.cross_log_proba(data)

    @property
    def kind(self):
        """str: Of the heads that were chosen."""
        return self.best_.kind

    @property
    def about(self):
        scores = {name: round(score, 4) for name, score in self.scores_.items()}
        compared = {'nested cross-validation': scores} if scores else {}
        return {**self.best_.about, **compared}


def _nested_divergence(search, data):
    """Divergence of the answers on folds that a search knew nothing of."""
    logs = cross_val_predict(search, data, cv=folds(N_FOLDS), method='predict_log_proba')
    return mean_divergence(data.split_answers(logs), data)
