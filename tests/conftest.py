# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A small simulated field that the tests share."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table
from astropy.units import photometric
from astropy.wcs import WCS

from galvae_affiliated import ModelBundle, get_model

SHAPE = (200, 200)
PIXEL = 0.262  # arcsec
NOISE = {'g': 0.012, 'r': 0.02, 'z': 0.05}  # nanomaggies a pixel
COLOUR = {'g': 0.6, 'r': 1.0, 'z': 1.5}
# x, y, scale length in pixels, central brightness, 'exponential' or 'gaussian'
GALAXIES = [
    (50.3, 48.7, 3.0, 6.0, 'exponential'),
    (143.0, 61.0, 2.5, 8.0, 'exponential'),
    (98.6, 142.2, 4.0, 5.0, 'exponential'),
    (158.2, 150.9, 5.0, 3.0, 'gaussian'),
    (36.0, 128.4, 4.0, 3.0, 'gaussian'),
    (103.5, 30.5, 3.5, 4.0, 'gaussian'),
]
# radius that holds 90 per cent of the Petrosian flux, in scale lengths
R90 = {'exponential': 3.88, 'gaussian': 2.15}


def make_wcs():
    """TAN, north up, east to the left."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ['RA---TAN', 'DEC--TAN']
    wcs.wcs.crval = [150.1, 2.2]
    wcs.wcs.crpix = [SHAPE[1] / 2, SHAPE[0] / 2]
    wcs.wcs.cdelt = [-PIXEL / 3600, PIXEL / 3600]
    return wcs


def light():
    """Sum of the galaxies without noise, in the r band."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.zeros(SHAPE)
    for x0, y0, scale, peak, kind in GALAXIES:
        r = np.hypot(x - x0, y - y0) / scale
        image += peak * (np.exp(-r) if kind == 'exponential' else np.exp(-0.5 * r**2))
    return image


@pytest.fixture(scope='session')
def field():
    """Band -> CCDData in nanomaggies with WCS; the arrays are read-only."""
    rng = np.random.default_rng(20)
    images = {}
    for band, noise in NOISE.items():
        image = (COLOUR[band] * light() + rng.normal(0.0, noise, SHAPE)).astype(np.float32)
        image.setflags(write=False)
        images[band] = CCDData(image, unit=photometric.nmgy, wcs=make_wcs())
    return images


@pytest.fixture(scope='session')
def field_files(field, tmp_path_factory):
    """Band -> path of a FITS file of `field`; the header states the unit and the WCS."""
    folder = tmp_path_factory.mktemp('field')
    paths = {}
    for band, image in field.items():
        header = image.wcs.to_header()
        header['BUNIT'] = 'nanomaggies'
        paths[band] = folder / f'{band}.fits'
        fits.writeto(paths[band], image.data, header)
    return paths


@pytest.fixture
def galaxies(field):
    """Table of the galaxies of `field` with x, y, ra, dec and petro_r90."""
    x, y, scale, _, kind = zip(*GALAXIES)
    sky = field['r'].wcs.pixel_to_world(np.array(x), np.array(y))
    r90 = np.array([R90[k] * s for k, s in zip(kind, scale)]) * PIXEL
    return Table({'x': x, 'y': y, 'ra': sky.ra, 'dec': sky.dec, 'petro_r90': r90 * u.arcsec})


@pytest.fixture(scope='session')
def other_bundle():
    """The default model under another name, and so with another id."""
    bundle = get_model()
    return ModelBundle({**bundle.manifest, 'name': 'other'}, bundle._parts)
