# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae outliers``, ``similar``, ``clusters`` and ``map``."""

from pathlib import Path

from galvae_affiliated.scripts._common import (
    add_device_option,
    add_model_option,
    add_output_options,
    add_overwrite_option,
    check_output,
)
from galvae_affiliated.scripts._messages import print_done

# of what the modules of the exploration know; they are not imported before they are needed
OUTLIER_METHODS = ('density', 'neighbor', 'mixture', 'isolation-forest', 'mahalanobis',
                   'class-distance')
METRICS = ('errors', 'white', 'standard')
CLUSTER_METHODS = ('mixture', 'hdbscan')
MAP_METHODS = ('pca', 'tsne', 'umap')


def add_outliers(commands):
    parser = commands.add_parser(
        'outliers', help='score how odd each galaxy of a table is',
        description='Adds galvae_outlier_score, a p-value, a rank and reasons to a table that '
        'galvae encode wrote, and prints the oddest galaxies.')
    add = parser.add_argument
    _add_table_options(parser, 'the scores')
    add('--method', choices=OUTLIER_METHODS, default='density',
        help='how latents are compared (default density)')
    add('--latents-only', action='store_true',
        help='leave the predicted votes for something odd out of the score')
    add('--reference', metavar='TABLE',
        help='galaxies to compare with; those of the table itself if left out')
    add('-n', type=int, default=10, metavar='N', help='how many to print (default 10)')
    parser.set_defaults(run=_run_outliers)


def add_similar(commands):
    parser = commands.add_parser(
        'similar', help='find the galaxies of a table that are most like one',
        description='Prints, or writes, the nearest galaxies in the space of latents.')
    add = parser.add_argument
    add('table', metavar='TABLE', help='as galvae encode wrote it')
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
    add('-o', '--output', metavar='OUT', help='table to write; printed if left out')
    add_overwrite_option(parser, 'OUT')
    group = parser.add_argument_group('image', 'how to read it, as for galvae encode')
    add = group.add_argument
    add('--pixel-scale', type=float, metavar='ARCSEC',
        help='side of a pixel: the galaxy is measured')
    add('--rendering', metavar='NAME', help='how the image enters the model')
    add('--bands', help='names of the bands of a FITS cutout, such as g,r,z')
    add('--unit', help="flux unit, in place of the header's")
    add_device_option(group)
    add_model_option(parser)
    parser.set_defaults(run=_run_similar)


def add_clusters(commands):
    parser = commands.add_parser(
        'clusters', help='divide the galaxies of a table into kinds that are stable',
        description='Adds galvae_cluster and its probability, and prints the kinds. None at '
        'all is an answer.')
    add = parser.add_argument
    _add_table_options(parser, 'the kinds')
    add('--method', choices=CLUSTER_METHODS, default='mixture',
        help='Gaussians that describe the galaxies best (default), or regions of high density')
    add('--n-clusters', type=int, metavar='N',
        help='number of Gaussians; the most stable one if left out')
    parser.set_defaults(run=_run_clusters)


def add_map(commands):
    parser = commands.add_parser(
        'map', help='give each galaxy of a table a place next to similar ones',
        description='Adds galvae_map_x and galvae_map_y.')
    add = parser.add_argument
    _add_table_options(parser, 'the places')
    add('--method', choices=MAP_METHODS,
        help="the two main directions (pca, default), or a layout: the extras 'map' and 'umap'")
    add('--save', metavar='MAP', help='file to keep the map in')
    add('--on', metavar='MAP', help='place the galaxies on a map that was kept')
    parser.set_defaults(run=_run_map)


def _add_table_options(parser, what):
    parser.add_argument('table', metavar='TABLE', help='as galvae encode wrote it')
    add_output_options(parser, 'OUT', f'table to write, with {what}',
                       'OUT, and columns of the same names')
    add_model_option(parser)


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
    print_done(f'{n_rows} rows written to {options.output}')


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
    else:
        print_done(f'{write_table(found, options.output)} rows written to {options.output}')


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
        keywords = {name: getattr(options, name)
                    for name in ('pixel_scale', 'rendering', 'bands', 'unit')}
        return encode_image(options.like, model, engine=Engine(device=options.device),
                            already_scaled=options.pixel_scale is None, **keywords)
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
    print_done(f'{n_rows} rows written to {options.output}')


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
    print_done(f'{write_table(table, options.output)} rows written to {options.output}')
