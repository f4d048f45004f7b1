# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae label``."""

from pathlib import Path

from galvae_affiliated.scripts._common import (
    add_model_group,
    add_output_options,
    check_output,
)
from galvae_affiliated.scripts._cutouts import add_cutout_options, open_cutouts


def add_label(parser):
    parser.describe(
        'A page on this machine alone shows galaxies in the order of what it wants to know, and '
        'learns after every ten answers. Each answer is kept at once: the same command goes on '
        'where it was, however it ended.',
        'galvae label table.fits --images g.fits r.fits z.fits --bands g,r,z -o labelled.fits',
        run=_run_label)
    parser.add_argument('table', metavar='TABLE', help='as galvae encode wrote it')
    add = parser.add_argument_group('search').add_argument
    add('--answers', metavar='FILE',
        help='where the answers are kept; OUT with the ending .answers.jsonl if left out')
    add('--like', metavar='ID,...', help='identifiers of such galaxies as are sought')
    add('--score', metavar='NAME',
        help='column by which the first galaxies are shown; outlier scores if left out')
    add('--port', type=int, default=0, metavar='N', help='one that is free if left out')
    add('--no-browser', action='store_true', help='print the address alone')
    add('--scores-only', action='store_true',
        help='write the table from the answers that there are, without a page')
    add_output_options(parser, 'OUT', 'table to write, with galvae_search_score and '
                       'galvae_search_answer', 'OUT')
    add_cutout_options(parser)
    add_model_group(parser)


def _run_label(options):
    from galvae_affiliated._atomic import check_inputs_kept
    from galvae_affiliated.explore.search import ActiveSearch
    from galvae_affiliated.tables.files import output_format, read_catalog, write_table

    output_format(options.output)
    check_output(options.output, options.overwrite)
    check_inputs_kept(options.output, [options.table, options.images, options.model])
    if not (options.images or options.scores_only):
        raise ValueError('--images says where the cutouts are that are to be looked at')
    table = read_catalog(options.table)
    answers = options.answers or Path(options.output).with_suffix('.answers.jsonl')
    search = ActiveSearch(table, answers, like=_rows_of(table, options.like, options.id_column),
                          score=options.score or _plain_score(table, options.model),
                          model=options.model)
    if not options.scores_only:
        _show(search, options)
    n_rows = write_table(search.add_score(overwrite=True), options.output)
    return f'{options.output}: {n_rows} rows; {len(search.answers)} answers kept in {answers}'


def _plain_score(table, model):
    """Outlier scores to begin with, where the table has none and enough rows for them."""
    from galvae_affiliated.explore._latents import read_latents
    from galvae_affiliated.pages._galleries import SCORE, with_scores

    scored, _ = with_scores(table, read_latents(table, model), 0)
    return scored[SCORE] if SCORE in scored.colnames else None


def _show(search, options):
    """Show the page until the person says that it is enough, here or in the browser."""
    import webbrowser

    from galvae_affiliated.pages.labelling import LabelServer

    cutouts = open_cutouts(options, search.table, search.latents.model)
    server = LabelServer(search, cutouts, port=options.port, id_column=options.id_column)
    print(server.url, flush=True)
    if not options.no_browser:
        webbrowser.open(server.url)
    server.run()


def _rows_of(table, text, id_column):
    """Rows of identifiers that are separated by commas."""
    from galvae_affiliated.tables.identifiers import read_identifiers

    if not text:
        return ()
    known = read_identifiers(table, id_column)
    rows = []
    for word in map(str.strip, text.split(',')):
        if word not in known:
            raise ValueError(f'--like: there is no identifier {word!r} in the table, which has '
                             f'{known[0] if known else "none"}')
        rows.append(known.index(word))
    return rows
