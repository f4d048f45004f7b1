# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The pixels of sources, one source after another: sums and maxima of all at once."""

import numpy as np

RING = 0.5  # pixels; width of the rings in which light is counted around a source


class SegmentPixels:
    """
    The M pixels that N sources own, sorted by source.

    Parameters
    ----------
    labels : (ny, nx) int array
        The source that each pixel belongs to, from one without a gap; zero for sky.

    Attributes
    ----------
    index : (M,) int array
        Places in the image as one row.
    source : (M,) int array
        From zero.
    rows, columns : (M,) int arrays
    start : (N,) int array
        Where the pixels of each source begin.
    area : (N,) int array
        Number of pixels of each.
    """

    def __init__(self, labels):
        index = np.flatnonzero(labels)
        source = labels.ravel()[index] - 1
        self.n = int(source.max(initial=-1)) + 1
        # numbers of 16 bits are sorted without comparing them, many times faster
        key = source.astype(np.uint16) if self.n <= 1 << 16 else source
        order = np.argsort(key, kind='stable')
        self.index, self.source = index[order], source[order].astype(np.intp)
        self.rows, self.columns = np.divmod(self.index, labels.shape[1])
        self.area = np.bincount(self.source, minlength=self.n)
        self.start = np.cumsum(self.area) - self.area

    def of(self, image):
        """(..., M) array: the values of a (..., ny, nx) image."""
        return image.reshape(*image.shape[:-2], -1)[..., self.index]

    def each(self, values):
        """(M,) array: for every pixel, its source's of (N,) values."""
        return np.repeat(values, self.area)

    def sum(self, values):
        """(..., N) float array: sums over each source of (..., M) values."""
        if not self.n:
            return np.zeros((*values.shape[:-1], 0))
        return np.add.reduceat(values, self.start, axis=-1, dtype=float)

    def maximum(self, values):
        """(..., N) array: the largest of (..., M) values of each source."""
        if not self.n:
            return np.zeros((*values.shape[:-1], 0))
        return np.maximum.reduceat(values, self.start, axis=-1)

    def brightest(self, values):
        """(N,) int array: the pixel, of M, with the largest of (M,) values of each source."""
        places = np.flatnonzero(values == self.each(self.maximum(values)))
        first = np.searchsorted(self.source[places], np.arange(self.n))
        return places[first]

    def distances(self, x, y):
        """(M,) float32 array: of the pixels from (N,) positions of their sources."""
        dx = (self.columns - self.each(x)).astype(np.float32)
        dy = (self.rows - self.each(y)).astype(np.float32)
        return np.sqrt(dx * dx + dy * dy)

    def half_light_areas(self, light, far):
        """
        (N,) float array: how many pixels nearest to its centre hold half of a source's light.

        Parameters
        ----------
        light, far : (M,) arrays
            Light, which is not negative, and distance from the centre of each pixel.
        """
        if not self.n:
            return np.zeros(0)
        ring = (far / RING).astype(np.intp)
        n_rings = self.maximum(ring) + 1
        first = np.cumsum(n_rings) - n_rings
        ring += self.each(first)
        most = int(n_rings.sum())
        # an empty growth before each source makes the first ring like the others
        growth = np.cumsum(np.bincount(ring, light, most))
        area = np.cumsum(np.bincount(ring, minlength=most))
        before = np.append(0.0, growth)[first]
        total = growth[first + n_rings - 1] - before
        half = before + 0.5 * total
        place = np.clip(np.searchsorted(growth, half), first, first + n_rings - 1)
        low_light, low_area = (np.where(place > 0, values[place - 1], 0) for values in
                               (growth, area))
        gain = growth[place] - low_light
        part = np.where(gain > 0, (half - low_light) / np.where(gain > 0, gain, 1.0), 1.0)
        inside = low_area + np.clip(part, 0, 1) * (area[place] - low_area)
        return inside - np.append(0, area)[first]


def border_pairs(labels):
    """
    Which sources touch along how many sides of pixels.

    Parameters
    ----------
    labels : (ny, nx) int array
        The source that each pixel belongs to, from one; zero for sky.

    Returns
    -------
    own, other : (K,) int arrays
        Labels of pairs that touch, each in both orders; zero for the sky.
    sides : (K,) int array
        Of pixels, that they share.
    """
    n = int(labels.max(initial=0)) + 1
    keys = []
    for one, two in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        touch = one != two
        a, b = one[touch].astype(np.int64), two[touch].astype(np.int64)
        keys += [a * n + b, b * n + a]
    pairs, sides = np.unique(np.concatenate(keys), return_counts=True)
    return *np.divmod(pairs, n), sides
