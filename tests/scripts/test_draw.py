# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae reconstruct`` and ``galvae traverse``."""

from importlib import resources

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galvae_affiliated.scripts.main import main

Image = pytest.importorskip('PIL.Image')


@pytest.fixture(scope='module')
def demo():
    return str(resources.files('galvae_affiliated').joinpath('data', 'demo_field.fits'))


@pytest.fixture(scope='module')
def few(tmp_path_factory):
    """A catalogue of four sources, the last of them off the image."""
    path = tmp_path_factory.mktemp('few') / 'few.ecsv'
    Table({'x': [150.0, 300.0, 220.0, 9000.0], 'y': [150.0, 200.0, 310.0, 40.0],
           'petro_r90': [12.0, 9.0, 10.0, 9.0]}).write(path)
    return str(path)


def run(command, demo, few, *words):
    return main([command, demo, '--bands', 'g,r,z', '--catalog', few, '--device', 'cpu', *words])


def test_reconstruction_as_images(demo, few, tmp_path):
    path = tmp_path / 'out.fits'
    assert run('reconstruct', demo, few, '-n', '9', '-o', str(path)) == 0
    with fits.open(path) as hdus:
        assert hdus['IMAGE'].data.shape == (4, 3, 128, 128)
        np.testing.assert_allclose(hdus['RESIDUAL'].data,
                                   hdus['IMAGE'].data - hdus['DECODED'].data)
        assert hdus['LATENTS'].data['galvae_latent'].shape == (4, 40)
        # what cannot be measured keeps its row
        assert np.isfinite(hdus['DECODED'].data).all((1, 2, 3)).tolist() == [True] * 3 + [False]
        assert '@' in hdus[0].header['MODEL']


def test_reconstruction_as_a_picture(demo, few, tmp_path):
    pytest.importorskip('matplotlib')
    path = tmp_path / 'out.png'
    assert run('reconstruct', demo, few, '-n', '3', '-o', str(path)) == 0
    assert np.asarray(Image.open(path)).std() > 10


def test_strip_and_film(demo, few, tmp_path):
    strip, film = tmp_path / 'strip.png', tmp_path / 'film.gif'
    assert run('traverse', demo, few, '--along', 'disk-edge-on=yes', '--steps', '5', '-o',
               str(strip)) == 0
    assert Image.open(strip).size == (5 * 130 - 2, 128)
    assert run('traverse', demo, few, '--to', '1', '--steps', '4', '-o', str(film)) == 0
    assert Image.open(film).n_frames == 6  # there and back


@pytest.mark.parametrize(('command', 'words', 'message'), [
    ('reconstruct', ['-o', 'x.jpg'], 'x.jpg: expected a name that ends with .png or .fits'),
    ('reconstruct', ['-o', 'x.fits', '--first', '9'], 'there is no row 9; there are 4 rows'),
    ('reconstruct', ['-o', 'x.png', '-n', '90'], '90 cutouts are too many for a picture'),
    ('traverse', ['-o', 'x.png'], 'expected one of --along and --to'),
    ('traverse', ['-o', 'x.png', '--along', 'bar=maybe'], "bar has no answer 'maybe'"),
    ('traverse', ['-o', 'x.png', '--along', '0', '--row', '3'], 'could not be measured'),
])
def test_wrong_words(demo, few, tmp_path, monkeypatch, capsys, command, words, message):
    monkeypatch.chdir(tmp_path)
    assert run(command, demo, few, *words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
