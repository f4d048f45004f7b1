# Licensed under a 3-clause BSD style license - see LICENSE.rst
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table, vstack
from PIL import Image

from galvae_affiliated import Engine, GalvaeFlags, __version__, get_latents, get_model, list_models
from galvae_affiliated.models._archive import pack

FAST = ['--no-morphology', '--no-reconstruction']
# what takes long to load, and a catalogue with radii does not need
UNNEEDED = (
    *(
        'astropy.convolution',
        'astropy.modeling',
        'astropy.nddata',
        'astropy.visualization',
        'dask',
        'h5py',
        'lightning',
        'matplotlib',
    ),
    *('onnx', 'pandas', 'photutils', 'PIL', 'pyarrow', 'reproject', 'sklearn', 'torch'),
    *(
        f'scipy.{name}'
        for name in (
            'interpolate',
            'linalg',
            'ndimage',
            'optimize',
            'signal',
            'sparse',
            'spatial',
            'special',
            'stats',
        )
    ),
)


@pytest.fixture
def encode(galvae, field_files, tmp_path):
    """Encode the field's files; bands of None leaves the option out."""

    def function(*words, images=None, output='out.fits', bands='g,r,z', fast=True):
        options = [] if bands is None else ['--bands', bands]
        return galvae(
            'encode',
            *(images or field_files.values()),
            *options,
            '-o',
            tmp_path / output,
            *(FAST if fast else []),
            *words,
        )

    return function


@pytest.fixture
def catalog(galaxies, tmp_path):
    path = tmp_path / 'sources.fits'
    galaxies.write(path)
    return path


@pytest.fixture
def in_pixels(galaxies, tmp_path):
    path = tmp_path / 'pixels.ecsv'
    galaxies[['x', 'y', 'petro_r90']].write(path)
    return path


