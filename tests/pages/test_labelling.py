# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The labelling page: who is answered, what is kept, and that a kill loses nothing."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.parse

import numpy as np
import page_tables
import pytest
from astropy.table import Table
from browser import CHROMIUM, PATIENCE, Browser

from galvae_affiliated.explore import ActiveSearch
from galvae_affiliated.pages import LabelServer, open_table_cutouts
from galvae_affiliated.tables import write_table


@pytest.fixture(scope='module')
def table():
    return page_tables.make_table()


@pytest.fixture(scope='module')
def cutouts(table):
    return open_table_cutouts(page_tables.make_pictures(), table)


@pytest.fixture
def serve(table, cutouts, tmp_path):
    """Start a server of the answers in the test's folder; all are stopped at the end."""
    running = []

    def function():
        server = LabelServer(ActiveSearch(table, tmp_path / 'answers.jsonl'), cutouts)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield function
    for server, thread in running:
        server.stop()
        thread.join(PATIENCE)


def ask(server, path, body=None, *, token=None, host=None, method=None):
    """Status and body of one request."""
    connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=PATIENCE)
    token = server.token if token is None else token
    headers = {} if host is None else {'Host': host}
    content = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
    method = method or ('GET' if body is None else 'POST')
    connection.request(method, f'/{path}?token={urllib.parse.quote(token)}', content, headers)
    response = connection.getresponse()
    result = response.status, response.read(), dict(response.getheaders())
    connection.close()
    return result


def test_only_who_has_the_token_is_answered(serve):
    server = serve()
    assert ask(server, '')[0] == 200
    for path in ('', 'next', 'cutout/3', 'nothing'):
        for token in ('', 'x', server.token + 'x', 'é'):
            status, content, _ = ask(server, path, token=token)
            assert status == 403
            assert b'J0' not in content
    assert ask(server, 'answer', {'row': 3, 'answer': 'boring'}, token='no')[0] == 403
    assert server.search.answers == {}


def test_a_name_that_points_here_is_refused(serve):
    server = serve()
    assert ask(server, 'next', host=f'localhost:{server.port}')[0] == 200
    for host in ('evil.example', f'evil.example:{server.port}', '127.0.0.1', '127.0.0.1:1', ''):
        assert ask(server, 'next', host=host)[0] == 403


def test_it_listens_on_this_machine_alone(serve):
    server = serve()
    assert server.url.startswith(f'http://127.0.0.1:{server.port}/?token=')
    assert server._http.socket.getsockname()[0] == '127.0.0.1'


@pytest.mark.parametrize(
    ('path', 'body', 'status'),
    [
        ('nothing', None, 404),
        ('../etc/passwd', None, 404),
        ('cutout/60', None, 404),
        ('cutout/-1', None, 404),
        ('cutout/99999999999999999999999', None, 404),
        ('cutout/²', None, 404),
        ('answer', {'row': 3, 'answer': 'nice'}, 400),
        ('answer', {'row': 60, 'answer': 'boring'}, 400),
        ('answer', {'row': -1, 'answer': 'boring'}, 400),
        ('answer', {'row': 4, 'answer': 'boring'}, 400),
        ('answer', {'row': '3', 'answer': 'boring'}, 400),
        ('answer', {'row': True, 'answer': 'boring'}, 400),
        ('answer', {'answer': 'boring'}, 400),
        ('answer', [3, 'boring'], 400),
        ('answer', b'no json', 400),
        ('answer', b'\xff\xfe', 400),
        ('answer', b'x' * 2000, 413),
        ('nothing', {}, 404),
    ],
)
def test_what_is_wrong_is_refused(serve, path, body, status):
    server = serve()
    path = urllib.parse.quote(path)
    assert ask(server, path, body)[0] == status
    assert server.search.answers == {}
    assert ask(server, 'next')[0] == 200


def test_the_page_forbids_what_it_does_not_need(serve):
    status, page, headers = ask(serve(), '')
    assert headers['X-Frame-Options'] == 'DENY'
    assert headers['Referrer-Policy'] == 'no-referrer'
    assert b"default-src 'none'" in page
    assert b'http' not in page.replace(b'http-equiv', b'')


