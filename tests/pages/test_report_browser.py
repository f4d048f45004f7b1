# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The report in a browser: loads, hovers, selects, saves, on large and small screens."""

import csv
import time

import page_tables
import pytest
from browser import CHROMIUM, Browser

from galvae_affiliated.pages import open_table_cutouts, write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium')


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp('report') / 'report.html'
    table = page_tables.make_table()
    cutouts = open_table_cutouts(page_tables.make_pictures(), table)
    write_report(table, path, cutouts=cutouts)
    return path


@pytest.fixture(scope='module')
def started(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp('browser')) as browser:
        yield browser


@pytest.fixture
def browser(report, started):
    started.resize(1280, 900)
    started.errors.clear()
    started.requests.clear()
    started.open(report.as_uri())
    return started


def place_of(browser, point):
    """Where a point is on the screen."""
    browser.run('document.getElementById("map").scrollIntoView()')
    return browser.run(f"""(() => {{
        const box = document.getElementById('map').getBoundingClientRect();
        const [x, y] = galvaeReport.map.toScreen({point});
        return [box.left + 1 + x, box.top + 1 + y];
    }})()""")


def text_of(browser, name):
    return browser.run(f'document.getElementById("{name}").textContent')


def test_it_loads_and_asks_for_nothing(browser, report):
    assert browser.errors == []
    asked = [url for url in browser.requests if not url.startswith(('blob:', 'data:'))]
    assert asked == [report.as_uri()]
    assert browser.run('document.title') == 'Report of report'
    assert text_of(browser, 'status') == ''
    # identifiers are texts, whatever they are
    assert browser.run('document.querySelectorAll("img").length') == 0
    assert 'onerror' in browser.run('document.querySelector("main").textContent')


def test_its_policy_lets_nothing_in(browser):
    browser.run("""(() => {
        const script = document.createElement('script');
        script.textContent = 'window.taken = true';
        document.body.append(script);
    })()""")
    assert browser.run('window.taken === undefined')
    assert browser.run('fetch("https://example.org").then(() => "in", () => "refused")') == (
        'refused'
    )


def test_hovering_shows_the_cutout(browser):
    browser.mouse('mouseMoved', *place_of(browser, 20))
    browser.wait('!document.getElementById("tip").hidden')
    assert 'J021' in text_of(browser, 'tip')  # row 4 is not on the map
    browser.wait("""(() => {
        const canvas = document.querySelector('#tip canvas');
        const { data } = canvas.getContext('2d').getImageData(canvas.width / 2,
            canvas.height / 2, 1, 1);
        return data[1] > 100;
    })()""")
    assert browser.errors == []


def test_clicking_shows_votes_and_similar_ones(browser):
    browser.click(*place_of(browser, 20))
    browser.wait('document.querySelectorAll("#detail .gallery button").length === 12')
    assert browser.run('document.querySelectorAll("#detail .question").length') == 12
    assert 'J021' in text_of(browser, 'detail')
    assert 'arcsec' in text_of(browser, 'detail')


