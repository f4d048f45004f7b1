# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
More rows than fit in memory: encoded in chunks, which are kept until the table is complete.

A run that is ended goes on after its last finished chunk when the same call
is made again.
"""

import hashlib
import json
import os
import shutil
from itertools import islice
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import MaskedColumn

from galvae_affiliated import __version__
from galvae_affiliated._joining import OUTPUTS, RADIUS, Joining
from galvae_affiliated._onnx import BATCH_SIZE
from galvae_affiliated.catalog import encode_in_chunks, row_slices, stack_rows
from galvae_affiliated.columns import refuse_taken
from galvae_affiliated.cutout_sets import id_column, open_cutout_set, without_names
from galvae_affiliated.encoder import Encoder
from galvae_affiliated.fields import open_field
from galvae_affiliated.registry import get_model
from galvae_affiliated.results import planned_names, result_columns

__all__ = ['stream_catalog', 'stream_cutout_set']

ROWS = 10_000  # of a chunk: a minute or so of work to lose
# options of how a field, or a set, is read; the others are of how it is encoded
FIELD_OPTIONS = ('bands', 'unit', 'zero_point', 'pixel_scale', 'subtract_sky', 'radius', 'radius_unit', 'rendering')
SET_OPTIONS = ('pixel_scale', 'scaled', 'rendering', 'bands', 'unit', 'zero_point')


def stream_catalog(images, catalog, output, bundle=None, *, chunk=ROWS, overwrite=False, **options):
    """
    Encode a catalogue into a file, chunk by chunk.

    Finished chunks are kept in a folder ``.OUTPUT.parts`` beside the output.
    If the run is ended, the same call goes on after the last of them, and ends
    with the same file; the folder is removed then. Latents, predictions and
    cutouts of one chunk are in memory at a time; the catalogue is as a whole.

    Parameters
    ----------
    images, catalog, bundle : object
        See `~galvae_affiliated.encode_catalog`.
    output : str or path
        The table to write: ``.parquet``, with a row group a chunk, or ``.fits``.
    chunk : int, optional
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
    output = checked_output(output, chunk, overwrite)
    bundle = get_model(bundle)
    given = {name: options.pop(name) for name in FIELD_OPTIONS if name in options}
    maker, table = open_field(images, catalog, bundle, **given)

    def stacks(slices):
        return (([], maker.stack(rows)) for rows in slices)

    sources = {'images and positions': field_fingerprint(maker), **given}
    return stream(stacks, table, len(maker), output, bundle, sources, chunk=chunk, overwrite=overwrite, **options)


def stream_cutout_set(path, output, bundle=None, *, chunk=ROWS, overwrite=False, **options):
    """
    Encode a set of cutouts into a file, chunk by chunk.

    See `stream_catalog` for what is kept, and how a run goes on.

    Parameters
    ----------
    path, bundle : object
        See `~galvae_affiliated.cutout_sets.encode_cutout_set`.
    output, chunk, overwrite : optional
        See `stream_catalog`.
    **options
        The other options of `~galvae_affiliated.cutout_sets.encode_cutout_set`.

    Returns
    -------
    n_rows : int
        Rows of the table. It has the columns and rows that
        `~galvae_affiliated.cutout_sets.encode_cutout_set` returns.

    Raises
    ------
    FileExistsError, ValueError, TypeError, FileNotFoundError
        See `stream_catalog`.
    """
    output = checked_output(output, chunk, overwrite)
    bundle = get_model(bundle)
    given = {name: options.pop(name) for name in SET_OPTIONS if name in options}
    cutouts = open_cutout_set(path, bundle, **given)
    sources = {'cutouts': digest(*cutouts.contents()), **given}
    return stream(cutouts.stacks, None, len(cutouts), output, bundle, sources, chunk=chunk, overwrite=overwrite,
                  **options)


def checked_output(output, chunk, overwrite):
    """The output as a path, after all has been refused that can be before the work."""
    output = Path(output)
    if chunk < 1:
        raise ValueError(f'chunk is {chunk}; expected one row or more')
    if output.suffix.lower() not in OUTPUTS:
        raise ValueError(f'{output}: chunks are written to .parquet or .fits alone; take one of these, or leave out '
                         'the chunk')
    if output.exists() and not overwrite:
        raise FileExistsError(f'{output} exists; overwrite=True replaces it')
    if not output.absolute().parent.is_dir():
        raise FileNotFoundError(f'{output}: there is no folder {output.absolute().parent}')
    return output


