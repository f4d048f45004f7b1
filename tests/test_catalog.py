# Licensed under a 3-clause BSD style license - see LICENSE.rst
import io
import sys
import threading
import time

import astropy.units as u
import numpy as np
import pytest
import threadpoolctl
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.table import MaskedColumn, QTable, Table
from photutils.segmentation import SourceCatalog, detect_sources
from photutils.utils import CutoutImage

from galvae_affiliated import (
    CutoutStack,
    Engine,
    Outputs,
    encode_catalog,
    get_latents,
    get_model,
    open_field,
)
from galvae_affiliated._batches import stack_rows
from galvae_affiliated.flags import describe_flags
from galvae_affiliated.models.encoder import Encoder, Encoding
from galvae_affiliated.pipeline import encode_chunks

PIXEL = 0.262
CLOSE = 2e-3  # a shift by a tenth of a pixel changes latents by more
FAST = {'morphology': False, 'reconstruction': False}


@pytest.fixture(scope='module')
def pixels():
    """x, y of three galaxies of the field."""
    return np.array([50.3, 143.0, 98.6]), np.array([48.7, 61.0, 142.2])


@pytest.fixture(scope='module')
def expected(field, pixels):
    """Their latents, for a radius of 12 pixels."""
    return latents(field, Table({'x': pixels[0], 'y': pixels[1]}))


def latents(images, catalog, *, radius=12 * PIXEL * u.arcsec, **options):
    return np.array(
        encode_catalog(images, catalog, radius=radius, **FAST, **options)['galvae_latent'].filled(
            np.nan
        )
    )


def flags(table):
    return [describe_flags(value) for value in table['galvae_flags']]


def test_the_whole_way(field, galaxies):
    bundle = get_model()
    table = encode_catalog(field, galaxies)
    assert table.colnames[:5] == galaxies.colnames
    assert table['galvae_latent'].shape == (6, bundle.n_latents)
    assert np.isfinite(table['galvae_latent']).all()
    assert np.all(table['galvae_latent_err'] > 0)
    assert np.all(table['galvae_recon_chi2'] > 0)
    assert np.allclose(table['galvae_radius'], galaxies['petro_r90'])
    assert table['galvae_radius'].unit == u.arcsec
    for question, answers in bundle.questions.items():
        total = sum(np.array(table[f'{question}_{answer}_fraction']) for answer in answers)
        assert np.allclose(total, 1.0, atol=1e-4)
    assert len(np.unique(table['galvae_latent'][:, 0])) == 6


def test_rows_keep_their_order_and_columns(field, galaxies):
    galaxies['name'] = ['a', 'b', 'c', 'd', 'e', 'f']
    galaxies['flux'] = MaskedColumn(
        [1, 2, 3, 4, 5, 6], mask=[0, 1, 0, 0, 0, 0], description='a flux', unit='Jy'
    )
    galaxies['vector'] = np.arange(12.0).reshape(6, 2)
    galaxies.meta['origin'] = 'test'
    galaxies['x'][2] = np.nan
    galaxies['petro_r90'][4] = -1.0
    table = encode_catalog(field, galaxies[::-1], **FAST)
    assert list(table['name']) == ['f', 'e', 'd', 'c', 'b', 'a']
    assert flags(table) == [[], ['BAD_RADIUS'], [], ['BAD_POSITION'], [], []]
    assert list(np.asarray(table['galvae_latent'].mask)[:, 0]) == [
        False,
        True,
        False,
        True,
        False,
        False,
    ]
    assert list(table['flux'].mask) == [False, False, False, False, True, False]
    assert (table['flux'].description, table['flux'].unit) == ('a flux', u.Jy)
    assert np.array_equal(table['vector'], galaxies['vector'][::-1])
    assert table.meta['origin'] == 'test'
    alone = encode_catalog(field, galaxies[3:4], **FAST)
    assert np.allclose(alone['galvae_latent'], table['galvae_latent'][2:3], atol=CLOSE)


def test_rows_that_cannot_be_measured_are_masked(field, galaxies):
    galaxies['x'] = [np.nan, -50.0, 50.0, 50.0, 50.0, 50.0]
    galaxies['ra'] = np.nan  # else they would contradict the pixels
    galaxies['petro_r90'] = [3.0, 3.0, -3.0, 0.0, 1e7, 3.0] * u.arcsec
    table = encode_catalog(field, galaxies)
    assert flags(table)[:5] == [['BAD_POSITION'], ['OFF_IMAGE'], *[['BAD_RADIUS']] * 3]
    for name in table.colnames[5:]:
        known = 'flags', 'radius', 'resolution', 'applicability_reasons'
        if name not in [f'galvae_{word}' for word in known]:
            mask = np.asarray(table[name].mask).reshape(6, -1)
            assert mask[:5].all()
            # an answer is masked too where the question does not apply
            assert name.endswith(('_answer', '_set')) or not mask[5].any()


