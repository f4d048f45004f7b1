# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a report says in words: flags, applicability, rows without latents, origin."""

from datetime import UTC, datetime
from html import escape

import numpy as np

from galvae_affiliated import __version__
from galvae_affiliated.flags import describe_flags, flag_meanings
from galvae_affiliated.models.applicability import ApplicabilityReasons
from galvae_affiliated.pages._template import table_rows
from galvae_affiliated.tables.maps import plain_values

LISTED = 500  # rows without latents that are listed one by one
LONGEST = 300  # letters of an entry of the table's metadata


def flag_section(flags):
    """
    HTML of how many rows have each flag.

    Parameters
    ----------
    flags : (N,) int array
    """
    n = max(len(flags), 1)
    rows = [('none', int((flags == 0).sum()), f'{(flags == 0).sum() / n:.1%}', '', '')]
    for name, (bit, is_masked, meaning) in flag_meanings().items():
        count = int(((flags & bit) != 0).sum())
        if count:
            rows.append((name, count, f'{count / n:.1%}', 'no latents' if is_masked else '',
                         meaning))
    return table_rows(rows, ('flag', 'rows', 'share', '', 'meaning'))


def lost_section(table, rows, ids):
    """
    HTML of the rows that have no place on the map.

    Parameters
    ----------
    table : `~astropy.table.Table`
    rows : (n,) int array
    ids : callable
        From rows to their identifiers.
    """
    if not len(rows):
        return '<p>Every row has a place on the map.</p>'
    flags = np.zeros(len(table), dtype=int)
    if 'galvae_flags' in table.colnames:
        flags = np.ma.filled(np.ma.asarray(table['galvae_flags']), 0)
    listed = rows[:LISTED]
    lines = [(int(row), one, ', '.join(describe_flags(flags[row])))
             for row, one in zip(listed, ids(listed))]
    more = f'<p>And {len(rows) - LISTED} more.</p>' if len(rows) > LISTED else ''
    return (f'<p>{len(rows)} rows have no place on the map: they could not be measured.</p>'
            f'<details><summary>Which</summary>'
            f'{table_rows(lines, ("row", "identifier", "flags"))}{more}</details>')


def applicability_section(table):
    """HTML of how far the model is at home among these galaxies, where the table says so."""
    names = [name for name in ('galvae_applicability', 'galvae_applicability_reasons',
                               'galvae_recon_chi2') if name in table.colnames]
    if not names:
        return '<p>The table has no column of the applicability of its model.</p>'
    lines = []
    for name in names:
        values = plain_values(table[name])
        text = _describe_reasons(values) if name.endswith('_reasons') else _quantiles(values)
        lines.append((name, table[name].info.description or '', text))
    return table_rows(lines, ('column', 'meaning', 'values'))


def _describe_reasons(values):
    """How many rows have each reason."""
    values = np.ma.filled(values, 0)
    bits = {name: bit for name, bit in vars(ApplicabilityReasons).items() if name[0] != '_'}
    counts = {name: int(((values & bit) != 0).sum()) for name, bit in bits.items()}
    return ', '.join(f'{name}: {count} rows' for name, count in counts.items() if count) or 'none'


def _quantiles(values):
    left_out = int(np.ma.getmaskarray(values).sum())
    known = values.compressed()
    known = known[np.isfinite(known)]
    if not len(known):
        return 'none'
    low, middle, high = (f'{value:.3g}' for value in np.percentile(known, [5, 50, 95]))
    more = f'; {left_out} masked' if left_out else ''
    return f'median {middle}, 5 to 95 per cent: {low} to {high}{more}'


def origin_section(table, model, source, notes):
    """
    HTML of where the page comes from.

    Parameters
    ----------
    table : `~astropy.table.Table`
    model : `~galvae_affiliated.ModelBundle`
    source : str
        What the table was read from; empty if it is not known.
    notes : list of (str, str)
        More to say.
    """
    lines = [('table', source or 'not stated'), ('rows', len(table)), ('model', model.id),
             ('SHA-256 of the model', model.sha256),
             ('galvae_affiliated', __version__),
             ('made', datetime.now(UTC).strftime('%Y-%m-%d %H:%M UTC')), *notes]
    lines += [(f'table: {key}', _shortened(value)) for key, value in table.meta.items()
              if not str(key).startswith('__')]
    return table_rows(lines)


def card_section(text):
    """HTML of a model card."""
    return f'<pre>{escape(text)}</pre>'


def _shortened(value):
    text = str(value)
    return text if len(text) <= LONGEST else f'{text[:LONGEST]} ...'
