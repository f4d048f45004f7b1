# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images of one field in one or more bands, on one grid, in one unit."""

import warnings
from dataclasses import replace

import numpy as np

from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.images._windows import overlaps
from galvae_affiliated.images.bands import is_band, parse_band, plan_channels, power_law
from galvae_affiliated.images.planes import read_planes
from galvae_affiliated.images.seeing import seeing_in_pixels
from galvae_affiliated.images.sky import (
    sample_pixels,
    sample_regions,
    sky_and_noise,
    zero_areas,
)
from galvae_affiliated.images.units import (
    ZERO_POINT_NANOMAGGY,
    calibration,
    check_square,
    pixel_area,
    stated_calibration,
)

__all__ = ['FieldImages']

REFERENCE_PIXEL = 0.262  # arcsec; the pixel for which a bundle states the noise of each band
ALIGNED = 0.1  # pixels; grids that agree so well are the same
AGREED = 1.05  # a pixel scale that is given, over that of the WCS
# noise over that of usual images, beyond which the unit cannot be right
STRANGE_NOISE = 1e5
# AB magnitudes per square arcsecond of what stands out of the sky: the demonstration field and
# those of DECam have 21 to 22.4, and a thousand times as much or as little is neither
PLAUSIBLE_BRIGHTNESS = (15.5, 27.0)
BRIGHT, FEW_BRIGHT = 10.0, 30  # units of the noise, and pixels
FEW_PIXELS = 4096  # of an image, in which the noise is the light of its galaxies
ROUNDED = 1e-11  # of the usual noise: what arithmetic leaves in an image without noise
# a sky level above so many times the noise is a pedestal, not a residual
PEDESTAL = 1.0


