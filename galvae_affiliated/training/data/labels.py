# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Votes, classes and splits of the galaxies, from the columns of a table."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from astropy.io.registry import IORegistryError
from astropy.table import Table

from galvae_affiliated.training.data.galaxy_zoo import GZ2_QUESTIONS

__all__ = ['Votes', 'check_votes', 'no_votes', 'question_tree', 'read_labels', 'read_votes',
           'with_teacher']

LEAST_GALAXIES = 20  # with votes; fewer teach nothing


@dataclass(frozen=True)
class Votes:
    """
    Vote fractions of one question.

    Attributes
    ----------
    fractions : (N, n_answers) float32 array
        Conditional on the question being asked; rows without votes are zero.
    weight : (N,) float32 array
        Share of the volunteers who were asked; zero where that is not known.

    Examples
    --------
    >>> import pandas as pd
    >>> from galvae_affiliated.training.data.labels import question_tree, read_votes
    >>> tree = question_tree({'bar': {'answers': ['yes', 'no']}})
    >>> labels = pd.DataFrame({'bar_yes_fraction': [0.8, 0.1], 'bar_no_fraction': [0.2, 0.9]})
    >>> votes = read_votes(labels, tree)['bar']
    >>> votes.fractions.shape, votes.subset([0]).fractions.shape
    ((2, 2), (1, 2))
    """

    fractions: np.ndarray
    weight: np.ndarray

    def subset(self, rows):
        """The votes of some of the galaxies."""
        return Votes(self.fractions[rows], self.weight[rows])


def question_tree(questions):
    """
    The questions of a configuration as a bundle's manifest holds them.

    Parameters
    ----------
    questions : str or dict
        See `~galvae_affiliated.training.TrainingConfig`.

    Returns
    -------
    tree : dict of str to dict
        ``answers``, a list, and ``parent``, [question, answer] or None.

    Raises
    ------
    ValueError
        If it is something else, or a parent is not in the tree.

    Examples
    --------
    >>> from galvae_affiliated.training.data.labels import question_tree
    >>> question_tree({'bar': {'answers': ['yes', 'no']}})
    {'bar': {'answers': ['yes', 'no'], 'parent': None}}
    """
    if questions == 'none':
        return {}
    if questions == 'gz2':
        return {name: {'answers': answers, 'parent': parent}
                for name, (parent, answers) in GZ2_QUESTIONS.items()}
    if not isinstance(questions, dict):
        raise ValueError(f"questions is {questions!r}; expected 'none', 'gz2' or a table of "
                         'questions')
    tree = {}
    for question, entry in questions.items():
        answers = entry.get('answers') if isinstance(entry, dict) else entry
        parent = entry.get('parent') if isinstance(entry, dict) else None
        if not isinstance(answers, list) or len(answers) < 2:
            raise ValueError(f'question {question!r} has the answers {answers!r}; expected a list '
                             'of two or more')
        tree[question] = {'answers': list(map(str, answers)), 'parent': parent}
    for question, entry in tree.items():
        if entry['parent'] is not None:
            above, answer = entry['parent']
            if above not in tree or answer not in tree[above]['answers']:
                raise ValueError(f'question {question!r} follows {answer!r} to {above!r}, which is '
                                 'not in the tree')
    return tree


