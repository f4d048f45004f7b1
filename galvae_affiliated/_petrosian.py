# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The radius that the size of a cutout is counted in: petroR90."""

import numpy as np

__all__ = ['petrosian_r90']

ETA = 0.2  # surface brightness at the Petrosian radius over the mean inside it
FLUX_RADII = 2.0  # the Petrosian flux is that inside so many Petrosian radii
BIN = 0.5  # width of the rings of the profile, in pixels
RING = (0.8, 1.25)  # the ring whose surface brightness is compared, in radii
MIN_RADIUS = 2.0  # below this the noise of single pixels decides
MIN_COVERAGE = 0.3  # share of a ring's area that has to be known for its mean to stand for it


def radial_profile(image, x, y):
    """
    Cumulative flux around a point, missing pixels replaced by their ring's mean.

    Parameters
    ----------
    image : (ny, nx) array
        Surface brightness above the sky, NaN where missing.
    x, y : float
        Centre in pixels.

    Returns
    -------
    radius, flux : (M,) float arrays
        Outer radius of each ring in pixels, and the flux inside it.
    """
    ny, nx = image.shape
    distance = np.hypot(np.arange(nx)[None, :] - x, np.arange(ny)[:, None] - y)
    ring = (distance / BIN).astype(int).ravel()
    known = np.isfinite(image).ravel()
    n_rings = max(int(max(x, y, nx - 1 - x, ny - 1 - y) / BIN), 1)
    count = np.bincount(ring[known], minlength=n_rings)[:n_rings]
    total = np.bincount(ring[known], image.ravel()[known], minlength=n_rings)[:n_rings]
    radius = BIN * np.arange(1, n_rings + 1)
    area = np.pi * np.diff(radius ** 2, prepend=0.0)
    # near an edge a part of the ring stands for the whole; single pixels at the centre do not fill their ring
    covered = (count >= MIN_COVERAGE * area) & (count > 0)
    last = np.flatnonzero(covered)[-1] + 1 if covered.any() else 0
    radius, area, covered = radius[:last], area[:last], covered[:last]
    mean = np.interp(radius, radius[covered], total[:last][covered] / count[:last][covered]) if last else radius
    return radius, np.cumsum(mean * area)


def petrosian_r90(image, x, y):
    """
    Radius that holds 90 per cent of the Petrosian flux.

    The Petrosian radius is the smallest at which the surface brightness in a
    ring from 0.8 to 1.25 of it has fallen to a fifth of the mean inside; the
    Petrosian flux is that inside two such radii (Blanton et al. 2001, AJ 121,
    2358; Strauss et al. 2002, AJ 124, 1810). Circles, as in SDSS.

    Parameters
    ----------
    image : (ny, nx) array
        Surface brightness above the sky, NaN where pixels are missing or
        belong to another source.
    x, y : float
        Centre in pixels.

    Returns
    -------
    r90 : float
        In pixels; NaN where the profile does not fall far enough within the
        image, or there is no light.
    """
    radius, flux = radial_profile(image, x, y)
    if not len(radius):
        return np.nan
    inside = np.interp(RING[0] * radius, radius, flux, left=0.0)
    outside = np.interp(RING[1] * radius, radius, flux)
    ring_area = np.pi * (RING[1] ** 2 - RING[0] ** 2) * radius ** 2
    with np.errstate(divide='ignore', invalid='ignore'):
        ratio = (outside - inside) / ring_area / (flux / (np.pi * radius ** 2))
    below = (ratio < ETA) & (flux > 0) & (radius >= MIN_RADIUS) & (RING[1] * radius <= radius[-1])
    if not below.any():
        return np.nan
    petrosian = radius[np.argmax(below)]
    # a galaxy that fills its image is measured as far as there is one
    within = radius <= FLUX_RADII * petrosian
    growth = np.maximum.accumulate(flux[within])
    return float(np.interp(0.9 * growth[-1], growth, radius[within]))
