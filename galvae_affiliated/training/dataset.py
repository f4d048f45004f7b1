# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxy Zoo Parquet sets as arrays of composites, vote fractions and weights."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from torch.utils.data import Dataset, Sampler

__all__ = ['GalaxySet', 'MixedSampler', 'Votes', 'read_galaxy_set', 'validation_rows']

SUFFIX = '-gz2'


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
    """

    fractions: np.ndarray
    weight: np.ndarray


class GalaxySet(Dataset):
    """
    Composites of a Parquet set, decoded once into a memory-mapped file.

    Attributes
    ----------
    images : (N, grid, grid, 3) uint8 array
        Red, green, blue.
    ids : (N,) array of str
    votes : dict of str to `Votes`
    classes : (N,) int64 array
        Coarse class, -1 where there is none.
    class_names : list of str
    """

    def __init__(self, images, ids, votes, classes, class_names):
        self.images, self.ids, self.votes = images, ids, votes
        self.classes, self.class_names = classes, class_names

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, row):
        return np.array(self.images[row]), row

    @property
    def has_votes(self):
        """(N,) bool: any question was answered."""
        return np.any([v.weight > 0 for v in self.votes.values()], axis=0)


def read_galaxy_set(path, questions, *, cache, grid=128, class_column=None, split=None):
    """
    Read a set laid out as Galaxy Zoo's: ``id_str``, ``image``, and label columns.

    Parameters
    ----------
    path : str or path
        A Parquet file.
    questions : dict of str to list of str
        The answers of every question.
    cache : str or path
        Folder for the decoded images; they are decoded again when the file's
        size or date changes.
    grid : int
        Side of the images in pixels.
    class_column : str, optional
        A column of coarse class names.
    split : str, optional
        Keep the rows whose ``split`` column has this value.

    Returns
    -------
    set : `GalaxySet`
    """
    columns = [c for c in pq.read_schema(path).names if c != 'image']
    labels = pq.read_table(path, columns=columns).to_pandas()
    rows = np.flatnonzero(labels['split'] == split) if split else np.arange(len(labels))
    images = decoded_images(Path(path), rows, Path(cache), grid, split)
    labels = labels.iloc[rows]
    class_names = sorted(labels[class_column].dropna().unique()) if class_column else []
    classes = np.full(len(rows), -1)
    for i, name in enumerate(class_names):
        classes[labels[class_column] == name] = i
    votes = {q: read_votes(labels, q, answers) for q, answers in questions.items()}
    return GalaxySet(images, labels['id_str'].astype(str).to_numpy(), votes, classes, class_names)


def decoded_images(path, rows, cache, grid, split):
    """(N, grid, grid, 3) uint8 memory map of the images at ``rows``."""
    stat = path.stat()
    key = hashlib.sha256(f'{path.resolve()}{stat.st_size}{stat.st_mtime}{grid}{split}'.encode()).hexdigest()[:16]
    target = cache / f'{path.stem}-{key}.npy'
    if target.exists():
        return np.load(target, mmap_mode='r')
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix('.part')
    images = np.lib.format.open_memmap(unfinished, 'w+', np.uint8, (len(rows), grid, grid, 3))
    wanted, start, done = set(rows.tolist()), 0, 0
    for batch in pq.ParquetFile(path).iter_batches(1000, columns=['image']):
        for i, value in enumerate(batch.column('image').field('bytes')):
            if start + i in wanted:
                image = Image.open(io.BytesIO(value.as_py())).convert('RGB')
                images[done] = image if image.size == (grid, grid) else image.resize((grid, grid), Image.Resampling.BOX)
                done += 1
        start += len(batch)
    images.flush()
    unfinished.rename(target)
    return np.load(target, mmap_mode='r')


def read_votes(labels, question, answers):
    """`Votes` of one question; 'merging' is derived as Galaxy Zoo's users do, see `merger_votes`."""
    if question == 'merging':
        return merger_votes(labels)
    name = question + SUFFIX
    fractions = labels[[f'{name}_{a}_fraction' for a in answers]].to_numpy(np.float32)
    weight = labels[f'{name}_reach'].to_numpy(np.float32)
    known = np.isfinite(fractions).all(1) & (weight > 0)
    return Votes(np.where(known[:, None], fractions, 0.0), np.where(known, weight, 0.0))


def merger_votes(labels):
    """A galaxy merges if most saw something odd and of the odd features 'merger' has most votes."""
    prefix = f'odd-feature{SUFFIX}_'
    odd = [c for c in labels if c.startswith(prefix) and c.endswith('_fraction')]
    odd_yes = labels[f'something-odd{SUFFIX}_yes_fraction'].to_numpy()
    features = labels[odd].fillna(0.0).to_numpy()
    is_odd = odd_yes >= 0.5
    merging = is_odd & (features.argmax(1) == odd.index(f'{prefix}merger_fraction'))
    known = np.isfinite(odd_yes) & (~is_odd | (features.sum(1) > 0))
    fractions = np.stack([merging, ~merging], 1).astype(np.float32)
    return Votes(fractions * known[:, None], known.astype(np.float32))


def validation_rows(ids, share):
    """(N,) bool: rows held out, by a hash of the identifier, so that no order or seed changes them."""
    # salted: the splits of published sets are hashes of the bare identifier too
    digest = [int(hashlib.sha256(f'validation {i}'.encode()).hexdigest()[:8], 16) / 2 ** 32 for i in ids]
    return np.array(digest) < share


class MixedSampler(Sampler):
    """
    Endless batches, of which a fixed share has votes; a batch depends on its number alone.

    Parameters
    ----------
    labelled, unlabelled : (N,) int arrays
        Rows to draw from; each pool is walked through in a new order a round.
    batch_size : int
    share : float
        Of the batch that is drawn from ``labelled``.
    steps : int
        Number of batches.
    seed : int
    start : int
        Number of the first batch, when a run is resumed.
    """

    def __init__(self, labelled, unlabelled, *, batch_size, share, steps, seed, start=0):
        n_labelled = round(batch_size * share) if len(unlabelled) else batch_size
        n_labelled = n_labelled if len(labelled) else 0
        self.pools = [(labelled, n_labelled), (unlabelled, batch_size - n_labelled)]
        self.steps, self.seed, self.start = steps, seed, start

    def __len__(self):
        return self.steps - self.start

    def __iter__(self):
        for step in range(self.start, self.steps):
            yield np.concatenate([self.draw(*pool, step, i) for i, pool in enumerate(self.pools)]).tolist()

    def draw(self, rows, size, step, pool):
        """The ``size`` rows of one step, from an endless row of shuffled rounds."""
        place = np.arange(step * size, (step + 1) * size)
        if not size:
            return place
        rounds = place // len(rows)
        order = {r: np.random.default_rng((self.seed, pool, r)).permutation(rows) for r in np.unique(rounds)}
        return np.array([order[r][p % len(rows)] for r, p in zip(rounds, place)])
