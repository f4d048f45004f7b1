# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts in, columns out."""

from galvae_affiliated._batches import prefetched
from galvae_affiliated.models.encoder import Encoding


def encode_in_chunks(stacks, n_rows, encoder, reconstruction, progress=None):
    """
    Encode cutouts while the next ones are made; two stacks of them are in memory.

    Parameters
    ----------
    stacks : iterable of `~galvae_affiliated.CutoutStack`
        At least one, which may be empty.
    n_rows : int
        Rows of all stacks together, for ``progress``.
    encoder : `~galvae_affiliated.models.encoder.Encoder`
    reconstruction : bool
    progress : callable, optional
        See `encode_catalog`.

    Returns
    -------
    encoding : `~galvae_affiliated.models.encoder.Encoding`
    """
    parts, done = [], 0
    for stack in prefetched(stacks):
        parts.append(encoder.encode(stack, reconstruction=reconstruction))
        done += len(stack)
        if progress is not None:
            progress(done, n_rows)
    return Encoding.concatenate(parts)