def test_answers_are_on_the_disk_at_once(serve, tmp_path):
    server = serve()
    state = json.loads(ask(server, 'next')[1])
    row = state['shown']['row']
    status, content, _ = ask(server, 'answer', {'row': row, 'answer': 'interesting'})
    assert status == 200
    after = json.loads(content)
    assert after['shown']['row'] != row
    assert after['counts'] == {'interesting': 1, 'boring': 0, 'artifact': 0}
    lines = (tmp_path / 'answers.jsonl').read_text().splitlines()
    assert json.loads(lines[-1]) == {'row': row, 'answer': 'interesting'}


def test_it_learns_after_every_ten(serve, monkeypatch):
    server = serve()
    asked = []
    real = server.search.next_rows
    monkeypatch.setattr(
        server.search, 'next_rows', lambda n: asked.append(len(server.search.answers)) or real(n)
    )
    state = json.loads(ask(server, 'next')[1])
    seen = []
    for i in range(25):
        row = state['shown']['row']
        seen.append(row)
        answer = 'interesting' if i % 3 == 0 else 'boring'
        state = json.loads(ask(server, 'answer', {'row': row, 'answer': answer})[1])
    assert asked == [0, 10, 20]
    assert len(set(seen)) == 25
    assert 4 not in seen  # it has no latents


def test_undo_shows_the_galaxy_again(serve):
    server = serve()
    row = json.loads(ask(server, 'next')[1])['shown']['row']
    ask(server, 'answer', {'row': row, 'answer': 'boring'})
    state = json.loads(ask(server, 'undo', {})[1])
    assert state['shown']['row'] == row
    assert sum(state['counts'].values()) == 0
    assert server.search.answers == {}


def test_when_all_were_looked_at_it_says_so(serve):
    server = serve()
    state = json.loads(ask(server, 'next')[1])
    for _ in range(59):
        assert state['shown'] is not None
        body = {'row': state['shown']['row'], 'answer': 'boring'}
        state = json.loads(ask(server, 'answer', body)[1])
    assert state['shown'] is None
    assert state['counts']['boring'] == 59


def test_cutouts_are_pictures(serve):
    from io import BytesIO

    from PIL import Image

    status, content, headers = ask(serve(), 'cutout/30')
    assert headers['Content-Type'] == 'image/webp'
    picture = np.asarray(Image.open(BytesIO(content)))
    assert picture.shape == (128, 128, 3)
    assert picture[64, 64].max() > 140
    assert picture[:12].mean() > picture[-12:].mean() + 20  # the bar is at the upper edge


def test_a_table_of_another_length_is_refused(table, cutouts, tmp_path):
    search = ActiveSearch(table[:50], tmp_path / 'a.jsonl')
    with pytest.raises(ValueError, match='cutouts of 60 rows; the table has 50'):
        LabelServer(search, cutouts)


