# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From latents and votes to heads that are chosen, calibrated and ready to export."""

from dataclasses import dataclass
from functools import partial

import torch

from galvae_affiliated.training.config import HEAD_KINDS
from galvae_affiliated.training.data.labels import check_votes
from galvae_affiliated.training.export.graphs import export_graph
from galvae_affiliated.training.heads.calibration import VoteModel, calibrate, prediction_sets
from galvae_affiliated.training.heads.choice import choose_head
from galvae_affiliated.training.heads.networks import cross_fit, fit_heads, mean_divergence

__all__ = ['FittedHeads', 'fit_votes']

CROSS_MEMBERS = 2  # heads a fold, where their answers are only compared with votes
OUTPUTS = ['fractions', 'concentration']


@dataclass(frozen=True)
class FittedHeads:
    """
    Heads with their calibration, and what a manifest says of them.

    Attributes
    ----------
    heads : object
        With ``log_fractions``.
    calibration : `~galvae_affiliated.training.heads.calibration.Calibration`
    manifest : dict
        ``heads``, how they were chosen and fitted, and ``prediction_sets``.
    """

    heads: object
    calibration: torch.nn.Module
    manifest: dict

    def log_fractions(self, latent):
        """List of (N, n_answers) calibrated log-fractions, a question each."""
        return self.calibration.log_fractions(self.heads.log_fractions(latent))

    def graph(self, latent, *, half_weights=False):
        """
        The ONNX graph, compared with what it was made from.

        Parameters
        ----------
        latent : (N, n_latents) tensor
            Latents to compare on; at least three.
        half_weights : bool, optional
            See `~galvae_affiliated.training.export.graphs.export_graph`.

        Returns
        -------
        graph : bytes
            Input ``latent``, outputs ``fractions`` and ``concentration``.
        """
        if self.manifest['heads']['kind'] == 'forest':
            from galvae_affiliated.training.heads.forest import export_forest

            return export_forest(self.heads, self.calibration, latent)
        return export_graph(VoteModel(self.heads, self.calibration), {'latent': latent}, OUTPUTS,
                            half_weights=half_weights)


def fit_votes(data, questions, kind='auto', *, n_members=8, steps=None, n_volunteers=40, n_trees=300, random_state=0):
    """
    Choose, fit and calibrate heads.

    Parameters
    ----------
    data : `~galvae_affiliated.training.heads.networks.LabelledLatents`
    questions : list of str
    kind : {'auto', 'network', 'dirichlet', 'logistic', 'forest'} or `torch.nn.Module`, optional
        'auto' takes what a nested cross-validation prefers of the three in the
        middle. A module with ``log_fractions`` is only calibrated.
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
    fitted : `FittedHeads`

    Raises
    ------
    ValueError
        If fewer than 20 galaxies have votes, or all that were asked a question gave one answer.
    """
    check_votes(questions, [f.numpy() for f in data.fractions], [w.numpy() for w in data.weights])
    about = {}
    steps = min(max(300, len(data) // 3), 1500) if steps is None else steps
    if isinstance(kind, torch.nn.Module):
        heads, kind = kind, 'guide'
        logs = heads.log_fractions(data.latent)
    elif kind == 'forest':
        # here, as skl2onnx and its scikit-learn are not needed for the others
        from galvae_affiliated.training.heads.forest import fit_forest

        heads, logs = fit_forest(data, questions, n_trees=n_trees, random_state=random_state)
        about = {'n_trees': n_trees}
    elif kind in HEAD_KINDS:
        options = {'n_volunteers': n_volunteers, 'random_state': random_state}
        kind, decay, scores = choose_head(data, kind, steps=max(steps // 3, 1), **options)
        fit = partial(fit_heads, kind=kind, steps=steps, weight_decay=decay, **options)
        heads, logs = fit(data, n_members=n_members), cross_fit(data, partial(fit, n_members=min(n_members, CROSS_MEMBERS)))
        about = {'n_members': n_members, 'weight decay': decay}
        if scores:
            about['nested cross-validation'] = {name: round(score, 4) for name, score in scores.items()}
    else:
        raise ValueError(f'the head is {kind!r}; expected one of {", ".join(HEAD_KINDS)}')
    calibration = calibrate(logs, data, n_volunteers=n_volunteers)
    logs = calibration.log_fractions(logs)
    about = {'kind': kind, **about, 'galaxies': len(data), 'unselected': int(data.unselected.sum()),
             'held out': int(data.held_out.sum()), 'n_volunteers': n_volunteers,
             'divergence': round(mean_divergence(logs, data), 4)}
    return FittedHeads(heads, calibration, {'heads': about, 'prediction_sets': prediction_sets(logs, data, questions)})
