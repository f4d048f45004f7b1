# Licensed under a 3-clause BSD style license - see LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.nddata import Cutout2D
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from astropy.wcs import Sip
from photutils.segmentation import SourceCatalog, detect_sources
from photutils.utils import CutoutImage

from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.sources.positions import as_table, read_positions

X, Y = np.array([10.25, 20.5, 30.0]), np.array([5.0, 15.75, 25.5])
RA, DEC = np.array([150.09, 150.1, 150.11]), np.array([2.19, 2.2, 2.21])


@pytest.fixture
def wcs(field):
    return field['r'].wcs


def read(catalog, **options):
    return read_positions(as_table(catalog), **options)


def assert_pixels(catalog, x=X, y=Y, atol=1e-9):
    assert np.allclose(read(catalog).pixels(None), (x, y), atol=atol, equal_nan=True)


@pytest.mark.parametrize(
    ('names', 'first'),
    [
        (('x_centroid', 'y_centroid'), 0),
        (('xcentroid', 'ycentroid'), 0),
        (('x', 'y'), 0),
        (('x_0', 'y_0'), 0),
        (('x_fit', 'y_fit'), 0),
        (('X_IMAGE', 'Y_IMAGE'), 1),
        (('XWIN_IMAGE', 'YWIN_IMAGE'), 1),
    ],
)
@pytest.mark.parametrize('kind', [Table, QTable])
@pytest.mark.parametrize('unit', [1, u.pix])
def test_names_of_pixel_columns(names, first, kind, unit):
    assert_pixels(kind({names[0]: (X + first) * unit, names[1]: (Y + first) * unit}))


def test_sextractor_counts_from_one():
    """The first pixel's centre is (1, 1) there and (0, 0) here; windowed positions are better."""
    table = Table({'X_IMAGE': [1.0], 'Y_IMAGE': [1.0], 'XWIN_IMAGE': [3.0], 'YWIN_IMAGE': [2.0]})
    assert_pixels(table, [2.0], [1.0])


@pytest.mark.parametrize(
    'names',
    [
        ('ra', 'dec'),
        ('RA', 'DEC'),
        ('ALPHA_J2000', 'DELTA_J2000'),
        ('RAJ2000', 'DEJ2000'),
        ('RA_ICRS', 'DE_ICRS'),
    ],
)
@pytest.mark.parametrize('unit', [1, u.deg, u.arcmin])
def test_names_of_sky_columns(wcs, names, unit):
    scale = 60 if unit is u.arcmin else 1
    positions = read(Table({names[0]: RA * scale * unit, names[1]: DEC * scale * unit}))
    assert np.allclose(positions.pixels(wcs), wcs.world_to_pixel_values(RA, DEC))


@pytest.mark.parametrize(
    'names',
    [
        ('RA', 'Dec'),
        ('Ra', 'DEC'),
        ('coord_ra', 'coord_dec'),
        ('RIGHT_ASCENSION', 'DECLINATION'),
        ('RAJ2000', 'DECJ2000'),
        ('_RA', '_DE'),
        ('TARGET_RA', 'TARGET_DEC'),
        ('raMean', 'decMean'),
        ('world_centroid_alpha', 'world_centroid_delta'),
        ('sky_centroid.ra', 'sky_centroid.dec'),
    ],
)
@pytest.mark.parametrize('unit', [None, 'deg', 'degrees', 'DEGREE', '[deg]'])
def test_names_without_regard_to_case(wcs, names, unit):
    unit = None if unit is None else u.Unit(unit, parse_strict='silent')
    table = Table(dict(zip(names, (RA, DEC))), units=dict.fromkeys(names, unit))
    assert np.allclose(read(table).pixels(wcs), wcs.world_to_pixel_values(RA, DEC))


@pytest.mark.parametrize('names', [('X', 'Y', 0), ('x_center', 'y_center', 0),
                                   ('x_image', 'y_image', 1),
                                   ('pixel_centroid_x', 'pixel_centroid_y', 1)])
@pytest.mark.parametrize('unit', ['pixel', 'pixels', 'PIXEL', '[pixel]', ''])
def test_spellings_of_pixels(names, unit):
    unit = u.Unit(unit, parse_strict='silent')
    *names, first = names
    assert_pixels(Table(dict(zip(names, (X + first, Y + first))), units=dict.fromkeys(names, unit)))


def test_radians_that_state_no_unit():
    with pytest.warns(GalvaeWarning, match='could be radians'):
        read(Table({'coord_ra': [1.0], 'coord_dec': [0.1]}))
    stated = Table({'coord_ra': [np.pi] * u.rad, 'coord_dec': [0.1] * u.rad})
    assert read(stated).sky.ra.deg == pytest.approx(180.0)


