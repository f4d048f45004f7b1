# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Bands by name and wavelength, and the channels that they become."""

import re
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest

from galvae_affiliated import get_model
from galvae_affiliated.images.bands import (
    WAVELENGTHS,
    Band,
    parse_band,
    plan_channels,
    power_law,
)
from galvae_affiliated.images.field import FieldImages
from galvae_affiliated.images.planes import read_planes, split_bands

SETS = [('i', 'r', 'g'), ('z', 'r', 'g')]
# as a power law would have it
SCALES = [tuple(100.0 / WAVELENGTHS[band] for band in bands) for bands in SETS]
PIXEL = 0.262


@pytest.mark.parametrize(
    ('name', 'standard'),
    [
        ('r', 'r'), ('R', 'R'), ('y', 'y'), ('Y', 'Y'), ('Ks', 'Ks'), ('ks', 'Ks'), ('VIS', 'VIS'),
        ('vis', 'VIS'), ('F814W', 'F814W'), ('f200w', 'F200W'), ('HSC-I', 'i'), ('HSC-R2', 'r'),
        ('HSC-Y', 'y'), ('DES_r', 'r'), ('DES_Y', 'y'), ('MegaCam.r', 'r'), ('r.MP9602', 'r'),
        ("i'", 'i'), ('sdss z', 'z'), ('NISP_H', 'HE'), ('Euclid Y', 'YE'), ('Y_E', 'YE'),
        ('VISTA.Ks', 'Ks'), ('UKIDSS-J', 'J'), ('NIRCam.F200W', 'F200W'), ('ACS F814W', 'F814W'),
        ('EUC_VIS', 'VIS'), ('F150W-CLEAR', 'F150W'), ('Cousins R', 'R'), ('W1', 'W1'),
    ],
)  # fmt: skip
def test_names(name, standard):
    assert parse_band(name) == Band(name, standard, float(WAVELENGTHS[standard]))


@pytest.mark.parametrize(
    ('text', 'wavelength'),
    [('814 nm', 814), ('814nm', 814), ('8140 Angstrom', 814), ('8140 A', 814), ('0.8 um', 800),
     ('.8um', 800), ('2.2 micron', 2200), ('1e3 nm', 1000), (814 * u.nm, 814),
     (8000 * u.AA, 800)],
)  # fmt: skip
def test_wavelengths(text, wavelength):
    assert parse_band(text).wavelength == pytest.approx(wavelength)


@pytest.mark.parametrize('name', ['foo', 'r g', '3 cm', 'F999W', '', 'HSC', 'SDSS VIS r', '814'])
def test_names_that_nobody_knows(name):
    with pytest.raises(ValueError, match='is not known; expected a name such as'):
        parse_band(name)


@pytest.mark.parametrize('text', ['50 nm', '21 um', '0 nm'])
def test_wavelengths_of_no_star(text):
    with pytest.raises(ValueError, match='from 100 to 10000 nm'):
        parse_band(text)


def test_every_name_of_the_table_is_found_and_ordered_by_its_number():
    for name, wavelength in WAVELENGTHS.items():
        assert parse_band(name) == Band(name, name, float(wavelength))
        if name.startswith('F') and len(name) > 4 and name[1:4].isdigit():
            number = int(name[1:4])  # nm, or tens of them
            assert min(abs(wavelength / n - 1) for n in (number, 10 * number)) < 0.07