def test_a_lasso_selects_and_the_selection_is_saved(browser):
    browser.run('document.getElementById("lasso").click()')
    x, y = place_of(browser, 0)
    left, top, right, bottom = browser.run("""(() => {
        const box = document.getElementById('map').getBoundingClientRect();
        return [box.left + 3, box.top + 3, box.right - 3, box.bottom - 3];
    })()""")
    browser.drag([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    browser.wait('document.getElementById("chosen").textContent.startsWith("59 ")')
    browser.run('document.getElementById("save").click()')
    path = browser.folder / 'selection.csv'
    for _ in range(100):
        if path.exists():
            break
        time.sleep(0.05)
    with open(path, newline='') as file:
        head, *lines = csv.reader(file)
    assert head == ['row', 'id_str', 'ra', 'dec']
    assert len(lines) == 59
    table = page_tables.make_table()
    assert [int(line[0]) for line in lines] == [row for row in range(60) if row != 4]
    assert lines[1][1] == page_tables.HOSTILE
    assert lines[2][1] == f"'{table['id_str'][2]}"  # no formula for a table program
    assert abs(float(lines[30][2]) - table['ra'][31]) < 1e-6
    # votes are shown once their columns are read, which the file does not wait for
    browser.wait('document.querySelectorAll("#selectionvotes .question").length === 12')
    browser.run('document.getElementById("clear").click()')
    assert text_of(browser, 'chosen').startswith('Nothing')
    assert browser.errors == []


def test_all_of_it_is_done_with_keys(browser):
    browser.run('document.getElementById("map").focus()')
    browser.key('ArrowRight')
    browser.wait('document.querySelector("#detail h3") !== null')
    first = browser.run('galvaeReport.map.point')
    browser.key('ArrowLeft')
    assert browser.run('galvaeReport.map.point') != first
    browser.key('Enter')
    assert text_of(browser, 'chosen') == '1 selected.'
    browser.key('+')
    browser.key('+')
    browser.key('a')
    n_in_view = int(text_of(browser, 'chosen').split()[0])
    assert 0 < n_in_view < 59
    browser.key('Escape')
    assert text_of(browser, 'chosen').startswith('Nothing')


def test_every_column_colours_the_map(browser):
    n = browser.run('document.getElementById("color").options.length')
    assert n > 40
    for i in (0, 1, n // 2, n - 1):
        browser.run(f"""(() => {{
            const select = document.getElementById('color');
            select.value = {i};
            select.dispatchEvent(new Event('change'));
        }})()""")
        browser.wait('document.getElementById("legend").textContent.length > 0')
    assert browser.errors == []


def test_an_identifier_is_found(browser):
    for text, expected in (('J030', 'J030'), ('<b>', 'No identifier')):
        browser.run(f"""(() => {{
            const field = document.getElementById('find');
            field.value = '{text}';
            field.dispatchEvent(new Event('change'));
        }})()""")
        where = 'detail' if expected == 'J030' else 'status'
        browser.wait(f'document.getElementById("{where}").textContent.includes("{expected}")')


def test_flagged_rows_can_be_left_out(browser):
    browser.run('document.getElementById("flagged").click()')
    browser.run('document.getElementById("home").click()')
    browser.run('document.getElementById("view").click()')
    assert text_of(browser, 'chosen') == '56 selected.'


@pytest.mark.parametrize('width', [400, 1280, 1920])
def test_nothing_is_wider_than_the_screen(browser, width):
    browser.resize(width, 800, touch=width < 500)
    assert browser.run('document.documentElement.scrollWidth') <= width
    browser.run('galvaeReport.map.reveal(20)')
    browser.wait('document.querySelectorAll("#detail .gallery button").length === 12')
    assert browser.run('document.documentElement.scrollWidth') <= width
    assert browser.errors == []


def test_a_finger_taps_and_two_zoom(browser):
    browser.resize(400, 800, touch=True)
    x, y = place_of(browser, 20)
    touch = 'Input.dispatchTouchEvent'
    browser.call(touch, type='touchStart', touchPoints=[{'x': x, 'y': y, 'id': 1}])
    browser.call(touch, type='touchEnd', touchPoints=[])
    browser.wait('galvaeReport.map.point >= 0')
    browser.wait('document.querySelector("#detail h3") !== null')
    before = browser.run('galvaeReport.map.scale')
    for gap in (20, 40, 80):
        points = [{'x': 200 - gap, 'y': y, 'id': 1}, {'x': 200 + gap, 'y': y, 'id': 2}]
        kind = 'touchStart' if gap == 20 else 'touchMove'
        browser.call(touch, type=kind, touchPoints=points)
    browser.call(touch, type='touchEnd', touchPoints=[])
    assert browser.run('galvaeReport.map.scale') > 2 * before
    assert browser.errors == []
