# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae encode --dry-run``: what it says, that it reads no pixels, and what it refuses."""

import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from PIL import Image

from galvae_affiliated import get_model
from galvae_affiliated.images import _fits, planes
from galvae_affiliated.images.headers import read_headers
from galvae_affiliated.images.planes import read_planes


@pytest.fixture
def dry(galvae, field_files, tmp_path):
    """Lines of a dry run by their first word, and the run."""

    def function(*words, images=None, bands='g,r,z', output='out.fits'):
        more = [] if bands is None else ['--bands', bands]
        more += [] if output is None else ['-o', tmp_path / output]
        before = sorted(tmp_path.iterdir())
        run = galvae('encode', *(images or field_files.values()), *more, *words, '--dry-run')
        assert sorted(tmp_path.iterdir()) == before, 'something was written'
        lines = {}
        for line in run.out.splitlines():
            name, text = re.split(r' {2,}', line, maxsplit=1)
            lines.setdefault(name, []).append(text)
        return {name: '\n'.join(texts) for name, texts in lines.items()}, run

    return function


@pytest.fixture
def catalog(galaxies, tmp_path):
    path = tmp_path / 'sources.fits'
    galaxies.write(path)
    return path


@pytest.fixture
def no_pixels(monkeypatch):
    """Reading pixels, or masks, is an error."""
    def refuse(*_):
        raise AssertionError('pixels were read')

    for name in ('read_pixels', 'read_mask'):
        monkeypatch.setattr(planes, name, refuse)
    monkeypatch.setattr(_fits, 'decompress', refuse)


def test_a_field_with_a_catalogue(dry, catalog, galaxies, no_pixels):
    said, run = dry('--catalog', catalog)
    assert run.code == 0, run.out
    assert 'PROBLEM' not in said and 'warning' not in said
    assert said['model'] == get_model().id
    assert said['images'].endswith('z.fits: 3 of 200 x 200 pixels')
    assert said['bands'] == 'g,r,z; channels from red to blue z,r,g (sdss-grz)'
    assert said['units'].count('nmgy of the header') == 3
    assert said['pixels'] == '0.262 arcsec a side, of the WCS'
    assert said['catalogue'].endswith('sources.fits: 6 rows, 5 columns')
    assert said['positions'] == 'of x and y, in pixels'
    assert said['radii'] == 'petroR90 of petro_r90 in arcsec'
    assert said['sources'] == '6 of 6 lie on the images'
    assert said['device'].startswith('cpu, float32')
    assert re.search(r'out.fits: fits, 6 rows, 5 and \d+ columns of galvae$', said['output'])
    assert run.err.startswith('galvae: nothing was written; without --dry-run')


def test_what_it_says_is_what_is_done(dry, galvae, catalog, field_files, tmp_path):
    """The number of columns and rows of the table that is written."""
    from astropy.table import Table

    said, _ = dry('--catalog', catalog)
    n_rows, before, new = map(int, re.search(r'(\d+) rows, (\d+) and (\d+) col',
                                             said['output']).groups())
    run = galvae('encode', *field_files.values(), '--bands', 'g,r,z', '--catalog', catalog, '-o',
                 tmp_path / 'out.fits')
    assert run.code == 0
    table = Table.read(tmp_path / 'out.fits')
    assert (len(table), len(table.colnames)) == (n_rows, before + new)
    said, run = dry('--catalog', catalog, '--overwrite')
    assert run.code == 0 and said['output'].endswith('; it exists and is replaced')


def test_sources_that_are_detected_and_no_output(dry):
    said, run = dry(output=None)
    assert run.code == 0
    assert said['sources'].startswith('are detected')
    assert said['output'].endswith('-o OUT is not given')


def test_radii_that_are_measured_and_sources_off_the_image(dry, galaxies, tmp_path):
    galaxies['x'][0] = 900.0
    del galaxies['petro_r90'], galaxies['ra'], galaxies['dec']
    galaxies.write(tmp_path / 'few.ecsv')
    said, run = dry('--catalog', tmp_path / 'few.ecsv', '--psf-fwhm', '1.3')
    assert run.code == 0
    assert said['radii'] == 'no column has petroR90; 6 would be measured'
    assert said['sources'] == '5 of 6 lie on the images'
    assert said['seeing'] == '1.3 arcsec, as given'


