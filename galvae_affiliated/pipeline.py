# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts in, columns out: the one way that all doors take."""

import difflib
from contextlib import nullcontext
from dataclasses import fields, replace
from itertools import islice

from galvae_affiliated._batches import prefetched, row_slices, stack_rows
from galvae_affiliated._progress import progress_callback
from galvae_affiliated.models.encoder import Encoder, Encoding
from galvae_affiliated.models.engine import Engine
from galvae_affiliated.tables.outputs import Outputs

__all__ = ['encode', 'known_channels']

FIRST = 8  # cutouts that are looked at


def encode(source, model, outputs, engine, *, progress=None):
    """
    Encode cutouts.

    Parameters
    ----------
    source : `~galvae_affiliated.cutouts.CutoutSource`
        Of N cutouts.
    model : `~galvae_affiliated.ModelBundle`
    outputs : `~galvae_affiliated.Outputs`
    engine : `~galvae_affiliated.Engine`
    progress : bool or callable, optional
        See `~galvae_affiliated.encode_catalog`.

    Returns
    -------
    columns : list of `~astropy.table.MaskedColumn`
        Of N rows.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated import Engine, Outputs, get_model
    >>> from galvae_affiliated.cutouts import open_cutouts
    >>> from galvae_affiliated.pipeline import encode
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> catalog = Table({'x': [70.0], 'y': [90.0], 'petro_r90': [15.5]})
    >>> model = get_model()
    >>> source, table = open_cutouts(images, catalog, model.frame, unit='nmgy', pixel_scale=0.262)
    >>> table.add_columns(encode(source, model, Outputs(morphology=False), Engine()))
    >>> table['galvae_latent'].shape
    (1, 40)
    """
    everything = slice(0, len(source))
    encoding, = encode_chunks(source, [everything], model, outputs, engine, progress=progress)
    return outputs.columns(encoding, model, engine)


def encode_chunks(source, chunks, model, outputs, engine, *, progress=None):
    """
    Encode chunk by chunk, while the next cutouts are made; two stacks of them are in memory.

    Parameters
    ----------
    source, model, outputs, engine, progress : object
        See `encode`.
    chunks : list of slice
        In the order of their rows.

    Yields
    ------
    encoding : `~galvae_affiliated.models.Encoding`
        Of the rows of each chunk.
    """
    report, channels = progress_callback(progress), known_channels(source)
    encoder = Encoder(model, engine)
    size = stack_rows(engine.batch_size)
    pieces = [row_slices(rows.stop, size, rows.start) for rows in chunks]
    stacks = source.stacks([rows for piece in pieces for rows in piece])
    with _thread_limit(engine):
        # one thread of everything is not two
        made = iter(stacks) if engine.n_threads == 1 else prefetched(stacks)
        for piece in pieces:
            parts = []
            for rows, stack in zip(piece, islice(made, len(piece))):
                parts.append(encoder.encode(stack, reconstruction=outputs.reconstruction))
                report(rows.stop, len(source))
            encoding = Encoding.concatenate(parts)
            yield replace(encoding, channels=channels)


def known_channels(source):
    """
    What the channels of the cutouts hold, as far as the source or its first cutouts say.

    A stream writes the metadata of its columns before it has seen the last rows, and has to write
    what a table that is made at once has.

    Parameters
    ----------
    source : `~galvae_affiliated.cutouts.CutoutSource`

    Returns
    -------
    channels : tuple of str
        In all ways that there are among them, see ``bands`` of `~galvae_affiliated.CutoutStack`.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.cutouts import open_cutouts
    >>> from galvae_affiliated.pipeline import known_channels
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> catalog = Table({'x': [70.0], 'y': [90.0], 'petro_r90': [15.5]})
    >>> source, _ = open_cutouts(images, catalog, get_model().frame, unit='nmgy', pixel_scale=0.262)
    >>> known_channels(source)
    ('z,r,g',)
    """
    if source.channels or not len(source):
        return (source.channels,)
    stack = next(iter(source.stacks([slice(0, min(FIRST, len(source)))])))
    return tuple(sorted({str(bands) for bands in stack.bands[stack.measured]}))


def _thread_limit(engine):
    """While it lasts, libraries such as BLAS have no more threads than were asked for."""
    if engine.n_threads is None:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(engine.n_threads)


def resolve_options(options, outputs=None, engine=None):
    """
    `Outputs` and `Engine` of the keywords of a door, or the objects that it was given.

    Parameters
    ----------
    options : dict
        Keywords of either class.
    outputs : `~galvae_affiliated.Outputs`, optional
    engine : `~galvae_affiliated.Engine`, optional

    Returns
    -------
    outputs : `~galvae_affiliated.Outputs`
    engine : `~galvae_affiliated.Engine`

    Raises
    ------
    TypeError
        For a keyword that neither has.
    ValueError
        For a keyword beside the object that says the same.
    """
    names = {kind: {field.name for field in fields(kind)} for kind in (Outputs, Engine)}
    known = sorted(names[Outputs] | names[Engine])
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f'did you mean {near[0]!r}?' if near else f'there are {", ".join(known)}'
            raise TypeError(f'there is no option {name!r}; {hint}')
    made = []
    for kind, given, word in ((Outputs, outputs, 'outputs'), (Engine, engine, 'engine')):
        own = {name: value for name, value in options.items() if name in names[kind]}
        if given is not None and own:
            raise ValueError(f'{word} was given, and {", ".join(own)} besides; give one of them')
        made.append(kind(**own) if given is None else given)
    return tuple(made)
