# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images of a field in which a model's galaxies stand, drawn by GalSim."""

from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table
from astropy.wcs import WCS

from galvae_affiliated.models.details import check_details, draw_composites
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.models.engine import Engine
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.simulation._painter import ZERO_POINT, Painter
from galvae_affiliated.simulation.catalogs import random_catalog
from galvae_affiliated.simulation.matching import draw_matching
from galvae_affiliated.simulation.templates import flux_rendering, surface_brightness

__all__ = ['SimulatedField', 'check_galsim', 'simulate_field']

BATCH = 64  # galaxies decoded at a time
CENTRE = (180.0, 0.0)  # of the field in right ascension and declination, degrees


@dataclass(frozen=True)
class SimulatedField:
    """
    A simulated field.

    Attributes
    ----------
    images : dict of str to (ny, nx) float32 array
        nmgy a pixel, by band.
    wcs : `~astropy.wcs.WCS`
    truth : `~astropy.table.QTable`
        A row a galaxy: its place; its magnitude in each band; its petroR90 before the PSF,
        ``petro_r90``, and after it, ``petro_r90_seen`` (NaN for one that does not touch the
        image); the latents and pose that it was drawn from; and with ``read_back``
        ``galvae_latent_read``, the latents that the encoder reads from the composite that was
        drawn, before it became a part of the field.

    Examples
    --------
    >>> from galvae_affiliated.simulation import simulate_field
    >>> field = simulate_field(3, shape=(150, 200), random_state=1)
    >>> sorted(field.images), field.wcs.naxis, len(field.truth)
    (['g', 'i', 'r'], 2, 3)
    """

    images: dict
    wcs: WCS
    truth: QTable


def check_galsim():
    """Raise, saying what to install, if there is no GalSim."""
    from importlib.util import find_spec

    if find_spec('galsim') is None:
        raise ModuleNotFoundError("simulated fields need GalSim: "
                                  "pip install 'galvae_affiliated[simulate]'")


def simulate_field(catalog, model=None, *, shape, pixel_scale=0.262, psf_fwhm=1.2, noise=0.01,
                   bands=None, answers=None, details='galaxy', read_back=False,
                   random_state=None, engine=None):
    """
    Draw galaxies of a model into a field.

    Each galaxy is a composite of the decoder, whose rendering is undone: its
    light has the galaxy's magnitude in the middle band and its own colours in
    the others, and it is scaled so that its petroR90 is the catalogue's. What
    the survey of the training blurred stays blurred: the PSF of the field
    comes on top of it. The truth says how large a galaxy is then.

    Latents know how bright a galaxy is for its size. Where the catalogue has
    no latents, of more that are drawn each row gets some of a galaxy whose
    surface brightness is about its own.

    Parameters
    ----------
    catalog : `~astropy.table.Table` or int
        With ``x`` and ``y`` (zero-based pixels), ``mag`` (AB) and ``petro_r90`` (arcsec); with
        ``galvae_latent`` and ``galvae_pose`` too, these galaxies are drawn. A number of galaxies
        makes a `random_catalog`.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    shape : (int, int)
        Rows and columns of the images.
    pixel_scale : float, optional
        Arcsec.
    psf_fwhm : float or dict of str to float, optional
        Of a Moffat profile in arcsec, for all bands or by band.
    noise : float or dict of str to float, optional
        Standard deviation in nmgy a pixel.
    bands : sequence of str, optional
        Those of one of the model's renderings of flux; None takes the first.
    answers : dict of str to str, optional
        What the heads are to say of the galaxies; see `~galvae_affiliated.ModelBundle.generate`.
    details : {'galaxy', 'none', 'all'}, optional
        What a sharp decoder adds to what latents hold: knots and arms; nothing; or these, and the
        texture of the sky and of neighbours that images of the training have. See
        `~galvae_affiliated.models.Encoder.draw`.
    read_back : bool, optional
        Encode each composite, and add its latents to the truth.
    random_state : int, optional
        The same number, the same field.
    engine : `~galvae_affiliated.Engine`, optional

    Returns
    -------
    field : `SimulatedField`

    Raises
    ------
    ValueError
        If a column lacks, a number is none, or the model cannot draw.
    ModuleNotFoundError
        Without GalSim, which is in the extra ``simulate``.

    Examples
    --------
    >>> from galvae_affiliated import encode_catalog
    >>> from galvae_affiliated.simulation import simulate_field
    >>> field = simulate_field(3, shape=(150, 200), random_state=1)
    >>> table = encode_catalog(field.images, field.truth['x', 'y', 'petro_r90'], unit='nmgy',
    ...                        pixel_scale=0.262)
    >>> len(table)
    3
    """
    check_galsim()
    check_details(details)
    model, engine = get_model(model), engine or Engine()
    rng = np.random.default_rng(random_state)
    rendering = flux_rendering(model, bands)
    psf_fwhm, noise = (_by_band(values, rendering.bands, name) for values, name in
                       ((psf_fwhm, 'psf_fwhm'), (noise, 'noise')))
    if not pixel_scale > 0 or min(shape) < 1:
        raise ValueError(f'shape is {shape} and pixel_scale {pixel_scale}; expected positive '
                         'numbers')
    if isinstance(catalog, (int, np.integer)):
        catalog = random_catalog(catalog, shape, pixel_scale=pixel_scale, random_state=rng)
    truth = _truth(catalog, model)
    if 'galvae_latent' not in truth.colnames:
        truth['galvae_latent'], truth['galvae_pose'] = draw_matching(
            model, truth, rng, rendering, answers=answers, engine=engine)
    images = {band: np.zeros(shape, dtype=np.float32) for band in rendering.bands}
    painter = Painter(images, pixel_scale, psf_fwhm, model.field_of_view)
    encoder = Encoder(model, engine) if read_back else None
    _draw_all(painter, truth, rendering, encoder, lambda latent, pose: draw_composites(
        model, latent, pose, rng, engine, details))
    for band in reversed(rendering.bands):
        images[band] += rng.normal(0.0, noise[band], shape).astype(np.float32)
    return SimulatedField(images, _wcs(shape, pixel_scale), truth)


