# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How odd each galaxy is among the others of a table, with a probability and reasons."""

from dataclasses import dataclass, field

import numpy as np

from galvae_affiliated.explore._calibration import Calibration
from galvae_affiliated.explore._columns import explore_columns
from galvae_affiliated.explore._estimators import METHODS, Sample, make_estimator
from galvae_affiliated.explore._latents import read_latents, spread
from galvae_affiliated.explore._reasons import find_reasons
from galvae_affiliated.models._column import Column
from galvae_affiliated.tables.columns import check_column_names, with_columns

__all__ = ['OUTLIER_METHODS', 'add_outlier_scores']

OUTLIER_METHODS = tuple(METHODS)
"""Ways to score; see `add_outlier_scores`."""
NAMES = ('galvae_outlier_score', 'galvae_outlier_p', 'galvae_outlier_rank',
         'galvae_outlier_reason')
# predicted fractions that are large for what volunteers find odd
ODD_FRACTIONS = ('something-odd_yes_fraction',)
# share of the false alarms that the density may have where there are such fractions: enough for
# what no question asks for, and hardly a loss for what one does
DENSITY_SHARE = 0.03
# what a galaxy is, for the distance from its class
KIND_QUESTIONS = ('smooth-or-featured', 'how-rounded', 'disk-edge-on', 'has-spiral-arms')
LEAST_CLEAN = 20
MAX_CALIBRATION = 20_000


def add_outlier_scores(table, model=None, *, method='density', votes=None, reference=None,
                       n_reasons=1000, overwrite=False):
    """
    Score how odd each galaxy is.

    Half of the rows without flags are what galaxies are compared with; the other half says
    how often a score is reached by chance. Then the halves change their places, so that no
    galaxy is compared with itself. Rows with flags are in neither half, and are scored.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        With latents. Not changed.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        That the latents must be of; None takes the one that the table states.
    method : str, optional
        How the latents of a galaxy are compared with those of others:

        - 'density', the distance within which 4 per cent of the galaxies lie, in units of the
          errors of the latents;
        - 'neighbor', the distance to the fifth neighbour in whitened latents;
        - 'mixture', minus the log density of a mixture of Gaussians;
        - 'isolation-forest';
        - 'mahalanobis', the distance to the mean in whitened latents;
        - 'class-distance', the distance to the mean of the galaxy's class over the median of
          that class (Xu et al. 2023, MNRAS 526, 6391).
    votes : sequence of str, optional
        Columns of predicted fractions that are large for odd galaxies. What is extreme in one
        of them, or in its latents, is odd. None takes ``something-odd_yes_fraction`` where the
        table has it, and an empty sequence none: then the latents alone decide.
    reference : `~astropy.table.Table`, optional
        Galaxies to compare with, such as a whole survey; None takes those of the table.
    n_reasons : int, optional
        Of so many galaxies, the oddest ones, reasons are looked for.
    overwrite : bool, optional
        Replace columns of the same names.

    Returns
    -------
    table : `~astropy.table.Table`
        A new table with these columns, masked where there are no latents:

        - ``galvae_outlier_score``, minus the decimal logarithm of the share of galaxies that
          are as odd: 3 is one in a thousand. Beyond the oddest galaxy that it is compared
          with it goes on rising.
        - ``galvae_outlier_p``, a conformal p-value: of galaxies like those compared with, at
          most a share p has one as low as p.
        - ``galvae_outlier_rank``, from 1 for the oddest. What is flagged as no galaxy
          (``ARTIFACT``, ``POINT_SOURCE``) has a score, and no rank.
        - ``galvae_outlier_reason``, of the oddest galaxies: predicted fractions that few
          others reach, latents in which it differs most from its nearest neighbours (in
          units of their errors), and the rows of these.

    Raises
    ------
    KeyError, ModelMismatchError
        If there are no latents, or they are of another model than they should.
    ValueError
        If the columns exist, fewer than 20 rows have latents and no flags, the method does
        not exist, or needs what the table has not.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated.explore import add_outlier_scores
    >>> latent = np.random.default_rng(0).normal(size=(200, 40)).astype('f4')
    >>> latent[17] += 3
    >>> table = add_outlier_scores(Table({'galvae_latent': latent}), 'gz2-sdss-v3')
    >>> int(table['galvae_outlier_rank'][17])
    1
    """
    check_column_names(table, NAMES, overwrite=overwrite)
    make_estimator(method)  # a wrong name is refused before the work
    rows = _read_rows(table, model, method, votes)
    others = rows if reference is None else _read_rows(reference, rows.latents.model, method,
                                                       rows.vote_names)
    others.latents.check_enough(LEAST_CLEAN, 'a score')
    scores, p_values = _cross_scores(rows, method) if reference is None \
        else _scores_against(rows, others, method)
    ranks = _ranks(np.where(rows.latents.artifacts, np.nan, scores))
    reasons = find_reasons(table, rows.latents, scores, n_reasons, rows.vote_names,
                           others.latents if reference is not None else None)
    columns = [
        Column(NAMES[0], scores, '-log10 of the share as odd', 'stat.value;src.morph'),
        Column(NAMES[1], p_values, 'conformal p-value of being odd',
               'stat.probability;src.morph'),
        Column(NAMES[2], np.maximum(ranks, 0), '1 is the oddest galaxy', 'stat.rank;src.morph',
               mask=ranks < 1),
        Column(NAMES[3], reasons, 'why it is odd', 'meta.note', mask=reasons == ''),
    ]
    about = {'method': method, 'votes': ' '.join(rows.vote_names),
             'reference': 'this table' if reference is None else 'another table',
             'fitted_rows': int(others.latents.clean.sum())}
    return with_columns(table, explore_columns(columns, rows.latents.model, **about),
                        overwrite=overwrite)


