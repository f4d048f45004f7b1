# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The whole way in one call: images and a catalogue, or a set of cutouts, to a table."""

import numpy as np
from astropy.table import Column, Table

from galvae_affiliated.cutouts.maker import open_cutouts, read_field
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.pipeline import encode, resolve_options
from galvae_affiliated.tables.columns import check_column_names, with_columns

__all__ = ['encode_catalog', 'encode_cutout_set', 'make_cutouts', 'open_field']


def encode_catalog(images, catalog=None, model=None, *, bands=None, unit=None, zero_point=None,
                   pixel_scale=None, subtract_sky=None, radius=None, radius_unit=None,
                   position_columns=None, rendering=None, psf_fwhm=None, overwrite=False,
                   progress=None, outputs=None, engine=None, **options):
    """
    Add latents, predicted morphology and flags to a catalogue.

    Parameters
    ----------
    images : mapping, sequence, array, NDData, str, path or `~galvae_affiliated.images.FieldImages`
        A mapping from band to image; images in the order of ``bands``; or one
        source with all bands as planes (n, ny, nx) or extensions, or one image of one band. An
        image is
        an array (ny, nx), a Quantity, an NDData or CCDData, or a FITS file
        (``'file.fits[SCI]'`` names an extension). Masked pixels, and those
        whose uncertainty is zero or not finite, count as missing; of masks of
        bit planes those do that mean "no data": BAD, SAT, CR, NO_DATA and the
        like by their names in the header (MP_*), and the bits that JWST, HST,
        Euclid and DECam document. Images on
        different grids are aligned by their WCS. What `open_field` returned is
        not measured again.
    catalog : Table, SourceCatalog, structured array, data frame or list of cutouts, optional
        The sources, with positions in pixels or on the sky; see
        `~galvae_affiliated.sources.read_positions` for the names of columns.
        None detects the sources, see `~galvae_affiliated.sources.detect`.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model, its name, or its file; None takes the default.
    bands : str or sequence of str, optional
        One or more bands, such as 'g,r,z', 'VIS', 'HSC-I' or '814 nm', where ``images`` does not
        say them; see `~galvae_affiliated.images.plan_channels` for what becomes of them.
        Rows of fewer than three have the flag FEW_BANDS.
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
    psf_fwhm : float, optional
        Seeing in arcsec (pixels, where these have no known size), by which point sources are told
        apart; None takes it from the stars of the field where radii are measured, or else from
        ``PSF_FWHM``, ``SEEING`` or ``FWHM`` in the header.
    radius_unit : str or `~astropy.units.Unit`, optional
        'pix' or an angle, for radii that state no unit.
    position_columns : str or sequence of str, optional
        Names of the columns of positions, such as 'RA,DEC', where these are not known.
    rendering : str, optional
        Name of the model's rendering of flux; None takes the first for the bands.
    overwrite : bool, optional
        Replace columns of the same names.
    progress : bool or callable, optional
        True shows a bar; a callable is called with the number of rows done and
        the number of all.
    outputs : `~galvae_affiliated.Outputs`, optional
        Which columns to add, in place of the options of that class.
    engine : `~galvae_affiliated.Engine`, optional
        Where and how to compute, in place of the options of that class.

    Returns
    -------
    table : `~astropy.table.Table`
        A new table with all rows of the catalogue in their order, and the
        columns of `~galvae_affiliated.add_latents` and
        `~galvae_affiliated.add_morphology`. Rows that cannot be measured are
        masked, and ``galvae_flags`` says why.

    Other Parameters
    ----------------
    morphology, coverage, n_samples, reconstruction, scalar_columns : optional
        See `~galvae_affiliated.Outputs`.
    device, batch_size, n_threads, precision : optional
        See `~galvae_affiliated.Engine`.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        For a wrong call or a file that cannot be read, naming it.
    BundleError
        If the model's file is not a bundle.
    DeviceError
        If CUDA was asked for and does not start.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from astropy.utils.data import get_pkg_data_filename
    >>> from galvae_affiliated import encode_catalog
    >>> images = get_pkg_data_filename('data/demo_field.fits', package='galvae_affiliated')
    >>> catalog = Table({'x': [419.0, 734.3], 'y': [256.5, 629.5], 'petro_r90': [60.8, 43.0]})
    >>> table = encode_catalog(images, catalog, bands='g,r,z')
    >>> table['galvae_latent'].shape
    (2, 40)
    >>> table['smooth-or-featured_answer'].tolist()
    ['featured-or-disk', 'featured-or-disk']
    """
    outputs, engine = resolve_options(options, outputs, engine)
    model = get_model(model)
    source, table = open_cutouts(images, catalog, model.frame, bands=bands, unit=unit,
                                 zero_point=zero_point, pixel_scale=pixel_scale,
                                 psf_fwhm=psf_fwhm, subtract_sky=subtract_sky, radius=radius,
                                 radius_unit=radius_unit, rendering=rendering,
                                 position_columns=position_columns)
    check_column_names(table, outputs.names(model), overwrite=overwrite)
    columns = encode(source, model, outputs, engine, progress=progress)
    return with_columns(table, columns, overwrite=overwrite)


