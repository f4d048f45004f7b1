# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A simulated field with all that stands between a survey's image and its catalogue, drawn by GalSim.

Spirals with knots, edge-ons, irregulars, pairs, a cluster with the light between its galaxies,
stars with spikes and saturation, cosmic rays, hot pixels, a trail and a faint background. Bright
sources that are no pair lie beside one another, not before one another by chance.
"""

import galsim
import numpy as np
from astropy.table import Table

from galvae_affiliated.sources.petrosian import petrosian_r90

PIXEL = 0.262  # arcsec
BANDS = ('g', 'r', 'z')
NOISE = {'g': 0.012, 'r': 0.02, 'z': 0.05}  # nanomaggies a pixel, as in the Legacy Surveys
SEEING = {'g': 1.25, 'r': 1.15, 'z': 1.05}  # arcsec
FULL_WELL = {'g': 8.0, 'r': 15.0, 'z': 25.0}  # nanomaggies a pixel
SIZE = 1500


class FieldPainter:
    """Images of a field in three bands, the truth of its sources, and where its artefacts are."""

    def __init__(self, seed, size=SIZE):
        self.rng = np.random.default_rng(seed)
        self.size = size
        self.images = {band: np.zeros((size, size), np.float32) for band in BANDS}
        self.artefacts = np.zeros((size, size), dtype=bool)
        self.places = []  # of artefacts, one each
        self.rows = []
        self.taken = []  # x, y and how far from there no other bright source is put
        # no two fields have one PSF
        self.psf = {band: galsim.Moffat(beta=self.rng.uniform(2.8, 4.0),
                                        fwhm=fwhm * self.rng.uniform(0.9, 1.2))
                    .shear(g1=self.rng.normal(0, 0.015), g2=self.rng.normal(0, 0.015))
                    for band, fwhm in SEEING.items()}

    def place(self, margin=40, apart=None):
        """A random place; that of a bright source is not before another by chance."""
        for _ in range(200):
            xy = self.rng.uniform(margin, self.size - margin, 2)
            if apart is None or all(np.hypot(*(xy - at[:2])) > at[2] + apart for at in self.taken):
                break
        if apart is not None:
            self.taken.append((*xy, apart))
        return xy

    def add(self, kind, profile, xy, magnitude, stamp, color=None):
        """Draw a source of one profile; ``color`` is the flux in g and z over that in r."""
        rng = self.rng
        blue, red = color or (rng.uniform(0.3, 0.7), rng.uniform(1.3, 2.2))
        flux = 10 ** (0.4 * (22.5 - magnitude))
        significance, r90 = 0.0, np.nan
        for band, share in zip(BANDS, (blue, 1.0, red)):
            light = profile.withFlux(flux * share)
            light = galsim.Convolve(light, self.psf[band]) if profile.has_hard_edges or \
                kind != 'star' else self.psf[band].withFlux(flux * share)
            image = self._drawn(light, xy, stamp)
            significance += float((image.array ** 2).sum()) / NOISE[band] ** 2
            if band == 'r':
                x0, y0 = xy[0] - image.xmin, xy[1] - image.ymin
                r90 = petrosian_r90(image.array, x0, y0)
            self._paste(band, image)
        self.rows.append((kind, *xy, magnitude, np.sqrt(significance), r90))

    def _drawn(self, light, xy, stamp):
        half = int(stamp) // 2
        x, y = np.rint(xy).astype(int)
        image = galsim.ImageF(galsim.BoundsI(x - half, x + half, y - half, y + half), scale=PIXEL)
        offset = galsim.PositionD(xy[0] - x, xy[1] - y)
        return light.drawImage(image, offset=offset)

    def _paste(self, band, image):
        whole = galsim.ImageF(self.images[band], xmin=0, ymin=0, scale=PIXEL)
        overlap = image.bounds & whole.bounds
        if overlap.isDefined():
            whole[overlap] += image[overlap]

    def spirals(self, n):
        """Discs with two arms of knots and a bulge."""
        for magnitude in self.rng.uniform(15.8, 19.5, n):
            scale = self.rng.uniform(0.7, 1.4) * 2.6 * 10 ** (-0.13 * (magnitude - 16.5))
            self.add('spiral', _spiral(self.rng, scale), self.place(apart=10), magnitude,
                     20 * scale / PIXEL + 20)

    def edge_ons(self, n):
        """Discs seen from the side."""
        for magnitude in self.rng.uniform(16.5, 20.0, n):
            scale = self.rng.uniform(0.7, 1.4) * 2.6 * 10 ** (-0.13 * (magnitude - 16.5))
            disc = galsim.InclinedExponential(self.rng.uniform(84, 90) * galsim.degrees,
                                              scale_radius=scale, scale_h_over_r=0.1)
            turned = disc.rotate(self.rng.uniform(0, 180) * galsim.degrees)
            self.add('edge-on', turned, self.place(apart=8), magnitude, 20 * scale / PIXEL + 20)

    def irregulars(self, n):
        """A third of the light in clumps."""
        for magnitude in self.rng.uniform(17.5, 20.0, n):
            scale = self.rng.uniform(0.7, 1.4) * 1.7 * 10 ** (-0.13 * (magnitude - 17.5))
            seed = galsim.BaseDeviate(int(self.rng.integers(1 << 30)))
            disc = galsim.Exponential(scale_radius=scale)
            clumps = galsim.RandomKnots(12, profile=disc.dilate(0.7), rng=seed)
            clumps = galsim.Convolve(clumps, galsim.Gaussian(sigma=0.3))
            self.add('irregular', (0.67 * disc + 0.33 * clumps).shear(g1=self.rng.normal(0, 0.15)),
                     self.place(apart=10), magnitude, 20 * scale / PIXEL + 20)

    def smooth(self, n, low=16.0, high=20.5, where=None, kind='smooth', reach=80.0):
        """Sersic profiles of ellipticals and small discs."""
        for magnitude in self.rng.uniform(low, high, n):
            size = self.rng.uniform(0.6, 1.5) * 2.2 * 10 ** (-0.16 * (magnitude - 17.0))
            profile = _sersic(self.rng, max(size, 0.25))
            xy = self.place(apart=8) if where is None else where + self.rng.normal(0, reach, 2)
            self.add(kind, profile, xy, magnitude, min(26 * size / PIXEL + 40, 500))

    def pairs(self, n):
        """Two galaxies whose light overlaps."""
        for magnitude in self.rng.uniform(16.5, 19.0, n):
            size = 2.2 * 10 ** (-0.16 * (magnitude - 17.0))
            xy, angle = self.place(60, apart=20), self.rng.uniform(0, 2 * np.pi)
            apart = self.rng.uniform(1.8, 3.0) * size / PIXEL + 4
            other = magnitude + self.rng.uniform(0, 1.5)
            for sign, mag in ((-1, magnitude), (1, other)):
                at = xy + sign * 0.5 * apart * np.array([np.cos(angle), np.sin(angle)])
                self.add('pair', _sersic(self.rng, size * 10 ** (-0.1 * (mag - magnitude))), at,
                         mag, 26 * size / PIXEL + 40)

    def cluster(self, n):
        """A giant in the light between galaxies, and small ones around it."""
        xy = self.place(300, apart=60)
        self.add('halo', galsim.Exponential(scale_radius=20.0).shear(g1=0.1), xy, 15.8, 900,
                 color=(0.4, 1.8))
        self.rows.pop()  # light between galaxies is no source
        self.add('giant', galsim.Sersic(3, half_light_radius=5.0, trunc=40).shear(g1=0.15), xy,
                 15.3, 500, color=(0.4, 1.8))
        self.smooth(n, 18.0, 21.0, where=xy, kind='member', reach=130.0)

    def background(self, n):
        """Faint small galaxies."""
        for magnitude in self.rng.uniform(21.5, 24.5, n):
            profile = galsim.Exponential(half_light_radius=self.rng.uniform(0.2, 0.6))
            self.add('faint', profile.shear(g1=self.rng.normal(0, 0.15)), self.place(5), magnitude,
                     40, color=(self.rng.uniform(0.4, 0.9), self.rng.uniform(1.1, 2.0)))

    def stars(self, n):
        """Points of all magnitudes; the brightest with spikes, all with saturation."""
        for magnitude in np.append(self.rng.uniform(13.5, 15.5, 4), self.rng.uniform(16, 23.5, n)):
            xy = self.place(10, apart=60 if magnitude < 15.5 else 6)
            stamp = 600 if magnitude < 16 else 220 if magnitude < 19 else 60
            color = (self.rng.uniform(0.2, 0.9), self.rng.uniform(1.1, 2.5))
            self.add('star', galsim.DeltaFunction(), xy, magnitude, stamp, color=color)
            if magnitude < 15.5:
                self._spikes(xy, 10 ** (0.4 * (22.5 - magnitude)))

    def _spikes(self, xy, flux):
        y, x = np.mgrid[:self.size, :self.size]
        along, across = np.abs(x - xy[0]), np.abs(y - xy[1])
        for a, b in ((along, across), (across, along)):
            spike = 3e-4 * flux * np.exp(-0.5 * (b / 1.3) ** 2) / (1 + (a / 12.0) ** 2)
            for band in BANDS:
                self.images[band] += spike.astype(np.float32)
            self.artefacts |= spike > NOISE['r']

    def finish(self):
        """Saturation, noise, cosmic rays, hot pixels, a trail; images by band and the truth."""
        for band, image in self.images.items():
            full = FULL_WELL[band]
            over = image > full
            image[over] = full
            # photon noise of about a second of the Legacy Surveys' exposures
            deviation = np.sqrt(NOISE[band] ** 2 + np.clip(image, 0, None) * 4e-4)
            image += self.rng.normal(0, 1, image.shape).astype(np.float32) * deviation
            image[over] = full
        for _ in range(60):
            band = BANDS[self.rng.integers(3)]
            self._ray(band, self.place(10), self.rng.integers(1, 16), self.rng.uniform(15, 300))
        band, (x, y) = BANDS[self.rng.integers(3)], self.place(200)
        self._trail(band, x, y, self.rng.uniform(0, np.pi))
        names = ['kind', 'x', 'y', 'r_mag', 'sn', 'r90']
        return self.images, Table(rows=self.rows, names=names)

    def _ray(self, band, xy, length, height):
        angle = self.rng.uniform(0, np.pi)
        steps = np.arange(0, length, 0.5)[:, None] * [np.cos(angle), np.sin(angle)]
        x, y = np.unique(np.clip(np.rint(xy + steps), 0, self.size - 1).astype(int), axis=0).T
        self.images[band][y, x] += NOISE[band] * height * self.rng.uniform(0.5, 1.5, len(x))
        self.artefacts[y, x] = True
        self.places.append((x.mean(), y.mean(), length / 2 + 2))

    def _trail(self, band, x0, y0, angle):
        y, x = np.mgrid[:self.size, :self.size]
        across = (x - x0) * np.sin(angle) - (y - y0) * np.cos(angle)
        trail = NOISE[band] * 8 * np.exp(-0.5 * (across / 2.0) ** 2)
        self.images[band] += trail.astype(np.float32)
        self.artefacts |= trail > NOISE[band]


def _sersic(rng, half_light):
    index = rng.choice([1.0, 1.5, 2.5, 4.0])
    profile = galsim.Sersic(index, half_light_radius=half_light, trunc=8 * half_light)
    return profile.shear(g=np.clip(abs(rng.normal(0, 0.2)), 0, 0.6),
                         beta=rng.uniform(0, 180) * galsim.degrees)


def _spiral(rng, scale, pixel=0.12):
    """Arms, knots and a bulge on a fine grid, tilted."""
    half = int(7 * scale / pixel)
    y, x = np.mgrid[-half:half + 1, -half:half + 1] * pixel
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    pitch, phase = np.tan(np.radians(rng.uniform(12, 25))), rng.uniform(0, 2 * np.pi)
    arms = 1 + 0.6 * np.cos(2 * (angle - np.log(r / scale + 0.1) / pitch) + phase)
    light = np.exp(-r / scale) * arms
    light /= light.sum()
    for _ in range(rng.integers(10, 40)):
        rk = scale * rng.uniform(0.7, 3.0)
        ak = np.log(rk / scale + 0.1) / pitch - phase / 2 + rng.normal(0, 0.15)
        ak += np.pi * rng.integers(2)
        size = scale * rng.uniform(0.08, 0.2)
        knot = np.exp(-0.5 * ((x - rk * np.cos(ak)) ** 2 + (y - rk * np.sin(ak)) ** 2) / size ** 2)
        light += rng.uniform(0.3, 1.0) * 0.02 * np.exp(-rk / scale / 2) * knot / knot.sum()
    bulge = np.exp(-7.67 * ((r ** 2 + pixel ** 2) ** 0.125 / (0.35 * scale) ** 0.25))
    light += rng.uniform(0.05, 0.4) * bulge / bulge.sum()
    image = galsim.ImageD(np.ascontiguousarray(light), scale=pixel)
    profile = galsim.InterpolatedImage(image, x_interpolant='linear', normalization='flux')
    return profile.shear(q=rng.uniform(0.4, 1.0), beta=rng.uniform(0, 180) * galsim.degrees)


def simulate(seed):
    """Images by band, truth, places of cosmic rays, and a mask of all artefacts."""
    painter = FieldPainter(seed)
    painter.stars(90)
    painter.spirals(25)
    painter.edge_ons(15)
    painter.irregulars(12)
    painter.smooth(40)
    painter.pairs(8)
    painter.cluster(20)
    painter.background(500)
    images, truth = painter.finish()
    return images, truth, np.array(painter.places), painter.artefacts
