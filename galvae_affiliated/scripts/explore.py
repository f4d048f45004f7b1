# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae outliers``, ``similar``, ``clusters`` and ``map``."""

from pathlib import Path

from galvae_affiliated.scripts._common import (
    add_model_group,
    add_model_option,
    add_output_options,
    check_output,
)
from galvae_affiliated.scripts._images import add_reading_options, reading_options

# of what the modules of the exploration know; they are not imported before they are needed
OUTLIER_METHODS = ('density', 'neighbor', 'mixture', 'isolation-forest', 'mahalanobis',
                   'class-distance')
METRICS = ('errors', 'white', 'standard')
CLUSTER_METHODS = ('mixture', 'hdbscan')
MAP_METHODS = ('pca', 'tsne', 'umap')
READING = ('bands', 'unit', 'pixel_scale', 'rendering')  # of an image that galaxies are to be like


def add_outliers(parser):
    parser.describe(
        'Adds galvae_outlier_score, a p-value, a rank and reasons to a table that galvae encode '
        'wrote, and prints the oddest galaxies.',
        'galvae outliers table.fits -o odd.fits',
        'galvae outliers table.fits --method mahalanobis -n 3 -o odd.parquet',
        run=_run_outliers)
    add = parser.add_argument_group('how').add_argument
    add('--method', choices=OUTLIER_METHODS, default='density', metavar='METHOD',
        help=f'how latents are compared: {", ".join(OUTLIER_METHODS)} (default density)')
    add('--latents-only', action='store_true',
        help='leave the predicted votes for something odd out of the score')
    add('--reference', metavar='TABLE',
        help='galaxies to compare with; those of the table itself if left out')
    add('-n', type=int, default=10, metavar='N', help='how many to print (default 10)')
    _add_table_options(parser, 'the scores')


def add_similar(parser):
    parser.describe(
        'Prints, or writes, the nearest galaxies in the space of latents.',
        'galvae similar table.fits --like 3',
        "galvae similar table.fits --like 3 -n 5 --where 'something-odd_yes_fraction < 0.5' "
        '-o like.fits',
        run=_run_similar)
    parser.add_argument('table', metavar='TABLE', help='as galvae encode wrote it')
    add = parser.add_argument_group('how').add_argument
    add('--like', required=True, metavar='ROW|ID|IMAGE',
        help='an identifier, a row from 0, or the file of an image: a picture, or a FITS cutout')
    add('-n', type=int, default=20, metavar='N', help='how many to find (default 20)')
    add('--where', action='append', default=[], metavar='CONDITION',
        help="only galaxies such as 'bar_yes_fraction > 0.5'; may be given several times")
    add('--metric', choices=METRICS,
        help='unit of the distances: errors of the latents (default where the table has '
        'them), or the spread of all directions or of all latents')
    add('--index', metavar='FILE',
        help='for tables larger than memory: the index is read from this file, and is made of '
        'a Parquet table where there is none')
    add_output_options(parser, 'OUT', 'table to write; printed if left out', required=False)
    add_reading_options(parser.add_argument_group('image', 'how it is read'), READING)
    add_model_group(parser)


def add_clusters(parser):
    parser.describe(
        'Adds galvae_cluster and its probability, and prints the kinds. None at all is an '
        'answer.',
        'galvae clusters table.fits -o kinds.fits',
        'galvae clusters table.fits --n-clusters 3 -o kinds.parquet',
        run=_run_clusters)
    add = parser.add_argument_group('how').add_argument
    add('--method', choices=CLUSTER_METHODS, default='mixture',
        help='Gaussians that describe the galaxies best (default), or regions of high density')
    add('--n-clusters', type=int, metavar='N',
        help='number of Gaussians; the most stable one if left out')
    _add_table_options(parser, 'the kinds')


def add_map(parser):
    parser.describe(
        'Adds galvae_map_x and galvae_map_y.',
        'galvae map table.fits --save pca.map -o map.fits',
        'galvae map table.fits --on pca.map -o again.fits',
        run=_run_map)
    add = parser.add_argument_group('how').add_argument
    add('--method', choices=MAP_METHODS,
        help="the two main directions (pca, default), or a layout: the extras 'map' and 'umap'")
    add('--save', metavar='MAP', help='file to keep the map in')
    add('--on', metavar='MAP', help='place the galaxies on a map that was kept')
    _add_table_options(parser, 'the places')


def _add_table_options(parser, what):
    parser.add_argument('table', metavar='TABLE', help='as galvae encode wrote it')
    add_output_options(parser, 'OUT', f'table to write, with {what}',
                       'OUT, and columns of the same names')
    add_model_option(parser.add_argument_group('model'))


