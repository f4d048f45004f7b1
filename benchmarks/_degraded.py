# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies as worse images would show them: blurred, noisier, in larger pixels, in one band."""

import numpy as np
from astropy.table import Table
from scipy.ndimage import fourier_gaussian

from galvae_affiliated import CutoutStack, make_cutouts
from galvae_affiliated.cutouts._grey import MIDDLE
from galvae_affiliated.cutouts.resolution import unresolved
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.images.bands import plan_channels
from galvae_affiliated.simulation.templates import unrendered
from galvae_affiliated.sources.point_sources import MOFFAT_R90

FWHM = 2.3548  # of a Gaussian, in standard deviations
SKY = (0.78, 0.97)  # radii of the ring that is taken for sky, in half sides
PAD = 16  # pixels around an image, so that the other side is not blurred into it


class Degrader:
    """
    Composites at a model's scale, undone to surface brightness, to worse images of them.

    Parameters
    ----------
    composites : (N, 3, grid, grid) array
        Red, green, blue in [0, 1].
    bundle : `~galvae_affiliated.ModelBundle`
        Its first rendering of flux is undone.
    random_state : int, optional
    """

    def __init__(self, composites, bundle, random_state=0):
        self.bundle = bundle
        self.entry = next(e for e in bundle.frame.renderings if e.kind == 'flux')
        self.r90 = bundle.grid / bundle.frame.field_of_view  # pixels
        self.flux = unrendered(np.asarray(composites, dtype=np.float32), self.entry)
        self.rng = np.random.default_rng(random_state)
        middle = (bundle.grid - 1) / 2
        far = np.hypot(*(np.mgrid[:bundle.grid, :bundle.grid] - middle))
        sky = self.flux[:, :, (far > SKY[0] * middle) & (far < SKY[1] * middle)]
        self.level = np.median(sky, axis=2)
        self.noise = 1.4826 * np.median(np.abs(sky - self.level[:, :, None]), axis=2)
        inside = self.flux[:, :, far < self.r90] - self.level[:, :, None]
        # as the flag FAINT has it
        self.signal = inside.mean(axis=2) * np.sqrt(np.pi) * self.r90

    def blurred(self, fwhm):
        """(N, 3, grid, grid) flux, beyond the own seeing by a Gaussian of this FWHM in petroR90."""
        if not fwhm:
            return self.flux
        pad = ((0, 0), (0, 0), (PAD, PAD), (PAD, PAD))
        images = np.pad(self.flux, pad, mode='edge')
        sigma = fwhm * self.r90 / FWHM
        kernel = fourier_gaussian(np.ones(images.shape[2:]), sigma)
        images = np.fft.ifft2(np.fft.fft2(images) * kernel).real
        return images[:, :, PAD:-PAD, PAD:-PAD].astype(np.float32)

    def noisier(self, snr):
        """With noise so that the signal to noise within petroR90 is at most this in each band."""
        sigma = np.maximum(self.signal, 0) / snr
        added = np.sqrt(np.maximum(sigma ** 2 - self.noise ** 2, 0.0))
        noise = self.rng.standard_normal(self.flux.shape, dtype=np.float32)
        return (self.flux + added[:, :, None, None] * noise).astype(np.float32)

    def coarser(self, pixels, flux=None, noise=None):
        """
        With so many pixels in petroR90, and cut out of these as the package does it.

        Of other images than the good ones if ``flux`` is given; each pixel has ``noise``, (3,).
        """
        grid = self.bundle.grid
        step = self.r90 / pixels
        n = int(round(grid / step))
        averages = _averages(grid, n)
        flux = self.flux if flux is None else flux
        images = np.einsum('ai,ncij,bj->ncab', averages, flux, averages, optimize=True)
        if noise is not None:
            deviates = self.rng.standard_normal(images.shape, dtype=np.float32)
            images = images + np.reshape(noise, (3, 1, 1)).astype(np.float32) * deviates
        place = Table({'x': [(n - 1) / 2], 'y': [(n - 1) / 2], 'r': [n / grid * self.r90]})
        bands = self.entry.bands
        return np.concatenate([
            make_cutouts(dict(zip(bands, image)), place, self.bundle, radius='r', unit=UNIT,
                         pixel_scale=1.0, subtract_sky=False, rendering=self.entry.name).data
            for image in images])

    def stack(self, flux, *, grey, fwhm=0.0, pixels=None):
        """`CutoutStack` of degraded images, in color or in the middle band alone."""
        n = len(flux)
        bands = ','.join(self.entry.bands)
        if grey:
            name = self.entry.bands[MIDDLE]
            plan = plan_channels([name], *self.bundle.frame.band_sets(self.entry.name))
            flux = flux[:, [MIDDLE]] * np.array(plan.weights, np.float32)[:, :, None]
            bands = plan.channels
        radius = np.full(n, pixels or self.r90)
        resolution = np.full(n, 1 / (MOFFAT_R90 * fwhm) if fwhm else np.nan)
        flags = unresolved(radius, resolution) | (GalvaeFlags.FEW_BANDS if grey else 0)
        return CutoutStack(np.ascontiguousarray(flux, dtype=np.float32),
                           np.full(n, self.entry.name), flags.astype(np.int32), radius,
                           resolution=resolution, bands=np.full(n, bands))


UNIT = 'nmgy/arcsec2'


def _averages(n_in, n_out):
    """(n_out, n_in) array: share of each pixel in each of the larger ones."""
    edges = np.linspace(0, n_in, n_out + 1)
    low, high = edges[:-1, None], edges[1:, None]
    start = np.arange(n_in)
    overlap = np.clip(np.minimum(high, start + 1) - np.maximum(low, start), 0, 1)
    return (overlap / (n_in / n_out)).astype(np.float32)
