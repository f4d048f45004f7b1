# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
More rows than fit in memory: encoded in chunks, which are kept until the table is complete.

A run that is ended goes on after its last finished chunk when the same call
is made again.
"""

from itertools import islice
from pathlib import Path

import numpy as np

from galvae_affiliated import __version__
from galvae_affiliated._batches import row_slices, stack_rows
from galvae_affiliated.catalog import id_column, open_cutout_set, without_names
from galvae_affiliated.cutouts.maker import open_field
from galvae_affiliated.models._devices import BATCH_SIZE
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.pipeline import encode_in_chunks
from galvae_affiliated.tables._writers import OUTPUTS, ChunkedTable
from galvae_affiliated.tables.columns import check_column_names
from galvae_affiliated.tables.outputs import planned_names, result_columns
from galvae_affiliated.tables.parts import Parts, digest, in_both_units

__all__ = ['stream_catalog', 'stream_cutout_set']

ROWS = 10_000  # of a chunk: a minute or so of work to lose
# options of how a field, or a set, is read; the others are of how it is encoded
FIELD_OPTIONS = ('bands', 'unit', 'zero_point', 'pixel_scale', 'subtract_sky', 'radius', 'radius_unit', 'rendering')
SET_OPTIONS = ('pixel_scale', 'already_scaled', 'rendering', 'bands', 'unit', 'zero_point')


def stream_catalog(images, catalog, output, model=None, *, chunk_size=ROWS, overwrite=False, **options):
    """
    Encode a catalogue into a file, chunk by chunk.

    Finished chunks are kept in a folder ``.OUTPUT.parts`` beside the output.
    If the run is ended, the same call goes on after the last of them, and ends
    with the same file; the folder is removed then. Latents, predictions and
    cutouts of one chunk are in memory at a time; the catalogue is as a whole.

    Parameters
    ----------
    images, catalog, model : object
        See `~galvae_affiliated.encode_catalog`.
    output : str or path
        The table to write: ``.parquet``, with a row group a chunk, or ``.fits``.
    chunk_size : int, optional
        Rows of a chunk.
    overwrite : bool, optional
        Replace the output, columns of the same names, and the chunks of an
        unfinished run that was another one.
    **options
        The other options of `~galvae_affiliated.encode_catalog`.

    Returns
    -------
    n_rows : int
        Rows of the table. It has the columns and rows that
        `~galvae_affiliated.encode_catalog` returns.

    Raises
    ------
    FileExistsError
        If there is such a file.
    ValueError, TypeError, FileNotFoundError
        For a wrong call, an ending of another format, or an unfinished run
        whose model, options, chunk, images or positions were others.
    """
    output = checked_output(output, chunk_size, overwrite)
    model = get_model(model)
    given = {name: options.pop(name) for name in FIELD_OPTIONS if name in options}
    maker, table = open_field(images, catalog, model, **given)

    def stacks(slices):
        return (([], maker.stack(rows)) for rows in slices)

    sources = {'images and positions': field_fingerprint(maker), **given}
    return stream(stacks, table, len(maker), output, model, sources, chunk_size=chunk_size, overwrite=overwrite, **options)


def stream_cutout_set(path, output, model=None, *, chunk_size=ROWS, overwrite=False, **options):
    """
    Encode a set of cutouts into a file, chunk by chunk.

    See `stream_catalog` for what is kept, and how a run goes on.

    Parameters
    ----------
    path, model : object
        See `~galvae_affiliated.catalog.encode_cutout_set`.
    output, chunk_size, overwrite : optional
        See `stream_catalog`.
    **options
        The other options of `~galvae_affiliated.catalog.encode_cutout_set`.

    Returns
    -------
    n_rows : int
        Rows of the table. It has the columns and rows that
        `~galvae_affiliated.catalog.encode_cutout_set` returns.

    Raises
    ------
    FileExistsError, ValueError, TypeError, FileNotFoundError
        See `stream_catalog`.
    """
    output = checked_output(output, chunk_size, overwrite)
    model = get_model(model)
    given = {name: options.pop(name) for name in SET_OPTIONS if name in options}
    cutouts = open_cutout_set(path, model, **given)
    sources = {'cutouts': digest(*cutouts.contents()), **given}
    return stream(cutouts.stacks, None, len(cutouts), output, model, sources, chunk_size=chunk_size, overwrite=overwrite,
                  **options)


def checked_output(output, chunk_size, overwrite):
    """The output as a path, after all has been refused that can be before the work."""
    output = Path(output)
    if chunk_size < 1:
        raise ValueError(f'chunk is {chunk_size}; expected one row or more')
    if output.suffix.lower() not in OUTPUTS:
        raise ValueError(f'{output}: chunks are written to .parquet or .fits alone; take one of these, or leave out '
                         'the chunk')
    if output.exists() and not overwrite:
        raise FileExistsError(f'{output} exists; overwrite=True replaces it')
    if not output.absolute().parent.is_dir():
        raise FileNotFoundError(f'{output}: there is no folder {output.absolute().parent}')
    return output


def stream(stacks, table, n_rows, output, model, sources, *, chunk_size, overwrite, morphology=True, coverage=0.9,
           n_samples=0, reconstruction=True, split=False, device='auto', batch_size=BATCH_SIZE, n_threads=None,
           precision='float32', progress=None):
    """
    Encode what is not encoded yet, then join the chunks to a table.

    Parameters
    ----------
    stacks : callable
        Takes slices of rows that follow one another, and yields identifiers
        and a `~galvae_affiliated.CutoutStack` of each.
    table : `~astropy.table.Table` of ``n_rows`` rows, or None
        The catalogue; None for cutouts that have identifiers.
    n_rows : int
    output : path
    model : `~galvae_affiliated.ModelBundle`
    sources : dict
        What the rows are made of, to know the run by.
    chunk_size, overwrite, morphology, coverage, n_samples, reconstruction, split : optional
        See `stream_catalog` and `~galvae_affiliated.encode_catalog`.
    device, batch_size, n_threads, precision, progress : optional
        See `stream_catalog` and `~galvae_affiliated.encode_catalog`.

    Returns
    -------
    n_rows : int
    """
    options = {'split': split, 'morphology': morphology, 'coverage': coverage, 'n_samples': n_samples}
    names = planned_names(model, reconstruction=reconstruction, **options)
    if table is not None:
        check_column_names(table, names, overwrite=overwrite)
    encoder = Encoder(model, device=device, batch_size=batch_size, n_threads=n_threads, precision=precision)
    slices = row_slices(n_rows, chunk_size)

    def encode(made, report=None):
        """Columns of some stacks, how many rows are measured, and how many of these have no pixel scale."""
        identifiers = []
        encoding = encode_in_chunks(without_names(made, identifiers), n_rows, encoder, reconstruction, report)
        columns = in_both_units(result_columns(encoding, model, device=device, **options), encoding)
        scales = encoding.pixel_scale[encoding.measured]
        named = [id_column(identifiers)] if table is None else []
        return [*named, *columns], (len(scales), np.isnan(scales).sum())

    joining = ChunkedTable(table, n_rows, encode(stacks([slice(0, 0)]))[0], output)
    joining.rehearse()
    # device and size of the batches change nothing but the last digits: a run may go on with others
    parts = Parts(output, {'version': __version__, 'model': model.id, 'rows': n_rows, 'chunk_size': chunk_size, **options,
                           'reconstruction': reconstruction, **sources}, overwrite=overwrite)
    first = next((i for i in range(len(slices)) if not parts.path(i).exists()), len(slices))
    pieces = [row_slices(rows.stop, stack_rows(batch_size), rows.start) for rows in slices[first:]]
    made = stacks([rows for piece in pieces for rows in piece])
    if progress is not None and first:
        progress(slices[first - 1].stop, n_rows)
    for i, piece in enumerate(pieces, first):
        parts.save(i, *encode(islice(made, len(piece)), offset_progress(slices[i].start, progress)))
    joining.join(parts, slices)
    return n_rows


def offset_progress(start, progress):
    """The progress of a chunk as that of all rows."""
    return None if progress is None else lambda done, total: progress(start + done, total)


def field_fingerprint(maker):
    """Hash of positions and radii, and of what was measured of the images."""
    images = maker.images
    return digest(maker.x, maker.y, maker.given, images.shape, images.noise, images.residual,
                  images.pixel_scale or np.nan)
