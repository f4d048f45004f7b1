# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Sources and radii of images too large to be looked at as a whole: tile by tile.

What is kept are numbers of each source. Images and maps of which source a pixel belongs to are
there for one tile at a time, so that memory does not grow with the image.
"""

from dataclasses import dataclass

import numpy as np
from astropy.table import QTable

from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.sources.detection import map_sources
from galvae_affiliated.sources.sizes import measure_sizes

__all__ = ['MeasuredSources', 'detect_tiled', 'is_large', 'measure_tiled']

TILE = 2048  # pixels a side
MARGIN = 256  # pixels beyond it that are looked at too, as sources on its border reach there
LARGE = 2 * TILE ** 2  # pixels of an image that is taken in tiles


@dataclass(frozen=True)
class MeasuredSources:
    """
    Sources of which the radius is known, and no pixel is kept.

    Attributes
    ----------
    x, y : (N,) float arrays
        In pixels.
    radius : (N,) float array
        petroR90 in pixels, NaN where there is no light.
    flags : (N,) int32 array
        See `~galvae_affiliated.flags.GalvaeFlags`.
    psf_r90 : float
        petroR90 of a point source in pixels, the median of the tiles; NaN where none shows it.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    flags: np.ndarray
    psf_r90: float


class _Part:
    """A rectangle of the images of a field, as far as detection and radii need them."""

    def __init__(self, images, x_range, y_range):
        self.images, self.x_range, self.y_range = images, x_range, y_range
        self.shape = (y_range[1] - y_range[0], x_range[1] - x_range[0])
        self.noise, self.residual = images.noise, images.residual
        self.pixel_scale, self.seeing, self.wcs = images.pixel_scale, images.seeing, None

    def whole(self):
        return self.images.window(self.x_range, self.y_range)

    def windows(self, x_start, y_start, shape, channels=(0, 1, 2)):
        x_start = np.asarray(x_start) + self.x_range[0]
        return self.images.windows(x_start, np.asarray(y_start) + self.y_range[0], shape, channels)


def is_large(shape):
    """Whether an image of a (ny, nx) shape is taken in tiles."""
    return shape[0] * shape[1] > LARGE


def detect_tiled(images, *, psf_fwhm=None):
    """
    Sources of a large field, measured.

    Parameters
    ----------
    images : `~galvae_affiliated.images.FieldImages`
    psf_fwhm : float, optional
        Seeing in pixels; None takes it from the stars of each tile.

    Returns
    -------
    table : `~astropy.table.QTable`
        See `~galvae_affiliated.sources.detect`.
    sources : `MeasuredSources`
        A source a row. One that is larger than a tile's margin of 256 pixels and lies on its
        border may be two.
    """
    found, psf = [], []
    for part, is_own in _tiles(images.shape):
        sources = _sources_of(images, part, psf_fwhm)
        if sources is None or not len(sources.x):
            continue
        psf.append(sources.psf_r90)
        own = np.flatnonzero(is_own(sources.x + part[0][0], sources.y + part[1][0]))
        radius, flags = _measured(images, part, sources, sources.x[own], sources.y[own])
        found.append((sources.x[own] + part[0][0], sources.y[own] + part[1][0], radius, flags))
    columns = [np.concatenate(values) for values in zip(*found)] if found else [np.zeros(0)] * 4
    sources = MeasuredSources(*columns[:3], columns[3].astype(np.int32), _median(psf))
    table = QTable([np.arange(1, len(sources.x) + 1), sources.x, sources.y],
                   names=['id', 'x_centroid', 'y_centroid'])
    if images.wcs is not None:
        sky = images.wcs.pixel_to_world(table['x_centroid'], table['y_centroid'])
        table['ra'], table['dec'] = sky.icrs.ra, sky.icrs.dec
    return table, sources


def measure_tiled(images, x, y, *, psf_fwhm=None):
    """
    Radii at positions of a large field, of which the tiles that hold any are looked at.

    Parameters
    ----------
    images, psf_fwhm : object
        See `detect_tiled`.
    x, y : (N,) float arrays
        In pixels; not measured where NaN, or off the image.

    Returns
    -------
    sources : `MeasuredSources`
        A row a position.
    """
    radius, flags, psf = np.full(len(x), np.nan), np.zeros(len(x), dtype=np.int32), []
    for part, is_own in _tiles(images.shape):
        rows = np.flatnonzero(is_own(x, y))
        sources = _sources_of(images, part, psf_fwhm) if len(rows) else None
        if sources is not None:
            psf.append(sources.psf_r90)
            radius[rows], flags[rows] = _measured(images, part, sources, x[rows] - part[0][0],
                                                  y[rows] - part[1][0])
    return MeasuredSources(x, y, radius, flags, _median(psf))


def _tiles(shape):
    """Yield ranges of pixels along x and y, and whether positions are the tile's own."""
    for y0 in range(0, shape[0], TILE):
        for x0 in range(0, shape[1], TILE):
            part = [(max(start - MARGIN, 0), min(start + TILE + MARGIN, length))
                    for start, length in ((x0, shape[1]), (y0, shape[0]))]

            def is_own(x, y, x0=x0, y0=y0):
                with np.errstate(invalid='ignore'):
                    return ((x0 - 0.5 <= x) & (x < min(x0 + TILE, shape[1]) - 0.5)
                            & (y0 - 0.5 <= y) & (y < min(y0 + TILE, shape[0]) - 0.5))

            yield part, is_own


def _sources_of(images, part, psf_fwhm):
    """`SourceMap` of a tile; None if there is nothing in it."""
    tile = _Part(images, *part)
    if not np.isfinite(tile.whole()).any():
        return None  # most of a sparse mosaic
    return map_sources(tile, psf_fwhm=psf_fwhm)


def _measured(images, part, sources, x, y):
    """Radii and flags at positions in a tile."""
    if not len(x):
        return np.zeros(0), np.zeros(0, dtype=np.int32)
    radius, is_uncertain = measure_sizes(_Part(images, *part), sources, x, y)
    flags = np.append(sources.flags, 0).astype(np.int32)[sources.of_positions(x, y)]
    return radius, flags | np.where(is_uncertain, GalvaeFlags.RADIUS_UNCERTAIN, 0)


def _median(values):
    """Median of those that are known; NaN if none is."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else np.nan
