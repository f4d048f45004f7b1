# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents with votes: what heads learn from, and how far their answers are from the votes."""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch.nn import functional

from galvae_affiliated.models.votes import ASKED

__all__ = ['LabelledLatents', 'mean_divergence']

LEAST_GALAXIES = 20  # of a question; fewer do not count where others have more


@dataclass(frozen=True)
class LabelledLatents:
    """
    What heads learn from: latents of N galaxies and their votes.

    Scikit-learn takes it as its X: it has a shape, and gives some of its rows.

    Attributes
    ----------
    latent, error : (N, n_latents) float32 tensors
        Mean and standard deviation of the posteriors.
    fractions : list of (N, n_answers) float32 tensors
        Voted fractions of each question; zero in rows without votes.
    weights : list of (N,) float32 tensors
        Share of the volunteers who were asked; zero in rows without votes.
    unselected : (N,) bool tensor
        Galaxies that were not selected by their votes.
    held_out : (N,) bool tensor
        Galaxies that the encoder did not learn from, where others of the set were.
    questions : tuple of str
        Their names.
    galaxy : (N,) int tensor, optional
        Which galaxy a row shows, where several rows show one, as in colour and in grey.
    """

    latent: torch.Tensor
    error: torch.Tensor
    fractions: list
    weights: list
    unselected: torch.Tensor
    held_out: torch.Tensor
    questions: tuple
    galaxy: torch.Tensor = None

    def __post_init__(self):
        if self.galaxy is None:
            object.__setattr__(self, 'galaxy', torch.arange(len(self.latent)))

    def __len__(self):
        return len(self.latent)

    def __getitem__(self, rows):
        """Some of the rows, by a bool or int tensor or array; NumPy's ``[rows, ...]`` too."""
        rows = rows[0] if isinstance(rows, tuple) else rows
        rows = torch.as_tensor(rows) if isinstance(rows, np.ndarray) else rows
        chosen = {}
        for field in fields(self):
            value = getattr(self, field.name)
            is_list = isinstance(value, list)
            if field.name != 'questions':
                chosen[field.name] = [x[rows] for x in value] if is_list else value[rows]
        return replace(self, **chosen)

    def joined(self, other):
        """These rows, and those of another view of the same galaxies after them."""
        both = {}
        for field in fields(self):
            one, two = getattr(self, field.name), getattr(other, field.name)
            if field.name != 'questions':
                is_list = isinstance(one, list)
                both[field.name] = [*map(torch.cat, zip(one, two))] if is_list else torch.cat(
                    [one, two])
        return replace(self, **both)

    @property
    def shape(self):
        """tuple : Of the latents."""
        return tuple(self.latent.shape)

    @property
    def n_answers(self):
        """list of int : Answers of each question."""
        return [f.shape[1] for f in self.fractions]

    @property
    def representative(self):
        """(N,) bool tensor: the unselected galaxies; all, where none is marked so."""
        if self.unselected.any():
            return self.unselected
        return torch.ones(len(self), dtype=torch.bool)

    def split_answers(self, logs):
        """(N, n_columns) array of all questions' answers -> a (N, n_answers) tensor a question."""
        return list(torch.as_tensor(logs).split(self.n_answers, dim=1))


def mean_divergence(logs, data):
    """
    Mean over the questions of the Kullback-Leibler divergence of predicted from voted fractions.

    Of the representative galaxies that at least half of their volunteers were
    asked of; questions with fewer than 20 of them do not count, unless all have fewer.

    Parameters
    ----------
    logs : list of (N, n_answers) tensors
        Log-fractions.
    data : `LabelledLatents`

    Returns
    -------
    divergence : float
    """
    values, numbers = [], []
    for log, fractions, weight in zip(logs, data.fractions, data.weights):
        rows = data.representative & (weight >= ASKED)
        if rows.any():
            divergence = functional.kl_div(log[rows], fractions[rows], reduction='batchmean')
            values.append(float(divergence))
            numbers.append(int(rows.sum()))
    enough = [value for value, n in zip(values, numbers) if n >= LEAST_GALAXIES]
    return float(np.mean(enough or values))
