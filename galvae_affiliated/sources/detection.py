# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Find the sources of a field, and separate them from their neighbours.

Peaks of a smoothed image are grown to pieces by a watershed, as photutils and SExtractor do at
many levels at once, and pieces that no real saddle divides are joined afterwards: one contrast
for all either shreds spirals or loses companions. The libraries for it take about as long to load
as a small catalogue to encode, and a catalogue with radii needs none of this: they are imported
where they are used.
"""

from dataclasses import replace

import numpy as np
from astropy.table import QTable

from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.sources._background import level_between, local_background
from galvae_affiliated.sources._merging import merge_pieces, shared_borders
from galvae_affiliated.sources.blends import blended_sources
from galvae_affiliated.sources.defects import flag_defects, sharp_pixels, trail_pixels
from galvae_affiliated.sources.point_sources import (
    half_light_radii,
    point_sources,
    psf_from_fwhm,
    star_locus,
)
from galvae_affiliated.sources.sizes import measure_sizes
from galvae_affiliated.sources.source_map import SourceMap

__all__ = ['detect', 'map_sources']

# of the smoothing along x and y before peaks are sought: SExtractor's default filter
KERNEL = (0.25, 0.5, 0.25)
KERNEL_NOISE = 0.375  # of an image of unit noise after it
THRESHOLD = 1.4  # units of the noise of a pixel, at which a source is found
MIN_PIXELS = 5  # above it
OUTSKIRTS = 2.0  # pixels; smoothing by which the faint light around a source is followed
FAINTEST = 0.6  # units of the noise of a pixel, to which it is followed
# of the islands of ready cutouts: pixels, units of the noise after it, pixels
ISLAND_SMOOTHING, ISLAND_THRESHOLD, ISLAND_PIXELS = 1.27, 3.0, 20
PEAK_BOX = 5  # pixels: of two peaks within it the higher counts
CENTROID_STEPS = 20
THINNEST = 2.8  # longest radius over that of a circle of equal area, of an edge-on galaxy


def scaled_bands(images):
    """(3, ny, nx) float32 array: the bands above their sky, each in units of its noise."""
    noise = np.where(images.noise > 0, images.noise, 1.0).astype(np.float32)[:, None, None]
    scaled = images.whole()
    scaled -= images.residual.astype(np.float32)[:, None, None]
    scaled /= noise
    return scaled


def detection_image(images):
    """
    Sum of the bands, each in units of its noise; NaN where no band has data.

    Parameters
    ----------
    images : `~galvae_affiliated.images.FieldImages`

    Returns
    -------
    image : (ny, nx) float32 array
        With unit noise where all bands are known.
    """
    return _sum_of_known(scaled_bands(images))


def _sum_of_known(scaled, excluded=None):
    """Sum of the bands over the root of their number, without NaN and what is excluded."""
    total = np.zeros(scaled.shape[1:], dtype=np.float32)
    count = np.zeros(scaled.shape[1:], dtype=np.float32)
    for i, band in enumerate(scaled):
        known = np.isfinite(band)
        if excluded is not None:
            known &= ~excluded[i]
        np.add(total, band, out=total, where=known)
        count += known
    with np.errstate(divide='ignore', invalid='ignore'):
        return total / np.sqrt(count)


def segment(image):
    """
    Which source each pixel of a detection image belongs to.

    Parameters
    ----------
    image : (ny, nx) array
        NaN where pixels are missing.

    Returns
    -------
    labels : (ny, nx) int32 array
        Zero for sky, sources from one without a gap.
    light : (ny, nx) float32 array
        The image above its local background; zero where missing.
    noise : float
        Of its pixels.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    missing = ~np.isfinite(image)
    background, noise = local_background(image)
    light = np.where(missing, 0.0, image - background).astype(np.float32)
    if not noise > 0:
        return np.zeros(image.shape, dtype=np.int32), light, 0.0
    smooth = ndimage.correlate1d(light, KERNEL, axis=0, mode='nearest')
    smooth = ndimage.correlate1d(smooth, KERNEL, axis=1, mode='nearest')
    bright = _source_pixels(light, smooth, noise) & ~missing
    eight = np.ones((3, 3))
    peaks = (smooth == ndimage.maximum_filter(smooth, PEAK_BOX)) & bright
    pieces = watershed(-smooth, ndimage.label(peaks, eight)[0], mask=bright, connectivity=2)
    number = merge_pieces(pieces, smooth, noise * KERNEL_NOISE)
    return number[pieces].astype(np.int32), light, noise