def test_columns_that_are_named(wcs):
    table = Table({'x': [5.0], 'y': [5.0], 'lon': RA[:1], 'lat': DEC[:1], 'a': X[:1], 'b': Y[:1]})
    for names in ('lon,lat', ['lon', 'lat']):
        positions = read(table, position_columns=names)
        assert positions.x is None
        assert positions.sky.ra.deg == pytest.approx(RA[0])
    with pytest.warns(GalvaeWarning, match='taken as pixels that count from zero'):
        assert read(table, position_columns='a,b').x == pytest.approx(X[0])
    with pytest.raises(ValueError, match="no column 'q' of positions"):
        read(table, position_columns='a,q')
    with pytest.raises(ValueError, match='names 3 columns'):
        read(table, position_columns='a,b,x')


@pytest.mark.parametrize('name', ['sky_centroid', 'skycoord', 'coord'])
@pytest.mark.parametrize('frame', ['icrs', 'galactic'])
def test_sky_coordinates_as_a_column(wcs, name, frame):
    sky = SkyCoord(RA, DEC, unit='deg').transform_to(frame)
    assert np.allclose(read(QTable({name: sky})).pixels(wcs), wcs.world_to_pixel_values(RA, DEC))


@pytest.mark.parametrize('frame', ['icrs', 'galactic', 'fk5'])
def test_sky_coordinates_as_the_catalogue(wcs, frame):
    sky = SkyCoord(RA, DEC, unit='deg').transform_to(frame)
    assert np.allclose(read(sky).pixels(wcs), wcs.world_to_pixel_values(RA, DEC))


def test_one_sky_coordinate(wcs):
    positions = read(SkyCoord(150.1, 2.2, unit='deg'))
    assert np.allclose(positions.pixels(wcs), np.transpose([wcs.world_to_pixel_values(150.1, 2.2)]))


def test_pixels_count_more_than_the_sky():
    assert_pixels(Table({'ra': RA, 'dec': DEC, 'x': X, 'y': Y}))


def test_photutils_catalog(field):
    image = np.asarray(field['r'].data, dtype=float)
    catalog = SourceCatalog(image, detect_sources(image, 0.5, 10), wcs=field['r'].wcs)
    table = as_table(catalog)
    assert isinstance(table, QTable)
    assert len(table) == 6
    x, y = read_positions(table).pixels(None)
    assert np.allclose([x, y], np.transpose(catalog.centroid))
    one = read(catalog[2:3])
    assert np.allclose(one.pixels(None), [[x[2]], [y[2]]])


def test_photutils_catalog_of_one_source():
    image = np.zeros((20, 20))
    image[8:11, 12:15] = 1.0
    assert_pixels(SourceCatalog(image, detect_sources(image, 0.5, 5)), [13.0], [9.0])


def test_sep_catalog(field):
    sep = pytest.importorskip('sep')
    image = np.ascontiguousarray(field['r'].data, dtype=float)
    objects = sep.extract(image, 0.3)
    table = as_table(objects)
    assert len(table) == len(objects) >= 6
    assert 'theta' in table.colnames
    assert np.allclose(read_positions(table).pixels(None), [objects['x'], objects['y']])


def test_structured_array():
    assert_pixels(np.array(list(zip(X, Y)), dtype=[('x', '>f8'), ('y', '<f4')]))


def test_pandas():
    pd = pytest.importorskip('pandas')
    assert_pixels(pd.DataFrame({'x': X, 'y': Y, 'name': ['a', 'b', 'c']}))


def test_list_of_cutouts():
    image = np.zeros((60, 60))
    cutouts = [Cutout2D(image, (x, y), 11, mode='partial') for x, y in zip(X, Y)]
    assert_pixels(
        [cutouts[0], None, cutouts[2]], [X[0], np.nan, X[2]], [Y[0], np.nan, Y[2]], atol=0.5
    )


def test_cutout2d_keeps_the_part_of_a_pixel():
    image = np.zeros((60, 60))
    cutouts = [Cutout2D(image, (x, y), 11) for x, y in zip(X, Y)]
    assert_pixels(cutouts)


def test_list_of_cutouts_of_photutils():
    """``CutoutImage.position`` is (y, x)."""
    image = np.zeros((60, 60))
    cutouts = [CutoutImage(image, (y, x), (11, 11), mode='partial') for x, y in zip(X, Y)]
    assert_pixels([cutouts[0], None, cutouts[2]], [X[0], np.nan, X[2]], [Y[0], np.nan, Y[2]])


def test_cutouts_made_by_photutils(field):
    image = np.asarray(field['r'].data, dtype=float)
    catalog = SourceCatalog(image, detect_sources(image, 0.5, 10))
    x, y = read(catalog.make_cutouts((15, 15))).pixels(None)
    assert np.allclose([x, y], np.transpose(catalog.centroid))


