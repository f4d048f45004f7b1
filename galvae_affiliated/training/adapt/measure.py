# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How near the latents of two surveys are, on galaxies that were not learnt from."""

import numpy as np
import torch

from galvae_affiliated.models.votes import predict_votes
from galvae_affiliated.surveys import (
    coral_map,
    maximum_mean_discrepancy,
    pair_scores,
    survey_area,
)
from galvae_affiliated.surveys.alignment import scaling_map, shift_map
from galvae_affiliated.training.adapt.look import imitate
from galvae_affiliated.training.adapt.setup import latents_of

__all__ = ['as_good', 'baseline_reports', 'discrepancy_change', 'held_out_scores',
           'survey_report', 'vote_divergence']

N_BOOT = 200
MAX_DRAWN = 500  # galaxies of each survey in a sample
MAX_FITTED = 5000  # galaxies of the source that a linear map is fitted to


def held_out_scores(setup, network):
    """
    What a run looks at between its steps.

    Parameters
    ----------
    setup : `~galvae_affiliated.training.adapt.setup.Setup`
    network : `~galvae_affiliated.training.networks.model.GalaxyVAE`

    Returns
    -------
    scores : dict of str to float
        ``mmd``, the squared discrepancy of held-out galaxies of like kind, and ``source_loss``,
        see `vote_divergence`.
    """
    source, target = _matched_latents(setup, network)
    found = maximum_mean_discrepancy(source, target, widths=setup.widths, n_permutations=0,
                                     n_boot=0)
    loss, _, _ = vote_divergence(setup, network, n_boot=0)
    return {'mmd': found.value, 'source_loss': loss}


def _matched_latents(setup, network):
    """Whitened latents of held-out galaxies of like kind, of both surveys."""
    surveys = setup.source, setup.target
    return [setup.whitening(latents_of(network, setup.preprocess, survey, rows))
            for survey, rows in zip(surveys, setup.matched)]


def vote_divergence(setup, network, *, n_boot=N_BOOT, random_state=0):
    """
    How much worse held-out source votes are predicted than before, if the old predictions hold.

    The Kullback-Leibler divergence of the new fractions from the old ones, of each question
    weighted by the share who are asked it: the growth of the votes' log-loss for votes that
    are distributed as was predicted.

    Parameters
    ----------
    setup : `~galvae_affiliated.training.adapt.setup.Setup`
    network : `~galvae_affiliated.training.networks.model.GalaxyVAE`
    n_boot : int, optional
        Samples of the galaxies for the interval; zero leaves it out.
    random_state : int, optional

    Returns
    -------
    loss, low, high : float
        Nats a question that is asked, and the interval of 95 per cent; zero for a model that
        answers no question.
    """
    if not setup.model.questions:
        return 0.0, 0.0, 0.0
    rows = np.flatnonzero(setup.held_source)
    new = latents_of(network, setup.preprocess, setup.source, rows)
    before, after = (predict_votes(values.astype(np.float32), setup.model, setup.engine)
                     for values in (setup.source_known[rows], new))
    total, asked = 0.0, 0.0
    for name in before.questions:
        old, now = (np.clip(votes.fractions[name].astype(float), 1e-6, 1.0)
                    for votes in (before, after))
        total = total + before.reach[name] * (old * np.log(old / now)).sum(axis=1)
        asked = asked + before.reach[name]
    rng = np.random.default_rng(random_state)
    drawn = [rng.integers(0, len(rows), len(rows)) for _ in range(n_boot)]
    means = [total[some].sum() / asked[some].sum() for some in drawn]
    low, high = np.percentile(means, [2.5, 97.5]) if n_boot else (np.nan, np.nan)
    return float(total.sum() / asked.sum()), float(low), float(high)


def survey_report(setup, network):
    """
    All that is said of a network and two surveys, with intervals of 95 per cent.

    Parameters
    ----------
    setup : `~galvae_affiliated.training.adapt.setup.Setup`
    network : `~galvae_affiliated.training.networks.model.GalaxyVAE`

    Returns
    -------
    report : dict of str to dict
        ``mmd``, with ``p_value``; ``survey_area`` of a classifier; ``source_loss``;
        ``pairs``, of those held out where there are any. Each score is a dict of ``value``,
        ``low`` and ``high``.
    """
    report = _likeness(setup, *_matched_latents(setup, network))
    report['source_loss'] = _score(*vote_divergence(setup, network))
    held = setup.pairs[setup.held_pairs]
    if len(held):
        source, target = (setup.whitening(latents_of(network, setup.preprocess, survey, rows))
                          for survey, rows in ((setup.source, slice(None)),
                                               (setup.target, held[:, 1])))
        report['pairs'] = _pair_report(source, target, held)
    return report