@dataclass(frozen=True)
class _Rows:
    """What is known of rows: a `Sample`, and (N, n_votes) fractions of what is odd."""

    sample: Sample
    fractions: np.ndarray
    vote_names: tuple

    @property
    def latents(self):
        return self.sample.latents

    def some(self, rows):
        return _Rows(self.sample.rows(rows), self.fractions[rows], self.vote_names)


def _read_rows(table, model, method, votes):
    latents = read_latents(table, model)
    names = getattr(table, 'colnames', None) or list(table)
    if votes is None:
        votes = [name for name in ODD_FRACTIONS if name in names]
    missing = [name for name in votes if name not in names]
    if missing:
        raise KeyError(f'the table has no column {missing[0]!r} of predicted fractions')
    fractions = np.full((len(table), len(votes)), np.nan)
    for i, name in enumerate(votes):
        fractions[:, i] = np.ma.filled(np.ma.asarray(table[name]).astype(float), np.nan)
    kinds = _kinds(table, names) if method == 'class-distance' else None
    return _Rows(Sample(latents, kinds), fractions, tuple(votes))


def _kinds(table, names):
    """(N,) class of each galaxy: the likeliest answers to a few questions; None without them."""
    answers = [np.ma.asarray(table[f'{question}_answer']).astype(str).filled('')
               for question in KIND_QUESTIONS if f'{question}_answer' in names]
    if not answers:
        return None
    codes = [np.unique(one, return_inverse=True)[1] for one in answers]
    return np.unique(np.stack(codes), axis=1, return_inverse=True)[1].ravel()


@dataclass
class _Oddness:
    """An estimator fitted to some rows, and calibrated with others."""

    method: str
    combined: Calibration = None
    parts: list = field(default_factory=list)

    def fit(self, fitted, held_out):
        self.estimator = make_estimator(self.method).fit(fitted.sample)
        held_out = held_out.some(spread(np.arange(len(held_out.latents)), MAX_CALIBRATION))
        self.parts = [Calibration.of(part) for part in self._evidence(held_out)]
        self.combined = Calibration.of(self._combined(held_out))
        return self

    def scores(self, rows):
        """Scores and p-values."""
        combined = self._combined(rows)
        return self.combined.rarity(combined), self.combined.p_values(combined)

    def _evidence(self, rows):
        """(N,) distances, and log odds of each fraction."""
        fractions = np.clip(np.nan_to_num(rows.fractions, nan=0.0), 1e-6, 1.0 - 1e-6)
        return [self.estimator.distances(rows.sample), *np.log(fractions / (1.0 - fractions)).T]

    def _combined(self, rows):
        """
        The largest of the rarities, each with its share of the false alarms.

        This is the least of weighted p-values (Bonferroni's test).
        """
        shares = np.ones(len(self.parts))
        if len(shares) > 1:
            shares[0] = DENSITY_SHARE
            shares[1:] = (1.0 - DENSITY_SHARE) / (len(shares) - 1)
        rarities = [part.rarity(values) + np.log10(share) for part, values, share
                    in zip(self.parts, self._evidence(rows), shares)]
        return np.max(rarities, axis=0)


def _cross_scores(rows, method):
    """Scores and p-values of a table, each row by a fit to others."""
    clean = np.flatnonzero(rows.latents.clean)
    # a fixed shuffle: neighbours in a table may be neighbours on the sky
    clean = np.random.default_rng(0).permutation(clean)
    halves = np.sort(clean[::2]), np.sort(clean[1::2])
    scores, p_values = np.full((2, len(rows.latents)), np.nan)
    for i, (own, other) in enumerate((halves, halves[::-1])):
        oddness = _Oddness(method).fit(rows.some(other), rows.some(own))
        # rows with flags are in neither half: the first fit scores them
        scored = rows.latents.measured & ~rows.latents.clean if i == 0 \
            else np.zeros(len(scores), dtype=bool)
        scored[own] = True
        scores[scored], p_values[scored] = oddness.scores(rows.some(scored))
    return scores, p_values


def _scores_against(rows, others, method):
    """Scores and p-values of a table by a fit to another."""
    clean = np.random.default_rng(0).permutation(np.flatnonzero(others.latents.clean))
    oddness = _Oddness(method).fit(others.some(np.sort(clean[::2])),
                                   others.some(np.sort(clean[1::2])))
    scores, p_values = np.full((2, len(rows.latents)), np.nan)
    measured = rows.latents.measured
    scores[measured], p_values[measured] = oddness.scores(rows.some(measured))
    return scores, p_values


def _ranks(scores):
    """(N,) int32 ranks from 1 for the highest score; 0 where there is none."""
    ranks = np.zeros(len(scores), dtype=np.int32)
    known = np.flatnonzero(np.isfinite(scores))
    ranks[known[np.argsort(-scores[known], kind='stable')]] = np.arange(1, len(known) + 1)
    return ranks
