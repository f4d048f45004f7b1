# Licensed under a 3-clause BSD style license - see LICENSE.rst
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, NDData, StdDevUncertainty
from astropy.units import photometric

from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.images.field import FieldImages

PIXEL = 0.262
BANDS = ['g', 'r', 'z']
BAND_SETS = [('i', 'r', 'g'), ('z', 'r', 'g')]
TYPICAL = {
    'g': {'noise': 0.04, 'flux': 0.5},
    'r': {'noise': 0.07, 'flux': 1.0},
    'i': {'noise': 0.1, 'flux': 1.3},
    'z': {'noise': 0.2, 'flux': 1.6},
}


def open_images(images, **options):
    return FieldImages(images, band_sets=BAND_SETS, typical=TYPICAL, **options)


@pytest.fixture
def arrays(field):
    """Band -> nanomaggies a pixel."""
    return {band: image.data for band, image in field.items()}


@pytest.fixture
def expected(arrays):
    """(3, ny, nx) nanomaggies per square arcsecond from red to blue."""
    return np.array([arrays[band] for band in 'zrg']) / PIXEL**2


def moved(image, dx, dy):
    """The part of an image that starts at (dx, dy), with its WCS."""
    wcs = image.wcs.deepcopy()
    wcs.wcs.crpix -= [dx, dy]
    return CCDData(image.data[dy:, dx:], unit=image.unit, wcs=wcs)


