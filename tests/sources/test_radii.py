# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""petroR90 from other sizes."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from scipy.integrate import quad
from scipy.special import gammaincinv

from galvae_affiliated.sources import convert_to_r90, sersic_r90
from galvae_affiliated.sources.petrosian import petrosian_r90


def brute_r90(n, q):
    """petroR90 by its definition, with general integration and bisection."""
    b = gammaincinv(2 * n, 0.5)
    # the mean over the angle by the trapezoid rule, which converges fast where it is periodic
    angle = np.linspace(0, np.pi / 2, 2001)
    stretch = np.hypot(np.cos(angle), np.sin(angle) / q)

    def light(r):
        return 2 * np.pi * r * np.trapezoid(np.exp(-b * (r * stretch) ** (1 / n)), angle)

    grid = np.concatenate([[0.0], np.geomspace(1e-6, 12.0, 3000)])
    flux = np.array([0.0, *np.cumsum([(light(low) + 4 * light((low + high) / 2) + light(high)) / 6
                                      * (high - low) for low, high in zip(grid, grid[1:])])])

    def inside(r):
        return np.interp(r, grid, flux)

    radii = np.linspace(0.3, 5.0, 20001)
    ratio = (inside(1.25 * radii) - inside(0.8 * radii)) / (1.25**2 - 0.8**2) / inside(radii)
    petrosian = radii[np.argmax(ratio < 0.2)]
    return np.interp(0.9 * inside(2 * petrosian), flux, grid)


@pytest.mark.parametrize(('n', 'q'), [(0.5, 1.0), (1.0, 1.0), (4.0, 1.0), (1.0, 0.3), (3.0, 0.5)])
def test_a_sersic_profile_is_integrated(n, q):
    np.testing.assert_allclose(sersic_r90(1.0, n, q), brute_r90(n, q), rtol=1e-3)


def test_a_gaussian_is_known_exactly():
    # the Petrosian flux of a Gaussian is all of it
    sigma = 1.0 / np.sqrt(2 * np.log(2))
    r90, total = quad(lambda r: r * np.exp(-(r**2) / 2 / sigma**2), 0, 1.8225)[0], sigma**2
    assert r90 / total == pytest.approx(0.9, abs=2e-4)
    assert sersic_r90(1.0, 0.5) == pytest.approx(1.8225, rel=1e-3)


def test_a_sersic_profile_is_that_of_an_image():
    y, x = np.mgrid[:401, :401] - 200.0
    image = np.exp(-gammaincinv(2, 0.5) * np.hypot(x, y / 0.5) / 40.0)
    assert sersic_r90(40.0, 1.0, 0.5) == pytest.approx(petrosian_r90(image, 200, 200), rel=0.01)


def test_sizes_scale():
    for given in ({'flux_radius': 3.0}, {'r50': 3.0}, {'a_image': 4.0, 'b_image': 2.0},
                  {'r_eff': 3.0, 'n': 2.0}):
        more = {'kron_radius': 3.5} if 'a_image' in given else {}
        r90, scatter = convert_to_r90(**given, **more)
        larger = {name: value * (1.0 if name == 'n' else 2.0) for name, value in given.items()}
        doubled, wider = convert_to_r90(**larger, **more)
        assert doubled == pytest.approx(2 * r90) and wider == pytest.approx(2 * scatter)
        assert scatter == 0 if 'n' in given else 0.02 * r90 < scatter < 0.5 * r90


def moffat_disc(r_eff, fwhm, side=301):
    """An exponential disc behind a Moffat seeing, by transforms of both."""
    y, x = np.mgrid[:side, :side] - side // 2
    r = np.hypot(x, y)
    disc = np.exp(-gammaincinv(2, 0.5) * r / r_eff)
    moffat = (1 + (r / (fwhm / 2 / np.sqrt(2 ** (1 / 3) - 1))) ** 2) ** -3
    shifted = np.fft.ifftshift(moffat / moffat.sum())
    return np.fft.ifft2(np.fft.fft2(disc) * np.fft.fft2(shifted)).real


