# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import one_at_a_time
import pytest
from composite_images import GOOD, composite, encode_in, encoded, flags

from galvae_affiliated import get_model
from galvae_affiliated.cutouts.composites import resize_composite


@pytest.fixture
def encode(tmp_path):
    return encode_in(tmp_path)


@pytest.mark.parametrize(
    'bad',
    [
        None,
        b'',
        b'no image',
        GOOD[:400],
        GOOD[:100],
        b'\xff\xd8' + bytes(500),
        encoded(composite(), 'PNG')[:1000],
    ],
    ids=['null', 'empty', 'text', 'truncated', 'header', 'zeros', 'truncated PNG'],
)
def test_unreadable_image_keeps_its_row(encode, bad):
    table = encode([GOOD, bad, GOOD])
    assert flags(table) == [[], ['UNREADABLE'], []]
    assert list(np.asarray(table['galvae_latent'].mask)[:, 0]) == [False, True, False]
    assert np.allclose(table['galvae_latent'][0], table['galvae_latent'][2], atol=1e-3)


@pytest.mark.parametrize('side', [64, 96, 200])
@pytest.mark.parametrize('level', [0, 77, 255])
def test_flat_image_is_no_data(encode, side, level):
    assert flags(encode([encoded(np.full((side, side, 3), level, np.uint8), 'PNG')])) == [
        ['NO_DATA']
    ]


def test_image_formats(encode):
    """PNG, RGBA, palette, grey; the image as bytes without the struct."""
    pixels = composite(color=(1.0, 1.0, 1.0))
    rgba = np.concatenate([pixels, np.full((128, 128, 1), 255, np.uint8)], axis=-1)
    table = encode(
        [
            encoded(pixels, 'PNG'),
            encoded(rgba, 'PNG'),
            encoded(pixels[..., 0], 'PNG'),
            encoded(pixels, quality=95),
        ]
    )
    assert flags(table) == [['FEW_BANDS']] * 4
    latent = np.array(table['galvae_latent'])
    assert np.allclose(latent[1:3], latent[0], atol=1e-3)
    assert np.abs(latent[3] - latent[0]).max() < 0.5


def test_set_at_the_scale_of_the_model(encode):
    """Without pixel scale the side is 5.12 petroR90, or 8.48 in GZ2's frames of 424 pixels."""
    table = encode([GOOD, encoded(composite(256, r90=50)), encoded(composite(424, r90=50))])
    assert flags(table) == [[]] * 3
    assert np.allclose(table['galvae_radius'], [25, 50, 50])
    assert table['galvae_radius'].unit == 'pix'


def test_frames_of_galaxy_zoo_2(encode):
    """The central 256 pixels of the 424, averaged 2 x 2, are the model's cutout."""
    frame = composite(424, r90=50)
    centre = frame[84:-84, 84:-84].astype(float).reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    table = encode([encoded(frame, 'PNG'), encoded(np.round(centre).astype(np.uint8), 'PNG')])
    scale = np.std(table['galvae_latent'])
    assert np.abs(table['galvae_latent'][0] - table['galvae_latent'][1]).max() < 0.1 * scale


def test_measured_galaxies(encode):
    """A pixel scale says that the galaxy has to be measured."""
    sizes = np.array([8.0, 15.0, 25.0])
    images = [encoded(composite(200, r90=r), quality=95) for r in sizes]
    table = encode(images, pixel_scale=0.5)
    assert flags(table) == [[]] * 3
    assert table['galvae_radius'].unit == 'arcsec'
    radius = np.array(table['galvae_radius']) / 0.5
    # a composite is compressed, its profile not quite exponential: order and scale count
    assert np.all(np.diff(radius) > 0)
    assert np.allclose(radius / sizes, np.mean(radius / sizes), rtol=0.15)


def test_measured_galaxies_have_one_size(encode):
    """A galaxy in pixels of two sizes has about the same latents if measured, others if not."""
    images = [encoded(composite(200, r90=r), quality=95) for r in (12, 24)]
    measured, already_scaled = (
        np.array(encode(images, pixel_scale=0.5, already_scaled=is_scaled)['galvae_latent'])
        for is_scaled in (False, True)
    )
    assert np.linalg.norm(measured[0] - measured[1]) < 0.7 * np.linalg.norm(
        already_scaled[0] - already_scaled[1]
    )


@pytest.mark.parametrize('shape', [(1, 1), (2, 2), (3, 60), (60, 3), (5, 5), (128, 90)])
@pytest.mark.parametrize('pixel_scale', [None, 0.3])
def test_images_of_odd_shapes_keep_their_row(encode, shape, pixel_scale):
    table = encode([encoded(composite(shape=shape, r90=20), 'PNG'), GOOD], pixel_scale=pixel_scale)
    assert len(table) == 2
    assert np.isfinite(np.array(table['galvae_latent'])[1]).all()


def test_galaxy_that_cannot_be_measured(encode):
    """Where the middle is darker than the border, there is no radius."""
    table = encode([encoded(255 - composite(), 'PNG'), GOOD], pixel_scale=0.3)
    assert flags(table) == [['NO_RADIUS'], []]


def test_renderings(encode):
    names = [entry.name for entry in get_model().frame.renderings if entry.kind != 'flux']
    latent = [np.array(encode([GOOD], rendering=name)['galvae_latent']) for name in names]
    assert np.allclose(latent[0], encode([GOOD])['galvae_latent'], atol=1e-3)
    assert len(latent) == 1 or not np.allclose(latent[0], latent[1])
    with pytest.raises(ValueError, match="no rendering 'none'.*; it has"):
        encode([GOOD], rendering='none')


def test_flux_rendering_is_not_for_composites(encode):
    flux = next(iter(get_model().frame.flux_renderings()))
    with pytest.raises(ValueError, match=flux):
        encode([GOOD], rendering=flux)


@pytest.mark.parametrize('shape', [(60, 60), (40, 90), (90, 41), (3, 3)])
@pytest.mark.parametrize('side', [20.0, 37.3, 60.0, 150.0])
@pytest.mark.parametrize('grid', [16, 60])
def test_resized_as_one_at_a_time(shape, side, grid):
    """Also where the square reaches over the edges, which are missing then."""
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    planes = np.moveaxis(pixels, -1, 0) / np.float32(255)
    centre = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    expected = one_at_a_time.resample(planes, centre, side / grid, grid)
    assert np.allclose(resize_composite(pixels, side, grid), expected, atol=1e-6, equal_nan=True)
