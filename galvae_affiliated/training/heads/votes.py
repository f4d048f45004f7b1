# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From latents and votes to heads that are fitted, calibrated and ready to export."""

from dataclasses import dataclass

import torch

from galvae_affiliated.training.data.labels import check_votes
from galvae_affiliated.training.heads.calibration import calibrate, prediction_sets
from galvae_affiliated.training.heads.estimators import HeadEstimator
from galvae_affiliated.training.heads.labelled import mean_divergence

__all__ = ['FittedHeads', 'fit_votes']


@dataclass(frozen=True)
class FittedHeads:
    """
    Heads with their calibration, and what a manifest says of them.

    Attributes
    ----------
    heads : `~galvae_affiliated.training.heads.estimators.HeadEstimator`
    calibration : `~galvae_affiliated.training.heads.calibration.Calibration`
    n_answers : list of int
        Answers of each question.
    manifest : dict
        ``heads``, how they were chosen and fitted, and ``prediction_sets``.
    """

    heads: HeadEstimator
    calibration: torch.nn.Module
    n_answers: list
    manifest: dict

    def log_fractions(self, latent):
        """List of (N, n_answers) calibrated log-fractions, a question each."""
        logs = torch.from_numpy(self.heads.predict_log_proba(latent))
        return self.calibration.log_fractions(logs.split(self.n_answers, dim=1))

    def graph(self, latent, *, half_weights=False):
        """
        The ONNX graph; see `~galvae_affiliated.training.heads.estimators.HeadEstimator`.

        Parameters
        ----------
        latent : (N, n_latents) tensor
            Latents to compare on; at least three.
        half_weights : bool, optional

        Returns
        -------
        graph : bytes
            Input ``latent``, outputs ``fractions`` and ``concentration``.
        """
        return self.heads.graph(self.calibration, latent, half_weights=half_weights)


def fit_votes(data, heads, *, n_volunteers=40):
    """
    Fit and calibrate heads.

    Parameters
    ----------
    data : `~galvae_affiliated.training.heads.labelled.LabelledLatents`
    heads : `~galvae_affiliated.training.heads.estimators.HeadEstimator`
        Of any kind; see `~galvae_affiliated.training.heads.choice.head_estimator`.
    n_volunteers : int, optional
        Votes of a question that everybody was asked; 0 or 1 if the labels are classes.

    Returns
    -------
    fitted : `FittedHeads`

    Raises
    ------
    ValueError
        If fewer than 20 galaxies have votes, or all that were asked a question gave one answer.
    """
    check_votes(data.questions, [f.numpy() for f in data.fractions],
                [w.numpy() for w in data.weights])
    heads.fit(data)
    logs = data.split_answers(heads.cross_log_proba(data))
    calibration = calibrate(logs, data, n_volunteers=n_volunteers)
    logs = calibration.log_fractions(logs)
    about = {'kind': heads.kind, **heads.about, 'galaxies': len(data),
             'unselected': int(data.unselected.sum()), 'held out': int(data.held_out.sum()),
             'n_volunteers': n_volunteers, 'divergence': round(mean_divergence(logs, data), 4)}
    return FittedHeads(heads, calibration, data.n_answers,
                       {'heads': about, 'prediction_sets': prediction_sets(logs, data)})
