# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Many cutouts of one field at once, and their flags."""

from functools import cache

import numpy as np

from galvae_affiliated.cutouts._resample import Resampler, from_sums
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.images._windows import overlaps

MIN_RADIUS = 3.0  # pixels; below, the image does not resolve a morphology
MIN_SNR = 10.0
MAX_MISSING = 0.02  # share of the pixels within petroR90 that may be missing without a flag
MAX_OUTSIDE = 0.02  # share of the circle of the cutout that may lie off the image without a flag
# at a time, so that what is read stays in the processor's cache
BATCH = 32  # sources
BATCH_PIXELS = 2 ** 17  # pixels of the windows of one band
MARGIN = 8.0  # pixels of a window beyond the square of the cutout
SPREAD = 1.25  # largest window of a batch over the smallest
MAX_SIDE = 1024  # pixels; a larger window is read in strips
STRIP = 2 ** 20  # pixels


class Cutter:
    """
    Cutouts of galaxies of known radius.

    Parameters
    ----------
    images : `~galvae_affiliated.images.FieldImages`
    frame : `~galvae_affiliated.cutouts.ModelFrame`
    """

    def __init__(self, images, frame):
        self.images = images
        self.grid = frame.grid
        self.field_of_view = frame.field_of_view

    def cut(self, x, y, radius, out, rows):
        """
        Make cutouts.

        Parameters
        ----------
        x, y, radius : (N,) float arrays
            In pixels of the image, on which the positions lie.
        out : (M, 3, grid, grid) float32 array
            Where to put them.
        rows : (N,) int array
            At which places.

        Returns
        -------
        flags : (N,) int array
            `GalvaeFlags.NO_DATA` alone where a cutout is empty.
        """
        contents = _Contents(len(x), self.grid, self.field_of_view)
        side = radius * self.field_of_view
        for places in _batches(side):
            make = self._windows if side[places].max() < MAX_SIDE else self._strips
            resampler = Resampler(x[places], y[places], side[places] / self.grid, self.grid)
            cutouts = [out[row] for row in rows[places]]
            for i, cutout, is_complete in zip(places, cutouts, make(resampler, cutouts)):
                contents.add(i, cutout, is_complete)
        return self._flags(contents, x, y, radius)

    def _windows(self, resampler, cutouts):
        """Fill cutouts from windows of one shape; yield whether all pixels of each are known."""
        flux = self.images.windows(resampler.x_start, resampler.y_start, resampler.shape)
        observed = np.isfinite(flux)
        complete = observed.reshape(len(flux), -1).all(axis=1)
        for i, cutout in enumerate(cutouts):
            if complete[i]:
                resampler.mean(i, flux[i], cutout)
            else:
                resampler.masked_mean(i, flux[i], observed[i], cutout)
            # to be looked at while it is in the cache
            yield complete[i]

    def _strips(self, resampler, cutouts):
        """As `_windows`, a strip of a window at a time, since a window may be the whole image."""
        height, width = resampler.shape
        for i, cutout in enumerate(cutouts):
            # the part of the window that is on the image
            [(_, rows)] = overlaps([resampler.y_start[i]], height, self.images.shape[0])
            [(_, columns)] = overlaps([resampler.x_start[i]], width, self.images.shape[1])
            n_rows = max(1, STRIP // (columns.stop - columns.start))
            total, coverage = np.zeros((2, *cutout.shape), dtype=np.float32)
            for start in range(rows.start, rows.stop, n_rows):
                y_range = start, min(start + n_rows, rows.stop)
                flux = self.images.window((columns.start, columns.stop), y_range)
                observed = np.isfinite(flux)
                flux[~observed] = 0.0
                for planes, sums in ((flux, total), (observed.astype(np.float32), coverage)):
                    resampler.add_part(i, planes, columns.start, start, sums)
            cutout[:] = from_sums(total, coverage)
            yield False

    def _flags(self, contents, x, y, radius):
        """Flags of cutouts by their pixels and where they lie."""
        outside = self._share_outside(x, y, radius, self.grid / 2) > MAX_OUTSIDE
        # what lies off the image is flagged by EDGE
        near_outside = self._share_outside(x, y, radius, self.grid / self.field_of_view)
        light = (contents.total - self.images.residual * contents.count) / contents.n_inside
        with np.errstate(invalid='ignore', divide='ignore'):
            snr = light * np.sqrt(np.pi * radius ** 2)[:, None] / self.images.noise
        missing = contents.n_missing > (MAX_MISSING + near_outside) * contents.n_inside
        flags = np.zeros(len(x), dtype=np.int32)
        if self.images.scale_estimated:
            flags |= GalvaeFlags.SCALE_ESTIMATED
        flags[radius < MIN_RADIUS] |= GalvaeFlags.SMALL
        flags[outside] |= GalvaeFlags.EDGE
        flags[missing] |= GalvaeFlags.MISSING_PIXELS
        flags[~(snr >= MIN_SNR).any(axis=1)] |= GalvaeFlags.FAINT
        flags[_is_flat(contents.low, contents.high)] = GalvaeFlags.NO_DATA
        return flags

    def _share_outside(self, x, y, radius, circle):
        """(N,) float array: share of a circle, of pixels of the cutout, that is off the image."""
        (ny, nx), half = self.images.shape, 0.5 * self.field_of_view * radius
        share = np.zeros(len(x))
        far = np.minimum(np.minimum(x, nx - 1 - x), np.minimum(y, ny - 1 - y)) < half - 0.5
        step = (np.arange(self.grid) + 0.5) / self.grid * 2 - 1
        at_x, at_y = (centre[far, None] + half[far, None] * step for centre in (x, y))
        in_x, in_y = ((at > -0.5) & (at < n - 0.5) for at, n in ((at_x, nx), (at_y, ny)))
        inside = _circle(self.grid, circle)
        on_image = ((in_y @ inside.reshape(self.grid, self.grid)) * in_x).sum(axis=1)
        share[far] = 1.0 - on_image / inside.sum()
        return share


class _Contents:
    """
    Light and missing pixels of N cutouts.

    Parameters
    ----------
    n, grid, field_of_view : number
        See `Cutter`.

    Attributes
    ----------
    low, high : (N,) float arrays
        Limits of the values of each cutout, or of some of them that are not all equal;
        NaN where all are missing.
    n_inside : int
        Pixels within petroR90.
    total : (N, 3) float array
        Sum of the values within petroR90.
    count : (N, 3) int array
        Pixels within it that are known.
    n_missing : (N,) int array
        Pixels within it that are missing in any band.
    """

    def __init__(self, n, grid, field_of_view):
        inside = _circle(grid, grid / field_of_view)
        places = np.flatnonzero(inside)
        self.n_inside = len(places)
        self.near = slice(places[0], places[-1] + 1)
        self.inside = inside[self.near]
        self.low, self.high = np.empty((2, n))
        self.total = np.empty((n, 3))
        self.count = np.full((n, 3), self.n_inside)
        self.n_missing = np.zeros(n, dtype=int)

    def add(self, i, cutout, is_complete):
        """Measure the ``i``-th cutout."""
        near = cutout.reshape(3, -1)[:, self.near]
        if is_complete:
            self.low[i] = np.minimum.reduce(near, axis=None)
            self.high[i] = np.maximum.reduce(near, axis=None)
            self.total[i] = near @ self.inside
        else:
            known = ~np.isnan(near)
            self.total[i] = np.where(known, near, np.float32(0.0)) @ self.inside
            self.count[i] = known @ self.inside
            self.n_missing[i] = ~known.all(axis=0) @ self.inside
        # values that are not all equal among some are not among all
        if not is_complete or _is_flat(self.low[i], self.high[i]):
            self.low[i] = np.fmin.reduce(cutout, axis=None)
            self.high[i] = np.fmax.reduce(cutout, axis=None)


def _batches(side):
    """Yield the places of sources whose windows are of like size; ``side`` is in pixels."""
    order = np.argsort(side, kind='stable')
    ordered, start = side[order] + MARGIN, 0
    while start < len(order):
        alike = np.searchsorted(ordered, SPREAD * ordered[start], side='right')
        stop = min(start + BATCH, int(alike))
        stop = min(stop, start + max(1, int(BATCH_PIXELS / ordered[stop - 1] ** 2)))
        yield order[start:stop]
        start = stop


@cache
def _circle(grid, radius):
    """(grid * grid,) float32 array: one for the pixels within ``radius`` of the middle."""
    x = np.arange(grid) - (grid - 1) / 2
    inside = (np.hypot(x[None], x[:, None]) <= radius).astype(np.float32).ravel()
    inside.setflags(write=False)
    return inside


def empty_flags(cutouts):
    """(N,) int array: NO_DATA where every pixel of a cutout is missing, or all are equal."""
    pixels = cutouts.reshape(len(cutouts), np.prod(cutouts.shape[1:], dtype=int))
    if np.isinf(pixels.sum()):
        pixels = np.where(np.isfinite(pixels), pixels, np.float32(np.nan))
    low, high = (limit.reduce(pixels, axis=1) for limit in (np.fmin, np.fmax))
    return np.where(_is_flat(low, high), GalvaeFlags.NO_DATA, 0)


def _is_flat(low, high):
    """Whether values between such limits are all equal, within what resampling rounds."""
    return ~(high - low > 1e-5 * np.maximum(np.abs(low), np.abs(high)))