def test_sky_positions(dry, galaxies, tmp_path):
    galaxies['ra', 'dec', 'petro_r90'].write(tmp_path / 'sky.ecsv')
    said, run = dry('--catalog', tmp_path / 'sky.ecsv', '--radius', '4', '--radius-unit', 'arcsec')
    assert run.code == 0
    assert said['positions'] == 'of ra and dec, on the sky'
    assert said['radii'] == 'petroR90 of 4 for all in arcsec'


def test_an_unknown_unit_is_told(dry, field, tmp_path):
    names = [tmp_path / f'{band}.fits' for band in field]
    for name, image in zip(names, field.values()):
        fits.writeto(name, image.data)
    said, run = dry(images=names)
    assert run.code == 0
    assert said['units'] == 'z: unknown; r: unknown; g: unknown'
    assert 'SCALE_ESTIMATED' in said['warning'] and '--pixel-scale' in said['warning']
    said, run = dry('--zero-point', 'g=25,r=25.5,z=24', '--pixel-scale', '0.3', images=names)
    assert run.code == 0 and 'warning' not in said
    assert said['units'].startswith('z: counts of 24 mag, as given; r: counts of 25.5 mag')
    assert said['pixels'] == '0.3 arcsec a side, as given'


def test_bands_on_other_grids(dry, field, field_files, tmp_path):
    shifted = tmp_path / 'z.fits'
    header = fits.getheader(field_files['z'])
    header['CRPIX1'] += 7.3
    fits.writeto(shifted, field['z'].data, header)
    images = [field_files['g'], field_files['r'], shifted]
    said, run = dry(images=images)
    assert run.code == 0 and said['grids'].startswith('z would be reprojected')
    header['CRVAL1'] += 3.0
    fits.writeto(shifted, field['z'].data, header, overwrite=True)
    said, run = dry(images=images)
    assert run.code == 2 and 'do not overlap' in said['PROBLEM']


def test_one_file_of_extensions_compressed(dry, no_pixels):
    from importlib import resources

    demo = resources.files('galvae_affiliated').joinpath('data', 'demo_field.fits')
    said, run = dry(images=[str(demo)])
    assert run.code == 0
    assert said['images'].endswith('demo_field.fits: 3 of 860 x 860 pixels')
    assert said['seeing'].startswith('1.2 arcsec, of the header')


def test_every_problem_is_told_in_one_go(dry, catalog, tmp_path):
    said, run = dry('--catalog', catalog, '--radius', 'size', '--device', 'cuda', '--unit', 'K',
                    '--overwrite', images=['none.fits'], output='nowhere/out.csv')
    assert run.code == 2
    problems = said['PROBLEM'].splitlines()
    assert len(problems) >= 4
    for text in ('there is no folder', "no column 'size'", 'none.fits: there is no such file'):
        assert any(text in problem for problem in problems), (text, problems)
    assert run.err == (f'galvae: error: this run would be refused: {len(problems)} problems, see '
                       'above\n')


