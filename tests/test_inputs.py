# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Inputs as archives and users write them, from end to end: right, or refused with the reason."""

import io
import warnings

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, Cutout2D, NDData
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time
from astropy.wcs import WCS, DistortionLookupTable
from PIL import Image

from galvae_affiliated import (
    LatentTransformer,
    add_latents,
    encode_catalog,
    encode_cutout_set,
    get_latents,
    get_model,
    make_cutouts,
    stream_catalog,
)
from galvae_affiliated.exceptions import GalvaeWarning, ModelMismatchError
from galvae_affiliated.flags import describe_flags
from galvae_affiliated.tables.files import check_writable, read_catalog, write_table

SIDE = 200
FAST = {'n_threads': 1, 'morphology': False, 'reconstruction': False}
BIG = [2684290278794471937, 9007199254740993]
SCALE = {'unit': 'nmgy', 'pixel_scale': 0.262}


def header(**cards):
    """A WCS with 0.263 arcsec a pixel and the middle of the image at (150, 2) degrees."""
    middle = (SIDE + 1) / 2
    return fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRVAL1': 150.0, 'CRVAL2': 2.0,
                        'CRPIX1': middle, 'CRPIX2': middle, 'CDELT1': -7.3e-5, 'CDELT2': 7.3e-5,
                        'BUNIT': 'nanomaggy', **cards})


def galaxy(x0=99.5, y0=99.5):
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.exp(-np.hypot(x - x0, (y - y0) / 0.6) / 7)


@pytest.fixture(scope='module')
def images():
    rng = np.random.default_rng(0)
    return {band: (flux * galaxy() + rng.normal(0, 0.02, (SIDE, SIDE))).astype('f4')
            for band, flux in (('g', 1.1), ('r', 2.2), ('z', 3.5))}


@pytest.fixture
def catalog():
    return Table({'x': [99.5], 'y': [99.5], 'petro_r90': [21.0]})


@pytest.fixture
def write(tmp_path, images):
    """Files of the bands: as they are, or what a function makes of band and image."""
    def make(hdus=None, **cards):
        paths = {}
        for band, image in images.items():
            made = hdus(band, image) if hdus else [fits.PrimaryHDU(image, header(**cards))]
            paths[band] = tmp_path / f'{band}.fits'
            fits.HDUList(made).writeto(paths[band], overwrite=True)
        return paths

    return make


@pytest.fixture
def encode(galvae, write, tmp_path):
    """Run the command on files of the bands with a catalogue."""
    def run(catalog, *words, output='out.fits'):
        words = [*write().values(), '--bands', 'g,r,z', '--n-threads', 1, '--no-morphology',
                 '--no-reconstruction', '--overwrite', '--catalog', catalog, *words,
                 '-o', tmp_path / output]
        return galvae('encode', *words)

    return run


def stack_of(source, catalog, **options):
    return make_cutouts(source, catalog, **options)


def assert_same(stack, expected):
    assert stack.flags.tolist() == expected.flags.tolist()
    assert np.allclose(stack.data, expected.data, rtol=1e-4, atol=1e-4, equal_nan=True)


# Identifiers, masks and text through all readers and writers


def rich_table():
    mask = [False, True]
    return Table({
        'x': [99.5, 60.0], 'y': [99.5, 60.0], 'petro_r90': [21.0, 20.0], 'id': BIG,
        'class8': np.array([-1, 5], 'i1'), 'u8': np.array([2**63, 2**64 - 1], 'u8'),
        'star': MaskedColumn([True, False], mask=mask),
        'number': MaskedColumn([999999, 5], mask=mask),
        'byte': MaskedColumn(np.array([63, 5], 'u1'), mask=mask),
        'name': MaskedColumn(['NGC 1', ''], mask=mask),
        'text': np.array(['a', 'longer'], dtype=object),
    })


def values(column):
    return ['--' if value is np.ma.masked else str(value) for value in column]


