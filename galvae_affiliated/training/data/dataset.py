# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies to learn from: composites in a memory-mapped file, with their labels."""

import hashlib
import logging
import os
import tempfile
import types
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from galvae_affiliated.cutouts.sets import FitsFolder, ParquetSet
from galvae_affiliated.flags import UNMEASURED, GalvaeFlags
from galvae_affiliated.training.data.galaxy_zoo import TYPICAL, survey_renderings
from galvae_affiliated.training.data.labels import (
    label_column,
    question_tree,
    read_labels,
    read_votes,
    rows_with_votes,
    true_rows,
    with_teacher,
)
from galvae_affiliated.training.data.sampler import MixedSampler
from galvae_affiliated.training.networks.preprocess import Preprocess, Rendering

__all__ = ['GalaxySet', 'as_composites', 'model_frame', 'read_galaxies', 'validation_rows']

logger = logging.getLogger(__name__)
CHUNK = 256
NAMED = 5  # unreadable images that an error names


class GalaxySet(Dataset):
    """
    Composites and their labels.

    Attributes
    ----------
    images : (N, grid, grid, 3) uint8 array
        Red, green, blue; memory-mapped.
    ids : (N,) array of str
    votes : dict of str to `~galvae_affiliated.training.data.labels.Votes`
    has_votes : (N,) bool array
        A volunteer's vote is known; what a teacher tells is none.
    classes : (N,) int64 array
        Coarse class, -1 where there is none.
    class_names : list of str
    train, held_out : (M,) int arrays
        Rows to learn from and rows to measure on.
    unselected : (N,) bool array
        Galaxies that were not selected by their votes.
    """

    def __init__(self, images, ids, *, votes=None, has_votes=None, classes=None, class_names=(), train=None,
                 held_out=(), unselected=None):
        n = len(ids)
        self.images, self.ids, self.votes = images, np.asarray(ids), votes or {}
        self.has_votes = rows_with_votes(self.votes, n) if has_votes is None else has_votes
        self.classes = np.full(n, -1) if classes is None else classes
        self.class_names = list(class_names)
        self.train = np.arange(n) if train is None else np.asarray(train)
        self.held_out = np.asarray(held_out, dtype=int)
        self.unselected = np.zeros(n, dtype=bool) if unselected is None else unselected

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, row):
        return np.array(self.images[row]), row

    def composites(self, rows):
        """(N, 3, grid, grid) float tensor in [0, 1] of some rows."""
        return as_composites(torch.from_numpy(np.array(self.images[rows])))

    def vote_tensors(self, rows=slice(None)):
        """Fractions and weights of some rows, a list of tensors each, as the loss of votes takes them."""
        votes = self.votes.values()
        return [torch.from_numpy(v.fractions[rows]) for v in votes], [torch.from_numpy(v.weight[rows]) for v in votes]

    def batches(self, config, **options):
        """
        Batches of rows to learn from: a share with votes, unselected galaxies more often.

        Parameters
        ----------
        config : `~galvae_affiliated.training.TrainingConfig`
        **options
            As `~galvae_affiliated.training.data.sampler.MixedSampler` takes them.

        Returns
        -------
        sampler : `~galvae_affiliated.training.data.sampler.MixedSampler`
        """
        labelled, others = self.train[self.has_votes[self.train]], self.train[~self.has_votes[self.train]]
        more = labelled[self.unselected[labelled]]
        labelled = np.concatenate([labelled] + [more] * (config.random_sample_factor - 1))
        return MixedSampler(labelled, others, share=config.labelled_share, **options)

    @property
    def fingerprint(self):
        """str: SHA-256 of identifiers, images and votes, by which a model can tell what it was trained on."""
        digest = hashlib.sha256('\n'.join(self.ids).encode())
        for start in range(0, len(self), 1000):
            digest.update(np.ascontiguousarray(self.images[start:start + 1000]))
        for votes in self.votes.values():
            digest.update(np.ascontiguousarray(votes.fractions))
        return digest.hexdigest()


