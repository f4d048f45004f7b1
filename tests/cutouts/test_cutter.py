# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Many cutouts at once, against the same made one at a time."""

import warnings

import numpy as np
import one_at_a_time
import pytest

from galvae_affiliated._batches import row_slices
from galvae_affiliated.cutouts import _cutter, _resample
from galvae_affiliated.cutouts.frame import ImageRendering, ModelFrame
from galvae_affiliated.cutouts.maker import CutoutMaker
from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.flags import describe_flags
from galvae_affiliated.images.field import FieldImages
from galvae_affiliated.sources import petrosian
from galvae_affiliated.sources.positions import Positions

TYPICAL = {
    'g': {'noise': 0.04, 'flux': 0.5},
    'r': {'noise': 0.07, 'flux': 1.0},
    'z': {'noise': 0.2, 'flux': 1.6},
}
GRID = 32


def sources(shape, rng, n=60):
    """x, y and radii on, at the edge of, and off an image; some are missing or wrong."""
    ny, nx = shape
    x, y = rng.uniform(-3, nx + 2, n), rng.uniform(-3, ny + 2, n)
    radius = np.exp(rng.uniform(np.log(0.05), np.log(0.8 * max(shape)), n))
    x[:5], y[:5] = [np.nan, 0.0, nx - 1, -0.5, 1e9], [3.0, 0.0, ny - 1, -0.5, 1.0]
    radius[5:12] = [0.0, -1.0, np.inf, 1e5, np.hypot(nx, ny), 1e-9, 1e-300]
    radius[12:30] = np.nan
    # in the middle, and on the border, of pixels
    x[30:36], y[30:36] = np.round(x[30:36]), np.round(y[30:36])
    x[36:40], y[36:40] = np.round(x[36:40]) + 0.5, np.round(y[36:40]) + 0.5
    return x, y, radius


