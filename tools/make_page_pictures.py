# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Draw the pages and the plots of the simulated demo field, for the documentation.

    make_page_pictures.py FOLDER

``report.png``, ``label.png``: what Chromium shows of the pages, which has to be installed.
``plots.png``: plots for notebooks.
"""

import argparse
import sys
import tempfile
import threading
import time
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from galvae_affiliated import add_morphology, make_cutouts, open_field
from galvae_affiliated.explore import ActiveSearch
from galvae_affiliated.pages import LabelServer, open_table_cutouts, write_report
from galvae_affiliated.plotting import (
    gallery_rows,
    plot_field,
    plot_latent_map,
    plot_reconstructions,
    plot_votes,
)
from galvae_affiliated.scripts.main import main as galvae
from galvae_affiliated.tables import read_catalog
from galvae_affiliated.tables.identifiers import read_identifiers

sys.path.insert(0, str(Path(__file__).parents[1] / 'tests' / 'pages'))
from browser import Browser

FIELD = 'demo_field.fits'
SIZE = 1280, 960
COLORS = 256  # of a screenshot in the repository


def save_small(path, picture):
    """A PNG of few colours."""
    picture.convert('RGB').quantize(COLORS).save(path, optimize=True)


def draw_report(table, cutouts, folder, browser):
    write_report(table, folder / 'demo.html', cutouts=cutouts, title='Report of demo.fits')
    browser.open((folder / 'demo.html').as_uri())
    pointed_at, *selected = read_identifiers(table, rows=gallery_rows(table, limit=8))
    browser.run(f"""(() => {{
        const report = galvaeReport;
        report.map.select({selected}.map((id) => report.ids.indexOf(id)));
        report.map.reveal(report.ids.indexOf('{selected[0]}'));
    }})()""")
    browser.wait('document.querySelectorAll("#detail .gallery button").length === 12')
    x, y = browser.run(f"""(() => {{
        const box = document.getElementById('map').getBoundingClientRect();
        const [x, y] = galvaeReport.map.toScreen(galvaeReport.ids.indexOf('{pointed_at}'));
        return [box.left + x + 1, box.top + y + 1];
    }})()""")
    browser.mouse('mouseMoved', x, y)
    browser.wait('!document.getElementById("tip").hidden')
    time.sleep(2)  # until all pictures are decoded
    browser.screenshot(folder / 'report.png')


def draw_label(table, cutouts, folder, browser):
    server = LabelServer(ActiveSearch(table, folder / 'answers.jsonl'), cutouts)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    browser.resize(620, 860)
    browser.open(server.url, 'document.getElementById("cutout").naturalWidth > 0')
    for key in 'ibbi':
        row = browser.run('document.body.dataset.row')
        browser.key(key)
        browser.wait(f'document.body.dataset.row !== "{row}"')
    browser.wait('document.getElementById("cutout").complete')
    time.sleep(1)
    browser.screenshot(folder / 'label.png')
    server.stop()
    thread.join()


def draw_plots(table, field, path):
    from matplotlib import pyplot

    table = add_morphology(table, n_samples=32, overwrite=True)
    rows = gallery_rows(table, limit=6)
    stack = make_cutouts(field, table[rows], radius='galvae_radius')
    figure = pyplot.figure(figsize=(13, 9), layout='constrained')
    left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
    upper, lower = left.subfigures(2, 1, height_ratios=(1.5, 1))
    plot_field(field, table, ax=upper.add_subplot(projection=field.wcs))
    plot_reconstructions(stack, axes=lower.subplots(3, len(stack)))
    upper, lower = right.subfigures(2, 1, height_ratios=(1.2, 1))
    questions = ['smooth-or-featured', 'has-spiral-arms', 'bar', 'spiral-winding', 'odd-feature']
    plot_votes(table[int(rows[0])], questions=questions, ax=upper.subplots())
    plot_latent_map(table, color='smooth-or-featured_answer', ax=lower.subplots())
    figure.savefig(path, dpi=72)


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('folder', type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        galvae(['demo', '--folder', str(folder), '--device', 'cpu'])
        table = read_catalog(folder / 'demo.fits')
        with resources.as_file(resources.files('galvae_affiliated') / 'data' / FIELD) as path:
            field = open_field(str(path), bands='g,r,z')
            cutouts = open_table_cutouts(field, table)
            with Browser(folder, SIZE) as browser:
                draw_report(table, cutouts, folder, browser)
                draw_label(table, cutouts, folder, browser)
            draw_plots(table, field, folder / 'plots.png')
        for name in ('report', 'label', 'plots'):
            picture = Image.open(folder / f'{name}.png')
            if name == 'plots':
                picture.convert('RGB').save(options.folder / f'{name}.png', optimize=True)
            else:
                save_small(options.folder / f'{name}.png', picture)
            print(name, np.shape(picture), (options.folder / f'{name}.png').stat().st_size)


if __name__ == '__main__':
    main()
