# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts made one at a time, step by step: what those made many at a time have to equal."""

import numpy as np

from galvae_affiliated.cutouts.resolution import MIN_PIXELS
from galvae_affiliated.flags import UNMEASURED, GalvaeFlags
from galvae_affiliated.images._windows import window_ranges


def stack(maker):
    """Cutouts, flags and radii of all sources of a `CutoutMaker`."""
    rows = [source(maker, *row) for row in zip(maker.x, maker.y, maker.given)]
    data, flags, radii = zip(*rows)
    return np.array(data), np.array(flags), np.array(radii)


def source(maker, x, y, given):
    """Cutout, flags and radius of one source."""
    images, grid = maker.images, maker.frame.grid
    radius, flags = radius_of(images, maker.labels, x, y, given)
    cutout = np.full((3, grid, grid), np.nan, dtype=np.float32)
    if not flags & UNMEASURED:
        side = maker.frame.field_of_view * radius
        x_range = window_range(x, side, images.shape[1])
        y_range = window_range(y, side, images.shape[0])
        part = read(images, x_range, y_range)
        cutout = resample(part, (x, y), side / grid, grid, (x_range[0], y_range[0]))
        flags |= empty(cutout) or quality(maker, cutout, x, y, radius)
    return cutout, flags, radius


def window_range(centre, side, length):
    """First pixel, and the one after the last, that a square touches along one axis."""
    start, stop = window_ranges(np.float64(centre), np.float64(side), length)
    return int(start), int(stop)


def axis_weights(centre, step, n_out, start, stop):
    """(n_out, stop - start) overlap of each output pixel with each input pixel along one axis."""
    middle = centre + (np.arange(n_out) - (n_out - 1) / 2) * step
    half = 0.5 * max(step, 1.0)
    pixel = np.arange(start, stop)
    upper = np.minimum(pixel[None] + 0.5, middle[:, None] + half)
    lower = np.maximum(pixel[None] - 0.5, middle[:, None] - half)
    return (np.clip(upper - lower, 0.0, None) / (2.0 * half)).astype(np.float32)


def resample(planes, centre, step, grid, origin=(0, 0)):
    """(C, grid, grid) means of what is observed of each pixel, NaN where under half of it is."""
    _, height, width = planes.shape
    along_x = axis_weights(centre[0], step, grid, origin[0], origin[0] + width)
    along_y = axis_weights(centre[1], step, grid, origin[1], origin[1] + height)
    observed = np.isfinite(planes)
    total = along_y @ np.where(observed, planes, 0.0).astype(np.float32) @ along_x.T
    coverage = along_y @ observed.astype(np.float32) @ along_x.T
    known = coverage >= 0.5 - 1e-6
    return np.where(known, total / np.where(known, coverage, 1.0), np.nan).astype(np.float32)


def read(images, x_range, y_range, channels=(0, 1, 2)):
    """(C, h, w) float32 array: calibrated in double precision."""
    result = []
    for i in channels:
        plane, part = images.planes[i], (slice(*y_range), slice(*x_range))
        values = np.asarray(plane.data)[part].astype(np.float64)
        missing = ~np.isfinite(values) | ((values == 0) if images.zeros[i] == 'missing' else False)
        if plane.bad is not None:
            missing |= np.asarray(plane.bad)[part]
        result.append(np.where(missing, np.nan, (values - images.sky[i]) * images.factors[i]))
    return np.array(result, dtype=np.float32)


def radius_of(images, labels, x, y, given):
    ny, nx = images.shape
    if np.isnan(x) or np.isnan(y):
        return np.nan, GalvaeFlags.BAD_POSITION
    if not (-0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5):
        return np.nan, GalvaeFlags.OFF_IMAGE
    if np.isnan(given):
        measured = measured_radius(images, labels, x, y)
        return measured, GalvaeFlags.NO_RADIUS if np.isnan(measured) else 0
    return given, 0 if 0 < given <= np.hypot(nx, ny) else GalvaeFlags.BAD_RADIUS


