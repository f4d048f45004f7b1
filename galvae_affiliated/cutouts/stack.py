# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""N cutouts on one grid."""

from dataclasses import dataclass, field, replace

import numpy as np

from galvae_affiliated.cutouts._cutter import empty_flags
from galvae_affiliated.cutouts._grey import GREY, grey_rows
from galvae_affiliated.flags import UNMEASURED, GalvaeFlags

__all__ = ['CutoutStack']

LOWEST, HIGHEST = -0.5, 1.5  # of a composite in [0, 1] that was sharpened or resampled


@dataclass(frozen=True)
class CutoutStack:
    """
    Cutouts of N sources on the model's grid.

    Rows are taken as those of an array are; one row, and each that iteration yields, is a stack
    of one cutout. So scikit-learn splits stacks, as in ``cross_val_score(pipeline, stack, y)``.

    Attributes
    ----------
    data : (N, 3, grid, grid) float32 array
        Nanomaggies per square arcsecond or a composite in [0, 1], by
        ``rendering``; channels from red to blue; NaN where missing.
    rendering : (N,) array of str
        Name of the model's rendering by which each cutout enters.
    flags : (N,) int32 array
        Bits of `~galvae_affiliated.flags.GalvaeFlags`.
    radius : (N,) float array
        petroR90 in pixels of the image; NaN where not known.
    pixel_scale : (N,) float array
        Side of a pixel of the image in arcsec; NaN where not known.
    resolution : (N,) float array
        petroR90 over that of a point source in the image; NaN where not known.
    bands : (N,) array of str
        What the channels hold from red to blue, such as 'i,r,g', 'r,r,r', 'z,z+g,g' or
        'grey,grey,grey'; empty where three bands are not known by name.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import CutoutStack
    >>> stack = CutoutStack.from_composites(np.full((4, 3, 128, 128), 0.2, dtype='f4'))
    >>> len(stack), stack[:2].shape, stack.n_bands.tolist()
    (4, (2, 3, 128, 128), [3, 3, 3, 3])
    """

    data: np.ndarray
    rendering: np.ndarray
    flags: np.ndarray
    radius: np.ndarray = field(default=None)
    pixel_scale: np.ndarray = field(default=None)
    resolution: np.ndarray = field(default=None)
    bands: np.ndarray = field(default=None)

    def __post_init__(self):
        shape = np.shape(self.data)
        if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
            raise ValueError(f'cutouts have shape {shape}; expected (N, 3, grid, grid)')
        for name in ('radius', 'pixel_scale', 'resolution'):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(shape[0], np.nan))
        if self.bands is None:
            object.__setattr__(self, 'bands', np.full(shape[0], ''))
        for name in ('rendering', 'flags', 'radius', 'pixel_scale', 'resolution', 'bands'):
            if len(getattr(self, name)) != shape[0]:
                raise ValueError(f'{name} has {len(getattr(self, name))} values '
                                 f'for {shape[0]} cutouts')

    def __len__(self):
        return len(self.data)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, rows):
        if isinstance(rows, tuple) and len(rows) == 2 and rows[1] is Ellipsis:
            # as scikit-learn takes rows of whatever has a shape
            rows = rows[0]
        if isinstance(rows, (int, np.integer)):
            i = range(len(self))[rows]
            rows = slice(i, i + 1)
        return CutoutStack(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @property
    def shape(self):
        """tuple of int : (N, 3, grid, grid)."""
        return self.data.shape

    @property
    def measured(self):
        """(N,) bool array: rows that can be encoded."""
        return (self.flags & UNMEASURED) == 0

    @property
    def n_bands(self):
        """(N,) int array : Bands that the three channels are made of, at most three."""
        texts, place = np.unique(self.bands, return_inverse=True)
        numbers = [len({*text.replace('+', ',').split(',')}) if text else 3 for text in texts]
        return np.array(numbers, dtype=int)[place.ravel()]

    @classmethod
    def from_composites(cls, images, *, rendering='composite'):
        """
        Composites that are already at the model's scale and grid.

        Parameters
        ----------
        images : (N, 3, grid, grid) or (N, grid, grid, 3) array
            8-bit (of type uint8), or floats in [0, 1]; NaN where missing. Grey ones may be
            (N, 1, grid, grid), or (N, grid, grid) unless N is three, or have three equal channels:
            they get the flag FEW_BANDS.
        rendering : str, optional
            Name of the model's rendering of such composites.

        Returns
        -------
        stack : `CutoutStack`

        Raises
        ------
        ValueError
            If the numbers are others: integers of another type, or floats clearly outside
            [0, 1], such as flux or 8-bit values as floats.
        """
        images = np.asarray(images)
        _check_composites(images)
        if images.ndim == 3 and images.shape[1] == images.shape[2]:
            if len(images) == 3:
                raise ValueError(f'cutouts have shape {images.shape}, which may be one image in '
                                 'color, images[None], or three grey ones, images[:, None]')
            images = images[:, None]
        if images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[-1] in (1, 3):
            images = np.moveaxis(images, -1, 1)
        if images.ndim == 4 and images.shape[1] == 1:
            images = np.repeat(images, 3, axis=1)
        scale = 255.0 if images.dtype == np.uint8 else 1.0
        data = images.astype(np.float32) / np.float32(scale)
        stack = cls(data, np.full(len(data), rendering), np.zeros(len(data), dtype=np.int32))
        flags = empty_flags(data).astype(np.int32)
        is_grey = grey_rows(data) & (flags == 0)
        flags[is_grey] |= GalvaeFlags.FEW_BANDS
        return replace(stack, flags=flags, bands=np.where(is_grey, GREY, ''))


def _check_composites(images):
    """Refuse numbers that are no composites: the network would take them without a word."""
    if images.dtype.kind in 'iub' and images.dtype != np.uint8:
        raise ValueError(f'composites are of type {images.dtype}; expected uint8 with values from '
                         '0 to 255, or floats in [0, 1]')
    if images.dtype.kind != 'f' or not images.size:
        return
    low, high = (float(limit(images, initial=0.5, where=np.isfinite(images)))
                 for limit in (np.min, np.max))
    if low < LOWEST or high > HIGHEST:
        what = ('8-bit values as floats are divided by 255' if low >= 0 and high <= 255 else
                'make_cutouts makes cutouts of flux')
        raise ValueError(f'composites hold values from {low:.4g} to {high:.4g}; expected floats '
                         f'in [0, 1], or uint8 ({what})')


def unreadable_stack(n, grid):
    """`CutoutStack` of N rows whose images could not be read."""
    data = np.full((n, 3, grid, grid), np.nan, dtype=np.float32)
    flags = np.full(n, GalvaeFlags.UNREADABLE, dtype=np.int32)
    return CutoutStack(data, np.full(n, 'composite'), flags)


def join_stacks(stacks, grid):
    """`CutoutStack` of the rows of several, which may be none."""
    if not stacks:
        return unreadable_stack(0, grid)
    return CutoutStack(*(np.concatenate([getattr(stack, name) for stack in stacks])
                         for name in CutoutStack.__dataclass_fields__))
