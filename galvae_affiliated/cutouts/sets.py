# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sets of ready-made cutouts: Galaxy Zoo's Parquet layout, and folders of FITS files."""

import json
import logging
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import UnidentifiedImageError

from galvae_affiliated._batches import CHUNK, row_slices
from galvae_affiliated._optional import import_optional
from galvae_affiliated.cutouts.composites import (
    check_composite_rendering,
    decode_image,
    measured_composite,
    scaled_composite,
    unreadable_cutout,
)
from galvae_affiliated.cutouts.maker import cutout_maker, flux_renderings, read_field
from galvae_affiliated.cutouts.stack import CutoutStack
from galvae_affiliated.images.planes import split_bands
from galvae_affiliated.images.units import pixel_area, stated_calibration
from galvae_affiliated.sources.positions import Positions

__all__ = ['FitsFolder', 'ParquetSet']

logger = logging.getLogger(__name__)
FITS_SUFFIXES = ('.fits', '.fit', '.fts', '.fits.fz', '.fits.gz')


class ParquetSet:
    """
    Colour images of a Parquet file, laid out as Galaxy Zoo's sets are.

    Parameters
    ----------
    path : str or path
    model : `~galvae_affiliated.ModelBundle`
    pixel_scale, already_scaled, rendering : optional
        See `encode_cutout_set`.
    """

    def __init__(self, path, model, *, pixel_scale=None, already_scaled=False, rendering=None):
        try:
            self.file = pq.ParquetFile(path)
        except FileNotFoundError:
            raise FileNotFoundError(f'{path}: there is no such file') from None
        except (OSError, ValueError) as error:
            raise ValueError(f'{path}: this is not a Parquet file that can be read ({error})') from None
        names = self.file.schema_arrow.names
        missing = [name for name in ('id_str', 'image') if name not in names]
        if missing:
            raise ValueError(f'{path}: there is no column {missing[0]!r}; expected id_str and image, '
                             f'there are {", ".join(names[:12])}')
        self.model, self.pixel_scale, self.already_scaled, self.rendering = model, pixel_scale, already_scaled, rendering
        if rendering is not None:
            check_composite_rendering(model, rendering)
        pixel_area(None, pixel_scale)
        if 'pixel_scale_arcsec' in names:
            kind = self.file.schema_arrow.field('pixel_scale_arcsec').type
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
                raise ValueError(f'{path}: column pixel_scale_arcsec holds {kind}; expected numbers')
        self.columns = ['id_str', 'image'] + [c for c in ('pixel_scale_arcsec',) if c in names]

    def __len__(self):
        return self.file.metadata.num_rows

    def chunks(self, size):
        """Yield identifiers and `~galvae_affiliated.CutoutStack` of ``size`` rows at a time."""
        return self.stacks(row_slices(len(self), size))

    def stacks(self, slices):
        """Yield identifiers and `~galvae_affiliated.CutoutStack` of slices of rows that follow one another."""
        known = self.rows(slices[0].start)
        for part in slices:
            rows = list(islice(known, part.stop - part.start))
            yield [str(row['id_str']) for row in rows], stack_of([self.cutout(row) for row in rows], self.model.grid)

    def rows(self, start):
        """Yield the rows from ``start`` on as dicts; row groups that end before it are not read."""
        about = self.file.metadata
        ends = np.cumsum([about.row_group(i).num_rows for i in range(about.num_row_groups)], dtype=int)
        groups = np.flatnonzero(ends > start)
        if not len(groups):
            return
        skipped = start - (ends[groups[0]] - about.row_group(int(groups[0])).num_rows)
        for batch in self.file.iter_batches(CHUNK, row_groups=groups.tolist(), columns=self.columns):
            yield from batch.slice(min(skipped, len(batch))).to_pylist()
            skipped -= min(skipped, len(batch))

    def contents(self):
        """Texts that differ if the file holds something else: its metadata have the size and range of each column."""
        return [json.dumps(self.file.metadata.to_dict(), default=str)]

    def cutout(self, row):
        """(cutout, rendering, flags, radius, pixel scale) of one row."""
        try:
            image = decode_image(row['image'])
        except (UnidentifiedImageError, OSError, ValueError, TypeError):
            return unreadable_cutout(self.model.grid)
        scale = self.pixel_scale if self.pixel_scale is not None else row.get('pixel_scale_arcsec')
        if self.already_scaled or scale is None or not np.isfinite(scale):
            return scaled_composite(image, self.model, self.rendering)
        if not scale > 0:
            raise ValueError(f'{row["id_str"]}: pixel_scale_arcsec is {scale}; expected a positive number')
        return measured_composite(image, scale, self.model, self.rendering)