def assert_clean(folder, *names):
    """Only these files are in the folder: no output, nothing unfinished."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_field_without_catalogue(encode, tmp_path):
    run = encode()
    assert run.code == 0
    table = Table.read(tmp_path / 'out.fits')
    assert len(table) == 6
    assert {'x_centroid', 'ra', 'galvae_latent', 'galvae_flags'} < set(table.colnames)
    assert np.all(table['galvae_flags'] == 0)
    assert_clean(tmp_path, 'out.fits')


def test_field_with_catalogue(encode, catalog, galaxies, tmp_path):
    run = encode('--catalog', catalog, fast=False)
    assert run.code == 0
    table = Table.read(tmp_path / 'out.fits')
    assert table.colnames[:5] == galaxies.colnames
    assert np.allclose(table['galvae_radius'], galaxies['petro_r90'])
    assert any(name.endswith('_fraction') for name in table.colnames)
    assert np.isfinite(table['galvae_recon_chi2']).all()


def test_a_catalogue_with_radii_starts_without_what_it_does_not_need(
    field_files, in_pixels, tmp_path
):
    words = [
        'encode',
        *field_files.values(),
        '--bands',
        'g,r,z',
        '--catalog',
        in_pixels,
        '-o',
        tmp_path / 'out.fits',
    ]
    code = (
        'import sys\n'
        'from galvae_affiliated.scripts.main import main\n'
        f'code = main({[str(word) for word in words]})\n'
        f'print(code, *[name for name in {UNNEEDED} if name in sys.modules])'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ['0']
    assert len(Table.read(tmp_path / 'out.fits')) == 6


def test_one_file_of_three_planes(encode, field, catalog, tmp_path):
    path = tmp_path / 'cube.fits'
    fits.writeto(
        path, np.array([image.data for image in field.values()]), field['r'].wcs.to_header()
    )
    run = encode('--catalog', catalog, '--unit', 'nmgy', images=[path])
    assert run.code == 0
    assert np.all(Table.read(tmp_path / 'out.fits')['galvae_flags'] == 0)


@pytest.mark.parametrize('suffix', ['.fits', '.ecsv', '.csv', '.vot', '.parquet', '.h5', '.txt'])
def test_formats_of_the_catalogue(encode, galaxies, tmp_path, suffix):
    path = tmp_path / f'sources{suffix}'
    options = {
        '.h5': {'path': 'galvae', 'serialize_meta': True},
        '.txt': {'format': 'ascii'},
        '.vot': {'format': 'votable'},
        '.csv': {'format': 'ascii.csv'},
    }
    galaxies['name'] = list('abcdef')
    galaxies.write(path, **options.get(suffix, {}))
    run = encode('--catalog', path, '--radius', 'petro_r90', '--radius-unit', 'arcsec')
    assert run.code == 0, run.err
    table = Table.read(tmp_path / 'out.fits')
    assert list(table['name'].astype(str)) == list('abcdef')
    # CSV and plain text keep no unit; these radii are in pixels then, unless the option says so
    assert np.allclose(table['galvae_radius'], galaxies['petro_r90'])


def test_sextractor_catalogues(encode, galaxies, tmp_path):
    """ASCII_HEAD, and FITS_LDAC, whose table is the second one."""
    text = tmp_path / 'test.cat'
    lines = [
        '#   1 NUMBER          Running object number',
        '#   2 X_IMAGE         Object position along x   [pixel]',
        '#   3 Y_IMAGE         Object position along y   [pixel]',
    ]
    lines += [
        f'{i:10d} {row["x"] + 1:10.4f} {row["y"] + 1:10.4f}'
        for i, row in enumerate(galaxies, start=1)
    ]
    text.write_text('\n'.join(lines) + '\n')
    head = fits.BinTableHDU.from_columns(
        [fits.Column('Field Header Card', '1680A', array=[b'SIMPLE'])], name='LDAC_IMHEAD'
    )
    objects = fits.BinTableHDU.from_columns(
        [
            fits.Column('X_IMAGE', 'D', 'pixel', array=galaxies['x'] + 1),
            fits.Column('Y_IMAGE', 'D', 'pixel', array=galaxies['y'] + 1),
        ],
        name='LDAC_OBJECTS',
    )
    fits.HDUList([fits.PrimaryHDU(), head, objects]).writeto(tmp_path / 'test.fits')
    found = []
    for name in ('test.cat', 'test.fits'):
        run = encode('--catalog', tmp_path / name, '--overwrite')
        assert run.code == 0, run.err
        found.append(Table.read(tmp_path / 'out.fits'))
        assert len(found[-1]) == 6
        assert np.allclose(found[-1]['galvae_radius'], galaxies['petro_r90'], rtol=0.1)
    assert np.allclose(found[0]['galvae_latent'], found[1]['galvae_latent'], atol=2e-3)


@pytest.mark.parametrize(
    ('output', 'options'),
    [
        ('out.fits', {}),
        ('out.ecsv', {}),
        ('out.parquet', {}),
        ('out.vot', {}),
        ('out.h5', {'path': 'galvae'}),
    ],
)
def test_formats_of_the_output(encode, galaxies, tmp_path, output, options):
    galaxies['name'] = list('abcdef')
    galaxies['x'] = MaskedColumn(galaxies['x'], mask=[0, 0, 1, 0, 0, 0])
    galaxies.write(tmp_path / 'sources.ecsv')
    run = encode('--catalog', tmp_path / 'sources.ecsv', output=output)
    assert run.code == 0, run.err
    assert encode('--catalog', tmp_path / 'sources.ecsv', output='reference.fits').code == 0
    reference = Table.read(tmp_path / 'reference.fits')
    table = Table.read(tmp_path / output, **options)
    assert table.colnames == reference.colnames
    assert list(table['name'].astype(str)) == list('abcdef')
    latent = get_latents(table)  # refuses latents that state no model
    assert np.allclose(latent, get_latents(reference), atol=2e-3, equal_nan=True)
    assert list(np.isnan(latent).any(axis=1)) == [False, False, True, False, False, False]
    assert np.array_equal(table['galvae_flags'], [0, 0, 1, 0, 0, 0])
    assert get_model().id in table['galvae_latent'].info.description


def test_csv_takes_scalar_columns(encode, catalog, tmp_path):
    encode('--catalog', catalog, output='out.csv').fails(2, '--scalar-columns')
    assert_clean(tmp_path, 'sources.fits')
    assert encode('--catalog', catalog, '--scalar-columns', output='out.csv').code == 0
    table = Table.read(tmp_path / 'out.csv')
    assert len(table) == 6
    assert {'galvae_latent_00', 'galvae_latent_err_00'} < set(table.colnames)


def test_options_reach_the_encoder(encode, field, in_pixels, other_bundle, tmp_path):
    other_bundle.write(tmp_path / 'other.galvae')
    names = []
    for band, image in field.items():
        names.append(tmp_path / f'counts_{band}.fits')
        fits.writeto(names[-1], image.data * np.float32(100))
    run = encode(
        '--catalog',
        in_pixels,
        '--zero-point',
        'g=27.5, r=27.5, z=27.5',
        '--pixel-scale',
        '0.262',
        '--model',
        tmp_path / 'other.galvae',
        '--device',
        'cpu',
        '--batch-size',
        '2',
        '--scalar-columns',
        images=names,
    )
    assert run.code == 0, run.err
    table = Table.read(tmp_path / 'out.fits')
    assert np.all(table['galvae_flags'] == 0)
    assert other_bundle.id in table['galvae_latent_00'].description
    assert not any(name.endswith('_fraction') for name in table.colnames)
    assert encode('--catalog', in_pixels, '--scalar-columns', output='nmgy.fits').code == 0
    expected = get_latents(Table.read(tmp_path / 'nmgy.fits'))
    assert np.allclose(get_latents(table, other_bundle), expected, atol=2e-3)


def test_unknown_unit_warns_in_one_line(encode, field, tmp_path, in_pixels):
    names = []
    for band, image in field.items():
        names.append(tmp_path / f'{band}.fits')
        fits.writeto(names[-1], image.data)
    run = encode('--catalog', in_pixels, '--pixel-scale', '0.262', images=names)
    assert run.code == 0
    assert run.err.count('galvae: warning: no flux unit is known') == 1
    assert run.err.count('warning') == 1
    assert np.all(Table.read(tmp_path / 'out.fits')['galvae_flags'] == 2048)


def test_existing_output(encode, catalog, tmp_path):
    (tmp_path / 'out.fits').write_text('precious')
    encode('--catalog', catalog).fails(2, 'exists; --overwrite replaces it')
    assert (tmp_path / 'out.fits').read_text() == 'precious'
    assert encode('--catalog', catalog, '--overwrite').code == 0
    assert len(Table.read(tmp_path / 'out.fits')) == 6


def test_existing_columns(encode, catalog, tmp_path):
    assert encode('--catalog', catalog).code == 0
    encode('--catalog', tmp_path / 'out.fits', output='again.fits').fails(2, 'galvae_latent')
    assert encode('--catalog', tmp_path / 'out.fits', '--overwrite', output='again.fits').code == 0


@pytest.mark.parametrize('output', ['out', 'out.txt', 'out.fits.zip', 'out.galvae'])
def test_unknown_ending(encode, tmp_path, output):
    encode(output=output).fails(2, '.parquet')
    assert_clean(tmp_path)


def test_output_in_no_folder(encode, tmp_path):
    encode(output='nowhere/out.fits').fails(2, 'there is no folder')


def copy_with(files, tmp_path, band, change):
    """The field's files, one of them replaced."""
    path = tmp_path / f'bad_{band}.fits'
    change(path, files[band])
    return [path if name == band else files[name] for name in files]


