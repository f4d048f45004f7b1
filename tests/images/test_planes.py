# Licensed under a 3-clause BSD style license - see LICENSE.rst
import gc

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty
from astropy.utils.masked import Masked

from galvae_affiliated.images.planes import read_planes

BANDS = ['g', 'r', 'z']


@pytest.fixture(scope='module')
def cube(field):
    return np.array([field[band].data[:40, :50] for band in BANDS])


@pytest.fixture
def header(field):
    header = field['r'].wcs.to_header()
    header['BUNIT'] = 'nmgy'
    return header


def one(source):
    """The plane of one image."""
    return read_planes({'r': source})['r']


def write(path, data, header=None, *, compressed=False):
    if compressed:
        hdus = [
            fits.PrimaryHDU(),
            fits.CompImageHDU(data, header, compression_type='GZIP_2', quantize_level=0),
        ]
    else:
        hdus = [fits.PrimaryHDU(data, header)]
    fits.HDUList(hdus).writeto(path)
    return path


def extensions(path, cube, header, key, names):
    hdus = [fits.PrimaryHDU()]
    for plane, name in zip(cube, names):
        hdus.append(fits.ImageHDU(plane, fits.Header(header, copy=True)))
        hdus[-1].header[key] = name
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.mark.parametrize('ending', ['.fits', '.fits.gz', '.fits.fz'])
def test_fits_file(tmp_path, cube, header, ending):
    path = write(tmp_path / f'r{ending}', cube[1], header, compressed=ending.endswith('.fz'))
    for source in (path, str(path)):
        plane = one(source)
        assert np.array_equal(plane.data, cube[1])
        assert plane.unit == u.Unit('nmgy')
        assert plane.wcs.wcs.crval == pytest.approx([150.1, 2.2])
        assert plane.bad is None
        assert plane.origin == str(path)


def test_fits_file_of_counts(tmp_path, cube):
    plane = one(write(tmp_path / 'r.fits', cube[1], fits.Header({'BUNIT': 'adu', 'MAGZERO': 27.5})))
    assert (plane.unit, plane.zero_point, plane.wcs) == (None, 27.5, None)


def test_big_endian_data_stay_as_they_are(tmp_path, cube):
    plane = one(write(tmp_path / 'r.fits', cube[1]))
    assert plane.data.dtype == '>f4'


@pytest.mark.parametrize('dtype', ['i2', 'u2', 'i4', 'u1', 'f8'])
def test_number_types(tmp_path, dtype):
    values = np.arange(48, dtype=dtype).reshape(6, 8)
    assert np.array_equal(one(write(tmp_path / 'r.fits', values)).data, values)
    assert np.array_equal(one(values).data, values)


def test_blank_integers_are_missing(tmp_path):
    values = np.arange(48, dtype='i2').reshape(6, 8)
    path = write(tmp_path / 'r.fits', values, fits.Header({'BLANK': 3}))
    assert np.isnan(one(path).data).sum() == 1


@pytest.mark.parametrize('key', ['EXTNAME', 'FILTER', 'BAND'])
@pytest.mark.parametrize('names', [['g', 'r', 'z'], ['z', 'g', 'r'], ['G', 'R', 'Z']])
def test_extensions_named_as_bands(tmp_path, cube, header, key, names):
    """Capitals too, which is what astropy makes of ``ImageHDU(data, name='g')``."""
    path = extensions(tmp_path / 'all.fits', cube, header, key, names)
    planes = read_planes(path, BANDS)
    assert list(planes) == BANDS
    for name, plane in zip(names, cube):
        assert np.array_equal(planes[name.lower()].data, plane)


@pytest.mark.parametrize('key', ['EXTNAME', 'FILTER'])
def test_one_file_given_for_each_band(tmp_path, cube, header, key):
    path = extensions(tmp_path / 'all.fits', cube, header, key, BANDS)
    planes = read_planes(dict.fromkeys(BANDS, path))
    for band, expected in zip(BANDS, cube):
        assert np.array_equal(planes[band].data, expected)


def test_three_plane_file(tmp_path, cube, header):
    path = write(tmp_path / 'all.fits', cube, header)
    for bands in (BANDS, 'g,r,z', 'g, r, z', 'grz', ('g', 'r', 'z')):
        planes = read_planes(path, bands)
        assert list(planes) == BANDS
        assert all(np.array_equal(planes[band].data, plane) for band, plane in zip(BANDS, cube))
        assert planes['z'].wcs.naxis == 2
        assert planes['g'].unit == u.Unit('nmgy')