def _source_pixels(light, smooth, noise):
    """(ny, nx) bool array: pixels of sources, and of the faint light around them."""
    from scipy import ndimage

    eight = np.ones((3, 3))
    islands, n = ndimage.label(smooth > THRESHOLD * noise, eight)
    area = np.bincount(islands.ravel(), minlength=n + 1)
    area[0] = 0
    bright = (area >= MIN_PIXELS)[islands]
    # without it, scraps of a galaxy's outskirts would be islands, and sources of their own
    faint = ndimage.gaussian_filter(light, OUTSKIRTS) > FAINTEST * noise
    islands, n = ndimage.label(faint | bright, eight)
    has_source = np.zeros(n + 1, dtype=bool)
    has_source[islands[bright]] = True
    has_source[0] = False
    return has_source[islands]


def find_islands(image):
    """
    Light of a small image that hangs together, which is not told apart further.

    Parameters
    ----------
    image : (ny, nx) array

    Returns
    -------
    islands : (ny, nx) int array
        Zero for sky, from one without a gap.
    """
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(np.asarray(image, dtype=np.float32), ISLAND_SMOOTHING)
    # the quartile below the median is hardly touched by sources
    low, middle = np.percentile(smooth, [15.87, 50.0])
    islands, n = ndimage.label(smooth > ISLAND_THRESHOLD * (middle - low), np.ones((3, 3)))
    area = np.bincount(islands.ravel(), minlength=n + 1)
    kept = np.cumsum(area[1:] >= ISLAND_PIXELS) * (area[1:] >= ISLAND_PIXELS)
    return np.append(0, kept)[islands]


def map_sources(images, *, psf_fwhm=None):
    """
    The sources of a field: where they are, which pixels they own, what is said against them.

    Parameters
    ----------
    images : `~galvae_affiliated.images.FieldImages`
    psf_fwhm : float, optional
        Seeing in pixels; None takes it from the stars of the field.

    Returns
    -------
    sources : `SourceMap`
    """
    scaled = scaled_bands(images)
    sharp = sharp_pixels(scaled) | trail_pixels(scaled)
    image = _sum_of_known(scaled, sharp)
    labels, light, noise = segment(image)
    x, y = _centroids(labels, light)
    flags, ratio = flag_defects(scaled, sharp, labels, x, y)
    sky = level_between(scaled[1], labels > 0) * np.float32(images.noise[1] or 1.0)
    sources = SourceMap(labels, light, noise, x, y, flags, _reaches(labels, x, y), sky,
                        shared_borders(labels))
    return _with_point_sources(images, sources, ratio, psf_fwhm)


def _with_point_sources(images, sources, ratio, psf_fwhm):
    """The same sources with BLENDED and POINT_SOURCE, and the size of a star."""
    if not len(sources.x):
        return sources
    radius, significance = half_light_radii(sources)
    is_blended = blended_sources(sources.labels, sources.light, sources.x, sources.y, radius)
    sources.flags[is_blended] |= GalvaeFlags.BLENDED
    stars = star_locus(sources, radius, significance, ratio)
    if psf_fwhm is not None:
        (r50, r90), stars = psf_from_fwhm(psf_fwhm), stars[:0]
    elif not len(stars):
        return sources
    else:
        r50 = float(np.median(radius[stars]))
        radii, _ = measure_sizes(images, sources, sources.x[stars], sources.y[stars])
        r90 = float(np.nanmedian(radii))
    is_point = point_sources(sources, r50, stars)
    flags = sources.flags | np.where(is_point, GalvaeFlags.POINT_SOURCE, 0).astype(np.int32)
    return replace(sources, flags=flags, psf_r90=r90)


