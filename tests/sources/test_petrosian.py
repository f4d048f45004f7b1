# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from photutils.profiles import CurveOfGrowth

from galvae_affiliated.sources.petrosian import petrosian_r90

PROFILES = {
    'exponential': lambda r: np.exp(-r),
    'gaussian': lambda r: np.exp(-0.5 * r**2),
    # the cusp is smoothed, as a point spread function does
    'de Vaucouleurs': lambda r: np.exp(-7.67 * ((r**2 + 0.01) ** 0.125 - 1)),
    'Sersic 2': lambda r: np.exp(-3.67 * (r**0.5 - 1)),
}


def petrosian_of(profile):
    """R90 and flux of a continuous profile, in its scale lengths, from the definitions of SDSS."""
    r = np.linspace(0, 60, 60001)
    flux = np.concatenate(
        [
            [0],
            np.cumsum(
                2 * np.pi * (r[1:] + r[:-1]) / 2 * np.diff(r) * profile((r[1:] + r[:-1]) / 2)
            ),
        ]
    )
    at = np.array([0.8, 1.25])[:, None] * r[None, 1:40000]
    inner, outer = np.interp(at, r, flux)
    ring = (outer - inner) / (np.pi * (1.25**2 - 0.8**2) * r[1:40000] ** 2)
    ratio = ring / (flux[1:40000] / (np.pi * r[1:40000] ** 2))
    radius = r[1 + np.argmax(ratio < 0.2)]
    total = np.interp(2 * radius, r, flux)
    return np.interp(0.9 * total, flux, r), total


def galaxy(profile, scale, size, *, x=None, y=None):
    """Image of a round galaxy, each pixel the mean of 6 x 6 points."""
    x, y = (size - 1) / 2 if x is None else x, (size - 1) / 2 if y is None else y
    offsets = (np.arange(6) - 2.5) / 6
    yy, xx = np.mgrid[:size, :size].astype(float)
    return (
        sum(profile(np.hypot(xx + dx - x, yy + dy - y) / scale) for dx in offsets for dy in offsets)
        / 36
    )


@pytest.mark.parametrize(
    ('kind', 'scale', 'size', 'tolerance'),
    [
        ('exponential', 5.0, 161, 0.02),
        ('exponential', 2.0, 161, 0.03),
        ('exponential', 12.0, 301, 0.02),
        ('gaussian', 6.0, 121, 0.02),
        ('Sersic 2', 6.0, 241, 0.03),
        ('de Vaucouleurs', 8.0, 301, 0.05),
    ],
)
def test_against_the_continuous_profile(kind, scale, size, tolerance):
    profile = PROFILES[kind]
    expected = scale * petrosian_of(profile)[0]
    image = galaxy(profile, scale, size)
    assert petrosian_r90(image, (size - 1) / 2, (size - 1) / 2) == pytest.approx(
        expected, rel=tolerance
    )


def test_published_concentration():
    """R90 / R50 of an exponential is 2.3 (Shimasaku et al. 2001), and R50 is 1.68 scale lengths."""
    assert petrosian_r90(galaxy(PROFILES['exponential'], 6.0, 201), 100, 100) == pytest.approx(
        2.3 * 1.68 * 6.0, rel=0.03
    )


def test_against_photutils():
    """The flux within the radius is 90 per cent of that within two Petrosian radii."""
    profile = PROFILES['exponential']
    image = galaxy(profile, 6.0, 201)
    total = petrosian_of(profile)[1] * 36.0
    curve = CurveOfGrowth(image, (100.0, 100.0), np.arange(1.0, 90.0))
    expected = np.interp(0.9 * total, curve.profile, curve.radius)
    assert petrosian_r90(image, 100.0, 100.0) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(('x', 'y'), [(80.0, 80.0), (80.5, 80.5), (79.7, 80.2), (60.3, 95.9)])
def test_part_of_a_pixel_does_not_matter(x, y):
    image = galaxy(PROFILES['exponential'], 4.0, 161, x=x, y=y)
    assert petrosian_r90(image, x, y) == pytest.approx(
        4.0 * petrosian_of(PROFILES['exponential'])[0], rel=0.03
    )


def test_brightness_does_not_matter():
    image = galaxy(PROFILES['exponential'], 5.0, 121)
    assert petrosian_r90(1e-6 * image, 60, 60) == pytest.approx(
        petrosian_r90(1e6 * image, 60, 60), rel=1e-6
    )


def test_noise():
    rng = np.random.default_rng(0)
    expected = 6.0 * petrosian_of(PROFILES['exponential'])[0]
    for _ in range(5):
        image = galaxy(PROFILES['exponential'], 6.0, 161) + rng.normal(0, 0.02, (161, 161))
        assert petrosian_r90(image, 80, 80) == pytest.approx(expected, rel=0.15)


def test_masked_neighbour():
    image = galaxy(PROFILES['exponential'], 5.0, 161)
    expected = petrosian_r90(image, 80, 80)
    neighbour = galaxy(PROFILES['exponential'], 4.0, 161, x=105, y=85)
    masked = np.where(neighbour > 0.005, np.nan, image + neighbour)
    assert petrosian_r90(masked, 80, 80) == pytest.approx(expected, rel=0.05)
    assert petrosian_r90(image + neighbour, 80, 80) > 1.15 * expected


@pytest.mark.parametrize('missing', ['half', 'centre', 'scattered'])
def test_missing_pixels(missing):
    image = galaxy(PROFILES['exponential'], 5.0, 161)
    expected = petrosian_r90(image, 80, 80)
    if missing == 'half':
        image[:, 81:] = np.nan
    elif missing == 'centre':
        image[79:82, 79:82] = np.nan
    else:
        image[np.random.default_rng(0).random(image.shape) < 0.3] = np.nan
    assert petrosian_r90(image, 80, 80) == pytest.approx(expected, rel=0.07)


def test_galaxy_at_the_edge():
    image = galaxy(PROFILES['exponential'], 5.0, 161, x=6, y=80)
    assert petrosian_r90(image, 6, 80) == pytest.approx(
        5.0 * petrosian_of(PROFILES['exponential'])[0], rel=0.07
    )


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((40, 40)),
        np.full((40, 40), np.nan),
        np.full((40, 40), -1.0),
        np.ones((40, 40)),
        -galaxy(PROFILES['exponential'], 4.0, 40),
        np.ones((1, 1)),
        np.zeros((3, 50)),
    ],
    ids=['zero', 'missing', 'negative', 'flat', 'hole', 'one pixel', 'strip'],
)
def test_no_light(image):
    ny, nx = image.shape
    assert np.isnan(petrosian_r90(image, (nx - 1) / 2, (ny - 1) / 2))


def test_profile_that_does_not_fall_within_the_image():
    assert np.isnan(petrosian_r90(galaxy(PROFILES['exponential'], 40.0, 61), 30, 30))
