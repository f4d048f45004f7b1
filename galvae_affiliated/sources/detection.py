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
from galvae_affiliated.sources._arcs import find_arcs
from galvae_affiliated.sources._background import (
    block_means,
    from_blocks,
    level_between,
    local_background,
)
from galvae_affiliated.sources._centroids import windowed_centroids
from galvae_affiliated.sources._companions import find_companions
from galvae_affiliated.sources._merging import merge_pieces
from galvae_affiliated.sources._pieces import cut_at_peaks
from galvae_affiliated.sources._segments import SegmentPixels, border_pairs
from galvae_affiliated.sources.blends import blended_sources, shared_borders
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
FAINT_PEAK = 6.0  # of its own noise: smoothed light that is a source where no pixel stands out
# of the islands of ready cutouts: pixels, units of the noise after it, pixels
ISLAND_SMOOTHING, ISLAND_THRESHOLD, ISLAND_PIXELS = 1.27, 3.0, 20
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
    smooth : (ny, nx) float32 array
        The light, smoothed.
    """
    missing = ~np.isfinite(image)
    background, noise = local_background(image)
    light = np.subtract(image, background, dtype=np.float32)
    light[missing] = 0.0
    smooth = _smoothed(light)
    if not noise > 0:
        return np.zeros(image.shape, dtype=np.int32), light, 0.0, smooth
    bright = _source_pixels(light, smooth, noise) & ~missing
    pieces, pairs, saddles = cut_at_peaks(smooth, bright)
    inside = np.flatnonzero(pieces)
    piece, values = pieces.ravel()[inside], smooth.ravel()[inside]
    flux = np.bincount(piece, values, minlength=1)
    peak = np.full(len(flux), -np.inf)
    np.maximum.at(peak, piece, values)
    peak[0] = 0.0  # of the sky, which is in no piece
    number = merge_pieces(flux, peak, pairs, saddles, noise * KERNEL_NOISE)
    return number.astype(np.int32)[pieces], light, noise, smooth


def _smoothed(image):
    """The image after `KERNEL` along both axes; its border is repeated."""
    from scipy import ndimage

    image = ndimage.correlate1d(image, KERNEL, axis=0, mode='nearest')
    return ndimage.correlate1d(image, KERNEL, axis=1, mode='nearest')


def _source_pixels(light, smooth, noise):
    """(ny, nx) bool array: pixels of sources, and of the faint light around them."""
    from scipy import ndimage

    inside, island, n = _islands(smooth > THRESHOLD * noise)
    area = np.bincount(island, minlength=n + 1)
    bright = inside[(area >= MIN_PIXELS)[island]]
    # without it, scraps of a galaxy's outskirts would be islands, and sources of their own
    blocks = ndimage.gaussian_filter(block_means(light, 2), OUTSKIRTS / 2)
    all_of = from_blocks(blocks > FAINTEST * noise, 2, light.shape)
    all_of.ravel()[bright] = True
    labels, n = ndimage.label(all_of, np.ones((3, 3)))
    has_source = np.zeros(n + 1, dtype=bool)
    has_source[labels.ravel()[bright]] = True
    # light that is broad and too faint for single pixels
    y, x = np.nonzero(blocks > _least_peak(blocks, noise))
    has_source[labels[2 * y, 2 * x]] = True
    has_source[0] = False
    inside = np.flatnonzero(labels)
    all_of.ravel()[inside] = has_source[labels.ravel()[inside]]
    return all_of


def _least_peak(blocks, noise):
    """Brightness of smoothed blocks above which they are a source."""
    low, middle = np.percentile(blocks[::4, ::4], [15.87, 50.0])
    return max(FAINT_PEAK * (middle - low), FAINTEST * noise)


def _islands(mask):
    """Places of the pixels of a mask, the island that each belongs to, and how many there are."""
    from scipy import ndimage

    labels, n = ndimage.label(mask, np.ones((3, 3)))
    inside = np.flatnonzero(labels)
    return inside, labels.ravel()[inside], n


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

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import open_field
    >>> from galvae_affiliated.sources import map_sources
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> field = open_field(images, unit='nmgy', pixel_scale=0.262)
    >>> sources = map_sources(field)
    >>> sources.x.round().tolist(), int(sources.labels[90, 70])
    ([70.0], 1)
    """
    scaled = scaled_bands(images)
    sharp = sharp_pixels(scaled) | trail_pixels(scaled)
    image = _sum_of_known(scaled, sharp)
    labels, light, noise, smooth = segment(image)
    pixels, (x, y) = _separated(labels, light, smooth, noise)
    borders = border_pairs(labels)
    host = find_arcs(pixels, borders, pixels.of(light), x, y)
    is_own = host == np.arange(pixels.n)
    if not is_own.all():
        number = np.append(0, np.cumsum(is_own)[host]).astype(np.int32)
        labels, x, y = number[labels], x[is_own], y[is_own]
        pixels, borders = SegmentPixels(labels), border_pairs(labels)
    flags, ratio = flag_defects(scaled, sharp, pixels, x, y)
    sky = level_between(scaled[1], labels > 0)
    sky *= np.float32(images.noise[1] or 1.0)
    sources = SourceMap(labels, light, noise, x, y, flags, _reaches(pixels, x, y), sky,
                        shared_borders(*borders, pixels.n))
    if not pixels.n:
        return sources
    flux = pixels.sum(pixels.of(light))
    radius, significance = half_light_radii(pixels, pixels.of(light), x, y, noise)
    flags[blended_sources(borders, flux, x, y, radius)] |= GalvaeFlags.BLENDED
    return _with_point_sources(images, sources, radius, significance, ratio, psf_fwhm)


