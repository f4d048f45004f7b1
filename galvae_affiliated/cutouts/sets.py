# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sets of ready-made cutouts: Galaxy Zoo's Parquet layout, data frames, folders of FITS files."""

import json
import logging
from collections import deque
from itertools import islice
from pathlib import Path

import numpy as np

from galvae_affiliated._batches import CHUNK
from galvae_affiliated._optional import import_optional
from galvae_affiliated.cutouts.maker import CutoutMaker, read_field
from galvae_affiliated.cutouts.resolution import check_fwhm
from galvae_affiliated.cutouts.source import fingerprint_of
from galvae_affiliated.cutouts.stack import join_stacks, unreadable_stack
from galvae_affiliated.images.bands import plan_channels
from galvae_affiliated.images.planes import split_bands
from galvae_affiliated.images.units import pixel_area, stated_calibration
from galvae_affiliated.sources.point_sources import psf_from_fwhm
from galvae_affiliated.sources.positions import Positions

__all__ = ['FitsFolder', 'FrameSet', 'ParquetSet', 'open_cutout_set']

logger = logging.getLogger(__name__)
FITS_SUFFIXES = ('.fits', '.fit', '.fts', '.fits.fz', '.fits.gz')
SCALE_COLUMN, BANDS_COLUMN = 'pixel_scale_arcsec', 'bands'


def open_cutout_set(path, frame, *, bands=None, unit=None, zero_point=None, **options):
    """
    The set of cutouts at a path.

    Parameters
    ----------
    path : str or path
        A Parquet file, or a folder of FITS files.
    frame : `~galvae_affiliated.cutouts.ModelFrame`
    bands, unit, zero_point : optional
        Of FITS cutouts; see `~galvae_affiliated.encode_catalog`. One band may be that of grey
        pictures.
    **options
        ``pixel_scale``, ``already_scaled``, ``rendering`` and ``psf_fwhm``; see
        `~galvae_affiliated.encode_cutout_set`.

    Returns
    -------
    cutouts : `FitsFolder` or `ParquetSet`

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such set, or an option does not go with it.

    Examples
    --------
    >>> import tempfile
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.cutouts import open_cutout_set
    >>> from galvae_affiliated.tables.generated import write_generated
    >>> model = get_model()
    >>> drawn = model.generate(3, random_state=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_generated([drawn], 3, f'{folder}/drawn.parquet', model)
    ...     cutouts = open_cutout_set(f'{folder}/drawn.parquet', model.frame, already_scaled=True)
    ...     [stack.shape for stack in cutouts.stacks([slice(0, 2), slice(2, 3)])]
    [(2, 3, 128, 128), (1, 3, 128, 128)]
    """
    path = Path(path)
    if path.is_dir():
        return FitsFolder(path, frame, bands=bands, unit=unit, zero_point=zero_point, **options)
    names = split_bands(bands)
    if unit is not None or zero_point is not None or (names is not None and len(names) > 1):
        raise ValueError(f'{path}: bands, unit and zero_point go with FITS cutouts, '
                         'not with colour images')
    return ParquetSet(path, frame, bands=bands, **options)