def cut(path, source):
    path.write_bytes(source.read_bytes()[:20000])


def no_fits(path, source):
    path.write_text('x y\n1 2\n')


def empty(path, source):
    path.write_bytes(b'')


def other_shape(path, source):
    fits.writeto(path, fits.getdata(source)[:150])


def table_only(path, source):
    Table({'x': [1.0]}).write(path)


def one_row(path, source):
    fits.writeto(path, np.zeros(10))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (cut, 'bad_r.fits: '),
        (no_fits, 'bad_r.fits: this is not a FITS file'),
        (empty, 'bad_r.fits: this is not a FITS file'),
        (other_shape, 'cannot be aligned'),
        (table_only, 'bad_r.fits: there is no image'),
        (one_row, 'bad_r.fits: '),
    ],
)
@pytest.mark.filterwarnings('ignore')
def test_bad_image(encode, field_files, catalog, tmp_path, change, message):
    images = copy_with(field_files, tmp_path, 'r', change)
    encode('--catalog', catalog, images=images).fails(2, message)
    assert_clean(tmp_path, 'bad_r.fits', 'sources.fits')


def test_missing_files(encode, field_files, tmp_path, catalog):
    g, r, z = field_files.values()
    encode(images=[g, tmp_path / 'nothing.fits', z]).fails(2, 'nothing.fits: there is no such file')
    encode(images=[tmp_path / 'nothing.parquet'], bands=None).fails(
        2, 'nothing.parquet: there is no such file'
    )
    encode('--catalog', tmp_path / 'nothing.fits').fails(2, 'nothing.fits: there is no such file')
    encode('--model', tmp_path / 'nothing.galvae').fails(2, 'nothing.galvae')
    encode('--model', 'nothing').fails(2, list_models()[0])