class FieldImages:
    """
    The bands of one field, calibrated to nanomaggies per square arcsecond, as three channels.

    Which band enters which channel is in `~galvae_affiliated.images.plan_channels`: three
    bands that the model takes are the channels, one band is all three of them.

    Parameters
    ----------
    images : mapping, sequence, array, Quantity, NDData, str or path
        Band -> image; or images in the order of ``bands``; or one source that
        holds all bands as planes or extensions. Arrays are (ny, nx).
    band_sets : list of tuple of str
        The combinations of bands that the model takes best, from red to blue.
    typical : dict of str to dict of str to float
        For images of unknown flux unit, by band: ``noise`` of a pixel
        of 0.262 arcsec in nanomaggies per square arcsecond, and ``flux`` of a
        galaxy relative to the r band. Bands between and beyond follow the power law.
    bands : str or sequence of str, optional
        Names or wavelengths of the bands, such as 'g,r,z', 'VIS' or '814 nm'.
    scales : sequence of tuple of float, optional
        How the model scales the bands of each combination; None knows no scales.
    unit : str or `~astropy.units.Unit`, optional
        Flux unit, in place of what the images state.
    zero_point : float or dict of str to float, optional
        AB magnitude of one count, for all bands or by band.
    pixel_scale : float, optional
        Side of a pixel in arcsec, for images without WCS.
    subtract_sky : bool or None, optional
        Whether to subtract each band's clipped median; None does where it is
        more than the noise.

    Attributes
    ----------
    bands : tuple of str
        Those that are used, from red to blue.
    plan : `~galvae_affiliated.images.ChannelPlan`
        How they become the channels.
    shape : tuple of int
        (ny, nx).
    wcs : `~astropy.wcs.WCS` or None
    pixel_scale : float or None
        In arcsec; None if it is not known.
    seeing : float or None
        Full width at half maximum of a star in pixels of the middle band, as the header of that
        band, or else of another, states it; None where none does.
    scale_estimated : bool
        Whether the flux scale was estimated from the noise.
    noise, residual : (3,) float array
        Of each channel: standard deviation of a pixel, and level of the sky that is left, in
        nanomaggies per square arcsecond.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        Naming the image and what was expected.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import get_model, open_field
    >>> images = {band: np.random.default_rng(0).normal(0.0, 0.1, (80, 90)) for band in 'grz'}
    >>> field = open_field(images, unit='nmgy', pixel_scale=0.262)
    >>> field.shape, field.whole().shape
    ((80, 90), (3, 80, 90))
    """

    def __init__(self, images, *, band_sets, typical, bands=None, unit=None, zero_point=None,
                 pixel_scale=None, subtract_sky=None, scales=None):
        planes = read_planes(images, bands)
        self.given = tuple(planes)
        self.plan = plan_channels(self.given, band_sets, scales)
        self.bands = self.plan.bands
        planes = [planes[band] for band in self.bands]
        self.planes, self.wcs = _common_grid(planes, self.bands)
        self.shape = self.planes[0].data.shape
        # a band without WCS is on the common grid
        areas = _pixel_areas(planes, self.wcs, self.planes, pixel_scale)
        area = areas[_reference(areas)]
        self.pixel_scale = None if area is None else float(np.sqrt(area))
        self.seeing = _stated_seeing(planes, areas, self.pixel_scale)
        stated = stated_calibration(unit, zero_point, self.bands)
        self.is_stated = any(one != (None, None) for one in stated) or any(
            plane.unit is not None or plane.zero_point is not None for plane in planes)
        factors = [calibration(plane, *stated[i], areas[i]) for i, plane in enumerate(planes)]
        usual = {quantity: [_usual(band, typical, quantity) for band in self.bands]
                 for quantity in ('noise', 'flux')}
        self._calibrate(factors, subtract_sky, usual)
        self._check_noise(usual['noise'], unit, zero_point)
        self._mix()

    def _mix(self):
        """What is known of the bands, of the channels."""
        weights = np.array(self.plan.weights)
        self.residual = weights @ self.band_residual
        self.noise = np.sqrt(weights ** 2 @ self.band_noise ** 2)

    def _calibrate(self, factors, subtract_sky, usual):
        """Measure sky and noise; estimate the scale of the bands where it is not known."""
        levels, deviations, kinds = zip(*map(sky_and_noise, self.planes))
        level, deviation = np.array(levels), np.array(deviations)
        # what a zero is; not missing in simulations without noise, but a band of nothing but
        # zeros is none
        self.zeros = [kind if noise > 0 or sky == 0 else 'data'
                      for kind, sky, noise in zip(kinds, level, deviation)]
        if subtract_sky is None:
            subtract_sky = np.abs(level) > PEDESTAL * deviation
        self.sky = np.where(subtract_sky, level, 0.0)
        unknown = [band for band, factor in zip(self.bands, factors) if factor is None]
        self.scale_estimated = bool(unknown)
        if unknown:
            warnings.warn(f'no flux unit is known for band {", ".join(unknown)}: the scale is '
                          'estimated from the noise, colours and depth are approximate; '
                          f'{self._what_lacks(unknown)}', GalvaeWarning, stacklevel=5)
            factors = self._estimated_factors(factors, level, deviation, usual)
        self.factors = np.array(factors)
        # the level of the sky that is left, in nanomaggies per square arcsecond
        self.band_residual = (level - self.sky) * self.factors
        self.band_noise = deviation * np.abs(self.factors)

    def _what_lacks(self, unknown):
        """What the user may state, and what was got and not understood."""
        planes = [self.planes[self.bands.index(band)] for band in unknown]
        texts = sorted({plane.not_understood for plane in planes} - {None})
        if texts:
            return (f'the header says {texts[0]!r}, which is no unit of flux that is known; state '
                    'a unit, or a zero point')
        if self.pixel_scale is None and self.is_stated:
            return 'a unit is known, but the pixel scale lacks: state a pixel scale, or a WCS'
        lacking = ' and a pixel scale' if self.pixel_scale is None else ''
        return f'state a unit, or a zero point{lacking or " and a pixel scale"}'

    def _check_noise(self, usual, unit, zero_point):
        """Warn where the noise is what no image has, since the unit is wrong then."""
        if self.scale_estimated or np.prod(self.shape) < FEW_PIXELS:
            return
        noise, pixel = self.band_noise, self.pixel_scale or REFERENCE_PIXEL
        ratio = noise / np.array(usual) * pixel / REFERENCE_PIXEL
        low = (ROUNDED < ratio) & (ratio <= 1 / STRANGE_NOISE)
        strange = low | (ratio >= STRANGE_NOISE)
        i = int(strange.argmax()) if strange.any() else _reference(self.bands)
        stated = (('unit', unit), ('zero point', zero_point), ('unit', self.planes[i].unit))
        what = next((f"{name} '{value}'" for name, value in stated if value is not None),
                    'zero point of the header')
        if strange.any():
            warnings.warn(f'by the {what} the noise of band {self.bands[i]} is '
                          f'{noise[i]:.3g} nanomaggies per square arcsecond, {ratio[i]:.1g} '
                          'times the usual; is that the unit of the pixels?', GalvaeWarning,
                          stacklevel=5)
            return
        brightness = self._usual_brightness(i)
        bright, faint = PLAUSIBLE_BRIGHTNESS
        if not bright <= brightness <= faint:  # such as nJy taken for uJy
            warnings.warn(f'by the {what} the sources of band {self.bands[i]} have '
                          f'{brightness:.1f} mag per square arcsecond in the median, where they '
                          f'stand out; expected {bright:g} to {faint:g}: is that the unit of the '
                          'pixels?', GalvaeWarning, stacklevel=5)

    def _usual_brightness(self, i):
        """Median surface brightness in AB magnitudes of bright pixels; of few, a plausible one."""
        values = sample_pixels(self.planes[i].data, sample_regions(self.shape))
        light = (values - self.sky[i]) * self.factors[i] - self.band_residual[i]
        light = light[np.isfinite(light) & (light > BRIGHT * self.band_noise[i])]
        if len(light) < FEW_BRIGHT or not self.band_noise[i] > 0:
            return np.mean(PLAUSIBLE_BRIGHTNESS)
        return ZERO_POINT_NANOMAGGY - 2.5 * np.log10(np.median(light))

    def _estimated_factors(self, factors, level, deviation, usual):
        """
        Factors with those filled in that are not known.

        Unless another band is known, the middle one is scaled so that its
        noise is usual; the others so that the bright pixels have the mean
        colour of galaxies.
        """
        factors = list(factors)
        middle = _reference(factors)
        known = [i for i, factor in enumerate(factors) if factor is not None]
        anchor = min(known, key=lambda i: (i != middle, i), default=middle)
        if factors[anchor] is None:
            pixel = self.pixel_scale or REFERENCE_PIXEL
            noise = usual['noise'][anchor] * REFERENCE_PIXEL / pixel
            if not np.isfinite(noise):
                raise ValueError(f'no flux unit is known for band {self.bands[anchor]}, nor how '
                                 'noisy its images usually are; state a unit, or a zero point')
            factors[anchor] = noise / (deviation[anchor] or 1.0)
        bright = self._bright_fluxes(anchor, level, deviation[anchor])
        for i in range(len(factors)):
            if factors[i] is None:
                ratio = usual['flux'][i] / usual['flux'][anchor]
                factors[i] = factors[anchor]
                if bright[i] > 0:
                    factors[i] *= ratio * bright[anchor] / bright[i]
        return factors

    def _bright_fluxes(self, anchor, level, deviation):
        """(n,) sums above the sky, in each band's own unit, of pixels bright in the anchor."""
        parts = sample_regions(self.shape)
        flux = np.array([sample_pixels(plane.data, parts).astype(np.float64) - sky
                         for plane, sky in zip(self.planes, level)])
        light = flux[anchor]
        known = np.isfinite(flux).all(axis=0)
        if not known.any():
            return np.zeros(len(flux))
        # the very brightest are saturated stars
        bright = known & (light > 5.0 * deviation) & (light < np.percentile(light[known], 99.9))
        return flux[:, bright].sum(axis=1)

    def window(self, x_range, y_range, channels=(0, 1, 2)):
        """
        Part of the images.

        Parameters
        ----------
        x_range, y_range : tuple of int
            First pixel and the one after the last.
        channels : sequence of int, optional
            Which of the channels.

        Returns
        -------
        flux : (len(channels), h, w) float32 array
            Nanomaggies per square arcsecond from red to blue, NaN where a
            pixel is masked, not finite, or exactly zero in an image of floats (of one of
            whole numbers, within an area of zeros). Of a band that the model does not take,
            what a band of its channel would have that it renders as brightly.
        """
        shape = (y_range[1] - y_range[0], x_range[1] - x_range[0])
        return self.windows([x_range[0]], [y_range[0]], shape, channels)[0]

    def windows(self, x_start, y_start, shape, channels=(0, 1, 2)):
        """
        Parts of equal size.

        Parameters
        ----------
        x_start, y_start : (N,) int sequences
            First pixel of each.
        shape : tuple of int
            (h, w) of all.
        channels : sequence of int, optional
            Which of the channels.

        Returns
        -------
        flux : (N, len(channels), h, w) float32 array
            See `window`; NaN off the image, too.
        """
        rows = overlaps(y_start, shape[0], self.shape[0])
        columns = overlaps(x_start, shape[1], self.shape[1])
        parts = [((y_in, x_in), (y, x)) for (y_in, y), (x_in, x) in zip(rows, columns)]
        flux = np.empty((len(parts), len(channels), *shape), dtype=np.float32)
        read = {}
        for k, i in enumerate(channels):
            self._read_channel(i, parts, flux[:, k], read)
        infinite = np.isinf(flux)
        if infinite.any():
            flux[infinite] = np.nan
        return flux

    def _read_channel(self, i, parts, flux, read):
        """Parts of one channel into ``flux``; ``read`` keeps the bands for other channels."""
        terms = [(band, weight) for band, weight in enumerate(self.plan.weights[i]) if weight]
        if terms == [(i, 1.0)]:
            self._read(i, parts, flux)
            return
        flux[:] = 0.0
        for band, weight in terms:
            if band not in read:
                read[band] = np.empty(flux.shape, dtype=np.float32)
                self._read(band, parts, read[band])
            flux += np.float32(weight) * read[band]

    def _read(self, i, parts, flux):
        """Calibrate parts of one band into ``flux``."""
        plane, sky, factor = self.planes[i], self.sky[i], self.factors[i]
        single = np.finfo(np.float32)
        # other numbers, or a level that is far above the signal, would be rounded in float32
        is_single = plane.data.dtype in ('<f4', '>f4') and single.tiny < abs(factor) < single.max
        exact = not is_single or sky != 0
        values = np.empty(flux.shape) if exact else flux
        for result, (inside, part) in zip(values, parts):
            pixels = plane.data[part]
            if pixels.shape != result.shape:
                result[:] = np.nan
            result[inside] = pixels
        if self.zeros[i] != 'data':
            # mosaics hold zero where no exposure reached; noise is never exactly zero
            zero = values == 0
            if zero.any():
                values[zero if self.zeros[i] == 'missing' else zero_areas(zero)] = np.nan
        if plane.bad is not None:
            for result, (inside, part) in zip(values, parts):
                result[inside][plane.bad[part]] = np.nan
        if exact:
            values -= sky
        np.multiply(values, factor, out=flux, casting='same_kind', dtype=values.dtype)

    def whole(self):
        """(3, ny, nx) float32 array: `window` of the whole image."""
        return self.window((0, self.shape[1]), (0, self.shape[0]))


