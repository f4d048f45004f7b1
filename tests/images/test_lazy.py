# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Large FITS images, of which only what is asked for is read."""

import gc
import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits.hdu.compressed.section import CompImageSection

from galvae_affiliated._batches import row_slices
from galvae_affiliated.cutouts.frame import ImageRendering, ModelFrame
from galvae_affiliated.cutouts.maker import CutoutMaker
from galvae_affiliated.images import _fits, _lazy
from galvae_affiliated.images._lazy import LazyImage, MappedImage, MissingPixels, ScaledImage
from galvae_affiliated.images.field import FieldImages
from galvae_affiliated.images.planes import read_planes
from galvae_affiliated.sources.positions import Positions

SHAPE = (90, 130)
BANDS = ['g', 'r', 'z']
TYPICAL = {band: {'noise': 0.1, 'flux': 1.0} for band in BANDS}


@pytest.fixture(autouse=True)
def large(monkeypatch):
    """The images of these tests count as large."""
    monkeypatch.setattr(_fits, 'SMALL', 10)


@pytest.fixture
def decompressed(monkeypatch):
    """Number of pixels of each part that is decompressed."""
    sizes = []
    original = CompImageSection.__getitem__

    def noted(self, part):
        values = original(self, part)
        sizes.append(values.size)
        return values

    monkeypatch.setattr(CompImageSection, '__getitem__', noted)
    return sizes


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(10.0, 1.0, SHAPE).astype(np.float32)


def compress(path, *arrays, tile=(20, 30), **cards):
    """A file of tile-compressed extensions, without loss."""
    hdus = [
        fits.CompImageHDU(
            array,
            fits.Header({'BUNIT': 'nmgy'} | cards),
            compression_type='GZIP_1',
            quantize_level=0,
            tile_shape=tile,
        )
        for array in arrays
    ]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def plane_of(path):
    return read_planes({'r': path})['r']


def open_images(source, bands=None):
    return FieldImages(
        source,
        bands=bands,
        band_sets=[('z', 'r', 'g')],
        typical=TYPICAL,
        unit='nmgy',
        pixel_scale=0.3,
    )


def maker_of(images, x, y, radius):
    positions = Positions(
        np.asarray(x, float), np.asarray(y, float), None, np.asarray(radius, float), None
    )
    frame = ModelFrame('x', 16, 5.12, (ImageRendering('x', 'flux', ('z', 'r', 'g')),))
    return CutoutMaker(images, positions, frame)


@pytest.mark.parametrize('tile', [(20, 30), (1, 130), (90, 130), (64, 7)])
def test_parts_of_a_compressed_image(tmp_path, image, tile):
    data = plane_of(compress(tmp_path / 'r.fits.fz', image, tile=tile)).data
    assert isinstance(data, MappedImage)
    assert (data.shape, data.ndim, data.size, len(data)) == (SHAPE, 2, image.size, 90)
    assert data.dtype == np.float32
    assert data.dtype.isnative
    rng = np.random.default_rng(1)
    for _ in range(30):
        (y0, y1), (x0, x1) = np.sort(rng.integers(0, 91, 2)), np.sort(rng.integers(0, 131, 2))
        part = np.s_[y0:y1, x0 : x1 : rng.integers(1, 4)]
        assert np.array_equal(data[part], image[part])
    assert np.array_equal(data[:, :], image)
    assert np.array_equal(np.asarray(data), image)


@pytest.mark.parametrize(('tile', 'most'), [((1, 130), 1300), ((20, 30), 2600), ((90, 130), 11700)])
def test_a_strip_is_decompressed_at_a_time(tmp_path, image, decompressed, monkeypatch, tile, most):
    """Each pixel once; at least a row of tiles."""
    monkeypatch.setattr(_lazy, 'STRIP', 1300)
    data = plane_of(compress(tmp_path / 'r.fits.fz', image, tile=tile)).data
    assert np.array_equal(data[:, :], image)
    first, *strips = decompressed
    assert first == 1  # which says the type
    assert sum(strips) == image.size
    assert max(strips) == most


