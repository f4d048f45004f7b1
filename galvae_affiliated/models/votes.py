# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents to what volunteers would have said: fractions, answers, sets, intervals."""

from dataclasses import dataclass

import numpy as np

from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.models._column import Column

__all__ = ['PredictedVotes', 'predict_votes']

ASKED = 0.5  # a question applies if at least this share of the volunteers would be asked it
INTERVAL = 0.68
# a Beta distribution exists for variances below mean (1 - mean)
MAX_VARIANCE = 0.98


@dataclass(frozen=True)
class PredictedVotes:
    """
    Predicted votes of N galaxies; rows without latents are NaN.

    Attributes
    ----------
    questions : mapping of str to `~galvae_affiliated.models.Question`
    fractions : dict of str to (N, n_answers) float32 arrays
        Of each question, among the volunteers who are asked it; they sum to one.
    reach : dict of str to (N,) float32 arrays
        Share of all volunteers who are asked the question.
    deviation : dict of str to (N, n_answers) float32 arrays, or None
        Standard deviation of each fraction, from the errors of the latents and
        from how the votes of galaxies with equal latents scatter.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import Engine, get_model
    >>> from galvae_affiliated.models import predict_votes
    >>> votes = predict_votes(np.zeros((2, 40)), get_model(), Engine())
    >>> votes.fractions['bar'].sum(axis=1).round(3).tolist(), votes.reach['bar'].shape
    ([1.0, 1.0], (2,))
    """

    questions: dict
    fractions: dict
    reach: dict
    deviation: dict | None = None

    def applies(self, question):
        """
        Whether a question is asked of each galaxy by at least half of the volunteers.

        Parameters
        ----------
        question : str

        Returns
        -------
        applies : (N,) bool array
        """
        return self.reach[question] >= ASKED

    def likeliest(self, question):
        """
        The answer with the largest fraction.

        Parameters
        ----------
        question : str

        Returns
        -------
        answer : (N,) array of str
            Also where the question does not apply.
        """
        place = np.nan_to_num(self.fractions[question], nan=-1.0).argmax(axis=1)
        return np.array(self.questions[question].answers)[place]

    def sets(self, question, threshold):
        """
        Prediction sets, as text.

        Parameters
        ----------
        question : str
        threshold : float
            How far from one the fraction of an answer in the set may be.

        Returns
        -------
        sets : (N,) array of str
            Such as '{round, in-between}', the likeliest first; '{}' where no answer is likely
            enough.
        """
        answers = self.questions[question].answers
        fractions = np.nan_to_num(self.fractions[question], nan=-1.0)
        left = np.where(fractions >= 1.0 - threshold, fractions, -np.inf)
        # the same few sets stand in all rows: each is spelt once, and a row has its place
        names = [()]
        place = np.zeros(len(left), dtype=int)
        additions = [(), *((answer,) for answer in answers)]
        for _ in answers:
            likeliest = left.argmax(axis=1)[:, None]
            grows = np.take_along_axis(left, likeliest, axis=1)[:, 0] > -np.inf
            if not grows.any():
                break
            np.put_along_axis(left, likeliest, -np.inf, axis=1)
            added = np.where(grows, likeliest[:, 0] + 1, 0)
            # one number for the set so far and what is added to it
            pairs, place = _unique_integers(place * len(additions) + added)
            names = [names[pair // len(additions)] + additions[pair % len(additions)]
                     for pair in pairs]
        return np.array(['{' + ', '.join(one) + '}' for one in names])[place]

    def intervals(self, question):
        """
        Central intervals of each fraction that hold 68 per cent.

        Of the Beta distribution with the fraction as its mean and the same standard deviation.

        Parameters
        ----------
        question : str

        Returns
        -------
        low, high : (N, n_answers) float32 arrays
        """
        # SciPy's functions take a while to load, and only intervals need one
        from scipy.special import betaincinv

        mean = self.fractions[question].astype(float)
        room = mean * (1.0 - mean)
        variance = self.deviation[question].astype(float) ** 2
        variance = np.clip(variance, 1e-8, MAX_VARIANCE * room + 1e-12)
        total = np.maximum(room, 1e-9) / variance - 1.0
        # a fraction of zero or one has no room for an interval, and the distribution no
        # parameter of zero
        shapes = np.maximum(mean * total, 1e-6), np.maximum((1.0 - mean) * total, 1e-6)
        tails = [(1.0 - INTERVAL) / 2.0, (1.0 + INTERVAL) / 2.0]
        return tuple(betaincinv(*shapes, tail).astype(np.float32) for tail in tails)

    def artifact_flags(self):
        """(N,) int32 flags: rows whose likeliest answer to what all are asked is 'artifact'."""
        flags = np.zeros(len(next(iter(self.reach.values()))), dtype=np.int32)
        for name, question in self.questions.items():
            if 'artifact' in question.answers and question.parent is None:
                found = self.likeliest(name) == 'artifact'
                flags[found & self.applies(name)] |= GalvaeFlags.ARTIFACT
        return flags

    def columns(self, thresholds=(), coverage=None):
        """
        What there is to say of the rows.

        Parameters
        ----------
        thresholds : mapping of str to float, optional
            Of the questions that get prediction sets; see ``set_thresholds``.
        coverage : float, optional
            Of these sets.

        Returns
        -------
        columns : list of `~galvae_affiliated.models._column.Column`
        """
        ucd = 'stat.probability;src.morph.type'
        columns = [Column(f'{name}_{answer}_fraction', values, 'predicted vote fraction', ucd)
                   for name, question in self.questions.items()
                   for answer, values in zip(question.answers, self.fractions[name].T)]
        if self.deviation is not None:
            columns += self._interval_columns(ucd)
        for name in self.questions:
            hidden = ~self.applies(name)
            columns += [Column(f'{name}_reach_fraction', self.reach[name],
                               'share who are asked', ucd),
                        Column(f'{name}_answer', self.likeliest(name), 'likeliest answer',
                               'src.morph.type', mask=hidden)]
            if name in thresholds:
                columns.append(Column(f'{name}_set', self.sets(name, thresholds[name]),
                                      f'answers, {100 * coverage:g} % coverage',
                                      'src.morph.type', mask=hidden))
        return columns

    def _interval_columns(self, ucd):
        columns = []
        for name, question in self.questions.items():
            low, high = self.intervals(name)
            for i, answer in enumerate(question.answers):
                fraction = f'{name}_{answer}_fraction'
                columns += [Column(f'{fraction}_lo', low[:, i], '16 per cent are below',
                                   f'{ucd};stat.min'),
                            Column(f'{fraction}_hi', high[:, i], '16 per cent are above',
                                   f'{ucd};stat.max')]
        return columns


def predict_votes(latents, model, engine, *, errors=None, n_samples=0):
    """
    Predict the votes of galaxies.

    Parameters
    ----------
    latents : (N, n_latents) array
        NaN in rows that have none.
    model : `~galvae_affiliated.ModelBundle`
    engine : `~galvae_affiliated.Engine`
    errors : (N, n_latents) array, optional
        Standard deviations of the latents; needed for ``n_samples``.
    n_samples : int, optional
        How many latents are drawn from each posterior, for the deviations; 0 leaves these out.

    Returns
    -------
    votes : `PredictedVotes`

    Raises
    ------
    ValueError
        If ``n_samples`` is less than zero or one, or there are no errors.

    Examples
    --------
    >>> from galvae_affiliated import Engine, get_model
    >>> from galvae_affiliated.models import predict_votes
    >>> model = get_model()
    >>> votes = predict_votes(model.generate(2, random_state=0).latent, model, Engine())
    >>> votes.fractions['bar'].shape
    (2, 2)
    """
    if n_samples and (n_samples < 2 or errors is None):
        lacking = '' if errors is not None else ' and the latents have no errors'
        raise ValueError(f'n_samples is {n_samples}{lacking}; expected two or more, and the '
                         'errors of the latents')
    heads = _Heads(model, engine)
    rows = np.isfinite(latents).all(axis=1)
    fractions, deviation = np.full((2, len(latents), heads.n_columns), np.nan, dtype=np.float32)
    if rows.any():
        fractions[rows], _ = heads(latents[rows])
        if n_samples:
            deviation[rows] = _deviations(heads, latents[rows], errors[rows], n_samples)
    questions = model.manifest.questions
    by_question = heads.split(fractions)
    return PredictedVotes(questions, by_question, _reach_fractions(by_question, questions),
                          heads.split(deviation) if n_samples else None)


class _Heads:
    """The heads of a model, and where the columns of each question are."""

    def __init__(self, model, engine):
        self.names = list(model.questions)
        self.runner = engine.runner(model, 'heads')
        self.scatters = model.manifest.n_volunteers > 1
        self.n_answers = [len(answers) for answers in model.questions.values()]
        self.n_columns = sum(self.n_answers)

    def __call__(self, latents):
        """(N, n_columns) fractions and concentrations of their Dirichlet distributions, or None."""
        if not self.scatters:
            return self.runner({'latent': latents}, ['fractions'])[0], None
        fractions, concentration = self.runner({'latent': latents},
                                               ['fractions', 'concentration'])
        return fractions, np.repeat(concentration, self.n_answers, axis=1)

    def split(self, columns):
        """Question to its columns."""
        parts = np.split(columns, np.cumsum(self.n_answers)[:-1], axis=1)
        return dict(zip(self.names, parts))


def _deviations(heads, latents, errors, n_samples):
    """
    Standard deviation of the fractions over latents drawn from their posteriors.

    That of votes at equal latents is added. The same normal deviates serve every row, so
    that what a row gets does not depend on its neighbours.
    """
    drawn = np.random.default_rng(0).standard_normal((n_samples, latents.shape[1]))
    drawn = drawn.astype(np.float32)
    mean, square, scatter = np.zeros((3, len(latents), heads.n_columns))
    for deviates in drawn - drawn.mean(axis=0):
        fractions, concentration = heads(latents + errors * deviates)
        mean += fractions / n_samples
        square += fractions.astype(float) ** 2 / n_samples
        if concentration is not None:
            scatter += fractions * (1.0 - fractions) / (1.0 + concentration) / n_samples
    variance = np.maximum(square - mean ** 2, 0.0) * n_samples / (n_samples - 1)
    return np.sqrt(variance + scatter)


def _reach_fractions(fractions, questions):
    """
    Share of the volunteers who are asked each question.

    The product of the fractions that lead to it.

    Parameters
    ----------
    fractions : dict of str to (N, n_answers) arrays
    questions : mapping of str to `~galvae_affiliated.models.Question`

    Returns
    -------
    reach : dict of str to (N,) arrays
        NaN where the fractions are.
    """
    reach = {}

    def reach_of(name):
        if name not in reach:
            if questions[name].parent is None:
                known = np.isfinite(fractions[name][:, 0])
                reach[name] = np.where(known, 1.0, np.nan).astype(np.float32)
            else:
                above, answer = questions[name].parent
                place = questions[above].answers.index(answer)
                reach[name] = reach_of(above) * fractions[above][:, place]
        return reach[name]

    return {name: reach_of(name) for name in questions}


def set_thresholds(model, coverage):
    """
    Thresholds of the prediction sets.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    coverage : float or None
        Share of the galaxies whose most voted answer is in the set; None for no sets.

    Returns
    -------
    thresholds : dict of str to float
        Of each question that the model has sets of.

    Raises
    ------
    ValueError
        If the coverage lies outside of what the model was calibrated for.
    """
    sets = model.manifest.prediction_sets
    if coverage is None or not sets.thresholds:
        return {}
    lowest, highest = sets.coverages[0], sets.coverages[-1]
    if not lowest <= coverage <= highest:
        raise ValueError(f'coverage is {coverage}; the prediction sets of {model.name} are '
                         f'calibrated from {lowest} to {highest}')
    # the next larger one that is tabulated
    place = int(np.searchsorted(sets.coverages, coverage - 1e-9))
    return {question: values[place] for question, values in sets.thresholds.items()}


def _unique_integers(values):
    """What `numpy.unique` returns with the inverse, for small integers: without sorting."""
    present = np.bincount(values) > 0
    return np.flatnonzero(present), (np.cumsum(present) - 1)[values]
