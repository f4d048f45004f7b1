# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts rendered once to 8-bit composites, in memory-mapped files that later runs find again."""

import hashlib
import logging
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from galvae_affiliated._batches import row_slices
from galvae_affiliated.cutouts.frame import ModelFrame
from galvae_affiliated.cutouts.sets import open_cutout_set
from galvae_affiliated.flags import UNMEASURED, GalvaeFlags
from galvae_affiliated.training.data.galaxy_zoo import TYPICAL, survey_renderings
from galvae_affiliated.training.networks.preprocess import Preprocess, Rendering

__all__ = ['frame_entries', 'model_frame', 'open_source', 'rendered_images']

logger = logging.getLogger(__name__)
CHUNK = 256  # cutouts rendered at a time
MAX_NAMED = 5  # unreadable images in a message
# what changes the images; the model's grid does too
OPTIONS = ('bands', 'unit', 'zero_point', 'pixel_scale', 'already_scaled', 'rendering',
           'field_of_view', 'exposure')


def frame_entries(config):
    """
    The entries of a manifest that say how images enter.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`

    Returns
    -------
    entries : dict
        ``input`` and ``renderings``.
    """
    return {
        'input': {'grid': config.model.grid, 'field_of_view': config.data.field_of_view,
                  'radius': 'petroR90 in the r band', 'flux_unit': 'nmgy / arcsec2',
                  'channels': 'red to blue', 'typical': TYPICAL},
        'renderings': survey_renderings(config.data.exposure),
    }


def model_frame(config):
    """
    How images enter the model that is trained.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`

    Returns
    -------
    frame : `~galvae_affiliated.cutouts.frame.ModelFrame`
    """
    entries = frame_entries(config)
    return ModelFrame.from_manifest('in training', entries['input'], entries['renderings'])


def open_source(config):
    """
    The cutouts of ``config.data.source``, as ``galvae encode`` opens them.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`

    Returns
    -------
    source : `~galvae_affiliated.cutouts.source.CutoutSource`
    """
    data = config.data
    if not data.source:
        raise ValueError('there is no data.source; expected a Parquet file or a folder of FITS '
                         'cutouts')
    return open_cutout_set(
        data.source, model_frame(config), bands=data.bands or None, unit=data.unit or None,
        zero_point=data.zero_point, pixel_scale=data.pixel_scale,
        already_scaled=data.already_scaled, rendering=data.rendering or None)


def rendered_images(source, stacks, config, cache):
    """
    Composites of all cutouts, rendered if they are not in the cache.

    Parameters
    ----------
    source : `~galvae_affiliated.cutouts.source.CutoutSource` or None
    stacks : iterable of (list of str, `~galvae_affiliated.CutoutStack`) or None
        Identifiers and cutouts, in place of a source.
    config : `~galvae_affiliated.training.TrainingConfig`
    cache : path
        Folder for the files.

    Returns
    -------
    ids : (N,) array of str
    images : (N, grid, grid, 3) uint8 array
        Memory-mapped.
    usable : (N,) bool array
        The row has an image.

    Raises
    ------
    ValueError
        If more images than ``max_unreadable`` allows cannot be read.
    """
    cache.mkdir(parents=True, exist_ok=True)
    key = _source_key(source, config) if stacks is None else None
    if key is None or not (cache / f'{key}.npz').exists():
        key = _render_all(_pieces(source) if stacks is None else stacks, config, cache, key)
    # an image is a row of the one file; identifiers and flags, which are small, are in the other
    with np.load(cache / f'{key}.npz') as known:
        ids, flags = known['ids'], known['flags']
    images = np.load(cache / f'{key}.npy', mmap_mode='r')
    return ids, images, _usable_rows(ids, flags, config.data.max_unreadable)


def _pieces(source):
    """Identifiers and cutouts of a source, piece by piece."""
    slices = row_slices(len(source), CHUNK)
    for rows, stack in zip(slices, source.stacks(slices)):
        yield source.ids(rows), stack


def _source_key(source, config):
    """Name of the files; another source, date or option gives another."""
    options = [getattr(config.data, name) for name in OPTIONS]
    about = repr((source.fingerprint(), config.model.grid, options))
    return f'{Path(config.data.source).stem}-{hashlib.sha256(about.encode()).hexdigest()[:16]}'


def _render_all(pieces, config, cache, key):
    """
    Render every cutout to its composite into files of the cache; the key by which they are found.

    Without a key it is made of the content. What a killed run left unfinished is not taken for
    finished.
    """
    ids, flags = [], []
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        unfinished = Path(folder) / 'pixels'
        with open(unfinished, 'wb') as file:
            for names, stack in pieces:
                pixels = _composite_bytes(stack, config)
                digest.update(pixels)
                file.write(pixels)
                ids += [str(name) for name in names]
                flags += stack.flags.tolist()
        digest.update('\n'.join(ids).encode())
        key = key or f'stacks-{digest.hexdigest()[:16]}'
        # the header of an array says how many rows there are, which is known at the end
        shape = (len(ids), config.model.grid, config.model.grid, 3)
        images = np.memmap(unfinished, np.uint8, 'r', shape=shape) if ids else np.zeros(shape, 'u1')
        np.save(Path(folder) / 'images.npy', images)
        np.savez(Path(folder) / 'rows.npz', ids=np.array(ids, dtype=str),
                 flags=np.array(flags, dtype=np.int32))
        # the one that is looked for comes last
        for name, ending in (('images.npy', 'npy'), ('rows.npz', 'npz')):
            os.replace(Path(folder) / name, cache / f'{key}.{ending}')
    return key


def _composite_bytes(stack, config):
    """Bytes of the (N, grid, grid, 3) composites of a `~galvae_affiliated.CutoutStack`."""
    grid = config.model.grid
    if stack.data.shape[2] != grid:
        raise ValueError(f'cutouts have {stack.data.shape[2]} pixels a side; expected {grid}, '
                         'the grid')
    renderings = frame_entries(config)['renderings']
    index = {entry['name']: i for i, entry in enumerate(renderings)}
    composite = torch.from_numpy(np.ascontiguousarray(stack.data, dtype=np.float32))
    rows = torch.tensor([index[name] for name in stack.rendering], dtype=torch.long)
    if rows.any():  # the first rendering leaves composites as they are
        composite = Rendering(renderings)(composite, rows)
    composite = torch.where(torch.isnan(composite), Preprocess(grid).sky, composite.clamp(0.0, 1.0))
    pixels = (255.0 * composite).round().to(torch.uint8).permute(0, 2, 3, 1)
    return pixels.contiguous().numpy().tobytes()


def _usable_rows(ids, flags, max_unreadable):
    """(N,) bool: rows with an image; logs how many have none, raises if too many have not."""
    unreadable = (flags & int(GalvaeFlags.UNREADABLE)) != 0
    more = ', ...' if unreadable.sum() > MAX_NAMED else ''
    names = ', '.join(ids[unreadable][:MAX_NAMED]) + more
    if len(ids) and unreadable.mean() > max_unreadable:
        raise ValueError(f'{unreadable.sum()} of {len(ids)} images cannot be read, more than the '
                         f'share of {max_unreadable:g} that max_unreadable allows: {names}')
    usable = (flags & int(UNMEASURED)) == 0
    if unreadable.any():
        logger.warning('%d images cannot be read and are left out: %s', unreadable.sum(), names)
    others = ~usable & ~unreadable
    if others.any():
        logger.warning('%d images show no galaxy that could be brought to the scale of the model, '
                       'and are left out', others.sum())
    return usable