def test_cutouts_of_a_compressed_image(tmp_path, image):
    paths = {b: compress(tmp_path / f'{b}.fits.fz', image + i) for i, b in enumerate(BANDS)}
    maker = maker_of(open_images(paths), [50, 70, 52, 51], [45, 45, 46, 44], [2, 2, 2.5, 3])
    plain = maker_of(
        open_images({b: image + i for i, b in enumerate(BANDS)}), maker.x, maker.y, maker.given
    )
    for size in (1, 2, 4):
        stacks = list(maker.stacks(row_slices(4, size)))
        joined = np.concatenate([stack.data for stack in stacks])
        assert np.allclose(joined, plain.stack().data, rtol=1e-6)


@pytest.mark.parametrize('tile', [(1, 20, 30), (3, 20, 30), (1, 1, 130)])
def test_compressed_cube(tmp_path, image, decompressed, tile):
    cube = np.array([image, image + 1, image + 2])
    planes = read_planes(compress(tmp_path / 'all.fits.fz', cube, tile=tile), BANDS)
    for band, expected in zip(BANDS, cube):
        data = planes[band].data
        assert isinstance(data, MappedImage)
        assert (data.shape, data.ndim) == (SHAPE, 2)
        assert np.array_equal(data[30:50, 40:90], expected[30:50, 40:90])
    assert sum(decompressed) == cube.size + 1


def test_extension_a_band(tmp_path, image):
    path = compress(tmp_path / 'all.fits.fz', image, image + 1, image + 2)
    with fits.open(path, mode='update') as hdus:
        for hdu, band in zip(hdus[1:], BANDS):
            hdu.header['FILTER'] = band
    for i, (band, plane) in enumerate(read_planes(path, BANDS).items()):
        assert band == BANDS[i]
        assert isinstance(plane.data, MappedImage)
        assert np.array_equal(plane.data[3:50, 60:], (image + i)[3:50, 60:])


@pytest.mark.parametrize(
    'cards', [{'BSCALE': 0.5, 'BZERO': 100.0}, {'BZERO': 32768.0}, {'BLANK': 7}]
)
@pytest.mark.parametrize('compressed', [True, False])
def test_scaled_integers(tmp_path, cards, compressed):
    """As astropy reads the whole: numbers and their type."""
    numbers = np.random.default_rng(2).integers(0, 50, SHAPE).astype('>i2')
    path = tmp_path / 'r.fits'
    if compressed:
        compress(path, numbers)
    else:
        fits.PrimaryHDU(numbers).writeto(path)
    with fits.open(path, mode='update', do_not_scale_image_data=True) as hdus:
        hdus[-1].header.update(cards)
    expected = fits.getdata(path)
    data = plane_of(path).data
    assert isinstance(data, MappedImage if compressed else ScaledImage)
    assert data.dtype == expected.dtype
    assert np.array_equal(data[10:40, 5:130:3], expected[10:40, 5:130:3], equal_nan=True)
    assert np.array_equal(np.asarray(data), expected, equal_nan=True)
    assert ('BLANK' in cards) == np.isnan(expected.astype(float)).any()


def test_scaled_cube(tmp_path):
    cube = np.random.default_rng(3).integers(0, 60000, (3, *SHAPE)).astype(np.uint16)
    fits.PrimaryHDU(cube).writeto(tmp_path / 'all.fits')
    for i, plane in enumerate(read_planes(tmp_path / 'all.fits', BANDS).values()):
        assert isinstance(plane.data, ScaledImage)
        assert plane.data.dtype == np.uint16
        assert np.array_equal(plane.data[4:50, 3:7], cube[i, 4:50, 3:7])


def test_uncompressed_image_stays_in_the_file(tmp_path):
    """Neither opening nor cutting takes memory for the image."""
    values = np.random.default_rng(4).normal(30, 1, (1500, 1000)).astype('>f4')
    for name, data in (('f', values), ('i', (100 * values).astype(np.uint16))):
        fits.PrimaryHDU(data).writeto(tmp_path / f'{name}.fits')
        open_images(dict.fromkeys(BANDS, tmp_path / f'{name}.fits'))  # what is loaded once
        tracemalloc.start()
        planes = read_planes(dict.fromkeys(BANDS, tmp_path / f'{name}.fits'))
        parts = [planes[band].data[500:560, 500:560] for band in BANDS]
        _, largest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert largest < 0.2 * data.nbytes
        assert all(np.array_equal(part, data[500:560, 500:560]) for part in parts)


