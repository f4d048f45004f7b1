# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A table with latents as one page, which a browser opens without network."""

from html import escape
from pathlib import Path

import numpy as np

from galvae_affiliated._atomic import check_output, replacing
from galvae_affiliated._progress import progress_callback
from galvae_affiliated.explore._latents import fit_metric, read_latents
from galvae_affiliated.models.card import model_card
from galvae_affiliated.pages import _points, _summary
from galvae_affiliated.pages._encoding import number_block, pack_coordinates, pack_text
from galvae_affiliated.pages._galleries import cluster_galleries, odd_galleries, with_scores
from galvae_affiliated.pages._template import fill_page, to_json
from galvae_affiliated.pages._thumbnails import PER_SIDE, make_sheets
from galvae_affiliated.tables.identifiers import find_id_column, read_identifiers
from galvae_affiliated.tables.maps import find_map, principal_components

__all__ = ['write_report']

MAX_POINTS = 100_000
MAX_BYTES = 20_000_000
MAX_FITTED = 100_000  # rows by which directions are chosen
COLUMN_SHARE = 0.3  # of the page, at most for columns
GALLERY = 24
LEAST_CLEAN = 3  # rows that span a map
SCRIPTS = ('data', 'map', 'panels', 'main')


def write_report(table, path, *, cutouts=None, model=None, map_columns=None, columns=None,
                 id_column=None, max_points=MAX_POINTS, max_bytes=MAX_BYTES, n_gallery=GALLERY,
                 title=None, source='', overwrite=False, progress=None):
    """
    Write one page on a table: a map of its latents with cutouts, galleries, flags, origin.

    The page is one file. It loads nothing, and its policy forbids it to; texts of the table
    are shown as text, whatever they are. It needs a browser of 2023 or later.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        With latents; with votes, a map, outlier scores and clusters if it has them.
    path : str or path
        Of the page.
    cutouts : `~galvae_affiliated.pages.TableCutouts`, optional
        Of the rows, as `~galvae_affiliated.pages.open_table_cutouts` opens them; None makes a
        page without pictures.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        That the latents must be of; None takes the one that the table states.
    map_columns : sequence of two str, optional
        Coordinates of the map; None takes those that ``galvae map`` writes, and the first two
        principal components where there are none.
    columns : list of str, optional
        Columns to colour by; None takes as many as there is room for.
    id_column : str, optional
        Column of the identifiers; None takes the first of the usual names, and the number of
        the row, from 0, where there is none.
    max_points : int, optional
        Rows that are shown: more are sampled, and the page says so.
    max_bytes : int, optional
        Size of the page, which decides how large the pictures can be.
    n_gallery : int, optional
        Rows of a gallery.
    title : str, optional
    source : str, optional
        What the table was read from, for the origin of the page.
    overwrite : bool, optional
        Replace a file of this name.
    progress : bool or callable, optional
        See `~galvae_affiliated.encode_catalog`; of the cutouts.

    Returns
    -------
    n_points : int
        Rows that are shown.

    Raises
    ------
    KeyError, ModelMismatchError
        If there are no latents, or they are of another model; or a column does not exist.
    ValueError
        If too few rows can be shown, or the page cannot be as small as it should.
    FileExistsError
        If there is such a file.

    Examples
    --------
    >>> import tempfile
    >>> from astropy.table import Table
    >>> from galvae_affiliated import add_latents, get_model
    >>> from galvae_affiliated.pages import open_table_cutouts, write_report
    >>> images = get_model().generate(8, random_state=0).images
    >>> table = add_latents(Table({'id': range(8)}), images)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(table, f'{folder}/report.html', cutouts=open_table_cutouts(images, table))
    8
    """
    for name, value in (('max_points', max_points), ('max_bytes', max_bytes)):
        if value < 1:
            raise ValueError(f'{name} is {value}; expected at least 1')
    check_output(path, overwrite)
    if cutouts is not None and len(cutouts) != len(table):
        raise ValueError(f'there are cutouts of {len(cutouts)} rows; the table has {len(table)}')
    page = _Page(table, model, map_columns, id_column, max_points, n_gallery)
    blocks = page.blocks()
    entries, left_out = _fitting(_points.encode_columns(page.table, page.rows, columns),
                                 COLUMN_SHARE * max_bytes if columns is None else np.inf)
    blocks += [entry.pop('block') for entry in entries]
    used = sum(len(block.content) for block in blocks)
    sheets = None
    if cutouts is not None:
        report = progress_callback(progress)
        room = max_bytes - used - 100_000  # which the rest of the page needs at most
        sheets = make_sheets(lambda points, side: cutouts.pictures(page.rows[points], side),
                             len(page.rows), room, report)
    about = page.about(entries, blocks, sheets)
    text = _fill(page, about, blocks, sheets, title or f'Report of {Path(path).stem}', source,
                 left_out)
    with replacing(path) as unfinished:
        Path(unfinished).write_text(text, encoding='utf-8')
    return len(page.rows)