def test_header_names_the_bands(tmp_path, cube):
    one_card = write(tmp_path / 'a.fits', cube, fits.Header({'BANDS': 'grz'}))
    a_card_each = write(
        tmp_path / 'b.fits', cube, fits.Header({'BAND0': 'g', 'BAND1': 'r', 'BAND2': 'z'})
    )
    assert list(read_planes(one_card)) == list(read_planes(a_card_each)) == BANDS


def test_named_extension(tmp_path, cube, header):
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(cube[0], header, name='OTHER'),
        fits.ImageHDU(cube[1], header, name='SCI'),
    ]
    fits.HDUList(hdus).writeto(tmp_path / 'r.fits')
    assert np.array_equal(one(f'{tmp_path}/r.fits[SCI]').data, cube[1])
    assert np.array_equal(one(f'{tmp_path}/r.fits[2]').data, cube[1])
    # the one called SCI, not the first one
    assert np.array_equal(one(tmp_path / 'r.fits').data, cube[1])
    with pytest.raises(
        ValueError, match=r"r\.fits: there is no extension 'NONE'; there are .*'SCI'"
    ):
        one(f'{tmp_path}/r.fits[NONE]')


def test_companions_are_no_image(tmp_path, cube):
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(cube[0], name='WHT'),
        fits.ImageHDU(cube[1], name='SCI'),
    ]
    fits.HDUList(hdus).writeto(tmp_path / 'r.fits')
    assert np.array_equal(one(tmp_path / 'r.fits').data, cube[1])


def test_quantity(cube):
    plane = one(cube[1] * u.uJy)
    assert np.array_equal(plane.data, cube[1])
    assert plane.unit == u.uJy
    assert list(read_planes(cube * u.uJy, BANDS)) == BANDS


def test_ccddata(field, cube):
    mask = cube[1] > 1
    image = CCDData(cube[1], unit='adu', wcs=field['r'].wcs, mask=mask, meta={'MAGZERO': 25.0})
    plane = one(image)
    assert (plane.unit, plane.zero_point) == (None, 25.0)
    assert plane.wcs is not None
    assert np.array_equal(plane.bad, mask)
    assert one(CCDData(cube[1], unit='uJy', meta={'MAGZERO': 25.0})).zero_point is None


@pytest.mark.parametrize('kind', [StdDevUncertainty, VarianceUncertainty, InverseVariance])
@pytest.mark.parametrize('nothing', [0.0, np.nan, -1.0])
def test_uncertainty_says_what_is_missing(cube, kind, nothing):
    uncertainty = np.ones(cube[1].shape)
    uncertainty[3, 5] = nothing
    mask = np.zeros(cube[1].shape, dtype=bool)
    mask[7, 7] = True
    assert list(zip(*np.nonzero(one(NDData(cube[1], uncertainty=kind(uncertainty))).bad))) == [
        (3, 5)
    ]
    both = one(CCDData(cube[1], unit='uJy', mask=mask, uncertainty=kind(uncertainty)))
    assert list(zip(*np.nonzero(both.bad))) == [(3, 5), (7, 7)]


def test_infinite_error_is_missing(cube):
    error = np.ones(cube[1].shape)
    error[3, 5] = np.inf
    assert one(NDData(cube[1], uncertainty=StdDevUncertainty(error))).bad[3, 5]


@pytest.mark.parametrize('mask', [True, False])
def test_mask_of_one_value(cube, mask):
    assert np.all(one(NDData(cube[1], mask=mask)).bad == mask)


@pytest.mark.parametrize(
    'wrap',
    [
        np.ma.array,
        Masked,
        lambda data, mask: Masked(data * u.uJy, mask=mask),
        lambda data, mask: NDData(data, mask=mask),
    ],
)
def test_masked_arrays(cube, wrap):
    mask = cube > 1
    assert np.array_equal(one(wrap(cube[1], mask=mask[1])).bad, mask[1])
    planes = read_planes(wrap(cube, mask=mask), BANDS)
    assert np.array_equal(planes['z'].bad, mask[2])
    assert np.array_equal(planes['z'].data, cube[2])


def test_sequence_of_images(field_files, cube):
    planes = read_planes([field_files['g'], cube[1], cube[2] * u.uJy], BANDS)
    assert list(planes) == BANDS
    assert planes['z'].unit == u.uJy