def test_detected_sources(field):
    table = encode_catalog(field, **FAST)
    assert isinstance(table, QTable)
    assert len(table) == 6
    assert {'x_centroid', 'y_centroid', 'ra', 'dec'} < set(table.colnames)
    assert flags(table) == [[]] * 6


@pytest.mark.parametrize(
    'kind',
    [
        'Table',
        'QTable',
        'x_centroid',
        'xcentroid',
        'SExtractor',
        'structured',
        'ra and dec',
        'SkyCoord column',
        'SkyCoord',
        'galactic',
        'pandas',
        'CutoutImage',
        'big-endian',
        'masked',
    ],
)
def test_catalogues_give_the_same_latents(field, pixels, expected, kind):
    x, y = pixels
    sky = field['r'].wcs.pixel_to_world(x, y)
    catalog = {
        'Table': lambda: Table({'x': x, 'y': y}),
        'QTable': lambda: QTable({'x': x * u.pix, 'y': y * u.pix}),
        'x_centroid': lambda: Table({'x_centroid': x, 'y_centroid': y}),
        'xcentroid': lambda: Table({'xcentroid': x, 'ycentroid': y}),
        'SExtractor': lambda: Table({'X_IMAGE': (x + 1) * u.pix, 'Y_IMAGE': (y + 1) * u.pix}),
        'structured': lambda: np.array(list(zip(x, y)), dtype=[('x', float), ('y', float)]),
        'ra and dec': lambda: Table({'ra': sky.ra, 'dec': sky.dec}),
        'SkyCoord column': lambda: QTable({'sky_centroid': sky}),
        'SkyCoord': lambda: sky,
        'galactic': lambda: sky.galactic,
        'pandas': lambda: pytest.importorskip('pandas').DataFrame({'x': x, 'y': y}),
        'CutoutImage': lambda: [
            CutoutImage(field['r'].data, (yy, xx), (9, 9)) for xx, yy in zip(x, y)
        ],
        'big-endian': lambda: Table({'x': x.astype('>f8'), 'y': y.astype('>f8')}),
        'masked': lambda: Table({'x': MaskedColumn(x, mask=False), 'y': y}, masked=True),
    }[kind]()
    assert np.allclose(latents(field, catalog), expected, atol=CLOSE)


def test_source_catalog_of_photutils(field, pixels):
    image = np.asarray(field['r'].data, dtype=float)
    catalog = SourceCatalog(image, detect_sources(image, 0.5, 10), wcs=field['r'].wcs)
    table = encode_catalog(field, catalog, radius=12.0, radius_unit='pix', **FAST)
    assert len(table) == 6
    assert 'kron_flux' in table.colnames
    x, y = np.transpose(catalog.centroid)
    assert np.allclose(table['galvae_latent'], latents(field, Table({'x': x, 'y': y})), atol=CLOSE)


def test_sep_catalog(field):
    sep = pytest.importorskip('sep')
    objects = sep.extract(np.ascontiguousarray(field['r'].data, dtype=float), 0.3)
    table = encode_catalog(field, objects, radius=12.0, **FAST)
    assert len(table) == len(objects)
    assert np.allclose(
        table['galvae_latent'],
        latents(field, Table({'x': objects['x'], 'y': objects['y']})),
        atol=CLOSE,
    )


def test_list_of_cutouts(field):
    cutouts = [
        Cutout2D(field['r'].data, (98, 142), 31),
        None,
        Cutout2D(field['r'].data, (143, 61), 31),
    ]
    table = encode_catalog(field, cutouts, radius=12.0, **FAST)
    assert flags(table) == [[], ['BAD_POSITION'], []]
    expected = latents(field, Table({'x': [98.0, np.nan, 143.0], 'y': [142.0, np.nan, 61.0]}))
    assert np.allclose(table['galvae_latent'].filled(np.nan), expected, atol=CLOSE, equal_nan=True)


