# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A person looks at galaxies, and a regression learns what to show next."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from galvae_affiliated.explore._latents import fit_metric, read_latents
from galvae_affiliated.models._column import Column
from galvae_affiliated.tables.columns import make_columns, with_columns

__all__ = ['ANSWERS', 'ActiveSearch']

ANSWERS = ('interesting', 'boring', 'artifact')
"""What can be said of a galaxy."""
# of logistic regression on standardized latents; the share of a round that is drawn at random,
# which less of finds more that is known, and misses what is not
REGULARIZATION = 0.1
RANDOM_SHARE = 0.15


class ActiveSearch:
    """
    Order in which to look at galaxies, learnt from what is said of them.

    A logistic regression on standardized latents tells what is interesting from the rest. A
    round shows the best of what was not looked at, and some at random. Each answer is on the
    disk before `answer` returns: a process that is killed and started again with the same file
    loses none.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        With latents. Not changed.
    path : str or path
        File of the answers, a JSON object a line. It is made with the first answer; one that
        is there is gone on with, if it is of the same latents.
    like : int or sequence of int, optional
        Rows of galaxies such as those that are sought. They count as interesting, and the
        first rounds show what is nearest to them.
    score : str or (N,) array, optional
        A column, or values, larger for what may be interesting: what the first rounds show.
        None takes ``galvae_outlier_score`` where the table has it, else the distance from the
        mean.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        That the latents must be of; None takes the one that the table states.
    random_state : int, optional
        Of what is drawn at random.

    Raises
    ------
    KeyError, ModelMismatchError, ValueError
        If the table has no latents, they are of another model, or the file is of other
        latents.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated.explore import ActiveSearch
    >>> latent = np.random.default_rng(0).normal(size=(200, 40)).astype('f4')
    >>> table = Table({'galvae_latent': latent})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     search = ActiveSearch(table, f'{folder}/answers.jsonl', model='gz2-sdss-v3')
    ...     for row in search.next_rows(20):
    ...         search.answer(row, 'interesting' if latent[row, 0] > 1 else 'boring')
    ...     table = search.add_score()
    >>> len(table)
    200
    """

    def __init__(self, table, path, *, like=(), score=None, model=None, random_state=0):
        self.table = table
        self.path = Path(path)
        self.random_state = random_state
        self.latents = read_latents(table, model)
        self.latents.check_enough(2, 'a search')
        self.like = self._checked_rows(np.atleast_1d(np.asarray(like, dtype=int)))
        self.plain = self._plain_score(score)
        self._features = self._make_features()
        self._log = _AnswerLog(self.path, self._fingerprint())
        self.answers = self._log.read()
        """dict of int to str : What was said of each row that was looked at."""
        self._fit_of = None  # number of changes that the scores are of
        self._scores = None

    def answer(self, row, answer):
        """
        Keep what a person says of a galaxy; the last word of a row counts.

        Parameters
        ----------
        row : int
            From 0.
        answer : {'interesting', 'boring', 'artifact'}

        Raises
        ------
        ValueError
            For another answer.
        IndexError
            If there is no such row.
        """
        row = int(self._checked_rows([row])[0])
        if answer not in ANSWERS:
            raise ValueError(f'the answer is {answer!r}; expected one of {", ".join(ANSWERS)}')
        self._log.append(row, answer)
        self.answers.pop(row, None)
        self.answers[row] = answer  # the latest is the last

    def undo(self):
        """
        Take back the last answer.

        Returns
        -------
        row : int or None
            Which is to be looked at again; None if nothing was said.
        """
        if not self.answers:
            return None
        row = next(reversed(self.answers))
        self._log.append(row, None)
        del self.answers[row]
        return row

    def next_rows(self, n=20):
        """
        Rows to look at next.

        Parameters
        ----------
        n : int, optional
            At most so many.

        Returns
        -------
        rows : (n,) int array
            The best first, then those drawn at random. Rows without latents, rows that were
            looked at, and those of ``like`` are not among them; what is flagged as no galaxy
            comes when all else was seen.
        """
        left = self.latents.measured.copy()
        left[[*self.answers, *self.like]] = False
        real = np.flatnonzero(left & ~self.latents.artifacts)
        scores = self.scores()
        n_random = int(n * RANDOM_SHARE) if self._can_learn() else 0
        best = real[np.argsort(-scores[real], kind='stable')[: n - n_random]]
        rng = np.random.default_rng([self.random_state, len(self.answers)])
        others = np.setdiff1d(real, best)
        drawn = rng.choice(others, min(n_random, len(others)), replace=False)
        rows = np.concatenate([best, drawn])
        if len(rows) < n:
            flagged = np.flatnonzero(left & self.latents.artifacts)
            rows = np.concatenate([rows, flagged[: n - len(rows)]])
        return rows

    def scores(self):
        """
        How much each row is what is sought, by what is known so far.

        Returns
        -------
        scores : (N,) float32 array
            The probability of being interesting. Before there are two kinds of answers, the
            nearness to ``like``, or the plain score. NaN in rows without latents.
        """
        key = tuple(self.answers.items())
        if self._fit_of != key:
            self._scores = self._learnt_scores() if self._can_learn() else self._first_scores()
            self._fit_of = key
        return self._scores

    def add_score(self, *, overwrite=False):
        """
        The table with what was said and learnt.

        Parameters
        ----------
        overwrite : bool, optional
            Replace columns of the same names.

        Returns
        -------
        table : `~astropy.table.Table`
            A new one, with ``galvae_search_score``, the `scores`, and
            ``galvae_search_answer``, masked where nobody looked.
        """
        said = np.array([self.answers.get(row, '') for row in range(len(self.latents))])
        what = f'{len(self.answers)} answers' if self._can_learn() else 'no answers yet'
        columns = make_columns(
            [Column('galvae_search_score', self.scores(), f'interesting, from {what}',
                    'stat.probability'),
             Column('galvae_search_answer', said.astype(str), 'said by a person', 'meta.code',
                    mask=said == '')],
            self.latents.model)
        return with_columns(self.table, columns, overwrite=overwrite)

    def _can_learn(self):
        kinds = {answer == 'interesting' for answer in self.answers.values()}
        return len(kinds) > 1 or (len(self.like) > 0 and False in kinds)

    def _first_scores(self):
        """Nearness to what is like what is sought, else the plain score."""
        scores = np.full(len(self.latents), np.nan, dtype=np.float32)
        rows = self.latents.measured
        if len(self.like):
            metric = fit_metric(self.latents)
            sought = metric(self.latents.latent[self.like])
            place = metric(self.latents.latent[rows])
            scores[rows] = -np.min([np.linalg.norm(place - one, axis=1) for one in sought],
                                   axis=0)
        else:
            scores[rows] = self.plain[rows]
        return scores

    def _learnt_scores(self):
        from sklearn.linear_model import LogisticRegression

        rows = [*self.answers, *self.like]
        sought = [answer == 'interesting' for answer in self.answers.values()]
        sought += [True] * len(self.like)
        regression = LogisticRegression(C=REGULARIZATION, max_iter=1000)
        regression.fit(self._features[rows], sought)
        scores = np.full(len(self.latents), np.nan, dtype=np.float32)
        measured = self.latents.measured
        scores[measured] = regression.predict_proba(self._features[measured])[:, 1]
        return scores

    def _plain_score(self, score):
        """(N,) plain scores; the distance to the mean where nothing better is known."""
        names = getattr(self.table, 'colnames', ())
        if score is None and 'galvae_outlier_score' in names:
            score = 'galvae_outlier_score'
        if score is None:
            metric = fit_metric(self.latents, 'white')
            return np.linalg.norm(metric(self.latents.latent), axis=1)
        if isinstance(score, str):
            if score not in names:
                raise KeyError(f'the table has no column {score!r}')
            score = self.table[score]
        score = np.ma.filled(np.ma.asarray(score).astype(float), np.nan)
        if score.shape != (len(self.latents),):
            raise ValueError(f'the score has shape {score.shape}; '
                             f'expected ({len(self.latents)},)')
        return np.where(np.isfinite(score), score, np.nanmin(score, initial=0.0))

    def _make_features(self):
        """
        (N, n_latents) float32 array of standardized latents.

        Where there are errors, the variance is that of the latents and of their errors, so
        that the regression trusts a latent the less the noisier it is.
        """
        metric = fit_metric(self.latents, 'standard')
        features = metric(self.latents.latent)
        if self.latents.error is not None:
            errors = self.latents.error[self.latents.clean] @ metric.matrix
            features /= np.sqrt(1.0 + np.mean(errors.astype(float) ** 2, axis=0))
        return features.astype(np.float32)

    def _checked_rows(self, rows):
        rows = np.asarray(rows, dtype=int)
        wrong = rows[(rows < 0) | (rows >= len(self.latents))]
        if len(wrong):
            raise IndexError(f'there is no row {wrong[0]}; the table has {len(self.latents)}')
        lost = rows[~self.latents.measured[rows]]
        if len(lost):
            raise ValueError(f'row {lost[0]} has no latents')
        return rows

    def _fingerprint(self):
        """What the file of the answers must be of."""
        values = np.ascontiguousarray(self.latents.latent)
        return {'model': self.latents.model.id, 'n_rows': len(self.latents),
                'latents': hashlib.sha256(values.tobytes()).hexdigest()[:16]}


