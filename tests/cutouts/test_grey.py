# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts of one band: pictures, arrays, FITS files."""

import numpy as np
import pytest
from astropy.io import fits
from composite_images import FAST, composite, encode_in, encoded, flags, write

from galvae_affiliated import CutoutStack, encode_cutout_set, get_model
from galvae_affiliated.cutouts._grey import (
    GREY,
    USUAL_BRIGHTNESS,
    USUAL_NOISE,
    as_flux,
    grey_rows,
    is_cut,
    is_grey_picture,
)
from galvae_affiliated.cutouts.composites import CompositeMaker
from galvae_affiliated.flags import describe_flags
from galvae_affiliated.sources.point_sources import psf_from_fwhm

PIXEL = 0.1


@pytest.fixture
def encode(tmp_path):
    return encode_in(tmp_path)


@pytest.fixture(scope='module')
def frame():
    return get_model().frame


def grey(side=128, r90=25.0):
    return composite(side, r90, color=(1.0, 1.0, 1.0))


def linear(side=79, r90=9.0, *, noise=0.04, sky=0.1):
    """8-bit picture (side, side, 3) whose upper end is a percentile, as of Euclid's VIS cutouts."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    light = np.exp(-np.hypot(x, y) * 3.88 / r90)
    light = sky + light + np.random.default_rng(3).normal(0, noise, light.shape)
    low, high = np.percentile(light, [1, 99])
    scaled = np.clip((light - low) / (high - low), 0, 1)
    return np.round(scaled * 255).astype(np.uint8)[..., None].repeat(3, axis=-1)


def made(frame, pictures, bands=None, scale=None, **options):
    n = len(pictures)
    images = [encoded(pixels, 'PNG') for pixels in pictures]
    return CompositeMaker(frame, **options).stack(range(n), images, [scale] * n, bands)


def test_grey_pictures_of_all_kinds_are_recognised(encode):
    pixels = grey()
    table = encode([encoded(pixels), encoded(pixels[..., 0]), encoded(pixels, 'PNG'),
                    encoded(pixels[..., 0], 'PNG'), encoded(composite())])  # fmt: skip
    assert flags(table) == [['FEW_BANDS']] * 4 + [[]]
    latent = np.array(table['galvae_latent'])
    assert np.allclose(latent[2], latent[3], atol=1e-4)
    assert np.abs(latent[0] - latent[3]).max() < 0.5


def test_almost_grey_is_grey_and_color_is_not():
    pixels = grey()
    jpeg = pixels.astype(int)
    jpeg[::7, ::5, 1] += 1
    assert is_grey_picture(jpeg.astype(np.uint8))
    assert not is_grey_picture(composite())
    pixels[64, 64, 2] -= 2
    assert not is_grey_picture(pixels)


@pytest.mark.parametrize('shape', ['hw', '1hw', 'hw1', '3hw', 'hw3'])
@pytest.mark.parametrize('kind', [np.uint8, np.float64])
def test_arrays_of_one_band(shape, kind):
    plane = np.stack([grey()[..., 0], np.zeros((128, 128), np.uint8)])
    images = plane if kind is np.uint8 else plane / 255
    if shape != 'hw':
        axis = 1 if shape.endswith('hw') else -1
        images = np.repeat(np.expand_dims(images, axis), 3 if '3' in shape else 1, axis=axis)
    stack = CutoutStack.from_composites(images)
    assert stack.shape == (2, 3, 128, 128)
    assert [describe_flags(value) for value in stack.flags] == [['FEW_BANDS'], ['NO_DATA']]
    assert stack.bands.tolist() == [GREY, ''] and stack.n_bands.tolist() == [1, 3]
    assert np.allclose(stack.data[0], plane[0] / 255, atol=1e-6)


def test_three_planes_may_be_one_image_or_three():
    with pytest.raises(ValueError, match=r'one image in color, images\[None\], or three grey'):
        CutoutStack.from_composites(np.zeros((3, 128, 128)))


def test_grey_rows_may_miss_pixels():
    data = np.random.default_rng(0).random((3, 1, 20, 20)).repeat(3, axis=1)
    data[0, :, 3] = np.nan
    data[1, 2, 0, 0] += 0.1
    assert grey_rows(data).tolist() == [True, False, True]
    assert grey_rows(data[:0]).shape == (0,)


def test_bands_of_rows_are_counted():
    data = np.zeros((5, 3, 8, 8), np.float32)
    bands = np.array(['i,r,g', 'r,r,r', 'z,z+g,g', '', GREY])
    stack = CutoutStack(data, np.full(5, 'composite'), np.zeros(5, np.int32), bands=bands)
    assert stack.n_bands.tolist() == [3, 1, 2, 3, 1]
    assert stack[1:3].n_bands.tolist() == [1, 2]
    with pytest.raises(ValueError, match='bands has 2 values for 5 cutouts'):
        CutoutStack(data, stack.rendering, stack.flags, bands=bands[:2])


def test_stretch_that_ends_at_a_percentile_is_taken_for_linear(frame):
    assert is_cut(linear()) and not is_cut(grey())
    stack = made(frame, [linear(), grey(), linear()], scale=PIXEL)
    first = next(entry.name for entry in frame.renderings if entry.kind == 'flux')
    assert stack.rendering.tolist() == [first, 'composite', first]
    assert [describe_flags(value) for value in stack.flags] == [
        ['SCALE_ESTIMATED', 'FEW_BANDS'], ['FEW_BANDS'], ['SCALE_ESTIMATED', 'FEW_BANDS']
    ]  # fmt: skip
    assert stack.radius[0] == pytest.approx(9.0, rel=0.15)
    forced = made(frame, [linear(), grey()], scale=PIXEL, rendering='composite')
    assert set(forced.rendering) == {'composite'}
    linear_too = made(frame, [grey(), composite()], scale=PIXEL, rendering='linear')
    assert set(linear_too.rendering) == {first}
    assert linear_too.n_bands.tolist() == [1, 3]


@pytest.mark.parametrize(('noise', 'limit'), [(0.0, 'brightness'), (0.5, 'noise')])
def test_linear_picture_has_a_usual_brightness(frame, noise, limit):
    grid = frame.grid
    far = np.hypot(*(np.mgrid[:grid, :grid] - (grid - 1) / 2))
    light = np.exp(-far * 3.88 / 25) + np.random.default_rng(1).normal(0, noise, (grid, grid))
    cutout = (0.3 + 0.1 * light[None].repeat(3, axis=0)).astype(np.float32)
    cutout[:, :9] = np.nan
    flux, rendering = as_flux(cutout, frame)
    entry = next(entry for entry in frame.renderings if entry.name == rendering)
    assert np.isnan(flux[:, :9]).all() and np.isfinite(flux[:, 9:]).all()
    # of one intensity, and the middle channel is the usual band
    rendered = flux[:, 9:] * np.reshape(entry.scales, (3, 1, 1))
    assert np.allclose(rendered, rendered[:1], rtol=1e-4, atol=1e-6)
    mean = flux[1][far < 25].mean()
    ring = flux[1][(far > 50) & (far < 61) & np.isfinite(flux[1])]
    if limit == 'brightness':
        assert mean == pytest.approx(USUAL_BRIGHTNESS, rel=0.02)
    else:
        assert np.std(ring) == pytest.approx(USUAL_NOISE, rel=0.1) and mean < USUAL_BRIGHTNESS
    assert abs(np.median(ring)) < 0.1


def test_pictures_of_nothing(frame):
    stack = made(frame, [np.full((79, 79, 3), 255, np.uint8), np.zeros((79, 79, 3), np.uint8)],
                 scale=PIXEL)  # fmt: skip
    assert [describe_flags(value) for value in stack.flags] == [['NO_DATA']] * 2
    empty = np.full((3, frame.grid, frame.grid), np.nan, np.float32)
    assert np.isnan(as_flux(empty, frame)[0]).all()


def test_a_set_says_of_which_band_it_is(tmp_path, frame):
    images = [encoded(linear(), 'PNG'), encoded(grey(), 'PNG'), encoded(composite(), 'PNG')]
    columns = {'bands': ['VIS', None, 'VIS'], 'pixel_scale_arcsec': [PIXEL] * 3}
    path = write(tmp_path / 'vis.parquet', images, **columns)
    table = encode_cutout_set(path, **FAST)
    assert table['galvae_latent'].meta['galvae_channels'] == f'VIS,VIS,VIS or {GREY}'
    assert [('FEW_BANDS' in names) for names in flags(table)] == [True, True, False]
    named = encode_cutout_set(path, bands='HSC-I', **FAST)
    assert named['galvae_latent'].meta['galvae_channels'] == 'HSC-I,HSC-I,HSC-I'
    with pytest.raises(ValueError, match='not with colour images'):
        encode_cutout_set(path, bands='g,r,z', **FAST)
    with pytest.raises(ValueError, match="'foo1' is not known"):
        encode_cutout_set(path, bands='foo1', **FAST)


def test_seeing_says_what_is_resolved(frame):
    pictures = [grey(79, r90=9.0), grey(79, r90=9.0)]
    stack = made(frame, pictures, scale=PIXEL, psf_fwhm=0.16)
    assert stack.resolution == pytest.approx(stack.radius / psf_from_fwhm(1.6)[1])
    assert not [names for names in map(describe_flags, stack.flags) if 'UNRESOLVED' in names]
    stack = made(frame, pictures, scale=PIXEL, psf_fwhm=0.9)
    assert all('UNRESOLVED' in describe_flags(value) for value in stack.flags)
    assert np.isnan(made(frame, pictures, scale=PIXEL).resolution).all()
    with pytest.raises(ValueError, match='psf_fwhm is -1; expected a positive number'):
        made(frame, pictures, psf_fwhm=-1)


def test_small_galaxies_are_not_resolved(frame):
    stack = made(frame, [grey(79, r90=2.2)], scale=PIXEL)
    assert describe_flags(stack.flags[0])[-1] == 'UNRESOLVED'


def test_folder_of_cutouts_of_one_plane(tmp_path):
    light = linear()[..., 0].astype(np.float32) / 20
    header = fits.Header({'FILTER': 'VIS', 'BUNIT': 'nJy', 'SEEING': 0.16})
    for name, plane in (('a', light), ('b', light), ('c', light[None])):
        fits.writeto(tmp_path / f'{name}.fits', plane, header)
    for bands, known in ((None, 'VIS'), ('F814W', 'F814W')):
        table = encode_cutout_set(tmp_path, bands=bands, pixel_scale=PIXEL, **FAST)
        assert all('FEW_BANDS' in names for names in flags(table))
        assert table['galvae_latent'].meta['galvae_channels'] == ','.join([known] * 3)
        assert np.isfinite(table['galvae_latent']).all()
        star = psf_from_fwhm(1.6)[1] * PIXEL
        assert np.allclose(table['galvae_resolution'], table['galvae_radius'] / star)
    zero_point = {'VIS': 24.0}
    encode_cutout_set(tmp_path, bands='VIS', zero_point=zero_point, pixel_scale=PIXEL, **FAST)
    with pytest.raises(ValueError, match='band r is missing'):
        encode_cutout_set(tmp_path, bands='r', zero_point=zero_point, pixel_scale=PIXEL, **FAST)


def test_streams_and_partitions_of_grey_pictures(tmp_path):
    pd = pytest.importorskip('pandas')
    from astropy.table import Table

    from galvae_affiliated import stream_cutout_set
    from galvae_affiliated.distributed import encode_partition

    images = [encoded(linear(), 'PNG'), encoded(grey(), 'PNG'), encoded(composite(), 'PNG')]
    path = write(tmp_path / 'set.parquet', images, bands=['VIS'] * 3,
                 pixel_scale_arcsec=[PIXEL] * 3)  # fmt: skip
    expected = encode_cutout_set(path, psf_fwhm=0.16, **FAST)
    stream_cutout_set(path, tmp_path / 'out.fits', chunk_size=2, psf_fwhm=0.16, **FAST)
    streamed = Table.read(tmp_path / 'out.fits')
    frame = pd.DataFrame({'image': images, 'bands': 'VIS', 'pixel_scale_arcsec': PIXEL})
    part = encode_partition(frame, psf_fwhm=0.16, **FAST)
    for table in (streamed, part):
        assert np.array_equal(table['galvae_flags'], expected['galvae_flags'])
        assert np.allclose(table['galvae_resolution'], expected['galvae_resolution'], rtol=1e-5)
    assert np.allclose(streamed['galvae_latent'], expected['galvae_latent'], atol=1e-5)
    assert part['bands'].tolist() == ['VIS'] * 3
