# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a run of ``galvae encode`` came to: a line, and a picture."""

from pathlib import Path

import numpy as np

from galvae_affiliated.flags import BITS, UNMEASURED

ROWS = 1 << 20  # flags that are read at a time


def summary_line(path, flags):
    """
    What a table holds, in one line.

    Parameters
    ----------
    path : str or path
    flags : iterable of (N,) int arrays
        The column ``galvae_flags``, in parts.

    Returns
    -------
    line : str
    """
    n_rows, measured, counts = 0, 0, dict.fromkeys(BITS, 0)
    for part in flags:
        part = np.asarray(part)
        n_rows += len(part)
        measured += int(np.count_nonzero((part & UNMEASURED) == 0))
        for name, (bit, _, _) in BITS.items():
            counts[name] += int(np.count_nonzero(part & bit))
    flagged = ', '.join(f'{name} {count}' for name, count in counts.items() if count)
    return f'{path}: {n_rows} rows, {measured} measured; flagged: {flagged or "none"}'


def written_flags(path):
    """
    Yield the flags of a table that was written in chunks, in parts.

    Parameters
    ----------
    path : str or path
        Of a Parquet or FITS file.
    """
    if Path(path).suffix.lower() == '.parquet':
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS, columns=['galvae_flags']):
                yield batch.column(0).to_numpy()
        return
    from astropy.io import fits

    with fits.open(path, memmap=True) as hdus:
        column = hdus[1].data['galvae_flags']
        for start in range(0, len(column), ROWS):
            yield np.array(column[start:start + ROWS])


def draw_field_picture(path, field, table, model, device):
    """
    Draw a gallery of the galaxies of a field, cut out once more at the radii that were used.

    Parameters
    ----------
    path : str or path
    field : `~galvae_affiliated.images.FieldImages`
    table : `~astropy.table.Table`
    model : `~galvae_affiliated.ModelBundle`
    device : str

    Returns
    -------
    n_rows : int
        That were drawn.
    """
    from astropy.table import Table

    from galvae_affiliated.cutouts.maker import open_cutouts
    from galvae_affiliated.plotting import draw_gallery, gallery_rows

    table = Table(table, copy=False)
    rows = gallery_rows(table)
    maker, _ = open_cutouts(field, table[rows], model.frame, radius='galvae_radius')
    draw_gallery(path, maker.stack(), table, rows, model, device=device, field=field,
                 positions=np.stack([maker.x, maker.y], axis=-1))
    return len(rows)


def draw_set_picture(path, cutouts, table, model, device):
    """
    Draw a gallery of the cutouts of a set, which are read once more.

    Parameters
    ----------
    path, table, model, device : object
        See `draw_field_picture`.
    cutouts : `~galvae_affiliated.cutouts.CutoutSource`

    Returns
    -------
    n_rows : int
    """
    from galvae_affiliated.cutouts.stack import join_stacks
    from galvae_affiliated.plotting import draw_gallery, gallery_rows

    rows = gallery_rows(table)
    order = np.argsort(rows)
    stacks = cutouts.stacks([slice(row, row + 1) for row in rows[order]])
    stack = join_stacks(list(stacks), model.grid)[np.argsort(order)]
    draw_gallery(path, stack, table, rows, model, device=device)
    return len(rows)
