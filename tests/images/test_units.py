# Licensed under a 3-clause BSD style license - see LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.units import photometric

from galvae_affiliated import GalvaeWarning, open_field
from galvae_affiliated.images.units import _zero_point_factor, flux_factor, header_unit, parse_unit


@pytest.mark.parametrize(
    ('text', 'nanomaggies'),
    [
        ('nmgy', 1.0),
        ('nanomaggies', 1.0),
        ('nanomaggy', 1.0),
        ('mgy', 1e9),
        ('uJy', 1 / 3.631),
        ('nJy', 1e-3 / 3.631),
        ('Jy', 1e6 / 3.631),
        ('erg / (s cm2 Hz)', 1e29 / 3.631),
        (photometric.nmgy, 1.0),
        (10 * u.uJy, None),
        (u.uJy, 1 / 3.631),
    ],
)
def test_flux_density(text, nanomaggies):
    if nanomaggies is None:  # a scaled unit
        text, nanomaggies = u.Unit(text), 10 / 3.631
    factor, per_area = flux_factor(parse_unit(text))
    assert factor == pytest.approx(nanomaggies, rel=1e-6)
    assert not per_area


@pytest.mark.parametrize(
    ('text', 'per_square_arcsecond'),
    [
        ('MJy/sr', 1e6 / 3631e-9 * (np.pi / 180 / 3600) ** 2),
        ('uJy / arcsec2', 1 / 3.631),
        ('nmgy / arcsec2', 1.0),
    ],
)
def test_surface_brightness(text, per_square_arcsecond):
    factor, per_area = flux_factor(parse_unit(text))
    assert factor == pytest.approx(per_square_arcsecond, rel=1e-6)
    assert per_area


def test_ab_magnitude_of_a_flux():
    # 22.5 AB is one nanomaggy; astropy knows the AB zero point to five digits
    jansky = u.ABmag.physical_unit.to(u.Jy) * 10 ** (-0.4 * 22.5)
    assert jansky * flux_factor(u.Jy)[0] == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    'text',
    [
        'adu',
        'ADU',
        'DN/s',
        'counts',
        'count',
        'electron',
        'e-/s',
        'ct / s',
        '',
        u.adu,
        u.ct,
        u.electron,
        u.electron / u.s,
        u.dimensionless_unscaled,
    ],
)
def test_counts_are_no_unit_of_flux(text):
    assert parse_unit(text) is None


@pytest.mark.parametrize('text', ['furlong/', 'nanomagies', 'uJy per pixel'])
def test_text_that_is_no_unit(text):
    with pytest.raises(ValueError, match=f"'{text}' is not a unit"):
        parse_unit(text)


@pytest.mark.parametrize(
    'unit', [u.K, u.s, u.Jy / u.beam, u.erg / u.s / u.cm**2 / u.AA, u.mag, u.percent]
)
def test_unit_that_is_no_flux(unit):
    with pytest.raises(ValueError, match='is not a flux unit; expected'):
        flux_factor(unit)


@pytest.mark.parametrize('unit', [u.ABmag, u.STmag])
def test_magnitudes_are_refused(unit):
    with pytest.raises(ValueError, match='unit'):
        flux_factor(parse_unit(unit))


def test_zero_point():
    assert _zero_point_factor(22.5) == 1.0
    assert _zero_point_factor(25.0) == pytest.approx(0.1)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match='finite AB magnitude'):
            _zero_point_factor(bad)


def test_header_states_a_unit():
    assert header_unit({'BUNIT': 'nanomaggies'}) == (photometric.nmgy, None)
    assert header_unit(fits.Header({'BUNIT': 'uJy', 'MAGZERO': 25.0})) == (u.uJy, None)


@pytest.mark.parametrize(
    'header',
    [{'BUNIT': 'adu', 'MAGZERO': 25.0}, {'MAGZERO': 25.0}, {'MAGZPT': 25.0, 'BUNIT': 'counts/sec'}],
)
def test_header_states_a_zero_point(header):
    assert header_unit(header) == (None, 25.0)


