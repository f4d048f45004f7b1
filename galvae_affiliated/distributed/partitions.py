# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Partitions of a Dask or LSDB catalogue: frames of cutouts to frames of latents."""

import numpy as np
import pyarrow as pa

from galvae_affiliated._optional import import_optional
from galvae_affiliated.cutouts.sets import FrameSet
from galvae_affiliated.distributed._workers import resident_model, worker_engine
from galvae_affiliated.pipeline import encode_chunks, resolve_options

__all__ = ['encode_partition', 'partition_meta']


def encode_partition(frame, model=None, *, image_column='image', pixel_scale=None,
                     already_scaled=False, rendering=None, bands=None, psf_fwhm=None,
                     outputs=None, engine=None, **options):
    """
    Encode the cutouts of a pandas frame: N rows in, N rows out, in the same order.

    A function for ``map_partitions`` of Dask and LSDB, where ``meta`` is that
    of `partition_meta`. It is pure: a partition that is computed again, on
    whatever worker, gives the same rows. The model is loaded once a process.

    Parameters
    ----------
    frame : ``pandas.DataFrame`` of N rows
        With 8-bit images, in color or grey, as Galaxy Zoo's Parquet sets hold them: the
        bytes of a JPEG or PNG, or a struct with ``bytes``. Columns
        ``pixel_scale_arcsec`` and ``bands`` (of grey ones) are heeded row by row.
    model : str, path or `~galvae_affiliated.ModelBundle`, optional
        The model: a name, a file that all workers see, or what `share_model`
        returned. A ModelBundle works too, but is sent along with every partition.
    image_column : str, optional
    pixel_scale, already_scaled, rendering, bands, psf_fwhm : optional
        See `~galvae_affiliated.encode_cutout_set`; the scale is in arcsec.
    outputs : `~galvae_affiliated.Outputs`, optional
    engine : `~galvae_affiliated.Engine`, optional
        Without threads, it has those of the Dask worker.
    **options
        Those of either class, in place of one. The default of ``scalar_columns`` is True
        here, since each engine reads these back from Parquet. With False, ``galvae_latent``
        and its like are one column each, of pyarrow's list type of fixed size: they are
        written well, but pandas and Dask read them only with ``dtype_backend='pyarrow'``.

    Returns
    -------
    encoded : ``pandas.DataFrame`` of N rows
        With the index of ``frame``, its columns but for the images, and those of
        `~galvae_affiliated.encode_catalog`. Numbers that are not known are NaN,
        texts NA. ``galvae_radius`` is in pixels of the image, since a column
        has one unit in all partitions.

    Raises
    ------
    ImportError
        If pandas is not installed.
    ValueError
        If there is no column of images, a column that is to be added exists, or an option is
        wrong.
    DeviceError
        If CUDA was asked for and does not start.

    Examples
    --------
    >>> import io
    >>> import pandas as pd
    >>> from PIL import Image
    >>> from galvae_affiliated.distributed import encode_partition
    >>> picture = io.BytesIO()
    >>> Image.effect_noise((128, 128), 80).convert('RGB').save(picture, 'png')
    >>> frame = pd.DataFrame({'id_str': ['J1'], 'image': [picture.getvalue()]})
    >>> encoded = encode_partition(frame, already_scaled=True)
    >>> encoded.columns[:3].tolist(), len(encoded)
    (['id_str', 'galvae_latent_00', 'galvae_latent_01'], 1)
    """
    pd = import_optional('pandas')
    if outputs is None:
        options.setdefault('scalar_columns', True)
    outputs, engine = resolve_options(options, outputs, engine)
    model = resident_model(model)
    engine = worker_engine(engine)
    source = FrameSet(frame, image_column, model.frame, pixel_scale=pixel_scale,
                      already_scaled=already_scaled, rendering=rendering, bands=bands,
                      psf_fwhm=psf_fwhm)
    kept = frame.drop(columns=image_column)
    taken = [name for name in outputs.names(model) if name in kept.columns]
    if taken:
        raise ValueError(f'the frame has a column {taken[0]!r} already')
    encoding, = encode_chunks(source, [slice(0, len(source))], model, outputs, engine)
    columns = outputs.columns(encoding, model, engine, radius_unit='pix')
    # in one go: columns that are added one by one fragment the frame
    added = pd.DataFrame({column.name: _frame_column(column) for column in columns},
                         index=frame.index)
    return pd.concat([kept, added], axis=1)


def partition_meta(frame, model=None, **options):
    """
    The empty frame that gives Dask the columns and types of `encode_partition`.

    Parameters
    ----------
    frame : ``pandas.DataFrame``, ``dask.dataframe.DataFrame`` or ``lsdb.Catalog``
        Any frame with the columns of the partitions; nothing of it is computed.
    model, **options : optional
        As `encode_partition` gets them.

    Returns
    -------
    meta : ``pandas.DataFrame`` of no rows

    Examples
    --------
    >>> import io
    >>> import pandas as pd
    >>> from PIL import Image
    >>> from galvae_affiliated.distributed import partition_meta
    >>> picture = io.BytesIO()
    >>> Image.effect_noise((128, 128), 80).convert('RGB').save(picture, 'png')
    >>> frame = pd.DataFrame({'id_str': ['J1'], 'image': [picture.getvalue()]})
    >>> meta = partition_meta(frame, already_scaled=True)
    >>> meta.columns[:3].tolist(), len(meta)
    (['id_str', 'galvae_latent_00', 'galvae_latent_01'], 0)
    """
    if not isinstance(frame, import_optional('pandas').DataFrame):
        # where Dask and LSDB keep an empty frame of the types
        frame = frame._meta if hasattr(frame, '_meta') else frame.meta
    return encode_partition(frame.iloc[:0], model, **options)


def _frame_column(column):
    """
    A column of a table as pandas takes it.

    NaN or NA where it is masked; vectors as lists of fixed size.
    """
    pd = import_optional('pandas')
    mask = np.ma.getmaskarray(column)
    if column.ndim == 2:
        values = pa.array(np.asarray(column).ravel())
        return pd.arrays.ArrowExtensionArray(pa.FixedSizeListArray.from_arrays(
            values, column.shape[1], mask=pa.array(mask.all(axis=1))))
    if column.dtype.kind == 'U':
        texts = np.where(mask, None, np.asarray(column).astype(object))
        return pd.array(texts, dtype='string[pyarrow]')
    return np.ma.filled(column, np.nan) if column.dtype.kind == 'f' else np.asarray(column)