def as_composites(images):
    """(N, grid, grid, 3) uint8 -> (N, 3, grid, grid) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255.0


def model_frame(config):
    """
    The part of a manifest that says how images enter, in the shape of a `~galvae_affiliated.ModelBundle`.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`

    Returns
    -------
    frame : object
        ``name``, ``grid``, ``field_of_view``, ``renderings`` and ``manifest`` with ``input`` and ``renderings``.
    """
    manifest = {
        'input': {'grid': config.grid, 'field_of_view': config.field_of_view, 'radius': 'petroR90 in the r band',
                  'flux_unit': 'nmgy / arcsec2', 'channels': 'red to blue', 'typical': TYPICAL},
        'renderings': survey_renderings(config.exposure),
    }
    return types.SimpleNamespace(name='in training', grid=config.grid, field_of_view=config.field_of_view,
                                 renderings=manifest['renderings'], manifest=manifest)


def open_source(config):
    """The cutouts of ``config.source``, as ``galvae encode`` opens them."""
    path = Path(config.source)
    options = {'pixel_scale': config.pixel_scale, 'already_scaled': config.already_scaled, 'rendering': config.rendering or None}
    if not config.source:
        raise ValueError('there is no data.source; expected a Parquet file or a folder of FITS cutouts')
    if path.is_dir():
        return FitsFolder(path, model_frame(config), bands=config.bands or None, unit=config.unit or None,
                          zero_point=config.zero_point, **options)
    return ParquetSet(path, model_frame(config), **options)


def read_galaxies(config, cache, *, stacks=None):
    """
    Read the galaxies of a configuration: labels first, so that what is wrong with them is told at once.

    The images are rendered once to 8-bit composites on the model's grid, in a
    memory-mapped file that later runs on the same source find again.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    cache : str or path
        Folder for that file.
    stacks : iterable of (list of str, `~galvae_affiliated.CutoutStack`), optional
        Identifiers and cutouts in place of ``config.source``.

    Returns
    -------
    galaxies : `GalaxySet`
        Galaxies that have no image (unreadable, or of unknown size) are not
        in it; how many is logged.

    Raises
    ------
    ValueError
        If a column is missing, a split is empty, too many images cannot be
        read, or a guided model has no votes to be guided by.
    """
    tree = question_tree(config.questions)
    if config.is_guided and not tree:
        raise ValueError("a guided model needs votes, but data.questions is 'none'; name the questions, or take the "
                         "preset 'beta-vae'")
    for name in ('teacher', 'initial', 'distil_from'):
        path = getattr(config, name)
        if path and not Path(path).is_file():
            raise FileNotFoundError(f'{path}: there is no such file ({name})')
    source = open_source(config) if stacks is None else None
    labels_path = config.labels or (config.source if isinstance(source, ParquetSet) else '')
    labels = read_labels(labels_path, config.id_column if config.labels else 'id_str') if labels_path else None
    if labels is not None:
        check_labels(labels, tree, config)
    elif config.is_guided or config.class_column or config.split_column or config.random_sample_column:
        raise ValueError('votes, classes and splits are columns of a table of labels, but data.labels names none')
    ids, images, usable = decoded_images(source, stacks, config, Path(cache))
    if not len(ids):
        raise ValueError(f'there is no galaxy in {config.source or "the stacks"}')
    labels = pd.DataFrame(index=pd.Index(ids)) if labels is None else match_labels(labels, ids, config)
    return labelled_set(ids, images, usable, labels, tree, config)


def check_labels(labels, tree, config):
    """Raise for what can be told from the labels alone."""
    votes = read_votes(labels, tree, config.suffix)
    for name in (config.class_column, config.split_column, config.random_sample_column):
        if name:
            label_column(labels, name)
    if config.is_guided and not rows_with_votes(votes, len(labels)).any():
        raise ValueError("a guided model needs votes, but no galaxy has any; take the preset 'beta-vae'")
    if config.split_column:
        for split in (config.train_split, config.validation_split):
            if split and not (labels[config.split_column] == split).any():
                there = ', '.join(map(str, labels[config.split_column].dropna().unique()[:8]))
                raise ValueError(f'column {config.split_column!r} has no galaxy of split {split!r}; it has {there}')


def match_labels(labels, ids, config):
    """Rows of the labels in the order of the images; a galaxy without a row has empty labels."""
    if not labels.index.isin(ids).any():
        raise ValueError(f'no identifier of the labels ({labels.index[0]!r}, ...) is one of the images '
                         f'({str(ids[0])!r}, ...)')
    return labels.reindex(ids)


def labelled_set(ids, images, usable, labels, tree, config):
    """`GalaxySet` of the images and the labels, both in the order of ``ids``."""
    votes = read_votes(labels, tree, config.suffix) if tree else {}
    has_votes = rows_with_votes(votes, len(ids))
    if config.teacher:
        predicted = read_labels(config.teacher, config.id_column).reindex(ids)
        votes = with_teacher(votes, read_votes(predicted, tree), tree, config.teacher_weight)
    classes, class_names = np.full(len(ids), -1), []
    if config.class_column:
        class_names = sorted(map(str, labels[config.class_column].dropna().unique()))
        for i, name in enumerate(class_names):
            classes[(labels[config.class_column].astype(str) == name).to_numpy()] = i
    unselected = np.zeros(len(ids), dtype=bool)
    if config.random_sample_column:
        unselected = true_rows(labels, config.random_sample_column)
    train, held_out = split_rows(ids, usable, labels, config)
    if config.is_guided and not has_votes[train].any():
        raise ValueError("a guided model needs votes, but no galaxy to learn from has any; take the preset 'beta-vae'")
    return GalaxySet(images, ids, votes=votes, has_votes=has_votes, classes=classes, class_names=class_names,
                     train=train, held_out=held_out, unselected=unselected)


def split_rows(ids, usable, labels, config):
    """Rows to learn from and rows held out."""
    learn = usable.copy()
    if config.split_column:
        learn &= (labels[config.split_column] == config.train_split).to_numpy()
    if config.split_column and config.validation_split:
        held_out = usable & (labels[config.split_column] == config.validation_split).to_numpy()
    else:
        held_out = learn & validation_rows(ids, config.validation_share)
    train, held_out = np.flatnonzero(learn & ~held_out), np.flatnonzero(held_out)
    if not len(train):
        raise ValueError(f'no galaxy is left to learn from: {usable.sum()} of {len(ids)} have an image, '
                         f'{len(held_out)} are held out')
    if not len(held_out):
        logger.warning('no galaxy is held out: the run cannot measure itself')
    return train, held_out


def validation_rows(ids, share):
    """(N,) bool: rows held out, by a hash of the identifier, so that no order or seed changes them."""
    # salted: the splits of published sets are hashes of the bare identifier too
    digest = [int(hashlib.sha256(f'validation {i}'.encode()).hexdigest()[:8], 16) / 2 ** 32 for i in ids]
    return np.array(digest, dtype=float) < share


def decoded_images(source, stacks, config, cache):
    """Identifiers, (N, grid, grid, 3) uint8 memory map, and (N,) bool: the row has an image."""
    cache.mkdir(parents=True, exist_ok=True)
    key = source_key(config) if stacks is None else None
    if key is None or not (cache / f'{key}.npz').exists():
        key = render_all(source, stacks, config, cache, key)
    # an image is a row of the one file; the identifiers and flags, which are small, are in the other
    with np.load(cache / f'{key}.npz') as known:
        ids, flags = known['ids'], known['flags']
    return ids, np.load(cache / f'{key}.npy', mmap_mode='r'), usable_rows(ids, flags, config)


def source_key(config):
    """Name of the file of the rendered images; another source, date or option gives another."""
    path = Path(config.source)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stamps = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    options = (config.grid, config.bands, config.unit, config.zero_point, config.pixel_scale, config.already_scaled,
               config.rendering, config.field_of_view, config.exposure)
    return f'{path.stem}-{hashlib.sha256(repr((str(path.resolve()), stamps, options)).encode()).hexdigest()[:16]}'


def render_all(source, stacks, config, cache, key):
    """
    Render every cutout to its composite, chunk by chunk, into files of the cache; the key by which they are found.

    Without a key it is made of the content. What a killed run left unfinished is not taken for finished.
    """
    ids, flags, shape = [], [], (config.grid, config.grid, 3)
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        unfinished = Path(folder) / 'pixels'
        with open(unfinished, 'wb') as file:
            for names, stack in (source.chunks(CHUNK) if stacks is None else stacks):
                pixels = composites_of(stack, config)
                digest.update(pixels)
                file.write(pixels)
                ids += [str(name) for name in names]
                flags += stack.flags.tolist()
        digest.update('\n'.join(ids).encode())
        key = key or f'stacks-{digest.hexdigest()[:16]}'
        # the header says how many rows there are, which is known at the end
        images = np.memmap(unfinished, np.uint8, 'r', shape=(len(ids), *shape)) if ids else np.zeros((0, *shape), 'u1')
        np.save(Path(folder) / 'images.npy', images)
        np.savez(Path(folder) / 'rows.npz', ids=np.array(ids, dtype=str), flags=np.array(flags, dtype=np.int32))
        # the one that is looked for comes last
        for name, ending in (('images.npy', 'npy'), ('rows.npz', 'npz')):
            os.replace(Path(folder) / name, cache / f'{key}.{ending}')
    return key


def composites_of(stack, config):
    """Bytes of the (N, grid, grid, 3) uint8 composites of a `~galvae_affiliated.CutoutStack`."""
    if stack.data.shape[2] != config.grid:
        raise ValueError(f'cutouts have {stack.data.shape[2]} pixels a side; expected {config.grid}, the grid')
    renderings = model_frame(config).renderings
    index = {entry['name']: i for i, entry in enumerate(renderings)}
    composite = torch.from_numpy(np.ascontiguousarray(stack.data, dtype=np.float32))
    rows = torch.tensor([index[name] for name in stack.rendering], dtype=torch.long)
    if rows.any():  # the first rendering leaves composites as they are
        composite = Rendering(renderings)(composite, rows)
    composite = torch.where(torch.isnan(composite), Preprocess(config.grid).sky, composite.clamp(0.0, 1.0))
    return (255.0 * composite).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy().tobytes()


def usable_rows(ids, flags, config):
    """(N,) bool: rows with an image; raises if too many cannot be read, logs how many cannot be used."""
    unreadable = (flags & int(GalvaeFlags.UNREADABLE)) != 0
    names = ', '.join(ids[unreadable][:NAMED]) + (', ...' if unreadable.sum() > NAMED else '')
    if len(ids) and unreadable.mean() > config.max_unreadable:
        raise ValueError(f'{unreadable.sum()} of {len(ids)} images cannot be read, more than the share of '
                         f'{config.max_unreadable:g} that max_unreadable allows: {names}')
    usable = (flags & int(UNMEASURED)) == 0
    if unreadable.any():
        logger.warning('%d images cannot be read and are left out: %s', unreadable.sum(), names)
    others = ~usable & ~unreadable
    if others.any():
        logger.warning('%d images show no galaxy that could be brought to the scale of the model, and are left out',
                       others.sum())
    return usable
