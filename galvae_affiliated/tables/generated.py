# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Generated galaxies in files: a sheet of pictures, a FITS file, or a Parquet set of cutouts."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from galvae_affiliated._atomic import check_output, replacing
from galvae_affiliated.tables.columns import make_columns
from galvae_affiliated.tables.drawings import composite_bytes

__all__ = ['GENERATED_FORMATS', 'check_generated', 'write_generated']

GENERATED_FORMATS = ('.png', '.fits', '.parquet')
MAX_PICTURES = 4096  # of a sheet: more are no picture to look at
GAP = 2  # pixels between pictures
BLOCK = 2880  # bytes, of which FITS files are made


def write_generated(batches, n, path, model, *, overwrite=False):
    """
    Write galaxies while they are drawn, batch by batch.

    Parameters
    ----------
    batches : iterable of `~galvae_affiliated.models.GeneratedGalaxies`
    n : int
        How many there are in all.
    path : str or path
        '.png' makes a sheet of them; '.fits' the images (N, 3, grid, grid) as float32 in the
        first HDU and a table of latents in the next; '.parquet' a set of cutouts as ``galvae
        encode --already-scaled`` reads them, with the latents.
    model : `~galvae_affiliated.ModelBundle`
    overwrite : bool, optional
        Replace a file that exists.

    Raises
    ------
    ValueError
        For another ending, no galaxies, or more than 4096 in a sheet.
    FileExistsError
        If the file exists and ``overwrite`` is false.
    """
    kind = check_generated(path, n)
    check_output(path, overwrite)
    write = {'.png': _write_sheet, '.fits': _write_fits, '.parquet': _write_parquet}[kind]
    with replacing(path) as unfinished:
        write(batches, n, unfinished, model)


def check_generated(path, n):
    """
    Refuse what `write_generated` cannot write, before the work for it.

    Parameters
    ----------
    path : str or path
    n : int

    Returns
    -------
    kind : str
        The ending.

    Raises
    ------
    ValueError
        For another ending, no galaxies, or more than 4096 in a sheet.
    """
    kind = Path(path).suffix.lower()
    if kind not in GENERATED_FORMATS:
        raise ValueError(f'{path}: expected a name that ends with {", ".join(GENERATED_FORMATS)}')
    if n < 1:
        raise ValueError(f'n is {n}; expected at least 1')
    if kind == '.png' and n > MAX_PICTURES:
        raise ValueError(f'{path}: {n} pictures on a sheet; expected {MAX_PICTURES} at most')
    return kind


def _write_sheet(batches, n, path, model):
    from PIL import Image

    n_columns = int(np.ceil(np.sqrt(n)))
    n_rows, side = -(-n // n_columns), model.grid + GAP
    sheet = np.zeros((n_rows * side - GAP, n_columns * side - GAP, 3), dtype=np.uint8)
    place = 0
    for batch in batches:
        for picture in composite_bytes(batch.images):
            y, x = (side * i for i in divmod(place, n_columns))
            sheet[y:y + model.grid, x:x + model.grid] = picture
            place += 1
    Image.fromarray(sheet).save(path, 'PNG')


def _write_fits(batches, n, path, model):
    header = fits.Header({'SIMPLE': True, 'BITPIX': -32, 'NAXIS': 4, 'NAXIS1': model.grid,
                          'NAXIS2': model.grid, 'NAXIS3': 3, 'NAXIS4': n, 'EXTEND': True})
    header['MODEL'] = model.id, 'that drew these galaxies'
    header['CHANNELS'] = 'red, green, blue', 'composites in [0, 1]'
    parts = []
    # no more than the images of a batch are in memory
    with open(path, 'wb') as file:
        file.write(header.tostring(padding=True).encode())
        for batch in batches:
            file.write(np.ascontiguousarray(batch.images, dtype='>f4'))
            parts.append(batch.columns())
        file.write(bytes(-file.tell() % BLOCK))
    joined = [replace(columns[0], values=np.concatenate([column.values for column in columns]))
              for columns in zip(*parts)]
    hdu = fits.table_to_hdu(Table(make_columns(joined, model)))
    fits.append(path, hdu.data, hdu.header)


def _write_parquet(batches, n, path, model):
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer, place, width = None, 0, len(str(n - 1))
    stated = {b'galvae_model': model.id.encode()}
    try:
        for batch in batches:
            rows = [{'id_str': f'generated{place + i:0{width}}',
                     'image': {'bytes': _png(picture), 'path': ''}}
                    for i, picture in enumerate(composite_bytes(batch.images))]
            place += len(rows)
            table = pa.Table.from_pylist(rows)
            for column in batch.columns():
                table = table.append_column(column.name, pa.FixedSizeListArray.from_arrays(
                    pa.array(column.values.ravel()), column.values.shape[1]))
            table = table.replace_schema_metadata(stated)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _png(picture):
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, 'PNG')
    return buffer.getvalue()
