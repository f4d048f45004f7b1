# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents for the rows of a catalogue: of galaxies as bright for their size as these are."""

import numpy as np
from astropy import units as u

from galvae_affiliated.models.details import draw_composites
from galvae_affiliated.models.generation import draw_latents
from galvae_affiliated.simulation._painter import ZERO_POINT
from galvae_affiliated.simulation.templates import log_brightness, surface_brightness

CANDIDATES = 4  # latents drawn for each row, of which one is taken
SAMPLE = 256  # of them decoded, from which the brightness of the others is told
RIDGE = 0.1  # on the coefficients, whose latents have about unit variance


def draw_matching(model, catalog, rng, rendering, *, answers=None, engine):
    """
    Draw latents of galaxies whose surface brightness is about that of a catalogue's rows.

    Latents hold how bright a galaxy is for its size. Of more latents than there are rows each row
    gets those whose surface brightness is the nearest that is left. It is told from the latents
    by a linear fit, to some of them that are decoded.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    catalog : `~astropy.table.QTable`
        With ``mag`` and ``petro_r90``.
    rng : `numpy.random.Generator`
    rendering : `~galvae_affiliated.cutouts.ImageRendering`
        See `~galvae_affiliated.simulation.templates.flux_rendering`.
    answers : dict of str to str, optional
        See `~galvae_affiliated.ModelBundle.generate`; rare ones leave no choice, so that as many
        latents are drawn as there are rows.
    engine : `~galvae_affiliated.Engine`

    Returns
    -------
    latent : (N, n_latents) float32 array
    pose : (N, n_pose) float32 array

    Raises
    ------
    ValueError
        As `~galvae_affiliated.models.generation.draw_latents`.
    """
    n = len(catalog) * (1 if answers else CANDIDATES)
    latent, pose = draw_latents(model, n, rng, answers=answers, engine=engine)
    if not len(catalog):
        return latent, pose
    some = slice(0, SAMPLE)
    light = surface_brightness(
        draw_composites(model, latent[some], pose[some], rng, engine, 'none'), rendering)
    told = _told(latent, log_brightness(light, model.field_of_view))
    flux = -0.4 * (catalog['mag'].value - ZERO_POINT)
    wanted = flux - 2.0 * np.log10(catalog['petro_r90'].to_value(u.arcsec))
    rows = _nearest(told, wanted, rng)
    return latent[rows], pose[rows]


def _told(latent, measured):
    """(N,) float array: a linear function of latents, from its values for the first of them."""
    known = np.isfinite(measured)
    if not known.any():
        return np.zeros(len(latent))
    first = latent[:len(measured)][known].astype(float)
    middle, level = first.mean(axis=0), measured[known].mean()
    first = first - middle
    slope = np.linalg.solve(first.T @ first + RIDGE * np.eye(first.shape[1]),
                            first.T @ (measured[known] - level))
    return level + (latent - middle) @ slope


def _nearest(values, wanted, rng):
    """(N,) int array: for each value that is wanted the nearest, each once, in random order."""
    order = np.argsort(values, kind='stable')
    left = values[order]
    rows = np.empty(len(wanted), dtype=int)
    for i in rng.permutation(len(wanted)):
        place = int(np.searchsorted(left, wanted[i]))
        near = [j for j in (place - 1, place) if 0 <= j < len(left)]
        best = min(near, key=lambda j: abs(left[j] - wanted[i]))
        rows[i] = order[best]
        left, order = np.delete(left, best), np.delete(order, best)
    return rows
