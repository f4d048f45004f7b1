# Licensed under a 3-clause BSD style license - see LICENSE.rst
import subprocess
import sys
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.table import Table, vstack

from galvae_affiliated import get_model, make_cutouts
from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.flags import UNMEASURED, describe_flags

PIXEL = 0.262


@pytest.fixture(scope='module')
def grid():
    return get_model().grid


def names(stack):
    return [describe_flags(flags) for flags in stack.flags]


def one(images, x, y, radius=12.0, **options):
    """Stack of one source; the radius is in pixels."""
    table = Table({'x': [x], 'y': [y], 'r': [radius]})
    return make_cutouts(images, table, radius='r', **options)


def flags_of(*args, **options):
    return names(one(*args, **options))[0]


def with_pixels(field, change):
    """The field with an altered copy of each image."""
    images = {}
    for band, image in field.items():
        data = image.data.copy()
        change(data)
        images[band] = CCDData(data, unit=image.unit, wcs=image.wcs)
    return images


def test_stack_of_a_catalogue(field, galaxies, grid):
    stack = make_cutouts(field, galaxies)
    assert len(stack) == 6
    assert stack.data.shape == (6, 3, grid, grid)
    assert stack.data.dtype == np.float32
    assert names(stack) == [[]] * 6
    assert stack.measured.all()
    assert np.allclose(stack.radius * PIXEL, galaxies['petro_r90'])
    assert np.allclose(stack.pixel_scale, PIXEL)
    assert np.isfinite(stack.data).all()