@pytest.mark.parametrize(
    ('names', 'channels', 'place'),
    [
        ('r', 'r,r,r', 0), ('z', 'z,z,z', 1), (['VIS'], 'VIS,VIS,VIS', 0),
        ('gr', 'r,r+g,g', 0), ('gz', 'z,z+g,g', 1), (['VIS', 'H'], 'H,H+VIS,VIS', 0),
        ('gri', 'i,r,g', 0), ('zgr', 'z,r,g', 1), ('riz', 'z,i,r', 1), ('JHK', 'K,H,J', 1),
        ('ugriz', 'i,r,g', 0), ('grizY', 'i,r,g', 0), ('grzY', 'z,r,g', 1),
        (['HSC-G', 'HSC-R', 'HSC-I', 'HSC-Z', 'HSC-Y'], 'HSC-I,HSC-R,HSC-G', 0),
        (['VIS', 'NISP_Y', 'NISP_J', 'NISP_H'], 'NISP_J,NISP_Y,VIS', 1),
        (['0.5 um', '800 nm'], '800 nm,800 nm+0.5 um,0.5 um', 0),
        (['F090W', 'F115W', 'F150W', 'F200W', 'F277W'], 'F150W,F115W,F090W', 1),
    ],
)  # fmt: skip
def test_channels(names, channels, place):
    plan = plan_channels(list(names), SETS, SCALES)
    assert (plan.channels, plan.place) == (channels, place)
    assert plan.is_few == (len(names) < 3)
    # what a galaxy of the color that the scales make grey is rendered to
    light = [parse_band(name).wavelength for name in plan.bands]
    rendered = np.array(plan.weights) @ light * SCALES[place]
    assert rendered == pytest.approx(100.0)


def test_known_bands_are_not_scaled():
    for names in ('gri', 'ugriz', 'grz'):
        assert np.array_equal(plan_channels(list(names), SETS, SCALES).weights, np.eye(3))
    # nor are any where nobody says how
    assert np.array_equal(plan_channels(['r'], SETS).weights, np.ones((3, 1)))


def test_bands_of_names_of_a_model_of_its_own():
    sets = [('red', 'middle', 'blue')]
    plan = plan_channels(['blue', 'red', 'middle', 'weight'], sets)
    assert plan.bands == sets[0]
    assert plan_channels(['middle'], sets).channels == 'middle,middle,middle'
    assert plan_channels(['blue', 'red'], sets, [(1.0, 2.0, 4.0)]).channels == 'red,red+blue,blue'


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['g', 'foo'], "'foo' is not known.*takes g,r,i or g,r,z best"),
        ([], 'of no band'),
        (['r', 'HSC-R'], 'r and HSC-R are the same band'),
        (['r', 'SDSS r', 'g'], 'the same band, r'),
    ],
)
def test_wrong_sets_of_bands(names, message):
    with pytest.raises(ValueError, match=message):
        plan_channels(names, SETS, SCALES)


def test_power_law():
    assert power_law(300.0, [100.0, 200.0], [1.0, 2.0]) == pytest.approx(3.0)
    assert power_law(50.0, [200.0, 100.0], [2.0, 1.0]) == pytest.approx(0.5)
    assert power_law(500.0, [100.0], [4.0]) == 4.0
    assert np.isnan(power_law(500.0, [], []))
    assert np.isnan(power_law(np.nan, [100.0, 200.0], [1.0, 2.0]))


@pytest.mark.parametrize(
    ('bands', 'names'),
    [
        ('VIS', ['VIS']), ('grz', ['g', 'r', 'z']), ('ugriz', list('ugriz')), ('gr', ['g', 'r']),
        ('YJHK', list('YJHK')), ('Ks', ['Ks']), ('g, r', ['g', 'r']), ('F814W', ['F814W']),
        ('814 nm', ['814 nm']), (814 * u.nm, ['814.0 nm']), (['r'], ['r']), ('r', ['r']),
        ('foo', ['foo']), ('abc', list('abc')), (None, None),
    ],
)  # fmt: skip
def test_bands_as_they_are_written(bands, names):
    assert split_bands(bands) == names


def test_bands_that_are_named_twice():
    for bands in ('g,g', 'grg', ['r', 'r']):
        with pytest.raises(ValueError, match='named twice'):
            split_bands(bands)


@pytest.fixture
def arrays(field):
    """Band -> nanomaggies a pixel."""
    return {band: image.data for band, image in field.items()}


def opened(images, **options):
    sets, scales = get_model().frame.band_sets()
    return FieldImages(
        images, band_sets=sets, scales=scales, typical=get_model().frame.typical,
        unit='nmgy', pixel_scale=PIXEL, **options
    )  # fmt: skip


