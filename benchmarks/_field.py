# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A simulated mosaic in three bands with a catalogue, made once and kept as FITS.

Sersic-like galaxies from a small library of stamps at random places, crowded as a deep survey is,
with the pixels and the noise of the Legacy Surveys. They are made to be cut out and encoded fast or
slowly, not to be looked at: the stamps have no seeing, and a galaxy lies at the centre of a pixel.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

BANDS = ('g', 'r', 'z')
PIXEL = 0.262  # arcsec
NOISE = {'g': 0.012, 'r': 0.02, 'z': 0.05}  # nanomaggies a pixel
COLOR = {'g': 0.6, 'r': 1.0, 'z': 1.5}  # flux relative to the r band
# petroR90 in pixels, and the standard deviation of its logarithm
MEDIAN_RADIUS, SPREAD_OF_RADII = 9.0, 0.35
LEAST_RADIUS, LARGEST_RADIUS = 5.0, 20.0
R90_OVER_HALF_LIGHT = 2.4  # between those of a disc and of a bulge
SIZES, SHAPES = 12, 6  # of the library
STAMP = 2.5  # half a side of a stamp in petroR90
# mean nanomaggies a pixel within petroR90 in r, and the spread of its logarithm
BRIGHTNESS, SPREAD_OF_BRIGHTNESS = 0.25, 0.6
ROWS_AT_ONCE = 1000  # of noise


@dataclass(frozen=True)
class Field:
    """Where a simulated field is, and its side in pixels."""

    folder: Path
    size: int

    @property
    def images(self):
        """Band to FITS file, float32 in nanomaggies a pixel."""
        return {band: str(self.folder / f'{band}.fits') for band in BANDS}

    @property
    def catalog(self):
        """FITS table with ``id``, ``x``, ``y`` and ``petro_r90`` in pixels, in random order."""
        return str(self.folder / 'sources.fits')

    def grown(self, n_rows):
        """Path of a catalogue of any length: the sources again, at other fractions of a pixel."""
        path = self.folder / f'sources-{n_rows}.fits'
        if not path.exists():
            table, rng = Table.read(self.catalog), np.random.default_rng(n_rows)
            table = table[np.arange(n_rows) % len(table)]
            for name in ('x', 'y'):
                moved = table[name] + rng.uniform(-0.5, 0.5, n_rows)
                table[name] = np.clip(moved, 0, self.size - 1)
            table['id'] = np.arange(n_rows)
            table.write(path)
        return str(path)

    def read_through(self):
        """Read the images once, so that all paths that are timed find them in the same cache."""
        for path in self.images.values():
            with open(path, 'rb') as file:
                while file.read(1 << 24):
                    pass


def simulate(folder, size=8000, n_sources=20000, random_state=0):
    """Make a `Field`, unless it is in the folder already, which others share."""
    field = Field(Path(folder).resolve() / f'field-{size}-{n_sources}-{random_state}', size)
    if not Path(field.catalog).exists():
        field.folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(random_state)
        sources, stamps = _drawn_sources(size, n_sources, rng), _library(rng)
        header = _field_header(size)
        for band, path in field.images.items():
            image = paint(_noise(size, NOISE[band], rng), sources, stamps, COLOR[band])
            fits.PrimaryHDU(image, header).writeto(path, overwrite=True)
        # last, since it shows that the field is whole
        sources['id', 'x', 'y', 'petro_r90'].write(field.catalog)
    return field


def paint(image, sources, stamps, color):
    """Add each source's stamp to the image; what lies off it is lost."""
    brightness = sources['brightness'].astype(np.float32) * np.float32(color)
    for x, y, stamp, factor in zip(sources['x'].astype(int), sources['y'].astype(int),
                                   sources['stamp'], brightness):
        light = stamps[stamp]
        half = len(light) // 2
        left, below = max(half - x, 0), max(half - y, 0)
        part = image[y - half + below:y + half + 1, x - half + left:x + half + 1]
        part += factor * light[below:below + part.shape[0], left:left + part.shape[1]]
    return image


def _drawn_sources(size, n_sources, rng):
    """Table of positions, radii, the stamp of each source, and what to multiply it with."""
    radii = np.exp(rng.normal(np.log(MEDIAN_RADIUS), SPREAD_OF_RADII, n_sources))
    radii = np.clip(radii, LEAST_RADIUS, LARGEST_RADIUS)
    steps = np.abs(np.log(radii)[:, None] - np.log(_library_radii())).argmin(axis=1)
    table = Table({'id': np.arange(n_sources),
                   'x': rng.uniform(0, size - 1, n_sources).round(),
                   'y': rng.uniform(0, size - 1, n_sources).round(),
                   'petro_r90': _library_radii()[steps]})
    table['stamp'] = steps * SHAPES + rng.integers(SHAPES, size=n_sources)
    table['brightness'] = BRIGHTNESS * np.exp(rng.normal(0, SPREAD_OF_BRIGHTNESS, n_sources))
    for name in ('x', 'y', 'petro_r90'):
        table[name].unit = 'pix'
    return table


def _library_radii():
    """(SIZES,) petroR90 of the stamps in pixels."""
    return np.geomspace(LEAST_RADIUS, LARGEST_RADIUS, SIZES)


def _library(rng):
    """Stamps of all sizes, ``SHAPES`` of each: Sersic profiles of mean one within petroR90."""
    stamps = []
    for radius in _library_radii():
        half = int(np.ceil(STAMP * radius))
        y, x = np.mgrid[-half:half + 1, -half:half + 1].astype(float)
        indices, ratios = rng.uniform(0.8, 4.0, SHAPES), rng.uniform(0.3, 1.0, SHAPES)
        for index, ratio, angle in zip(indices, ratios, rng.uniform(0, np.pi, SHAPES)):
            major = (x * np.cos(angle) + y * np.sin(angle)) * np.sqrt(ratio)
            minor = (y * np.cos(angle) - x * np.sin(angle)) / np.sqrt(ratio)
            # softened by a pixel, or the peak of a steep profile would be all of it
            r = np.sqrt(major ** 2 + minor ** 2 + 1.0) / (radius / R90_OVER_HALF_LIGHT)
            light = np.exp(-(2 * index - 1 / 3) * (r ** (1 / index) - 1))
            stamps.append((light / light[np.hypot(x, y) <= radius].mean()).astype(np.float32))
    return stamps


def _noise(size, deviation, rng):
    """(size, size) float32 array."""
    image = np.empty((size, size), dtype=np.float32)
    for start in range(0, size, ROWS_AT_ONCE):
        rng.standard_normal(out=image[start:start + ROWS_AT_ONCE], dtype=np.float32)
    image *= np.float32(deviation)
    return image


def _field_header(size):
    """Unit and a tangential WCS, north up."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ['RA---TAN', 'DEC--TAN']
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 2.0], [size / 2, size / 2]
    wcs.wcs.cdelt = [-PIXEL / 3600, PIXEL / 3600]
    header = wcs.to_header()
    header['BUNIT'] = 'nmgy'
    return header
