# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Positions, magnitudes and radii of galaxies, where there is no catalogue of them."""

import numpy as np
from astropy import units as u
from astropy.table import QTable

__all__ = ['random_catalog']

# of N(< m) ~ 10^(0.6 m) in a Euclidean universe; counts of faint galaxies rise more slowly
SLOPE = 0.45
# log10 petroR90 / arcsec of a galaxy of r = 18, its change a magnitude, and its scatter. A galaxy
# of r = 16.5, the median of those to r = 17 of Galaxy Zoo 2 (Willett et al. 2013), is about as
# bright for its size as those that the default model draws (benchmarks/bench_simulate.py measures
# by how much not); fainter ones are brighter for theirs. A field of one's own has a catalogue.
LOG_RADIUS, RADIUS_SLOPE, RADIUS_SCATTER = 0.715, -0.15, 0.15
TRIES = 1000  # places for a galaxy, before the image counts as full


def random_catalog(n, shape, *, pixel_scale, magnitudes=(16.0, 21.0), separation=0.0,
                   random_state=None):
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
    separation : float, optional
        How far apart two galaxies are at least, in units of the sum of their petroR90. Zero
        leaves them where they fall, some upon others; from 1 on the light of most is its own;
        from about 2.5 on the cutout of a galaxy holds no other of its size.
    random_state : int or `numpy.random.Generator`, optional

    Returns
    -------
    catalog : `~astropy.table.QTable`
        ``x``, ``y`` (pixels, zero-based), ``mag`` (AB) and ``petro_r90`` (arcsec).

    Raises
    ------
    ValueError
        For a negative number of galaxies, magnitudes in the wrong order, a negative separation,
        or galaxies that find no place so far from the others.

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
    if not separation >= 0:
        raise ValueError(f'separation is {separation}; expected zero or more')
    rng = np.random.default_rng(random_state)
    low, high = 10 ** (SLOPE * bright), 10 ** (SLOPE * faint)
    mag = np.log10(rng.uniform(low, high, n)) / SLOPE
    log_radius = (LOG_RADIUS + RADIUS_SLOPE * (mag - 18.0)
                  + RADIUS_SCATTER * rng.standard_normal(n))
    radius = np.maximum(10 ** log_radius, pixel_scale)
    x, y = (rng.uniform(-0.5, length - 0.5, n) for length in shape[::-1])
    if separation > 0:
        x, y = _apart(x, y, separation * radius / pixel_scale, shape, rng)
    return QTable({'x': x, 'y': y, 'mag': mag * u.ABmag, 'petro_r90': radius * u.arcsec})


def _apart(x, y, reach, shape, rng):
    """Positions of which no two are nearer than the sum of their reaches, the largest first."""
    x, y = x.copy(), y.copy()
    order = np.argsort(-reach, kind='stable')
    for i, row in enumerate(order):
        placed = order[:i]
        for _ in range(TRIES):
            far = np.hypot(x[placed] - x[row], y[placed] - y[row])
            if (far >= reach[placed] + reach[row]).all():
                break
            x[row], y[row] = (rng.uniform(-0.5, length - 0.5) for length in shape[::-1])
        else:
            raise ValueError(f'only {i} of {len(x)} galaxies have a place so far from each other '
                             f'in {shape[0]} x {shape[1]} pixels; expected fewer, fainter ones, or '
                             'a smaller separation')
    return x, y