def test_memory_of_a_mapped_file_is_given_back(tmp_path):
    """And read again when it is needed."""
    values = np.arange(1_000_000, dtype='>f4').reshape(1000, 1000)
    fits.PrimaryHDU(values).writeto(tmp_path / 'r.fits')
    data = plane_of(tmp_path / 'r.fits').data
    assert isinstance(data, MappedImage)
    before = data[:, :].sum()
    data.release()
    assert data[:, :].sum() == before
    array = np.arange(12.0).reshape(3, 4)
    MappedImage(array).release()
    assert array.sum() == 66


def test_what_is_asked_of_a_lazy_image_equals_the_array(tmp_path, image):
    """Sky, noise, whole image and cutouts."""
    rows = np.arange(90)[:, None] * 0.01
    arrays = {b: image + i + rows for i, b in enumerate(BANDS)}
    for name, write in (
        ('fz', compress),
        ('fits', lambda path, array: fits.PrimaryHDU(array).writeto(path)),
    ):
        paths = {b: tmp_path / f'{b}.{name}' for b in BANDS}
        for band, path in paths.items():
            write(path, arrays[band])
        lazy, plain = open_images(paths), open_images(arrays)
        assert isinstance(lazy.planes[0].data, LazyImage)
        assert np.array_equal(lazy.sky, plain.sky)
        assert np.allclose(lazy.noise, plain.noise, rtol=1e-12)
        assert np.array_equal(lazy.whole(), plain.whole())
        where = [20.3, 60.2, 128.0], [30.1, 50.5, 88.7], [4.0, np.nan, 7.0]
        assert np.array_equal(
            maker_of(lazy, *where).stack().data,
            maker_of(plain, *where).stack().data,
            equal_nan=True,
        )


@pytest.mark.parametrize('compressed', [True, False])
def test_mask_and_uncertainty_in_the_file(tmp_path, image, compressed):
    mask, error = np.zeros(SHAPE, dtype=np.uint8), np.ones(SHAPE, dtype=np.float32)
    mask[30, 40], error[31, 41], error[80, 120] = 1, 0.0, np.nan
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    options = (
        {'tile_shape': (20, 30), 'compression_type': 'GZIP_1', 'quantize_level': 0}
        if compressed
        else {}
    )
    hdus = [
        kind(array, name=name, **options)
        for array, name in ((image, 'SCI'), (mask, 'MASK'), (error, 'UNCERT'))
    ]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / 'r.fits')
    plane = plane_of(tmp_path / 'r.fits')
    assert isinstance(plane.bad, MissingPixels)
    assert np.argwhere(plane.bad[25:35, 35:45]).tolist() == [[5, 5], [6, 6]]
    assert np.argwhere(np.asarray(plane.bad)).tolist() == [[30, 40], [31, 41], [80, 120]]
    whole = open_images(dict.fromkeys(BANDS, tmp_path / 'r.fits')).whole()
    assert np.argwhere(np.isnan(whole[1])).tolist() == [[30, 40], [31, 41], [80, 120]]


def test_mask_of_a_cube(tmp_path, image):
    mask = np.zeros((3, *SHAPE), dtype=np.uint8)
    mask[1, 4, 5] = 1
    hdus = [fits.PrimaryHDU(np.array([image] * 3)), fits.ImageHDU(mask, name='MASK')]
    fits.HDUList(hdus).writeto(tmp_path / 'all.fits')
    planes = read_planes(tmp_path / 'all.fits', BANDS)
    assert [np.argwhere(np.asarray(planes[band].bad)).tolist() for band in BANDS] == [
        [],
        [[4, 5]],
        [],
    ]


def test_reprojected_from_a_compressed_file(tmp_path, field):
    images = dict(field)
    header = field['g'].wcs.to_header()
    header['BUNIT'], header['CRPIX1'] = 'nmgy', header['CRPIX1'] - 20
    hdu = fits.CompImageHDU(
        np.ascontiguousarray(field['g'].data[:, 20:]),
        header,
        compression_type='GZIP_1',
        quantize_level=0,
    )
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / 'g.fits.fz')
    images['g'] = tmp_path / 'g.fits.fz'
    whole = FieldImages(images, band_sets=[('z', 'r', 'g')], typical=TYPICAL).whole()
    plain = FieldImages(field, band_sets=[('z', 'r', 'g')], typical=TYPICAL).whole()
    assert np.allclose(whole[:, :, 21:], plain[:, :, 21:], rtol=1e-3, atol=1e-3)


