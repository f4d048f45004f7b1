# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table

from galvae_affiliated.tables.files import read_catalog, writable_table, write_table

TYPES = ['i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8']


def shown(column):
    return ['--' if value is np.ma.masked else str(value) for value in column]


@pytest.mark.parametrize('name', ['t.fits', 't.parquet', 't.h5', 't.ecsv', 't.vot'])
@pytest.mark.parametrize('dtype', TYPES)
@pytest.mark.parametrize('masked', [False, True])
def test_integers_at_their_limits(tmp_path, name, dtype, masked):
    limits = np.iinfo(dtype)
    high = np.iinfo('i8').max if name == 't.vot' else limits.max
    values = np.array([limits.min, min(limits.max, high), 63, 7], dtype)
    mask = [False, False, False, masked]
    table = Table({'a': MaskedColumn(values, mask=mask) if masked else values})
    write_table(table, tmp_path / name)
    assert shown(read_catalog(tmp_path / name)['a']) == shown(table['a'])


@pytest.mark.parametrize('name', ['t.fits', 't.parquet', 't.h5', 't.ecsv', 't.vot'])
def test_text_and_truth(tmp_path, name):
    table = Table({'s': np.array(['a', 'longer'], object), 'b': [True, False],
                   'v': [[True, False], [False, False]], 'bytes': [b'x', b'yy']})
    write_table(table, tmp_path / name)
    read = read_catalog(tmp_path / name)
    assert read['s'].tolist() == ['a', 'longer']
    assert read['b'].tolist() == [True, False]
    assert np.array_equal(read['v'], table['v'])
    assert [str(value) for value in read['bytes']] == ['x', 'yy']


@pytest.mark.parametrize('name', ['t.parquet', 't.h5', 't.ecsv', 't.vot', 't.csv'])
def test_text_beyond_ascii(tmp_path, name):
    write_table(Table({'s': ['K\u00f6ln', 'b']}), tmp_path / name)
    assert read_catalog(tmp_path / name)['s'].tolist() == ['K\u00f6ln', 'b']


def test_coordinates_are_two_columns_where_they_have_to_be(tmp_path):
    table = Table({'a': [1]})
    table['sky'] = SkyCoord([150.0], [2.0], unit='deg')
    write_table(table, tmp_path / 't.vot')
    assert read_catalog(tmp_path / 't.vot').colnames == ['a', 'sky.ra', 'sky.dec']
    assert table.colnames == ['a', 'sky']


def test_the_table_is_not_changed():
    table = Table({'a': np.array([1], 'i1'), 'o': np.array(['x'], object),
                   'm': MaskedColumn([999999, 1], mask=[False, True])[:1]})
    writable_table(table, 't.fits')
    assert table['a'].dtype == np.int8 and table['o'].dtype == object


@pytest.mark.parametrize(
    ('text', 'names', 'first'),
    [
        ('id,ra\n007,1\n', ['id', 'ra'], '007'),
        ('\ufeffid,ra\n7,1\n', ['id', 'ra'], '7'),
        ('# made by hand\nid,ra\n7,1\n', ['id', 'ra'], '7'),
        ('#id,ra\n7,1\n', ['id', 'ra'], '7'),
        ('#Table1\nid,ra\n7,1\n', ['id', 'ra'], '7'),
        ('id,ra\n2684290278794471937,1\n', ['id', 'ra'], '2684290278794471937'),
    ],
)
def test_texts_of_comma_separated_values(tmp_path, text, names, first):
    (tmp_path / 't.csv').write_text(text, encoding='utf-8')
    table = read_catalog(tmp_path / 't.csv')
    assert table.colnames == names
    assert str(table['id'][0]) == first


def test_names_of_a_votable_go_before_its_ids(tmp_path):
    table = Table({'a': [1.0]})
    write_table(table, tmp_path / 't.vot')
    text = (tmp_path / 't.vot').read_text().replace('name="a"', 'name="g-r"')
    (tmp_path / 't.vot').write_text(text)
    assert read_catalog(tmp_path / 't.vot').colnames == ['g-r']


def test_several_tables_of_a_votable(tmp_path):
    write_table(Table({'a': [1.0]}), tmp_path / 't.vot')
    text = (tmp_path / 't.vot').read_text()
    start, stop = text.index('<TABLE'), text.index('</TABLE>') + 8
    again = text[start:stop].replace('ID="a"', 'ID="b"')
    (tmp_path / 't.vot').write_text(text[:stop] + again + text[stop:])
    with pytest.raises(ValueError, match='there are several tables'):
        read_catalog(tmp_path / 't.vot')
