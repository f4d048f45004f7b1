# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Windowed centroids of all sources of an image at once."""

import numpy as np

STEPS = 20
SETTLED = 1e-3  # pixels
HALF_WIDTH = 1.177  # radius of the half of a Gaussian's light, over its deviation
WINDOW, FARTHEST = 5.0, 3.0  # deviations: pixels that count, and how far a centroid may move


def windowed_centroids(pixels, light, smooth):
    """
    Windowed centroids, as SExtractor's XWIN_IMAGE, from the brightest pixel of each source.

    The window is a Gaussian as wide as the half of a source's light, so that a spiral's arms do
    not move its centre.

    Parameters
    ----------
    pixels : `~galvae_affiliated.sources._segments.SegmentPixels`
    light, smooth : (M,) arrays
        Of the pixels: light above the background, and the same of the smoothed image.

    Returns
    -------
    x, y : (N,) float arrays
        In pixels; the brightest one where the centroid does not stay near it.
    """
    light = np.clip(light, 0, None)
    top = pixels.brightest(smooth)
    start = pixels.columns[top].astype(float), pixels.rows[top].astype(float)
    far = pixels.distances(*start)
    width = np.sqrt(pixels.half_light_areas(light, far) / np.pi) / HALF_WIDTH
    width = np.maximum(width, 1.0)
    near = np.flatnonzero((far < pixels.each(WINDOW * width)) & (light > 0))
    source, light = pixels.source[near], light[near]
    columns, rows = (values[near].astype(np.float32) for values in (pixels.columns, pixels.rows))
    x, y, is_moving = start[0].copy(), start[1].copy(), np.ones(pixels.n, dtype=bool)
    for _ in range(STEPS):
        dx, dy = _offsets(source, light, columns, rows, x, y, width)
        x += np.where(is_moving, 2 * dx, 0.0)
        y += np.where(is_moving, 2 * dy, 0.0)
        is_lost = is_moving & (np.hypot(x - start[0], y - start[1]) > FARTHEST * width)
        x[is_lost], y[is_lost] = start[0][is_lost], start[1][is_lost]
        is_moving &= ~is_lost & (np.maximum(abs(dx), abs(dy)) >= SETTLED)
        if not is_moving.any():
            break
        kept = is_moving[source]
        source, light, columns, rows = (v[kept] for v in (source, light, columns, rows))
    return x, y


def _offsets(source, light, columns, rows, x, y, width):
    """(2, N) float array: of the centroids within the windows, from where these are."""
    dx = columns - x[source].astype(np.float32)
    dy = rows - y[source].astype(np.float32)
    scale = (-0.5 / width ** 2).astype(np.float32)
    weight = light * np.exp((dx * dx + dy * dy) * scale[source])
    total = np.bincount(source, weight, len(x))
    total = np.where(total > 0, total, np.inf)
    return [np.bincount(source, weight * offset, len(x)) / total for offset in (dx, dy)]