def measured_radius(images, labels, x, y):
    half, largest = 12.0, max(images.shape)
    while True:
        x_range = window_range(x, 2 * half, images.shape[1])
        y_range = window_range(y, 2 * half, images.shape[0])
        light = read(images, x_range, y_range, [1])[0] - images.residual[1]
        if not np.isfinite(light).any():
            red, blue = read(images, x_range, y_range, [0, 2]) - images.residual[[0, 2], None, None]
            light = np.where(np.isfinite(red), red, blue)
        if labels is not None:
            part, own = labels[slice(*y_range), slice(*x_range)], labels[round(y), round(x)]
            light = np.where((part != 0) & (part != own), np.nan, light)
        r90 = petrosian_r90(light, x - x_range[0], y - y_range[0])
        if (np.isfinite(r90) and r90 * 2.5 < half) or half > largest:
            return r90
        half *= 2.0


def petrosian_r90(image, x, y):
    ny, nx = image.shape
    distance = np.hypot(np.arange(nx)[None, :] - x, np.arange(ny)[:, None] - y)
    n_rings = max(int(max(x, y, nx - 1 - x, ny - 1 - y) / 0.5), 1)
    ring, known = (distance / 0.5).astype(int).ravel(), np.isfinite(image).ravel()
    count = np.bincount(ring[known], minlength=n_rings)[:n_rings]
    total = np.bincount(ring[known], image.ravel()[known], minlength=n_rings)[:n_rings]
    radius = 0.5 * np.arange(1, n_rings + 1)
    area = np.pi * np.diff(radius**2, prepend=0.0)
    covered = (count >= 0.3 * area) & (count > 0)
    if not covered.any():
        return np.nan
    last = np.flatnonzero(covered)[-1] + 1
    radius, area, covered = radius[:last], area[:last], covered[:last]
    flux = np.cumsum(
        np.interp(radius, radius[covered], total[:last][covered] / count[:last][covered]) * area
    )
    inside = np.interp(0.8 * radius, radius, flux, left=0.0)
    outside = np.interp(1.25 * radius, radius, flux)
    with np.errstate(divide='ignore', invalid='ignore'):
        ratio = (outside - inside) / (1.25**2 - 0.8**2) / flux
    below = (ratio < 0.2) & (flux > 0) & (radius >= 2.0) & (1.25 * radius <= radius[-1])
    if not below.any():
        return np.nan
    within = radius <= 2.0 * radius[np.argmax(below)]
    growth = np.maximum.accumulate(flux[within])
    return np.interp(0.9 * growth[-1], growth, radius[within])


def empty(cutout):
    known = cutout[np.isfinite(cutout)]
    flat = known.size == 0 or np.ptp(known) <= 1e-5 * np.abs(known).max()
    return GalvaeFlags.NO_DATA if flat else 0


def quality(maker, cutout, x, y, radius):
    """Flags of a cutout that holds something."""
    images, grid = maker.images, maker.frame.grid
    near = grid / maker.frame.field_of_view
    outside = share_outside(maker, x, y, radius, grid / 2) > 0.02
    near_outside = share_outside(maker, x, y, radius, near)
    inside = circle(grid, near)
    light = np.nan_to_num(cutout - images.residual[:, None, None])[:, inside].mean(axis=1)
    with np.errstate(invalid='ignore', divide='ignore'):
        snr = light * np.sqrt(np.pi * radius**2) / images.noise
    n_missing = (np.isnan(cutout).any(axis=0) & inside).sum()
    flags = GalvaeFlags.SCALE_ESTIMATED if images.scale_estimated else 0
    flags |= GalvaeFlags.SMALL if radius < 3.0 else 0
    flags |= GalvaeFlags.UNRESOLVED if radius < MIN_PIXELS else 0
    flags |= GalvaeFlags.EDGE if outside else 0
    is_missing = n_missing > (0.02 + near_outside) * inside.sum()
    flags |= GalvaeFlags.MISSING_PIXELS if is_missing else 0
    return flags | (0 if (snr >= 10.0).any() else GalvaeFlags.FAINT)


def share_outside(maker, x, y, radius, within):
    (ny, nx), grid = maker.images.shape, maker.frame.grid
    at = 0.5 * maker.frame.field_of_view * radius * ((np.arange(grid) + 0.5) / grid * 2 - 1)
    in_x, in_y = (x + at > -0.5) & (x + at < nx - 0.5), (y + at > -0.5) & (y + at < ny - 0.5)
    return 1.0 - (in_y[:, None] & in_x[None, :])[circle(grid, within)].mean()


def circle(grid, radius):
    at = np.arange(grid) - (grid - 1) / 2
    return np.hypot(at[None], at[:, None]) <= radius