@pytest.mark.parametrize('name', ['out.fits', 'out.parquet', 'out.ecsv', 'out.h5'])
def test_values_come_back_as_they_were(tmp_path, name):
    table = rich_table()
    write_table(table, tmp_path / name)
    for read in (read_catalog(tmp_path / name),):
        for column in table.colnames:
            assert values(read[column]) == values(table[column]), column
    assert table['class8'].dtype == np.int8  # the user's table stays


@pytest.mark.parametrize('name', ['out.fits', 'out.parquet'])
@pytest.mark.parametrize('size', [1, 2])
def test_values_come_back_from_a_stream(tmp_path, images, name, size):
    table = rich_table()
    stream_catalog(images, table, tmp_path / name, chunk_size=size, **SCALE, **FAST)
    read = Table.read(tmp_path / name)
    for column in table.colnames:
        assert values(read[column]) == values(table[column]), column


@pytest.mark.parametrize(('name', 'kind'), [('c.vot', 'votable'), ('c.fits', 'fits')])
def test_identifiers_with_a_unit_stay_integers(encode, tmp_path, name, kind):
    table = Table({'object_id': BIG, 'x': [99.5, 60.0], 'y': [99.5, 60.0]})
    table['object_id'].unit = 'NA'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        table.write(tmp_path / name, format=kind)
        assert encode(tmp_path / name).code == 0
        found = Table.read(tmp_path / 'out.fits')['object_id']
    assert found.dtype.kind == 'i' and found.tolist() == BIG


@pytest.mark.parametrize('output', ['o.fits', 'o.h5', 'o.parquet', 'o.ecsv'])
def test_votable_of_text_of_variable_length(encode, tmp_path, output):
    path = tmp_path / 'c.vot'
    table = Table({'name': ['NGC 1', 'UGC 22'], 'x': [99.5, 60.0], 'y': [99.5, 60.0]})
    table.write(path, format='votable')
    path.write_text(path.read_text().replace('arraysize="6"', 'arraysize="*"'))
    assert encode(path, output=output).code == 0
    assert read_catalog(tmp_path / output)['name'].tolist() == ['NGC 1', 'UGC 22']


@pytest.mark.parametrize(
    ('column', 'expected'),
    [
        (pa.array([BIG[0], None]), [str(BIG[0]), '--']),
        (pa.array(['a', None]), ['a', '--']),
        (pa.array(['a', 'b']).dictionary_encode(), ['a', 'b']),
        (pa.array([True, None]), ['True', '--']),
        (pa.array([2**64 - 1, None], pa.uint64()), [str(2**64 - 1), '--']),
        (pa.array(['K\u00f6ln', 'b'], pa.large_string()), ['K\u00f6ln', 'b']),
    ],
)
def test_parquet_with_nulls(tmp_path, column, expected):
    pq.write_table(pa.table({'ra': [1.0, 2.0], 'dec': [1.0, 2.0], 'v': column}),
                   tmp_path / 'c.parquet')
    assert values(read_catalog(tmp_path / 'c.parquet')['v']) == expected


def test_parquet_of_structures_is_refused(tmp_path):
    pq.write_table(pa.table({'v': [{'a': 1}]}), tmp_path / 'c.parquet')
    with pytest.raises(ValueError, match="column 'v' holds struct"):
        read_catalog(tmp_path / 'c.parquet')


def test_data_frames_and_arrow_tables(images):
    pd = pytest.importorskip('pandas')
    frame = pd.DataFrame({'x': [99.5, 60.0], 'y': [99.5, 60.0], 'petro_r90': [21.0, 20.0],
                          'id': pd.array([BIG[0], None], dtype='Int64'),
                          'kind': pd.Categorical(['s0', 'sb'])}, index=pd.Index([7, 9], name='row'))
    for source in (frame, pa.Table.from_pandas(frame)):
        table = encode_catalog(images, source, **SCALE, **FAST)
        assert values(table['id']) == [str(BIG[0]), '--']
        assert table['kind'].tolist() == ['s0', 'sb']
        assert table['row'].tolist() == [7, 9]


