# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.nddata import Cutout2D, block_reduce
from scipy.ndimage import map_coordinates

from galvae_affiliated.cutouts._resample import Resampler, from_sums
from galvae_affiliated.images._windows import overlaps


def in_a_window(resampler, planes, result):
    """As most cutouts are made."""
    rows, columns = (
        overlaps(start, length, whole)[0]
        for start, length, whole in zip(
            (resampler.y_start, resampler.x_start), resampler.shape, planes.shape[1:]
        )
    )
    window = np.full((len(planes), *resampler.shape), np.nan, dtype=np.float32)
    window[:, rows[0], columns[0]] = planes[:, rows[1], columns[1]]
    resampler.masked_mean(0, window, np.isfinite(window), result)


def in_parts(resampler, planes, result):
    """As large cutouts are made."""
    sums = np.zeros((2, *result.shape), dtype=np.float32)
    observed = np.isfinite(planes)
    for y in range(0, planes.shape[1], 17):
        for x in range(0, planes.shape[2], 33):
            part = np.s_[:, y : y + 17, x : x + 33]
            light = np.where(observed[part], planes[part], 0).astype(np.float32)
            resampler.add_part(0, light, x, y, sums[0])
            resampler.add_part(0, observed[part].astype(np.float32), x, y, sums[1])
    result[:] = from_sums(*sums)


@pytest.fixture(params=[in_a_window, in_parts])
def resample(request):
    def function(planes, centre, step, grid):
        x, y, step = (np.array([value], dtype=float) for value in (*centre, step))
        result = np.empty((len(planes), grid, grid), dtype=np.float32)
        request.param(Resampler(x, y, step, grid), planes, result)
        return result

    return function


@pytest.fixture
def image():
    y, x = np.mgrid[:60, :80]
    galaxy = np.exp(-np.hypot(x - 40.2, y - 29.7) / 5)
    return (galaxy + 0.1 * np.random.default_rng(0).random((60, 80))).astype(np.float32)


def test_nothing_changes_at_the_same_scale(resample, image):
    cut = Cutout2D(image, (40, 30), 21)
    assert np.allclose(resample(image[None], (40, 30), 1.0, 21)[0], cut.data, rtol=1e-5)


@pytest.mark.parametrize('factor', [2, 3, 4])
def test_larger_pixels_hold_the_mean(resample, image, factor):
    part = image[: 12 * factor, : 12 * factor]
    middle = (12 * factor - 1) / 2
    expected = block_reduce(part, factor, np.mean)
    assert np.allclose(resample(image[None], (middle, middle), factor, 12)[0], expected, rtol=1e-5)


def test_smaller_pixels_interpolate_linearly(resample, image):
    x = 40.3 + (np.arange(16) - 7.5) * 0.4
    y = 29.6 + (np.arange(16) - 7.5) * 0.4
    expected = map_coordinates(image, np.meshgrid(y, x, indexing='ij'), order=1)
    assert np.allclose(resample(image[None], (40.3, 29.6), 0.4, 16)[0], expected, rtol=1e-5)


@pytest.mark.parametrize('step', [0.17, 0.5, 1.0, 1.37, 3.3, 7.9])
def test_flat_surface_brightness_is_kept(resample, step):
    assert np.allclose(
        resample(np.full((1, 200, 200), 2.5, np.float32), (100.3, 99.1), step, 20), 2.5, rtol=1e-5
    )


@pytest.mark.parametrize('step', [0.25, 0.8, 1.7, 2.5])
def test_light_is_kept(resample, step):
    """Surface brightness times area is the flux of a galaxy that lies within the window."""
    y, x = np.mgrid[:60, :60]
    galaxy = np.exp(-0.5 * ((x - 30.2) ** 2 + (y - 29.7) ** 2) / 9)
    grid = int(36 / step)
    assert resample(galaxy[None], (30.2, 29.7), step, grid).sum() * step**2 == pytest.approx(
        galaxy.sum(), rel=1e-3
    )