def _reference(bands):
    """Place of the band whose grid is that of all: the middle one, the bluer of two."""
    return len(bands) // 2


def _usual(band, typical, quantity):
    """What images, or galaxies, usually have in a band; NaN where nothing is known."""
    known = {name: float(entry[quantity]) for name, entry in typical.items() if quantity in entry}
    if band in known or not is_band(band):
        return known.get(band, np.nan)
    found = parse_band(band)
    if found.standard in known:
        return known[found.standard]
    light = {name: parse_band(name).wavelength for name in known if is_band(name)}
    return power_law(found.wavelength, list(light.values()), [known[name] for name in light])


def _pixel_areas(planes, wcs, aligned, pixel_scale):
    """
    Area of a pixel of each band as its source has it, in square arcseconds; None if unknown.

    Parameters
    ----------
    planes : list of Plane
        As they were read.
    wcs : `~astropy.wcs.WCS` or None
        Of the common grid, which bands without a WCS of their own are on.
    aligned : list of Plane
        On the common grid.
    pixel_scale : float or None
        Side of a pixel of the common grid in arcsec, as the user states it.
    """
    own = [pixel_area(plane.wcs or wcs, None, plane.data.shape) for plane in planes]
    if pixel_scale is None:
        for plane in planes:
            if plane.wcs is not None:
                check_square(plane.wcs, plane.data.shape, plane.origin)
        return own
    stated = pixel_area(None, pixel_scale)
    middle = own[_reference(own)]
    if middle is not None and not 1 / AGREED < np.sqrt(stated / middle) < AGREED:
        warnings.warn(f'the pixel scale is given as {np.sqrt(stated):g} arcsec, and the WCS says '
                      f'{np.sqrt(middle):.4g}; the one that is given is taken', GalvaeWarning,
                      stacklevel=4)
    # a band that was on another grid has pixels of another size
    return [stated if plane is same or middle is None else stated * area / middle
            for plane, same, area in zip(planes, aligned, own)]