def test_the_users_table_is_never_shared(images, catalog):
    catalog['mag'] = [18.0]
    catalog.meta['history'] = ['made']
    table = encode_catalog(images, catalog, **SCALE, **FAST)
    more = add_latents(catalog, make_cutouts(images, catalog, **SCALE), n_threads=1)
    for result in (table, more):
        result['x'] += 1000
        result['mag'][0] = -99
        result.meta['history'].append('encoded')
    assert (catalog['x'][0], catalog['mag'][0]) == (99.5, 18.0)
    assert catalog.meta == {'history': ['made']}


def test_indices_are_kept(images, catalog):
    catalog['id'] = BIG[:1]
    catalog.add_index('id')
    assert encode_catalog(images, catalog, **SCALE, **FAST).loc[BIG[0]]['x'] == 99.5


@pytest.mark.parametrize(
    ('column', 'value', 'output', 'message'),
    [
        ('gr\u00f6\u00dfe', [1.0], 'o.fits', 'ASCII'),
        ('note', ['K\u00f6ln'], 'o.fits', 'ASCII'),
        ('t', Time([5e4], format='mjd'), 'o.vot', "column 't' cannot be written"),
        ('n', np.array([2**64 - 1], 'u8'), 'o.vot', 'integers beyond'),
        ('o', np.array([{'a': 1}], dtype=object), 'o.parquet', "column 'o'"),
    ],
)
def test_what_a_format_cannot_hold_is_told_before_the_work(catalog, column, value, output, message):
    catalog[column] = value
    with pytest.raises(ValueError, match=message):
        check_writable(catalog, output)


def test_text_beyond_ascii_is_refused_in_the_shell(encode, tmp_path, catalog):
    catalog['note'] = ['K\u00f6ln']
    catalog.write(tmp_path / 'c.ecsv')
    encode(tmp_path / 'c.ecsv').fails(2, 'no characters beyond ASCII')
    assert encode(tmp_path / 'c.ecsv', output='o.parquet').code == 0


# Several tables or images a file


def chip(ra, name='LDAC_OBJECTS'):
    rows = Table({'ALPHA_J2000': ra, 'DELTA_J2000': [2.0] * len(ra)}, meta={'EXTNAME': name})
    head = Table({'Field Header Card': ['SIMPLE']}, meta={'EXTNAME': 'LDAC_IMHEAD'})
    return [fits.table_to_hdu(head), fits.table_to_hdu(rows)]


def test_tables_of_all_chips_are_stacked(tmp_path):
    hdus = [fits.PrimaryHDU(), *chip([150.0, 150.001]), *chip([149.999])]
    fits.HDUList(hdus).writeto(tmp_path / 'two.cat')
    assert read_catalog(tmp_path / 'two.cat')['ALPHA_J2000'].tolist() == [150.0, 150.001, 149.999]


def test_one_of_several_tables_is_named(encode, tmp_path):
    hdus = [fits.PrimaryHDU(), chip([150.0, 150.001], 'A')[1], chip([149.999], 'B')[1]]
    fits.HDUList(hdus).writeto(tmp_path / 'two.fits')
    encode(tmp_path / 'two.fits').fails(2, 'there are several tables, A, B; name one as')
    for part in ('B', '2', 'b'):
        assert len(read_catalog(f'{tmp_path}/two.fits[{part}]')) == 1
    with pytest.raises(ValueError, match=r"no table 'C'; there are A, B"):
        read_catalog(f'{tmp_path}/two.fits[C]')


def test_several_tables_of_hdf5(tmp_path):
    for name in 'ab':
        Table({'x': [1.0]}).write(tmp_path / 't.h5', path=name, append=True)
    with pytest.raises(ValueError, match='there are several tables, a, b'):
        read_catalog(tmp_path / 't.h5')
    assert read_catalog(f'{tmp_path}/t.h5[b]').colnames == ['x']


def test_first_line_of_skyserver(tmp_path):
    (tmp_path / 's.csv').write_text('#Table1\nobjid,ra,dec\n1237648720693755918,150.0,2.0\n')
    table = read_catalog(tmp_path / 's.csv')
    assert table['objid'].tolist() == [1237648720693755918]


