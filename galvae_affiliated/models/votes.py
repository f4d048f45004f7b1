# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents to what volunteers would have said: fractions, what is asked, answers, prediction sets, intervals."""

from dataclasses import dataclass

import numpy as np

__all__ = ['ASKED', 'PredictedVotes', 'predict_votes']

ASKED = 0.5  # a question applies if at least this share of the volunteers would be asked it
# rows a call of a graph that takes latents: larger batches are slower, what is between the layers leaves the caches
HEADS_BATCH = 4096
INTERVAL = 0.68
# a Beta distribution exists for variances below mean (1 - mean)
MOST_VARIANCE = 0.98


@dataclass(frozen=True)
class PredictedVotes:
    """
    Predicted votes of N galaxies; rows without latents are NaN.

    Attributes
    ----------
    fractions : dict of str to (N, n_answers) float32 arrays
        Of each question, among the volunteers who are asked it; they sum to one.
    reach : dict of str to (N,) float32 arrays
        Share of all volunteers who are asked the question.
    deviation : dict of str to (N, n_answers) float32 arrays, or None
        Standard deviation of each fraction, from the errors of the latents and
        from how the votes of galaxies with equal latents scatter.
    """

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

    def likeliest(self, question, answers):
        """
        The answer with the largest fraction.

        Parameters
        ----------
        question : str
        answers : list of str

        Returns
        -------
        answer : (N,) array of str
            Also where the question does not apply.
        """
        return np.array(answers)[np.nan_to_num(self.fractions[question], nan=-1.0).argmax(axis=1)]

    def sets(self, question, answers, threshold):
        """
        Prediction sets, as text.

        Parameters
        ----------
        question : str
        answers : list of str
        threshold : float
            How far from one the fraction of an answer in the set may be.

        Returns
        -------
        sets : (N,) array of str
            Such as '{round, in-between}', the likeliest first; '{}' where no answer is likely enough.
        """
        fractions = np.nan_to_num(self.fractions[question], nan=-1.0)
        left = np.where(fractions >= 1.0 - threshold, fractions, -np.inf)
        # the same few sets stand in all rows: each is spelt once, and a row has its place among them
        names, place = [()], np.zeros(len(left), dtype=int)
        additions = [(), *((answer,) for answer in answers)]
        for _ in answers:
            likeliest = left.argmax(axis=1)[:, None]
            grows = np.take_along_axis(left, likeliest, axis=1)[:, 0] > -np.inf
            if not grows.any():
                break
            np.put_along_axis(left, likeliest, -np.inf, axis=1)
            added = np.where(grows, likeliest[:, 0] + 1, 0)
            # one number for the set so far and what is added to it
            pairs, place = unique_integers(place * len(additions) + added)
            names = [names[pair // len(additions)] + additions[pair % len(additions)] for pair in pairs]
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
        variance = np.clip(self.deviation[question].astype(float) ** 2, 1e-8, MOST_VARIANCE * room + 1e-12)
        total = np.maximum(room, 1e-9) / variance - 1.0
        tails = [(1.0 - INTERVAL) / 2.0, (1.0 + INTERVAL) / 2.0]
        # a fraction of zero or one has no room for an interval, and the distribution no parameter of zero
        shapes = np.maximum(mean * total, 1e-6), np.maximum((1.0 - mean) * total, 1e-6)
        return tuple(betaincinv(*shapes, tail).astype(np.float32) for tail in tails)


def unique_integers(values):
    """What `numpy.unique` returns with the inverse, for small integers from zero: without sorting them."""
    present = np.bincount(values) > 0
    return np.flatnonzero(present), (np.cumsum(present) - 1)[values]


def predict_votes(latents, model, *, errors=None, n_samples=0, device='auto'):
    """
    Predict the votes of galaxies.

    Parameters
    ----------
    latents : (N, n_latents) array
        NaN in rows that have none.
    model : `~galvae_affiliated.ModelBundle`
    errors : (N, n_latents) array, optional
        Standard deviations of the latents; needed for ``n_samples``.
    n_samples : int, optional
        How many latents are drawn from each posterior, for the deviations; 0 leaves these out.
    device : {'auto', 'cpu', 'cuda'}, optional

    Returns
    -------
    morphology : `Morphology`

    Raises
    ------
    ValueError
        If ``n_samples`` is less than zero or one, or there are no errors.
    """
    if n_samples and (n_samples < 2 or errors is None):
        raise ValueError(f'samples is {n_samples}{"" if errors is not None else " and the latents have no errors"}; '
                         'expected two or more, and the errors of the latents')
    heads = Heads(model, device)
    rows = np.isfinite(latents).all(axis=1)
    fractions, deviation = np.full((2, len(latents), heads.n_columns), np.nan, dtype=np.float32)
    if rows.any():
        fractions[rows], concentration = heads(latents[rows])
        if n_samples:
            deviation[rows] = deviations(heads, latents[rows], errors[rows], n_samples)
    by_question = heads.split(fractions)
    return PredictedVotes(by_question, reach_fractions(by_question, model.manifest['questions']),
                      heads.split(deviation) if n_samples else None)


class Heads:
    """The heads of a bundle, and where the columns of each question are."""

    def __init__(self, model, device):
        self.questions = model.questions
        self.runner = model.runner('heads', device=device, batch_size=HEADS_BATCH)
        # bundles of before heads had a scatter have one output
        self.scatters = model.manifest.get('heads', {}).get('volunteers', 0) > 1
        self.n_answers = [len(answers) for answers in self.questions.values()]
        self.n_columns = sum(self.n_answers)

    def __call__(self, latents):
        """(N, n_columns) fractions and (N, n_columns) concentrations of their Dirichlet distributions, or None."""
        if not self.scatters:
            return self.runner({'latent': latents}, ['fractions'])[0], None
        fractions, concentration = self.runner({'latent': latents}, ['fractions', 'concentration'])
        return fractions, np.repeat(concentration, self.n_answers, axis=1)

    def split(self, columns):
        """Question to its columns."""
        parts = np.split(columns, np.cumsum(self.n_answers)[:-1], axis=1)
        return dict(zip(self.questions, parts))


def deviations(heads, latents, errors, n_samples):
    """
    Standard deviation of the fractions over latents drawn from their posteriors, and of votes at equal latents.

    The same normal deviates serve every row, so that what a row gets does not depend on its neighbours.
    """
    drawn = np.random.default_rng(0).standard_normal((n_samples, latents.shape[1])).astype(np.float32)
    mean, square, scatter = (np.zeros((len(latents), heads.n_columns)) for _ in range(3))
    for deviates in drawn - drawn.mean(axis=0):
        fractions, concentration = heads(latents + errors * deviates)
        mean += fractions / n_samples
        square += fractions.astype(float) ** 2 / n_samples
        if concentration is not None:
            scatter += fractions * (1.0 - fractions) / (1.0 + concentration) / n_samples
    return np.sqrt(np.maximum(square - mean ** 2, 0.0) * n_samples / (n_samples - 1) + scatter)


def reach_fractions(fractions, tree):
    """
    Share of the volunteers who are asked each question: the product of the fractions that lead to it.

    Parameters
    ----------
    fractions : dict of str to (N, n_answers) arrays
    tree : dict
        ``questions`` of a manifest: ``answers`` and ``parent`` of each.

    Returns
    -------
    reach : dict of str to (N,) arrays
        NaN where the fractions are.
    """
    reach = {}

    def of(question):
        if question not in reach:
            parent = tree[question].get('parent')
            known = np.where(np.isfinite(fractions[question][:, 0]), 1.0, np.nan).astype(np.float32)
            reach[question] = known if parent is None else (
                of(parent[0]) * fractions[parent[0]][:, tree[parent[0]]['answers'].index(parent[1])])
        return reach[question]

    return {question: of(question) for question in tree}


def set_thresholds(model, coverage):
    """
    Thresholds of the prediction sets.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    coverage : float
        Share of the galaxies whose most voted answer is in the set.

    Returns
    -------
    thresholds : dict of str to float
        Of each question that the model has sets of.

    Raises
    ------
    ValueError
        If the coverage lies outside of what the model was calibrated for.
    """
    sets = model.manifest.get('prediction_sets', {'coverages': [], 'questions': {}})
    if not sets['questions']:
        return {}
    lowest, highest = sets['coverages'][0], sets['coverages'][-1]
    if not lowest <= coverage <= highest:
        raise ValueError(f'coverage is {coverage}; the prediction sets of {model.name} are calibrated from '
                         f'{lowest} to {highest}')
    place = int(np.searchsorted(sets['coverages'], coverage - 1e-9))  # the next larger one that is tabulated
    return {question: entry['thresholds'][place] for question, entry in sets['questions'].items()}


def set_threshold(model, question, coverage):
    """The threshold of one question, None if the model has no such sets of it; see `set_thresholds`."""
    return set_thresholds(model, coverage).get(question)