def test_missing_band(encode, field_files):
    g, r, z = field_files.values()
    encode(images=[g, r]).fails(2, '2 images')
    encode(images=[g, r], bands='g,x').fails(2, "the band 'x' is not known")
    encode(images=[g, r, z], bands='g,r,HSC-R').fails(2, 'r and HSC-R are the same band')
    encode(images=[g, r, z], bands=None).fails(2, 'band')
    encode(images=[g], bands='g,r,z').fails(2, 'expected planes or extensions of g, r, z')


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--unit', 'K'], 'not a flux unit'),
        (['--unit', 'furlong/'], 'not a unit'),
        (['--zero-point', 'bright'], '--zero-point'),
        (['--zero-point', 'g=25'], '--zero-point'),
        (['--zero-point', 'g=25,r'], '--zero-point'),
        (['--pixel-scale', '-1'], '--pixel-scale'),
        (['--rendering', 'none'], 'no rendering'),
        (['--already-scaled'], '--already-scaled'),
        (['--batch-size', '0'], '--batch-size'),
        (['--radius-unit', 'Jy', '--radius', 'x'], 'radii'),
    ],
)
def test_wrong_options(encode, catalog, tmp_path, words, message):
    encode('--catalog', catalog, *words).fails(2, message)
    assert_clean(tmp_path, 'sources.fits')


@pytest.mark.parametrize(
    'words',
    [
        ['encode', 'x.fits'],
        ['draw'],
        ['encode', 'x.fits', '-o', 'y.fits', '--device', 'tpu'],
        ['encode', 'x.fits', '-o', 'y.fits', '--pixel-scale', 'small'],
    ],
)
def test_wrong_words(galvae, words):
    run = galvae(*words)
    assert run.code == 2
    assert run.out == ''
    assert run.err.startswith('galvae: error: ')
    assert run.err.count('\n') == 1
    assert '--help' in run.err
    assert 'Traceback' not in run.err


def test_sky_catalogue_without_wcs(encode, field, catalog, galaxies, tmp_path):
    names = [tmp_path / f'{band}.fits' for band in field]
    for name, image in zip(names, field.values()):
        fits.writeto(name, image.data, fits.Header({'BUNIT': 'nmgy'}))
    galaxies[['ra', 'dec']].write(tmp_path / 'sky.fits')
    encode('--catalog', tmp_path / 'sky.fits', '--pixel-scale', '0.262', images=names).fails(
        2, 'the images have no WCS'
    )


def no_numbers(table):
    table['petro_r90'] = ['large', 'small', 'large', 'small', 'large', 'small']


def no_number_in_x(table):
    table['x'] = ['a', 'b', 'c', 'd', 'e', 'f']


def vectors(table):
    table['x'] = np.ones((6, 2))


def no_positions(table):
    table.keep_columns(['petro_r90', 'ra'])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (no_numbers, "'petro_r90'"),
        (no_number_in_x, "'x'"),
        (vectors, "'x'"),
        (no_positions, 'no positions'),
    ],
)
def test_bad_columns(encode, galaxies, tmp_path, change, message):
    change(galaxies)
    galaxies.write(tmp_path / 'bad.fits')
    encode('--catalog', tmp_path / 'bad.fits', '--radius', 'petro_r90').fails(2, message)
    assert_clean(tmp_path, 'bad.fits')


def test_radius_column_that_is_not_there(encode, catalog):
    encode('--catalog', catalog, '--radius', 'size').fails(2, "no column 'size'")


@pytest.mark.parametrize(
    'content', [b'', b'\x00\x01\x02\xff' * 100, b'no table\nat all, here\n1 2 3\n', b'SIMPLE  = ']
)
@pytest.mark.parametrize('suffix', ['.fits', '.csv', '.ecsv', '.vot', '.parquet', '.h5', '.cat'])
def test_bad_catalogue(encode, tmp_path, suffix, content):
    (tmp_path / f'bad{suffix}').write_bytes(content)
    encode('--catalog', tmp_path / f'bad{suffix}').fails(2)
    assert_clean(tmp_path, f'bad{suffix}')


@pytest.mark.parametrize('kind', ['.csv', '.fits'])
def test_duplicate_columns(encode, tmp_path, kind):
    """The first of two columns of one name is used; or the file is refused in one line."""
    path = tmp_path / f'twice{kind}'
    if kind == '.csv':
        path.write_text('x,y,x\n50,49,7\n143,61,7\n')
    else:
        Table({'x': [50.0, 143.0], 'y': [49.0, 61.0], 'xx': [7.0, 7.0]}).write(path)
        path.write_bytes(path.read_bytes().replace(b"'xx      '", b"'x       '"))
    run = encode('--catalog', path)
    if run.code:
        run.fails(2, path.name)
    else:
        table = Table.read(tmp_path / 'out.fits')
        assert list(table['x']) == [50.0, 143.0]
        assert np.all(table['galvae_flags'] == 0)


