# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sets of ready-made cutouts: Galaxy Zoo's Parquet layout, and folders of FITS files."""

import io
import json
import logging
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Column, Table
from PIL import Image, UnidentifiedImageError

from galvae_affiliated._cutting import MIN_RADIUS
from galvae_affiliated._detect import HOT, find
from galvae_affiliated._onnx import BATCH_SIZE
from galvae_affiliated._petrosian import petrosian_r90
from galvae_affiliated._resample import resample
from galvae_affiliated._sources import split_bands
from galvae_affiliated.catalog import CHUNK, encode_in_chunks, row_slices, stack_rows
from galvae_affiliated.columns import with_columns
from galvae_affiliated.cutouts import CutoutStack, empty_flag
from galvae_affiliated.encoder import Encoder
from galvae_affiliated.fields import cutout_maker, flux_renderings, read_field
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.images import pixel_area, stated_calibration
from galvae_affiliated.positions import Positions
from galvae_affiliated.registry import get_model
from galvae_affiliated.results import planned_names, result_columns

__all__ = ['FitsFolder', 'ParquetSet', 'encode_cutout_set']

logger = logging.getLogger(__name__)

FITS_SUFFIXES = ('.fits', '.fit', '.fts', '.fits.fz', '.fits.gz')
# Galaxy Zoo 2's own composites: 424 pixels of 0.02 petroR90
GZ2_SIDE, GZ2_PIXEL = 424, 0.02
SKY_TOLERANCE = 0.03  # composite levels; a rendering is recognised by the level of its empty sky


def encode_cutout_set(path, bundle=None, *, pixel_scale=None, scaled=False, rendering=None, bands=None, unit=None,
                      zero_point=None, morphology=True, coverage=0.9, samples=0, reconstruction=True, split=False,
                      device='auto', batch_size=BATCH_SIZE, threads=None, precision='float32', progress=None):
    """
    Encode a set of cutouts, one row a cutout.

    Parameters
    ----------
    path : str or path
        A Parquet file with columns ``id_str`` and ``image`` (8-bit colour
        images), or a folder of FITS cutouts with three planes.
    bundle : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    pixel_scale : float, optional
        Side of a pixel in arcsec: the galaxy in each cutout is measured and
        brought to the model's scale. A column ``pixel_scale_arcsec`` says so
        row by row, a WCS for a FITS file.
    scaled : bool, optional
        All cutouts are at the model's scale already: 5.12 petroR90 a side, or
        Galaxy Zoo 2's 424 pixels of 0.02 petroR90.
    rendering : str, optional
        Name of the model's rendering; None recognises composites of the
        Legacy Surveys' viewer by the level of their sky.
    bands, unit, zero_point : optional
        Of FITS cutouts; see `~galvae_affiliated.encode_catalog`.
    morphology, coverage, samples, reconstruction, split, device, batch_size, threads, precision, progress : optional
        See `~galvae_affiliated.encode_catalog`.

    Returns
    -------
    table : `~astropy.table.Table`
        ``id_str`` and the columns of `~galvae_affiliated.encode_catalog`.

    Raises
    ------
    ValueError
        If the file is not such a set.
    """
    bundle = get_model(bundle)
    options = {'split': split, 'morphology': morphology, 'coverage': coverage, 'samples': samples}
    planned_names(bundle, reconstruction=reconstruction, **options)  # a wrong option is refused before the work
    cutouts = open_cutout_set(path, bundle, pixel_scale=pixel_scale, scaled=scaled, rendering=rendering, bands=bands,
                              unit=unit, zero_point=zero_point)
    encoder = Encoder(bundle, device=device, batch_size=batch_size, threads=threads, precision=precision)
    ids = []
    stacks = without_names(cutouts.chunks(stack_rows(batch_size)), ids)
    encoding = encode_in_chunks(stacks, len(cutouts), encoder, reconstruction, progress)
    columns = result_columns(encoding, bundle, device=device, **options)
    return with_columns(Table([id_column(ids)]), columns, overwrite=False)