def _stated_seeing(planes, areas, pixel_scale):
    """Seeing in pixels of the middle band, of its header or another; None if none states it."""
    middle = _reference(planes)
    for i in sorted(range(len(planes)), key=lambda i: (i != middle, i)):
        plane = planes[i]
        if plane.seeing is not None:
            own = None if areas[i] is None else float(np.sqrt(areas[i]))
            pixels = seeing_in_pixels(plane.seeing, own, plane.origin)
            if pixels is not None:
                return pixels if own is None else pixels * own / (pixel_scale or own)
    return None


def _common_grid(planes, bands):
    """Planes on the grid of the middle one, and its WCS; reprojected where they have to be."""
    middle, target = planes[_reference(planes)], bands[_reference(planes)]
    wcs = middle.wcs or next((plane.wcs for plane in planes if plane.wcs is not None
                              and plane.data.shape == middle.data.shape), None)
    result = []
    for plane, band in zip(planes, bands):
        if plane.bad is not None and plane.bad.shape != plane.data.shape:
            raise ValueError(f'{plane.origin}: the mask of band {band} has shape '
                             f'{plane.bad.shape}, the image {plane.data.shape}')
        if _on_same_grid(plane, middle):
            result.append(plane)
        elif plane.wcs is None or middle.wcs is None:
            raise ValueError(f'the image of band {band} has shape {plane.data.shape}, that of band '
                             f'{target} {middle.data.shape}, and without a WCS in both they '
                             'cannot be aligned')
        else:
            result.append(_reprojected(plane, middle, band, target))
    return result, wcs


def _on_same_grid(plane, other):
    if plane.data.shape != other.data.shape:
        return False
    if plane.wcs is None or other.wcs is None:
        return True
    ny, nx = plane.data.shape
    corners = np.array([[0, nx - 1, 0, nx - 1], [0, 0, ny - 1, ny - 1]], dtype=float)
    moved = other.wcs.world_to_pixel(plane.wcs.pixel_to_world(*corners))
    return bool(np.max(np.abs(np.array(moved) - corners)) < ALIGNED)


def _reprojected(plane, target, band, target_band):
    from reproject import reproject_interp

    data = np.array(plane.data, dtype=np.float64)
    data[~np.isfinite(data) | (plane.bad if plane.bad is not None else False)] = np.nan
    values, footprint = reproject_interp((data, plane.wcs), target.wcs, shape_out=target.data.shape)
    if not (footprint > 0).any():
        raise ValueError(f'the images of bands {band} and {target_band} do not overlap on the sky')
    return replace(plane, data=values.astype(np.float32), bad=None, wcs=target.wcs)
