# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
More rows than fit in memory: encoded in chunks, which are kept until the table is complete.

A run that is ended goes on after its last finished chunk when the same call
is made again.
"""

import hashlib
import zlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from astropy.table import Column, Table
from astropy.table.serialize import represent_mixins_as_columns

from galvae_affiliated import __version__
from galvae_affiliated._atomic import check_inputs_kept, check_output
from galvae_affiliated._batches import row_slices
from galvae_affiliated._progress import progress_callback
from galvae_affiliated.catalog import id_column
from galvae_affiliated.cutouts.maker import CutoutMaker, open_cutouts
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.pipeline import encode_chunks, known_channels, resolve_options
from galvae_affiliated.tables._lock import RunLock
from galvae_affiliated.tables._writers import MEASURED, PIXEL_SCALE, WRITERS, ChunkedTable
from galvae_affiliated.tables.columns import check_column_names
from galvae_affiliated.tables.files import check_identifiers
from galvae_affiliated.tables.parts import PartFolder, is_published

__all__ = ['stream_catalog', 'stream_cutout_set']

CHUNK_SIZE = 10_000  # rows: a minute or so of work to lose
STRIP = 1024  # rows of an image that are read at a time
# options of how a field, or a set, is read; the others are of how it is encoded
FIELD_OPTIONS = ('bands', 'unit', 'zero_point', 'pixel_scale', 'subtract_sky', 'radius',
                 'radius_unit', 'rendering', 'position_columns', 'psf_fwhm')
SET_OPTIONS = ('pixel_scale', 'already_scaled', 'rendering', 'bands', 'unit', 'zero_point',
               'psf_fwhm')


def stream_catalog(images, catalog, output, model=None, *, chunk_size=CHUNK_SIZE,
                   overwrite=False, progress=None, outputs=None, engine=None, **options):
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
    progress, outputs, engine : optional
        See `~galvae_affiliated.encode_catalog`.
    **options
        See `~galvae_affiliated.encode_catalog`.

    Returns
    -------
    n_rows : int
        Rows of the table. It has the columns and rows that
        `~galvae_affiliated.encode_catalog` returns.

    Raises
    ------
    FileExistsError
        If there is such a file.
    BlockingIOError
        If another run writes this output.
    ValueError, TypeError, FileNotFoundError
        For a wrong call, an ending of another format, an output that is an input, or an
        unfinished run whose model, options, chunks, images or catalogue were others.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated import stream_catalog
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:160, :160]
    >>> light = 5.0 * np.exp(-np.hypot(x - 70, y - 90) / 4)
    >>> images = {band: light + rng.normal(0.0, 0.02, light.shape) for band in 'grz'}
    >>> catalog = Table({'x': [70.0], 'y': [90.0], 'petro_r90': [15.5]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     stream_catalog(images, catalog, f'{folder}/out.fits', unit='nmgy', pixel_scale=0.262)
    1
    """
    output = check_stream_output(output, chunk_size, overwrite)
    check_inputs_kept(output, [images, model])
    read_options = taken_options(options, FIELD_OPTIONS)
    outputs, engine = resolve_options(options, outputs, engine)
    model = get_model(model)
    source, table = open_cutouts(images, catalog, model.frame, **read_options)
    check_column_names(table, outputs.names(model), overwrite=overwrite)
    return _stream(source, table, model, outputs, engine, output, read_options,
                   chunk_size=chunk_size, overwrite=overwrite, progress=progress)


def stream_cutout_set(path, output, model=None, *, chunk_size=CHUNK_SIZE, overwrite=False,
                      progress=None, outputs=None, engine=None, **options):
    """
    Encode a set of cutouts into a file, chunk by chunk.

    See `stream_catalog` for what is kept, and how a run goes on.

    Parameters
    ----------
    path, model : object
        See `~galvae_affiliated.encode_cutout_set`.
    output, chunk_size, overwrite : optional
        See `stream_catalog`.
    progress, outputs, engine : optional
        See `~galvae_affiliated.encode_catalog`.
    **options
        See `~galvae_affiliated.encode_cutout_set`.

    Returns
    -------
    n_rows : int
        Rows of the table. It has the columns and rows that
        `~galvae_affiliated.encode_cutout_set` returns.

    Raises
    ------
    FileExistsError, ValueError, TypeError, FileNotFoundError
        See `stream_catalog`.

    Examples
    --------
    >>> import tempfile
    >>> from galvae_affiliated import get_model, stream_cutout_set
    >>> from galvae_affiliated.tables.generated import write_generated
    >>> galaxies = get_model().generate(3, random_state=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_generated([galaxies], 3, f'{folder}/drawn.parquet', get_model())
    ...     stream_cutout_set(f'{folder}/drawn.parquet', f'{folder}/out.parquet',
    ...                       already_scaled=True)
    3
    """
    from galvae_affiliated.cutouts.sets import open_cutout_set

    output = check_stream_output(output, chunk_size, overwrite)
    check_inputs_kept(output, [path, model])
    read_options = taken_options(options, SET_OPTIONS)
    outputs, engine = resolve_options(options, outputs, engine)
    model = get_model(model)
    outputs.names(model)  # a wrong option is refused before the work
    source = open_cutout_set(path, model.frame, **read_options)
    check_identifiers(source, output)
    return _stream(source, None, model, outputs, engine, output, read_options,
                   chunk_size=chunk_size, overwrite=overwrite, progress=progress)


