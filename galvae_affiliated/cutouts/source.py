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

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.cutouts import open_cutouts
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> catalog = Table({'x': [70.0], 'y': [90.0], 'petro_r90': [15.5]})
    >>> source, _ = open_cutouts(images, catalog, get_model().frame, unit='nmgy', pixel_scale=0.262)
    >>> [len(stack) for stack in source.stacks([slice(0, 1)])]
    [1]
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
