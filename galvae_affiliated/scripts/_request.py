# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the words of ``galvae encode`` ask for: refused where they cannot be, and as keywords."""

from pathlib import Path

from galvae_affiliated._atomic import check_inputs_kept
from galvae_affiliated.scripts._common import check_output, is_cutout_set
from galvae_affiliated.tables.files import output_format


def check_request(options):
    """Refuse what could not be done, as far as the words alone show it."""
    if options.output is not None:
        kind, _ = output_format(options.output)
        _check_files(options)
        _check_combinations(options, kind)
    elif not options.dry_run:
        raise ValueError('-o OUT is missing, the table to write, such as -o table.fits; galvae '
                         'encode --help lists what there is')
    if is_cutout_set(options.images):
        for name in ('catalog', 'position_columns', 'radius', 'radius_unit'):
            if getattr(options, name):
                raise ValueError(f'--{name.replace("_", "-")} goes with images of a field, not '
                                 'with a set of cutouts')
    elif options.already_scaled:
        raise ValueError('--already-scaled goes with a set of cutouts, not with images of a '
                         'field')


def _check_files(options):
    """Refuse outputs that cannot be written, or are inputs, before the work."""
    is_done = False
    if options.chunk_size is not None:
        from galvae_affiliated.tables.parts import is_published

        # by a run that was killed before it had tidied up
        is_done = is_published(Path(options.output))
    check_output(options.output, options.overwrite or is_done)
    for path in filter(None, (options.output, options.picture)):
        check_inputs_kept(path, [options.images, options.model])
    if options.picture:
        check_output(options.picture, overwrite=True)
        if Path(options.picture).absolute() == Path(options.output).absolute():
            raise ValueError(f'{options.picture} is to be the table and the picture')


def _check_combinations(options, kind):
    """Refuse before the work what could not be done after it."""
    if options.chunk_size is not None:
        from galvae_affiliated.streaming import check_stream_output

        check_stream_output(options.output, options.chunk_size, options.overwrite)
        if options.picture:
            raise ValueError('--picture takes the whole table; leave out --chunk-size')
    if kind == 'ascii.csv' and not options.scalar_columns:
        raise ValueError(f'{options.output}: CSV has no vector columns; --scalar-columns makes '
                         'a column a latent')
    if options.n_samples and options.no_morphology:
        raise ValueError('--n-samples is for intervals of the vote fractions; leave out '
                         '--no-morphology')
    if options.picture and options.no_morphology:
        raise ValueError('--picture shows the vote fractions; leave out --no-morphology')
    if options.picture:
        from galvae_affiliated.plotting import check_picture

        check_picture(options.picture)


def column_options(options):
    """Keywords of `~galvae_affiliated.Outputs`."""
    return {'morphology': not options.no_morphology, 'coverage': options.coverage,
            'n_samples': options.n_samples, 'reconstruction': not options.no_reconstruction,
            'scalar_columns': options.scalar_columns}


def source_options(options):
    """Keywords of the positions and radii of a catalogue."""
    return {'radius': _radius(options.radius), 'radius_unit': options.radius_unit,
            'position_columns': options.position_columns}


def _radius(text):
    """A number, or the name of a column."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