def binned(image, factor):
    """An image of larger pixels; the flux of a pixel grows with its area."""
    ny, nx = (n // factor for n in image.data.shape)
    wcs = image.wcs.deepcopy()
    wcs.wcs.cdelt *= factor
    wcs.wcs.crpix = (wcs.wcs.crpix - 0.5) / factor + 0.5
    data = image.data.astype(float).reshape(ny, factor, nx, factor).sum(axis=(1, 3))
    return CCDData(data, unit=image.unit, wcs=wcs)


def test_what_is_known_of_a_field(field, expected):
    images = open_images(field)
    assert images.bands == ('z', 'r', 'g')
    assert images.shape == (200, 200)
    assert images.pixel_scale == pytest.approx(PIXEL, rel=1e-6)
    assert images.wcs is not None
    assert not images.scale_estimated
    assert np.allclose(images.whole(), expected, rtol=1e-5)
    assert images.noise == pytest.approx(np.array([0.05, 0.02, 0.012]) / PIXEL**2, rel=0.1)


def per_square_arcsecond(flux):
    return (flux * 3631e-9 / PIXEL**2 * u.Jy / u.arcsec**2).to_value('MJy/sr')


@pytest.mark.parametrize(
    ('convert', 'unit'),
    [
        (lambda flux: flux, 'nmgy'),
        (lambda flux: 1e-9 * flux, 'mgy'),
        (lambda flux: 3.631 * flux, 'uJy'),
        (lambda flux: 3.631 * flux, u.uJy),
        (per_square_arcsecond, 'MJy/sr'),
        (lambda flux: flux / PIXEL**2, 'nmgy/arcsec2'),
    ],
)
def test_units_give_the_same_flux(arrays, expected, convert, unit):
    converted = {band: convert(flux) for band, flux in arrays.items()}
    images = open_images(converted, unit=unit, pixel_scale=PIXEL)
    assert np.allclose(images.whole(), expected, rtol=1e-4)
    if not isinstance(unit, str):
        assert np.allclose(
            open_images({b: v * unit for b, v in converted.items()}, pixel_scale=PIXEL).whole(),
            expected,
            rtol=1e-4,
        )


@pytest.mark.parametrize(
    'zero_point', [27.0, {'g': 27.0, 'r': 27.0, 'z': 27.0}, np.float32(27.0), np.int64(27)]
)
def test_zero_point(arrays, expected, zero_point):
    counts = {band: flux * 10 ** (0.4 * (27.0 - 22.5)) for band, flux in arrays.items()}
    images = open_images(counts, zero_point=zero_point, pixel_scale=PIXEL)
    assert np.allclose(images.whole(), expected, rtol=1e-4)


def test_zero_point_of_each_band(arrays, expected):
    points = {'g': 25.0, 'r': 27.0, 'z': 30.0}
    counts = {band: flux * 10 ** (0.4 * (points[band] - 22.5)) for band, flux in arrays.items()}
    assert np.allclose(
        open_images(counts, zero_point=points, pixel_scale=PIXEL).whole(), expected, rtol=1e-4
    )
    headers = {
        band: CCDData(c, unit='adu', meta={'MAGZERO': points[band]}) for band, c in counts.items()
    }
    assert np.allclose(open_images(headers, pixel_scale=PIXEL).whole(), expected, rtol=1e-4)


def test_bands_may_have_different_units(arrays, expected):
    images = {
        'g': arrays['g'] * photometric.nmgy,
        'r': 3.631 * arrays['r'] * u.uJy,
        'z': arrays['z'] * photometric.nmgy,
    }
    assert np.allclose(open_images(images, pixel_scale=PIXEL).whole(), expected, rtol=1e-4)


def test_given_unit_counts_more_than_the_stated(field, expected):
    images = open_images(field, unit='uJy')
    assert np.allclose(images.whole(), expected / 3.631, rtol=1e-4)


@pytest.mark.parametrize(
    ('unit', 'message'),
    [('K', 'is not a flux unit'), ('furlong/', 'is not a unit'), (u.mag, 'is not a flux unit')],
)
def test_wrong_unit(arrays, unit, message):
    with pytest.raises(ValueError, match=message):
        open_images(arrays, unit=unit, pixel_scale=PIXEL)


def test_wrong_unit_of_a_quantity(arrays):
    with pytest.raises(ValueError, match="'K' is not a flux unit"):
        open_images({band: flux * u.K for band, flux in arrays.items()}, pixel_scale=PIXEL)


@pytest.mark.parametrize(
    'zero_point', [np.nan, np.inf, {'g': 25.0, 'r': 25.0}, {'g': 25.0, 'r': 25.0, 'i': 25.0}]
)
def test_wrong_zero_point(arrays, zero_point):
    with pytest.raises(ValueError, match='zero.point'):
        open_images(arrays, zero_point=zero_point, pixel_scale=PIXEL)
    with pytest.raises(TypeError, match='zero_point'):
        open_images(arrays, zero_point=[25.0, 25.0, 25.0], pixel_scale=PIXEL)


@pytest.mark.parametrize('pixel_scale', [0, -0.262, np.nan, np.inf])
def test_wrong_pixel_scale(arrays, pixel_scale):
    with pytest.raises(ValueError, match='pixel_scale is'):
        open_images(arrays, unit='nmgy', pixel_scale=pixel_scale)


@pytest.mark.parametrize(
    'images', ['array', 'Quantity of counts', 'zero point without pixel scale']
)
def test_unknown_unit_warns_once(arrays, images):
    options = {'pixel_scale': PIXEL}
    if images == 'Quantity of counts':
        arrays = {band: flux * u.adu for band, flux in arrays.items()}
    if images == 'zero point without pixel scale':
        options = {'zero_point': 22.5}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        field = open_images(arrays, **options)
    assert [w.category for w in caught] == [GalvaeWarning]
    assert 'scale is estimated from the noise' in str(caught[0].message)
    assert field.scale_estimated


def test_estimated_scale(arrays, field):
    """The middle band has its usual noise, galaxies their mean colour, whatever the counts are."""
    counts = {'g': 50.0 * arrays['g'], 'r': 300.0 * arrays['r'], 'z': 7.0 * arrays['z']}
    with pytest.warns(GalvaeWarning):
        images = open_images(counts, pixel_scale=PIXEL)
    assert images.noise[1] == pytest.approx(0.07, rel=1e-3)
    centre = images.whole()[:, 49, 50]
    assert centre / centre[1] == pytest.approx([1.6, 1.0, 0.5], rel=0.1)
    with pytest.warns(GalvaeWarning):
        finer = open_images(counts, pixel_scale=PIXEL / 2)
    assert finer.noise[1] == pytest.approx(0.14, rel=1e-3)


def test_one_unknown_band_is_scaled_by_the_others(arrays, expected):
    images = {
        'g': arrays['g'] * photometric.nmgy,
        'r': arrays['r'] * photometric.nmgy,
        'z': 40.0 * arrays['z'],
    }
    with pytest.warns(GalvaeWarning, match='for band z:'):
        field = open_images(images, pixel_scale=PIXEL)
    whole = field.whole()
    assert np.allclose(whole[1:], expected[1:], rtol=1e-4)
    assert whole[0, 49, 50] / whole[1, 49, 50] == pytest.approx(1.6, rel=0.1)


@pytest.mark.parametrize('content', [np.nan, 0.0, 1.0])
def test_unit_of_an_empty_image_cannot_be_estimated(content):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        images = open_images(np.full((3, 30, 30), content), bands=BANDS)
    assert {w.category for w in caught} == {GalvaeWarning}
    assert np.isfinite(images.factors).all()


def test_wcs_of_any_band_serves_all(field, arrays, expected):
    images = open_images({**{b: a * photometric.nmgy for b, a in arrays.items()}, 'g': field['g']})
    assert images.wcs is not None
    assert images.pixel_scale == pytest.approx(PIXEL, rel=1e-6)
    assert np.allclose(images.whole(), expected, rtol=1e-4)


def test_bands_from_other_pixels_are_aligned(field, expected):
    images = open_images({**field, 'g': moved(field['g'], 20, 30)})
    whole = images.whole()
    assert images.shape == (200, 200)
    assert np.allclose(whole[:2], expected[:2], rtol=1e-5)
    assert np.allclose(whole[2, 30:, 20:], expected[2, 30:, 20:], rtol=1e-3, atol=1e-3)
    assert np.isnan(whole[2, :29]).all()
    assert np.isnan(whole[2, :, :19]).all()


def test_surface_brightness_is_kept_from_larger_pixels(field, expected):
    coarse = open_images({**field, 'z': binned(field['z'], 2)}).whole()[0, 1:-1, 1:-1]
    assert np.nansum(coarse) == pytest.approx(expected[0, 1:-1, 1:-1].sum(), rel=0.01)


def test_masked_pixels_stay_missing_when_aligned(field):
    part = moved(field['g'], 20, 30)
    mask = np.zeros(part.data.shape, dtype=bool)
    mask[10:15, 10:15] = True
    images = open_images(
        {**field, 'g': CCDData(part.data, unit=part.unit, wcs=part.wcs, mask=mask)}
    )
    assert np.isnan(images.whole()[2, 41:44, 31:34]).all()
    assert np.isfinite(images.whole()[2, 50:, 40:]).all()


def test_bands_that_cannot_be_aligned(field, arrays):
    with pytest.raises(ValueError, match=r'shape \(200, 190\).*without a WCS in both'):
        open_images({**arrays, 'g': arrays['g'][:, 10:]}, unit='nmgy', pixel_scale=PIXEL)
    with pytest.raises(ValueError, match='without a WCS in both'):
        open_images({**field, 'g': arrays['g'][:, 10:]})
    elsewhere = field['g'].wcs.deepcopy()
    elsewhere.wcs.crval = [10.0, -40.0]
    with pytest.raises(ValueError, match='g and r do not overlap'):
        open_images({**field, 'g': CCDData(field['g'].data, unit='uJy', wcs=elsewhere)})


def test_mask_of_another_shape(arrays):
    images = {**arrays, 'g': NDData(arrays['g'], uncertainty=StdDevUncertainty(np.ones((3, 3))))}
    with pytest.raises(ValueError, match=r'\(3, 3\)'):
        open_images(images, unit='nmgy', pixel_scale=PIXEL)


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['g', 'foo'], "'foo' is not known.*this model takes g,r,i or g,r,z best"),
        (['g', 'r', 'SDSS_r'], 'r and SDSS_r are the same band'),
    ],
)
def test_wrong_bands(arrays, names, message):
    with pytest.raises(ValueError, match=message):
        open_images(dict.fromkeys(names, arrays['r']), unit='nmgy', pixel_scale=PIXEL)