def start_command(folder):
    """``galvae label`` as a process of its own, and its address."""
    code = (
        'import signal, sys\n'
        # a shell starts what runs in the background with interrupts ignored, which is inherited
        'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
        'from galvae_affiliated.scripts.main import main\n'
        'sys.exit(main())'
    )
    process = subprocess.Popen(
        [
            *(sys.executable, '-c', code, 'label', 'table.fits', '--images', 'set.parquet'),
            *('-o', 'out.fits', '--no-browser', '--already-scaled', '--device', 'cpu'),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = urllib.parse.urlsplit(process.stdout.readline().strip())

    class Address:
        port = url.port
        token = urllib.parse.parse_qs(url.query)['token'][0]

    return process, Address


@pytest.fixture
def folder(tmp_path):
    """A table, and a Parquet set of its cutouts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from galvae_affiliated.pages._thumbnails import encode_picture, shrink

    table = page_tables.make_table(hostile=False)
    write_table(table, tmp_path / 'table.fits')
    pictures = shrink(page_tables.make_pictures(), 128)
    images = [{'bytes': encode_picture(one), 'path': None} for one in pictures]
    order = np.random.default_rng(1).permutation(len(images)).tolist()
    names = table['id_str'].tolist()
    pq.write_table(
        pa.table({'id_str': [names[i] for i in order], 'image': [images[i] for i in order]}),
        tmp_path / 'set.parquet',
    )
    return tmp_path


def test_a_run_that_is_killed_goes_on(folder, galvae):
    process, address = start_command(folder)
    said = {}
    state = json.loads(ask(address, 'next')[1])
    for i in range(13):
        row = state['shown']['row']
        said[row] = 'interesting' if i % 4 == 0 else 'artifact' if i == 5 else 'boring'
        state = json.loads(ask(address, 'answer', {'row': row, 'answer': said[row]})[1])
    process.kill()
    process.wait(PATIENCE)
    process.stdout.close()
    process.stderr.close()
    assert not (folder / 'out.fits').exists()

    process, address = start_command(folder)
    state = json.loads(ask(address, 'next')[1])
    assert sum(state['counts'].values()) == 13
    assert state['shown']['row'] not in said
    assert ask(address, f'cutout/{state["shown"]["row"]}')[0] == 200
    said[state['shown']['row']] = 'boring'
    ask(address, 'answer', {'row': state['shown']['row'], 'answer': 'boring'})
    ask(address, 'stop', {})
    assert process.wait(PATIENCE) == 0, process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    table = Table.read(folder / 'out.fits')
    assert len(table) == 60
    answers = np.ma.filled(table['galvae_search_answer'].astype(str), '')
    assert {row: text for row, text in enumerate(answers) if text} == said
    assert np.ma.getmaskarray(table['galvae_search_score'])[4] or np.isnan(
        table['galvae_search_score'][4]
    )
    found = galvae(
        *('label', folder / 'table.fits', '-o', folder / 'again.fits', '--scores-only'),
        *('--answers', folder / 'out.answers.jsonl'),
    )
    assert found.code == 0, found.err
    again = Table.read(folder / 'again.fits')
    assert np.allclose(again['galvae_search_score'], table['galvae_search_score'], equal_nan=True)


@pytest.mark.skipif(os.name == 'nt', reason='signals of POSIX')
def test_an_interrupt_loses_nothing(folder):
    process, address = start_command(folder)
    row = json.loads(ask(address, 'next')[1])['shown']['row']
    ask(address, 'answer', {'row': row, 'answer': 'interesting'})
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert 'interrupted' in process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    assert f'"row": {row}' in (folder / 'out.answers.jsonl').read_text()


def test_wrong_words_of_the_command(folder, galvae):
    words = ('label', folder / 'table.fits', '-o', folder / 'out.fits')
    galvae(*words).fails(2, '--images')
    galvae(*words, '--images', folder / 'set.parquet', '--like', 'J999').fails(2, 'J999')
    galvae(*words[:2], '-o', folder / 'table.fits', '--scores-only').fails(2, 'table.fits')
    galvae(*words[:2], '-o', folder / 'out.txt', '--scores-only').fails(2, '.txt')


@pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium')
def test_the_page_in_a_browser(serve, tmp_path):
    server = serve()
    with Browser(tmp_path) as browser:
        browser.open(server.url, 'document.body.dataset.row !== undefined')
        browser.wait('document.getElementById("cutout").naturalWidth === 128')
        for i, key in enumerate(['i', 'b', 'a', '1', '2']):
            row = browser.run('document.body.dataset.row')
            browser.key(key)
            browser.wait(f'document.body.dataset.row !== "{row}"')
            assert len(server.search.answers) == i + 1
        assert list(server.search.answers.values()) == [
            'interesting',
            'boring',
            'artifact',
            'interesting',
            'boring',
        ]
        browser.key('u')
        browser.wait('document.getElementById("counts").textContent.startsWith("4 ")')
        browser.run('document.querySelector("#buttons button").click()')
        browser.wait('document.getElementById("counts").textContent.startsWith("5 ")')
        for width in (400, 1280, 1920):
            browser.resize(width, 800)
            assert browser.run('document.documentElement.scrollWidth') <= width
        asked = {urllib.parse.urlsplit(url).netloc for url in browser.requests}
        assert asked <= {f'127.0.0.1:{server.port}', ''}
        assert browser.errors == []
        server.stop()  # a page whose command has ended says so, and counts nothing
        browser.key('b')
        browser.wait('document.getElementById("message").textContent.includes("Not kept")')
        assert len(server.search.answers) == 5