def baseline_reports(setup):
    """
    The same scores of simpler ways to bring the target to the source, none of which learns.

    Parameters
    ----------
    setup : `~galvae_affiliated.training.adapt.setup.Setup`

    Returns
    -------
    reports : dict of str to dict
        ``mmd``, ``survey_area`` and ``pairs``, as in `survey_report`, on the same galaxies. Of
        'light and color', the target's images are made as bright in each channel as the source's;
        of 'shift', 'scaling' and 'coral', latents get the means, the means and widths, the means
        and covariances of galaxies of like kind that were learnt from.
    """
    target, recolored = (setup.whitening(latents_of(
        setup.network, setup.preprocess, setup.target, view=view))
        for view in (None, _recolored(setup)))
    source = setup.whitening(setup.source_known)
    rng = np.random.default_rng(0)
    like = source[rng.choice(len(source), min(MAX_FITTED, len(source)), p=setup.weights)]
    reports = {}
    for name, fit in (('light and color', None), ('shift', shift_map), ('scaling', scaling_map),
                      ('coral', coral_map)):
        moved = recolored
        if fit is not None:
            matrix, offset = fit(like, target[~setup.held_target])
            moved = target @ matrix + offset
        reports[name] = _likeness(setup, source[setup.matched[0]], moved[setup.matched[1]])
        held = setup.pairs[setup.held_pairs]
        if len(held):
            reports[name]['pairs'] = _pair_report(source, moved[held[:, 1]], held)
    return reports


def _recolored(setup):
    """What makes the target's images as bright in each channel as the source's."""
    generator = torch.Generator().manual_seed(0)
    return lambda images: imitate(images, setup.target_look, setup.source_look, generator,
                                  aspects=('light',))


def as_good(report, baselines):
    """
    The simpler ways that do as much as an adapted model.

    Parameters
    ----------
    report : dict
        Of `survey_report`.
    baselines : dict of str to dict
        Of `baseline_reports`.

    Returns
    -------
    names : list of str
        Those whose discrepancy and survey classifier, and distance of pairs where there are some,
        are all within the adapted model's interval of 95 per cent, or below it.
    """
    def measures(one):
        return [one['mmd'], one['survey_area'], *([one['pairs']['distance']] if 'pairs' in one
                                                  else [])]

    return [name for name, found in baselines.items()
            if all(simple['value'] <= ours['high'] for simple, ours in
                   zip(measures(found), measures(report)))]


def _likeness(setup, source, target):
    """Scores of whitened latents of held-out galaxies of like kind."""
    found = maximum_mean_discrepancy(source, target, widths=setup.widths)
    return {'galaxies': len(target),
            'mmd': {**_score(found.value, found.low, found.high),
                    'p_value': round(found.p_value, 4)},
            'survey_area': _score(*survey_area(source, target))}


def _score(value, low, high):
    return {'value': round(value, 5), 'low': round(low, 5), 'high': round(high, 5)}


def _pair_report(source, target, pairs):
    """Scores of held-out pairs, a row of the target each, among all of the source."""
    rows = np.stack([pairs[:, 0], np.arange(len(pairs))], axis=1)
    scores = pair_scores(source, target, rows)
    return {'number': len(pairs), **{name: _score(**score) for name, score in scores.items()}}


def discrepancy_change(setup, network, *, n_boot=N_BOOT, random_state=0):
    """
    Change of the discrepancy of held-out galaxies, on the same galaxies before and after.

    Parameters
    ----------
    setup : `~galvae_affiliated.training.adapt.setup.Setup`
    network : `~galvae_affiliated.training.networks.model.GalaxyVAE`
    n_boot : int, optional
        Samples of the galaxies for the interval.
    random_state : int, optional

    Returns
    -------
    change : dict of str to float
        ``value``, and ``low`` and ``high`` of the interval of 95 per cent.
    """
    before, after = (_matched_latents(setup, one) for one in (setup.network, network))
    rng = np.random.default_rng(random_state)
    n = len(before[0])
    size = min(n, MAX_DRAWN)

    def difference(rows):
        # a galaxy that is drawn twice adds the same to both
        values = [maximum_mean_discrepancy(source[rows[0]], target[rows[1]],
                                           widths=setup.widths, n_permutations=0, n_boot=0).value
                  for source, target in (before, after)]
        return values[1] - values[0]

    drawn = [difference(rng.integers(0, n, (2, size))) for _ in range(n_boot)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return _score(difference([slice(None)] * 2), float(low), float(high))