@pytest.mark.parametrize('r_eff', [3.0, 6.0, 12.0])
def test_the_estimate_of_an_image_is_within_its_scatter(r_eff):
    image = moffat_disc(r_eff, 4.0)
    true = petrosian_r90(image, 150, 150)
    r90, scatter = convert_to_r90(r_eff=r_eff, n=1.0, psf_fwhm=4.0)
    assert r90 == pytest.approx(true, abs=3 * scatter) and scatter < 0.1 * r90
    y, x = np.mgrid[:301, :301] - 150
    order = np.argsort(np.hypot(x, y).ravel())
    growth = np.cumsum(image.ravel()[order])
    r50 = np.sqrt(np.argmax(growth > growth[-1] / 2) / np.pi)
    for more in ({}, {'psf_fwhm': 4.0}):
        for name in ('r50', 'flux_radius'):
            r90, scatter = convert_to_r90(**{name: r50}, **more)
            assert r90 == pytest.approx(true, abs=2 * scatter)


def test_units_are_kept_and_converted():
    bare, _ = convert_to_r90(flux_radius=[3.0], psf_fwhm=1.2)
    with_unit, scatter = convert_to_r90(flux_radius=[3.0] * u.arcsec,
                                        psf_fwhm=1200.0 * u.milliarcsecond)
    assert with_unit.unit == scatter.unit == u.arcsec
    np.testing.assert_allclose(with_unit.value, bare)
    table = Table({'A_IMAGE': [4.0, 5.0], 'B_IMAGE': [2.0, 5.0]}, units=['pix', 'pix'])
    r90, _ = convert_to_r90(a_image=table['A_IMAGE'], b_image=table['B_IMAGE'])
    assert r90.unit == u.pix


@pytest.mark.parametrize('value', [np.nan, np.inf, 0.0, -1.0, -99.0])
def test_what_is_no_size_has_no_radius(value):
    for given in ({'flux_radius': [value, 3.0]}, {'r_eff': [value, 3.0], 'n': 1.0},
                  {'a_image': [4.0, 4.0], 'kron_radius': [value, 3.5]},
                  {'r_eff': 2.0, 'n': [value, 1.0]}):
        r90, scatter = convert_to_r90(**given)
        assert np.isnan(r90).tolist() == np.isnan(scatter).tolist() == [True, False]


def test_masked_sizes_have_no_radius():
    r90, _ = convert_to_r90(flux_radius=MaskedColumn([3.0, 3.0], mask=[True, False]))
    assert np.isnan(r90).tolist() == [True, False]


def test_no_rows():
    assert convert_to_r90(r50=np.zeros(0))[0].shape == (0,)
    assert convert_to_r90(r_eff=np.zeros(0), n=np.zeros(0))[0].shape == (0,)


def test_ratios_beyond_the_calibration_are_those_at_its_end():
    far, farther = (convert_to_r90(flux_radius=3.0, psf_fwhm=fwhm)[0] for fwhm in (50.0, 500.0))
    assert far == farther


@pytest.mark.parametrize(('given', 'error', 'message'), [
    ({}, TypeError, 'expected flux_radius, r50 or a_image, or r_eff and n'),
    ({'r_eff': 2.0}, TypeError, 'there is r_eff'),
    ({'psf_fwhm': 2.0}, TypeError, 'none of them'),
    ({'flux_radius': 2.0, 'r_eff': 3.0, 'n': 1.0}, ValueError, 'measured sizes, or a Sersic fit'),
    ({'flux_radius': 2.0, 'r50': 2.0}, ValueError, 'one size'),
    ({'flux_radius': 2.0, 'kron_radius': 3.5}, ValueError, 'needs a_image'),
    ({'b_image': 2.0}, ValueError, 'needs a_image'),
    ({'flux_radius': 2.0 * u.arcsec, 'psf_fwhm': 1.0}, ValueError, 'psf_fwhm in no unit'),
    ({'flux_radius': 2.0 * u.arcsec, 'psf_fwhm': 1.0 * u.s}, ValueError, 'several kinds'),
])
def test_wrong_calls_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        convert_to_r90(**given)
