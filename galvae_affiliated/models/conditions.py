# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is asked of galaxies that are to be drawn: answers and quantities, checked and counted."""

import warnings
from dataclasses import dataclass

import numpy as np

from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.models.quantities import predict_quantities
from galvae_affiliated.models.votes import predict_votes

__all__ = ['Conditions']

FEW = 50  # training galaxies with what is asked, below which a warning counts them
TYPICAL = 0.75  # fraction of an answer that is asked for, where a law has to be given one
IMPOSSIBLE = 8.0  # errors of a quantity, that none of many galaxies is near


@dataclass(frozen=True)
class Conditions:
    """
    Answers and quantities that are asked for.

    Attributes
    ----------
    model : `~galvae_affiliated.ModelBundle`
    answers : dict of str to int
        Question to the place of its answer, with those that lead to a question.
    quantities : dict of str to float
    radius : float or None
        petroR90 in the unit that the quantities of the model need.
    """

    model: object
    answers: dict
    quantities: dict
    radius: float | None = None

    @classmethod
    def parse(cls, model, answers=None, quantities=None, radius=None):
        """
        What a user asks for.

        Parameters
        ----------
        model : `~galvae_affiliated.ModelBundle`
        answers : mapping of str to str, optional
        quantities : mapping of str to float, optional
        radius : float, optional

        Returns
        -------
        conditions : `Conditions`

        Raises
        ------
        ValueError
            If the model lacks a question, an answer or a quantity, answers contradict each
            other in the tree of questions, a number is not finite, or a radius is needed.
        """
        places, reasons = {}, {}
        for question, answer in (answers or {}).items():
            for one, its in _ways(model.manifest.questions, question, answer):
                place = model.manifest.questions[one].answers.index(its)
                if places.setdefault(one, place) != place:
                    raise ValueError(f'{question}: {answer} needs {one}: {its}, which '
                                     f'contradicts {reasons[one]}')
                reasons.setdefault(one, f'{question}: {answer}')
        known = _known_quantities(model)
        for name, value in (quantities or {}).items():
            if name not in known:
                raise ValueError(f'{model.id} has no quantity {name!r}; it has '
                                 f'{", ".join(known) or "none"}')
            if not np.isfinite(value):
                raise ValueError(f'{name} is {value}; expected a finite number')
        conditions = cls(model, places, {k: float(v) for k, v in (quantities or {}).items()},
                         radius)
        conditions._check_radius()
        return conditions

    @property
    def searched_quantities(self):
        """dict of str to float : Those that the density does not know, but a graph predicts."""
        return {name: value for name, value in self.quantities.items()
                if name not in self.model.density.quantities}

    def _check_radius(self):
        table = self.model.manifest.quantities
        if self.searched_quantities and table.radius is not None and self.radius is None:
            raise ValueError(f'the quantities of {self.model.id} need a radius in '
                             f'{table.radius}; expected radius=')

    def prior(self):
        """
        The density to draw from, and one that is nearer to what is asked for.

        Returns
        -------
        density, near : `~galvae_affiliated.models.LatentDensity`
            Given the quantities that the density knows, and of the answers typical fractions
            too; the second is None if it knows none of their questions.
        """
        density, questions = self.model.density, self.model.questions
        known = {name: value for name, value in self.quantities.items()
                 if name in density.quantities}
        fractions = {}
        for question, place in self.answers.items():
            if density.questions.get(question) == tuple(questions[question]):
                # the rest as usual: many votes for a rare answer would tell of odd galaxies
                shares = density.usual_fractions(question)
                shares[place] = 0.0
                shares *= (1.0 - TYPICAL) / max(shares.sum(), 1e-6)
                shares[place] = 1.0 - shares.sum()
                fractions[question] = shares
        return (density.condition(quantities=known),
                density.condition(fractions, known) if fractions else None)

    @property
    def needs_search(self):
        """bool : Whether what is drawn has to be looked at, one by one."""
        return bool(self.answers or self.searched_quantities)

    def agreement(self, latent, engine, rng):
        """
        Which galaxies have what is asked for.

        Parameters
        ----------
        latent : (N, n_latents) array
        engine : `~galvae_affiliated.Engine`
        rng : `numpy.random.Generator`
            A quantity is met with a probability that its error gives.

        Returns
        -------
        agrees : (N,) bool array
        score : (N,) array
            Higher where it is nearer to what is asked for.
        """
        agrees, score = np.ones(len(latent), dtype=bool), np.zeros(len(latent))
        if self.answers:
            votes = predict_votes(latent, self.model, engine)
            for question, place in self.answers.items():
                fractions = votes.fractions[question]
                agrees &= votes.applies(question) & (fractions.argmax(axis=1) == place)
                score += np.log(np.maximum(fractions[:, place] * votes.reach[question], 1e-6))
        if self.searched_quantities:
            away = self._away(latent, engine)
            chance = -0.5 * (away ** 2).sum(axis=1)
            agrees &= np.log(rng.random(len(latent))) < chance
            score += chance
        return agrees, score

    def _away(self, latent, engine):
        """(N, n) differences of predicted quantities from those asked for, in their errors."""
        radius = np.full(len(latent), np.nan if self.radius is None else self.radius)
        found = predict_quantities(latent, radius, self.model, engine)
        columns = []
        for name, value in self.searched_quantities.items():
            place = found.names.index(name)
            values, errors = found.values[:, place], found.errors[:, place]
            away = (values - value) / errors
            if np.abs(away).min() > IMPOSSIBLE:
                raise ValueError(f'{name} is {value:g}; galaxies have {values.min():.4g} to '
                                 f'{values.max():.4g}')
            columns.append(away)
        return np.stack(columns, axis=1)

    def warn_if_few(self, share):
        """
        Warn if hardly any training galaxy has what is asked for.

        Parameters
        ----------
        share : float
            Of draws from the density, which tells the number where it was not counted.
        """
        n_all = self.model.manifest.density.n_galaxies
        counted = None if self.searched_quantities else self.model.density.count(self.answers)
        n = int(round(share * n_all)) if counted is None else counted
        if n < FEW:
            asked = [f'{question}: {self.model.questions[question][place]}'
                     for question, place in self.answers.items()]
            asked += [f'{name}: {value:g}' for name, value in self.searched_quantities.items()]
            about = 'about ' if counted is None else ''
            warnings.warn(f'{about}{n} of the {n_all} galaxies that the density was fitted to have '
                          f'{", ".join(asked)}: what is drawn is a guess', GalvaeWarning)


def _known_quantities(model):
    own = model.manifest.quantities.names if model.manifest.quantities else ()
    return [*model.density.quantities, *(name for name in own
                                         if name not in model.density.quantities)]


def _ways(questions, question, answer):
    """The question with its answer, and all that lead to it."""
    if question not in questions:
        raise ValueError(f'the model has no question {question!r}; it has '
                         f'{", ".join(questions) or "none"}')
    if answer not in questions[question].answers:
        raise ValueError(f'{question} has no answer {answer!r}; it has '
                         f'{", ".join(questions[question].answers)}')
    found, parent = [(question, answer)], questions[question].parent
    while parent is not None:
        found.append(parent)
        parent = questions[parent[0]].parent
    return found