def test_order_of_the_bands_does_not_matter(field):
    turned = open_images({band: field[band] for band in 'zgr'})
    assert np.array_equal(turned.whole(), open_images(field).whole())


def test_pedestal_is_subtracted(arrays, expected):
    raised = {band: flux + 1.0 for band, flux in arrays.items()}
    images = open_images(raised, unit='nmgy', pixel_scale=PIXEL)
    # the clipped median holds a little of the galaxies' light
    assert np.abs(images.whole() - expected).max() < 0.3 * images.noise.max()
    untouched = open_images(raised, unit='nmgy', pixel_scale=PIXEL, subtract_sky=False)
    assert np.allclose(untouched.whole(), expected + 1.0 / PIXEL**2, rtol=1e-4)


def test_sky_is_subtracted_when_asked_for(arrays):
    raised = {band: flux + 0.002 for band, flux in arrays.items()}
    subtracted = open_images(raised, unit='nmgy', pixel_scale=PIXEL, subtract_sky=True)
    kept = open_images(raised, unit='nmgy', pixel_scale=PIXEL, subtract_sky=False)
    assert np.all(np.median(kept.whole() - subtracted.whole(), axis=(1, 2)) > 0.001 / PIXEL**2)


def test_exact_zeros_are_missing_in_floats(arrays):
    holes = {band: np.array(flux) for band, flux in arrays.items()}
    holes['r'][:50] = 0.0
    whole = open_images(holes, unit='nmgy', pixel_scale=PIXEL).whole()
    assert np.isnan(whole[1, :50]).all()
    assert np.isfinite(whole[1, 50:]).all()
    assert np.isfinite(whole[0]).all()


