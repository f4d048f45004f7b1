# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where cutouts come from: what fields with a catalogue and sets of ready ones share."""

import hashlib
from typing import Protocol

import numpy as np

__all__ = ['CutoutSource']


class CutoutSource(Protocol):
    """
    Cutouts in the order of their rows, made when they are asked for.

    `CutoutMaker`, `ParquetSet`, `FitsFolder` and `FrameSet` are such sources.
    """

    def __len__(self):
        """Number of rows."""

    def ids(self, rows):
        """
        Identifiers.

        Parameters
        ----------
        rows : slice

        Returns
        -------
        ids : list of str or None
            None if the rows are those of a catalogue, which has them.
        """

    def stacks(self, slices):
        """
        Cutouts of some rows after others.

        Parameters
        ----------
        slices : iterable of slice
            Of rows; fastest where they follow one another.

        Yields
        ------
        stack : `~galvae_affiliated.CutoutStack`
            Of each slice.
        """

    channels: str
    """Bands of the model's channels, see `~galvae_affiliated.CutoutStack`; '' if rows differ."""

    def fingerprint(self):
        """str : The same for the same cutouts; options of how they are read may not be in it."""


def fingerprint_of(*values):
    """Hash of texts, bytes, and anything that is an array of numbers."""
    result = hashlib.sha256()
    for value in values:
        if isinstance(value, str):
            value = value.encode()
        elif not isinstance(value, bytes):
            value = np.ascontiguousarray(value, dtype=float).tobytes()
        result.update(value)
    return result.hexdigest()[:16]
