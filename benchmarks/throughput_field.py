# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A simulated mosaic in three bands with a catalogue, made once and kept as FITS.

Sersic-like galaxies from a small library of stamps at random places, crowded as a deep survey is, with the pixels and
the noise of the Legacy Surveys. They are made to be cut out and encoded fast or slowly, not to be looked at: the stamps
have no seeing, and a galaxy lies at the centre of a pixel.
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
COLOUR = {'g': 0.6, 'r': 1.0, 'z': 1.5}  # flux relative to the r band
MEDIAN_RADIUS, SPREAD_OF_RADII = 9.0, 0.35  # petroR90 in pixels, and the standard deviation of its logarithm
LEAST_RADIUS, LARGEST_RADIUS = 5.0, 20.0
R90_OVER_HALF_LIGHT = 2.4  # between those of a disc and of a bulge
SIZES, SHAPES = 12, 6  # of the library
STAMP = 2.5  # half a side of a stamp in petroR90
BRIGHTNESS, SPREAD_OF_BRIGHTNESS = 0.25, 0.6  # mean nanomaggies a pixel within petroR90 in r, and the same spread
ROWS_AT_ONCE = 1000  # of noise


@dataclass(frozen=True)
class Field:
    """
    Where a simulated field is.

    Attributes
    ----------
    folder : `~pathlib.Path`
    size : int
        Side in pixels.
    n_sources : int
    """

    folder: Path
    size: int
    n_sources: int

    @property
    def images(self):
        """dict of str to str : Band to FITS file, float32 in nanomaggies a pixel."""
        return {band: str(self.folder / f'{band}.fits') for band in BANDS}

    @property
    def catalog(self):
        """str : FITS table with ``id``, ``x``, ``y`` and ``petro_r90`` in pixels; rows in random order."""
        return str(self.folder / 'sources.fits')

    def grown(self, n_rows):
        """
        A catalogue of any length: the sources again and again, each time at other fractions of a pixel.

        Parameters
        ----------
        n_rows : int

        Returns
        -------
        path : str
        """
        path = self.folder / f'sources-{n_rows}.fits'
        if not path.exists():
            table, rng = Table.read(self.catalog), np.random.default_rng(n_rows)
            table = table[np.arange(n_rows) % len(table)]
            for name in ('x', 'y'):
                table[name] = np.clip(table[name] + rng.uniform(-0.5, 0.5, n_rows), 0, self.size - 1)
            table['id'] = np.arange(n_rows)
            table.write(path)
        return str(path)

    def read_through(self):
        """Read the images once, so that the first path that is timed finds them where the others do."""
        for path in self.images.values():
            with open(path, 'rb') as file:
                while file.read(1 << 24):
                    pass


def simulate(folder, size=8000, n_sources=20000, random_state=0):
    """
    Make a field, unless it is in the folder already.

    Parameters
    ----------
    folder : str or path
        Fields of any size and number of sources share it.
    size : int, optional
        Side in pixels.
    n_sources : int, optional
    seed : int, optional

    Returns
    -------
    field : `Field`
    """
    field = Field(Path(folder) / f'field-{size}-{n_sources}-{random_state}', size, n_sources)
    if not Path(field.catalog).exists():
        field.folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(random_state)
        sources, stamps = drawn_sources(size, n_sources, rng), library(rng)
        header = field_header(size)
        for band, path in field.images.items():
            image = paint(noise(size, NOISE[band], rng), sources, stamps, COLOUR[band])
            fits.PrimaryHDU(image, header).writeto(path, overwrite=True)
        # last, since it says that the field is whole
        sources['id', 'x', 'y', 'petro_r90'].write(field.catalog)
    return field


def drawn_sources(size, n_sources, rng):
    """Table of positions, radii, the stamp of each source, and what to multiply it with."""
    radii = np.exp(rng.normal(np.log(MEDIAN_RADIUS), SPREAD_OF_RADII, n_sources))
    radii = np.clip(radii, LEAST_RADIUS, LARGEST_RADIUS)
    steps = np.abs(np.log(radii)[:, None] - np.log(library_radii())).argmin(axis=1)
    table = Table({'id': np.arange(n_sources), 'x': rng.uniform(0, size - 1, n_sources).round(),
                   'y': rng.uniform(0, size - 1, n_sources).round(), 'petro_r90': library_radii()[steps]})
    table['stamp'] = steps * SHAPES + rng.integers(SHAPES, size=n_sources)
    table['brightness'] = BRIGHTNESS * np.exp(rng.normal(0, SPREAD_OF_BRIGHTNESS, n_sources))
    for name in ('x', 'y', 'petro_r90'):
        table[name].unit = 'pix'
    return table


def library_radii():
    """(SIZES,) petroR90 of the stamps in pixels."""
    return np.geomspace(LEAST_RADIUS, LARGEST_RADIUS, SIZES)


def library(rng):
    """Stamps of all sizes, ``SHAPES`` of each: Sersic profiles of mean one within petroR90."""
    stamps = []
    for radius in library_radii():
        half = int(np.ceil(STAMP * radius))
        y, x = np.mgrid[-half:half + 1, -half:half + 1].astype(float)
        for index, ratio, angle in zip(rng.uniform(0.8, 4.0, SHAPES), rng.uniform(0.3, 1.0, SHAPES),
                                       rng.uniform(0, np.pi, SHAPES)):
            major = (x * np.cos(angle) + y * np.sin(angle)) * np.sqrt(ratio)
            minor = (y * np.cos(angle) - x * np.sin(angle)) / np.sqrt(ratio)
            # softened by a pixel, or the peak of a steep profile would be all of it
            r = np.sqrt(major ** 2 + minor ** 2 + 1.0) / (radius / R90_OVER_HALF_LIGHT)
            light = np.exp(-(2 * index - 1 / 3) * (r ** (1 / index) - 1))
            stamps.append((light / light[np.hypot(x, y) <= radius].mean()).astype(np.float32))
    return stamps


def noise(size, deviation, rng):
    """(size, size) float32 array."""
    image = np.empty((size, size), dtype=np.float32)
    for start in range(0, size, ROWS_AT_ONCE):
        rng.standard_normal(out=image[start:start + ROWS_AT_ONCE], dtype=np.float32)
    image *= np.float32(deviation)
    return image


def paint(image, sources, stamps, colour):
    """Add each source's stamp to the image; what lies off it is lost."""
    for x, y, number, brightness in zip(sources['x'].astype(int), sources['y'].astype(int), sources['stamp'],
                                        sources['brightness'].astype(np.float32) * np.float32(colour)):
        stamp = stamps[number]
        half = len(stamp) // 2
        left, below = max(half - x, 0), max(half - y, 0)
        part = image[y - half + below:y + half + 1, x - half + left:x + half + 1]
        part += brightness * stamp[below:below + part.shape[0], left:left + part.shape[1]]
    return image


def field_header(size):
    """Unit and a tangential WCS, north up."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ['RA---TAN', 'DEC--TAN']
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 2.0], [size / 2, size / 2]
    wcs.wcs.cdelt = [-PIXEL / 3600, PIXEL / 3600]
    header = wcs.to_header()
    header['BUNIT'] = 'nmgy'
    return header