def is_open(path):
    """Whether this process has the file open."""
    import psutil

    return str(path) in {file.path for file in psutil.Process().open_files()}


def test_file_is_closed_when_its_pixels_are_decompressed(tmp_path, image):
    pytest.importorskip('psutil')
    path = compress(tmp_path / 'all.fits.fz', np.array([image] * 3), tile=(1, 20, 30))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        planes = read_planes(path, BANDS)
        assert not is_open(path)
        last = planes.pop('z').data
        del planes
        gc.collect()
        assert np.array_equal(last[50:60, :], image[50:60])


def test_file_is_closed_after_a_failure(tmp_path, image):
    pytest.importorskip('psutil')
    path = compress(tmp_path / 'r.fits.fz', image, MAGZERO=22.5)
    with pytest.raises(ValueError, match='not a flux unit'):
        FieldImages(
            dict.fromkeys(BANDS, path), band_sets=[('z', 'r', 'g')], typical=TYPICAL, unit='K'
        )
    gc.collect()
    assert not is_open(path)


def test_damaged_tile_is_an_error_that_names_the_file(tmp_path, image):
    path = compress(tmp_path / 'r.fits.fz', image)
    content = bytearray(path.read_bytes())
    content[-9000:-5000] = bytes(4000)
    path.write_bytes(bytes(content))
    message = r'r\.fits\.fz: the image cannot be read, the file may be damaged'
    with pytest.raises(ValueError, match=message):
        plane_of(path)


def test_compressed_as_a_whole_is_read_as_a_whole(tmp_path, image):
    fits.PrimaryHDU(image).writeto(tmp_path / 'r.fits.gz')
    data = plane_of(tmp_path / 'r.fits.gz').data
    assert type(data) is np.ndarray
    assert np.array_equal(data, image)


def test_small_images_are_read_as_a_whole(tmp_path, image, monkeypatch):
    monkeypatch.setattr(_fits, 'SMALL', 100_000)
    path = compress(tmp_path / 'r.fits.fz', image)
    assert type(plane_of(path).data) is np.ndarray
    path.unlink()


@pytest.mark.parametrize('kind', ['compressed', 'scaled', 'mapped'])
def test_pickled_images_are_arrays(tmp_path, image, kind):
    if kind == 'compressed':
        path = compress(tmp_path / 'r.fits.fz', image)
    else:
        path = tmp_path / 'r.fits'
        fits.PrimaryHDU(image if kind == 'mapped' else image.astype(np.uint16)).writeto(path)
    images = open_images(dict.fromkeys(BANDS, path))
    copy = pickle.loads(pickle.dumps(images))
    assert type(copy.planes[0].data) is np.ndarray
    assert copy.planes[0].data.dtype == images.planes[0].data.dtype.newbyteorder('=')
    path.unlink()
    assert np.array_equal(copy.whole(), images.whole())


def test_decompressed_pixels_are_in_a_file_that_goes_with_them(tmp_path, image, monkeypatch):
    folder = tmp_path / 'temporary'
    folder.mkdir()
    monkeypatch.setattr('tempfile.tempdir', str(folder))
    files = []
    original = _lazy.tempfile.TemporaryFile
    monkeypatch.setattr(
        _lazy.tempfile, 'TemporaryFile', lambda **kw: files.append(original(**kw)) or files[-1]
    )
    data = plane_of(compress(tmp_path / 'r.fits.fz', image)).data
    assert np.array_equal(data[:, :], image)
    assert len(files) == 1
    assert files[0].closed
    assert list(folder.iterdir()) == []


def test_disk_without_room_for_the_pixels(tmp_path, image, monkeypatch):
    """An error that can be caught; to write to a map of a full disk would end the process."""

    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(_lazy.os, 'posix_fallocate', full, raising=False)
    with pytest.raises(ValueError, match=r'r\.fits\.fz.*No space left'):
        plane_of(compress(tmp_path / 'r.fits.fz', image))
