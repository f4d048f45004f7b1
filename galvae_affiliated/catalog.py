# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The whole way in one call: images and catalogue to a table with latents and morphology."""

from galvae_affiliated._onnx import BATCH_SIZE
from galvae_affiliated._prefetch import prefetched
from galvae_affiliated.columns import refuse_taken, with_columns
from galvae_affiliated.encoder import Encoder, Encoding
from galvae_affiliated.fields import open_field
from galvae_affiliated.registry import get_model
from galvae_affiliated.results import planned_names, result_columns

__all__ = ['encode_catalog']

CHUNK = 128  # cutouts made at a time; two such stacks are in memory. The allocator reuses the memory of no larger one


def encode_catalog(images, catalog=None, bundle=None, *, bands=None, unit=None, zero_point=None, pixel_scale=None,
                   subtract_sky=None, radius=None, radius_unit=None, rendering=None, morphology=True, coverage=0.9,
                   samples=0, reconstruction=True, split=False, overwrite=False, device='auto',
                   batch_size=BATCH_SIZE, threads=None, precision='float32', progress=None):
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
        `~galvae_affiliated.positions.read_positions` for the names of columns.
        None detects the sources with photutils.
    bundle : `~galvae_affiliated.ModelBundle`, str or path, optional
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
    coverage, samples : optional
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
    threads : int, optional
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
    bundle = get_model(bundle)
    maker, table = open_field(images, catalog, bundle, bands=bands, unit=unit, zero_point=zero_point,
                              pixel_scale=pixel_scale, subtract_sky=subtract_sky, radius=radius,
                              radius_unit=radius_unit, rendering=rendering)
    options = {'split': split, 'morphology': morphology, 'coverage': coverage, 'samples': samples}
    names = planned_names(bundle, reconstruction=reconstruction, **options)
    refuse_taken(table, names, overwrite=overwrite)
    encoder = Encoder(bundle, device=device, batch_size=batch_size, threads=threads, precision=precision)
    encoding = encode_in_chunks(maker.chunks(stack_rows(batch_size)), len(maker), encoder, reconstruction, progress)
    columns = result_columns(encoding, bundle, device=device, **options)
    return with_columns(table, columns, overwrite=overwrite)


def encode_in_chunks(stacks, n_rows, encoder, reconstruction, progress=None):
    """
    Encode cutouts while the next ones are made; two stacks of them are in memory.

    Parameters
    ----------
    stacks : iterable of `~galvae_affiliated.CutoutStack`
        At least one, which may be empty.
    n_rows : int
        Rows of all stacks together, for ``progress``.
    encoder : `~galvae_affiliated.encoder.Encoder`
    reconstruction : bool
    progress : callable, optional
        See `encode_catalog`.

    Returns
    -------
    encoding : `~galvae_affiliated.encoder.Encoding`
    """
    parts, done = [], 0
    for stack in prefetched(stacks):
        parts.append(encoder.encode(stack, reconstruction=reconstruction))
        done += len(stack)
        if progress is not None:
            progress(done, n_rows)
    return Encoding.concatenate(parts)


def stack_rows(batch_size):
    """Rows of a stack: about `CHUNK`, in whole batches."""
    batch_size = max(batch_size, 1)
    return max(CHUNK - CHUNK % batch_size, batch_size)


def row_slices(n_rows, size, start=0):
    """
    Slices of rows that follow one another.

    Parameters
    ----------
    n_rows : int
        Where the last one ends.
    size : int
        Rows of each but the last.
    start : int, optional
        First row.

    Returns
    -------
    slices : list of slice
        An empty one where there are no rows.
    """
    return [slice(i, min(i + size, n_rows)) for i in range(start, n_rows, size)] or [slice(start, start)]