@pytest.mark.parametrize('first', ['RMS', 'VAR_POISSON', 'BKG', 'EXP', 'CTX', 'thumbnail'])
def test_the_image_that_is_called_sci_counts(write, images, catalog, first):
    rng = np.random.default_rng(1)

    def hdus(band, image):
        science = fits.ImageHDU(image, header(), name='SCI')
        if first == 'thumbnail':
            return [fits.PrimaryHDU(image[::2, ::2]), science]
        noise = rng.normal(0.02, 0.001, image.shape).astype('f4')
        return [fits.PrimaryHDU(), fits.ImageHDU(noise, header(), name=first), science]

    expected = stack_of(write(), catalog)
    assert_same(stack_of(write(hdus), catalog), expected)


def test_several_chips_are_refused(write, catalog):
    def hdus(band, image):
        return [fits.PrimaryHDU(), *(fits.ImageHDU(image, header(), name=name)
                                     for name in ('CCD01', 'CCD02'))]

    with pytest.raises(ValueError, match=r'there are 2 images, 1 \(CCD01\), 2 \(CCD02\); name'):
        stack_of(write(hdus), catalog)
    paths = {band: f'{path}[2]' for band, path in write(hdus).items()}
    assert stack_of(paths, catalog).flags.tolist() == [0]


# Masks of bit planes


def masked_file(values, cards=None, name='MASK', image_cards=None):
    def hdus(band, image):
        mask = fits.ImageHDU(values, fits.Header(cards or {}), name=name)
        return [fits.PrimaryHDU(header=fits.Header(image_cards or {})),
                fits.ImageHDU(image, header(), name='SCI'), mask]

    return hdus


LSST = {'HIERARCH MP_BAD': 0, 'HIERARCH MP_SAT': 1, 'HIERARCH MP_DETECTED': 5}
JWST, HST, EUCLID = {'TELESCOP': 'JWST'}, {'TELESCOP': 'HST'}, {'TELESCOP': 'Euclid'}
DES = {'TELESCOP': 'CTIO 4.0-m telescope'}


@pytest.mark.parametrize(
    ('bit', 'cards', 'image_cards', 'name', 'counts'),
    [
        (32, LSST, {}, 'MASK', False),
        (2, LSST, {}, 'MASK', True),
        (4, {}, JWST, 'DQ', False),  # JUMP_DET
        (1, {}, JWST, 'DQ', True),
        (5, {}, JWST, 'DQ', True),
        (64, {}, HST, 'DQ', False),  # warm
        (4096, {}, HST, 'DQ', True),  # cosmic ray
        (32, {}, DES, 'MSK', False),  # a bright star
        (16, {}, DES, 'MSK', True),  # cosmic ray
        (2, {}, EUCLID, 'FLG', False),
        (1, {}, EUCLID, 'FLG', True),
        (1, {}, {}, 'MASK', True),
    ],
)
def test_planes_that_mean_no_data_count(write, catalog, bit, cards, image_cards, name, counts):
    near = np.where(galaxy() > 0.1, bit, 0).astype('i4')
    stack = stack_of(write(masked_file(near, cards, name, image_cards)), catalog)
    assert describe_flags(stack.flags[0]) == (['MISSING_PIXELS'] if counts else [])


def test_planes_that_nobody_names(write, catalog, images):
    near = np.where(galaxy() > 0.1, 32, 0).astype('i4')
    with pytest.raises(ValueError, match='MASK holds other values than 0 and 1'):
        stack_of(write(masked_file(near)), catalog)
    with pytest.warns(GalvaeWarning, match='nobody says what the bits of DQ mean'):
        assert stack_of(write(masked_file(near, name='DQ')), catalog).flags.tolist() == [0]
    with pytest.raises(ValueError, match='the mask holds integers other than 0 and 1'):
        stack_of({b: NDData(image, mask=near) for b, image in images.items()}, catalog, **SCALE)


