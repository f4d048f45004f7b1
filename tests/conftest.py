# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A small simulated field, the command, and a tiny set to train on, which the tests share."""

import contextlib
import io
import logging
import types

import astropy.units as u
import numpy as np
import pytest
import training_sets
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table
from astropy.units import photometric
from astropy.wcs import WCS
from benchmark_fixtures import benchmark, mosaic, reverse  # noqa: F401

from galvae_affiliated import get_model
from galvae_affiliated.scripts.main import main

SHAPE = (200, 200)
PIXEL = 0.262  # arcsec
NOISE = {'g': 0.012, 'r': 0.02, 'z': 0.05}  # nanomaggies a pixel
COLOUR = {'g': 0.6, 'r': 1.0, 'z': 1.5}
# x, y, scale length in pixels, central brightness, 'exponential' or 'gaussian'
GALAXIES = [
    (50.3, 48.7, 3.0, 6.0, 'exponential'),
    (143.0, 61.0, 2.5, 8.0, 'exponential'),
    (98.6, 142.2, 4.0, 5.0, 'exponential'),
    (158.2, 150.9, 5.0, 3.0, 'gaussian'),
    (36.0, 128.4, 4.0, 3.0, 'gaussian'),
    (103.5, 30.5, 3.5, 4.0, 'gaussian'),
]
# radius that holds 90 per cent of the Petrosian flux, in scale lengths
R90 = {'exponential': 3.88, 'gaussian': 2.15}


def make_wcs():
    """TAN, north up, east to the left."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ['RA---TAN', 'DEC--TAN']
    wcs.wcs.crval = [150.1, 2.2]
    wcs.wcs.crpix = [SHAPE[1] / 2, SHAPE[0] / 2]
    wcs.wcs.cdelt = [-PIXEL / 3600, PIXEL / 3600]
    return wcs


def light():
    """Sum of the galaxies without noise, in the r band."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.zeros(SHAPE)
    for x0, y0, scale, peak, kind in GALAXIES:
        r = np.hypot(x - x0, y - y0) / scale
        image += peak * (np.exp(-r) if kind == 'exponential' else np.exp(-0.5 * r**2))
    return image


@pytest.fixture(scope='session')
def field():
    """Band -> CCDData in nanomaggies with WCS; the arrays are read-only."""
    rng = np.random.default_rng(20)
    images = {}
    for band, noise in NOISE.items():
        image = (COLOUR[band] * light() + rng.normal(0.0, noise, SHAPE)).astype(np.float32)
        image.setflags(write=False)
        images[band] = CCDData(image, unit=photometric.nmgy, wcs=make_wcs())
    return images


@pytest.fixture(scope='session')
def field_files(field, tmp_path_factory):
    """Band -> path of a FITS file of `field`; the header states the unit and the WCS."""
    folder = tmp_path_factory.mktemp('field')
    paths = {}
    for band, image in field.items():
        header = image.wcs.to_header()
        header['BUNIT'] = 'nanomaggies'
        paths[band] = folder / f'{band}.fits'
        fits.writeto(paths[band], image.data, header)
    return paths


@pytest.fixture
def galaxies(field):
    """Table of the galaxies of `field` with x, y, ra, dec and petro_r90."""
    x, y, scale, _, kind = zip(*GALAXIES)
    sky = field['r'].wcs.pixel_to_world(np.array(x), np.array(y))
    r90 = np.array([R90[k] * s for k, s in zip(kind, scale)]) * PIXEL
    return Table({'x': x, 'y': y, 'ra': sky.ra, 'dec': sky.dec, 'petro_r90': r90 * u.arcsec})


@pytest.fixture(scope='session')
def other_bundle():
    """The default model under another name, and so with another id."""
    bundle = get_model()
    return bundle.replaced({**bundle.manifest.raw, 'name': 'other'})


class Run:
    """What one call of the command did."""

    def __init__(self, words, capsys):
        try:
            self.code = main([str(word) for word in words])
        except SystemExit as stop:  # argparse
            self.code = stop.code
        self.out, self.err = capsys.readouterr()

    def fails(self, code, message=''):
        """One line on the standard error stream, nothing on the other."""
        assert self.code == code
        assert self.out == ''
        lines = self.err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith('galvae: error: ')
        assert message in lines[0]


@pytest.fixture
def galvae(capsys):
    return lambda *words: Run(words, capsys)


