# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The page of a table: what is in it, what cannot get in, and what it leaves out."""

import base64
import hashlib
import html.parser
import json
import re
import zlib

import numpy as np
import page_tables
import pytest
from astropy.table import Table

from galvae_affiliated.exceptions import ModelMismatchError
from galvae_affiliated.explore._latents import fit_metric, read_latents
from galvae_affiliated.pages import open_table_cutouts, report, write_report
from galvae_affiliated.tables import write_table


class Parts(html.parser.HTMLParser):
    """Elements of a page, and the text of those that have an identifier."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.loaded, self.scripts = [], {}, [], []
        self.name = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.name = attributes.get('id') if tag == 'script' else None
        self.loaded += [attributes[key] for key in ('src', 'href') if key in attributes]
        self.is_script = tag == 'script' and 'type' not in attributes
        if tag == 'meta' and 'content' in attributes and 'http-equiv' in attributes:
            self.policy = attributes['content']

    def handle_data(self, data):
        if self.name:
            self.texts[self.name] = self.texts.get(self.name, '') + data
        if getattr(self, 'is_script', False):
            self.scripts.append(data)

    def handle_endtag(self, tag):
        self.name, self.is_script = None, False

    def block(self, place):
        """Bytes of a block."""
        return zlib.decompress(base64.b64decode(self.texts[f'block-{place}']))

    @property
    def about(self):
        return json.loads(self.texts['about'])


@pytest.fixture(scope='module')
def table():
    return page_tables.make_table()


@pytest.fixture(scope='module')
def page(table, tmp_path_factory):
    path = tmp_path_factory.mktemp('page') / 'page.html'
    cutouts = open_table_cutouts(page_tables.make_pictures(), table)
    assert write_report(table, path, cutouts=cutouts) == 59
    return Parts(path.read_text(encoding='utf-8'))


def numbers_of(page, place):
    entry = page.about['blocks'][place]
    codes = np.frombuffer(page.block(place), {8: 'u1', 16: '<u2', 32: '<u4'}[entry['bits']])
    step = (entry['high'] - entry['low']) / (2 ** entry['bits'] - 2)
    return np.where(codes == 2 ** entry['bits'] - 1, np.nan, entry['low'] + codes * step)


def test_texts_of_the_table_stay_texts(page):
    assert page.loaded == []
    assert 'img' not in page.tags
    assert page.tags.count('script') == 2 + len(page.about['blocks']) + 1
    assert 'taken' in page.block(0).decode()
    assert page.block(0).decode().split('\n')[1] == page_tables.HOSTILE


def test_the_policy_names_the_script_and_nothing_else(page):
    script, = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.policy
    assert "default-src 'none'" in page.policy
    assert "connect-src 'none'" in page.policy
    assert 'unsafe' not in page.policy
    assert not re.search(r'innerHTML|outerHTML|insertAdjacent|eval\(|document\.write', script)


def test_rows_and_columns_are_those_of_the_table(page, table):
    rows = [int(row) for row in page.block(1).decode().split('\n')]
    assert rows == [row for row in range(60) if row != 4]
    columns = {entry['name']: entry['place'] for entry in page.about['columns']}
    for name, tolerance in (
        ('ra', 1e-7),
        ('galvae_radius', 2e-4),
        ('smooth-or-featured_smooth_fraction', 2e-5),
    ):
        expected = np.ma.filled(table[name].astype(float), np.nan)[rows]
        assert np.allclose(numbers_of(page, columns[name]), expected, atol=tolerance)
    flags = page.about['blocks'][columns['galvae_flags']]
    codes = np.frombuffer(page.block(columns['galvae_flags']), 'u1')
    assert flags['labels'] == ['none', 'EDGE']
    assert np.flatnonzero(codes).tolist() == [rows.index(row) for row in page_tables.FLAGGED]


def test_flagged_rows_are_kept_apart(page):
    galleries = {entry['title']: entry for entry in page.about['galleries']}
    rows = [int(row) for row in page.block(1).decode().split('\n')]
    odd = {rows[i] for i in galleries['Odd ones']['points']}
    flagged = {rows[i] for i in galleries['Odd, with flags']['points']}
    assert len(odd) == 24
    assert flagged == set(page_tables.FLAGGED)
    assert not odd & flagged
    assert np.frombuffer(page.block(4), 'u1').tolist() == [
        0 if row in flagged else 254 for row in rows
    ]


def test_similar_ones_are_those_of_the_metric(page, table):
    """A byte a direction loses little of the order of the neighbours."""
    about = page.about['blocks'][5]
    steps = np.frombuffer(page.block(5), 'u1').reshape(59, about['width'])
    values = (steps / 127.5 - 1) * about['limit'] * np.array(about['scale'])
    latents = read_latents(table)
    exact = fit_metric(latents)(latents.latent)[np.arange(60) != 4]

    def neighbors(points):
        distance = np.linalg.norm(points[:, None] - points, axis=2)
        np.fill_diagonal(distance, np.inf)
        return np.argsort(distance, axis=1)[:, :10]

    shared = [len(set(a) & set(b)) for a, b in zip(neighbors(values), neighbors(exact))]
    assert np.mean(shared) > 9.0


def test_the_page_says_what_it_is_of(page, table, tmp_path):
    path = tmp_path / 'a.html'
    write_report(table, path, title='<b>T</b>', source='<i>table.fits')
    text = path.read_text(encoding='utf-8')
    assert '<title>&lt;b&gt;T&lt;/b&gt;</title>' in text
    assert '&lt;i&gt;table.fits' in text
    assert 'gz2-sdss-v3@' in text
    assert '1 rows have no place on the map' in text
    assert 'NO_RADIUS' in text
    assert '59 of 60 rows' in text
    assert 'sheet-0' not in text


def test_too_many_rows_are_sampled_and_it_says_so(table, tmp_path):
    path = tmp_path / 'a.html'
    assert write_report(table, path, max_points=40, n_gallery=5) == 40
    text = path.read_text(encoding='utf-8')
    assert '40 of 59 rows that have latents, drawn at random' in text
    galleries = Parts(text).about['galleries']
    # the odd ones of all rows are there
    assert [len(entry['points']) for entry in galleries] == [5, 3]


def test_pictures_shrink_until_the_page_fits(table, tmp_path):
    cutouts = open_table_cutouts(page_tables.make_pictures(), table)
    limit, sides = 20_000_000, []
    for name in 'ab':
        path = tmp_path / f'{name}.html'
        write_report(table, path, cutouts=cutouts, max_bytes=limit)
        sides.append(Parts(path.read_text(encoding='utf-8')).about['sheets']['side'])
        assert path.stat().st_size <= limit
        limit = path.stat().st_size
    assert sides[0] == 128
    assert sides[1] < 128
    with pytest.raises(ValueError, match='do not fit'):
        write_report(table, tmp_path / 'c.html', cutouts=cutouts, max_bytes=101_000)
    assert not (tmp_path / 'c.html').exists()


def test_columns_that_do_not_fit_are_named(table, tmp_path, monkeypatch):
    monkeypatch.setattr(report, 'COLUMN_SHARE', 0.0002)
    path = tmp_path / 'a.html'
    write_report(table, path)
    text = path.read_text(encoding='utf-8')
    assert 'columns left out' in text
    assert 'galvae_latent 39' in text
    names = [entry['name'] for entry in Parts(text).about['columns']]
    assert 'smooth-or-featured_smooth_fraction' in names


def test_the_map_of_the_table_is_taken(table, tmp_path):
    table = table.copy()
    rng = np.random.default_rng(0)
    table['u'], table['v'] = rng.random(60), rng.random(60)
    write_report(table, tmp_path / 'a.html', map_columns=['u', 'v'], columns=['u', 'ra'])
    page = Parts((tmp_path / 'a.html').read_text(encoding='utf-8'))
    assert page.about['axes'] == ['u', 'v']
    assert np.allclose(numbers_of(page, 2), table['u'], atol=1e-4)
    assert [entry['name'] for entry in page.about['columns']] == ['u', 'ra']
    assert page.about['questions'] == []


def test_few_rows_without_flags(table, tmp_path):
    few = table[:12].copy()
    write_report(few, tmp_path / 'a.html')
    assert 'no score: 8 rows have no flags' in (tmp_path / 'a.html').read_text(encoding='utf-8')
    few['galvae_flags'] = 64
    with pytest.raises(ValueError, match='0 of 12 rows have latents and no flags'):
        write_report(few, tmp_path / 'b.html')
    assert not (tmp_path / 'b.html').exists()


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        ({'map_columns': ['ra']}, ValueError, 'expected two'),
        ({'map_columns': ['ra', 'none']}, KeyError, 'none'),
        ({'columns': ['none']}, KeyError, 'none'),
        ({'id_column': 'none'}, KeyError, 'none'),
        ({'max_points': 0}, ValueError, 'max_points is 0'),
        ({'model': 'gz2-sdss-v1'}, ModelMismatchError, 'gz2-sdss-v3'),
    ],
)
def test_wrong_calls_are_refused(table, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        write_report(table, tmp_path / 'a.html', **options)
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_is_there_is_kept(table, tmp_path):
    path = tmp_path / 'a.html'
    path.write_text('mine')
    with pytest.raises(FileExistsError):
        write_report(table, path)
    assert path.read_text() == 'mine'
    write_report(table, path, overwrite=True)
    assert path.read_text(encoding='utf-8').startswith('<!DOCTYPE html>')


def test_without_latents_there_is_no_page(tmp_path):
    with pytest.raises(KeyError, match='no latents'):
        write_report(Table({'x': [1.0, 2.0]}), tmp_path / 'a.html', model='gz2-sdss-v3')


def test_the_command(table, field_files, tmp_path, galvae):
    encoded = galvae(
        *('encode', *field_files.values(), '--bands', 'g,r,z', '-o', tmp_path / 't.fits'),
        *('--no-reconstruction',),
    )
    assert encoded.code == 0, encoded.err
    words = ('report', tmp_path / 't.fits', '-o', tmp_path / 't.html')
    images = ('--images', *field_files.values(), '--bands', 'g,r,z')
    run = galvae(*words, *images)
    assert run.code == 0, run.err
    assert run.out == ''
    page = Parts((tmp_path / 't.html').read_text(encoding='utf-8'))
    assert page.about['n'] == 6
    assert page.about['sheets']['side'] == 128
    galvae(*words).fails(2, '--overwrite')
    galvae(*words[:2], '-o', tmp_path / 't.fits', '--overwrite').fails(2, 't.fits')
    galvae(*words, '--overwrite', '--columns', 'none').fails(2, 'none')
    write_table(table, tmp_path / 'other.fits')
    run = galvae('report', tmp_path / 'other.fits', '-o', tmp_path / 'o.html', '--max-points', 20)
    assert run.code == 0, run.err
