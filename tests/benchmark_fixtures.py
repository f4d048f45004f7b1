# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The folder of benchmarks, which is no package, and a small field."""

import importlib
from pathlib import Path

import pytest
from astropy.table import Table

BENCHMARKS = Path(__file__).resolve().parents[1] / 'benchmarks'
SIZE, SOURCES = 300, 12


@pytest.fixture(scope='session')
def benchmark():
    """Import a module of the folder of benchmarks by its name."""

    def imported(name):
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(BENCHMARKS))
            return importlib.import_module(name)

    return imported


@pytest.fixture(scope='session')
def mosaic(tmp_path_factory, benchmark):
    """A simulated field of `SOURCES` sources."""
    folder = tmp_path_factory.mktemp('mosaic')
    return benchmark('_field').simulate(folder, SIZE, SOURCES, random_state=1)


@pytest.fixture(scope='session')
def reverse(mosaic):
    """Its catalogue from the end."""
    path = mosaic.folder / 'reverse.fits'
    Table.read(mosaic.catalog)[::-1].write(path)
    return str(path)
