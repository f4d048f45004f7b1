# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The whole way in one call: images and catalogue to a table with latents and morphology."""

from pathlib import Path

import numpy as np
from astropy.table import Column, Table

from galvae_affiliated._batches import stack_rows
from galvae_affiliated.cutouts.maker import open_field
from galvae_affiliated.cutouts.sets import FitsFolder, ParquetSet
from galvae_affiliated.models._devices import BATCH_SIZE
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.pipeline import encode_in_chunks
from galvae_affiliated.tables.columns import check_column_names, with_columns
from galvae_affiliated.tables.outputs import planned_names, result_columns

__all__ = ['encode_catalog', 'encode_cutout_set', 'make_cutouts']



def encode_catalog(images, catalog=None, model=None, *, bands=None, unit=None, zero_point=None, pixel_scale=None,
                   subtract_sky=None, radius=None, radius_unit=None, rendering=None, morphology=True, coverage=0.9,
                   n_samples=0, reconstruction=True, split=False, overwrite=False, device='auto',
                   batch_size=BATCH_SIZE, n_threads=None, precision='float32', progress=None):
    """
    Add latents, predicted morphology and flags to a catalogue.

    Parameters
    ----------
    images : mapping, sequence, array, `~astropy.units.Quantity`, `~astropy.nddata.NDData`, str or path
        A mapping from band to image; images in the order of ``bands``; or one
        source with all bands as planes (3, ny, nx) or extensions. An image is
        an array (ny, nx), a Quantity, an NDData or CCDData, or a FITS file
        (``'file.fits[SCI]'`` names an extension). Masked pixels, and those
        whose uncertainty is zero or not finite, count as missing. Images on
        different grids are aligned by their WCS.
    catalog : `~astropy.table.Table`, ``SourceCatalog``, structured array, or list of cutouts, optional
        The sources, with positions in pixels or on the sky; see
        `~galvae_affiliated.sources.positions.read_positions` for the names of columns.
        None detects the sources with photutils.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model, its name, or its file; None takes the default.
    bands : str or sequence of str, optional
        Names of the bands, such as 'g,r,z', where ``images`` does not say them.
    unit : str or `~astropy.units.Unit`, optional
        Flux unit, such as 'nmgy' or 'uJy', in place of what the images state.
    zero_point : float or dict of str to float, optional
        AB magnitude of one count, for all bands or by band.
    pixel_scale : float, optional
        Side of a pixel in arcsec; None takes it from the WCS.
    subtract_sky : bool, optional
        Whether to subtract each band's clipped median; None does so where it
        is more than the noise.
    radius : str, float, array or `~astropy.units.Quantity`, optional
        petroR90 of the sources: a column's name, one value, or one a source.
        None takes a column ``petro_r90`` or ``petroR90_r`` where there is one.
        Where a source has none, it is measured.
    radius_unit : str or `~astropy.units.Unit`, optional
        'pix' or an angle, for radii that state no unit.
    rendering : str, optional
        Name of the model's rendering of flux; None takes the first for the bands.
    morphology : bool, optional
        Add the predicted vote fractions, answers and prediction sets.
    coverage, n_samples : optional
        Of the prediction sets and the intervals; see `~galvae_affiliated.add_morphology`.
    reconstruction : bool, optional
        Add ``galvae_recon_chi2``; it costs about half of the time.
    split : bool, optional
        A scalar column a latent, for formats without vector columns.
    overwrite : bool, optional
        Replace columns of the same names.
    device : {'auto', 'cpu', 'cuda', 'tensorrt'}, optional
        Where to compute: 'auto' takes CUDA where it starts and the CPU
        otherwise; the other names raise if they do not start. 'tensorrt'
        builds its engines for minutes the first time.
    batch_size : int, optional
        Cutouts a call of the network.
    n_threads : int, optional
        Threads on the CPU; None takes the processors that the process may use.
    precision : {'float32', 'float16'}, optional
        What the network computes in; 'float16' needs a GPU.
    progress : callable, optional
        Called with the number of rows done and the number of all.

    Returns
    -------
    table : `~astropy.table.Table`
        A new table with all rows of the catalogue in their order, and the
        columns of `~galvae_affiliated.add_latents` and
        `~galvae_affiliated.add_morphology`. Rows that cannot be measured are
        masked, and ``galvae_flags`` says why.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        For a wrong call or a file that cannot be read, naming it.
    BundleError
        If the model's file is not a bundle.
    DeviceError
        If CUDA was asked for and does not start.
    """
    model = get_model(model)
    maker, table = open_field(images, catalog, model, bands=bands, unit=unit, zero_point=zero_point,
                              pixel_scale=pixel_scale, subtract_sky=subtract_sky, radius=radius,
                              radius_unit=radius_unit, rendering=rendering)
    options = {'split': split, 'morphology': morphology, 'coverage': coverage, 'n_samples': n_samples}
    names = planned_names(model, reconstruction=reconstruction, **options)
    check_column_names(table, names, overwrite=overwrite)
    encoder = Encoder(model, device=device, batch_size=batch_size, n_threads=n_threads, precision=precision)
    encoding = encode_in_chunks(maker.chunks(stack_rows(batch_size)), len(maker), encoder, reconstruction, progress)
    columns = result_columns(encoding, model, device=device, **options)
    return with_columns(table, columns, overwrite=overwrite)


