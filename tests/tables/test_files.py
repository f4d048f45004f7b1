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


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('id;x;y\n1;2.5;3\n2;4.5;5\n', {'id': [1, 2], 'x': [2.5, 4.5], 'y': [3, 5]}),
        ('id;x;name\n007;2,5;a, b\n2;-4,5e1;c\n', {'x': [2.5, -45.0], 'name': ['a, b', 'c']}),
        ('\ufeffid;x\n007;2,5\n010;3,5\n', {'id': ['007', '010'], 'x': [2.5, 3.5]}),
        ('#Table1\nid;x\n1;2,5\n', {'id': [1], 'x': [2.5]}),
        ('id\tx\n1\t2.5\n', {'id': [1], 'x': [2.5]}),
        ('id,x;y\n1,2\n', {'id': [1], 'x;y': [2]}),
        ('id;x\n', {'id': [], 'x': []}),
    ],
)
def test_values_between_other_separators(tmp_path, text, expected):
    (tmp_path / 't.csv').write_text(text)
    table = read_catalog(tmp_path / 't.csv')
    for name, values in expected.items():
        assert table[name].tolist() == values


def test_decimal_commas_that_are_missing_are_masked(tmp_path):
    (tmp_path / 't.csv').write_text('id;x\n1;2,5\n2;\n3;4\n')
    column = read_catalog(tmp_path / 't.csv')['x']
    assert column.mask.tolist() == [False, True, False] and column[2] == 4.0


@pytest.mark.parametrize('ending', ['fits', 'ecsv', 'parquet', 'h5'])
def test_masked_text_beside_empty_text(tmp_path, ending):
    """FITS has no null text; what is empty comes back as empty all the same."""
    names = MaskedColumn(['NGC 1', '', 'x'], mask=[False, False, True])
    write_table(Table({'id': [1, 2, 3], 'name': names}), tmp_path / f't.{ending}')
    found = read_catalog(tmp_path / f't.{ending}')
    assert found.colnames == ['id', 'name']
    assert np.ma.getmaskarray(np.ma.asarray(found['name'])).tolist() == [False, False, True]
    assert list(np.ma.asarray(found['name']).astype(str)[:2]) == ['NGC 1', '']


@pytest.mark.parametrize('ending', ['fits', 'ecsv', 'parquet', 'h5', 'vot'])
def test_units_that_would_be_computed_for_ever(tmp_path, ending):
    path = tmp_path / f't.{ending}'
    write_table(Table({'x': [1.0]}, units=['km']), path)
    assert read_catalog(path)['x'].unit == 'km'
    content = path.read_bytes()
    unit = b'10**99999999 m'
    if ending == 'fits':
        content = content.replace(b"'km      '          ", b"'10**99999999 m'    ")
    elif ending == 'parquet':
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        meta = {name: text.replace(b'km', unit) for name, text in table.schema.metadata.items()}
        pq.write_table(table.replace_schema_metadata(meta), path)
        content = path.read_bytes()
    elif ending == 'h5':
        import h5py

        with h5py.File(path, 'a') as file:
            name = 'galvae.__table_column_meta__'
            lines = [line.replace(b'km', unit) for line in file[name][:].tolist()]
            del file[name]
            file[name] = lines
        content = path.read_bytes()
    else:
        content = content.replace(b'km', unit)
    assert unit in content
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f't.{ending}: .*10.*99999999 m.*which is none'):
        read_catalog(path)


@pytest.mark.parametrize('ending', ['fits', 'ecsv', 'parquet', 'h5', 'vot'])
def test_no_rows_of_vectors_come_back(tmp_path, ending):
    table = Table({'id': np.zeros(0, dtype=int), 'v': MaskedColumn(np.zeros((0, 40)), mask=True)})
    write_table(table, tmp_path / f't.{ending}')
    found = read_catalog(tmp_path / f't.{ending}')
    assert found.colnames == ['id', 'v'] and len(found) == 0
