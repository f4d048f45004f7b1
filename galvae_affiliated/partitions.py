# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Partitions of a Dask or LSDB catalogue: a pandas frame of cutouts to one with latents and morphology."""

import numpy as np
import pyarrow as pa

from galvae_affiliated._onnx import BATCH_SIZE
from galvae_affiliated._workers import need, resident
from galvae_affiliated.cutout_sets import ParquetSet, composite_rendering, stack_of
from galvae_affiliated.encoder import Encoder, Encoding
from galvae_affiliated.images import pixel_area
from galvae_affiliated.results import planned_names, result_columns

__all__ = ['encode_partition', 'partition_meta']

ROWS = 256  # cutouts in memory at a time


def encode_partition(frame, bundle=None, *, image_column='image', pixel_scale=None, scaled=False, rendering=None,
                     morphology=True, coverage=0.9, samples=0, reconstruction=True, split=True, device='auto',
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
    bundle : str, path or `~galvae_affiliated.ModelBundle`, optional
        The model: a name, a file that all workers see, or what `share_model`
        returned. A ModelBundle works too, but is sent along with every partition.
    image_column : str, optional
    pixel_scale, scaled, rendering : optional
        See `~galvae_affiliated.cutout_sets.encode_cutout_set`; the scale is in arcsec.
    morphology, coverage, samples, reconstruction, device, batch_size : optional
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
    pd = need('pandas')
    model = resident(bundle)
    options = {'split': split, 'morphology': morphology, 'coverage': coverage, 'samples': samples}
    images = FrameSet(frame, image_column, model, pixel_scale=pixel_scale, scaled=scaled, rendering=rendering)
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


def partition_meta(frame, bundle=None, **options):
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
    if not isinstance(frame, need('pandas').DataFrame):
        # where Dask and LSDB keep an empty frame of the types
        frame = frame._meta if hasattr(frame, '_meta') else frame.meta
    return encode_partition(frame.iloc[:0], bundle, **options)


class FrameSet(ParquetSet):
    """
    Colour images of a pandas frame, read as those of a Parquet file are.

    Parameters
    ----------
    frame : ``pandas.DataFrame``
    image_column : str
    bundle : `~galvae_affiliated.ModelBundle`
    pixel_scale, scaled, rendering : optional
        See `~galvae_affiliated.cutout_sets.encode_cutout_set`.
    """

    def __init__(self, frame, image_column, bundle, *, pixel_scale=None, scaled=False, rendering=None):
        if image_column not in frame.columns:
            raise ValueError(f'there is no column {image_column!r} of images; there are '
                             f'{", ".join(map(str, frame.columns[:12]))}')
        if isinstance(frame[image_column].dtype, need('pandas').StringDtype):
            # each row would be unreadable, without a word
            raise ValueError(f'column {image_column!r} holds text, not images: Dask makes texts of bytes in frames '
                             "that it did not read from Parquet, unless 'dataframe.convert-string' is set to False")
        if rendering is not None:
            composite_rendering(bundle, rendering)
        pixel_area(None, pixel_scale)
        self.images = frame[image_column]
        self.ids = list(frame['id_str'] if 'id_str' in frame.columns else frame.index)
        self.scales = (frame['pixel_scale_arcsec'].to_numpy(dtype=float, na_value=np.nan)
                       if 'pixel_scale_arcsec' in frame.columns else np.full(len(frame), np.nan))
        self.bundle, self.pixel_scale, self.scaled, self.rendering = bundle, pixel_scale, scaled, rendering

    def __len__(self):
        return len(self.images)

    def chunks(self, size):
        """Yield identifiers and `~galvae_affiliated.CutoutStack` of ``size`` rows at a time."""
        for start in range(0, max(len(self), 1), size):
            rows = slice(start, start + size)
            cutouts = [self.cutout({'id_str': name, 'image': image, 'pixel_scale_arcsec': scale})
                       for name, image, scale in zip(self.ids[rows], self.images.iloc[rows], self.scales[rows])]
            yield self.ids[rows], stack_of(cutouts, self.bundle.grid)


def frame_column(column):
    """A column of a table as pandas takes it: NaN or NA where masked, vectors as lists of fixed size."""
    pd, mask = need('pandas'), np.ma.getmaskarray(column)
    if column.ndim == 2:
        values = pa.array(np.asarray(column).ravel())
        return pd.arrays.ArrowExtensionArray(pa.FixedSizeListArray.from_arrays(
            values, column.shape[1], mask=pa.array(mask.all(axis=1))))
    if column.dtype.kind == 'U':
        return pd.array(np.where(mask, None, np.asarray(column).astype(object)), dtype='string[pyarrow]')
    return np.ma.filled(column, np.nan) if column.dtype.kind == 'f' else np.asarray(column)
