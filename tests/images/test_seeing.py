# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The seeing that headers state."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from galvae_affiliated import GalvaeWarning, encode_catalog, get_model, make_cutouts, open_field
from galvae_affiliated.images.seeing import header_seeing, seeing_in_pixels
from galvae_affiliated.sources.point_sources import psf_from_fwhm

PIXEL = 0.262


def header(**cards):
    result = fits.Header()
    for key, value in cards.items():
        result[key] = value
    return result


@pytest.mark.parametrize(('cards', 'pixels'), [
    ({'SEEING': 1.2}, 1.2 / PIXEL),
    ({'SEEING': (1.2, 'arcsec')}, 1.2 / PIXEL),
    ({'SEEING': (4.1, '[pix] FWHM of stars')}, 4.1),
    ({'SEEING': (4.1, 'Seeing FWHM in pixels')}, 4.1),
    ({'FWHM': (4.1, 'Median FWHM in pixels')}, 4.1),
    ({'FWHM': (1.1, 'FWHM [arcsec]')}, 1.1 / PIXEL),
    ({'FWHM': '1.1 arcsec'}, 1.1 / PIXEL),
    ({'FWHM': '1.1"'}, 1.1 / PIXEL),
    # either could be meant by 4.1, but no telescope has stars of 8 arcsec
    ({'FWHM': 8.0}, 8.0),
    # nor of less than a pixel
    ({'FWHM': 0.5}, 0.5 / PIXEL),
    ({'PSF_FWHM': (1.3, 'arcsec'), 'FWHM': (9.0, 'pixels')}, 1.3 / PIXEL),
    ({'PSF_FWHM': 'unknown', 'SEEING': 1.2}, 1.2 / PIXEL),
    ({'SEEING': -1.0}, None), ({'SEEING': 'N/A'}, None), ({'SEEING': '1.2.3'}, None),
    ({'SEEING': True}, None), ({'SEEING': ''}, None), ({}, None),
])
def test_a_header_states_the_seeing(cards, pixels):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = seeing_in_pixels(header_seeing(header(**cards)), PIXEL, 'image.fits')
    assert found == (None if pixels is None else pytest.approx(pixels))


@pytest.mark.parametrize(('cards', 'message'), [
    ({'SEEING': 99.0}, 'image.fits: SEEING = 99 in the header is no seeing'),
    ({'FWHM': (40.0, 'pixels')}, 'FWHM = 40 pix in the header is no seeing'),
    ({'SEEING': (0.0001, 'arcsec')}, 'from 0.02 to 6 arcsec'),
    ({'PSF_FWHM': 2.1}, 'may be arcsec or pixels; it is not used, psf_fwhm states one'),
])
def test_what_is_no_seeing_is_warned_of(cards, message):
    with pytest.warns(GalvaeWarning, match=message.replace('.', '[.]')):
        assert seeing_in_pixels(header_seeing(header(**cards)), PIXEL, 'image.fits') is None


def test_pixels_of_unknown_size():
    stated = header_seeing(header(FWHM=(3.0, 'pix')))
    assert seeing_in_pixels(stated, None, '') == 3.0
    assert seeing_in_pixels(header_seeing(header(SEEING=1.2)), None, '') is None
    assert header_seeing(None) is None and header_seeing({'SEEING': 1.0}).value == 1.0


def disc(seed=0):
    y, x = np.mgrid[:160, :160] - 79.5
    noise = np.random.default_rng(seed).normal(0, 0.02, (160, 160))
    return 4 * np.exp(-np.hypot(x, y) / 6) + noise


@pytest.fixture
def images():
    return {band: CCDData(disc(seed), unit='nmgy', meta=header(SEEING=(1.31, 'arcsec')))
            for seed, band in enumerate('grz')}


def resolution(images, **options):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        stack = make_cutouts(images, pixel_scale=PIXEL, **options)
    return stack.resolution[0], stack.radius[0]


def test_the_header_is_taken_where_the_field_shows_no_stars(images):
    from_header, radius = resolution(images)
    assert from_header == pytest.approx(radius / psf_from_fwhm(1.31 / PIXEL)[1])
    given, radius = resolution(images, psf_fwhm=2.0)
    assert given == pytest.approx(radius / psf_from_fwhm(2.0 / PIXEL)[1])
    catalog = {'x': [79.5], 'y': [79.5], 'petro_r90': [20.0]}
    from_header, _ = resolution(images, catalog=catalog_of(catalog))
    assert from_header == pytest.approx(20.0 / psf_from_fwhm(1.31 / PIXEL)[1])


def catalog_of(columns):
    from astropy.table import Table

    return Table(columns)


def test_a_file_states_it_in_its_primary_header(tmp_path):
    primary = fits.PrimaryHDU(header=header(SEEING=(5.0, 'pixels'), MAGZERO=22.5))
    bands = [fits.ImageHDU(disc(i).astype('f4'), name=band) for i, band in enumerate('grz')]
    fits.HDUList([primary, *bands]).writeto(tmp_path / 'field.fits')
    field = open_field(tmp_path / 'field.fits', get_model(), bands='g,r,z', pixel_scale=PIXEL)
    assert field.seeing == 5.0


def test_a_header_with_it_changes_no_latents(images):
    catalog = catalog_of({'x': [79.5], 'y': [79.5], 'petro_r90': [20.0]})
    bare = {band: CCDData(image.data, unit='nmgy') for band, image in images.items()}
    tables = [encode_catalog(some, catalog, pixel_scale=PIXEL, reconstruction=False)
              for some in (images, bare)]
    np.testing.assert_array_equal(*(np.ma.filled(t['galvae_latent'], 0) for t in tables))
