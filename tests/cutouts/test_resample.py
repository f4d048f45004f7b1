# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.nddata import Cutout2D, block_reduce
from scipy.ndimage import map_coordinates

from galvae_affiliated.cutouts._resample import resample
from galvae_affiliated.images._windows import window_range


@pytest.fixture
def image():
    y, x = np.mgrid[:60, :80]
    galaxy = np.exp(-np.hypot(x - 40.2, y - 29.7) / 5)
    return (galaxy + 0.1 * np.random.default_rng(0).random((60, 80))).astype(np.float32)


def test_nothing_changes_at_the_same_scale(image):
    cut = Cutout2D(image, (40, 30), 21)
    assert np.allclose(resample(image[None], (40, 30), 1.0, 21)[0], cut.data, rtol=1e-5)


@pytest.mark.parametrize('factor', [2, 3, 4])
def test_larger_pixels_hold_the_mean(image, factor):
    part = image[: 12 * factor, : 12 * factor]
    middle = (12 * factor - 1) / 2
    expected = block_reduce(part, factor, np.mean)
    assert np.allclose(resample(image[None], (middle, middle), factor, 12)[0], expected, rtol=1e-5)


def test_smaller_pixels_interpolate_linearly(image):
    x = 40.3 + (np.arange(16) - 7.5) * 0.4
    y = 29.6 + (np.arange(16) - 7.5) * 0.4
    expected = map_coordinates(image, np.meshgrid(y, x, indexing='ij'), order=1)
    assert np.allclose(resample(image[None], (40.3, 29.6), 0.4, 16)[0], expected, rtol=1e-5)


@pytest.mark.parametrize('step', [0.17, 0.5, 1.0, 1.37, 3.3, 7.9])
def test_flat_surface_brightness_is_kept(step):
    assert np.allclose(resample(np.full((1, 200, 200), 2.5, np.float32), (100.3, 99.1), step, 20), 2.5, rtol=1e-5)


@pytest.mark.parametrize('step', [0.25, 0.8, 1.7, 2.5])
def test_light_is_kept(step):
    """Surface brightness times area is the flux of a galaxy that lies within the window."""
    y, x = np.mgrid[:60, :60]
    galaxy = np.exp(-0.5 * ((x - 30.2) ** 2 + (y - 29.7) ** 2) / 9)
    grid = int(36 / step)
    assert resample(galaxy[None], (30.2, 29.7), step, grid).sum() * step**2 == pytest.approx(galaxy.sum(), rel=1e-3)


@pytest.mark.parametrize('step', [0.3, 1.0, 2.2])
def test_centre_stays_in_the_middle(step):
    y, x = np.mgrid[:101, :101]
    galaxy = np.exp(-0.5 * ((x - 50.37) ** 2 + (y - 47.81) ** 2) / 16)
    result = resample(galaxy[None], (50.37, 47.81), step, 32)[0]
    if step == 0.3:  # the galaxy is larger than the window
        result = np.clip(result - 0.6, 0, None)
    yy, xx = np.mgrid[:32, :32]
    assert (result * xx).sum() / result.sum() == pytest.approx(15.5, abs=0.1)
    assert (result * yy).sum() / result.sum() == pytest.approx(15.5, abs=0.1)


def test_axes_are_not_swapped():
    image = np.zeros((1, 40, 60))
    image[0, 10, 50] = 1.0
    result = resample(image, (50, 10), 1.0, 5)[0]
    assert result[2, 2] == pytest.approx(1.0)
    assert resample(image, (49, 12), 1.0, 5)[0, 0, 3] == pytest.approx(1.0)


def test_part_of_an_image_gives_the_same(image):
    whole = resample(image[None], (40.2, 29.7), 1.3, 16)
    x_range, y_range = window_range(40.2, 1.3 * 16, 80), window_range(29.7, 1.3 * 16, 60)
    part = image[None, slice(*y_range), slice(*x_range)]
    assert part.size < image.size / 3
    assert np.allclose(resample(part, (40.2, 29.7), 1.3, 16, (x_range[0], y_range[0])), whole, rtol=1e-5)