class ParquetSet:
    """
    Colour images of a Parquet file, laid out as Galaxy Zoo's sets are.

    A `~galvae_affiliated.cutouts.CutoutSource`.

    Parameters
    ----------
    path : str or path
    frame : `~galvae_affiliated.cutouts.ModelFrame`
    pixel_scale, already_scaled, rendering, bands, psf_fwhm : optional
        See `~galvae_affiliated.encode_cutout_set`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it has other columns.

    Examples
    --------
    >>> import tempfile
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.cutouts import ParquetSet
    >>> from galvae_affiliated.tables.generated import write_generated
    >>> model = get_model()
    >>> drawn = model.generate(3, random_state=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_generated([drawn], 3, f'{folder}/drawn.parquet', model)
    ...     cutouts = ParquetSet(f'{folder}/drawn.parquet', model.frame, already_scaled=True)
    ...     [stack.shape for stack in cutouts.stacks([slice(0, 2), slice(2, 3)])]
    [(2, 3, 128, 128), (1, 3, 128, 128)]
    """

    channels = ''  # known picture by picture

    def __init__(self, path, frame, *, pixel_scale=None, already_scaled=False, rendering=None,
                 bands=None, psf_fwhm=None):
        import pyarrow.parquet as pq
        from pyarrow import types

        from galvae_affiliated.cutouts.composites import CompositeMaker

        try:
            self.file = pq.ParquetFile(path)
        except FileNotFoundError:
            raise FileNotFoundError(f'{path}: there is no such file') from None
        except (OSError, ValueError) as error:
            raise ValueError(f'{path}: this is not a Parquet file that can be read '
                             f'({error})') from None
        schema = self.file.schema_arrow
        missing = [name for name in ('id_str', 'image') if name not in schema.names]
        if missing:
            raise ValueError(f'{path}: there is no column {missing[0]!r}; expected id_str and '
                             f'image, there are {", ".join(schema.names[:12])}')
        self.path = Path(path)
        self.composites = CompositeMaker(frame, pixel_scale=pixel_scale, bands=bands,
                                         already_scaled=already_scaled, rendering=rendering,
                                         psf_fwhm=psf_fwhm)
        self.columns = ['id_str', 'image']
        if BANDS_COLUMN in schema.names and types.is_string(schema.field(BANDS_COLUMN).type):
            self.columns.append(BANDS_COLUMN)
        if SCALE_COLUMN in schema.names:
            kind = schema.field(SCALE_COLUMN).type
            if not (types.is_floating(kind) or types.is_integer(kind) or types.is_null(kind)):
                raise ValueError(f'{path}: column {SCALE_COLUMN} holds {kind}; expected numbers')
            self.columns.append(SCALE_COLUMN)

    def __len__(self):
        return self.file.metadata.num_rows

    def ids(self, rows):
        """List of the column ``id_str``, as text, of a slice of rows."""
        start, stop, _ = rows.indices(len(self))
        return [str(row['id_str']) for row in islice(self._rows(start, ['id_str']), stop - start)]

    def stacks(self, slices):
        """Yield a `~galvae_affiliated.CutoutStack` of each slice; best where they follow."""
        place = rows = None
        for part in slices:
            start, stop, _ = part.indices(len(self))
            if place is not None and place < start and self._are_near(place, start):
                deque(islice(rows, start - place), maxlen=0)
            elif start != place:
                rows = self._rows(start, self.columns)
            place = stop
            some = list(islice(rows, stop - start))
            values = ([row.get(name) for row in some]
                      for name in ('id_str', 'image', SCALE_COLUMN, BANDS_COLUMN))
            yield self.composites.stack(*values)

    def fingerprint(self):
        """Hash of the file's metadata (with size and range of each column), size and time."""
        about = self.path.stat()
        metadata = json.dumps(self.file.metadata.to_dict(), default=str)
        return fingerprint_of(metadata, f'{about.st_size} {about.st_mtime_ns}')

    def _group_ends(self):
        """(N,) int array: the row behind the last one of each row group."""
        about = self.file.metadata
        sizes = [about.row_group(i).num_rows for i in range(about.num_row_groups)]
        return np.cumsum(sizes, dtype=int)

    def _are_near(self, row, other):
        """Whether rows are of one row group: who has read so far skips those between."""
        return len(np.unique(np.searchsorted(self._group_ends(), [row, other], 'right'))) == 1

    def _rows(self, start, columns):
        """Yield rows from ``start`` on as dicts; row groups that end before are not read."""
        ends = self._group_ends()
        groups = np.flatnonzero(ends > start).tolist()
        if not groups:
            return
        skipped = start - (ends[groups[0] - 1] if groups[0] else 0)
        for batch in self.file.iter_batches(CHUNK, row_groups=groups, columns=columns):
            yield from batch.slice(min(skipped, len(batch))).to_pylist()
            skipped -= min(skipped, len(batch))


class FrameSet:
    """
    Colour images of a pandas frame, read as those of a Parquet file are.

    A `~galvae_affiliated.cutouts.CutoutSource`.

    Parameters
    ----------
    data : ``pandas.DataFrame`` of N rows
    image_column : str
    frame : `~galvae_affiliated.cutouts.ModelFrame`
    **options
        ``pixel_scale``, ``already_scaled``, ``rendering``, ``bands`` and ``psf_fwhm``; see
        `~galvae_affiliated.encode_cutout_set`.

    Raises
    ------
    ValueError
        If there is no such column, or it holds text.

    Examples
    --------
    >>> import io
    >>> import pandas as pd
    >>> from PIL import Image
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.cutouts import FrameSet
    >>> picture = io.BytesIO()
    >>> Image.new('RGB', (128, 128)).save(picture, 'png')
    >>> data = pd.DataFrame({'id_str': ['J1'], 'image': [picture.getvalue()]})
    >>> FrameSet(data, 'image', get_model().frame, already_scaled=True).ids(slice(0, 1))
    ['J1']
    """

    channels = ''

    def __init__(self, data, image_column, frame, **options):
        from galvae_affiliated.cutouts.composites import CompositeMaker

        if image_column not in data.columns:
            raise ValueError(f'there is no column {image_column!r} of images; there are '
                             f'{", ".join(map(str, data.columns[:12]))}')
        if isinstance(data[image_column].dtype, import_optional('pandas').StringDtype):
            # each row would be unreadable, without a word
            raise ValueError(f'column {image_column!r} holds text, not images: Dask makes texts of '
                             'bytes in frames that it did not read from Parquet, unless '
                             "'dataframe.convert-string' is set to False")
        self.composites = CompositeMaker(frame, **options)
        self.images = data[image_column]
        self.names = list(data['id_str'] if 'id_str' in data.columns else data.index)
        self.scales = np.full(len(data), np.nan)
        if SCALE_COLUMN in data.columns:
            self.scales = data[SCALE_COLUMN].to_numpy(dtype=float, na_value=np.nan)
        self.bands = [None] * len(data)
        if BANDS_COLUMN in data.columns:
            self.bands = list(data[BANDS_COLUMN])

    def __len__(self):
        return len(self.images)

    def ids(self, rows):
        """List of the column ``id_str``, or else of the index, as text, of a slice of rows."""
        return [str(name) for name in self.names[rows]]

    def stacks(self, slices):
        """Yield a `~galvae_affiliated.CutoutStack` of each slice of rows."""
        for rows in slices:
            yield self.composites.stack(self.ids(rows), self.images.iloc[rows],
                                        self.scales[rows], self.bands[rows])

    def fingerprint(self):
        """Hash of identifiers, images, pixel scales and bands."""
        return fingerprint_of(*self.ids(slice(None)), *map(repr, self.images), self.scales,
                              *map(str, self.bands))