REFUSED = {
    'a band that is another': (['--bands', 'g,z,r'], {}, 'its header says'),
    'two names for three images': (['--bands', 'g,r'], {}, '3 images'),
    'no such rendering': (['--rendering', 'none'], {}, 'no rendering'),
    'a pixel scale': (['--pixel-scale', '-1'], {}, 'pixel-scale'),
    'a set alone': (['--already-scaled'], {}, '--already-scaled'),
    'a unit': (['--unit', 'furlong/'], {}, 'not a unit'),
    'a model': (['--model', 'none'], {}, 'there is no model'),
    'csv': ([], {'output': 'out.csv'}, '--scalar-columns'),
    'an ending': ([], {'output': 'out.doc'}, 'no known format'),
    'coverage': (['--coverage', '3'], {}, 'coverage'),
    'batch': (['--batch-size', '0'], {}, 'batch-size'),
    'seeing': (['--psf-fwhm', '-2'], {}, 'psf-fwhm'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_what_a_run_refuses_a_dry_run_does(case, dry, galvae, field_files, tmp_path):
    words, options, message = REFUSED[case]
    images = list(field_files.values())
    if case == 'a band that is another':
        images = []
        for band, path in field_files.items():
            images.append(tmp_path / f'{band}.fits')
            header = fits.getheader(path)
            header['FILTER'] = band
            fits.writeto(images[-1], fits.getdata(path), header)
    bands = None if '--bands' in words else 'g,r,z'
    said, run = dry(*words, images=images, bands=bands, **options)
    assert run.code == 2, said
    assert message in said['PROBLEM']
    real = galvae('encode', *images, *([] if bands is None else ['--bands', bands]), *words, '-o',
                  tmp_path / options.get('output', 'out.fits'))
    real.fails(2, message)


def test_existing_columns_and_outputs(dry, catalog, galaxies, tmp_path):
    galaxies['galvae_flags'] = 0
    galaxies.write(tmp_path / 'again.fits')
    (tmp_path / 'out.fits').write_text('precious')
    said, run = dry('--catalog', tmp_path / 'again.fits')
    assert run.code == 2
    assert "column 'galvae_flags' already" in said['PROBLEM']
    assert 'exists; --overwrite replaces it' in said['PROBLEM']
    assert dry('--catalog', tmp_path / 'again.fits', '--overwrite')[1].code == 0


def png():
    buffer = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 20, np.uint8)).save(buffer, 'PNG')
    return buffer.getvalue()


def test_a_parquet_set(dry, tmp_path):
    path = tmp_path / 'set.parquet'
    images = [{'bytes': png(), 'path': None}] * 3
    pq.write_table(pa.table({'id_str': ['a', 'b', 'c'], 'image': images}), path)
    said, run = dry(images=[path], bands=None)
    assert run.code == 0
    assert said['cutouts'].endswith('set.parquet: 3 rows; columns id_str, image')
    assert said['pixels'].startswith('of unknown size')
    assert 'fits, 3 rows, 1 and' in said['output']
    assert dry('--pixel-scale', '0.3', images=[path], bands=None)[0]['pixels'].startswith('0.3')
    said, run = dry('--catalog', 'x.fits', images=[path], bands=None)
    assert run.code == 2 and '--catalog goes with images of a field' in said['PROBLEM']
    path.write_text('none')
    said, run = dry(images=[path], bands=None)
    assert run.code == 2 and 'not a Parquet file' in said['PROBLEM']


def test_a_folder_of_cutouts(dry, field, tmp_path):
    folder = tmp_path / 'cutouts'
    folder.mkdir()
    cube = np.array([image.data[11:88, 12:89] for image in field.values()])
    fits.writeto(folder / 'a.fits', cube, fits.Header({'BUNIT': 'nmgy'}))
    said, run = dry('--pixel-scale', '0.262', images=[folder])
    assert run.code == 0
    assert said['cutouts'].endswith('1 FITS files; the first is a.fits')
    assert said['units'].count('nmgy of the header') == 3
    assert said['pixels'] == '0.262 arcsec a side: the galaxies are measured'
    (folder / 'a.fits').write_text('broken')
    said, run = dry(images=[folder])
    assert run.code == 0 and 'UNREADABLE' in said['warning']


def test_headers_alone_have_no_values(field_files):
    found = read_planes(list(map(str, field_files.values())), 'g,r,z', headers_only=True)
    assert found['r'].data.shape == (200, 200) and found['r'].data.dtype == np.float32
    with pytest.raises(TypeError, match='left alone'):
        np.asarray(found['r'].data)


def test_headers_are_those_of_the_images(field_files):
    from galvae_affiliated import open_field

    files = list(map(str, field_files.values()))
    model = get_model()
    sets, scales = model.frame.band_sets()
    headers = read_headers(files, band_sets=sets, scales=scales, bands='g,r,z')
    images = open_field(files, bands='g,r,z')
    assert headers.plan == images.plan and headers.shape == images.shape
    assert headers.pixel_scale == pytest.approx(images.pixel_scale)
    assert headers.seeing == images.seeing and headers.moved == ()
