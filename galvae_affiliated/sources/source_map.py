# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The sources of a field, as they were found in its images."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ['SourceMap']


@dataclass(frozen=True)
class SourceMap:
    """
    N sources, and the pixels of each.

    Attributes
    ----------
    labels : (ny, nx) int32 array
        The source that each pixel belongs to, its place plus one; zero for sky.
    light : (ny, nx) float32 array
        Sum of the bands in units of their noise, above the local background.
    noise : float
        Standard deviation of a pixel of it.
    x, y : (N,) float arrays
        Centroids in pixels.
    flags : (N,) int32 array
        What is known against each; see `~galvae_affiliated.flags.GalvaeFlags`.
    reach : (N,) float array
        Pixels from the centroid to the farthest of its own.
    sky : (ny, nx) float32 array
        Level of the middle band around the sources, in nanomaggies per square arcsecond.
    crowding : (N,) float array
        Share of each source's border that other sources touch.
    psf_r90 : float
        petroR90 of a point source in pixels; NaN where the field does not show it.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import open_field
    >>> from galvae_affiliated.sources import map_sources
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> sources = map_sources(open_field(images, unit='nmgy', pixel_scale=0.262))
    >>> sources.of_positions(np.array([70.0, 5.0]), np.array([90.0, 5.0])).tolist()
    [0, -1]
    """

    labels: np.ndarray
    light: np.ndarray
    noise: float
    x: np.ndarray
    y: np.ndarray
    flags: np.ndarray
    reach: np.ndarray
    sky: np.ndarray
    crowding: np.ndarray
    psf_r90: float = field(default=np.nan)

    def of_positions(self, x, y):
        """
        The sources that positions lie on.

        Parameters
        ----------
        x, y : (M,) float arrays
            In pixels, on the image.

        Returns
        -------
        place : (M,) int array
            Of each source; -1 for sky.
        """
        rows, columns = self._pixels(x, y)
        return self.labels[rows, columns] - 1

    def sky_at(self, x, y):
        """(M,) float array: `sky` at positions on the image."""
        rows, columns = self._pixels(x, y)
        return self.sky[rows, columns].astype(float)

    def _pixels(self, x, y):
        return (np.clip(np.rint(values).astype(int), 0, length - 1)
                for values, length in zip((y, x), self.labels.shape))