def test_no_sources():
    for empty in (
        [],
        Table({'x': [], 'y': []}),
        np.zeros(0, dtype=[('x', float), ('y', float)]),
        SkyCoord([], [], unit='deg'),
    ):
        assert len(as_table(empty)) == 0
        assert len(read(empty).radius) == 0


def test_masked_and_missing_positions(wcs):
    mask = [False, True, False]
    pixels = [
        Table({'x': MaskedColumn(X, mask=mask), 'y': Y}),
        QTable({'x': Masked(X * u.pix, mask=mask), 'y': Y * u.pix}),
        Table({'x': MaskedColumn([10, 20, 30], mask=mask), 'y': Y}),
        Table({'x': np.where(mask, np.nan, X), 'y': Y}),
    ]
    for table in pixels:
        x, y = read(table).pixels(None)
        assert np.array_equal(np.isnan(x) | np.isnan(y), mask)
    sky = [
        Table({'ra': MaskedColumn(RA, mask=mask), 'dec': DEC}),
        QTable({'ra': Masked(RA * u.deg, mask=mask), 'dec': DEC * u.deg}),
        Table({'ra': RA, 'dec': np.where(mask, 95.0, DEC)}),
        Table({'ra': RA, 'dec': np.where(mask, np.nan, DEC)}),
    ]
    for table in sky:
        x, y = read(table).pixels(wcs)
        assert np.array_equal(np.isnan(x) | np.isnan(y), mask)
        assert x[0] == pytest.approx(float(wcs.world_to_pixel_values(RA[0], DEC[0])[0]))


def with_distortion(wcs):
    wcs = wcs.deepcopy()
    wcs.wcs.ctype = ['RA---TAN-SIP', 'DEC--TAN-SIP']
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], b[0, 2], a[1, 2], b[3, 0] = 1e-6, 1e-6, 3e-9, 2e-9
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    return wcs


@pytest.mark.parametrize('distorted', [False, True])
def test_all_of_the_sky(wcs, distorted):
    """Sources far from the image are off it: they are neither missing nor anywhere inside."""
    rng = np.random.default_rng(3)
    table = Table(
        {'ra': rng.uniform(0, 360, 300), 'dec': np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))}
    )
    x, y = read(table).pixels(with_distortion(wcs) if distorted else wcs)
    assert not np.any((x > -1) & (x < 200) & (y > -1) & (y < 200))
    assert not np.isnan(x).any()


def test_sky_without_wcs():
    with pytest.raises(ValueError, match='no WCS'):
        read(Table({'ra': RA, 'dec': DEC})).pixels(None)


@pytest.mark.parametrize(
    ('column', 'expected'),
    [
        ([1.0, 2.0, 3.0] * u.arcsec, [2.0, 4.0, 6.0]),
        ([1.0, 2.0, 3.0] * u.pix, [1.0, 2.0, 3.0]),
        ([0.1, 0.2, 0.3] * u.arcmin, [12.0, 24.0, 36.0]),
        ([1, 2, 3], [1.0, 2.0, 3.0]),
    ],
)
@pytest.mark.parametrize('kind', [Table, QTable])
def test_radius_of_a_column(column, expected, kind):
    """Radii without unit are pixels where the positions are."""
    table = kind({'x': X, 'y': Y, 'my_radius': column})
    assert np.allclose(read(table, radius='my_radius').radius_in_pixels(0.5), expected)


def test_radius_without_unit_beside_sky_positions():
    table = Table({'ra': RA, 'dec': DEC, 'r': [1.0, 2.0, 3.0]})
    assert np.allclose(read(table, radius='r').radius_in_pixels(0.5), [2.0, 4.0, 6.0])
    assert np.allclose(
        read(table, radius='r', radius_unit='pix').radius_in_pixels(0.5), [1.0, 2.0, 3.0]
    )
    assert np.allclose(
        read(table, radius='r', radius_unit=u.arcmin).radius_in_pixels(0.5), [120.0, 240.0, 360.0]
    )


@pytest.mark.parametrize(
    ('radius', 'expected'),
    [
        (7, [7.0, 7.0, 7.0]),
        (np.float32(7.0), [7.0, 7.0, 7.0]),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
        (3 * u.arcsec, [6.0, 6.0, 6.0]),
        ([1, 2, 3] * u.arcsec, [2.0, 4.0, 6.0]),
        (np.array([1.0, 2.0, 3.0], dtype='>f4'), [1.0, 2.0, 3.0]),
        (np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]), [1.0, np.nan, 3.0]),
        (Masked([1.0, 2.0, 3.0] * u.pix, mask=[0, 1, 0]), [1.0, np.nan, 3.0]),
    ],
)
def test_radius_as_value(radius, expected):
    found = read(Table({'x': X, 'y': Y}), radius=radius).radius_in_pixels(0.5)
    assert np.allclose(found, expected, equal_nan=True)


