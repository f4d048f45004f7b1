# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images and positions to cutouts of equal apparent size, a row a source."""

from dataclasses import dataclass, field, replace

import numpy as np

from galvae_affiliated._cutting import Cutter, empty_flags
from galvae_affiliated._petrosian import measure_radii
from galvae_affiliated.flags import UNMEASURED, GalvaeFlags

__all__ = ['CutoutMaker', 'CutoutStack']

MAX_RADIUS = 1.0  # diagonals of the image: a larger radius is an error of the catalogue


@dataclass(frozen=True)
class CutoutStack:
    """
    Cutouts of N sources on the model's grid.

    Attributes
    ----------
    data : (N, 3, grid, grid) float32 array
        Nanomaggies per square arcsecond or a composite in [0, 1], as
        ``rendering`` says; channels from red to blue; NaN where missing.
    rendering : (N,) array of str
        Name of the model's rendering by which each cutout enters.
    flags : (N,) int32 array
        Bits of `~galvae_affiliated.flags.GalvaeFlags`.
    radius : (N,) float array
        petroR90 in pixels of the image; NaN where not known.
    pixel_scale : (N,) float array
        Side of a pixel of the image in arcsec; NaN where not known.
    """

    data: np.ndarray
    rendering: np.ndarray
    flags: np.ndarray
    radius: np.ndarray = field(default=None)
    pixel_scale: np.ndarray = field(default=None)

    def __post_init__(self):
        shape = np.shape(self.data)
        if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
            raise ValueError(f'cutouts have shape {shape}; expected (N, 3, grid, grid)')
        for name in ('radius', 'pixel_scale'):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(shape[0], np.nan))
        for name in ('rendering', 'flags', 'radius', 'pixel_scale'):
            if len(getattr(self, name)) != shape[0]:
                raise ValueError(f'{name} has {len(getattr(self, name))} values for {shape[0]} cutouts')

    def __len__(self):
        return len(self.data)

    def __getitem__(self, rows):
        rows = slice(rows, rows + 1 or None) if isinstance(rows, (int, np.integer)) else rows
        return CutoutStack(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @property
    def measured(self):
        """(N,) bool array: rows that can be encoded."""
        return (self.flags & UNMEASURED) == 0

    @classmethod
    def from_composites(cls, images):
        """
        Composites that are already at the model's scale and grid.

        Parameters
        ----------
        images : (N, 3, grid, grid) or (N, grid, grid, 3) array
            8-bit, or floats in [0, 1]; NaN where missing.

        Returns
        -------
        stack : `CutoutStack`
        """
        images = np.asarray(images)
        if images.ndim == 4 and images.shape[1] != 3 and images.shape[-1] == 3:
            images = np.moveaxis(images, -1, 1)
        scale = 255.0 if images.dtype == np.uint8 else 1.0
        data = images.astype(np.float32) / np.float32(scale)
        stack = cls(data, np.full(len(data), 'composite'), np.zeros(len(data), dtype=np.int32))
        return replace(stack, flags=empty_flags(data).astype(np.int32))


class CutoutMaker:
    """
    Cutouts of any rows of a catalogue, so that many sources need little memory.

    Parameters
    ----------
    images : `~galvae_affiliated.images.FieldImages`
    positions : `~galvae_affiliated.positions.Positions`
    grid : int
        Side of a cutout in its own pixels.
    field_of_view : float
        Side of a cutout in units of petroR90.
    rendering : str
        Name of the rendering that the model has for these bands.
    labels : (ny, nx) int array, optional
        Which source a pixel belongs to; neighbours are left out of the
        measurement of a radius (not of the cutout).
    """

    def __init__(self, images, positions, *, grid, field_of_view, rendering, labels=None):
        self.images, self.grid, self.field_of_view, self.labels = images, grid, field_of_view, labels
        self.rendering = rendering
        self.cutter = Cutter(images, grid, field_of_view)
        self.x, self.y = positions.pixels(images.wcs)
        self.given = positions.radius_in_pixels(images.pixel_scale)

    def __len__(self):
        return len(self.x)

    def stack(self, rows=slice(None)):
        """
        Cutouts of some rows.

        Parameters
        ----------
        rows : slice, optional

        Returns
        -------
        stack : `CutoutStack`
        """
        x, y, given = self.x[rows], self.y[rows], self.given[rows]
        radius, flags = self.radii(x, y, given)
        data = np.empty((len(x), 3, self.grid, self.grid), dtype=np.float32)
        measured = (flags & UNMEASURED) == 0
        data[~measured] = np.nan
        kept = np.flatnonzero(measured)
        flags[kept] |= self.cutter.cut(x[kept], y[kept], radius[kept], data, kept)
        scale = self.images.pixel_scale or np.nan
        return CutoutStack(data, np.full(len(x), self.rendering), flags, radius, np.full(len(x), scale))

    def chunks(self, size):
        """Yield the cutouts of all rows, ``size`` at a time; one empty stack where there are none."""
        for start in range(0, max(len(self), 1), size):
            yield self.stack(slice(start, start + size))

    def radii(self, x, y, given):
        """
        Radii, given or measured.

        Parameters
        ----------
        x, y, given : (N,) float arrays
            In pixels; NaN where not known.

        Returns
        -------
        radius : (N,) float array
            petroR90 in pixels, NaN where it is not known.
        flags : (N,) int32 array
        """
        ny, nx = self.images.shape
        lost = np.isnan(x) | np.isnan(y)
        off = ~lost & ~((-0.5 <= x) & (x < nx - 0.5) & (-0.5 <= y) & (y < ny - 0.5))
        radius = np.where(lost | off, np.nan, given)
        sought = np.flatnonzero(np.isnan(radius) & ~lost & ~off)
        radius[sought] = measure_radii(self.images, x[sought], y[sought], self.labels)
        bad = ~((0 < given) & (given <= MAX_RADIUS * np.hypot(nx, ny))) & ~np.isnan(given) & ~lost & ~off
        flags = np.zeros(len(x), dtype=np.int32)
        for rows, flag in ((lost, GalvaeFlags.BAD_POSITION), (off, GalvaeFlags.OFF_IMAGE),
                           (sought[np.isnan(radius[sought])], GalvaeFlags.NO_RADIUS), (bad, GalvaeFlags.BAD_RADIUS)):
            flags[rows] = flag
        return radius, flags


def empty_flag(cutout):
    """NO_DATA where every pixel of one (3, grid, grid) cutout is missing, or all are equal."""
    return int(empty_flags(cutout[None])[0])