def test_masks_of_other_chips_do_not_count(write, catalog):
    near = np.where(galaxy() > 0.1, 1, 0).astype('i2')

    def hdus(band, image):
        return [fits.PrimaryHDU(header=fits.Header(JWST)),
                fits.ImageHDU(image, header(), name='SCI', ver=1),
                fits.ImageHDU(0 * near, name='DQ', ver=1),
                fits.ImageHDU(image, header(), name='SCI', ver=2),
                fits.ImageHDU(near, name='DQ', ver=2)]

    paths = write(hdus)
    for extension, flags in ((1, []), (3, ['MISSING_PIXELS'])):
        found = stack_of({b: f'{path}[{extension}]' for b, path in paths.items()}, catalog)
        assert describe_flags(found.flags[0]) == flags


@pytest.mark.parametrize(('name', 'lost'), [('WHT', 0.0), ('ERR', np.nan), ('VARIANCE', np.inf)])
def test_weights_and_errors_say_what_is_missing(write, catalog, name, lost):
    weight = np.where(galaxy() > 0.1, lost, 1.0).astype('f4')
    stack = stack_of(write(masked_file(weight, name=name)), catalog)
    assert describe_flags(stack.flags[0]) == ['MISSING_PIXELS']
    nothing = np.zeros((SIDE, SIDE), 'f4')  # of errors that nobody filled in
    assert stack_of(write(masked_file(nothing, name=name)), catalog).flags.tolist() == [0]


@pytest.mark.parametrize('x0', [99.5, 30.0])
def test_missing_pixels_beside_the_border(x0):
    y, x = np.mgrid[:SIDE, :SIDE]
    rng = np.random.default_rng(0)
    core = np.hypot(x - x0, y - 99.5) < 12
    light = galaxy(x0)
    field = {band: np.ma.array(flux * light + rng.normal(0, 0.02, light.shape), mask=core)
             for band, flux in (('g', 1.1), ('r', 2.2), ('z', 3.5))}
    catalog = Table({'x': [x0], 'y': [99.5], 'petro_r90': [27.0]})
    assert 'MISSING_PIXELS' in describe_flags(make_cutouts(field, catalog, **SCALE).flags[0])


# Numbers that cannot be


@pytest.mark.parametrize('value', [0.0, -1.0, 99.0, -99.0, 999.0])
def test_zero_points_that_stand_for_none(write, images, catalog, value):
    with pytest.warns(GalvaeWarning) as told:
        stack = stack_of(write(BUNIT='adu', MAGZERO=value), catalog)
    assert any('no AB magnitude of one count' in str(one.message) for one in told)
    assert describe_flags(stack.flags[0]) == ['SCALE_ESTIMATED']
    with pytest.raises(ValueError, match='the zero point is .*; expected the AB magnitude'):
        stack_of(images, catalog, zero_point=value, pixel_scale=0.262)


@pytest.mark.parametrize('scale', [262, 7.3e-5])
def test_pixel_scales_that_cannot_be(images, catalog, scale):
    with pytest.raises(ValueError, match='expected one of an image of galaxies'):
        stack_of(images, catalog, unit='nmgy', pixel_scale=scale)


def test_wcs_without_a_scale(tmp_path, images, catalog):
    cards = header()
    del cards['CDELT1'], cards['CDELT2']
    for band, image in images.items():
        fits.writeto(tmp_path / f'{band}.fits', image, cards)
    with pytest.warns(GalvaeWarning) as told:
        stack = stack_of({b: tmp_path / f'{b}.fits' for b in images}, catalog)
    assert any('a pixel is 3600 arcsec' in str(one.message) for one in told)
    assert any('the pixel scale lacks' in str(one.message) for one in told)
    assert np.isnan(stack.pixel_scale[0])
    assert describe_flags(stack.flags[0]) == ['SCALE_ESTIMATED']


def test_unit_that_cannot_be(images, catalog):
    with pytest.warns(GalvaeWarning, match="by the unit 'Jy' the noise of band z is"):
        stack_of(images, catalog, unit='Jy', pixel_scale=0.262)