@pytest.mark.parametrize('name', ['petro_r90', 'petroR90_r', 'petroR90', 'galvae_radius'])
def test_radius_that_is_found_by_name(name):
    found = read(Table({'x': X, 'y': Y, name: [1.0, 2.0, 3.0] * u.arcsec})).radius_in_pixels(0.5)
    assert np.allclose(found, [2.0, 4.0, 6.0])


def test_sdss_states_its_radii_in_arcseconds():
    """petroR90_r is documented in arcsec, petro_r90 is any survey's."""
    assert np.allclose(
        read(Table({'x': X, 'y': Y, 'petroR90_r': [1.0, 2.0, 3.0]})).radius_in_pixels(0.5),
        [2.0, 4.0, 6.0],
    )
    assert np.allclose(
        read(Table({'x': X, 'y': Y, 'petro_r90': [1.0, 2.0, 3.0]})).radius_in_pixels(0.5),
        [1.0, 2.0, 3.0],
    )


def test_radius_is_missing_where_it_is_masked():
    table = Table({'x': X, 'y': Y, 'petro_r90': MaskedColumn([1, 2, 3], mask=[True, False, False])})
    assert np.allclose(read(table).radius_in_pixels(None), [np.nan, 2.0, 3.0], equal_nan=True)
    assert np.isnan(read(Table({'x': X, 'y': Y})).radius_in_pixels(None)).all()


def test_radius_in_arcsec_needs_a_pixel_scale():
    with pytest.raises(ValueError, match='no pixel scale is known'):
        read(Table({'x': X, 'y': Y}), radius=3 * u.arcsec).radius_in_pixels(None)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'radius': 'size'}, "no column 'size'"),
        ({'radius': [1.0, 2.0]}, r'radius has shape \(2,\)'),
        ({'radius': 3 * u.kpc}, "radii are in 'kpc'"),
        ({'radius': 3.0, 'radius_unit': 'Jy'}, "radii are in 'Jy'"),
        ({'radius': 3.0, 'radius_unit': 'furlong/'}, 'furlong'),
    ],
)
def test_wrong_radius(options, message):
    with pytest.raises(ValueError, match=message):
        read(Table({'x': X, 'y': Y}), **options)


@pytest.mark.parametrize(
    'column',
    [['a', 'b', 'c'], [b'a', b'b', b'c'], [True, False, True], [object()] * 3, [1j, 2j, 3j]],
)
def test_columns_that_are_no_numbers(column):
    for table, options in (
        (Table({'x': column, 'y': Y}), {}),
        (Table({'ra': column, 'dec': DEC}), {}),
        (Table({'x': X, 'y': Y, 'petro_r90': column}), {}),
        (Table({'x': X, 'y': Y, 'r': column}), {'radius': 'r'}),
    ):
        with pytest.raises(TypeError, match="column '.*' holds .*; expected numbers"):
            read(table, **options)


def test_columns_of_vectors_are_refused():
    with pytest.raises(ValueError, match="column 'x' has shape"):
        read(Table({'x': np.ones((3, 2)), 'y': Y}))


@pytest.mark.parametrize(('name', 'other', 'unit'), [('x', 'y', u.arcsec), ('ra', 'dec', u.m)])
def test_columns_of_another_unit_are_refused(name, other, unit):
    with pytest.raises(ValueError, match=f"column '{name}' is in '{unit}'; expected"):
        read(Table({name: X * unit, other: Y}))


def test_catalogue_without_positions():
    with pytest.raises(
        ValueError, match='the catalogue has no positions: expected .*; it has id, flux'
    ):
        read(Table({'id': [1], 'flux': [2.0]}))
    with pytest.raises(ValueError, match='the catalogue has no positions'):
        read(Table())


@pytest.mark.parametrize(
    'catalog', [np.zeros((3, 2)), 'sources.fits', 5, [1.0, 2.0], {'x': X}, [np.zeros((5, 5))]]
)
def test_what_is_no_catalogue(catalog):
    with pytest.raises(TypeError, match='the catalogue is a .*; expected a Table'):
        as_table(catalog)


def test_catalogue_is_not_changed():
    table = QTable({'X_IMAGE': X * u.pix, 'Y_IMAGE': Y * u.pix, 'name': ['a', 'b', 'c']})
    copy = table.copy()
    new = as_table(table)
    new['extra'] = 1
    read_positions(new)
    assert table.colnames == copy.colnames
    assert np.array_equal(table['X_IMAGE'], copy['X_IMAGE'])
    assert isinstance(new, QTable)


def test_read_only_columns(wcs):
    columns = [X.copy(), Y.copy(), RA.copy(), DEC.copy()]
    for column in columns:
        column.setflags(write=False)
    table = Table(dict(zip(['x', 'y', 'ra', 'dec'], columns)), copy=False)
    assert np.allclose(read(table).pixels(wcs), (X, Y))
