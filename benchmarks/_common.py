# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the benchmarks share: composites of a Parquet file, and tables as text."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from galvae_affiliated._batches import row_slices
from galvae_affiliated.cutouts.sets import open_cutout_set

ROWS_AT_ONCE = 256


def split_ids(path, split):
    """Identifiers of the galaxies of a split of a Parquet file, in their order."""
    table = pq.read_table(path, columns=['id_str', 'split'], filters=[('split', '=', split)])
    return np.array(table.column('id_str').to_pylist())


def composites(path, bundle, ids, dtype=np.float32):
    """(N, 3, grid, grid) composites of the galaxies with these identifiers, in their order."""
    place = {name: i for i, name in enumerate(ids)}
    images = np.zeros((len(ids), 3, bundle.grid, bundle.grid), dtype)
    source = open_cutout_set(path, bundle.frame, already_scaled=True)
    slices = row_slices(len(source), ROWS_AT_ONCE)
    for rows, stack in zip(slices, source.stacks(slices)):
        for name, image in zip(source.ids(rows), stack.data):
            if name in place:
                images[place.pop(name)] = image
        if not place:
            break
    return images


def name_of(model_id):
    """The name in an identifier, whose rest changes with any part of the file."""
    return model_id.partition('@')[0]


def rounded(value):
    """Figures to four digits, whatever holds them."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(float(value), 4) if isinstance(value, (float, np.floating)) else value


def list_table(title, header, rows, *, compact=False):
    """
    A reStructuredText list-table; a dash by itself is escaped, or it would begin a list.

    One that is ``compact`` has columns as narrow as their words.
    """
    lines = [f'.. list-table:: {title}'.rstrip(), '   :header-rows: 1',
             *['   :class: compact'] * compact, '']
    for row in [header, *rows]:
        cells = [r'\-' if cell == '-' else cell for cell in row]
        lines += [f'   {" " if i else "*"} - {cell}' for i, cell in enumerate(cells)]
    return '\n'.join([*lines, ''])


def text_table(title, header, rows):
    """The same table for a terminal."""
    rows = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return '\n'.join([title, '=' * len(title), *lines, ''])


def write_report(options, figures, tables='', script=''):
    """The figures as JSON, and tables for the documentation, to the files of ``options``."""
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1))
    if getattr(options, 'rst', None):
        Path(options.rst).write_text(f'.. made by benchmarks/{script}\n\n{tables}')


def add_outputs(parser, *, rst=True, required=False):
    """The options of the files that a benchmark writes."""
    parser.add_argument('--json', required=required, help='file for all figures')
    if rst:
        parser.add_argument('--rst', required=required, help='file for the tables')