def check_stream_output(output, chunk_size, overwrite):
    """The output as a path, after all has been refused that can be before the work."""
    output = Path(output)
    if chunk_size < 1:
        raise ValueError(f'chunk_size is {chunk_size}; expected one row or more')
    if output.suffix.lower() not in WRITERS:
        raise ValueError(f'{output}: chunks are written to .parquet or .fits alone; take one of '
                         'these, or leave out the size of the chunks')
    # a run that was killed after its table was whole has nothing left to do but to tidy up
    check_output(output, overwrite or is_published(output))
    return output


def taken_options(options, names):
    """The options of these names, which are taken out of the others."""
    return {name: options.pop(name) for name in names if name in options}


def _stream(source, table, model, outputs, engine, output, read_options, *, chunk_size,
            overwrite, progress):
    """Encode what is not encoded yet, then join the chunks to a table; returns its rows."""
    empty = replace(outputs.no_rows(model), channels=known_channels(source))
    chunked = ChunkedTable(table, len(source), output,
                           _chunk(source, slice(0, 0), empty, model, outputs, engine))
    chunked.check_writable()
    # the engine changes nothing but the last digits: a run may go on with another
    identity = {'version': __version__, 'model': model.id, 'rows': len(source),
                'chunk_size': chunk_size, **asdict(outputs), **_decisive(read_options),
                'images and positions': f'{source.fingerprint()} {_pixel_hash(source)}',
                'catalog': _table_hash(table)}
    chunks = row_slices(len(source), chunk_size)
    report = progress_callback(progress)
    with RunLock(output) as lock:
        parts = PartFolder(output, identity, overwrite=overwrite)
        if parts.is_published():
            parts.remove()
            return len(source)
        # another run may have ended since this one began
        check_output(output, overwrite)
        missing = [i for i in range(len(chunks)) if not parts.is_finished(i)]
        first = missing[0] if missing else len(chunks)
        if first:
            report(chunks[first - 1].stop, len(source))

        def alive(done, total):
            lock.touch()
            report(done, total)

        encodings = encode_chunks(source, [chunks[i] for i in missing], model, outputs, engine,
                                  progress=alive)
        for i, encoding in zip(missing, encodings):
            parts.write(i, _chunk(source, chunks[i], encoding, model, outputs, engine))
        lock.touch()
        chunked.join(parts, chunks)
    return len(source)


def _decisive(options):
    """Options of reading; what is left out is the same as what a function takes without it."""
    return {name: value for name, value in options.items()
            if not (value is None or (name == 'already_scaled' and not value))}


def _pixel_hash(source):
    """
    Checksum of all pixels of a field; '' for sets, whose fingerprint has the times of files.

    A field may be turned, or one star of it another, where noise and sky are the same.
    """
    if not isinstance(source, CutoutMaker):
        return ''
    result = 0
    images = [image for plane in source.images.planes for image in (plane.data, plane.bad)]
    for image in images:
        for rows in [] if image is None else row_slices(len(image), STRIP):
            result = zlib.crc32(np.ascontiguousarray(image[rows, :]), result)
        if hasattr(image, 'release'):
            image.release()
    return f'{result:08x}'


def _table_hash(table):
    """Hash of the names, values and masks of a catalogue; None without one."""
    if table is None:
        return None
    result = hashlib.sha256()
    plain = represent_mixins_as_columns(Table(table, copy=False))
    for name in plain.colnames:
        column = plain[name]
        values = np.ma.getdata(column)
        is_object = getattr(values, 'dtype', None) is None or values.dtype.hasobject
        content = repr(list(values)).encode() if is_object else np.ascontiguousarray(values)
        mask = np.ascontiguousarray(np.ma.getmaskarray(column))
        for part in (f'{name} {column.dtype} {column.unit}'.encode(), content, mask):
            result.update(part)
    return result.hexdigest()[:16]


def _chunk(source, rows, encoding, model, outputs, engine):
    """
    New columns of some rows, as they are kept.

    Radii are in pixels, beside the pixel scales: whether the table can have them in arcsec
    is known when all rows are encoded.
    """
    columns = outputs.columns(encoding, model, engine, radius_unit='pix')
    ids = source.ids(rows)
    named = [] if ids is None else [id_column(ids)]
    more = [Column(encoding.pixel_scale, name=PIXEL_SCALE),
            Column(encoding.measured, name=MEASURED)]
    return Table([*named, *columns, *more])