class _AnswerLog:
    """
    Answers, a line each, appended to a file that says first what they are of.

    Parameters
    ----------
    path : `~pathlib.Path`
    fingerprint : dict
    """

    def __init__(self, path, fingerprint):
        self.path = path
        self.fingerprint = fingerprint

    def read(self):
        """dict of int to str, the latest last; a line that a kill cut short is removed."""
        if not self.path.exists():
            return {}
        content = self.path.read_bytes()
        whole = content[: content.rfind(b'\n') + 1]
        try:
            head, *entries = [json.loads(line) for line in whole.splitlines()] or [None]
            answers = self._replayed(entries)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{self.path}: this is no file of answers ({error})') from None
        if head is None:  # killed in the first line
            os.truncate(self.path, 0)
            return {}
        if head != self.fingerprint:
            raise ValueError(f'{self.path} is of other latents ({head}); expected those of '
                             f'{self.fingerprint}')
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))
        return answers

    @staticmethod
    def _replayed(entries):
        answers = {}
        for entry in entries:
            answers.pop(entry['row'], None)
            if entry['answer'] is not None:
                answers[entry['row']] = entry['answer']
        return answers

    def append(self, row, answer):
        """Add a line, and wait until it is on the disk."""
        with open(self.path, 'ab') as file:
            if file.tell() == 0:
                file.write(json.dumps(self.fingerprint).encode() + b'\n')
            file.write(json.dumps({'row': row, 'answer': answer}).encode() + b'\n')
            file.flush()
            os.fsync(file.fileno())
