# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images and positions to cutouts of equal apparent size, a row a source."""

from dataclasses import dataclass, field, replace

import numpy as np

from galvae_affiliated._petrosian import petrosian_r90
from galvae_affiliated._resample import resample, window
from galvae_affiliated.flags import UNMEASURED, GalvaeFlags

__all__ = ['CutoutMaker', 'CutoutStack']

MIN_RADIUS = 3.0  # pixels; below, the image does not resolve a morphology
MIN_SNR = 10.0
MAX_MISSING = 0.02  # share of the pixels within petroR90 that may be missing without a flag
MAX_OUTSIDE = 0.02  # share of the circle of the cutout that may lie off the image without a flag
MAX_RADIUS = 1.0  # diagonals of the image: a larger radius is an error of the catalogue
SEARCH = 12.0  # pixels; first guess of the radius of the window in which a radius is measured


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
        return replace(stack, flags=np.array([empty_flag(cutout) for cutout in data], dtype=np.int32).reshape(-1))


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
        index = range(len(self))[rows]
        data = np.full((len(index), 3, self.grid, self.grid), np.nan, dtype=np.float32)
        flags, radius = np.zeros(len(index), dtype=np.int32), np.full(len(index), np.nan)
        for i, row in enumerate(index):
            radius[i], flags[i] = self.radius(self.x[row], self.y[row], self.given[row])
            if not flags[i] & UNMEASURED:
                data[i], more = self.cutout(self.x[row], self.y[row], radius[i])
                flags[i] |= more
        scale = self.images.pixel_scale or np.nan
        return CutoutStack(data, np.full(len(index), self.rendering), flags, radius, np.full(len(index), scale))

    def chunks(self, size):
        """Yield the cutouts of all rows, ``size`` at a time; one empty stack where there are none."""
        for start in range(0, max(len(self), 1), size):
            yield self.stack(slice(start, start + size))

    def radius(self, x, y, given):
        """petroR90 in pixels, given or measured, and flags."""
        ny, nx = self.images.shape
        if np.isnan(x) or np.isnan(y):
            return np.nan, GalvaeFlags.BAD_POSITION
        if not (-0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5):
            return np.nan, GalvaeFlags.OFF_IMAGE
        if np.isnan(given):
            measured = self.measure_radius(x, y)
            return measured, (GalvaeFlags.NO_RADIUS if np.isnan(measured) else 0)
        if not 0 < given <= MAX_RADIUS * np.hypot(nx, ny):
            return given, GalvaeFlags.BAD_RADIUS
        return given, 0

    def measure_radius(self, x, y):
        """petroR90 in a window that grows until the profile falls within it."""
        half, largest = SEARCH, max(self.images.shape)
        while True:
            image, origin = self.luminance(x, y, half)
            r90 = petrosian_r90(image, x - origin[0], y - origin[1])
            # the Petrosian flux reaches about 2.5 times as far as its R90
            if (r90 * 2.5 < half and np.isfinite(r90)) or half > largest:
                return r90
            half *= 2.0

    def luminance(self, x, y, half):
        """Middle band around a point, the others where that is missing; neighbours and missing pixels are NaN."""
        ny, nx = self.images.shape
        x_range, y_range = window(x, 2 * half, nx), window(y, 2 * half, ny)
        image = self.images.window(x_range, y_range, [1])[0] - self.images.residual[1]
        if not np.isfinite(image).any():
            red, blue = self.images.window(x_range, y_range, [0, 2]) - self.images.residual[[0, 2], None, None]
            image = np.where(np.isfinite(red), red, blue)
        if self.labels is not None:
            part = self.labels[slice(*y_range), slice(*x_range)]
            own = self.labels[int(round(y)), int(round(x))]
            image = np.where((part != 0) & (part != own), np.nan, image)
        return image, (x_range[0], y_range[0])

    def cutout(self, x, y, radius):
        """(3, grid, grid) cutout of a galaxy of this radius in pixels, and its flags."""
        ny, nx = self.images.shape
        side = self.field_of_view * radius
        x_range, y_range = window(x, side, nx), window(y, side, ny)
        flux = self.images.window(x_range, y_range)
        cutout = resample(flux, (x, y), side / self.grid, self.grid, (x_range[0], y_range[0]))
        flags = empty_flag(cutout) or self.quality(cutout, x, y, radius)
        return cutout, flags

    def quality(self, cutout, x, y, radius):
        """Flags of a cutout that holds something."""
        flags = GalvaeFlags.SCALE_ESTIMATED if self.images.scale_estimated else 0
        flags |= GalvaeFlags.SMALL if radius < MIN_RADIUS else 0
        flags |= GalvaeFlags.EDGE if self.share_outside(x, y, radius) > MAX_OUTSIDE else 0
        inside = circle(self.grid, self.grid / self.field_of_view)
        # what lies off the image is told by EDGE
        missing = np.isnan(cutout).any(axis=0) & inside
        if missing.sum() > MAX_MISSING * inside.sum() and not flags & GalvaeFlags.EDGE:
            flags |= GalvaeFlags.MISSING_PIXELS
        n_pixels = np.pi * radius ** 2
        with np.errstate(invalid='ignore', divide='ignore'):
            light = np.nan_to_num(cutout - self.images.residual[:, None, None])[:, inside].mean(axis=1)
            snr = light * np.sqrt(n_pixels) / self.images.noise
        flags |= 0 if (snr >= MIN_SNR).any() else GalvaeFlags.FAINT
        return int(flags)

    def share_outside(self, x, y, radius):
        """Share of the cutout's inscribed circle that lies off the image."""
        ny, nx = self.images.shape
        half = 0.5 * self.field_of_view * radius
        step = (np.arange(self.grid) + 0.5) / self.grid * 2 - 1
        in_x = (x + half * step > -0.5) & (x + half * step < nx - 0.5)
        in_y = (y + half * step > -0.5) & (y + half * step < ny - 0.5)
        inside = circle(self.grid, self.grid / 2)
        return 1.0 - (in_y[:, None] & in_x[None, :])[inside].mean()


def circle(grid, radius):
    """(grid, grid) bool array: pixels within ``radius`` of the middle."""
    x = np.arange(grid) - (grid - 1) / 2
    return np.hypot(x[None], x[:, None]) <= radius


def empty_flag(cutout):
    """NO_DATA where every pixel is missing, or all are equal."""
    known = cutout[np.isfinite(cutout)]
    # resampling rounds: equal to float32's precision is equal
    flat = known.size == 0 or np.ptp(known) <= 1e-5 * np.abs(known).max()
    return int(GalvaeFlags.NO_DATA) if flat else 0