def test_one_band_is_all_channels(arrays, field):
    three = opened(arrays)
    for images in (
        opened({'r': arrays['r']}),
        opened(arrays['r'], bands='r'),
        opened(arrays['r'][None], bands=['r']),
        opened([arrays['r']], bands='r'),
        opened({'r': field['r']}),
    ):
        assert images.bands == ('r',)
        assert images.shape == three.shape
        whole, scales = images.whole(), get_model().frame.band_sets()[1][0]
        rendered = whole * np.reshape(scales, (3, 1, 1))
        assert np.allclose(rendered, rendered[:1], rtol=1e-5)
        # the band as it is, where the model has it
        assert np.allclose(whole[1], three.whole()[1], rtol=1e-5)
        assert images.noise * scales == pytest.approx(images.noise[1] * scales[1])
        assert images.noise[1] == pytest.approx(three.noise[1])


def test_two_bands_and_the_mean_between_them(arrays):
    images = opened({band: arrays[band] for band in 'gr'})
    rendered = images.whole() * np.reshape(get_model().frame.band_sets()[1][0], (3, 1, 1))
    assert images.plan.channels == 'r,r+g,g'
    assert np.allclose(rendered[1], (rendered[0] + rendered[2]) / 2, rtol=1e-4, atol=1e-5)
    red, middle, blue = images.noise * get_model().frame.band_sets()[1][0]
    assert middle == pytest.approx(np.hypot(red, blue) / 2)
    windows = images.window((3, 20), (5, 9), channels=[1])
    assert np.array_equal(windows[0], images.whole()[1, 5:9, 3:20])


def test_a_pixel_that_is_missing_in_one_of_two_bands(arrays):
    images = {band: arrays[band].copy() for band in 'gr'}
    images['g'][7, 9] = np.nan
    assert np.isnan(opened(images).whole()[:, 7, 9]).tolist() == [False, True, True]


def test_five_bands_are_three(arrays):
    images = {**arrays, 'i': arrays['z'], 'u': arrays['g']}
    found = opened(images)
    assert found.bands == ('i', 'r', 'g')
    expected = opened({band: images[band] for band in 'gri'})
    assert np.array_equal(found.whole(), expected.whole())


def test_bands_beside_those_that_are_taken_may_have_any_name(arrays):
    assert opened({**arrays, 'weight': arrays['r']}).bands == ('z', 'r', 'g')
    with pytest.raises(ValueError, match="'weight' is not known"):
        opened({'r': arrays['r'], 'weight': arrays['r']})


def test_the_header_of_an_image_names_its_band(tmp_path, arrays):
    from astropy.io import fits

    for text in ('r', 'r DECam SDSS c0002 6415.0 1480.0', 'F814W', 'HSC-I'):
        path = tmp_path / 'one.fits'
        fits.writeto(path, arrays['r'], fits.Header({'FILTER': text}), overwrite=True)
        assert list(read_planes(path)) == [text.split()[0]]
    fits.writeto(path, arrays['r'], fits.Header({'FILTER': 'clear'}), overwrite=True)
    with pytest.raises(ValueError, match='expected the names of the bands'):
        read_planes(path)


def test_scale_of_a_band_nobody_calibrated(arrays):
    """It is estimated for bands between those of which the usual noise is known."""
    from galvae_affiliated.exceptions import GalvaeWarning

    frame = get_model().frame
    sets, scales = frame.band_sets()
    for band in ('VIS', 'H', 'r'):
        with pytest.warns(GalvaeWarning, match=f'no flux unit is known for band {band}'):
            images = FieldImages(
                {band: arrays['r']}, band_sets=sets, scales=scales, typical=frame.typical
            )
        assert images.scale_estimated and np.isfinite(images.noise).all()
    with (
        pytest.warns(GalvaeWarning),
        pytest.raises(ValueError, match='state a unit, or a zero point'),
    ):
        FieldImages({'r': arrays['r']}, band_sets=sets, typical={})


def test_the_page_has_the_table():
    page = Path(__file__).parents[2] / 'docs' / 'bands.rst'
    words = page.read_text()
    for name, wavelength in WAVELENGTHS.items():
        assert re.search(rf'\b{name} {wavelength}\b', words), name