def field(shape, rng, x, y):
    """Band -> image of noise and galaxies."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    light = np.zeros(shape)
    for x0, y0 in zip(x[12:40], y[12:40]):
        light += rng.uniform(1, 30) * np.exp(-np.hypot(xx - x0, yy - y0) / rng.uniform(1, 6))
    return {
        band: colour * light + rng.normal(0, 1, shape)
        for band, colour in zip('grz', (0.6, 1.0, 1.5))
    }


def holes(image, rng):
    image[rng.random(image.shape) < 0.01] = np.nan
    image[:, -5:] = np.inf
    return image


KINDS = {
    'float32': lambda image, rng: image.astype('f4'),
    'big-endian': lambda image, rng: image.astype('>f4'),
    'float64 on a pedestal': lambda image, rng: image + 1e7,
    'float32 on a pedestal': lambda image, rng: (image + 1000).astype('>f4'),
    'integers': lambda image, rng: (100 * image).astype('>i2'),
    'missing': holes,
    'masked': lambda image, rng: np.ma.array(image, mask=rng.random(image.shape) < 0.03),
    'zeros': lambda image, rng: np.where(np.indices(image.shape).sum(axis=0) < 12, 0, image),
}


def maker_of(images, x, y, radius, *, grid=GRID, labels=None, **options):
    options = options or {'unit': 'nmgy'}
    images = FieldImages(
        images, band_sets=[('z', 'r', 'g')], typical=TYPICAL, pixel_scale=0.262, **options
    )
    x, y, radius = (np.asarray(values, dtype=float) for values in (x, y, radius))
    positions = Positions(x, y, None, radius, None)
    frame = ModelFrame('x', grid, 5.12, (ImageRendering('x', 'flux', ('z', 'r', 'g')),))
    return CutoutMaker(images, positions, frame, labels=labels)


def assert_equal(maker, precision=4e-6):
    """Each cutout within the rounding of float32, relative to its largest value."""
    stack = maker.stack()
    data, flags, radius = one_at_a_time.stack(maker)
    assert [describe_flags(value) for value in stack.flags] == [
        describe_flags(value) for value in flags
    ]
    assert np.allclose(stack.radius, radius, rtol=1e-5, equal_nan=True)
    assert np.array_equal(np.isnan(stack.data), np.isnan(data))
    for cutout, expected in zip(stack.data, data):
        known = np.isfinite(expected)
        assert np.abs(cutout - expected)[known].max(initial=0) <= precision * np.abs(
            expected[known]
        ).max(initial=0)
    return stack


# integers have a hundred times the light
@pytest.mark.filterwarnings('ignore:by the unit')
@pytest.mark.parametrize('shape', [(160, 120), (40, 300), (17, 23)])
@pytest.mark.parametrize('kind', KINDS)
def test_equal_to_one_at_a_time(kind, shape):
    rng = np.random.default_rng(3)
    x, y, radius = sources(shape, rng)
    images = {band: KINDS[kind](image, rng) for band, image in field(shape, rng, x, y).items()}
    stack = assert_equal(maker_of(images, x, y, radius))
    # the sources are of many kinds
    assert stack.measured.sum() > 20
    assert {'BAD_POSITION', 'OFF_IMAGE', 'BAD_RADIUS', 'EDGE', 'SMALL'} <= {
        name for value in stack.flags for name in describe_flags(value)
    }
    if kind in ('missing', 'masked') and max(shape) > 100:
        assert any('MISSING_PIXELS' in describe_flags(value) for value in stack.flags)


def test_neighbours_are_left_out_of_the_radii():
    rng = np.random.default_rng(4)
    x, y, radius = sources((160, 120), rng)
    labels = np.where(rng.random((160, 120)) < 0.2, rng.integers(1, 9, (160, 120)), 0)
    maker = maker_of(field((160, 120), rng, x, y), x, y, radius, labels=labels)
    without = maker_of(
        {b: plane.data for b, plane in zip('zrg', maker.images.planes)}, x, y, radius
    )
    assert not np.array_equal(assert_equal(maker).radius, without.stack().radius, equal_nan=True)


def test_radii_where_the_middle_band_is_missing():
    """Also where only some of the sources that are measured together need the other bands."""
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, 119, 40), rng.uniform(0, 159, 40)
    images = field((160, 120), rng, x, y)
    images['r'][:80] = np.nan
    images['z'][:80, :40] = np.nan
    stack = assert_equal(maker_of(images, x, y, np.full(40, np.nan)))
    assert np.isfinite(stack.radius[y < 50]).any()


def test_estimated_scale():
    rng = np.random.default_rng(6)
    x, y, radius = sources((160, 120), rng)
    with pytest.warns(GalvaeWarning):
        maker = maker_of(field((160, 120), rng, x, y), x, y, radius, unit=None)
    assert any('SCALE_ESTIMATED' in describe_flags(value) for value in assert_equal(maker).flags)


def test_images_without_noise():
    images = {band: np.full((90, 80), 0.01) for band in 'grz'}
    rng = np.random.default_rng(7)
    x, y, radius = sources((90, 80), rng)
    stack = assert_equal(maker_of(images, x, y, radius))
    assert 'NO_DATA' in {name for value in stack.flags for name in describe_flags(value)}


def test_galaxy_that_is_flat_in_the_middle():
    """What lies around it still makes it no empty cutout."""
    images = {band: np.full((90, 80), 0.01) for band in 'grz'}
    images['g'][10:14, 10:14] = 5.0
    stack = assert_equal(maker_of(images, [40.0, 40.0], [45.0, 45.0], [15.0, 3.0]))
    assert [describe_flags(value) for value in stack.flags] == [['FAINT'], ['NO_DATA']]


@pytest.mark.parametrize('grid', [128, 96, 40, 21, 8, 5])
def test_grids(grid):
    """Of sides that the blocks of the matrices divide, and of others."""
    rng = np.random.default_rng(8)
    x, y, radius = sources((160, 120), rng)
    assert_equal(maker_of(field((160, 120), rng, x, y), x, y, radius, grid=grid))


@pytest.mark.parametrize('setting', ['batches', 'strips', 'radii'])
def test_how_it_is_divided_does_not_matter(setting, monkeypatch):
    rng = np.random.default_rng(9)
    x, y, radius = sources((160, 120), rng)
    images = field((160, 120), rng, x, y)
    images['g'] = holes(images['g'], rng)
    maker = maker_of(images, x, y, radius)
    whole = maker.stack()
    if setting == 'batches':
        monkeypatch.setattr(_cutter, 'BATCH', 3)
        monkeypatch.setattr(_cutter, 'BATCH_PIXELS', 2000)
    elif setting == 'strips':
        monkeypatch.setattr(_cutter, 'MAX_SIDE', 50)
        monkeypatch.setattr(_cutter, 'STRIP', 700)
    else:
        monkeypatch.setattr(petrosian, 'MAX_PIXELS', 900)
    part = maker.stack()
    assert np.array_equal(part.flags, whole.flags)
    assert np.allclose(part.radius, whole.radius, equal_nan=True)
    assert np.allclose(part.data, whole.data, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_large_windows_are_read_in_strips(monkeypatch):
    """A radius as large as the image does not bring more than a strip of it into memory."""
    monkeypatch.setattr(_cutter, 'MAX_SIDE', 64)
    monkeypatch.setattr(_cutter, 'STRIP', 2000)
    rng = np.random.default_rng(10)
    maker = maker_of(
        {band: rng.normal(5, 1, (150, 200)) for band in 'grz'}, [100.0], [75.0], [90.0]
    )
    sizes = []
    windows = maker.images.windows

    def noted(x_start, y_start, shape, channels=(0, 1, 2)):
        sizes.append(shape[0] * shape[1])
        return windows(x_start, y_start, shape, channels)

    monkeypatch.setattr(maker.images, 'windows', noted)
    maker.stack()
    assert max(sizes) <= 2000
    assert sum(sizes) == 150 * 200


def test_order_of_rows():
    rng = np.random.default_rng(11)
    x, y, radius = sources((160, 120), rng)
    images = field((160, 120), rng, x, y)
    stack, order = maker_of(images, x, y, radius).stack(), rng.permutation(len(x))
    turned = maker_of(images, x[order], y[order], radius[order]).stack()
    assert np.array_equal(turned.flags, stack.flags[order])
    assert np.allclose(turned.data, stack.data[order], rtol=1e-6, atol=1e-5, equal_nan=True)
    parts = list(maker_of(images, x, y, radius).stacks(row_slices(len(x), 7)))
    assert [len(part) for part in parts] == [7] * 8 + [4]
    assert np.array_equal(np.concatenate([part.flags for part in parts]), stack.flags)
    joined = np.concatenate([part.data for part in parts])
    assert np.allclose(joined, stack.data, rtol=1e-6, atol=1e-5, equal_nan=True)


def test_no_sources_and_none_that_can_be_measured():
    images = {band: np.random.default_rng(12).normal(size=(30, 40)) for band in 'grz'}
    nothing = np.zeros(0)
    assert maker_of(images, nothing, nothing, nothing).stack().data.shape == (0, 3, GRID, GRID)
    off = maker_of(
        images, np.array([-9.0, 70.0, np.nan]), np.array([5.0, 5.0, 5.0]), np.full(3, np.nan)
    ).stack()
    assert [describe_flags(value) for value in off.flags] == [
        ['OFF_IMAGE'],
        ['OFF_IMAGE'],
        ['BAD_POSITION'],
    ]
    assert np.isnan(off.data).all()


def test_no_warnings():
    """Neither of missing values nor of empty windows."""
    rng = np.random.default_rng(13)
    x, y, radius = sources((60, 50), rng)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        maker_of({band: np.full((60, 50), np.nan) for band in 'grz'}, x, y, radius).stack()


def test_windows_of_a_batch_are_of_like_size():
    size = np.random.default_rng(14).uniform(3, 900, 500)
    found = list(_cutter._batches(size))
    assert sorted(np.concatenate(found)) == list(range(500))
    for places in found:
        assert 1 <= len(places) <= _cutter.BATCH
        assert size[places].max() + _cutter.MARGIN <= _cutter.SPREAD * (
            size[places].min() + _cutter.MARGIN
        )
        assert len(places) == 1 or len(places) * size[places].max() ** 2 <= _cutter.BATCH_PIXELS
    assert list(_cutter._batches(np.zeros(0))) == []


CENTRES = np.random.default_rng(15).uniform(-20, 80, 9)
HALVES = np.array([-4.5, -3.5, -1.5, 0.5, 7.0, 10.5, 20.5, 64.5, 99.5])


@pytest.mark.parametrize(
    'centre', [CENTRES, HALVES, np.nextafter(HALVES, -99), np.nextafter(HALVES, 99)]
)
@pytest.mark.parametrize(
    'step', [[1e-9, 0.2, 0.3, 0.5, 1.0, 1.0, 1.5, 2.7, 3.0], np.full(9, 1.0), np.full(9, 0.25)]
)
def test_weights_are_those_of_one_window(centre, step):
    """By blocks, and of all windows at once; also where rounding moves a pixel over a border."""
    axis = _resample.AxisWeights(centre, np.array(step), 32)
    for i in range(9):
        dense = np.zeros((32, axis.length))
        for b, matrix in enumerate(axis.matrices[i]):
            rows, start = slice(b * matrix.shape[1], (b + 1) * matrix.shape[1]), b * axis.stride[i]
            dense[rows, start : start + len(matrix)] = matrix.T
        start = int(axis.start[i])
        expected = one_at_a_time.axis_weights(centre[i], step[i], 32, start, start + axis.length)
        assert np.allclose(dense, expected, atol=1e-6)
        assert np.allclose(dense.sum(axis=1), 1, atol=1e-6)