@pytest.mark.parametrize(
    'kind', ['files', 'list', 'cube', 'Quantity', 'uJy', 'big-endian', 'double', 'cube in a file']
)
def test_images_give_the_same_latents(field, field_files, pixels, expected, tmp_path, kind):
    arrays = {band: image.data for band, image in field.items()}
    cube = np.array(list(arrays.values()))
    options = {'pixel_scale': PIXEL, 'unit': 'nmgy'}
    if kind == 'files':
        images, options = field_files, {}
    elif kind == 'list':
        images, options = list(field.values()), {'bands': list(field)}
    elif kind == 'cube':
        images, options['bands'] = cube, 'g,r,z'
    elif kind == 'cube in a file':
        images, options['bands'] = tmp_path / 'cube.fits', 'g,r,z'
        fits.writeto(images, cube)
    elif kind in ('Quantity', 'uJy'):
        unit = u.Unit('uJy' if kind == 'uJy' else 'nJy')
        images = {band: (array * 3.631 * u.uJy).to(unit) for band, array in arrays.items()}
        del options['unit']
    else:
        images = {
            band: array.astype({'big-endian': '>f4', 'double': '>f8'}[kind])
            for band, array in arrays.items()
        }
    catalog = Table({'x': pixels[0], 'y': pixels[1]})
    assert np.allclose(latents(images, catalog, **options), expected, atol=CLOSE)


@pytest.mark.parametrize('dtype', ['i2', '>i4', 'u2'])
def test_integer_images(field, pixels, dtype):
    """The same counts as integers and as floats."""
    counts = {
        band: np.round(1000 + 1000 * image.data).astype(dtype) for band, image in field.items()
    }
    catalog = Table({'x': pixels[0], 'y': pixels[1]})
    options = {'zero_point': 30.0, 'pixel_scale': PIXEL}
    floats = {band: image.astype(float) for band, image in counts.items()}
    assert np.allclose(
        latents(counts, catalog, **options), latents(floats, catalog, **options), atol=CLOSE
    )


