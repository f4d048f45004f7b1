# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sources as regions of DS9, and what rows are called."""

import re

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.tables import write_regions
from galvae_affiliated.tables.identifiers import find_id_column, read_identifiers


@pytest.fixture
def table(galaxies):
    table = galaxies.copy()
    table['id'] = ['a', 'b {x}', 'c\nd', 'e', 'f', '#g']
    table['galvae_radius'] = MaskedColumn(
        table['petro_r90'].value, mask=[0, 0, 0, 0, 1, 0], unit='arcsec'
    )
    table['galvae_flags'] = np.array(
        [0, GalvaeFlags.EDGE, 0, 0, GalvaeFlags.NO_RADIUS, 0], dtype=np.int32
    )
    return table


def lines_of(path):
    return path.read_text(encoding='utf-8').splitlines()


def test_circles_on_the_sky(table, tmp_path):
    path = tmp_path / 'a.reg'
    assert write_regions(table, path) == 6
    head, _, system, *lines = lines_of(path)
    assert head == '# Region file format: DS9 version 4.1'
    assert system == 'icrs'
    found = re.fullmatch(
        r'circle\(([\d.]+),([\d.]+),([\d.]+)"\) # color=(\w+) text=\{(.*)\}', lines[0]
    )
    assert np.allclose(
        [float(found[i]) for i in (1, 2, 3)],
        [table['ra'][0], table['dec'][0], table['petro_r90'][0]],
        atol=1e-3,
    )
    assert found[4] == 'green'
    assert 'color=yellow text={b  x}' in lines[1]
    assert 'text={c d}' in lines[2]
    assert lines[4].startswith('point(')
    assert 'color=red' in lines[4]
    assert len(lines) == 6


def test_pixels_count_from_one(table, tmp_path):
    path = tmp_path / 'a.reg'
    table.remove_columns(['ra', 'dec'])
    table['galvae_radius'].unit = 'pix'
    write_regions(table, path)
    _, _, system, first, *_ = lines_of(path)
    assert system == 'image'
    x, y, radius = map(float, re.match(r'circle\((.*)\)', first)[1].split(','))
    assert np.allclose([x, y], [table['x'][0] + 1, table['y'][0] + 1])
    assert np.isclose(radius, table['galvae_radius'][0], atol=1e-3)


def test_a_column_tells_the_colours_and_the_texts(table, tmp_path):
    table['kind'] = ['s', 's', 'd', '', 's', 'd']
    write_regions(table, tmp_path / 'a.reg', color='kind', text='kind')
    lines = lines_of(tmp_path / 'a.reg')[3:]
    assert [re.search(r'color=(\w+)', line)[1] for line in lines] == [
        *('cyan', 'cyan', 'orange', 'white', 'cyan', 'orange')
    ]
    assert lines[2].endswith('text={d}')


def test_rows_without_a_position_are_left_out(table, tmp_path):
    table['x'][2] = np.nan
    table['ra'][2] = np.nan
    assert write_regions(table, tmp_path / 'a.reg') == 5


def test_wrong_regions_are_refused(table, tmp_path):
    path = tmp_path / 'a.reg'
    for name in ('text', 'color'):
        with pytest.raises(KeyError, match='nothing'):
            write_regions(table, path, **{name: 'nothing'})
    with pytest.raises(ValueError, match='no positions'):
        write_regions(Table({'a': [1.0]}), path)
    assert not path.exists()
    path.write_text('mine')
    with pytest.raises(FileExistsError):
        write_regions(table, path)
    assert path.read_text() == 'mine'


def test_the_command_for_regions(table, tmp_path, galvae):
    table['id'] = list('abcdef')
    table.write(tmp_path / 't.fits')
    run = galvae('regions', tmp_path / 't.fits', '-o', tmp_path / 't.reg', '--text', 'id')
    assert run.code == 0, run.err
    assert len(lines_of(tmp_path / 't.reg')) == 9
    galvae('regions', tmp_path / 't.fits', '-o', tmp_path / 't.reg').fails(2, '--overwrite')
    galvae('regions', tmp_path / 't.fits', '-o', tmp_path / 't.fits', '--overwrite').fails(2)


def test_identifiers():
    table = Table({'x': [1, 2], 'ID': MaskedColumn(['u', 'v'], mask=[False, True])})
    assert find_id_column(table) == 'ID'
    assert read_identifiers(table) == ['u', '']
    assert read_identifiers(table, 'x', [1]) == ['2']
    assert find_id_column(Table({'x': [1]})) is None
    assert read_identifiers(Table({'id': np.array([b'a', b'\xff'])}))[0] == 'a'
    with pytest.raises(KeyError, match='nothing'):
        read_identifiers(table, 'nothing')