def test_rows_that_cannot_be_measured(encode, galaxies, tmp_path):
    galaxies['x'][:2] = [np.nan, 1e9]
    galaxies['petro_r90'][2:5] = [-1.0, 0.0, 1e6]
    galaxies.write(tmp_path / 'sources.fits')
    assert encode('--catalog', tmp_path / 'sources.fits').code == 0
    assert list(Table.read(tmp_path / 'out.fits')['galvae_flags']) == [1, 2, 16, 16, 16, 0]


def test_catalogue_of_no_sources(encode, galaxies, tmp_path):
    galaxies[:0].write(tmp_path / 'sources.fits')
    run = encode('--catalog', tmp_path / 'sources.fits', fast=False)
    assert run.code == 0, run.err
    table = Table.read(tmp_path / 'out.fits')
    assert len(table) == 0
    assert {'x', 'galvae_latent', 'galvae_flags'} < set(table.colnames)


@pytest.fixture(scope='module')
def bad_bundles(tmp_path_factory):
    """Files that are no bundles that this version can use."""
    folder = tmp_path_factory.mktemp('bundles')
    bundle = get_model()
    bundle.write(folder / 'good')
    content = (folder / 'good').read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    (folder / 'flipped').write_bytes(flipped)
    (folder / 'cut').write_bytes(content[:-1000])
    (folder / 'text').write_text('not a model')
    (folder / 'empty').write_bytes(b'')
    return folder


@pytest.mark.parametrize('name', ['flipped', 'cut', 'text', 'empty'])
def test_bad_bundle(encode, galvae, bad_bundles, tmp_path, name):
    encode('--model', bad_bundles / name).fails(2, f'{name}: ')
    galvae('info', bad_bundles / name).fails(2, f'{name}: ')
    assert_clean(tmp_path)


def test_bundle_of_a_later_schema(encode, galvae, tmp_path):
    bundle = get_model()
    content = pack({**bundle.manifest.raw, 'schema_version': 99}, bundle.parts)
    (tmp_path / 'later').write_bytes(content)
    encode('--model', tmp_path / 'later').fails(2, 'schema version 99')
    galvae('info', tmp_path / 'later').fails(2, 'schema version 99')


def test_cuda_that_does_not_start(encode, catalog, tmp_path):
    if Engine().runner(get_model(), 'heads').device == 'cuda':
        pytest.skip('CUDA starts here')
    encode('--catalog', catalog, '--device', 'cuda').fails(1, "device 'cuda' was asked for")
    assert_clean(tmp_path, 'sources.fits')


def jpeg():
    y, x = np.mgrid[:128, :128]
    pixels = (20 + 200 * np.exp(-np.hypot(x - 63.5, y - 63.5) / 6)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., None].repeat(3, axis=-1)).save(buffer, 'JPEG')
    return buffer.getvalue()


@pytest.fixture
def cutout_set(tmp_path):
    path = tmp_path / 'set.parquet'
    images = [{'bytes': jpeg(), 'path': None}, {'bytes': b'broken', 'path': None}]
    pq.write_table(pa.table({'id_str': ['a', 'b'], 'image': images}), path)
    return path


@pytest.mark.parametrize('output', ['out.parquet', 'out.fits'])
def test_set_of_cutouts(galvae, cutout_set, tmp_path, output):
    run = galvae('encode', cutout_set, '-o', tmp_path / output)
    assert run.code == 0, run.err
    table = Table.read(tmp_path / output)
    assert list(table['id_str'].astype(str)) == ['a', 'b']
    assert list(table['galvae_flags'] & 32) == [0, 32]
    assert any(name.endswith('_fraction') for name in table.colnames)


def test_options_of_sets(galvae, cutout_set, catalog, tmp_path):
    output = ['-o', tmp_path / 'out.parquet', *FAST]
    for option, value in (('--catalog', catalog), ('--radius', 'r'), ('--picture', 'x.png')):
        galvae('encode', cutout_set, *output, option, value).fails(2, option)
    galvae('encode', cutout_set, *output, '--pixel-scale', '-1').fails(2, '--pixel-scale')
    assert galvae('encode', cutout_set, *output, '--pixel-scale', '0.4').code == 0
    assert Table.read(tmp_path / 'out.parquet')['galvae_radius'].unit == 'arcsec'
    assert (
        galvae(
            'encode', cutout_set, *output, '--pixel-scale', '0.4', '--already-scaled', '--overwrite'
        ).code
        == 0
    )
    assert Table.read(tmp_path / 'out.parquet')['galvae_radius'][0] == pytest.approx(25.0)


