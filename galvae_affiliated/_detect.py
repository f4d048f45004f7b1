# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find the sources of a field with photutils, and tell them from their neighbours."""

import warnings

import numpy as np
from astropy.convolution import convolve
from astropy.table import QTable
from photutils.segmentation import SourceCatalog, deblend_sources, detect_sources, make_2dgaussian_kernel
from photutils.utils.exceptions import NoDetectionsWarning

__all__ = ['detect', 'detection_image']

THRESHOLD = 3.0  # noise of the smoothed image
MIN_PIXELS = 20
KERNEL = (3.0, 5)  # full width at half maximum and size of the smoothing, in pixels
CONTRAST = 0.1  # share of a blend's flux that makes a peak a source of its own, not a knot of an arm


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
    noise = np.where(images.noise > 0, images.noise, 1.0).astype(np.float32)
    scaled = images.whole() / noise[:, None, None]
    known = np.isfinite(scaled)
    count = known.sum(axis=0)
    total = np.where(known, scaled, 0.0).sum(axis=0) / np.sqrt(np.maximum(count, 1))
    return np.where(count > 0, total, np.nan).astype(np.float32)


def segment(image, *, deblend=True):
    """Segmentation of a detection image; None where nothing is found."""
    missing = ~np.isfinite(image)
    if missing.all():
        return None
    filled = np.where(missing, 0.0, image)
    smooth = convolve(filled, make_2dgaussian_kernel(KERNEL[0], KERNEL[1]), normalize_kernel=True, boundary='extend')
    noise = robust_noise(smooth[~missing])
    if not noise > 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NoDetectionsWarning)
        found = detect_sources(smooth, THRESHOLD * noise, MIN_PIXELS, mask=missing)
        if found is None or not deblend:
            return found
        return deblend_sources(smooth, found, MIN_PIXELS, contrast=CONTRAST, progress_bar=False)


def robust_noise(values):
    """Standard deviation from the quartile below the median, which sources hardly touch."""
    return float(np.median(values) - np.percentile(values, 15.87))


def detect(images):
    """
    Sources of a field.

    Parameters
    ----------
    images : `~galvae_affiliated.images.FieldImages`

    Returns
    -------
    table : `~astropy.table.QTable`
        A row a source: ``id``, ``x_centroid``, ``y_centroid`` (pixels), and
        ``ra``, ``dec`` where the images have a WCS.
    labels : (ny, nx) int array
        The source that each pixel belongs to, its row plus one; zero for sky.
    """
    image = detection_image(images)
    segmentation = segment(image)
    table = QTable({'id': np.zeros(0, int), 'x_centroid': np.zeros(0), 'y_centroid': np.zeros(0)})
    labels = np.zeros(image.shape, dtype=np.int32)
    if segmentation is not None:
        segmentation.relabel_consecutive()
        catalog = SourceCatalog(np.nan_to_num(image), segmentation)
        xy = np.atleast_2d(catalog.centroid_win)
        labels = segmentation.data
        table = QTable({'id': np.arange(1, len(xy) + 1), 'x_centroid': xy[:, 0], 'y_centroid': xy[:, 1]})
    if images.wcs is not None:
        sky = images.wcs.pixel_to_world(table['x_centroid'], table['y_centroid'])
        table['ra'], table['dec'] = sky.icrs.ra, sky.icrs.dec
    return table, labels