def _separated(labels, light, smooth, noise):
    """The pixels of sources, of ``labels`` in which companions become their own; centroids."""
    pixels = SegmentPixels(labels)
    companions = find_companions(pixels, light, smooth, noise, noise * KERNEL_NOISE)
    if not companions:
        return pixels, windowed_centroids(pixels, pixels.of(light), pixels.of(smooth))
    own_light = light.copy()
    for number, companion in enumerate(companions, pixels.n + 1):
        labels.ravel()[companion.pixels] = number
        own_light.ravel()[companion.pixels] = companion.excess
    pixels = SegmentPixels(labels)
    values = pixels.of(own_light)
    is_companion = pixels.source >= pixels.n - len(companions)
    tops = np.where(is_companion, values, pixels.of(smooth))
    return pixels, windowed_centroids(pixels, values, tops)


def _with_point_sources(images, sources, radius, significance, ratio, psf_fwhm):
    """The same sources with POINT_SOURCE, and the size of a star."""
    stars = star_locus(sources, radius, significance, ratio)
    if psf_fwhm is None and not len(stars):
        psf_fwhm = images.seeing  # of the header, where the field does not show it
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


def _reaches(pixels, x, y):
    """
    (N,) float array: pixels from each centroid to the farthest of its source's own.

    Not farther than the thinnest galaxy of that area reaches: a spike or a trail is no galaxy's.
    """
    reach = pixels.maximum(pixels.distances(x, y)).astype(float)
    return np.minimum(reach, THINNEST * np.sqrt(pixels.area / np.pi))


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

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import open_field
    >>> from galvae_affiliated.sources import detect
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> table, sources = detect(open_field(images, unit='nmgy', pixel_scale=0.262))
    >>> table.colnames, len(table), sources.labels.shape
    (['id', 'x_centroid', 'y_centroid'], 1, (160, 160))
    """
    sources = map_sources(images, psf_fwhm=psf_fwhm)
    number = np.arange(1, len(sources.x) + 1)
    table = QTable([number, sources.x, sources.y], names=['id', 'x_centroid', 'y_centroid'])
    if images.wcs is not None:
        sky = images.wcs.pixel_to_world(table['x_centroid'], table['y_centroid'])
        table['ra'], table['dec'] = sky.icrs.ra, sky.icrs.dec
    return table, sources