def _draw_all(painter, truth, rendering, encoder, draw):
    """
    Draw the galaxies of a catalogue batch by batch, and add what is true of them to it.

    Parameters
    ----------
    painter : `Painter`
    truth : `~astropy.table.QTable`
    rendering : `~galvae_affiliated.cutouts.ImageRendering`
    encoder : `~galvae_affiliated.models.Encoder` or None
        That reads the latents of what is drawn.
    draw : function of latents and poses
        Returns composites.
    """
    bands = rendering.bands
    flux, seen = np.zeros((len(truth), len(bands))), np.zeros(len(truth))
    read = np.zeros(np.shape(truth['galvae_latent']), dtype=np.float32)
    for start in range(0, len(truth), BATCH):
        rows = slice(start, start + BATCH)
        composites = draw(*(np.asarray(truth[name][rows], dtype=np.float32)
                            for name in ('galvae_latent', 'galvae_pose')))
        flux[rows], seen[rows] = painter.add(surface_brightness(composites, rendering),
                                             truth[rows])
        if encoder is not None:
            read[rows] = encoder.encode(np.clip(composites, 0.0, 1.0),
                                        reconstruction=False).latent
    truth['petro_r90_seen'] = seen * u.arcsec
    for i in reversed(range(len(bands))):
        truth[f'mag_{bands[i]}'] = _magnitudes(flux[:, i]) * u.ABmag
    if encoder is not None:
        truth['galvae_latent_read'] = read


def _truth(catalog, model):
    """The columns of a catalogue that galaxies are drawn by, checked."""
    truth = QTable(catalog, copy=True)
    names = ['x', 'y', 'mag', 'petro_r90']
    missing = [name for name in names if name not in truth.colnames]
    if missing:
        raise ValueError(f'the catalogue has no column {missing[0]!r}; expected {", ".join(names)}')
    for name, unit in (('mag', u.ABmag), ('petro_r90', u.arcsec)):
        values = truth[name]
        if getattr(values, 'unit', None) in (None, u.dimensionless_unscaled, u.mag):
            truth[name] = np.asarray(getattr(values, 'value', values), dtype=float) * unit
    plain = np.array([np.asarray(getattr(truth[name], 'value', truth[name]), dtype=float)
                      for name in names])
    if not np.isfinite(plain).all() or not (plain[3] > 0).all():
        raise ValueError('the catalogue has rows without a position, a magnitude or a positive '
                         'petro_r90')
    shapes = {'galvae_latent': model.n_latents, 'galvae_pose': model.n_pose}
    there = [name for name in shapes if name in truth.colnames]
    if len(there) == 1:
        raise ValueError(f'the catalogue has {there[0]} alone; expected galvae_latent and '
                         'galvae_pose, or neither')
    for name in there:
        if np.shape(truth[name]) != (len(truth), shapes[name]):
            raise ValueError(f'{name} has shape {np.shape(truth[name])}; expected '
                             f'({len(truth)}, {shapes[name]})')
    return truth


def _by_band(values, bands, name):
    """A number a band."""
    values = values if isinstance(values, dict) else dict.fromkeys(bands, values)
    missing = [band for band in bands if band not in values]
    if missing:
        raise ValueError(f'{name} has no band {missing[0]}; expected {", ".join(reversed(bands))}')
    if not all(values[band] >= 0 for band in bands) or (name == 'psf_fwhm'
                                                        and not min(values.values()) > 0):
        raise ValueError(f'{name} is {values}; expected positive numbers')
    return values


def _magnitudes(flux):
    """AB magnitudes of nanomaggies; NaN where there is no light."""
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(flux > 0, ZERO_POINT - 2.5 * np.log10(flux), np.nan)


def _wcs(shape, pixel_scale):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
    wcs.wcs.crval = CENTRE
    wcs.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    wcs.wcs.cdelt = -pixel_scale / 3600.0, pixel_scale / 3600.0
    return wcs


def write_field(field, folder):
    """
    Write a FITS image a band and the table of the truth.

    Parameters
    ----------
    field : `SimulatedField`
    folder : path
        That exists; ``<band>.fits`` and ``truth.fits`` are written into it.
    """
    from astropy.io import fits

    for band, image in field.images.items():
        header = field.wcs.to_header()
        header['BUNIT'], header['FILTER'] = 'nmgy', band
        fits.writeto(folder / f'{band}.fits', image, header)
    truth = QTable(field.truth, copy=True)
    for name in truth.colnames:
        if getattr(truth[name], 'unit', None) == u.ABmag:  # which FITS has no word for
            truth[name] = truth[name].value * u.mag
            truth[name].info.description = 'AB'
    Table(truth).write(folder / 'truth.fits')