def read_labels(path, id_column):
    """
    Read a table of labels with the identifiers as its index; images in it are left unread.

    Parameters
    ----------
    path : str or path
        Parquet, or any format that astropy's `~astropy.table.Table` reads.
    id_column : str

    Returns
    -------
    labels : `pandas.DataFrame`

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read, has no such column, or an identifier twice.

    Examples
    --------
    >>> import tempfile
    >>> from astropy.table import Table
    >>> from galvae_affiliated.training import read_labels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Table({'id_str': ['J1', 'J2'], 'kind': ['a', 'b']}).write(f'{folder}/labels.ecsv')
    ...     read_labels(f'{folder}/labels.ecsv', 'id_str').index.tolist()
    ['J1', 'J2']
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'{path}: there is no such file')
    try:
        if path.suffix == '.parquet':
            columns = [name for name in pq.read_schema(path).names if name != 'image']
            labels = pq.read_table(path, columns=columns).to_pandas()
            # as astropy writes masked columns
            for name in [name for name in columns if f'{name}.mask' in columns]:
                labels[name] = labels[name].mask(labels[f'{name}.mask'])
        else:
            table = Table.read(path)
            table.convert_bytestring_to_unicode()
            scalars = [name for name in table.colnames if table[name].ndim == 1]
            labels = table[scalars].to_pandas()
    except (IORegistryError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        reason = str(error).partition('\n')[0]  # past it astropy lists all formats
        raise ValueError(f'{path}: this table cannot be read ({reason})') from None
    if id_column not in labels:
        raise ValueError(f'{path}: there is no column {id_column!r}; there are '
                         f'{", ".join(labels.columns[:12])}')
    ids = pd.Index([i.decode() if isinstance(i, bytes) else str(i) for i in labels[id_column]])
    if not ids.is_unique:
        raise ValueError(f'{path}: {ids[ids.duplicated()][0]!r} is more than once in column '
                         f'{id_column!r}')
    return labels.set_index(ids)


def label_column(labels, name):
    """A column of the labels, or an error that names it."""
    if name not in labels:
        there = ', '.join(map(str, labels.columns[:12]))
        raise ValueError(f'the labels have no column {name!r}; there are {there}')
    return labels[name]


def true_rows(labels, name):
    """(N,) bool: rows where a column is true, as a word too; a missing value is false."""
    words = label_column(labels, name).astype(str).str.lower()
    return words.isin(['true', '1', '1.0']).to_numpy()


def read_votes(labels, tree, suffix=''):
    """
    Vote fractions of every question.

    Columns are named ``<question><suffix>_<answer>_fraction``, and
    ``<question><suffix>_reach`` for the share of the volunteers who were
    asked; without the latter everybody was.

    Parameters
    ----------
    labels : `pandas.DataFrame`
    tree : dict
        See `question_tree`.
    suffix : str

    Returns
    -------
    votes : dict of str to `Votes`

    Raises
    ------
    ValueError
        If a column is missing, or a fraction is not from 0 to 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from galvae_affiliated.training.data.labels import question_tree, read_votes
    >>> tree = question_tree({'bar': {'answers': ['yes', 'no']}})
    >>> labels = pd.DataFrame({'bar_yes_fraction': [0.8, 0.1], 'bar_no_fraction': [0.2, 0.9]})
    >>> read_votes(labels, tree)['bar'].weight.tolist()
    [1.0, 1.0]
    """
    votes = {}
    for question, entry in tree.items():
        name = f'{question}{suffix}'
        if question == 'merging' and f'{name}_merger_fraction' not in labels:
            votes[question] = _merger_votes(labels, suffix)
            continue
        columns = [label_column(labels, f'{name}_{answer}_fraction') for answer in entry['answers']]
        fractions = np.stack([c.to_numpy(np.float32, na_value=np.nan) for c in columns], axis=1)
        weight = np.ones(len(labels), np.float32)
        if f'{name}_reach' in labels:
            weight = labels[f'{name}_reach'].to_numpy(np.float32, na_value=np.nan)
        wrong = (fractions < -1e-3) | (fractions > 1.001)
        if wrong.any():
            row = int(np.flatnonzero(wrong.any(axis=1))[0])
            answer = entry['answers'][wrong[row].argmax()]
            raise ValueError(f'{name}_{answer}_fraction is {fractions[row][wrong[row]][0]:g} for '
                             f'{labels.index[row]}; expected 0 to 1')
        known = np.isfinite(fractions).all(axis=1) & (weight > 0)
        votes[question] = Votes(np.where(known[:, None], fractions, 0.0),
                                np.where(known, weight, 0.0))
    return votes


def check_votes(questions, fractions, weights):
    """
    Refuse votes that nothing can be learnt from.

    Parameters
    ----------
    questions : list of str
    fractions : list of (N, n_answers) arrays
    weights : list of (N,) arrays
        As in `Votes`.

    Raises
    ------
    ValueError
        If fewer than 20 galaxies have votes, or all that were asked a question gave one answer.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.training.data.labels import check_votes
    >>> yes = np.linspace(0.0, 1.0, 30)
    >>> check_votes(['bar'], [np.column_stack([yes, 1.0 - yes])], [np.ones(30)])
    """
    n = int(sum(weight > 0 for weight in weights).astype(bool).sum())
    if n < LEAST_GALAXIES:
        raise ValueError(f'{n} galaxies have votes; expected {LEAST_GALAXIES} or more')
    for question, given, weight in zip(questions, fractions, weights):
        answers = (given[weight > 0] > 0).any(0)
        if not len(given[weight > 0]):
            raise ValueError(f'question {question!r} has no votes')
        if answers.sum() < 2:
            raise ValueError(f'question {question!r} has one answer only; there is nothing to tell '
                             'apart')


def rows_with_votes(votes, n):
    """(N,) bool: a vote on any question is known."""
    if not votes:
        return np.zeros(n, dtype=bool)
    return np.any([v.weight > 0 for v in votes.values()], axis=0)


def _merger_votes(labels, suffix):
    """A galaxy merges if most saw something odd and of the odd features 'merger' has most votes."""
    prefix = f'odd-feature{suffix}_'
    odd = [c for c in labels if c.startswith(prefix) and c.endswith('_fraction')]
    odd_yes = label_column(labels, f'something-odd{suffix}_yes_fraction').to_numpy()
    merger = label_column(labels, f'{prefix}merger_fraction').name
    features = labels[odd].fillna(0.0).to_numpy()
    is_odd = odd_yes >= 0.5
    merging = is_odd & (features.argmax(1) == odd.index(merger))
    known = np.isfinite(odd_yes) & (~is_odd | (features.sum(1) > 0))
    fractions = np.stack([merging, ~merging], 1).astype(np.float32)
    return Votes(fractions * known[:, None], known.astype(np.float32))


def no_votes(votes, n):
    """
    Votes on the same questions for galaxies that nobody has seen.

    Parameters
    ----------
    votes : dict of str to `Votes`
    n : int
        Galaxies.

    Returns
    -------
    votes : dict of str to `Votes`
        With (n, n_answers) fractions and (n,) weights of zero.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.training.data.labels import Votes, no_votes
    >>> known = {'bar': Votes(np.ones((4, 2), np.float32), np.ones(4, np.float32))}
    >>> no_votes(known, 3)['bar'].fractions.shape
    (3, 2)
    """
    return {question: Votes(np.zeros((n, v.fractions.shape[1]), np.float32),
                            np.zeros(n, np.float32)) for question, v in votes.items()}


def with_teacher(votes, predicted, tree, weight):
    """
    Let another network's fractions stand in where a galaxy has no votes at all.

    Parameters
    ----------
    votes : dict of str to `Votes`
    predicted : dict of str to `Votes`
        The other network's, of the same galaxies.
    tree : dict
        See `question_tree`.
    weight : float
        Of a prediction relative to a vote.

    Returns
    -------
    votes : dict of str to `Votes`

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.training.data.labels import Votes, question_tree, with_teacher
    >>> tree = question_tree({'bar': {'answers': ['yes', 'no']}})
    >>> own = Votes(np.array([[0.8, 0.2], [0.0, 0.0]], 'f4'), np.array([1.0, 0.0], 'f4'))
    >>> other = Votes(np.array([[0.7, 0.3], [0.1, 0.9]], 'f4'), np.array([1.0, 1.0], 'f4'))
    >>> with_teacher({'bar': own}, {'bar': other}, tree, weight=0.5)['bar'].weight.tolist()
    [1.0, 0.5]
    """
    has_votes = rows_with_votes(votes, len(next(iter(votes.values())).weight))
    reach, merged = {}, {}
    for question, entry in tree.items():
        known = predicted[question].weight > 0
        reach[question] = known.astype(np.float32)
        if entry['parent'] is not None:
            above, answer = entry['parent']
            place = tree[above]['answers'].index(answer)
            reach[question] = reach[above] * predicted[above].fractions[:, place]
        own, other = votes[question], predicted[question]
        stands_in = ~has_votes & known
        fractions = np.where(stands_in[:, None], other.fractions, own.fractions)
        shares = np.where(stands_in, weight * reach[question], own.weight)
        merged[question] = Votes(fractions, shares.astype(np.float32))
    return merged
