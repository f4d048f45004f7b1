# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies of known light added to the images of a field, by GalSim."""

import numpy as np
from astropy import units as u

from galvae_affiliated.simulation.templates import (
    CORE,
    nominal_radius,
    own_radius,
    template_centres,
    template_radii,
)

ZERO_POINT = 22.5  # AB magnitude of a nanomaggy
LEAST_STAMP = 32  # pixels a side
MOFFAT_BETA = 3.5


class Painter:
    """
    Adds galaxies to the images of a field.

    Parameters
    ----------
    images : dict of str to (ny, nx) float32 array
        By band, in the order of the templates' channels; changed in place.
    pixel_scale : float
        Arcsec.
    psf_fwhm : dict of str to float
        Arcsec.
    field_of_view : float
        Side of a template in nominal petroR90.
    """

    def __init__(self, images, pixel_scale, psf_fwhm, field_of_view):
        import galsim

        self.galsim = galsim
        self.bands = list(images)
        self.canvas = {band: galsim.ImageF(image, xmin=0, ymin=0, scale=pixel_scale)
                       for band, image in images.items()}
        self.psf = {band: galsim.Moffat(beta=MOFFAT_BETA, fwhm=psf_fwhm[band]) for band in images}
        self.pixel_scale, self.field_of_view = pixel_scale, field_of_view

    def add(self, light, rows):
        """
        Draw galaxies.

        Parameters
        ----------
        light : (N, 3, grid, grid) array
            Templates; see `surface_brightness`.
        rows : `~astropy.table.QTable`
            Their ``x``, ``y``, ``mag`` and ``petro_r90``.

        Returns
        -------
        flux : (N, 3) float array
            nmgy, by band; zero where a template has no light.
        seen : (N,) float array
            petroR90 in arcsec of the galaxy after the PSF, in the middle band and without
            noise and neighbours; NaN for one that does not touch the image.
        """
        wanted = 10 ** (-0.4 * (rows['mag'].value - ZERO_POINT))
        nominal = nominal_radius(light.shape[-1], self.field_of_view)
        centres = template_centres(light, self.field_of_view)
        radius = template_radii(light, *centres, self.field_of_view)
        radius = np.where(np.isnan(radius), nominal, radius)
        step = rows['petro_r90'].to_value(u.arcsec) / radius
        total = light.sum(axis=(2, 3))
        middle = total[:, light.shape[1] // 2]
        factor = np.where(middle > 0, wanted / np.where(middle > 0, middle, 1.0), 0.0)
        flux = np.maximum(factor[:, None] * total, 0.0)
        seen = [self._draw(*one) for one in
                zip(light, flux, step, np.transpose(centres), rows['x'], rows['y'])]
        return flux, np.array(seen, dtype=float)

    def _draw(self, templates, flux, step, centre, x, y):
        """
        Add one galaxy to all images.

        Parameters
        ----------
        templates : (3, grid, grid) array
        flux : (3,) float array
        step : float
            Side of a pixel of the templates, in arcsec.
        centre : (float, float)
            Of the galaxy, in their pixels.
        x, y : float
            Where it goes, in pixels of the images.

        Returns
        -------
        seen : float
            petroR90 in arcsec, in the middle band.
        """
        place = self.galsim.PositionD(float(x), float(y))
        nominal = nominal_radius(templates.shape[-1], self.field_of_view)
        seen = np.nan
        for i, band in enumerate(self.bands):
            stamp = self._stamp(templates[i], flux[i], step, centre, place, band)
            if stamp is None:
                continue
            shared = stamp.bounds & self.canvas[band].bounds
            self.canvas[band][shared] += stamp[shared]
            if i == len(self.bands) // 2:
                core = CORE * nominal * step / self.pixel_scale
                seen = self.pixel_scale * own_radius(stamp.array, x - stamp.xmin,
                                                     y - stamp.ymin, max(core, 1.0))
        return seen

    def _stamp(self, template, flux, step, centre, place, band):
        """One galaxy in one band; None without light, or off the image."""
        galsim, psf = self.galsim, self.psf[band]
        middle = (template.shape[0] - 1) / 2
        shift = [step * (middle - along) for along in centre]
        reach = step * template.shape[0] + 2.0 * max(map(abs, shift)) + 4.0 * psf.fwhm
        size = max(2 * int(np.ceil(0.5 * reach / self.pixel_scale)), LEAST_STAMP)
        bounds = galsim.BoundsI(*_around(place.x, size), *_around(place.y, size))
        if not flux > 0 or not (bounds & self.canvas[band].bounds).isDefined():
            return None
        image = galsim.Image(np.ascontiguousarray(template), scale=step)
        # a PSF of a pixel and more bounds the frequencies; those of the image take long to measure
        galaxy = galsim.InterpolatedImage(image, flux=flux, x_interpolant='linear',
                                          calculate_maxk=psf.fwhm < self.pixel_scale).shift(*shift)
        stamp = galsim.Image(bounds, scale=self.pixel_scale, dtype=np.float32)
        galsim.Convolve(galaxy, psf).drawImage(stamp, center=place)
        return stamp


def _around(middle, size):
    low = int(np.floor(middle)) - size // 2
    return low, low + size - 1