@pytest.mark.parametrize(
    'header',
    [
        None,
        {},
        {'BUNIT': 'adu'},
        {'BUNIT': 'K'},
        {'BUNIT': 'no unit'},
        {'MAGZERO': 'unknown'},
        {'MAGZERO': True},
        {'MAGZERO': np.nan},
        {'SURVEY': 'HST'},
    ],
)
def test_header_states_nothing(header):
    assert header_unit(header) == (None, None)


def test_survey_of_nanomaggies():
    assert header_unit({'SURVEY': 'DECaLS'}) == (photometric.nmgy, None)
    assert header_unit({'SURVEY': 'DECaLS', 'BUNIT': 'adu'}) == (None, None)
    assert header_unit({'SURVEY': 'DECaLS', 'MAGZERO': 30.0}) == (None, 30.0)


HST = {'PHOTFLAM': 7.0073e-20, 'PHOTPLAM': 8059.3}  # of ACS and F814W: 25.94 for a rate


@pytest.mark.parametrize(
    ('cards', 'more'),
    [
        ({'BUNIT': 'ELECTRONS/S'}, 0.0),
        ({'BUNIT': 'ELECTRONS/S', 'EXPTIME': 1000.0}, 0.0),
        ({'BUNIT': 'cps', 'EXPTIME': 1000.0}, 0.0),
        ({'BUNIT': 'ELECTRONS', 'EXPTIME': 1000.0}, 7.5),
        ({'BUNIT': 'COUNTS', 'EXPTIME': 100.0}, 5.0),
        # drizzled images say so themselves
        ({'BUNIT': 'ELECTRONS', 'EXPTIME': 1000.0, 'D001OUUN': 'cps     '}, 0.0),
        ({'D001OUUN': 'cps'}, 0.0),
        ({'BUNIT': 'ELECTRONS', 'EXPTIME': 1000.0, 'D001OUUN': 'counts'}, 7.5),
        ({'BUNIT': 'ELECTRONS'}, None),
        ({'BUNIT': 'ELECTRONS', 'EXPTIME': 0.0}, None),
        ({'EXPTIME': 1000.0}, None),
        ({'BUNIT': 'furlong', 'EXPTIME': 1000.0}, None),
    ],
)
def test_zero_points_of_hst(cards, more):
    unit, zero_point = header_unit({**HST, **cards})
    assert unit is None
    assert zero_point == (None if more is None else pytest.approx(25.946 + more, abs=0.01))


def galaxies(factor=1.0):
    y, x = np.mgrid[:120, :120]
    places = [(30, 30), (90, 40), (60, 90)]
    light = sum(5.0 * np.exp(-np.hypot(x - a, y - b) / 4) for a, b in places)
    noise = np.random.default_rng(0).normal(0, 0.01, light.shape)
    return dict.fromkeys('grz', factor * (light + noise))


@pytest.mark.parametrize('options', [{'unit': 'uJy'}, {'zero_point': 23.9}])
def test_a_unit_of_a_thousand_times_as_much_is_noticed(options):
    """In nanojanskys, taken for microjanskys; the other way round; and as it is."""
    for factor, got in ((1000.0, '1[0-9][.][0-9]'), (0.001, '2[89][.][0-9]')):
        with pytest.warns(GalvaeWarning, match=f'{got} mag per square arcsecond .* expected 15.5'):
            open_field(galaxies(factor), pixel_scale=0.262, **options)
    field = open_field(galaxies(), pixel_scale=0.262, **options)
    assert not field.scale_estimated


@pytest.mark.parametrize('text', [
    '10**99999999999 Jy', '10**9**9**9 Jy', '(10**999)**999 Jy', 'Jy**99999999999',
    'Jy^99999999999', '10(99999999) Jy', '10+99999999 Jy', '1e999 Jy', '0 Jy', 'x' * 10_000])
def test_units_that_would_be_computed_for_ever(text):
    with pytest.raises(ValueError, match='is not a (flux )?unit'):
        flux_factor(parse_unit(text))


@pytest.mark.parametrize('text', ['3631 Jy', '1.000000 uJy', '3.6310000000000001e-09 Jy',
                                  '10**-29 erg s**-1 cm**-2 Hz**-1', '10-23 erg/s/cm2/Hz'])
def test_units_with_long_numbers(text):
    assert flux_factor(parse_unit(text))[0] > 0
