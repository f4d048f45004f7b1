# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Numbers and texts of many rows, as few characters within a page."""

import base64
import zlib
from dataclasses import dataclass, field

import numpy as np

__all__ = ['Block', 'category_block', 'number_block', 'pack_coordinates', 'pack_text']

KINDS = {8: np.uint8, 16: np.uint16, 32: np.uint32}
TAIL = 0.1  # per cent at either end that may be cut off where a few values are far away
FAR = 3.0  # in units of the range without the tails
MAX_LABELS = 250  # of a column of texts that can be told by colour; codes are bytes


@dataclass(frozen=True)
class Block:
    """
    Values of all points.

    Attributes
    ----------
    content : str
        Base64 of what zlib makes of the values, little-endian.
    about : dict
        What the page has to know to undo it.
    """

    content: str
    about: dict = field(default_factory=dict)


def compress(values):
    """Base64 of the compressed bytes of an array, or of bytes."""
    if isinstance(values, np.ndarray):
        values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder('<')).tobytes()
    return base64.b64encode(zlib.compress(values, 9)).decode('ascii')


def number_block(values, bits=16):
    """
    Numbers in equal steps over their range.

    Parameters
    ----------
    values : (N,) float array
        Not finite where missing.
    bits : {8, 16, 32}, optional

    Returns
    -------
    block : `Block` or None
        None if there is no number. The highest code stands for a missing value; the codes
        before and the lowest one hold what is beyond, where ``cut`` says so.

    Examples
    --------
    >>> from galvae_affiliated.pages._encoding import number_block
    >>> import numpy as np
    >>> number_block(np.array([0.0, 1.0, np.nan]), 8).about
    {'kind': 'number', 'bits': 8, 'low': 0.0, 'high': 1.0, 'cut': False}
    """
    values = np.asarray(values, dtype=float)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    low, high = float(finite.min()), float(finite.max())
    inner = np.percentile(finite, [TAIL, 100.0 - TAIL]).astype(float)
    width = inner[1] - inner[0]
    is_cut = bits < 32 and width > 0 and high - low > FAR * width
    if is_cut:
        low, high = float(inner[0]), float(inner[1])
    missing = 2**bits - 1
    scale = (missing - 1) / (high - low) if high > low else 0.0
    steps = np.clip(np.rint((np.nan_to_num(values, posinf=high, neginf=low) - low) * scale), 0,
                    missing - 1)
    codes = np.where(np.isfinite(values), steps, missing).astype(KINDS[bits])
    about = {'kind': 'number', 'bits': bits, 'low': low, 'high': high, 'cut': bool(is_cut)}
    return Block(compress(codes), about)


def category_block(texts):
    """
    Texts of which there are few.

    Parameters
    ----------
    texts : (N,) array of str
        Empty where missing.

    Returns
    -------
    block : `Block` or None
        None if there are more than 250, or none; the labels are those in ``about``, the most
        frequent first.
    """
    labels, codes, counts = np.unique(texts, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind='stable')
    order = order[labels[order] != '']
    if not 0 < len(order) <= MAX_LABELS:
        return None
    rank = np.full(len(labels), 255, dtype=np.uint8)
    rank[order] = np.arange(len(order))
    return Block(compress(rank[codes.ravel()]),
                 {'kind': 'category', 'bits': 8, 'labels': labels[order].tolist()})


def pack_text(texts):
    """`Block` of texts of any number, a line each."""
    lines = [' '.join(str(text).split()) for text in texts]
    return Block(compress('\n'.join(lines).encode()), {'kind': 'text'})


def pack_coordinates(values, clean, share=0.995, limit=4.0):
    """
    Coordinates in which points are compared, one byte each.

    Parameters
    ----------
    values : (N, D) array
        Distances between them count. Rows that are not finite become zeros.
    clean : (M, D) array
        Points by which the directions are chosen that vary most.
    share : float, optional
        Of the variance that the chosen directions have.
    limit : float, optional
        Standard deviations beyond which coordinates are cut.

    Returns
    -------
    block : `Block`
        Of (N, width) bytes.
    """
    clean = np.asarray(clean, dtype=float)
    mean = clean.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.cov((clean - mean).T))
    variances, vectors = np.maximum(variances[::-1], 1e-12), vectors[:, ::-1]
    width = 1 + int(np.searchsorted(np.cumsum(variances) / variances.sum(), share))
    width = min(width, len(variances))
    scale = np.sqrt(variances[:width])
    places = np.nan_to_num((values - mean) @ vectors[:, :width] / scale)
    steps = np.clip(np.rint((places / limit + 1.0) * 127.5), 0, 255).astype(np.uint8)
    return Block(compress(steps), {'kind': 'latents', 'width': width, 'limit': limit,
                                   'scale': [float(f'{one:.5g}') for one in scale]})