def test_bands_in_another_order_than_their_headers_say(tmp_path, images, catalog):
    for band, image in images.items():
        cards = header(FILTER=f'{band} DECam SDSS c0001')
        fits.writeto(tmp_path / f'{band}.fits', image, cards)
    paths = [tmp_path / f'{band}.fits' for band in 'grz']
    assert stack_of(paths, catalog, bands='g,r,z').flags.tolist() == [0]
    with pytest.raises(ValueError, match='image of band z, but its header says FILTER'):
        stack_of(paths, catalog, bands='z,r,g')
    cube = np.array([images[b] for b in 'grz'])
    fits.writeto(tmp_path / 'cube.fits', cube, header(BANDS='grz'))
    with pytest.raises(ValueError, match='the header says that the planes are g,r,z'):
        stack_of(tmp_path / 'cube.fits', catalog, bands='z,r,g')


def test_cubes_with_more_bands_than_needed(tmp_path, images, catalog):
    cube = np.array([images[b] for b in 'grrz'])
    fits.writeto(tmp_path / 'cube.fits', cube, header(BANDS='griz'))
    found = stack_of(tmp_path / 'cube.fits', catalog, bands='g,r,z')
    assert_same(found, stack_of(images, catalog, unit='nmgy', pixel_scale=found.pixel_scale[0]))
    assert set(stack_of(tmp_path / 'cube.fits', catalog).bands) == {'i,r,g'}


def test_catalogue_wholly_off_the_image(images, catalog):
    catalog['x'] += 5000
    with pytest.warns(GalvaeWarning, match='no source of the catalogue lies on the image'):
        assert describe_flags(stack_of(images, catalog, **SCALE).flags[0]) == ['OFF_IMAGE']


# Pixels


def test_pixels_that_are_not_square(write, catalog):
    with pytest.raises(ValueError, match='its pixels are .* arcsec; expected squares'):
        stack_of(write(CDELT2=2 * 7.3e-5), catalog)


def test_pixel_scale_is_that_in_the_middle_of_the_image(write, catalog):
    """Far from the reference point a projection has another scale."""
    found = stack_of(write(CRPIX1=-3e5), catalog).pixel_scale[0]
    angle = np.radians(7.3e-5 * 3e5)
    assert found != pytest.approx(7.3e-5 * 3600, rel=0.01)
    assert found == pytest.approx(7.3e-5 * 3600 / (1 + np.tan(angle) ** 2) ** 0.75, rel=0.05)


@pytest.mark.parametrize('counts', [100, 50])
def test_zeros_that_are_data(counts, images, catalog):
    """Whole numbers give the same as floats as they give as integers."""
    catalog.remove_column('petro_r90')
    options = {'zero_point': 22.5 + 2.5 * np.log10(counts), 'pixel_scale': 0.262}
    radii = [stack_of({b: np.round(image * counts).astype(kind) for b, image in images.items()},
                      catalog, **options).radius[0] for kind in ('i4', 'f4')]
    assert radii[0] == pytest.approx(radii[1], rel=1e-5)


def test_areas_of_zeros_are_missing_in_whole_numbers_too(images, catalog):
    def whole(image):
        image = np.round(image * 100).astype('f4')
        image[:95] = 0
        return image

    stack = stack_of({b: whole(image) for b, image in images.items()}, catalog, zero_point=27.5,
                     pixel_scale=0.262)
    assert describe_flags(stack.flags[0]) == ['MISSING_PIXELS']


