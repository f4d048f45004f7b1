# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Options that say where the cutouts of a table are; for the verbs that show galaxies."""

from galvae_affiliated.scripts._common import is_cutout_set
from galvae_affiliated.scripts._images import add_reading_options, reading_options


def add_cutout_options(parser, *, required=False):
    """Images, and how to read them: as for ``galvae encode``; see `open_cutouts`."""
    group = parser.add_argument_group('cutouts', 'as galvae encode was given them')
    add = group.add_argument
    add('--images', nargs='+', metavar='IMAGE', required=required,
        help='FITS files of the field, a Parquet file of cutouts, or a folder of FITS cutouts')
    add_reading_options(group)
    add('--position-columns', metavar='A,B', help='columns of the positions')
    add('--id-column', metavar='NAME',
        help='column of the identifiers; id_str for sets of cutouts if left out')


def open_cutouts(options, table, model):
    """`~galvae_affiliated.pages.TableCutouts` of the options; None without ``--images``."""
    if not options.images:
        return None
    from galvae_affiliated.models.engine import Engine
    from galvae_affiliated.pages import open_table_cutouts

    images = options.images[0] if len(options.images) == 1 else options.images
    keywords = reading_options(options)
    if is_cutout_set(options.images):
        keywords['id_column'] = options.id_column
    return open_table_cutouts(images, table, model, engine=Engine(device=options.device),
                              position_columns=options.position_columns, **keywords)
