# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Options that say where the cutouts of a table are; for the verbs that show galaxies."""

IMAGE_OPTIONS = ('bands', 'unit', 'pixel_scale', 'already_scaled', 'rendering')


def add_cutout_options(parser, *, required=False):
    """Images, and how to read them: as for ``galvae encode``; see `open_cutouts`."""
    group = parser.add_argument_group('cutouts', 'as galvae encode was given them')
    add = group.add_argument
    add('--images', nargs='+', metavar='IMAGE', required=required,
        help='FITS files of the field, a Parquet file of cutouts, or a folder of FITS cutouts')
    add('--bands', help='names of the bands in the order of the images, such as g,r,z')
    add('--unit', help="flux unit, in place of the header's")
    add('--zero-point', metavar='MAG', help='AB magnitude of one count')
    add('--pixel-scale', type=float, metavar='ARCSEC', help='side of a pixel')
    add('--already-scaled', action='store_true', help="cutouts are at the model's scale already")
    add('--rendering', metavar='NAME', help='how the cutouts enter the model')
    add('--position-columns', metavar='A,B', help='columns of the positions')
    add('--id-column', metavar='NAME',
        help='column of the identifiers; id_str for sets of cutouts if left out')


def open_cutouts(options, table, model):
    """`~galvae_affiliated.pages.TableCutouts` of the options; None without ``--images``."""
    if not options.images:
        return None
    from galvae_affiliated.models.engine import Engine
    from galvae_affiliated.pages import open_table_cutouts
    from galvae_affiliated.scripts._common import is_cutout_set
    from galvae_affiliated.scripts.encode import _parse_zero_point

    images = options.images[0] if len(options.images) == 1 else options.images
    keywords = {name: getattr(options, name) for name in IMAGE_OPTIONS}
    keywords['zero_point'] = _parse_zero_point(options.zero_point)
    if is_cutout_set(options.images):
        keywords['id_column'] = options.id_column
    return open_table_cutouts(images, table, model, engine=Engine(device=options.device),
                              position_columns=options.position_columns, **keywords)