def _reaches(labels, x, y):
    """
    (N,) float array: pixels from each centroid to the farthest of its source's own.

    Not farther than the thinnest galaxy of that area reaches: a spike or a trail is no galaxy's.
    """
    inside = np.flatnonzero(labels)
    source = labels.ravel()[inside] - 1
    rows, columns = np.divmod(inside, labels.shape[1])
    reach = np.zeros(len(x))
    np.maximum.at(reach, source, np.hypot(columns - x[source], rows - y[source]))
    area = np.bincount(source, minlength=len(x))
    return np.minimum(reach, THINNEST * np.sqrt(area / np.pi))


def _centroids(labels, light):
    """
    Windowed centroids, as SExtractor's XWIN_IMAGE, from the brightest pixel of each source.

    The window is a Gaussian as wide as the half of a source's light, so that a spiral's arms do
    not move its centre.
    """
    from scipy import ndimage

    n = int(labels.max())
    if not n:
        return np.zeros(0), np.zeros(0)
    smooth = ndimage.gaussian_filter(light, 1.0)
    x, y = np.empty(n), np.empty(n)
    for i, (rows, columns) in enumerate(ndimage.find_objects(labels)):
        own = labels[rows, columns] == i + 1
        values = np.where(own, np.clip(light[rows, columns], 0, None), 0.0)
        peak = np.argmax(np.where(own, smooth[rows, columns], -np.inf))
        dx, dy = _windowed_centroid(values, *np.unravel_index(peak, own.shape)[::-1])
        x[i], y[i] = dx + columns.start, dy + rows.start
    return x, y


def _windowed_centroid(values, x, y):
    """Centroid of an image around a pixel, until it stays where it is."""
    yy, xx = np.indices(values.shape, sparse=True)
    order = np.argsort(((xx - x) ** 2 + (yy - y) ** 2).ravel())
    growth = np.cumsum(values.ravel()[order])
    half = np.searchsorted(growth, 0.5 * growth[-1]) + 1
    width = max(np.sqrt(half / np.pi) / 1.177, 1.0)
    start = x, y
    for _ in range(CENTROID_STEPS):
        weight = values * np.exp(-0.5 * ((xx - x) ** 2 + (yy - y) ** 2) / width ** 2)
        total = weight.sum()
        if not total > 0:
            return start
        dx, dy = (weight * (xx - x)).sum() / total, (weight * (yy - y)).sum() / total
        x, y = x + 2 * dx, y + 2 * dy
        if np.hypot(x - start[0], y - start[1]) > 3 * width:
            return start
        if max(abs(dx), abs(dy)) < 1e-3:
            break
    return x, y


def detect(images, *, psf_fwhm=None):
    """
    Sources of a field.

    Parameters
    ----------
    images : `~galvae_affiliated.images.FieldImages`
    psf_fwhm : float, optional
        Seeing in pixels; None takes it from the stars of the field.

    Returns
    -------
    table : `~astropy.table.QTable`
        A row a source: ``id``, ``x_centroid``, ``y_centroid`` (pixels), and
        ``ra``, ``dec`` where the images have a WCS.
    sources : `SourceMap`
        Its ``labels`` are the source that each pixel belongs to, its row plus one; zero for sky.
    """
    sources = map_sources(images, psf_fwhm=psf_fwhm)
    number = np.arange(1, len(sources.x) + 1)
    table = QTable([number, sources.x, sources.y], names=['id', 'x_centroid', 'y_centroid'])
    if images.wcs is not None:
        sky = images.wcs.pixel_to_world(table['x_centroid'], table['y_centroid'])
        table['ra'], table['dec'] = sky.icrs.ra, sky.icrs.dec
    return table, sources