def stream(stacks, table, n_rows, output, bundle, sources, *, chunk, overwrite, morphology=True, coverage=0.9,
           samples=0, reconstruction=True, split=False, device='auto', batch_size=BATCH_SIZE, threads=None,
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
    bundle : `~galvae_affiliated.ModelBundle`
    sources : dict
        What the rows are made of, to know the run by.
    chunk, overwrite, morphology, coverage, samples, reconstruction, split : optional
        See `stream_catalog` and `~galvae_affiliated.encode_catalog`.
    device, batch_size, threads, precision, progress : optional
        See `stream_catalog` and `~galvae_affiliated.encode_catalog`.

    Returns
    -------
    n_rows : int
    """
    options = {'split': split, 'morphology': morphology, 'coverage': coverage, 'samples': samples}
    names = planned_names(bundle, reconstruction=reconstruction, **options)
    if table is not None:
        refuse_taken(table, names, overwrite=overwrite)
    encoder = Encoder(bundle, device=device, batch_size=batch_size, threads=threads, precision=precision)
    slices = row_slices(n_rows, chunk)

    def encode(made, report=None):
        """Columns of some stacks, how many rows are measured, and how many of these have no pixel scale."""
        identifiers = []
        encoding = encode_in_chunks(without_names(made, identifiers), n_rows, encoder, reconstruction, report)
        columns = in_both_units(result_columns(encoding, bundle, device=device, **options), encoding)
        scales = encoding.pixel_scale[encoding.measured]
        named = [id_column(identifiers)] if table is None else []
        return [*named, *columns], (len(scales), np.isnan(scales).sum())

    joining = Joining(table, n_rows, encode(stacks([slice(0, 0)]))[0], output)
    joining.rehearse()
    # device and size of the batches change nothing but the last digits: a run may go on with others
    parts = Parts(output, {'version': __version__, 'model': bundle.id, 'rows': n_rows, 'chunk': chunk, **options,
                           'reconstruction': reconstruction, **sources}, overwrite=overwrite)
    first = next((i for i in range(len(slices)) if not parts.path(i).exists()), len(slices))
    pieces = [row_slices(rows.stop, stack_rows(batch_size), rows.start) for rows in slices[first:]]
    made = stacks([rows for piece in pieces for rows in piece])
    if progress is not None and first:
        progress(slices[first - 1].stop, n_rows)
    for i, piece in enumerate(pieces, first):
        parts.save(i, *encode(islice(made, len(piece)), after(slices[i].start, progress)))
    joining.join(parts, slices)
    return n_rows


def after(start, progress):
    """The progress of a chunk as that of all rows."""
    return None if progress is None else lambda done, total: progress(start + done, total)


def in_both_units(columns, encoding):
    """The columns with the radius twice: whether all rows have a pixel scale is known when all are encoded."""
    result = []
    for column in columns:
        if column.name != RADIUS:
            result.append(column)
            continue
        for unit, values in ((u.pix, encoding.radius), (u.arcsec, encoding.radius * encoding.pixel_scale)):
            result.append(MaskedColumn(values, name=f'{RADIUS}.{unit}', mask=~np.isfinite(values), unit=unit,
                                       description=column.description, meta=column.meta))
    return result


class Parts:
    """
    The finished chunks of a run, in a folder beside its output.

    Parameters
    ----------
    output : path
    identity : dict
        What the run is known by.
    overwrite : bool
        Remove the chunks of another run instead of refusing to go on.
    """

    def __init__(self, output, identity, *, overwrite):
        self.folder = output.with_name(f'.{output.name}.parts')
        record = self.folder / 'run.json'
        identity = json.loads(json.dumps({k: v for k, v in identity.items() if v is not None}, default=str))
        if record.is_file():
            before = json.loads(record.read_text())
            differs = [name for name in {**before, **identity} if before.get(name) != identity.get(name)]
            if differs and not overwrite and self.path(0).exists():
                told = '; '.join(f'{name} was {before.get(name)}, is {identity.get(name)}' for name in differs)
                raise ValueError(f'{self.folder} holds chunks of another run: {told}; '
                                 'overwrite=True starts anew, and so does removing the folder')
            if not differs:
                return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.write(record, lambda file: file.write(json.dumps(identity, indent=1).encode()))

    def path(self, i):
        """Of the ``i``-th chunk, which is finished if it exists."""
        return self.folder / f'{i:06d}.npz'

    def save(self, i, columns, scales):
        """Keep the columns of a chunk, and the numbers of rows that are measured and that have no pixel scale."""
        arrays = {'scales': np.array(scales)}
        for column in columns:
            arrays[f'{column.name}.data'] = np.ma.getdata(column.data)
            arrays[f'{column.name}.mask'] = np.ma.getmaskarray(column.data)
        self.write(self.path(i), lambda file: np.savez(file, **arrays))

    def load(self, i):
        """Arrays of a chunk by name, which are read when they are asked for."""
        return np.load(self.path(i), allow_pickle=False)

    def write(self, path, content):
        """Write under another name, then rename: a file is there as a whole or not at all."""
        unfinished = self.folder / 'unfinished'
        with open(unfinished, 'wb') as file:
            content(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)


def field_fingerprint(maker):
    """Hash of positions and radii, and of what was measured of the images."""
    images = maker.images
    return digest(maker.x, maker.y, maker.given, images.shape, images.noise, images.residual,
                  images.pixel_scale or np.nan)


def digest(*values):
    """Hash of texts, or of anything that is an array of numbers."""
    result = hashlib.sha256()
    for value in values:
        result.update(value.encode() if isinstance(value, str) else np.ascontiguousarray(value, dtype=float).tobytes())
    return result.hexdigest()[:16]