def open_cutout_set(path, bundle, *, bands=None, unit=None, zero_point=None, **options):
    """
    The set of cutouts at a path.

    Parameters
    ----------
    path : str or path
    bundle : `~galvae_affiliated.ModelBundle`
    bands, unit, zero_point : optional
        Of FITS cutouts.
    **options
        ``pixel_scale``, ``scaled`` and ``rendering``; see `encode_cutout_set`.

    Returns
    -------
    cutouts : `FitsFolder` or `ParquetSet`
    """
    path = Path(path)
    if path.is_dir():
        return FitsFolder(path, bundle, bands=bands, unit=unit, zero_point=zero_point, **options)
    if not (bands is None and unit is None and zero_point is None):
        raise ValueError(f'{path}: bands, unit and zero_point go with FITS cutouts, not with colour images')
    return ParquetSet(path, bundle, **options)


def without_names(pairs, names):
    """Yield the stacks of pairs of identifiers and stack; the identifiers are appended to ``names``."""
    for some, stack in pairs:
        names.extend(some)
        yield stack


def id_column(names):
    """The column of identifiers."""
    return Column(np.array(names, dtype=str), name='id_str', description='identifier of the cutout')


class ParquetSet:
    """
    Colour images of a Parquet file, laid out as Galaxy Zoo's sets are.

    Parameters
    ----------
    path : str or path
    bundle : `~galvae_affiliated.ModelBundle`
    pixel_scale, scaled, rendering : optional
        See `encode_cutout_set`.
    """

    def __init__(self, path, bundle, *, pixel_scale=None, scaled=False, rendering=None):
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
        self.bundle, self.pixel_scale, self.scaled, self.rendering = bundle, pixel_scale, scaled, rendering
        if rendering is not None:
            composite_rendering(bundle, rendering)
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
            yield [str(row['id_str']) for row in rows], stack_of([self.cutout(row) for row in rows], self.bundle.grid)

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
            image = decode(row['image'])
        except (UnidentifiedImageError, OSError, ValueError, TypeError):
            return unreadable(self.bundle.grid)
        scale = self.pixel_scale if self.pixel_scale is not None else row.get('pixel_scale_arcsec')
        if self.scaled or scale is None or not np.isfinite(scale):
            return scaled_composite(image, self.bundle, self.rendering)
        if not scale > 0:
            raise ValueError(f'{row["id_str"]}: pixel_scale_arcsec is {scale}; expected a positive number')
        return measured_composite(image, scale, self.bundle, self.rendering)


class FitsFolder:
    """
    FITS cutouts of a folder, in the order of their names; a cutout's name is its identifier.

    Parameters
    ----------
    path : str or path
    bundle : `~galvae_affiliated.ModelBundle`
    pixel_scale, scaled, rendering, bands, unit, zero_point : optional
        See `encode_cutout_set`.
    """

    def __init__(self, path, bundle, *, pixel_scale=None, scaled=False, rendering=None, **options):
        self.files = sorted(f for f in Path(path).iterdir() if f.name.lower().endswith(FITS_SUFFIXES))
        if not self.files:
            raise ValueError(f'{path}: there is no FITS file in this folder')
        self.bundle, self.scaled = bundle, scaled
        self.renderings = flux_renderings(bundle, rendering)
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
            yield [identifier(f) for f in files], stack_of([self.cutout(f) for f in files], self.bundle.grid)

    def contents(self):
        """Texts that differ if the folder holds something else: name and size of each file."""
        return [f'{file.name} {file.stat().st_size}\n' for file in self.files]

    def cutout(self, path):
        """(cutout, rendering, flags, radius, pixel scale) of one file."""
        try:
            field = read_field(path, self.bundle, self.renderings, **self.options)
        except (ValueError, TypeError) as error:
            self.n_unreadable += 1
            if self.n_unreadable == len(self):
                raise ValueError(f'no file of the folder can be read: {error}') from None
            logger.warning('%s', error)
            return unreadable(self.bundle.grid)
        ny, nx = field.shape
        # as for Parquet sets: a cutout whose pixel scale nobody says is at the model's scale already
        is_scaled = self.scaled or field.pixel_scale is None
        radius = nx / self.bundle.field_of_view if is_scaled else np.nan
        positions = Positions(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]), None, np.array([radius]), None)
        stack = cutout_maker(field, positions, self.bundle, self.renderings).stack()
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