def test_surface_brightness_is_kept(field, galaxies, grid):
    """The middle of a cutout is as bright as the galaxy is there."""
    stack = make_cutouts(field, galaxies)
    middle = slice(grid // 2 - 3, grid // 2 + 3)
    for i, row in enumerate(galaxies):
        y, x = int(row['y']), int(row['x'])
        half = max(1, int(stack.radius[i] / 8))
        near = field['r'].data[y - half : y + half + 1, x - half : x + half + 1]
        assert (
            near.min() / PIXEL**2 < stack.data[i, 1, middle, middle].mean() < near.max() / PIXEL**2
        )


def test_channels_are_from_red_to_blue(field, galaxies, grid):
    stack = make_cutouts(field, galaxies)
    red, green, blue = stack.data[:, :, grid // 2, grid // 2].T
    assert np.allclose(red / green, 1.5, rtol=0.1)
    assert np.allclose(blue / green, 0.6, rtol=0.1)


def test_galaxy_is_centred(field, galaxies, grid):
    y, x = np.mgrid[:grid, :grid] - (grid - 1) / 2
    inside = np.hypot(x, y) < grid / 6
    for cutout in make_cutouts(field, galaxies).data[:, 1]:
        light = np.clip(cutout, 0, None) * inside
        assert abs((light * x).sum() / light.sum()) < 0.7
        assert abs((light * y).sum() / light.sum()) < 0.7


def half_light_radius(cutout):
    grid = len(cutout)
    r = np.hypot(*np.mgrid[:grid, :grid] - (grid - 1) / 2).ravel()
    order = np.argsort(r)[: int(np.pi * 40**2)]
    growth = np.cumsum(cutout.ravel()[order])
    return r[order][np.searchsorted(growth, 0.5 * growth[-1])]


def test_equal_apparent_size(field, galaxies):
    """Galaxies of one profile have one size on the grid, by given and by measured radii."""
    measured = Table(galaxies)
    measured.remove_column('petro_r90')
    for table in (galaxies, measured):
        sizes = [half_light_radius(cutout) for cutout in make_cutouts(field, table).data[:, 1]]
        assert np.ptp(sizes[:3]) < 0.1 * np.mean(sizes[:3])
        assert np.ptp(sizes[3:]) < 0.1 * np.mean(sizes[3:])


def test_radius_does_not_depend_on_the_pixels(grid):
    """The same galaxy in pixels of half the size gives the same cutout."""
    stacks = []
    for scale in (1, 2):
        y, x = np.mgrid[: 100 * scale, : 100 * scale]
        centre = 49.5 * scale + (scale - 1) / 2
        galaxy = np.exp(-np.hypot(x - centre, y - centre) / (5 * scale)) / scale**2
        stacks.append(
            one(
                [galaxy] * 3,
                centre,
                centre,
                15.0 * scale,
                bands='grz',
                unit='nmgy',
                pixel_scale=PIXEL / scale,
            )
        )
    near = np.s_[:, :, grid // 4 : -grid // 4, grid // 4 : -grid // 4]
    peak = stacks[0].data.max()
    assert np.abs(stacks[0].data[near] - stacks[1].data[near]).max() < 0.08 * peak
    assert np.abs(stacks[0].data[near] - stacks[1].data[near]).mean() < 0.005 * peak


def test_measured_radii(field, galaxies):
    expected = np.array(galaxies['petro_r90'])
    del galaxies['petro_r90']
    stack = make_cutouts(field, galaxies)
    assert np.allclose(stack.radius * PIXEL, expected, rtol=0.1)


@pytest.mark.parametrize('sky', [0.5, 0.9, -0.9])
def test_measured_radii_with_a_residual_sky(field, galaxies, sky):
    """A level of the sky that is below the noise of a pixel."""
    expected = np.array(galaxies['petro_r90'])
    del galaxies['petro_r90']
    raised = {
        band: CCDData(image.data + np.float32(sky * noise), unit=image.unit, wcs=image.wcs)
        for (band, image), noise in zip(field.items(), (0.012, 0.02, 0.05))
    }
    assert np.allclose(make_cutouts(raised, galaxies).radius * PIXEL, expected, rtol=0.2)


def test_detected_sources(field, galaxies):
    stack = make_cutouts(field)
    assert names(stack) == [[]] * 6
    order = [
        np.argmin(np.abs(np.array(galaxies['petro_r90']) / PIXEL / r - 1)) for r in stack.radius
    ]
    assert np.allclose(stack.radius * PIXEL, np.array(galaxies['petro_r90'])[order], rtol=0.1)


def test_neighbour_does_not_enlarge_a_galaxy(field, galaxies):
    y, x = np.mgrid[:200, :200]

    def add(data):
        data += 2.0 * np.exp(-np.hypot(x - 175, y - 61) / 2.5).astype(np.float32)

    table = galaxies[['x', 'y']][1:2]
    alone, beside = make_cutouts(field, table), make_cutouts(with_pixels(field, add), table)
    assert beside.radius[0] == pytest.approx(alone.radius[0], rel=0.1)


def test_every_row_is_kept_in_order(field, galaxies):
    bad = Table(
        {
            'x': [np.nan, 500.0, 100.0],
            'y': [10.0, 10.0, 100.0],
            'petro_r90': [3.0, 3.0, -1.0] * u.arcsec,
        }
    )
    table = vstack([galaxies, bad])[[6, 0, 7, 3, 8, 1]]
    stack, expected = make_cutouts(field, table), make_cutouts(field, galaxies)
    assert names(stack) == [['BAD_POSITION'], [], ['OFF_IMAGE'], [], ['BAD_RADIUS'], []]
    assert np.array_equal(stack.data[[1, 3, 5]], expected.data[[0, 3, 1]])
    assert np.isnan(stack.data[[0, 2, 4]]).all()
    assert list(stack.measured) == [False, True, False, True, False, True]


def test_some_rows(field, galaxies):
    whole = make_cutouts(field, galaxies)
    for rows in (slice(2, 4), slice(None, None, -2), slice(6, 9)):
        part = make_cutouts(field, galaxies, rows=rows)
        assert np.array_equal(part.data, whole.data[rows])
        assert np.array_equal(part.radius, whole.radius[rows])


@pytest.mark.parametrize(
    ('x', 'y'), [(np.nan, 50.0), (50.0, np.nan), (np.inf, 50.0), (-np.inf, np.nan)]
)
def test_position_that_is_not_finite(field, x, y):
    assert flags_of(field, x, y) == ['BAD_POSITION']


@pytest.mark.filterwarnings('ignore:no source of the catalogue')
@pytest.mark.filterwarnings('ignore:no source of the catalogue')
@pytest.mark.parametrize(
    ('x', 'y'),
    [(-0.6, 50.0), (50.0, -0.6), (199.6, 50.0), (50.0, 199.6), (-1e30, 50.0), (1e9, 1e9)],
)
def test_position_off_the_image(field, x, y):
    assert flags_of(field, x, y) == ['OFF_IMAGE']


@pytest.mark.parametrize(
    ('x', 'y'), [(-0.4, 50.0), (50.0, -0.4), (199.4, 50.0), (50.0, 199.4), (0.0, 0.0)]
)
def test_position_on_the_border_is_inside(field, x, y):
    assert 'OFF_IMAGE' not in flags_of(field, x, y)
    assert 'EDGE' in flags_of(field, x, y)


@pytest.mark.filterwarnings('ignore:no source of the catalogue')
@pytest.mark.filterwarnings('ignore:no source of the catalogue')
@pytest.mark.parametrize(('ra', 'dec'), [(330.1, -2.2), (150.1, 88.0), (250.0, 0.0), (151.0, 2.2)])
def test_sky_position_off_the_image(field, ra, dec):
    stack = make_cutouts(field, Table({'ra': [ra], 'dec': [dec]}), radius=3.0)
    assert names(stack) == [['OFF_IMAGE']]


@pytest.mark.parametrize(
    ('x', 'expected'), [(47.0, False), (32.0, False), (22.0, True), (2.0, True), (180.0, True)]
)
def test_edge(field, x, expected):
    """The cutout of a radius of 12 pixels reaches 31 pixels to each side."""
    assert ('EDGE' in flags_of(field, x, 48.7)) == expected


def test_edge_is_no_missing_pixel(field):
    stack = one(field, 2.0, 48.0)
    assert 'MISSING_PIXELS' not in names(stack)[0]
    assert np.isnan(stack.data[0, :, :, 0]).all()
    assert stack.measured[0]


@pytest.mark.parametrize('radius', [-1.0, -1e-9, 0.0, 1e6, 1e300, np.inf, -np.inf])
def test_bad_radius(field, radius):
    stack = one(field, 50.3, 48.7, radius)
    assert names(stack) == [['BAD_RADIUS']]
    assert not stack.measured[0]


@pytest.mark.parametrize('radius', [1e6, -5, 0])
def test_bad_radius_in_arcsec(field, radius):
    table = Table({'x': [50.3], 'y': [48.7]})
    assert names(make_cutouts(field, table, radius=radius * u.arcsec)) == [['BAD_RADIUS']]


def test_radius_as_large_as_the_image(field):
    stack = one(field, 100.0, 100.0, 190.0)
    assert 'EDGE' in names(stack)[0]
    assert stack.measured[0]


def test_small(field):
    assert 'SMALL' in flags_of(field, 50.3, 48.7, 2.5)
    assert 'SMALL' not in flags_of(field, 50.3, 48.7, 3.5)
    assert np.isfinite(one(field, 50.3, 48.7, 0.01).data).all()


def test_faint(field):
    assert flags_of(field, 178.0, 108.0, 5.0) == ['FAINT']
    assert 'FAINT' not in flags_of(field, 50.3, 48.7)


def test_no_radius(field):
    images = {band: np.full((60, 60), 5) for band in 'grz'}
    stack = make_cutouts(images, Table({'x': [30.0], 'y': [30.0]}), unit='nmgy', pixel_scale=PIXEL)
    assert names(stack) == [['NO_RADIUS']]
    assert np.isnan(stack.radius[0])


@pytest.mark.parametrize('content', [np.nan, 0.0])
def test_no_data(field, content):
    def empty(data):
        data[:, 90:] = content

    images = with_pixels(field, empty)
    assert flags_of(images, 150.0, 60.0) == ['NO_DATA']
    assert flags_of(images, 50.3, 48.7) == []


@pytest.mark.parametrize('content', [0.0, 0, 3, 3.7])
def test_no_data_where_all_pixels_are_equal(content):
    images = {band: np.full((60, 60), content) for band in 'grz'}
    assert flags_of(images, 30.3, 30.1, 5.7, unit='nmgy', pixel_scale=PIXEL) == ['NO_DATA']


def test_masked_field(field):
    masked = {band: np.ma.array(image.data, mask=True) for band, image in field.items()}
    assert flags_of(masked, 50.3, 48.7, unit='nmgy', pixel_scale=PIXEL) == ['NO_DATA']


@pytest.mark.parametrize('kind', ['nan', 'mask', 'zero'])
def test_missing_pixels(field, kind):
    hole = np.zeros((200, 200), dtype=bool)
    hole[45:48, 48:53] = True
    images = {}
    for band, image in field.items():
        data = np.where(hole, {'nan': np.nan, 'zero': 0.0, 'mask': 99.0}[kind], image.data)
        images[band] = CCDData(
            data, unit=image.unit, wcs=image.wcs, mask=hole if kind == 'mask' else None
        )
    stack = one(images, 50.3, 48.7)
    assert names(stack) == [['MISSING_PIXELS']]
    assert np.isnan(stack.data).any()
    assert np.nanmax(stack.data) < 1000
    assert flags_of(images, 143.0, 61.0, 9.0) == []


def test_missing_pixels_of_one_band(field):
    hole = np.zeros((200, 200), dtype=bool)
    hole[44:50, 48:53] = True
    z = field['z']
    images = {**field, 'z': CCDData(z.data, unit=z.unit, wcs=z.wcs, mask=hole)}
    assert flags_of(images, 50.3, 48.7) == ['MISSING_PIXELS']


def test_missing_band(field):
    """A band of zeros is no image of the galaxy."""
    z = field['z']
    images = {**field, 'z': CCDData(np.zeros_like(z.data), unit=z.unit, wcs=z.wcs)}
    assert flags_of(images, 50.3, 48.7) == ['MISSING_PIXELS']


def test_few_missing_pixels_far_from_the_galaxy(field):
    def hole(data):
        data[70:74, 28:32] = np.nan

    assert flags_of(with_pixels(field, hole), 50.3, 48.7) == []


def test_scale_estimated(field, galaxies):
    arrays = {band: image.data for band, image in field.items()}
    with pytest.warns(GalvaeWarning):
        stack = make_cutouts(arrays, galaxies, radius=12.0, radius_unit='pix')
    assert names(stack) == [['SCALE_ESTIMATED']] * 6
    assert stack.measured.all()
    assert np.isnan(stack.pixel_scale).all()


def test_unmeasured_bits():
    assert {name for bit in (1, 2, 4, 8, 16, 32) for name in describe_flags(bit)} == set(
        describe_flags(UNMEASURED)
    )


def test_no_sources(field, grid):
    stack = make_cutouts(field, Table({'x': [], 'y': []}))
    assert stack.data.shape == (0, 3, grid, grid)
    assert len(stack.flags) == len(stack.radius) == 0


def test_images_of_one_pixel(grid):
    stack = one(np.ones((3, 1, 1)), 0.0, 0.0, 1.0, bands='grz', unit='nmgy', pixel_scale=PIXEL)
    assert stack.data.shape == (1, 3, grid, grid)
    assert not stack.measured[0]


def test_large_image_of_nothing_warns_of_nothing_else():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        flags = flags_of({band: np.full((50, 50), np.nan) for band in 'grz'}, 25.0, 25.0)
    assert flags == ['NO_DATA']
    assert {w.category for w in caught} == {GalvaeWarning}


def test_rendering_for_the_bands(field, galaxies):
    for entry in get_model().frame.renderings:
        if entry.kind == 'flux':
            images = {band: field['z' if band == 'i' else band] for band in entry.bands}
            stack = make_cutouts(images, galaxies, rendering=entry.name)
            assert set(stack.rendering) == {entry.name}
            assert np.array_equal(make_cutouts(images, galaxies).data, stack.data)
    with pytest.raises(ValueError, match="no rendering 'none' of flux; it has"):
        make_cutouts(field, galaxies, rendering='none')
    with pytest.raises(ValueError, match="no rendering 'composite' of flux"):
        make_cutouts(field, galaxies, rendering='composite')


def test_a_field_needs_few_libraries():
    """Neither those of sets nor, where radii are given, those that find sources."""
    names = ('pyarrow', 'PIL', 'pandas', 'photutils', 'reproject')
    code = (
        'import sys, numpy as np\n'
        'from galvae_affiliated.cutouts import ImageRendering, ModelFrame, open_cutouts\n'
        'from astropy.table import Table\n'
        'frame = ModelFrame("x", 8, 5.12, (ImageRendering("x", "flux", ("z", "r", "g")),))\n'
        'images = {b: np.random.default_rng(0).normal(size=(64, 64)) for b in "grz"}\n'
        'table = Table({"x": [31.5], "y": [31.5], "petro_r90": [9.0]})\n'
        'open_cutouts(images, table, frame, unit="nmgy", pixel_scale=0.3)[0].stack()\n'
        f'print(*[m for m in {names} if m in sys.modules])'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