def test_missing_pixels_do_not_spread(image):
    holes = image.copy()
    holes[30, 40] = np.nan
    result = resample(holes[None], (39.5, 29.5), 4, 10)
    assert np.isfinite(result).all()
    # the mean of the other 15 pixels of the block that holds (40, 30)
    block = holes[30:34, 40:44]
    assert result[0, 5, 5] == pytest.approx(np.nanmean(block), rel=1e-4)


def test_pixels_are_missing_where_less_than_half_was_observed(image):
    holes = image.copy()
    holes[30:33, 40:44] = np.nan
    result = resample(holes[None], (39.5, 29.5), 4, 10)[0]
    assert list(zip(*np.nonzero(np.isnan(result)))) == [(5, 5)]


@pytest.mark.parametrize(('x', 'known'), [(8.5, True), (8.49, False), (8.51, True)])
def test_half_of_a_pixel_observed(x, known):
    """Of a pixel three input pixels wide that reaches over the edge."""
    result = resample(np.ones((1, 30, 30)), (x, 15.0), 3.0, 7)[0]
    assert (np.isfinite(result[3, 0])) == known
    assert np.isfinite(result[3, 1:]).all()


def test_bands_have_their_own_missing_pixels(image):
    stack = np.stack([image, image, image])
    stack[1, 20:40, 30:50] = np.nan
    result = resample(stack, (40, 30), 2, 16)
    assert np.isfinite(result[[0, 2]]).all()
    assert np.isnan(result[1, 4:12, 4:12]).any()
    assert np.allclose(result[0], result[2])


def test_outside_the_image_is_missing(image):
    result = resample(image[None], (0, 0), 1.0, 10)[0]
    assert np.isnan(result[:4]).all()
    assert np.isnan(result[:, :4]).all()
    assert np.isfinite(result[5:, 5:]).all()
    assert np.isnan(resample(image[None], (500, 500), 1.0, 10)).all()
    assert np.isnan(resample(image[None, :0, :0], (0, 0), 1.0, 10)).all()


@pytest.mark.parametrize('step', [1e3, 1e6, 1e12, 1e300])
def test_huge_step(image, step):
    result = resample(image[None], (40, 30), step, 8)
    assert result.shape == (1, 8, 8)
    assert np.isnan(result).all()


def test_tiny_step(image):
    result = resample(image[None], (40, 30), 1e-6, 8)[0]
    assert np.allclose(result, image[30, 40], rtol=1e-4)


@pytest.mark.parametrize('dtype', ['>f4', '>f8', 'f8', 'i2'])
def test_number_types(image, dtype):
    values = np.round(100 * image)
    result = resample(values[None].astype(dtype), (40, 30), 1.6, 12)
    assert result.dtype == np.float32
    assert result.dtype.isnative
    assert np.allclose(result, resample(values[None], (40, 30), 1.6, 12))


@pytest.mark.parametrize(
    ('centre', 'side', 'expected'),
    [
        (50.0, 11.0, (44, 57)),
        (0.0, 10.0, (0, 7)),
        (99.0, 10.0, (93, 100)),
        (-50.0, 10.0, (0, 0)),
        (500.0, 10.0, (100, 100)),
        (50.0, 1e30, (0, 100)),
        (50.0, np.inf, (0, 100)),
    ],
)
def test_window(centre, side, expected):
    start, stop = window_range(centre, side, 100)
    assert (start, stop) == pytest.approx(expected, abs=1)
    assert 0 <= start <= stop <= 100
    # all pixels that the square touches
    assert start <= max(centre - side / 2, 0) or start == 100
    assert stop >= min(centre + side / 2 + 0.5, 100) or stop == 0
