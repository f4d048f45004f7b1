# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies to learn from: composites with their labels."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from galvae_affiliated.cutouts.sets import ParquetSet
from galvae_affiliated.training.data.labels import (
    label_column,
    question_tree,
    read_labels,
    read_votes,
    rows_with_votes,
    true_rows,
    with_teacher,
)
from galvae_affiliated.training.data.other_surveys import read_other_surveys
from galvae_affiliated.training.data.rendered import open_source, rendered_images

__all__ = ['GalaxySet', 'as_composites', 'read_galaxies', 'validation_rows', 'vote_tensors']

logger = logging.getLogger(__name__)


class GalaxySet(Dataset):
    """
    Composites and their labels.

    Parameters
    ----------
    images : (N, grid, grid, 3) uint8 array
        Red, green, blue; may be memory-mapped.
    ids : (N,) array of str
    votes : dict of str to `~galvae_affiliated.training.data.labels.Votes`, optional
    has_votes : (N,) bool array, optional
        A volunteer's vote is known; a teacher's fractions are none. None takes all votes as such.
    classes : (N,) int64 array, optional
        Coarse class, -1 where there is none.
    class_names : sequence of str, optional
    train, held_out : (M,) int arrays, optional
        Rows to learn from and rows to measure on.
    unselected : (N,) bool array, optional
        Galaxies that were not selected by their votes.
    other_surveys : sequence of `~galvae_affiliated.training.data.other_surveys.OtherSurvey`
        Galaxies without labels.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.training import GalaxySet
    >>> images = np.zeros((10, 32, 32, 3), dtype=np.uint8)
    >>> galaxies = GalaxySet(images, [f'J{i}' for i in range(10)], held_out=[8, 9])
    >>> len(galaxies), tuple(galaxies.composites([0, 1]).shape)
    (10, (2, 3, 32, 32))
    """

    def __init__(self, images, ids, *, votes=None, has_votes=None, classes=None, class_names=(),
                 train=None, held_out=(), unselected=None, other_surveys=()):
        n = len(ids)
        self.images = images
        self.ids = np.asarray(ids)
        self.votes = votes or {}
        self.has_votes = rows_with_votes(self.votes, n) if has_votes is None else has_votes
        self.classes = np.full(n, -1) if classes is None else classes
        self.class_names = list(class_names)
        self.train = np.arange(n) if train is None else np.asarray(train)
        self.held_out = np.asarray(held_out, dtype=int)
        self.unselected = np.zeros(n, dtype=bool) if unselected is None else unselected
        self.other_surveys = other_surveys

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, row):
        return np.array(self.images[row]), row

    def composites(self, rows):
        """(N, 3, grid, grid) float tensor in [0, 1] of some rows."""
        return as_composites(torch.from_numpy(np.array(self.images[rows])))

    def vote_tensors(self, rows=slice(None)):
        """Fractions and weights of some rows, a list of tensors each, as `vote_loss` takes them."""
        return vote_tensors(self.votes, rows)

    @property
    def voted(self):
        """(M,) int array: Rows with votes, to learn from or held out, in their order."""
        known = np.sort(np.concatenate([self.train, self.held_out]))
        return known[self.has_votes[known]]

    @property
    def fingerprint(self):
        """str: SHA-256 of identifiers, images and votes, by which a training set is known again."""
        digest = hashlib.sha256('\n'.join(self.ids).encode())
        for start in range(0, len(self), 1000):
            digest.update(np.ascontiguousarray(self.images[start:start + 1000]))
        for votes in self.votes.values():
            digest.update(np.ascontiguousarray(votes.fractions))
        return digest.hexdigest()


def as_composites(images):
    """
    Stored images as the networks take them.

    Parameters
    ----------
    images : (N, grid, grid, 3) uint8 tensor

    Returns
    -------
    composites : (N, 3, grid, grid) float tensor in [0, 1]
    """
    return images.permute(0, 3, 1, 2).float() / 255.0


def vote_tensors(votes, rows=slice(None)):
    """Fractions and weights of a dictionary of votes; see `GalaxySet.vote_tensors`."""
    return ([torch.from_numpy(v.fractions[rows]) for v in votes.values()],
            [torch.from_numpy(v.weight[rows]) for v in votes.values()])