class FitsFolder:
    """
    FITS cutouts of a folder, in the order of their names; a cutout's name is its identifier.

    A `~galvae_affiliated.cutouts.CutoutSource`.

    Parameters
    ----------
    path : str or path
    frame : `~galvae_affiliated.cutouts.ModelFrame`
    pixel_scale, already_scaled, rendering, bands, unit, zero_point, psf_fwhm : optional
        See `~galvae_affiliated.encode_cutout_set`.

    Raises
    ------
    ValueError, TypeError
        If there is no FITS file, or an option is wrong. A file that cannot be read costs its row
        alone, unless none can.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.cutouts import FitsFolder
    >>> light = np.random.default_rng(0).normal(1.0, 0.1, (3, 64, 64))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.writeto(f'{folder}/J1.fits', light)
    ...     fits.writeto(f'{folder}/J2.fits', light)
    ...     cutouts = FitsFolder(folder, get_model().frame, already_scaled=True, bands='g,r,z',
    ...                          unit='nmgy')
    ...     cutouts.ids(slice(0, 2))
    ['J1', 'J2']
    """

    def __init__(self, path, frame, *, pixel_scale=None, already_scaled=False, rendering=None,
                 bands=None, unit=None, zero_point=None, psf_fwhm=None):
        self.files = sorted(f for f in Path(path).iterdir()
                            if f.name.lower().endswith(FITS_SUFFIXES))
        if not self.files:
            raise ValueError(f'{path}: there is no FITS file in this folder')
        pixel_area(None, pixel_scale)
        sets = frame.band_sets(rendering)
        names = split_bands(bands)
        plan = None if names is None else plan_channels(names, *sets)
        self.channels = '' if plan is None else plan.channels
        stated_calibration(unit, zero_point, sets[0][0] if plan is None else plan.bands)
        self.psf_fwhm = None if psf_fwhm is None else check_fwhm(psf_fwhm)
        self.frame = frame
        self.already_scaled = already_scaled
        self.options = {'pixel_scale': pixel_scale, 'rendering': rendering, 'bands': bands,
                        'unit': unit, 'zero_point': zero_point}
        self._unreadable = set()

    def __len__(self):
        return len(self.files)

    def ids(self, rows):
        """List of the names of a slice of the files, without their endings."""
        return [_identifier(file.name) for file in self.files[rows]]

    def stacks(self, slices):
        """Yield a `~galvae_affiliated.CutoutStack` of each slice of the files."""
        for rows in slices:
            cutouts = [self._cutout(file) for file in self.files[rows]]
            yield join_stacks(cutouts, self.frame.grid)

    def fingerprint(self):
        """Hash of name, size and time of each file."""
        about = [(file.name, file.stat() if file.exists() else file.lstat())
                 for file in self.files]
        return fingerprint_of(*(f'{name} {stat.st_size} {stat.st_mtime_ns}\n'
                                for name, stat in about))

    def _cutout(self, path):
        """`~galvae_affiliated.CutoutStack` of one file."""
        try:
            field = read_field(path, self.frame, **self.options)
        except (ValueError, TypeError, OSError) as error:
            self._unreadable.add(path)
            if len(self._unreadable) == len(self):
                raise ValueError(f'no file of the folder can be read: {error}') from None
            logger.warning('%s', error)
            return unreadable_stack(1, self.frame.grid)
        ny, nx = field.shape
        # as in Parquet sets: a cutout of unknown pixel scale is at the model's scale already
        is_scaled = self.already_scaled or field.pixel_scale is None
        radius = min(ny, nx) / self.frame.field_of_view if is_scaled else np.nan
        x, y, radius = (np.array([value]) for value in ((nx - 1) / 2, (ny - 1) / 2, radius))
        positions = Positions(x, y, None, radius, None)
        seeing = field.seeing
        if self.psf_fwhm is not None:
            seeing = self.psf_fwhm / (field.pixel_scale or 1.0)
        star = np.nan if seeing is None else psf_from_fwhm(seeing)[1]
        return CutoutMaker(field, positions, self.frame, psf_r90=star,
                           rendering=self.options['rendering']).stack()


def _identifier(name):
    """A file's name without the ending of FITS files; names of galaxies have dots."""
    suffix = max((s for s in FITS_SUFFIXES if name.lower().endswith(s)), key=len)
    return name[:-len(suffix)]