class _Page:
    """
    What a page shows of a table.

    Parameters
    ----------
    table, model, map_columns, id_column, max_points, n_gallery : object
        See `write_report`.
    """

    def __init__(self, table, model, map_columns, id_column, max_points, n_gallery):
        self.table = table
        self.latents = read_latents(table, model)
        self.model = self.latents.model
        self.latents.check_enough(LEAST_CLEAN, 'a report')
        self.id_name = find_id_column(table, id_column)
        names, places = find_map(table, map_columns)
        if places is None:
            places, shares = principal_components(self.latents.latent, self.latents.clean)
            names = [f'principal component {i + 1} ({share:.0%} of the variance)'
                     for i, share in enumerate(shares)]
        self.axes = names
        placed = np.isfinite(places).all(axis=1)
        self.table, self.score_text = with_scores(table, self.latents, n_gallery)
        self.galleries = [*odd_galleries(self.table, self.latents.clean, placed, n_gallery),
                          *cluster_galleries(table, placed)]
        kept = np.concatenate([np.zeros(0, dtype=int), *(g.rows for g in self.galleries)])
        self.rows = _points.sample_rows(len(table), placed, kept, max_points)
        self.places = places[self.rows]
        self.lost = np.flatnonzero(~placed)
        self.n_placed = int(placed.sum())

    def ids(self, rows):
        """Identifiers of rows, as a list of str."""
        return read_identifiers(self.table, self.id_name, rows)

    def blocks(self):
        """Blocks that every page has, in the order in which `about` names them."""
        rows, latents = self.rows, self.latents
        metric = fit_metric(latents)  # as galvae similar has it
        fitted = metric(latents.latent[latents.clean][:MAX_FITTED])
        return [pack_text(self.ids(rows)), pack_text(rows),
                number_block(self.places[:, 0]), number_block(self.places[:, 1]),
                number_block(latents.clean[rows].astype(float), 8),
                pack_coordinates(metric(latents.latent[rows]), fitted)]

    def about(self, entries, blocks, sheets):
        """What the script has to know, for JSON."""
        n_own = len(blocks) - len(entries)
        point = {int(row): i for i, row in enumerate(self.rows)}
        galleries, reasons = [], {}
        for gallery in self.galleries:
            shown = [i for i, row in enumerate(gallery.rows) if int(row) in point]
            galleries.append({
                'title': gallery.title, 'text': gallery.text,
                'points': [point[int(gallery.rows[i])] for i in shown],
                'captions': [gallery.captions[i] for i in shown] if gallery.captions else []})
            reasons |= {point[int(gallery.rows[i])]: gallery.reasons[i]
                        for i in shown if gallery.reasons}
        columns = [{**entry, 'place': n_own + i} for i, entry in enumerate(entries)]
        return {
            'n': len(self.rows), 'idName': self.id_name or 'row', 'axes': self.axes,
            'blocks': [block.about for block in blocks], 'columns': columns,
            'questions': _questions(self.model, [entry['name'] for entry in entries]),
            'galleries': galleries, 'reasons': reasons,
            'sheets': None if sheets is None else {
                'side': sheets.side, 'perSide': PER_SIDE, 'count': len(sheets.contents)}}


def _fitting(entries, room):
    """Entries of columns that fit, and the names of those that were left out."""
    kept, left_out = set(), []
    for i in sorted(range(len(entries)), key=lambda i: (_rank(entries[i]['name']), i)):
        size = len(entries[i]['block'].content)
        if size <= room:
            kept.add(i)
            room -= size
        else:
            left_out.append(entries[i]['name'])
    return [entries[i] for i in sorted(kept)], left_out


def _rank(name):
    """What a page can do without, from the least on."""
    if name.endswith(('_fraction', 'galvae_flags')):
        return 0  # votes
    if name.startswith(('galvae_latent', 'galvae_pose')):
        return 3
    return 2 if name.endswith(('_set', '_lo', '_hi')) else 1


def _questions(model, names):
    """Questions of which the page has the fractions, with the places of their columns."""
    place = {name: i for i, name in enumerate(names)}
    questions = []
    for question, answers in model.questions.items():
        columns = [f'{question}_{answer}_fraction' for answer in answers]
        if not all(column in place for column in columns):
            continue
        questions.append({
            'name': question, 'answers': list(answers),
            'fractions': [place[column] for column in columns],
            'low': [place.get(f'{column}_lo') for column in columns],
            'high': [place.get(f'{column}_hi') for column in columns],
            'reach': place.get(f'{question}_reach_fraction')})
    return questions


def _fill(page, about, blocks, sheets, title, source, left_out):
    """Text of the page."""
    table = page.table
    flags = page.latents.flags
    notes = [('rows on the map', _shown(page)), ('map', ' and '.join(page.axes)),
             ('odd ones', page.score_text),
             ('like this one', 'distances as galvae similar has them, among the rows on the map, '
              'in the directions with 99.5 per cent of the variance, a byte each')]
    if sheets is not None:
        notes.append(('pictures', f'{sheets.side} pixels a side, WebP of quality '
                                  f'{sheets.quality}'))
    if left_out:
        notes.append(('columns left out, as there was no room', ', '.join(left_out)))
    data = [f'<script type="text/plain" id="block-{i}">{block.content}</script>'
            for i, block in enumerate(blocks)]
    data += [f'<script type="text/plain" id="sheet-{i}">{content}</script>'
             for i, content in enumerate(sheets.contents if sheets else [])]
    parts = {'title': escape(title), 'shown': escape(_shown(page)),
             'about': to_json(about), 'data': '\n'.join(data),
             'flags': _summary.flag_section(flags),
             'lost': _summary.lost_section(table, page.lost, page.ids),
             'applicability': _summary.applicability_section(table),
             'card': _summary.card_section(model_card(page.model)),
             'origin': _summary.origin_section(table, page.model, source, notes)}
    return fill_page('report/report.html', styles=['report/report.css'],
                     scripts=[f'report/{name}.js' for name in SCRIPTS], parts=parts)


def _shown(page):
    """How many rows are shown, and of how many."""
    if len(page.rows) < page.n_placed:
        return (f'{len(page.rows):,} of {page.n_placed:,} rows that have latents, drawn at '
                'random, and the odd ones of all')
    return f'{len(page.rows):,} of {len(page.table):,} rows'
