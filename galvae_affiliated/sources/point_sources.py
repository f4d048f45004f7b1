# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which sources are not larger than a star, and how large a star is in an image."""

import numpy as np

__all__ = ['point_sources', 'psf_from_fwhm', 'star_locus']

MIN_SIGNIFICANCE = 40.0  # of sources from which the size of a star is taken
MIN_STARS = 6
NARROW = 1.08  # ratio of sizes within which stars lie, whatever their brightness
LARGER, MORE_STARS = 1.2, 2.5  # sizes at which there are so many times fewer sources
ROUND = 1.3  # ratio of axes
MOFFAT_R50, MOFFAT_R90 = 0.631, 1.26  # of a Moffat profile, beta = 3, over its FWHM
MOFFAT_CONCENTRATION = 0.57  # flux inside R50 over that inside two, with pixels
UNKNOWN_SPREAD = 0.04  # of the concentration where the PSF was not seen
LEAST_SPREAD = 0.012
DEVIATIONS = 3.5
MAX_ERROR = 0.12  # of the concentration: nothing is said of fainter sources
MAX_APERTURE = 24  # pixels


def psf_from_fwhm(fwhm):
    """
    Radii of a star of a known seeing, as those of a Moffat profile with beta = 3.

    Parameters
    ----------
    fwhm : float
        In pixels.

    Returns
    -------
    r50, r90 : float
        Half-light radius, and petroR90, in pixels.
    """
    return MOFFAT_R50 * fwhm, MOFFAT_R90 * fwhm


def half_light_radii(pixels, light, x, y, noise):
    """
    Half-light radius of the pixels of each source, and its significance.

    Parameters
    ----------
    pixels : `~galvae_affiliated.sources._segments.SegmentPixels`
    light : (M,) float array
        Of its pixels, above the background.
    x, y : (N,) float arrays
        Centroids.
    noise : float
        Of a pixel.

    Returns
    -------
    radius, significance : (N,) float arrays
    """
    light = np.clip(light, 0, None)
    area = pixels.half_light_areas(light, pixels.distances(x, y))
    significance = pixels.sum(light) / (np.sqrt(pixels.area) * (noise or 1.0))
    return np.sqrt(area / np.pi), significance


def star_locus(sources, radius, significance, ratio):
    """
    Sources that are stars for sure, by their size: many are small, alike and round.

    Parameters
    ----------
    sources : `~galvae_affiliated.sources.SourceMap`
    radius, significance : (N,) float arrays
        See `half_light_radii`.
    ratio : (N,) float array
        Of the axes of each source.

    Returns
    -------
    stars : (M,) int array
        Their places; none where the field does not show a locus.
    """
    good = (significance > MIN_SIGNIFICANCE) & (sources.flags == 0) & (ratio < ROUND)
    good = np.flatnonzero(good)
    good = good[np.argsort(radius[good])]
    size = radius[good]
    if len(size) < MIN_STARS:
        return good[:0]
    count = np.searchsorted(size, NARROW * size, side='right') - np.arange(len(size))
    enough = np.flatnonzero(count >= MIN_STARS)
    if not len(enough):
        return good[:0]
    near = enough[size[enough] <= 1.25 * size[enough[0]]]
    best = near[count[near].argmax()]
    low, high = np.searchsorted(size, LARGER * size[best] * np.array([1.0, NARROW]))
    is_peak = count[best] >= MORE_STARS * (high - low)
    return good[best:best + count[best]] if is_peak else good[:0]


def concentrations(sources, r50):
    """
    Flux inside a star's R50 over that inside two, where light of neighbours is replaced.

    Parameters
    ----------
    sources : `~galvae_affiliated.sources.SourceMap`
    r50 : float
        Of a star, in pixels.

    Returns
    -------
    concentration, error : (N,) float arrays
    """
    half = int(min(np.ceil(2 * r50) + 2, MAX_APERTURE))
    step = np.arange(-half, half + 1)
    x, y = np.rint(sources.x).astype(int), np.rint(sources.y).astype(int)
    rows = (y[:, None] + step)[:, :, None]
    columns = (x[:, None] + step)[:, None, :]
    ny, nx = sources.labels.shape
    known = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    at = np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)
    light, owner = sources.light[at], sources.labels[at]
    own = np.arange(1, len(x) + 1)[:, None, None]
    foreign = ~known | ((owner != own) & (owner != 0))
    # by what lies opposite, which is as far from the centre
    turned = np.where(foreign[:, ::-1, ::-1], 0.0, light[:, ::-1, ::-1])
    light = np.where(foreign, turned, light)
    far = np.hypot(columns - sources.x[:, None, None], rows - sources.y[:, None, None])
    inner, outer = ((light * np.clip(radius + 0.5 - far, 0, 1)).sum(axis=(1, 2))
                    for radius in (r50, 2 * r50))
    with np.errstate(divide='ignore', invalid='ignore'):
        error = np.sqrt(np.pi) * 2 * r50 * sources.noise / np.abs(outer)
        return inner / outer, error


def point_sources(sources, r50, stars):
    """
    Sources that are as concentrated as a star.

    Parameters
    ----------
    sources : `~galvae_affiliated.sources.SourceMap`
    r50 : float
        Of a star, in pixels.
    stars : (M,) int array
        Sources that are stars; none where only the seeing is known.

    Returns
    -------
    is_point : (N,) bool array
        False where noise hides it.
    """
    concentration, error = concentrations(sources, r50)
    middle, spread = MOFFAT_CONCENTRATION, UNKNOWN_SPREAD
    if len(stars):
        middle = np.median(concentration[stars])
        spread = 1.4826 * np.median(np.abs(concentration[stars] - middle))
    allowed = DEVIATIONS * np.hypot(max(spread, LEAST_SPREAD), 0.5 * error)
    return (error < MAX_ERROR) & (concentration > middle - allowed)
