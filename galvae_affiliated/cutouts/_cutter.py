# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Many cutouts of one field at once, and their flags."""

from functools import cache

import numpy as np

from galvae_affiliated.cutouts._resample import Resampler, from_sums, weighted_sums
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.images._windows import window_range

__all__ = ['Cutter', 'empty_flags']

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
    images : `~galvae_affiliated.images.field.FieldImages`
    grid : int
        Side of a cutout in its own pixels.
    field_of_view : float
        Side of a cutout in units of petroR90.
    """

    def __init__(self, images, grid, field_of_view):
        self.images, self.grid, self.field_of_view = images, grid, field_of_view

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
            `GalvaeFlags.NO_DATA` alone where a cutout holds nothing.
        """
        contents, step = Contents(len(x), self.grid, self.field_of_view), radius * (self.field_of_view / self.grid)
        for places in batches(step * self.grid):
            some = x[places], y[places], step[places]
            make = self.batch if self.grid * some[2].max() < MAX_SIDE else self.in_strips
            for i, (cutout, is_complete) in zip(places, make(*some, [out[row] for row in rows[places]])):
                contents.add(i, cutout, is_complete)
        return self.flags(contents, x, y, radius)

    def batch(self, x, y, step, cutouts):
        """Fill cutouts from windows of one shape, and yield each with whether all its pixels are known."""
        resampler = Resampler(x, y, step, self.grid)
        flux = self.images.windows(resampler.x_start, resampler.y_start, resampler.shape)
        observed = np.isfinite(flux)
        complete = observed.reshape(len(flux), -1).all(axis=1)
        for i, cutout in enumerate(cutouts):
            if complete[i]:
                resampler.product(i, flux[i], cutout)
            else:
                resampler(i, flux[i], observed[i], cutout)
            # to be looked at while it is in the cache
            yield cutout, complete[i]

    def in_strips(self, x, y, step, cutouts):
        """As `batch`, a strip of a window at a time, since a window may be the whole image."""
        ny, nx = self.images.shape
        for i, cutout in enumerate(cutouts):
            (left, right), (bottom, top) = window_range(x[i], step[i] * self.grid, nx), window_range(y[i], step[i] * self.grid, ny)
            n_rows, total, coverage = max(1, STRIP // (right - left)), np.float32(0.0), np.float32(0.0)
            for start in range(bottom, top, n_rows):
                flux = self.images.window((left, right), (start, min(start + n_rows, top)))
                sums = weighted_sums(flux, (x[i], y[i]), step[i], self.grid, (left, start))
                total, coverage = total + sums[0], coverage + sums[1]
            cutout[:] = from_sums(total, coverage)
            yield cutout, False

    def flags(self, contents, x, y, radius):
        """Flags of cutouts by what they hold and where they lie."""
        outside = self.share_outside(x, y, radius) > MAX_OUTSIDE
        light = (contents.total - self.images.residual * contents.count) / contents.n_inside
        with np.errstate(invalid='ignore', divide='ignore'):
            snr = light * np.sqrt(np.pi * radius ** 2)[:, None] / self.images.noise
        # what lies off the image is told by EDGE
        missing = (contents.n_missing > MAX_MISSING * contents.n_inside) & ~outside
        flags = np.full(len(x), GalvaeFlags.SCALE_ESTIMATED if self.images.scale_estimated else 0, dtype=np.int32)
        for rows, flag in ((radius < MIN_RADIUS, GalvaeFlags.SMALL), (outside, GalvaeFlags.EDGE),
                           (missing, GalvaeFlags.MISSING_PIXELS),
                           (~(snr >= MIN_SNR).any(axis=1), GalvaeFlags.FAINT)):
            flags[rows] |= flag
        flags[is_flat(contents.low, contents.high)] = GalvaeFlags.NO_DATA
        return flags

    def share_outside(self, x, y, radius):
        """(N,) float array: share of each cutout's inscribed circle that lies off the image."""
        (ny, nx), half = self.images.shape, 0.5 * self.field_of_view * radius
        share = np.zeros(len(x))
        far = np.minimum(np.minimum(x, nx - 1 - x), np.minimum(y, ny - 1 - y)) < half - 0.5
        step = (np.arange(self.grid) + 0.5) / self.grid * 2 - 1
        at_x, at_y = (centre[far, None] + half[far, None] * step for centre in (x, y))
        in_x, in_y = ((at > -0.5) & (at < n - 0.5) for at, n in ((at_x, nx), (at_y, ny)))
        inside = circle(self.grid, self.grid / 2)
        share[far] = 1.0 - ((in_y @ inside.reshape(self.grid, self.grid)) * in_x).sum(axis=1) / inside.sum()
        return share


class Contents:
    """
    What N cutouts hold.

    Parameters
    ----------
    n, grid, field_of_view : number
        See `Cutter`.

    Attributes
    ----------
    low, high : (N,) float arrays
        Limits of the values of each cutout, or of some of them that are not all equal; NaN where all are missing.
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
        inside = circle(grid, grid / field_of_view)
        places = np.flatnonzero(inside)
        self.n_inside, self.near = len(places), slice(places[0], places[-1] + 1)
        self.inside = inside[self.near]
        self.low, self.high = np.empty(n), np.empty(n)
        self.total, self.count = np.empty((n, 3)), np.full((n, 3), self.n_inside)
        self.n_missing = np.zeros(n, dtype=int)

    def add(self, i, cutout, is_complete):
        """Note what the ``i``-th cutout holds."""
        near = cutout.reshape(3, -1)[:, self.near]
        if is_complete:
            self.low[i], self.high[i] = np.minimum.reduce(near, axis=None), np.maximum.reduce(near, axis=None)
            self.total[i] = near @ self.inside
        else:
            known = ~np.isnan(near)
            self.total[i] = np.where(known, near, np.float32(0.0)) @ self.inside
            self.count[i], self.n_missing[i] = known @ self.inside, ~known.all(axis=0) @ self.inside
        # values that are not all equal among some are not among all
        if not is_complete or is_flat(self.low[i], self.high[i]):
            self.low[i], self.high[i] = np.fmin.reduce(cutout, axis=None), np.fmax.reduce(cutout, axis=None)


def batches(side):
    """Yield the places of sources whose windows are of like size; ``side`` is in pixels."""
    order = np.argsort(side, kind='stable')
    ordered, start = side[order] + MARGIN, 0
    while start < len(order):
        stop = min(start + BATCH, int(np.searchsorted(ordered, SPREAD * ordered[start], side='right')))
        stop = min(stop, start + max(1, int(BATCH_PIXELS / ordered[stop - 1] ** 2)))
        yield order[start:stop]
        start = stop


@cache
def circle(grid, radius):
    """(grid * grid,) float32 array: one for the pixels within ``radius`` of the middle."""
    x = np.arange(grid) - (grid - 1) / 2
    inside = (np.hypot(x[None], x[:, None]) <= radius).astype(np.float32).ravel()
    inside.setflags(write=False)
    return inside


def empty_flags(cutouts):
    """(N,) int array: NO_DATA where every pixel of a cutout is missing, or all are equal."""
    pixels = cutouts.reshape(len(cutouts), -1)
    if np.isinf(pixels.sum()):
        pixels = np.where(np.isfinite(pixels), pixels, np.float32(np.nan))
    low, high = (limit.reduce(pixels, axis=1) for limit in (np.fmin, np.fmax))
    return np.where(is_flat(low, high), GalvaeFlags.NO_DATA, 0)


def is_flat(low, high):
    """Whether values between such limits are all equal; resampling rounds, so equal to float32's precision is equal."""
    return ~(high - low > 1e-5 * np.maximum(np.abs(low), np.abs(high)))