def _read_table(options, *more):
    """The table, after the output was looked at."""
    from galvae_affiliated._atomic import check_inputs_kept
    from galvae_affiliated.tables.files import output_format, read_catalog

    if options.output is not None:
        output_format(options.output)
        check_output(options.output, options.overwrite)
        check_inputs_kept(options.output, [options.table, options.model, *more])
    return read_catalog(options.table)


def _run_outliers(options):
    import numpy as np

    from galvae_affiliated.explore.outliers import add_outlier_scores
    from galvae_affiliated.tables.files import read_catalog, write_table
    from galvae_affiliated.tables.identifiers import read_identifiers

    table = _read_table(options, options.reference)
    reference = None if options.reference is None else read_catalog(options.reference)
    table = add_outlier_scores(table, options.model, method=options.method,
                               votes=() if options.latents_only else None, reference=reference,
                               overwrite=options.overwrite)
    n_rows = write_table(table, options.output)
    ranks = np.ma.filled(table['galvae_outlier_rank'], len(table) + 1)
    rows = [row for row in np.argsort(ranks, kind='stable')[: options.n]
            if ranks[row] <= len(table)]
    for row, name in zip(rows, read_identifiers(table, rows=rows)):
        score, reason = (table[f'galvae_outlier_{key}'][row] for key in ('score', 'reason'))
        print(f'{name}  {score:.2f}  {reason}')
    return f'{options.output}: {n_rows} rows'


def _run_similar(options):
    from galvae_affiliated._atomic import check_inputs_kept
    from galvae_affiliated.tables.files import output_format, write_table

    if options.output is not None:
        output_format(options.output)
        check_output(options.output, options.overwrite)
        check_inputs_kept(options.output, [options.table, options.model, options.like,
                                           options.index])
    index = _open_index(options)
    found = index.query(_liked(options, index), options.n, where=options.where)
    if options.output is None:
        print('\n'.join(found.pformat(max_lines=-1, max_width=-1)))
        return None
    return f'{options.output}: {write_table(found, options.output)} rows'


def _open_index(options):
    """The index of a table, made or read."""
    from galvae_affiliated.explore._conditions import condition_names
    from galvae_affiliated.explore.similarity import SimilarityIndex

    names = condition_names(options.where)
    if options.index is not None and Path(options.index).exists():
        index = SimilarityIndex.load(options.index)
        missing = [name for name in names if name not in index.columns]
        if missing:
            raise KeyError(f'{options.index} has no column {missing[0]!r}; remove it, and it '
                           'is made anew')
        return index
    return SimilarityIndex.build(options.table, options.index, model=options.model,
                                 metric=options.metric, columns=names)


def _liked(options, index):
    """What is sought: latents of an image, or a row."""
    from galvae_affiliated.explore._images import encode_image, is_image
    from galvae_affiliated.models.engine import Engine
    from galvae_affiliated.models.registry import get_model

    if is_image(options.like):
        model = get_model(options.model or index.model_id.partition('@')[0])
        index.check_model(model)
        return encode_image(options.like, model, engine=Engine(device=options.device),
                            already_scaled=options.pixel_scale is None,
                            **reading_options(options, READING))
    try:
        return index.find(options.like)
    except KeyError as error:
        if not options.like.isdecimal() or int(options.like) >= len(index):
            raise KeyError(f'--like: {error.args[0]}; there is no such row among the '
                           f'{len(index)}, nor file of an image') from None
        return int(options.like)


def _run_clusters(options):
    import numpy as np

    from galvae_affiliated.explore.clusters import add_clusters as add_kinds
    from galvae_affiliated.explore.clusters import describe_clusters
    from galvae_affiliated.tables.files import write_table

    table = add_kinds(_read_table(options), options.model, method=options.method,
                      n_clusters=options.n_clusters, overwrite=options.overwrite)
    n_rows = write_table(table, options.output)
    for kind, n_members, stable, typical, _ in describe_clusters(table).iterrows():
        print(f'kind {kind}: {n_members} galaxies, stability {stable:.2f}; {typical}')
    n_none = int(np.ma.getmaskarray(table['galvae_cluster']).sum())
    print(f'no kind: {n_none} galaxies')
    return f'{options.output}: {n_rows} rows'


def _run_map(options):
    from galvae_affiliated.explore.maps import LatentMap
    from galvae_affiliated.explore.maps import add_map as add_places
    from galvae_affiliated.tables.files import write_table

    if options.on and (options.method or options.save):
        raise ValueError('--on takes a map as it is; leave out --method and --save')
    if options.save:
        check_output(options.save, options.overwrite)
    table = _read_table(options, options.on)
    if options.on:
        fitted = LatentMap.load(options.on)
    else:
        fitted = LatentMap.fit(table, options.model, method=options.method or 'pca')
    table = add_places(table, options.model, fitted=fitted, overwrite=options.overwrite)
    if options.save:
        fitted.save(options.save, overwrite=options.overwrite)
    return f'{options.output}: {write_table(table, options.output)} rows'