def encode_cutout_set(path, model=None, *, pixel_scale=None, already_scaled=False,
                      rendering=None, bands=None, unit=None, zero_point=None, psf_fwhm=None,
                      progress=None, outputs=None, engine=None, **options):
    """
    Encode a set of cutouts, one row a cutout.

    Parameters
    ----------
    path : str or path
        A Parquet file with columns ``id_str`` and ``image`` (8-bit images, in color or grey), or
        a folder of FITS cutouts with a plane a band.
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
        Name of the model's rendering, or 'linear': the brightness of each cutout is made a usual
        one then. None recognises composites of the Legacy Surveys' viewer by the level of their
        sky, and linear ones among grey images by pixels that were cut off at a percentile.
    bands, unit, zero_point : optional
        Of FITS cutouts; see `encode_catalog`. One band may be that of grey images, which a column
        ``bands`` says row by row.
    psf_fwhm : float, optional
        Seeing in arcsec (pixels, where these have no known size), for ``galvae_resolution`` and
        the flag UNRESOLVED; None takes it from the headers of FITS cutouts.
    progress, outputs, engine : optional
        See `encode_catalog`.

    Returns
    -------
    table : `~astropy.table.Table`
        ``id_str`` and the columns of `encode_catalog`.

    Other Parameters
    ----------------
    morphology, coverage, n_samples, reconstruction, scalar_columns : optional
        See `~galvae_affiliated.Outputs`.
    device, batch_size, n_threads, precision : optional
        See `~galvae_affiliated.Engine`.

    Raises
    ------
    ValueError
        If the file is not such a set.

    Examples
    --------
    >>> import tempfile
    >>> from galvae_affiliated import encode_cutout_set, get_model
    >>> from galvae_affiliated.tables.generated import write_generated
    >>> galaxies = get_model().generate(3, random_state=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_generated([galaxies], 3, f'{folder}/drawn.parquet', get_model())
    ...     table = encode_cutout_set(f'{folder}/drawn.parquet', already_scaled=True)
    >>> len(table), table['galvae_latent'].shape
    (3, (3, 40))
    """
    # which loads libraries that fields do without
    from galvae_affiliated.cutouts.sets import open_cutout_set

    outputs, engine = resolve_options(options, outputs, engine)
    model = get_model(model)
    outputs.names(model)  # a wrong option is refused before the work
    source = open_cutout_set(path, model.frame, pixel_scale=pixel_scale,
                             already_scaled=already_scaled, rendering=rendering, bands=bands,
                             unit=unit, zero_point=zero_point, psf_fwhm=psf_fwhm)
    columns = encode(source, model, outputs, engine, progress=progress)
    ids = id_column(source.ids(slice(0, len(source))))
    return with_columns(Table([ids]), columns, overwrite=False)


def open_field(images, model=None, *, rendering=None, **options):
    """
    Images of one field, read, aligned, calibrated and measured once for several calls.

    Parameters
    ----------
    images : object
        See `encode_catalog`.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model whose bands are taken; None takes the default.
    rendering : str, optional
        See `encode_catalog`.
    **options
        ``bands``, ``unit``, ``zero_point``, ``pixel_scale`` and ``subtract_sky``, as
        `encode_catalog` takes them.

    Returns
    -------
    field : `~galvae_affiliated.images.FieldImages`
        For `encode_catalog`, `make_cutouts` and `~galvae_affiliated.stream_catalog`.

    Examples
    --------
    >>> from astropy.utils.data import get_pkg_data_filename
    >>> from galvae_affiliated import open_field
    >>> images = get_pkg_data_filename('data/demo_field.fits', package='galvae_affiliated')
    >>> field = open_field(images, bands='g,r,z')
    >>> field.shape, field.bands, round(field.pixel_scale, 3)
    ((860, 860), ('z', 'r', 'g'), 0.262)
    """
    return read_field(images, get_model(model).frame, rendering=rendering, **options)


def make_cutouts(images, catalog=None, model=None, *, rows=slice(None), **options):
    """
    Cutouts of the sources of a catalogue, on a model's grid.

    Parameters
    ----------
    images, catalog : object
        See `encode_catalog`; None detects the sources.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    rows : slice, optional
        Only these rows.
    **options
        ``bands``, ``unit``, ``zero_point``, ``pixel_scale``, ``subtract_sky``, ``radius``,
        ``psf_fwhm``, ``radius_unit``, ``position_columns`` and ``rendering``, as
        `encode_catalog` takes them.

    Returns
    -------
    stack : `~galvae_affiliated.CutoutStack`
        N cutouts for N rows, in their order.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from astropy.utils.data import get_pkg_data_filename
    >>> from galvae_affiliated import make_cutouts
    >>> images = get_pkg_data_filename('data/demo_field.fits', package='galvae_affiliated')
    >>> catalog = Table({'x': [419.0, 734.3], 'y': [256.5, 629.5], 'petro_r90': [60.8, 43.0]})
    >>> cutouts = make_cutouts(images, catalog, bands='g,r,z')
    >>> cutouts.data.shape, cutouts.bands.tolist()
    ((2, 3, 128, 128), ['z,r,g', 'z,r,g'])
    """
    source, _ = open_cutouts(images, catalog, get_model(model).frame, **options)
    return source.stack(rows)


def id_column(ids):
    """The column of identifiers of cutouts."""
    return Column(np.array(ids, dtype=str), name='id_str',
                  description='identifier of the cutout')