@pytest.mark.parametrize('scale', [None, 0.2628])
def test_a_band_on_another_grid_keeps_its_own_pixels(images, catalog, scale):
    fine = WCS(header())
    coarse = fine.deepcopy()
    coarse.wcs.cdelt = 2 * fine.wcs.cdelt
    coarse.wcs.crpix = (fine.wcs.crpix - 0.5) / 2 + 0.5
    field = {b: CCDData(images[b], unit='uJy', wcs=fine) for b in 'gr'}
    binned = images['z'].reshape(SIDE // 2, 2, SIDE // 2, 2).sum((1, 3))
    field['z'] = CCDData(binned, unit='uJy', wcs=coarse)
    z, r, _ = np.nansum(stack_of(field, catalog, pixel_scale=scale).data[0], axis=(1, 2))
    assert z / r == pytest.approx(1.6, rel=0.05)


def test_pixel_scale_that_contradicts_the_wcs(write, catalog):
    with pytest.warns(GalvaeWarning, match='given as 0.5 arcsec, and the WCS says 0.2628'):
        stack_of(write(), catalog, pixel_scale=0.5)


def test_zero_point_of_the_primary_header(write, catalog):
    def hdus(band, image):
        primary = fits.PrimaryHDU()
        primary.header['MAGZERO'] = 22.5
        return [primary, fits.ImageHDU(image, header(BUNIT='adu', **self_inherit), name='SCI')]

    self_inherit = {}
    assert_same(stack_of(write(hdus), catalog), stack_of(write(), catalog))
    self_inherit['INHERIT'] = False
    with pytest.warns(GalvaeWarning, match='no flux unit is known'):
        stack_of(write(hdus), catalog)


@pytest.mark.parametrize(
    'unit', ['uJy/pixel', 'UJY/PIX', 'microJy', 'nanomaggies/arcsec^2', 'MJY/SR'])
def test_units_as_archives_spell_them(write, catalog, unit):
    assert stack_of(write(BUNIT=unit), catalog).flags.tolist() == [0]


def test_unit_that_is_not_understood_is_quoted(write, images, catalog):
    with pytest.warns(GalvaeWarning, match="the header says 'furlongs', which is no unit"):
        stack_of(write(BUNIT='furlongs'), catalog)
    with pytest.warns(GalvaeWarning, match='the pixel scale lacks'):
        stack_of(images, catalog, unit='nmgy')


def test_tables_of_distortions(tmp_path, images):
    y, x = np.mgrid[:16, :16]
    wcs = WCS(header())
    for i, shift in enumerate((np.sin(x / 5), np.cos(y / 5))):
        table = DistortionLookupTable((3 * shift).astype('f4'), (0, 0), (0, 0), (20, 20))
        setattr(wcs, f'cpdis{i + 1}', table)
    for band, image in images.items():
        hdus = wcs.to_fits(relax=True)
        hdus[0].header['BUNIT'] = 'uJy'
        made = [fits.PrimaryHDU(image, hdus[0].header), *hdus[1:]]
        fits.HDUList(made).writeto(tmp_path / f'{band}.fits')
    with fits.open(tmp_path / 'r.fits') as hdus:
        sky = WCS(hdus[0].header, hdus).pixel_to_world(99.5, 99.5)
    paths = {b: tmp_path / f'{b}.fits' for b in images}
    catalog = Table({'ra': [sky.ra.deg], 'dec': [sky.dec.deg], 'petro_r90': [5.0]})
    stack = stack_of(paths, catalog)
    assert stack.pixel_scale[0] == pytest.approx(0.26, abs=0.01)
    peak = np.unravel_index(np.nanargmax(stack.data[0, 1]), stack.data.shape[2:])
    assert np.abs(np.array(peak) - 63.5).max() < 5


# Positions


def test_pixels_and_sky_that_contradict_each_other(images):
    wcs = WCS(header())
    field = {b: CCDData(image, unit='uJy', wcs=wcs) for b, image in images.items()}
    part = Cutout2D(images['r'], (110, 105), 100, wcs=wcs)
    place = part.to_cutout_position((99.5, 99.5))
    sky = wcs.pixel_to_world(99.5, 99.5)
    table = QTable({'x_centroid': [place[0]], 'y_centroid': [place[1]], 'sky_centroid': sky[None]
                    if sky.isscalar else sky, 'petro_r90': [21.0] * u.pix})
    with pytest.raises(ValueError, match='contradict each other: in the median .* pixels apart'):
        stack_of(field, table)
    right = stack_of(field, table, position_columns='sky_centroid')
    table['x_centroid'], table['y_centroid'] = [99.5], [99.5]
    assert_same(right, stack_of(field, table))


def test_position_columns_of_the_shell(encode, tmp_path):
    Table({'a': [150.0], 'b': [2.0], 'x': [5.0], 'y': [5.0], 'petro_r90': [5.0]},
          units={'a': 'deg', 'b': 'deg'}).write(tmp_path / 'c.ecsv')
    assert encode(tmp_path / 'c.ecsv', '--position-columns', 'a,b').code == 0
    encode(tmp_path / 'c.ecsv', '--position-columns', 'a,q').fails(2, "no column 'q' of positions")


# Arrays


def test_composites_outside_their_range(images, catalog):
    stack = make_cutouts(images, catalog, **SCALE)
    transformer = LatentTransformer(n_threads=1)
    frames = np.clip(transformer.encoder.frames(stack), 0, 1)
    good = (frames * 255).round().astype('u1')
    assert np.isfinite(transformer.transform(good)).all()
    for wrong in (good.astype('f4'), good.astype(int), good.astype('u2') * 257, good / 127.5 - 1,
                  stack.data):
        with pytest.raises(ValueError, match=r'composites .*; expected'):
            transformer.transform(wrong)


def test_no_composites_at_all():
    transformer = LatentTransformer(n_threads=1)
    width = get_model().n_latents
    assert transformer.transform([]).shape == (0, width)
    assert transformer.transform(np.zeros((0, 3, 128, 128), 'f4')).shape == (0, width)


def picture(array, kind='PNG', mode=None, **options):
    file = io.BytesIO()
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(file, kind, **options)
    return file.getvalue()


def test_modes_of_pictures(tmp_path):
    y, x = np.mgrid[:128, :128]
    grey = (200 * np.exp(-np.hypot(x - 63.5, y - 63.5) / 12) + 10).astype('u1')
    rgb = np.repeat(grey[..., None], 3, axis=-1)
    alpha = np.dstack([rgb, np.full_like(grey, 255)])
    files = {'plain': picture(rgb), 'grey': picture(grey), 'palette': picture(grey, mode='P'),
             'alpha': picture(alpha), '16 bit': picture(grey.astype('u2') * 257),
             'float': picture((grey / 255).astype('f4'), 'TIFF'),
             'CMYK': picture(rgb, 'TIFF', mode='CMYK'),
             'wide': picture(np.pad(rgb, ((0, 0), (32, 32), (0, 0)), mode='edge')),
             'tall': picture(np.pad(rgb, ((32, 32), (0, 0), (0, 0)), mode='edge')),
             'animated': picture(grey, 'GIF', save_all=True,
                                 append_images=[Image.fromarray(grey[::-1] // 2)])}
    pq.write_table(pa.table({'id_str': list(files), 'image': list(files.values())}),
                   tmp_path / 's.parquet')
    table = encode_cutout_set(tmp_path / 's.parquet', already_scaled=True, **FAST)
    assert describe_flags(table['galvae_flags'][-1]) == ['UNREADABLE']
    latents = np.asarray(table['galvae_latent'])[:-1]
    assert np.abs(latents - latents[0]).max() < 0.05


# Latents that state no model


def test_the_users_word_is_taken_for_latents_of_csv(images, catalog, tmp_path):
    table = encode_catalog(images, catalog, scalar_columns=True, **SCALE, **FAST)
    write_table(table, tmp_path / 't.csv')
    read = Table.read(tmp_path / 't.csv')
    with pytest.raises(ModelMismatchError, match='not stated'):
        get_latents(read)
    model = get_model()
    assert np.allclose(get_latents(read, model=model), get_latents(table), atol=1e-6)
    assert np.allclose(get_latents(read, model=model.name), get_latents(table), atol=1e-6)
    frame = pytest.importorskip('pandas').read_csv(tmp_path / 't.csv')
    assert np.allclose(get_latents(frame, model=model), get_latents(table), atol=1e-6)