class FitsFolder:
    """
    FITS cutouts of a folder, in the order of their names; a cutout's name is its identifier.

    Parameters
    ----------
    path : str or path
    model : `~galvae_affiliated.ModelBundle`
    pixel_scale, already_scaled, rendering, bands, unit, zero_point : optional
        See `encode_cutout_set`.
    """

    def __init__(self, path, model, *, pixel_scale=None, already_scaled=False, rendering=None, **options):
        self.files = sorted(f for f in Path(path).iterdir() if f.name.lower().endswith(FITS_SUFFIXES))
        if not self.files:
            raise ValueError(f'{path}: there is no FITS file in this folder')
        self.model, self.already_scaled = model, already_scaled
        self.renderings = flux_renderings(model, rendering)
        self.options = {'pixel_scale': pixel_scale, **options}
        self.n_unreadable = 0
        # a wrong call is told at once; what is wrong with one file costs its row alone
        split_bands(options.get('bands'))
        pixel_area(None, pixel_scale)
        stated_calibration(options.get('unit'), options.get('zero_point'), next(iter(self.renderings.values())))

    def __len__(self):
        return len(self.files)

    def chunks(self, size):
        """Yield identifiers and `~galvae_affiliated.CutoutStack` of ``size`` files at a time."""
        return self.stacks(row_slices(len(self), size))

    def stacks(self, slices):
        """Yield identifiers and `~galvae_affiliated.CutoutStack` of slices of the files."""
        for part in slices:
            files = self.files[part]
            yield [identifier(f) for f in files], stack_of([self.cutout(f) for f in files], self.model.grid)

    def contents(self):
        """Texts that differ if the folder holds something else: name and size of each file."""
        return [f'{file.name} {file.stat().st_size}\n' for file in self.files]

    def cutout(self, path):
        """(cutout, rendering, flags, radius, pixel scale) of one file."""
        try:
            field = read_field(path, self.model, self.renderings, **self.options)
        except (ValueError, TypeError) as error:
            self.n_unreadable += 1
            if self.n_unreadable == len(self):
                raise ValueError(f'no file of the folder can be read: {error}') from None
            logger.warning('%s', error)
            return unreadable_cutout(self.model.grid)
        ny, nx = field.shape
        # as for Parquet sets: a cutout whose pixel scale nobody says is at the model's scale already
        is_scaled = self.already_scaled or field.pixel_scale is None
        radius = nx / self.model.field_of_view if is_scaled else np.nan
        positions = Positions(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]), None, np.array([radius]), None)
        stack = cutout_maker(field, positions, self.model, self.renderings).stack()
        return stack.data[0], stack.rendering[0], stack.flags[0], stack.radius[0], stack.pixel_scale[0]


def identifier(path):
    """A file's name without the ending of FITS files; names of galaxies have dots."""
    suffix = max((s for s in FITS_SUFFIXES if path.name.lower().endswith(s)), key=len)
    return path.name[:-len(suffix)]


def stack_of(cutouts, grid):
    """One `CutoutStack` of (cutout, rendering, flags, radius, pixel scale) tuples."""
    if not cutouts:
        return CutoutStack(np.zeros((0, 3, grid, grid), np.float32), np.zeros(0, str), np.zeros(0, np.int32))
    data, rendering, flags, radius, scale = zip(*cutouts)
    return CutoutStack(np.stack(data), np.array(rendering), np.array(flags, dtype=np.int32), np.array(radius, float),
                       np.array(scale, float))


class FrameSet(ParquetSet):
    """
    Colour images of a pandas frame, read as those of a Parquet file are.

    Parameters
    ----------
    frame : ``pandas.DataFrame``
    image_column : str
    model : `~galvae_affiliated.ModelBundle`
    pixel_scale, already_scaled, rendering : optional
        See `~galvae_affiliated.catalog.encode_cutout_set`.
    """

    def __init__(self, frame, image_column, model, *, pixel_scale=None, already_scaled=False, rendering=None):
        if image_column not in frame.columns:
            raise ValueError(f'there is no column {image_column!r} of images; there are '
                             f'{", ".join(map(str, frame.columns[:12]))}')
        if isinstance(frame[image_column].dtype, import_optional('pandas').StringDtype):
            # each row would be unreadable, without a word
            raise ValueError(f'column {image_column!r} holds text, not images: Dask makes texts of bytes in frames '
                             "that it did not read from Parquet, unless 'dataframe.convert-string' is set to False")
        if rendering is not None:
            check_composite_rendering(model, rendering)
        pixel_area(None, pixel_scale)
        self.images = frame[image_column]
        self.ids = list(frame['id_str'] if 'id_str' in frame.columns else frame.index)
        self.scales = (frame['pixel_scale_arcsec'].to_numpy(dtype=float, na_value=np.nan)
                       if 'pixel_scale_arcsec' in frame.columns else np.full(len(frame), np.nan))
        self.model, self.pixel_scale, self.already_scaled, self.rendering = model, pixel_scale, already_scaled, rendering

    def __len__(self):
        return len(self.images)

    def chunks(self, size):
        """Yield identifiers and `~galvae_affiliated.CutoutStack` of ``size`` rows at a time."""
        for start in range(0, max(len(self), 1), size):
            rows = slice(start, start + size)
            cutouts = [self.cutout({'id_str': name, 'image': image, 'pixel_scale_arcsec': scale})
                       for name, image, scale in zip(self.ids[rows], self.images.iloc[rows], self.scales[rows])]
            yield self.ids[rows], stack_of(cutouts, self.model.grid)


def frame_column(column):
    """A column of a table as pandas takes it: NaN or NA where masked, vectors as lists of fixed size."""
    pd, mask = import_optional('pandas'), np.ma.getmaskarray(column)
    if column.ndim == 2:
        values = pa.array(np.asarray(column).ravel())
        return pd.arrays.ArrowExtensionArray(pa.FixedSizeListArray.from_arrays(
            values, column.shape[1], mask=pa.array(mask.all(axis=1))))
    if column.dtype.kind == 'U':
        return pd.array(np.where(mask, None, np.asarray(column).astype(object)), dtype='string[pyarrow]')
    return np.ma.filled(column, np.nan) if column.dtype.kind == 'f' else np.asarray(column)