def read_galaxies(config, cache, *, stacks=None):
    """
    Read the galaxies of a configuration: labels first, so that an error in them comes at once.

    The images are rendered once to 8-bit composites on the model's grid, in a
    memory-mapped file that later runs on the same source find again.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    cache : str or path
        Folder for that file.
    stacks : iterable of (list of str, `~galvae_affiliated.CutoutStack`), optional
        Identifiers and cutouts in place of ``config.data.source``.

    Returns
    -------
    galaxies : `~galvae_affiliated.training.GalaxySet`
        Galaxies that have no image (unreadable, or of unknown size) are not
        in ``train`` and ``held_out``; how many is logged.

    Raises
    ------
    ValueError
        If a column is missing, a split is empty, too many images cannot be
        read, or a guided model has no votes to be guided by.
    FileNotFoundError
        If a file that the configuration names is not there.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from galvae_affiliated import CutoutStack
    >>> from galvae_affiliated.training import TrainingConfig, read_galaxies
    >>> config = TrainingConfig.of_preset('beta-vae', grid=32)
    >>> stack = CutoutStack.from_composites(np.random.default_rng(0).random((40, 3, 32, 32)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     galaxies = read_galaxies(config, folder, stacks=[([f'J{i}' for i in range(40)], stack)])
    ...     len(galaxies)
    40
    """
    data = config.data
    tree = question_tree(data.questions)
    if config.is_guided and not tree:
        raise ValueError("a guided model needs votes, but data.questions is 'none'; name the "
                         "questions, or take the preset 'beta-vae'")
    _check_files({'teacher': data.teacher, 'initial': config.training.initial,
                  'distil_from': config.training.distil_from})
    source = open_source(config) if stacks is None else None
    path = data.labels or (data.source if isinstance(source, ParquetSet) else '')
    labels = read_labels(path, data.id_column if data.labels else 'id_str') if path else None
    columns = (data.class_column, data.split_column, data.random_sample_column)
    if labels is not None:
        _check_labels(labels, tree, config)
    elif config.is_guided or any(columns):
        raise ValueError('votes, classes and splits are columns of a table of labels, but '
                         'data.labels names none')
    ids, images, usable = rendered_images(source, stacks, config, Path(cache))
    if not len(ids):
        raise ValueError(f'there is no galaxy in {data.source or "the stacks"}')
    labels = pd.DataFrame(index=pd.Index(ids)) if labels is None else _match_labels(labels, ids)
    galaxies = _labelled_set(ids, images, usable, labels, tree, data)
    galaxies.other_surveys = read_other_surveys(config, cache)
    if config.is_guided and not galaxies.has_votes[galaxies.train].any():
        raise ValueError('a guided model needs votes, but no galaxy to learn from has any; take '
                         "the preset 'beta-vae'")
    return galaxies


def _check_files(paths):
    for name, path in paths.items():
        if path and not Path(path).is_file():
            raise FileNotFoundError(f'{path}: there is no such file ({name})')


def _check_labels(labels, tree, config):
    """Raise for what can be seen from the labels alone."""
    data = config.data
    votes = read_votes(labels, tree, data.suffix)
    for name in (data.class_column, data.split_column, data.random_sample_column):
        if name:
            label_column(labels, name)
    if config.is_guided and not rows_with_votes(votes, len(labels)).any():
        raise ValueError("a guided model needs votes, but no galaxy has any; take the preset "
                         "'beta-vae'")
    if data.split_column:
        splits = labels[data.split_column]
        for split in (data.train_split, data.validation_split):
            if split and not (splits == split).any():
                there = ', '.join(map(str, splits.dropna().unique()[:8]))
                raise ValueError(f'column {data.split_column!r} has no galaxy of split {split!r}; '
                                 f'it has {there}')


def _match_labels(labels, ids):
    """Rows of the labels in the order of the images; empty ones where there are none."""
    if not labels.index.isin(ids).any():
        raise ValueError(f'no identifier of the labels ({labels.index[0]!r}, ...) is one of the '
                         f'images ({str(ids[0])!r}, ...)')
    return labels.reindex(ids)


def _labelled_set(ids, images, usable, labels, tree, data):
    """`GalaxySet` of the images and the labels, both in the order of ``ids``."""
    votes = read_votes(labels, tree, data.suffix) if tree else {}
    has_votes = rows_with_votes(votes, len(ids))
    if data.teacher:
        predicted = read_labels(data.teacher, data.id_column).reindex(ids)
        votes = with_teacher(votes, read_votes(predicted, tree), tree, data.teacher_weight)
    classes, class_names = np.full(len(ids), -1), []
    if data.class_column:
        column = labels[data.class_column]
        class_names = sorted(map(str, column.dropna().unique()))
        for i, name in enumerate(class_names):
            classes[(column.astype(str) == name).to_numpy()] = i
    unselected = np.zeros(len(ids), dtype=bool)
    if data.random_sample_column:
        unselected = true_rows(labels, data.random_sample_column)
    train, held_out = _split_rows(ids, usable, labels, data)
    return GalaxySet(images, ids, votes=votes, has_votes=has_votes, classes=classes,
                     class_names=class_names, train=train, held_out=held_out,
                     unselected=unselected)


def _split_rows(ids, usable, labels, data):
    """Rows to learn from and rows held out."""
    learn = usable.copy()
    if data.split_column:
        learn &= (labels[data.split_column] == data.train_split).to_numpy()
    if data.split_column and data.validation_split:
        held_out = usable & (labels[data.split_column] == data.validation_split).to_numpy()
    else:
        held_out = learn & validation_rows(ids, data.validation_share)
    train, held_out = np.flatnonzero(learn & ~held_out), np.flatnonzero(held_out)
    if not len(train):
        raise ValueError(f'no galaxy is left to learn from: {usable.sum()} of {len(ids)} have an '
                         f'image, {len(held_out)} are held out')
    if not len(held_out):
        logger.warning('no galaxy is held out: the run cannot measure itself')
    return train, held_out


def validation_rows(ids, share):
    """
    Rows held out, by a hash of the identifier, so that no order or seed changes them.

    Parameters
    ----------
    ids : iterable of str
    share : float

    Returns
    -------
    held_out : (N,) bool array
    """
    # salted: the splits of published sets are hashes of the bare identifier too
    digest = [int(hashlib.sha256(f'validation {i}'.encode()).hexdigest()[:8], 16) / 2 ** 32
              for i in ids]
    return np.array(digest, dtype=float) < share
