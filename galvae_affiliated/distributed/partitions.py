# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Partitions of a Dask or LSDB catalogue: a pandas frame of cutouts to one with latents and morphology."""

from galvae_affiliated._optional import import_optional
from galvae_affiliated.cutouts.sets import FrameSet, frame_column
from galvae_affiliated.distributed._workers import resident_model
from galvae_affiliated.models._devices import BATCH_SIZE
from galvae_affiliated.models.encoder import Encoder, Encoding
from galvae_affiliated.tables.outputs import planned_names, result_columns

__all__ = ['encode_partition', 'partition_meta']

ROWS = 256  # cutouts in memory at a time


def encode_partition(frame, model=None, *, image_column='image', pixel_scale=None, already_scaled=False, rendering=None,
                     morphology=True, coverage=0.9, n_samples=0, reconstruction=True, split=True, device='auto',
                     batch_size=BATCH_SIZE):
    """
    Encode the cutouts of a pandas frame: N rows in, N rows out, in the same order and with the same index.

    A function for ``map_partitions`` of Dask and LSDB, where ``meta`` is that
    of `partition_meta`. It is pure: a partition that is computed again, on
    whatever worker, gives the same rows. The model is loaded once a process.

    Parameters
    ----------
    frame : ``pandas.DataFrame`` of N rows
        With 8-bit colour images as Galaxy Zoo's Parquet sets hold them: the
        bytes of a JPEG or PNG, or a struct with ``bytes``. A column
        ``pixel_scale_arcsec`` is heeded row by row.
    model : str, path or `~galvae_affiliated.ModelBundle`, optional
        The model: a name, a file that all workers see, or what `share_model`
        returned. A ModelBundle works too, but is sent along with every partition.
    image_column : str, optional
    pixel_scale, already_scaled, rendering : optional
        See `~galvae_affiliated.catalog.encode_cutout_set`; the scale is in arcsec.
    morphology, coverage, n_samples, reconstruction, device, batch_size : optional
        See `~galvae_affiliated.encode_catalog`.
    split : bool, optional
        A scalar column a latent. This is the default since each engine reads
        them back from Parquet. With False, ``galvae_latent`` and its like are
        one column each, of pyarrow's list type of fixed size: they are
        written well, but pandas and Dask read them only with
        ``dtype_backend='pyarrow'``.

    Returns
    -------
    encoded : ``pandas.DataFrame`` of N rows
        The columns of ``frame`` but for the images, and those of
        `~galvae_affiliated.encode_catalog`. Numbers that are not known are NaN,
        texts NA. ``galvae_radius`` is in pixels of the image, since a column
        has one unit in all partitions.

    Raises
    ------
    ImportError
        If pandas is not installed.
    ValueError
        If there is no column of images, a column that is to be added exists, or an option is wrong.
    DeviceError
        If CUDA was asked for and does not start.
    """
    pd = import_optional('pandas')
    model = resident_model(model)
    options = {'split': split, 'morphology': morphology, 'coverage': coverage, 'n_samples': n_samples}
    images = FrameSet(frame, image_column, model, pixel_scale=pixel_scale, already_scaled=already_scaled, rendering=rendering)
    kept = frame.drop(columns=image_column)
    taken = [name for name in planned_names(model, reconstruction=reconstruction, **options) if name in kept.columns]
    if taken:
        raise ValueError(f'the frame has a column {taken[0]!r} already')
    encoder = Encoder(model, device=device, batch_size=batch_size)
    encoding = Encoding.concatenate([encoder.encode(stack, reconstruction=reconstruction)
                                     for _, stack in images.chunks(ROWS)])
    columns = {column.name: frame_column(column)
               for column in result_columns(encoding, model, device=device, **options)}
    columns['galvae_radius'] = encoding.radius
    # in one go: columns that are added one by one fragment the frame
    return pd.concat([kept, pd.DataFrame(columns, index=frame.index)], axis=1)


def partition_meta(frame, model=None, **options):
    """
    The empty frame that tells Dask the columns and types of `encode_partition`.

    Parameters
    ----------
    frame : ``pandas.DataFrame``, ``dask.dataframe.DataFrame`` or ``lsdb.Catalog``
        Any frame with the columns of the partitions; nothing of it is computed.
    bundle, **options : optional
        As `encode_partition` gets them.

    Returns
    -------
    meta : ``pandas.DataFrame`` of no rows
    """
    if not isinstance(frame, import_optional('pandas').DataFrame):
        # where Dask and LSDB keep an empty frame of the types
        frame = frame._meta if hasattr(frame, '_meta') else frame.meta
    return encode_partition(frame.iloc[:0], model, **options)