@contextlib.contextmanager
def loggers_as_they_were():
    """Undo what the command for training does to the loggers: their streams end with a test."""
    loggers = [
        logging.getLogger(name)
        for name in (
            'galvae_affiliated',
            'lightning',
            'lightning.pytorch',
            'lightning.fabric',
            'torch.onnx',
        )
    ]
    before = [(logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, (handlers, level) in zip(loggers, before):
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.fixture
def training_galvae(galvae):
    with loggers_as_they_were():
        yield galvae


@pytest.fixture(scope='session')
def tiny_parquet(tmp_path_factory):
    """48 galaxies with votes, classes and splits."""
    return training_sets.write_parquet(
        tmp_path_factory.mktemp('set') / 'tiny.parquet', training_sets.rows()
    )


@pytest.fixture(scope='session')
def tiny_cubes(tmp_path_factory):
    """A folder of 25 FITS cutouts of 64 pixels a side, the last of 256, and labels beside it."""
    folder = tmp_path_factory.mktemp('fits') / 'cubes'
    folder.mkdir()
    names = [f'J{i:02}' for i in range(25)]
    for i, name in enumerate(names[:-1]):
        training_sets.write_cube(folder / f'{name}.fits', i)
    training_sets.write_cube(folder / f'{names[-1]}.fits', 24, side=256, scale=12.0)
    for ending in ('csv', 'ecsv', 'fits', 'parquet'):
        training_sets.label_table(names).write(folder.parent / f'labels.{ending}')
    return folder


# PyTorch is imported where it is needed: tests of the rest of the package run without it
@pytest.fixture(scope='session')
def tiny_set(tiny_parquet, tmp_path_factory):
    """`GalaxySet` of `tiny_parquet`."""
    from galvae_affiliated.training.data.dataset import read_galaxies

    config = training_sets.tiny(source=str(tiny_parquet), **training_sets.PARQUET_LABELS)
    return read_galaxies(config, tmp_path_factory.mktemp('cache'))


@pytest.fixture(scope='session')
def light_bundle(tiny_set, tmp_path_factory):
    """File of a light model that was trained on `tiny_set`, for runs that start from one."""
    from galvae_affiliated.training.build import build_bundle
    from galvae_affiliated.training.fit import fit_model

    folder = tmp_path_factory.mktemp('light')
    config = training_sets.tiny('light', n_pose=2, **training_sets.PARQUET_LABELS)
    module = fit_model(config, tiny_set, folder / 'run', logger=False)
    build_bundle(module, tiny_set, name='light').write(folder / 'light.galvae')
    return folder / 'light.galvae'


def train_in(folder, name, text, *words):
    """What ``galvae train`` did: code, out, err, and the paths of the model and the run."""
    (folder / f'{name}.toml').write_text(text)
    words = ['train', str(folder / f'{name}.toml'), '-o', str(folder / f'{name}.galvae'), *words]
    out, err = io.StringIO(), io.StringIO()
    with loggers_as_they_were(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return types.SimpleNamespace(
        code=code,
        out=out.getvalue(),
        err=err.getvalue(),
        path=folder / f'{name}.galvae',
        run=folder / f'{name}.run',
    )


@pytest.fixture(scope='session')
def trained(tiny_parquet, tmp_path_factory):
    """A guided model of `tiny_parquet`, in half precision."""
    data = {'source': str(tiny_parquet), **training_sets.PARQUET_LABELS}
    words = ['--license', 'CC0-1.0', '--description', 'Round or not']
    return train_in(
        tmp_path_factory.mktemp('trained'), 'tiny', training_sets.tiny_toml(data=data), *words
    )


@pytest.fixture(scope='session')
def trained_cubes(tiny_cubes, tmp_path_factory):
    """A model of `tiny_cubes` without pose and questions, in full precision."""
    data = {
        'source': str(tiny_cubes),
        'bands': 'g,r,z',
        'unit': 'nmgy',
        'pixel_scale': training_sets.PIXEL,
    }
    text = training_sets.tiny_toml('beta-vae', data=data, steps=10, half_weights=False)
    return train_in(tmp_path_factory.mktemp('trained'), 'cubes', text)


@pytest.fixture(scope='session')
def trained_module(trained, tiny_set):
    """The network of `trained`, in PyTorch."""
    from galvae_affiliated.training.fit import load_trained
    from galvae_affiliated.training.objectives.vae import VAEObjective

    config = training_sets.tiny(**training_sets.PARQUET_LABELS)
    module = VAEObjective(config, tiny_set)
    module.model, _ = load_trained(trained.run / 'last.ckpt', config, tiny_set)
    return module.eval()