def composite_rendering(bundle, name):
    """Raise if the model has no such rendering, or it is one of flux."""
    known = [entry['name'] for entry in bundle.renderings if entry['kind'] != 'flux']
    if name not in known:
        raise ValueError(f'the model {bundle.name} has no rendering {name!r} of composites; it has {", ".join(known)}')


def unreadable(grid):
    return np.full((3, grid, grid), np.nan, np.float32), 'composite', int(GalvaeFlags.UNREADABLE), np.nan, np.nan


def decode(image):
    """(3, H, W) float32 composite in [0, 1] of a Parquet row's image: a struct with ``bytes``, or the bytes."""
    content = image['bytes'] if isinstance(image, dict) else image
    with Image.open(io.BytesIO(content)) as opened:
        pixels = np.asarray(opened.convert('RGB'))
    return np.moveaxis(pixels, -1, 0).astype(np.float32) / np.float32(255.0)


def scaled_composite(image, bundle, rendering):
    """A composite at the model's scale, brought to its grid."""
    side = image.shape[1]
    if side == GZ2_SIDE:
        side = bundle.field_of_view / GZ2_PIXEL
    cutout = recut(image, side, bundle.grid)
    return cutout, rendering or recognised(image, bundle), empty_flag(cutout), side / bundle.field_of_view, np.nan


def measured_composite(image, pixel_scale, bundle, rendering):
    """A composite of known pixel scale: the galaxy in the middle is measured and brought to the model's scale."""
    rendering = rendering or recognised(image, bundle)
    radius = composite_radius(image, rendering, bundle)
    if np.isnan(radius):
        flag = empty_flag(image) or GalvaeFlags.NO_RADIUS
        return np.full((3, bundle.grid, bundle.grid), np.nan, np.float32), rendering, int(flag), np.nan, pixel_scale
    cutout = recut(image, bundle.field_of_view * radius, bundle.grid)
    flags = empty_flag(cutout) | (GalvaeFlags.SMALL if radius < MIN_RADIUS else 0)
    flags |= GalvaeFlags.EDGE if bundle.field_of_view * radius > 1.02 * min(image.shape[1:]) else 0
    return cutout, rendering, int(flags), radius, pixel_scale


def recut(image, side, grid):
    """(3, grid, grid) of the middle ``side`` pixels; untouched where nothing has to change."""
    _, height, width = image.shape
    if height == width == grid == side:
        return image
    return resample(image, ((width - 1) / 2, (height - 1) / 2), side / grid, grid)


def recognised(image, bundle):
    """Rendering of the model whose empty sky has the level of this image's border; else a composite as it is."""
    border = np.concatenate([image[:, :4].reshape(3, -1), image[:, -4:].reshape(3, -1)], axis=1)
    level = np.median(border, axis=1)
    for entry in bundle.renderings:
        if entry['kind'] == 'rerender':
            q = entry['softening']
            sky = np.arcsinh(q * entry['offset']) / np.sqrt(q)
            if np.all(np.abs(level - sky) < SKY_TOLERANCE):
                return entry['name']
    return 'composite'


def composite_radius(image, rendering, bundle):
    """petroR90 in pixels of the galaxy in the middle, on the intensity before it was compressed to a composite."""
    entries = {entry['name']: entry for entry in bundle.renderings}
    entry = entries[rendering]
    if entry['kind'] == 'composite':
        entry = next(e for e in bundle.renderings if e['kind'] == 'flux')
    root = np.sqrt(entry['softening'])
    intensity = np.sinh(root * image.mean(axis=0)) / root
    edge = max(4, image.shape[1] // 16)
    border = np.concatenate([intensity[:edge].ravel(), intensity[-edge:].ravel(),
                             intensity[:, :edge].ravel(), intensity[:, -edge:].ravel()])
    intensity = intensity - np.median(border)
    y, x = (intensity.shape[0] - 1) / 2, (intensity.shape[1] - 1) / 2
    labels = find(intensity, HOT, deblend=False)
    own = labels[int(y), int(x)]
    return petrosian_r90(np.where((labels != 0) & (labels != own), np.nan, intensity), x, y)