@pytest.mark.parametrize(
    'empty',
    [
        Table({'x': [], 'y': []}),
        QTable({'ra': [] * u.deg, 'dec': [] * u.deg}),
        [],
        SkyCoord([], [], unit='deg'),
        np.zeros(0, dtype=[('x', float), ('y', float)]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_sources(field, empty):
    table = encode_catalog(field, empty)
    assert len(table) == 0
    assert table['galvae_latent'].shape == (0, get_model().n_latents)
    assert 'galvae_flags' in table.colnames


def test_nothing_is_detected():
    rng = np.random.default_rng(5)
    table = encode_catalog(
        rng.normal(0, 0.02, (3, 60, 60)), bands='grz', unit='nmgy', pixel_scale=PIXEL
    )
    assert len(table) == 0
    assert {'x_centroid', 'galvae_latent', 'galvae_flags'} < set(table.colnames)


def test_qtable_stays_a_qtable(field, galaxies):
    table = QTable(galaxies)
    table['sky'] = SkyCoord(table['ra'], table['dec'])
    result = encode_catalog(field, table, **FAST)
    assert isinstance(result, QTable)
    assert isinstance(result['petro_r90'], u.Quantity)
    assert isinstance(result['sky'], SkyCoord)
    assert type(encode_catalog(field, galaxies, **FAST)) is Table


def test_table_is_not_changed(field, galaxies):
    before = galaxies.copy()
    result = encode_catalog(field, galaxies, **FAST)
    assert galaxies.colnames == before.colnames
    assert all(np.array_equal(galaxies[name], before[name]) for name in before.colnames)
    result['galvae_flags'][0] = 1
    result.meta['new'] = True
    assert 'new' not in galaxies.meta


def test_arrays_are_not_changed(field, galaxies):
    images = {
        band: np.ma.array(image.data + np.float32(1.0), mask=image.data > 5)
        for band, image in field.items()
    }
    before = {band: (image.data.copy(), image.mask.copy()) for band, image in images.items()}
    encode_catalog(images, galaxies, unit='nmgy', pixel_scale=PIXEL, **FAST)
    for band, (data, mask) in before.items():
        assert np.array_equal(images[band].data, data)
        assert np.array_equal(images[band].mask, mask)


def test_read_only_columns(field, pixels, expected):
    x, y = (values.copy() for values in pixels)
    x.setflags(write=False)
    y.setflags(write=False)
    assert np.allclose(latents(field, Table({'x': x, 'y': y}, copy=False)), expected, atol=CLOSE)


def test_columns_that_exist(field, galaxies):
    first = encode_catalog(field, galaxies, **FAST)
    with pytest.raises(ValueError, match="a column 'galvae_latent' already; overwrite=True"):
        encode_catalog(field, first, **FAST)
    again = encode_catalog(field, first, overwrite=True, **FAST)
    assert again.colnames == first.colnames
    assert np.allclose(again['galvae_latent'], first['galvae_latent'], atol=CLOSE)
    galaxies['galvae_flags'] = 0
    with pytest.raises(ValueError, match="'galvae_flags'"):
        encode_catalog(field, galaxies, **FAST)


def test_columns_by_choice(field, galaxies):
    bundle = get_model()
    table = encode_catalog(field, galaxies, scalar_columns=True, **FAST)
    assert not any(
        name.endswith('_fraction') or name == 'galvae_recon_chi2' for name in table.colnames
    )
    assert all(column.ndim == 1 for column in table.columns.values())
    assert np.allclose(
        get_latents(table), get_latents(encode_catalog(field, galaxies, **FAST)), atol=1e-4
    )
    assert f'galvae_latent_{bundle.n_latents - 1:02d}' in table.colnames


def test_batches_and_chunks(field, galaxies, monkeypatch):
    whole = encode_catalog(field, galaxies)
    monkeypatch.setattr('galvae_affiliated._batches.CHUNK', 4)
    calls = []
    parts = encode_catalog(
        field, galaxies, batch_size=2, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(4, 6), (6, 6)]
    assert np.allclose(parts['galvae_latent'], whole['galvae_latent'], atol=CLOSE)
    assert np.array_equal(parts['galvae_flags'], whole['galvae_flags'])


@pytest.mark.parametrize(
    ('batch_size', 'rows'), [(64, 128), (48, 96), (128, 128), (500, 500), (1, 128)]
)
def test_stacks_are_whole_batches(batch_size, rows):
    assert stack_rows(batch_size) == rows


def test_next_cutouts_are_made_while_these_are_encoded(monkeypatch):
    """One stack ahead, in order; the thread ends, whatever happens."""
    made, seen = [], []

    def stacks():
        for i in range(6):
            made.append(i)
            yield make_stack(i)

    class Source:
        stacks = staticmethod(lambda slices: stacks())
        channels = 'z,r,g'

        def __len__(self):
            return 6

    def encode(self, stack, reconstruction):
        end = time.monotonic() + 10
        while len(made) < min(len(seen) + 2, 6) and time.monotonic() < end:
            time.sleep(0.001)
        seen.append((int(stack.radius[0]), len(made)))
        if stack.radius[0] == failing:
            raise ArithmeticError('of the network')
        return encoding_of(stack)

    def run(**options):
        engine = Engine(batch_size=1, **options)
        (encoding,) = encode_chunks(
            Source(), [slice(0, 6)], get_model(), Outputs(reconstruction=False), engine
        )
        return encoding

    monkeypatch.setattr(Encoder, 'encode', encode)
    monkeypatch.setattr('galvae_affiliated._batches.CHUNK', 1)
    failing = -1
    assert list(run().radius) == [0, 1, 2, 3, 4, 5]
    assert seen == [(0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 6)]
    made, seen, failing = [], [], 1
    with pytest.raises(ArithmeticError, match='of the network'):
        run()
    assert len(made) <= 4
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith('galvae-prefetch')
    ]


def test_one_thread_is_one_thread_of_everything(field, galaxies, monkeypatch):
    """No cutouts are made beside, no batches run side by side, and BLAS has one thread."""
    encode, seen = Encoder.encode, []

    def noted(self, stack, **options):
        seen.append(
            (
                threading.active_count(),
                {pool['num_threads'] for pool in threadpoolctl.threadpool_info()},
            )
        )
        return encode(self, stack, **options)

    monkeypatch.setattr(Encoder, 'encode', noted)
    before, pools = threading.active_count(), threadpoolctl.threadpool_info()
    encode_catalog(field, galaxies, n_threads=1, batch_size=2, **FAST)
    assert seen and all(found == (before, {1}) for found in seen)
    assert threadpoolctl.threadpool_info() == pools


def make_stack(number):
    """One cutout whose radius is a number."""
    return CutoutStack(
        np.zeros((1, 3, 4, 4), np.float32),
        np.array(['x']),
        np.zeros(1, np.int32),
        np.array([number]),
    )


def encoding_of(stack):
    n = len(stack)
    vectors = (np.zeros((n, width), np.float32) for width in (40, 40, 5))
    return Encoding(*vectors, None, stack.flags, stack.radius, stack.pixel_scale)


def test_other_model(field, galaxies, other_bundle, tmp_path):
    table = encode_catalog(field, galaxies, other_bundle, **FAST)
    assert table['galvae_latent'].info.meta['galvae_model'] == other_bundle.id
    other_bundle.write(tmp_path / 'model')
    from_file = encode_catalog(field, galaxies, tmp_path / 'model', **FAST)
    assert from_file['galvae_latent'].info.meta['galvae_model'] == other_bundle.id
    with pytest.raises(ValueError, match="no model and no file 'nothing'; the models are"):
        encode_catalog(field, galaxies, 'nothing')


def test_measured_radius_in_pixels_without_pixel_scale(field, galaxies):
    arrays = {band: image.data for band, image in field.items()}
    with pytest.warns(UserWarning, match='scale is estimated'):
        table = encode_catalog(arrays, galaxies[['x', 'y']], **FAST)
    assert table['galvae_radius'].unit == u.pix
    assert np.allclose(table['galvae_radius'] * PIXEL, galaxies['petro_r90'], rtol=0.1)
    assert flags(table) == [['SCALE_ESTIMATED']] * 6


@pytest.mark.parametrize(
    ('change', 'options', 'error', 'message'),
    [
        ('ra and dec', {}, ValueError, 'no WCS'),
        ('', {'unit': 'K'}, ValueError, 'not a flux unit'),
        ('', {'radius': 'size'}, ValueError, "'size'"),
        ('no positions', {}, ValueError, 'no positions'),
        ('strings', {}, TypeError, 'expected numbers'),
        ('', {'bands': ['g', 'r']}, ValueError, 'bands are'),
        ('', {'rendering': 'x'}, ValueError, 'no rendering'),
        ('', {'device': 'tpu'}, ValueError, "device is 'tpu'"),
        ('', {'batch_size': 0}, ValueError, 'batch_size is 0'),
        ('', {'model': 5}, TypeError, 'the model is a int'),
        ('', {'pixel_scale': -1.0}, ValueError, 'pixel_scale is -1'),
    ],
)
def test_wrong_calls(field, galaxies, change, options, error, message):
    arrays = {band: image.data for band, image in field.items()}
    if change == 'ra and dec':
        galaxies = galaxies[['ra', 'dec']]
    elif change == 'no positions':
        galaxies = galaxies[['ra', 'x']]
    elif change == 'strings':
        galaxies['x'] = ['1', '2', '3', '4', '5', '6']
    with pytest.raises(error, match=message):
        encode_catalog(
            arrays, galaxies, **{'unit': 'nmgy', 'pixel_scale': PIXEL, **FAST, **options}
        )


def test_ready_objects_are_taken_in_place_of_options(field, galaxies):
    outputs, engine = Outputs(**FAST, scalar_columns=True), Engine(device='cpu', batch_size=3)
    found = encode_catalog(field, galaxies, outputs=outputs, engine=engine)
    expected = encode_catalog(
        field, galaxies, **FAST, scalar_columns=True, device='cpu', batch_size=3
    )
    assert found.colnames == expected.colnames == [*galaxies.colnames, *outputs.names(get_model())]
    assert np.array_equal(found['galvae_latent_07'], expected['galvae_latent_07'])
    with pytest.raises(ValueError, match='engine was given, and n_threads besides'):
        encode_catalog(field, galaxies, engine=engine, n_threads=2)
    with pytest.raises(ValueError, match='outputs was given, and coverage besides'):
        encode_catalog(field, galaxies, outputs=outputs, coverage=0.8)
    with pytest.raises(TypeError, match="there is no option 'n_thread'; did you mean 'n_threads'"):
        encode_catalog(field, galaxies, n_thread=2)


def test_a_field_is_measured_once(field, galaxies, monkeypatch):
    opened = open_field(field)
    monkeypatch.setattr(
        'galvae_affiliated.images.field.sky_and_noise', None
    )  # or it would be measured again
    found = encode_catalog(opened, galaxies, **FAST)
    monkeypatch.undo()
    expected = encode_catalog(field, galaxies, **FAST)
    assert np.array_equal(found['galvae_latent'], expected['galvae_latent'])
    with pytest.raises(ValueError, match='unit'):
        encode_catalog(opened, galaxies, unit='nmgy', **FAST)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_callable_or_a_bar(field, galaxies, capsys, monkeypatch):
    done = []
    encode_catalog(field, galaxies, progress=lambda *n: done.append(n), **FAST)
    assert done == [(6, 6)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, 'stderr', Terminal())
        encode_catalog(field, galaxies, progress=True, **FAST)
        assert '6 /' in sys.stderr.getvalue().replace('\x1b', '')
    encode_catalog(field, galaxies, progress=False, **FAST)
    assert capsys.readouterr() == ('', '')
    with pytest.raises(TypeError, match="progress is 'yes'; expected True, False, or a callable"):
        encode_catalog(field, galaxies, progress='yes', **FAST)