def encode_cutout_set(path, model=None, *, pixel_scale=None, already_scaled=False, rendering=None, bands=None, unit=None,
                      zero_point=None, morphology=True, coverage=0.9, n_samples=0, reconstruction=True, split=False,
                      device='auto', batch_size=BATCH_SIZE, n_threads=None, precision='float32', progress=None):
    """
    Encode a set of cutouts, one row a cutout.

    Parameters
    ----------
    path : str or path
        A Parquet file with columns ``id_str`` and ``image`` (8-bit colour
        images), or a folder of FITS cutouts with three planes.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    pixel_scale : float, optional
        Side of a pixel in arcsec: the galaxy in each cutout is measured and
        brought to the model's scale. A column ``pixel_scale_arcsec`` says so
        row by row, a WCS for a FITS file.
    already_scaled : bool, optional
        All cutouts are at the model's scale already: 5.12 petroR90 a side, or
        Galaxy Zoo 2's 424 pixels of 0.02 petroR90.
    rendering : str, optional
        Name of the model's rendering; None recognises composites of the
        Legacy Surveys' viewer by the level of their sky.
    bands, unit, zero_point : optional
        Of FITS cutouts; see `~galvae_affiliated.encode_catalog`.
    morphology, coverage, n_samples, reconstruction, split, device, batch_size, n_threads, precision, progress : optional
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
    model = get_model(model)
    options = {'split': split, 'morphology': morphology, 'coverage': coverage, 'n_samples': n_samples}
    planned_names(model, reconstruction=reconstruction, **options)  # a wrong option is refused before the work
    cutouts = open_cutout_set(path, model, pixel_scale=pixel_scale, already_scaled=already_scaled, rendering=rendering, bands=bands,
                              unit=unit, zero_point=zero_point)
    encoder = Encoder(model, device=device, batch_size=batch_size, n_threads=n_threads, precision=precision)
    ids = []
    stacks = without_names(cutouts.chunks(stack_rows(batch_size)), ids)
    encoding = encode_in_chunks(stacks, len(cutouts), encoder, reconstruction, progress)
    columns = result_columns(encoding, model, device=device, **options)
    return with_columns(Table([id_column(ids)]), columns, overwrite=False)


def open_cutout_set(path, model, *, bands=None, unit=None, zero_point=None, **options):
    """
    The set of cutouts at a path.

    Parameters
    ----------
    path : str or path
    model : `~galvae_affiliated.ModelBundle`
    bands, unit, zero_point : optional
        Of FITS cutouts.
    **options
        ``pixel_scale``, ``already_scaled`` and ``rendering``; see `encode_cutout_set`.

    Returns
    -------
    cutouts : `FitsFolder` or `ParquetSet`
    """
    path = Path(path)
    if path.is_dir():
        return FitsFolder(path, model, bands=bands, unit=unit, zero_point=zero_point, **options)
    if not (bands is None and unit is None and zero_point is None):
        raise ValueError(f'{path}: bands, unit and zero_point go with FITS cutouts, not with colour images')
    return ParquetSet(path, model, **options)


def without_names(pairs, names):
    """Yield the stacks of pairs of identifiers and stack; the identifiers are appended to ``names``."""
    for some, stack in pairs:
        names.extend(some)
        yield stack


def id_column(names):
    """The column of identifiers."""
    return Column(np.array(names, dtype=str), name='id_str', description='identifier of the cutout')


def make_cutouts(images, catalog=None, model=None, *, rows=slice(None), **options):
    """
    Cutouts of the sources of a catalogue, on a model's grid.

    Parameters
    ----------
    images : mapping, sequence, array, `~astropy.units.Quantity`, `~astropy.nddata.NDData`, str or path
        See `~galvae_affiliated.encode_catalog`.
    catalog : `~astropy.table.Table`, ``SourceCatalog``, structured array, or list of cutouts, optional
        None detects the sources.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    rows : slice, optional
        Only these rows.
    **options
        ``bands``, ``unit``, ``zero_point``, ``pixel_scale``, ``subtract_sky``, ``radius``, ``radius_unit`` and
        ``rendering``, as `~galvae_affiliated.encode_catalog` takes them.

    Returns
    -------
    stack : `~galvae_affiliated.CutoutStack`
        N cutouts for N rows, in their order.
    """
    maker, _ = open_field(images, catalog, get_model(model), **options)
    return maker.stack(rows)
