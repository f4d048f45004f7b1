# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which kind of head to take, by nested cross-validation."""

from functools import partial

from galvae_affiliated.training.heads.networks import HEADS, cross_fit, fit_heads, mean_divergence

__all__ = ['best_weight_decay', 'choose_head', 'nested_scores']

FOLDS = 3


def choose_head(data, kind='auto', *, steps=500, n_volunteers=40, random_state=0):
    """
    The kind of head, and its weight decay, that suit the data.

    Parameters
    ----------
    data : `~galvae_affiliated.training.heads.networks.LabelledLatents`
    kind : {'auto', 'network', 'dirichlet', 'logistic'}, optional
        'auto' takes the kind with the best score of a nested cross-validation.
    steps, n_volunteers, random_state : int, optional
        See `~galvae_affiliated.training.heads.networks.fit_heads`.

    Returns
    -------
    kind : str
    weight_decay : float
    scores : dict of str to float
        Divergence of each kind; empty if there was no choice. Less is better.
    """
    options = {'steps': steps, 'n_volunteers': n_volunteers, 'random_state': random_state}
    scores = {}
    if kind == 'auto':
        # a Dirichlet-multinomial distribution says something where there are several votes a galaxy
        kinds = [name for name in HEADS if n_volunteers > 1 or name != 'dirichlet']
        scores = nested_scores(data, kinds, **options)
        kind = min(scores, key=scores.get)
    return kind, best_weight_decay(data, kind, **options), scores


def nested_scores(data, kinds, **options):
    """
    Score each kind on folds that neither its weights nor its weight decay were chosen on.

    Parameters
    ----------
    data : `~galvae_affiliated.training.heads.networks.LabelledLatents`
    kinds : list of str
    **options
        Of `~galvae_affiliated.training.heads.networks.fit_heads`.

    Returns
    -------
    scores : dict of str to float
        See `~galvae_affiliated.training.heads.networks.mean_divergence`.
    """
    def fit(kind, learnt):
        decay = best_weight_decay(learnt, kind, **options)
        return fit_heads(learnt, kind, n_members=1, weight_decay=decay, **options)

    return {kind: mean_divergence(cross_fit(data, partial(fit, kind), folds=FOLDS), data) for kind in kinds}


def best_weight_decay(data, kind, **options):
    """The weight decay of a kind of head with the least divergence in a cross-validation."""
    scores = {}
    for decay in HEADS[kind][2]:
        fit = partial(fit_heads, kind=kind, n_members=1, weight_decay=decay, **options)
        scores[decay] = mean_divergence(cross_fit(data, fit, folds=FOLDS), data)
    return min(scores, key=scores.get)