def test_folder_of_cutouts(galvae, field, tmp_path):
    folder = tmp_path / 'cutouts'
    folder.mkdir()
    cube = np.array([image.data[11:88, 12:89] for image in field.values()])
    fits.writeto(folder / 'a.fits', cube, fits.Header({'BUNIT': 'nmgy'}))
    (folder / 'b.fits').write_text('broken')
    run = galvae(
        'encode',
        folder,
        '--bands',
        'g,r,z',
        '--pixel-scale',
        '0.262',
        '-o',
        tmp_path / 'out.ecsv',
        *FAST,
    )
    assert run.code == 0
    assert 'Traceback' not in run.err
    table = Table.read(tmp_path / 'out.ecsv')
    assert list(table['id_str']) == ['a', 'b']
    assert list(table['galvae_flags']) == [0, 32]


def test_set_that_is_none(galvae, tmp_path):
    (tmp_path / 'set.parquet').write_text('text')
    run = galvae('encode', tmp_path / 'set.parquet', '-o', tmp_path / 'out.fits')
    run.fails(2, 'set.parquet: this is not a Parquet file')
    (tmp_path / 'folder').mkdir()
    galvae('encode', tmp_path / 'folder', '-o', tmp_path / 'out.fits').fails(2, 'no FITS file')


def test_models_and_info(galvae, other_bundle, tmp_path):
    run = galvae('models')
    assert (run.code, run.err) == (0, '')
    lines = [line for line in run.out.splitlines() if not line.startswith(' ')]
    assert [line.split()[0].rstrip(':') for line in lines] == list_models()
    assert '(default): Variational' in lines[0]
    assert run.out.count('images: g,r,i or g,r,z best, one to five of any bands') == len(lines)
    bundle = get_model()
    run = galvae('info')
    assert (run.code, run.err) == (0, '')
    assert bundle.id in run.out
    assert bundle.sha256 in run.out
    assert all(question in run.out for question in bundle.questions)
    run = galvae('info', '--json')
    assert json.loads(run.out) == bundle.manifest.raw
    other_bundle.write(tmp_path / 'other')
    assert other_bundle.id in galvae('info', tmp_path / 'other').out
    galvae('info', 'nothing').fails(2, 'nothing')


def test_version(galvae):
    run = galvae('--version')
    assert run.code == 0
    assert __version__ in run.out


def test_doctor(galvae):
    run = galvae('doctor')
    assert run.code == 0
    for word in (
        __version__,
        'onnxruntime',
        'threads',
        f'self-test of {get_model().id}',
        np.__version__,
    ):
        assert word in run.out


def test_doctor_finds_a_model_that_gives_other_numbers(galvae, monkeypatch):
    manifest = {**get_model().manifest.raw, 'self_test_tolerance': {'cpu': -1.0, 'cuda': -1.0}}
    ill = get_model().replaced(manifest)
    monkeypatch.setattr('galvae_affiliated.models.doctor.get_model', lambda model=None: ill)
    run = galvae('doctor')
    assert run.code == 1
    assert 'fails its self-test' in run.out
    assert run.err.startswith('galvae: error: ')


def test_demo(galvae, tmp_path):
    pytest.importorskip('matplotlib')
    run = galvae('demo', '--folder', tmp_path / 'demo')
    assert run.code == 0, run.err
    table = QTable.read(tmp_path / 'demo' / 'demo.fits')
    assert len(table) >= 20
    poor_fit = 1024  # says something of the model, not of the field
    flags = np.array(table['galvae_flags']) & ~poor_fit
    # what a source is, and no fault of it
    kinds = GalvaeFlags.POINT_SOURCE | GalvaeFlags.BLENDED | GalvaeFlags.UNRESOLVED
    assert np.mean((flags & ~kinds) == 0) > 0.5
    largest = np.argsort(table['galvae_radius'].value)[::-1][:15]
    assert np.mean(flags[largest] == 0) >= 0.8
    with Image.open(tmp_path / 'demo' / 'demo.png') as picture:
        assert min(picture.size) > 300
    assert_clean(tmp_path / 'demo', 'demo.fits', 'demo.png')


def test_demo_without_matplotlib(galvae, tmp_path, monkeypatch):
    monkeypatch.setattr('galvae_affiliated.scripts.encode.find_spec', lambda name: None)
    run = galvae('demo', '--folder', tmp_path / 'demo')
    assert run.code == 0, run.err
    assert 'needs matplotlib' in run.out
    assert_clean(tmp_path / 'demo', 'demo.fits')


def test_picture(encode, catalog, tmp_path):
    pytest.importorskip('matplotlib')
    run = encode('--catalog', catalog, '--picture', tmp_path / 'out.png', fast=False)
    assert run.code == 0, run.err
    with Image.open(tmp_path / 'out.png') as picture:
        assert np.asarray(picture.convert('L')).max() > 50
    assert f'out.png: {len(Table.read(tmp_path / "out.fits"))} of' in run.err
    encode('--picture', tmp_path / 'other.png', output='other.fits').fails(2, '--no-morphology')
    words = '--picture', tmp_path / 'other.txt'
    encode(*words, output='other.fits', fast=False).fails(2, 'none of a picture')
    assert not (tmp_path / 'other.fits').exists()