def test_zeros_are_values_in_integers(arrays):
    counts = {band: np.round(100 * flux).astype(np.int16) for band, flux in arrays.items()}
    assert (counts['g'] == 0).any()
    assert np.isfinite(open_images(counts, zero_point=27.5, pixel_scale=PIXEL).whole()).all()


def test_band_of_zeros_is_missing(arrays):
    images = open_images(
        {**arrays, 'z': np.zeros_like(arrays['z'])}, unit='nmgy', pixel_scale=PIXEL
    )
    assert np.isnan(images.whole()[0]).all()


def test_missing_pixels(arrays):
    images = {band: np.array(flux) for band, flux in arrays.items()}
    images['r'][0, 0], images['r'][0, 1] = np.nan, np.inf
    mask = np.zeros((200, 200), dtype=bool)
    mask[0, 2] = True
    images['r'] = np.ma.array(images['r'], mask=mask)
    whole = open_images(images, unit='nmgy', pixel_scale=PIXEL).whole()
    assert np.isnan(whole[1, 0, :3]).all()
    assert np.isfinite(whole[1, 0, 3:]).all()


def test_window(field):
    images = open_images(field)
    part = images.window((10, 30), (50, 55), [2, 0])
    assert part.dtype == np.float32
    assert np.array_equal(part, images.whole()[[2, 0], 50:55, 10:30])


@pytest.mark.parametrize('dtype', ['>f4', '>f8', '<f8', 'f2'])
def test_byte_order_and_precision(arrays, expected, dtype):
    images = open_images(
        {b: a.astype(dtype) for b, a in arrays.items()}, unit='nmgy', pixel_scale=PIXEL
    )
    assert images.whole().dtype.isnative
    assert np.allclose(images.whole(), expected, rtol=2e-3, atol=1e-3)


def test_images_are_not_changed(arrays):
    images = {band: np.ma.array(flux + 1.0, mask=flux > 3) for band, flux in arrays.items()}
    before = {band: (image.data.copy(), image.mask.copy()) for band, image in images.items()}
    open_images(images, unit='nmgy', pixel_scale=PIXEL).whole()
    for band, (data, mask) in before.items():
        assert np.array_equal(images[band].data, data)
        assert np.array_equal(images[band].mask, mask)