@pytest.mark.parametrize(
    'source',
    [
        np.zeros((5, 5), complex),
        np.zeros((5, 5), bool),
        np.array([['a']]),
        np.zeros(5),
        None,
        5.0,
        np.array([[object()]]),
        np.zeros(5) * u.uJy,
        NDData(np.zeros(5)),
    ],
)
def test_what_is_no_image(source):
    with pytest.raises(TypeError, match=r'expected real numbers \(ny, nx\)'):
        one(source)


def test_tuple_is_refused_with_the_way_out(cube, field):
    with pytest.raises(TypeError, match='CCDData'):
        one((cube[1], field['r'].wcs))


def test_shapes_are_refused(cube):
    with pytest.raises(
        ValueError, match=r'image of band r has shape \(3, 40, 50\); expected \(ny, nx\)'
    ):
        one(cube)
    with pytest.raises(
        ValueError, match=r'expected planes or extensions of g, r, z, found one image'
    ):
        read_planes(cube[1], BANDS)
    with pytest.raises(ValueError, match=r'shape \(3, 40, 50\); expected \(2, ny, nx\)'):
        read_planes(cube, ['g', 'r'])


def test_bands_are_refused(cube):
    with pytest.raises(ValueError, match='expected the names of the bands'):
        read_planes(cube)
    with pytest.raises(ValueError, match='3 images'):
        read_planes(list(cube))
    with pytest.raises(ValueError, match='3 images'):
        read_planes(list(cube), ['g', 'r'])
    with pytest.raises(ValueError, match='twice'):
        read_planes(cube, ['g', 'g', 'r'])
    with pytest.raises(ValueError, match='bands are'):
        read_planes(dict(zip(BANDS, cube)), ['g', 'r', 'i'])


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.fits: there is no such file'):
        one(tmp_path / 'nowhere.fits')
    with pytest.raises(FileNotFoundError, match=r'nowhere\.fits: there is no such file'):
        read_planes(tmp_path / 'nowhere.fits', BANDS)


@pytest.mark.parametrize('ending', ['.fits', '.fits.gz', '.fits.fz'])
@pytest.mark.parametrize('share', [0.05, 0.5, 0.9])
def test_truncated_file(tmp_path, cube, header, ending, share):
    path = write(tmp_path / f'whole{ending}', cube[1], header, compressed=ending.endswith('.fz'))
    cut = tmp_path / f'cut{ending}'
    cut.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=rf'cut{ending}: .*can'):
        one(cut)
    gc.collect()  # an open file that is left behind warns here


@pytest.mark.parametrize(
    'content', [b'', b'x y\n1 2\n', b'\x00' * 5000, b'SIMPLE  =                    T']
)
def test_file_that_is_no_fits(tmp_path, content):
    (tmp_path / 'r.fits').write_bytes(content)
    with pytest.raises(ValueError, match=r'r\.fits: this is not a FITS file'):
        one(tmp_path / 'r.fits')
    gc.collect()


def test_folder_is_no_image(tmp_path):
    with pytest.raises(ValueError, match='this is not a FITS file'):
        one(tmp_path)


def test_file_without_image(tmp_path):
    fits.BinTableHDU.from_columns([fits.Column('x', 'D', array=[1.0])]).writeto(
        tmp_path / 'table.fits'
    )
    with pytest.raises(ValueError, match='there is no image'):
        one(tmp_path / 'table.fits')
    with pytest.raises(ValueError, match=r'table\.fits'):
        one(f'{tmp_path}/table.fits[1]')


def test_arrays_are_not_changed(cube):
    mask = np.zeros(cube[1].shape, dtype=bool)
    image = np.ma.array(cube[1].copy(), mask=mask)
    error = StdDevUncertainty(np.zeros(cube[1].shape))
    one(image)
    one(CCDData(image.data, unit='adu', mask=mask, uncertainty=error))
    assert np.array_equal(image.data, cube[1])
    assert not mask.any()
    assert not error.array.any()


def test_mask_and_uncertainty_that_ccddata_wrote(tmp_path):
    data = np.ones((6, 5), dtype=np.float32)
    mask, uncertainty = np.zeros((6, 5), dtype=bool), np.ones((6, 5), dtype=np.float32)
    mask[1, 2], uncertainty[3, 4] = True, 0.0
    image = CCDData(data, unit='adu', mask=mask, uncertainty=StdDevUncertainty(uncertainty))
    image.write(tmp_path / 'r.fits')
    bad = read_planes({'r': tmp_path / 'r.fits'})['r'].bad
    assert np.argwhere(bad).tolist() == [[1, 2], [3, 4]]