def test_picture_of_a_set(galvae, cutout_set, tmp_path):
    pytest.importorskip('matplotlib')
    words = ['--no-reconstruction', '--picture', tmp_path / 'out.png']
    run = galvae('encode', cutout_set, '-o', tmp_path / 'out.fits', *words)
    assert run.code == 0, run.err
    assert 'out.png: 1 of 2 rows drawn' in run.err
    with Image.open(tmp_path / 'out.png') as picture:
        assert np.asarray(picture.convert('L')).max() > 50


@pytest.mark.parametrize('words', [[], ['--chunk-size', 1]])
def test_identifiers_that_fits_cannot_hold_are_told_before_the_work(
    galvae, cutout_set, tmp_path, words
):
    table = pq.read_table(cutout_set)
    pq.write_table(table.set_column(0, 'id_str', pa.array(['a', 'galaxi\u00e9'])), cutout_set)
    run = galvae('encode', cutout_set, '-o', tmp_path / 'out.fits', *words)
    run.fails(2, "'id_str' holds 'galaxi\u00e9'")
    assert not list(tmp_path.glob('*out.fits*'))
    assert galvae('encode', cutout_set, '-o', tmp_path / 'out.parquet', *words, *FAST).code == 0


@pytest.mark.parametrize('words', [[], ['--chunk-size', 4]])
@pytest.mark.parametrize('output', ['out.fits', 'out.parquet'])
def test_a_run_ends_with_what_it_came_to(encode, galaxies, tmp_path, words, output):
    galaxies = galaxies.copy()
    galaxies['x'] = np.array(galaxies['x'], dtype=float)
    galaxies['x'][[1, 3]] = np.nan, 1e6
    galaxies.write(tmp_path / 'sources.fits')
    run = encode('--catalog', tmp_path / 'sources.fits', *words, output=output)
    assert run.code == 0, run.err
    n = len(galaxies)
    line = run.err.splitlines()[-1]
    assert line.startswith(f'galvae: {tmp_path / output}: {n} rows, {n - 2} measured; flagged: ')
    assert 'BAD_POSITION 1, OFF_IMAGE 1' in line and line.endswith(' s')


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize('n_rows', [0, 6])
def test_progress_bar_on_a_terminal(encode, galaxies, tmp_path, monkeypatch, n_rows):
    galaxies[:n_rows].write(tmp_path / 'sources.fits')
    terminal = Terminal()
    monkeypatch.setattr(sys, 'stderr', terminal)
    assert encode('--catalog', tmp_path / 'sources.fits').code == 0
    assert f'{n_rows:d} /' in terminal.getvalue().replace('\x1b', '')
    assert '%' in terminal.getvalue()


def shell(*words):
    command = [sys.executable, '-m', 'galvae_affiliated.scripts.main', *map(str, words)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, 'PYTHONWARNINGS': 'default'},
    )


def test_in_a_pipe(field_files, catalog, tmp_path):
    """No progress bar, no messages of libraries, nothing on the standard output."""
    done = shell(
        'encode',
        *field_files.values(),
        '--bands',
        'g,r,z',
        '--catalog',
        catalog,
        '-o',
        tmp_path / 'out.fits',
        *FAST,
    )
    assert done.returncode == 0
    assert done.stdout == ''
    assert '\r' not in done.stderr
    assert '%' not in done.stderr
    assert all(line.startswith('galvae: ') for line in done.stderr.splitlines())


def test_failure_in_the_shell(tmp_path):
    (tmp_path / 'r.fits').write_text('text')
    failed = shell('encode', tmp_path / 'r.fits', '--bands', 'g,r,z', '-o', tmp_path / 'out.fits')
    assert failed.returncode == 2
    assert failed.stdout == ''
    assert len(failed.stderr.splitlines()) == 1
    assert 'r.fits: this is not a FITS file' in failed.stderr


