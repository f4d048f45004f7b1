# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Find the sources of a field with photutils, and separate them from their neighbours.

photutils takes about as long to load as a small catalogue to encode, and a
catalogue with radii needs none of this: it is imported where it is used.
"""

import warnings
from typing import NamedTuple

import numpy as np
from astropy.table import QTable
from astropy.utils.introspection import minversion

__all__ = ['detect']


class Mode(NamedTuple):
    """
    How to find sources: first the large ones ("cold"), then the faint ones between them ("hot").

    One mode cannot do both: what finds faint galaxies takes the knots of a
    large spiral for galaxies too (Rix et al. 2004, ApJS 152, 163).

    Attributes
    ----------
    fwhm : float
        Full width at half maximum of the smoothing, in pixels.
    threshold : float
        In units of the noise of the smoothed image.
    n_pixels : int
        Connected pixels at least.
    contrast : float
        Share of a blend's flux that makes a peak a source of its own.
    """

    fwhm: float
    threshold: float
    n_pixels: int
    contrast: float


COLD = Mode(fwhm=7.0, threshold=8.0, n_pixels=80, contrast=0.05)
HOT = Mode(fwhm=3.0, threshold=3.0, n_pixels=20, contrast=0.1)


def detection_image(images):
    """
    Sum of the bands, each in units of its noise; NaN where no band has data.

    Parameters
    ----------
    images : `~galvae_affiliated.images.field.FieldImages`

    Returns
    -------
    image : (ny, nx) float32 array
        With unit noise where all bands are known.
    """
    noise = np.where(images.noise > 0, images.noise, 1.0).astype(np.float32)
    residual = images.residual.astype(np.float32)[:, None, None]
    scaled = (images.whole() - residual) / noise[:, None, None]
    known = np.isfinite(scaled)
    count = known.sum(axis=0)
    total = np.where(known, scaled, 0.0).sum(axis=0) / np.sqrt(np.maximum(count, 1))
    return np.where(count > 0, total, np.nan).astype(np.float32)


def segment(image):
    """
    Which source each pixel of a detection image belongs to.

    Parameters
    ----------
    image : (ny, nx) array
        NaN where pixels are missing.

    Returns
    -------
    labels : (ny, nx) int array
        Zero for sky, sources from one without a gap.
    """
    labels, hot = find_sources(image, COLD), find_sources(image, HOT)
    area = np.bincount(hot.ravel())
    inside = np.bincount(hot[labels > 0], minlength=len(area))
    kept = np.flatnonzero((2 * inside <= area) & (np.arange(len(area)) > 0))
    number = np.zeros(len(area), dtype=labels.dtype)
    number[kept] = labels.max() + 1 + np.arange(len(kept))
    return np.where(labels > 0, labels, number[hot])


def find_sources(image, mode, *, deblend=True):
    """(ny, nx) int array: the sources that one `Mode` finds."""
    from astropy.convolution import convolve
    from photutils.segmentation import deblend_sources, detect_sources, make_2dgaussian_kernel
    from photutils.utils.exceptions import NoDetectionsWarning

    labels = np.zeros(image.shape, dtype=np.int32)
    missing = ~np.isfinite(image)
    if missing.all():
        return labels
    kernel = make_2dgaussian_kernel(mode.fwhm, 2 * int(mode.fwhm) + 1)
    smooth = convolve(np.where(missing, 0.0, image), kernel, normalize_kernel=True,
                      boundary='extend')
    noise = _robust_noise(smooth[~missing])
    if not noise > 0:
        return labels
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NoDetectionsWarning)
        found = detect_sources(smooth, mode.threshold * noise, mode.n_pixels, mask=missing)
    if found is None:
        return labels
    if deblend:
        # photutils drew a bar until 3.1, which warns of the keyword that turned it off
        silent = {} if minversion('photutils', '3.1') else {'progress_bar': False}
        found = deblend_sources(smooth, found, mode.n_pixels, contrast=mode.contrast, **silent)
    found.relabel_consecutive()
    return found.data.astype(np.int32)


def _robust_noise(values):
    """Standard deviation from the quartile below the median, which sources hardly touch."""
    return float(np.median(values) - np.percentile(values, 15.87))


def detect(images):
    """
    Sources of a field.

    Parameters
    ----------
    images : `~galvae_affiliated.images.field.FieldImages`

    Returns
    -------
    table : `~astropy.table.QTable`
        A row a source: ``id``, ``x_centroid``, ``y_centroid`` (pixels), and
        ``ra``, ``dec`` where the images have a WCS.
    labels : (ny, nx) int array
        The source that each pixel belongs to, its row plus one; zero for sky.
    """
    from photutils.segmentation import SegmentationImage, SourceCatalog

    image = detection_image(images)
    labels = segment(image)
    xy = np.zeros((0, 2))
    if labels.any():
        sources = SourceCatalog(np.nan_to_num(image), SegmentationImage(labels))
        xy = np.atleast_2d(sources.centroid_win)
    table = QTable([np.arange(1, len(xy) + 1), *xy.T], names=['id', 'x_centroid', 'y_centroid'])
    if images.wcs is not None:
        sky = images.wcs.pixel_to_world(table['x_centroid'], table['y_centroid'])
        table['ra'], table['dec'] = sky.icrs.ra, sky.icrs.dec
    return table, labels
