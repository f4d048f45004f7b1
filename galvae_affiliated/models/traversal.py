# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Walks through latents: along one, along "more barred", from one galaxy to another."""

import numpy as np

from galvae_affiliated.models.engine import Engine
from galvae_affiliated.models.registry import get_model

__all__ = ['interpolate', 'traverse']

STEP = 0.05  # of the finite differences by which the heads' slopes are measured
LEAST_FRACTION = 1e-4  # beyond which a logit says nothing more
HELD = 0.3  # of the largest slope held, below which the slope of another answer is let go
MAX_STRIDE = 0.25  # of a walk, between two looks at the slopes


def traverse(latent, along, model=None, *, n_steps=9, extent=3.0, engine=None):
    """
    Walk from a galaxy's latents both ways along one latent, or a direction that a head defines.

    A latent goes up and down by ``extent`` and all others stay. An answer, such
    as ``'bar=yes'``, has a direction at each point: that in which the logit of
    its predicted fraction grows, without the parts in which the logits of the
    other questions' answers change, so that these are held. The walk follows
    it, step by step, since it turns.

    Parameters
    ----------
    latent : (n_latents,) array
        Where the walk has its middle.
    along : int or str
        Index of a latent, or ``'question=answer'``.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    n_steps : int, optional
        Points of the walk; the middle one is the galaxy if this is odd.
    extent : float, optional
        Length of each side, in the units of the latents.
    engine : `~galvae_affiliated.Engine`, optional

    Returns
    -------
    latents : (n_steps, n_latents) float32 array

    Raises
    ------
    ValueError
        If there is no such latent, question or answer, or the galaxy has no latents.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.models import traverse
    >>> traverse(np.zeros(40), 'bar=yes', n_steps=5).shape
    (5, 40)
    >>> traverse(np.zeros(40), 0, n_steps=3)[:, 0].tolist()
    [-3.0, 0.0, 3.0]
    """
    model, engine = get_model(model), engine or Engine()
    latent = _one_latent(latent, model)
    if n_steps < 2 or not extent > 0:
        raise ValueError(f'a walk of {n_steps} steps and extent {extent} goes nowhere; expected at '
                         'least 2 steps, and a positive extent')
    places = np.linspace(-extent, extent, n_steps)
    if not isinstance(along, str):
        if not 0 <= along < model.n_latents:
            raise ValueError(f'there is no latent {along}; expected 0 to {model.n_latents - 1}')
        return (latent + places[:, None] * np.eye(model.n_latents)[along]).astype(np.float32)
    head = _Slope(model, engine, *_question_and_answer(along, model))
    walked = {0.0: latent}
    for side in (-1, 1):
        point, place = latent, 0.0
        for goal in sorted(abs(places[places * side > 0])):
            while place < goal - 1e-9:
                stride = min(MAX_STRIDE, goal - place)
                point = point + side * stride * head.direction(point)
                place += stride
            walked[side * goal] = point
    return np.array([walked[min(walked, key=lambda known: abs(known - place))]
                     for place in places], dtype=np.float32)


def interpolate(first, second, model=None, *, n_steps=9):
    """
    The straight way from the latents of one galaxy to those of another.

    Parameters
    ----------
    first, second : (n_latents,) arrays
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
    n_steps : int, optional
        Points, both galaxies among them.

    Returns
    -------
    latents : (n_steps, n_latents) float32 array

    Raises
    ------
    ValueError
        If the latents are others than the model's, or not finite.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.models import interpolate
    >>> first, second = get_model().generate(2, random_state=0).latent
    >>> interpolate(first, second, n_steps=5).shape
    (5, 40)
    """
    model = get_model(model)
    if n_steps < 2:
        raise ValueError(f'n_steps is {n_steps}; expected at least 2')
    first, second = (_one_latent(latent, model) for latent in (first, second))
    share = np.linspace(0.0, 1.0, n_steps)[:, None]
    return ((1.0 - share) * first + share * second).astype(np.float32)


class _Slope:
    """The direction in which one answer grows while the others are held."""

    def __init__(self, model, engine, question, answer):
        self.heads = engine.runner(model, 'heads')
        self.columns, start = {}, 0
        for name, answers in model.questions.items():
            self.columns[name] = np.arange(start, start + len(answers))
            start += len(answers)
        self.asked = self.columns[question]
        self.column = self.asked[list(model.questions[question]).index(answer)]

    def direction(self, latent):
        """(n_latents,) unit vector."""
        n = len(latent)
        offsets = STEP * np.concatenate([np.eye(n), -np.eye(n)])
        fractions, = self.heads({'latent': (latent + offsets).astype(np.float32)}, ['fractions'])
        fractions = np.clip(fractions, LEAST_FRACTION, 1.0 - LEAST_FRACTION)
        logits = np.log(fractions / (1.0 - fractions))
        slopes = (logits[:n] - logits[n:]).T / (2.0 * STEP)
        wanted = slopes[self.column]
        # the other answers of the question have to change with it
        others = np.delete(slopes, self.asked, axis=0)
        left, size, _ = np.linalg.svd(others.T, full_matrices=False)
        held = left[:, size > HELD * size.max(initial=0.0)]
        free = wanted - held @ (held.T @ wanted)
        length = np.linalg.norm(free)
        return free / length if length > 0 else np.zeros_like(free)


def _question_and_answer(along, model):
    question, equals, answer = (part.strip() for part in along.partition('='))
    if question not in model.questions:
        raise ValueError(f'{model.id} has no question {question!r}; expected a number of a latent '
                         f'or QUESTION=ANSWER of {", ".join(model.questions) or "none"}')
    answers = list(model.questions[question])
    if not equals or answer not in answers:
        raise ValueError(f'{question} has no answer {answer!r}; expected one of '
                         f'{", ".join(answers)}')
    return question, answer


def _one_latent(latent, model):
    latent = np.asarray(latent, dtype=float)
    if latent.shape != (model.n_latents,):
        raise ValueError(f'the latents have shape {latent.shape}; expected ({model.n_latents},)')
    if not np.isfinite(latent).all():
        raise ValueError('the galaxy has no latents, as it could not be measured; see its flags')
    return latent