@pytest.mark.parametrize(
    ('error', 'code', 'message'),
    [
        (AttributeError('x has no y'), 1, 'unexpected AttributeError: x has no y; GALVAE_DEBUG=1'),
        (AssertionError(), 1, 'unexpected AssertionError; GALVAE_DEBUG=1'),
        (RecursionError('too deep'), 1, 'too deep'),
        (MemoryError(), 1, 'out of memory'),
        (OSError(), 1, 'OSError'),
        (KeyError('what is wrong'), 2, 'what is wrong'),
        (ValueError('line\none \x1b[2J'), 2, 'line one \ufffd[2J'),
        (KeyboardInterrupt(), 130, 'interrupted'),
        (StopIteration(), 1, 'unexpected StopIteration'),
    ],
)
def test_whatever_ends_a_run_is_one_line(galvae, monkeypatch, error, code, message):
    def fail():
        raise error

    monkeypatch.setattr('galvae_affiliated.models.registry.list_models', fail)
    galvae('models').fails(code, message)


def test_the_traceback_is_shown_to_who_asks(galvae, monkeypatch):
    def fail():
        raise AttributeError('x')

    monkeypatch.setattr('galvae_affiliated.models.registry.list_models', fail)
    monkeypatch.setenv('GALVAE_DEBUG', '1')
    run = galvae('models')
    assert run.code == 1
    assert 'Traceback' in run.err and run.err.splitlines()[-1].startswith('galvae: error: ')


@pytest.fixture
def heeded_interrupts():
    """A process that a shell put into the background ignores them, and so do its children."""
    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, wanted)
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


@pytest.mark.parametrize(
    ('sent', 'message'), [(signal.SIGINT, 'interrupted'), (signal.SIGTERM, 'terminated')]
)
def test_signals_end_a_run_in_one_line(
    field_files, galaxies, tmp_path, sent, message, heeded_interrupts
):
    catalog = tmp_path / 'sources.fits'
    vstack([galaxies] * 100).write(catalog)  # which no processor has done before the signal
    words = ['encode', *field_files.values(), '--bands', 'g,r,z', '--catalog', catalog]
    words += ['-o', tmp_path / 'out.fits', '--chunk-size', 1, '--n-samples', 3000]
    for delay in (0.15, 0.4, 1.2):
        run = subprocess.Popen(
            [sys.executable, '-m', 'galvae_affiliated.scripts.main', *map(str, words)],
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(delay)
        run.send_signal(sent)
        _, err = run.communicate(timeout=60)
        if run.returncode == -sent or 'Failed to import the site module' in err:
            continue  # before Python came to the first line of ours
        assert run.returncode == 128 + sent
        assert err == f'galvae: error: {message}; the same command goes on where it was\n'
    assert_clean(tmp_path, 'sources.fits', *(['.out.fits.parts'] * (tmp_path / '.out.fits.parts')
                                             .exists()))


@pytest.mark.skipif(not hasattr(signal, 'setitimer'), reason='needs timers of Unix')
def test_a_signal_that_a_library_swallows_comes_again(galvae, monkeypatch):
    def swallow():
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5.0)
        time.sleep(20.0)

    monkeypatch.setattr('galvae_affiliated.models.registry.list_models', swallow)
    monkeypatch.setattr('galvae_affiliated.scripts.main.AGAIN', 0.2)
    start = time.monotonic()
    run = galvae('models')
    assert run.code == 143
    assert run.err == 'galvae: error: terminated\n'
    assert time.monotonic() - start < 10.0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize('closed', ['2>&-', '1>&-', '0<&-', '0<&- 1>&- 2>&-'])
def test_closed_streams(field_files, catalog, tmp_path, closed):
    words = ['encode', *field_files.values(), '--bands', 'g,r,z', '--catalog', catalog]
    command = [sys.executable, '-m', 'galvae_affiliated.scripts.main', *words, *FAST]
    text = ' '.join(f"'{word}'" for word in command)
    done = subprocess.run(f"{text} -o '{tmp_path}/out.fits' {closed}", shell=True, check=False)
    assert done.returncode == 0
    assert len(Table.read(tmp_path / 'out.fits')) == 6


def test_an_output_that_is_an_input_is_refused(encode, field_files, tmp_path):
    before = field_files['r'].read_bytes()
    encode('--overwrite', output=field_files['r']).fails(2, 'is the input')
    encode('--picture', field_files['r'], fast=False).fails(2, 'is the input')
    encode('--picture', tmp_path / 'out.fits', fast=False).fails(2, 'the table and the picture')
    get_model().write(tmp_path / 'model.fits')
    encode('--model', tmp_path / 'model.fits', '--overwrite', output='model.fits').fails(
        2, 'is the input'
    )
    assert field_files['r'].read_bytes() == before


def test_outputs_that_cannot_be_written(encode, tmp_path):
    (tmp_path / 'folder.fits').mkdir()
    encode('--overwrite', output='folder.fits').fails(2, 'is a folder')
    encode(output=f'{"a" * 245}.fits').fails(2, 'the name is too long')