@pytest.mark.parametrize('step', [0.3, 1.0, 2.2])
def test_centre_stays_in_the_middle(resample, step):
    y, x = np.mgrid[:101, :101]
    galaxy = np.exp(-0.5 * ((x - 50.37) ** 2 + (y - 47.81) ** 2) / 16)
    result = resample(galaxy[None], (50.37, 47.81), step, 32)[0]
    if step == 0.3:  # the galaxy is larger than the window
        result = np.clip(result - 0.6, 0, None)
    yy, xx = np.mgrid[:32, :32]
    assert (result * xx).sum() / result.sum() == pytest.approx(15.5, abs=0.1)
    assert (result * yy).sum() / result.sum() == pytest.approx(15.5, abs=0.1)


def test_axes_are_not_swapped(resample):
    image = np.zeros((1, 40, 60))
    image[0, 10, 50] = 1.0
    result = resample(image, (50, 10), 1.0, 5)[0]
    assert result[2, 2] == pytest.approx(1.0)
    assert resample(image, (49, 12), 1.0, 5)[0, 0, 3] == pytest.approx(1.0)


def test_missing_pixels_do_not_spread(resample, image):
    holes = image.copy()
    holes[30, 40] = np.nan
    result = resample(holes[None], (39.5, 29.5), 4, 10)
    assert np.isfinite(result).all()
    # the mean of the other 15 pixels of the block that holds (40, 30)
    block = holes[30:34, 40:44]
    assert result[0, 5, 5] == pytest.approx(np.nanmean(block), rel=1e-4)


def test_pixels_are_missing_where_less_than_half_was_observed(resample, image):
    holes = image.copy()
    holes[30:33, 40:44] = np.nan
    result = resample(holes[None], (39.5, 29.5), 4, 10)[0]
    assert list(zip(*np.nonzero(np.isnan(result)))) == [(5, 5)]


@pytest.mark.parametrize(('x', 'known'), [(8.5, True), (8.49, False), (8.51, True)])
def test_half_of_a_pixel_observed(resample, x, known):
    """Of a pixel three input pixels wide that reaches over the edge."""
    result = resample(np.ones((1, 30, 30)), (x, 15.0), 3.0, 7)[0]
    assert (np.isfinite(result[3, 0])) == known
    assert np.isfinite(result[3, 1:]).all()


def test_bands_have_their_own_missing_pixels(resample, image):
    stack = np.stack([image, image, image])
    stack[1, 20:40, 30:50] = np.nan
    result = resample(stack, (40, 30), 2, 16)
    assert np.isfinite(result[[0, 2]]).all()
    assert np.isnan(result[1, 4:12, 4:12]).any()
    assert np.allclose(result[0], result[2])


def test_outside_the_image_is_missing(resample, image):
    result = resample(image[None], (0, 0), 1.0, 10)[0]
    assert np.isnan(result[:4]).all()
    assert np.isnan(result[:, :4]).all()
    assert np.isfinite(result[5:, 5:]).all()
    assert np.isnan(resample(image[None], (500, 500), 1.0, 10)).all()
    assert np.isnan(resample(image[None, :0, :0], (0, 0), 1.0, 10)).all()


@pytest.mark.parametrize('step', [1e3, 1e4, 1e5])
def test_huge_step(image, step):
    """Of windows that are read in parts, since they are far larger than the image."""
    result = np.empty((1, 8, 8), dtype=np.float32)
    in_parts(
        Resampler(np.array([40.0]), np.array([30.0]), np.array([step]), 8), image[None], result
    )
    assert np.isnan(result).all()


def test_tiny_step(resample, image):
    result = resample(image[None], (40, 30), 1e-6, 8)[0]
    assert np.allclose(result, image[30, 40], rtol=1e-4)


@pytest.mark.parametrize('dtype', ['>f4', '>f8', 'f8', 'i2'])
def test_number_types(resample, image, dtype):
    values = np.round(100 * image)
    result = resample(values[None].astype(dtype), (40, 30), 1.6, 12)
    assert result.dtype == np.float32
    assert result.dtype.isnative
    assert np.allclose(result, resample(values[None], (40, 30), 1.6, 12))
