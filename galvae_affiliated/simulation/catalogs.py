# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Positions, magnitudes and radii of galaxies, where there is no catalogue of them."""

import numpy as np
from astropy import units as u
from astropy.table import QTable

__all__ = ['random_catalog']

# of N(< m) ~ 10^(0.6 m) in a Euclidean universe; counts of faint galaxies rise more slowly
SLOPE = 0.45
# log10 petroR90 / arcsec of a galaxy of r = 18, its change a magnitude, and its scatter: those of
# bright galaxies of SDSS are of this order; a field of one's own has its own catalogue
LOG_RADIUS, RADIUS_SLOPE, RADIUS_SCATTER = 0.55, -0.13, 0.15


def random_catalog(n, shape, *, pixel_scale, magnitudes=(16.0, 21.0), random_state=None):
    """
    Draw a catalogue of galaxies that are spread evenly.

    Parameters
    ----------
    n : int
    shape : (int, int)
        Rows and columns of the image.
    pixel_scale : float
        Arcsec.
    magnitudes : (float, float), optional
        The brightest and the faintest, between which numbers grow as 10^(0.45 m).
    random_state : int or `numpy.random.Generator`, optional

    Returns
    -------
    catalog : `~astropy.table.QTable`
        ``x``, ``y`` (pixels, zero-based), ``mag`` (AB) and ``petro_r90`` (arcsec).

    Raises
    ------
    ValueError
        For a negative number of galaxies or magnitudes in the wrong order.

    Examples
    --------
    >>> from galvae_affiliated.simulation import random_catalog
    >>> catalog = random_catalog(3, (100, 100), pixel_scale=0.3, random_state=1)
    >>> len(catalog), catalog['petro_r90'].unit
    (3, Unit("arcsec"))
    """
    bright, faint = magnitudes
    if n < 0 or not bright < faint:
        raise ValueError(f'{n} galaxies of magnitudes {bright} to {faint}; expected none or more, '
                         'and the brighter magnitude first')
    rng = np.random.default_rng(random_state)
    low, high = 10 ** (SLOPE * bright), 10 ** (SLOPE * faint)
    mag = np.log10(rng.uniform(low, high, n)) / SLOPE
    log_radius = (LOG_RADIUS + RADIUS_SLOPE * (mag - 18.0)
                  + RADIUS_SCATTER * rng.standard_normal(n))
    return QTable({'x': rng.uniform(-0.5, shape[1] - 0.5, n),
                   'y': rng.uniform(-0.5, shape[0] - 0.5, n),
                   'mag': mag * u.ABmag,
                   'petro_r90': np.maximum(10 ** log_radius, pixel_scale) * u.arcsec})
