# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The radius that the size of a cutout is counted in: petroR90."""

import numpy as np

from galvae_affiliated.images._windows import window_ranges

__all__ = ['measure_radii']

ETA = 0.2  # surface brightness at the Petrosian radius over the mean inside it
FLUX_RADII = 2.0  # the Petrosian flux is that inside so many Petrosian radii
BIN = 0.5  # width of the rings of the profile, in pixels
RING = (0.8, 1.25)  # the ring whose surface brightness is compared, in radii
MIN_RADIUS = 2.0  # below this the noise of single pixels decides
MIN_COVERAGE = 0.3  # share of a ring's area that has to be known for its mean to stand for it
SEARCH = 12.0  # pixels; first guess of the radius of the window in which a radius is measured
REACH = 2.5  # the Petrosian flux reaches about so many times as far as its R90
SYMMETRY = 4.0  # units of the noise by which light is a neighbour's, beside a neighbour
MAX_PIXELS = 2 ** 18  # of the windows that are measured at a time, or of the strips of a larger one


def measure_radii(images, x, y, labels=None):
    """
    petroR90 of sources of a field, each in a window that grows until its profile falls within it.

    Parameters
    ----------
    images : `~galvae_affiliated.images.FieldImages`
    x, y : (N,) float arrays
        In pixels, on the image.
    labels : (ny, nx) int array, optional
        Which source a pixel belongs to; neighbours are left out.

    Returns
    -------
    r90 : (N,) float array
        In pixels, NaN where there is no such radius.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import open_field
    >>> from galvae_affiliated.sources import measure_radii
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> field = open_field(images, unit='nmgy', pixel_scale=0.262)
    >>> r90 = measure_radii(field, np.array([70.0]), np.array([90.0]))
    >>> bool(13 < r90[0] < 17)
    True
    """
    r90 = np.full(len(x), np.nan)
    rows, half, largest = np.arange(len(x)), SEARCH, max(images.shape)
    while len(rows):
        size = max(1, int(MAX_PIXELS // min((2 * half) ** 2, images.shape[0] * images.shape[1])))
        for start in range(0, len(rows), size):
            some = rows[start:start + size]
            r90[some] = _r90_within(images, x[some], y[some], half, labels)
        if half > largest:
            break
        # not `>=`: where there is no radius yet, it is NaN
        rows = rows[~(r90[rows] * REACH < half)]
        half *= 2.0
    return r90


def _r90_within(images, x, y, half, labels):
    """petroR90 of some sources, in squares that reach ``half`` pixels to each side."""
    ny, nx = images.shape
    (left, right), (bottom, top) = window_ranges(x, 2 * half, nx), window_ranges(y, 2 * half, ny)
    n_rings = ring_number(np.maximum.reduce([x - left, right - 1 - x, y - bottom, top - 1 - y]))
    most, where = int(n_rings.max()), (x, y, left, right, bottom, top)
    sums, is_known = window_sums(images, *where, most, labels, [1])
    if not is_known.all():
        lost = ~is_known
        where = [values[lost] for values in where]
        sums[:, lost], _ = window_sums(images, *where, most, labels, [0, 2])
    return from_profiles(*profiles(*sums, n_rings))


def window_sums(images, x, y, left, right, bottom, top, n_rings, labels, channels, sky=None,
                noise=None):
    """
    `_ring_sums` of windows of a field, read in strips where these are large.

    Parameters
    ----------
    images, x, y, labels : object
        See `measure_radii`.
    left, right, bottom, top : (N,) int arrays
        First pixel of each window along x, and the one after its last; along y.
    n_rings : int
        Number M of rings.
    channels : sequence of int
        Which bands: the first that is known of a pixel counts.
    sky : (N,) float array, optional
        Level that is subtracted, beside that of the whole image.
    noise : float, optional
        Of a pixel; where it is given, light of neighbours is replaced by symmetry.

    Returns
    -------
    sums : (2, N, M) float array
        Neighbours and missing pixels are left out.
    is_known : (N,) bool array
        Whether any pixel of a window is known.
    """
    height, width = int((top - bottom).max()), int((right - left).max())
    n_rows = max(1, MAX_PIXELS // (len(x) * width))
    sums, is_known = 0, np.zeros(len(x), dtype=bool)
    for start in range(0, height, n_rows):
        rows = min(n_rows, height - start)
        light = _first_known(images, left, bottom + start, (rows, width), channels)
        if sky is not None:
            light -= sky[:, None, None]
        # of windows of one shape some use a part
        beyond = (left[:, None] + np.arange(width) >= right[:, None])[:, None]
        light[np.broadcast_to(beyond, light.shape)] = np.nan
        light[bottom[:, None] + start + np.arange(rows) >= top[:, None]] = np.nan
        is_known |= np.isfinite(light).any(axis=(1, 2))
        if labels is not None:
            _exclude_neighbours(light, labels, x, y, left, bottom + start)
            if noise is not None and rows == height:
                _replace_by_symmetry(light, x - left, y - bottom, noise)
        sums = sums + _ring_sums(light, x - left, y - bottom - start, n_rings)
    return sums, is_known


def _first_known(images, x_start, y_start, shape, channels):
    """(N, h, w) light above the sky, in the first of the bands in which a pixel is known."""
    flux = images.windows(x_start, y_start, shape, channels)
    flux -= images.residual[channels][:, None, None].astype(np.float32)
    light = flux[:, 0]
    for other in np.moveaxis(flux[:, 1:], 1, 0):
        light = np.where(np.isfinite(light), light, other)
    return light


def _exclude_neighbours(light, labels, x, y, x_start, y_start):
    """Make the pixels of a source's neighbours NaN."""
    own = labels[np.rint(y).astype(int), np.rint(x).astype(int)]
    for image, x0, y0, label in zip(light, x_start, y_start, own):
        part = labels[y0:y0 + image.shape[0], x0:x0 + image.shape[1]]
        image[:part.shape[0], :part.shape[1]][(part != 0) & (part != label)] = np.nan


def _replace_by_symmetry(light, x, y, noise):
    """
    Light of neighbours, in place, by what lies opposite of the centre.

    Beside the pixels that are a neighbour's, those that are brighter than their opposite by more
    than the noise, as the wings of a neighbour make them; where there is none, nothing is changed.
    """
    for image, x0, y0 in zip(light, x, y):
        if not np.isnan(image).any():
            continue
        # the part of the window that has an opposite in it
        ends = [(max(2 * c - length + 1, 0), min(2 * c, length - 1) + 1)
                for c, length in zip(np.rint([2 * y0, 2 * x0]) / 2, image.shape)]
        part = image[tuple(slice(int(start), int(stop)) for start, stop in ends)]
        opposite = part[::-1, ::-1].copy()
        with np.errstate(invalid='ignore'):
            replaced = part - opposite > SYMMETRY * noise
        replaced |= np.isnan(part)
        replaced &= np.isfinite(opposite)
        part[replaced] = opposite[replaced]


def ring_number(far):
    """(N,) int array: rings around a point that reach so far."""
    return np.maximum((far / BIN).astype(int), 1)


def _ring_sums(images, x, y, n_rings):
    """
    What the pixels of images add to rings around a point of each.

    Parameters
    ----------
    images : (N, ny, nx) array
        Surface brightness above the sky, NaN where missing.
    x, y : (N,) float arrays
        Centres in pixels.
    n_rings : int
        Number M of rings.

    Returns
    -------
    sums : (2, N, M) float array
        Number of pixels that are known, and their sum, of each ring.
    """
    n, ny, nx = images.shape
    # in double precision: in single, pixels on the edge of a ring fall on either side of it
    along_x, along_y = np.arange(nx) - x[:, None], np.arange(ny) - y[:, None]
    square = along_x[:, None, :] ** 2 + along_y[:, :, None] ** 2
    # one ring more takes the pixels that are in none
    ring = np.minimum(np.sqrt(square, out=square) / BIN, n_rings).astype(np.intp)
    missing = ~np.isfinite(images)
    if missing.any():
        ring[missing] = n_rings
    ring += (np.arange(n) * (n_rings + 1))[:, None, None]
    sums = [np.bincount(ring.ravel(), weights, n * (n_rings + 1))
            for weights in (None, images.ravel())]
    return np.array(sums).reshape(2, n, n_rings + 1)[:, :, :n_rings]


def profiles(count, total, n_rings):
    """
    Cumulative flux, missing pixels replaced by their ring's mean.

    Parameters
    ----------
    count, total : (N, M) float arrays
        See `_ring_sums`.
    n_rings : (N,) int array
        Rings of each that count.

    Returns
    -------
    radius : (M,) float array
        Outer radius of each ring in pixels.
    flux : (N, M) float array
        The flux inside it.
    n_known : (N,) int array
        How many of the rings are known.
    """
    most = count.shape[1]
    radius = BIN * np.arange(1, most + 1)
    area = np.pi * np.diff(radius ** 2, prepend=0.0)
    # near an edge a part of the ring stands for the whole;
    # single pixels at the centre do not fill their ring
    covered = (count >= MIN_COVERAGE * area) & (count > 0) & (np.arange(most) < n_rings[:, None])
    mean = _fill_by_symmetry(total / np.maximum(count, 1), covered)
    n_known = np.where(covered.any(axis=1), most - np.argmax(covered[:, ::-1], axis=1), 0)
    return radius, np.cumsum(mean * area, axis=1), n_known


def _fill_by_symmetry(values, known):
    """(N, M) values; unknown ones from the nearest known of the row, linearly between two."""
    length = values.shape[1]
    place = np.broadcast_to(np.arange(length), values.shape)
    before = np.maximum.accumulate(np.where(known, place, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, place, length)[:, ::-1], axis=1)[:, ::-1]
    before, after = np.where(before < 0, after, before), np.where(after == length, before, after)
    low, high = (np.take_along_axis(values, np.clip(side, 0, length - 1), axis=1)
                 for side in (before, after))
    return low + (high - low) * (place - before) / np.maximum(after - before, 1)


def from_profiles(radius, flux, n_known):
    """
    petroR90 of profiles.

    Parameters
    ----------
    radius, flux, n_known : array
        See `profiles`.

    Returns
    -------
    r90 : (N,) float array
        NaN where the profile does not fall far enough, or there is no light.
    """
    n, most = flux.shape
    known = np.arange(most) < n_known[:, None]
    inside, outside = (_at_radii(flux, factor * radius) for factor in RING)
    ring_area = np.pi * (RING[1] ** 2 - RING[0] ** 2) * radius ** 2
    with np.errstate(divide='ignore', invalid='ignore'):
        ratio = (outside - inside) / ring_area / (flux / (np.pi * radius ** 2))
        below = (ratio < ETA) & (flux > 0) & (radius >= MIN_RADIUS) & known
    below &= RING[1] * radius <= BIN * n_known[:, None]
    petrosian = radius[np.argmax(below, axis=1)]
    # a galaxy that fills its image is measured as far as there is one
    within = known & (radius <= FLUX_RADII * petrosian[:, None])
    growth = np.maximum.accumulate(np.where(within, flux, -np.inf), axis=1)
    # the ring in which 90 per cent are reached
    ring = np.minimum((growth <= 0.9 * growth[:, -1:]).sum(axis=1), most - 1)
    rows, before = np.arange(n), np.maximum(ring - 1, 0)
    with np.errstate(divide='ignore', invalid='ignore'):
        part = 0.9 * growth[:, -1] - growth[rows, before]
        part /= growth[rows, ring] - growth[rows, before]
    r90 = np.where(ring > 0, radius[before] + part * BIN, radius[0])
    return np.where(below.any(axis=1), r90, np.nan)


def _at_radii(flux, radius):
    """(N, K) flux inside K radii, linear between the rings and none within the first one."""
    last = flux.shape[1] - 1
    ring = np.clip((radius / BIN).astype(int) - 1, 0, last)
    low, high = flux[:, ring], flux[:, np.minimum(ring + 1, last)]
    return np.where(radius < BIN, 0.0, low + (high - low) * (radius / BIN - 1 - ring))


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
    ny, nx = image.shape
    x, y = np.array([float(x)]), np.array([float(y)])
    n_rings = ring_number(np.maximum(np.maximum(x, nx - 1 - x), np.maximum(y, ny - 1 - y)))
    sums = _ring_sums(np.asarray(image, dtype=float)[None], x, y, int(n_rings[0]))
    return float(from_profiles(*profiles(*sums, n_rings))[0])
