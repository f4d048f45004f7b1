# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Composites of galaxies of known kinds, to practise on: NumPy draws them, and no model."""

from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from scipy.ndimage import gaussian_filter

__all__ = ['PAINTED_KINDS', 'PaintedGalaxies', 'paint_galaxies']

PAINTED_KINDS = ('smooth', 'edge-on', 'spiral', 'barred', 'ring', 'merging')
"""Kinds of `paint_galaxies`."""

FIELD = 5.12  # side of a composite in petroR90, as models of the package have it
SCALE_LENGTH = 0.27  # of an exponential disc, petroR90
SEEING = 0.05  # standard deviation of the blur, petroR90
BRIGHTNESS = 0.013  # mean intensity of a composite before the stretch
SOFTENING, WHITE = 12.0, 5.5  # of the arcsinh stretch: where it bends, and what is white
# light of red, green and blue
OLD, DISC, YOUNG = (1.35, 1.0, 0.62), (1.12, 1.0, 0.82), (0.7, 0.95, 1.35)


@dataclass(frozen=True)
class PaintedGalaxies:
    """
    Galaxies that were painted.

    Attributes
    ----------
    images : (N, 3, grid, grid) float32 array
        Composites: red, green, blue in [0, 1]; 5.12 petroR90 a side.
    truth : `~astropy.table.Table` of N rows
        ``kind``; ``axis_ratio`` of the disc; ``angle`` of the major axis in degrees; ``n_arms``
        and their ``pitch`` in degrees, masked where there are no arms; ``young``, the share of
        the light that is blue.

    Examples
    --------
    >>> from galvae_affiliated.simulation import paint_galaxies
    >>> galaxies = paint_galaxies(2, 'spiral', random_state=1)
    >>> len(galaxies), galaxies.images.shape
    (2, (2, 3, 128, 128))
    """

    images: np.ndarray
    truth: Table

    def __len__(self):
        return len(self.truth)


def paint_galaxies(n, kinds=PAINTED_KINDS, *, grid=128, noise=0.01, random_state=None):
    """
    Paint galaxies of known kinds, at the scale of a model's cutouts.

    They are no simulation of the sky: profiles, arms, bars and rings of simple formulas,
    to try a method on where the answer is known.

    Parameters
    ----------
    n : int
    kinds : str or sequence of str, optional
        Of `PAINTED_KINDS`; each as often as the others. Of a sequence of n, one a galaxy.
    grid : int, optional
        Pixels a side.
    noise : float, optional
        Standard deviation of the noise of a pixel.
    random_state : int or `numpy.random.Generator`, optional
        The same number, the same galaxies.

    Returns
    -------
    galaxies : `PaintedGalaxies`

    Raises
    ------
    ValueError
        For a kind that is not known, or numbers that are none.

    Examples
    --------
    >>> from galvae_affiliated.simulation import paint_galaxies
    >>> galaxies = paint_galaxies(3, 'spiral', random_state=1)
    >>> galaxies.images.shape, galaxies.truth['kind'].tolist()
    ((3, 3, 128, 128), ['spiral', 'spiral', 'spiral'])
    """
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    unknown = [kind for kind in kinds if kind not in PAINTED_KINDS]
    if unknown or not kinds:
        raise ValueError(f'kinds are {kinds}; expected some of {", ".join(PAINTED_KINDS)}')
    if n < 0 or grid < 8 or not noise >= 0:
        raise ValueError(f'{n} galaxies of {grid} pixels a side with noise of {noise}; expected '
                         'none or more, 8 or more, and no negative noise')
    rng = np.random.default_rng(random_state)
    if len(kinds) != n:
        kinds = rng.permutation(np.resize(kinds, n)).tolist() if n else []
    images, rows = np.zeros((n, 3, grid, grid), dtype=np.float32), []
    for i, kind in enumerate(kinds):
        shape = _draw_shape(kind, rng)
        light = gaussian_filter(_light(shape, grid, rng), (0, *[SEEING * grid / FIELD] * 2))
        images[i] = _composite(light, noise, rng)
        rows.append(shape)
    return PaintedGalaxies(images, _truth(rows))


def _draw_shape(kind, rng):
    """What a galaxy of a kind is to look like, as a dictionary."""
    axis_ratio = {'smooth': (0.45, 1.0), 'edge-on': (0.1, 0.2)}.get(kind, (0.6, 1.0))
    has_arms = kind in ('spiral', 'barred', 'merging')
    return {'kind': kind,
            'axis_ratio': rng.uniform(*axis_ratio),
            'angle': rng.uniform(0.0, 180.0),
            'n_arms': int(rng.choice([2, 2, 3, 4] if kind == 'spiral' else [2])) * has_arms,
            'pitch': rng.uniform(12.0, 30.0) if has_arms else 0.0,
            'young': 0.0 if kind == 'smooth' else rng.uniform(0.05, 0.55),
            'bulge': rng.uniform(0.1, 0.3),
            'sense': int(rng.choice([-1, 1]))}


def _light(shape, grid, rng):
    """(3, grid, grid) light before the seeing; of a merging pair, two galaxies."""
    if shape['kind'] != 'merging':
        return _galaxy(shape, grid, (0.0, 0.0), rng)
    angle, distance = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.45, 0.75)
    shift = distance * np.cos(angle), distance * np.sin(angle)
    other = _draw_shape(str(rng.choice(['smooth', 'spiral'])), rng)
    away = -0.3 * shift[0], -0.3 * shift[1]
    near = 0.7 * shift[0], 0.7 * shift[1]
    return (_galaxy(shape, grid, away, rng)
            + rng.uniform(0.3, 0.8) * _galaxy(other, grid, near, rng))


def _galaxy(shape, grid, center, rng):
    """One galaxy with its center at a place, in petroR90."""
    place = (np.arange(grid) - (grid - 1) / 2) * FIELD / grid
    x, y = place - center[0], place[:, None] - center[1]
    turn = np.radians(shape['angle'])
    along = x * np.cos(turn) + y * np.sin(turn)
    across = shape['sense'] * (y * np.cos(turn) - x * np.sin(turn))
    radius = np.hypot(along, across / shape['axis_ratio'])
    if shape['kind'] == 'smooth':
        return _colored(_sersic(radius, 0.42, 3.0), OLD)
    # the bulge is rounder than the disc
    core = _sersic(np.hypot(along, across / max(shape['axis_ratio'], 0.6)), 0.09, 1.5)
    if shape['kind'] == 'edge-on':
        disc = np.exp(-np.abs(along) / SCALE_LENGTH - np.abs(across) / (0.22 * SCALE_LENGTH))
        return (_colored(core, OLD, shape['bulge'])
                + _mixed(disc, disc * np.exp(-(across / 0.05) ** 2), shape))
    disc = np.exp(-radius / SCALE_LENGTH)
    angle = np.arctan2(across / shape['axis_ratio'], along)
    young = _ring(radius) if shape['kind'] == 'ring' else _arms(shape, radius, angle)
    light = _colored(core, OLD, shape['bulge']) + _mixed(disc, _clumpy(young, rng), shape)
    if shape['kind'] == 'barred':
        bar = np.exp(-(np.abs(along) / 0.32) ** 3 - (across / (0.08 * shape['axis_ratio'])) ** 2)
        light += _colored(bar, OLD, 0.25)
    return light


def _mixed(disc, young, shape):
    """A disc and what is young of it."""
    return (_colored(disc, DISC, 1.0 - shape['bulge'] - shape['young'])
            + _colored(young, YOUNG, shape['young']))


def _sersic(radius, half_light, n):
    """A Sersic profile; its constant in the approximation of Ciotti & Bertin (1999)."""
    b = 2.0 * n - 1.0 / 3.0 + 4.0 / (405.0 * n)
    return np.exp(-b * (np.maximum(radius, 0.01) / half_light) ** (1.0 / n))


def _arms(shape, radius, angle):
    """Logarithmic spiral arms, which begin outside of the bulge or bar."""
    start = 0.3 if shape['kind'] == 'barred' else 0.12
    winding = np.log(np.maximum(radius, 1e-3) / start) / np.tan(np.radians(shape['pitch']))
    ridge = np.exp(3.0 * (np.cos(shape['n_arms'] * (angle - winding)) - 1.0))
    inner = 1.0 / (1.0 + np.exp((start - radius) / 0.03))
    outer = 1.0 / (1.0 + np.exp((radius - 1.15) / 0.08))
    return ridge * np.exp(-radius / 0.55) * inner * outer


def _ring(radius):
    return np.exp(-0.5 * ((radius - 0.75) / 0.09) ** 2)


def _clumpy(light, rng):
    """Light in knots."""
    texture = gaussian_filter(rng.standard_normal(light.shape), 0.06 * len(light) / FIELD,
                              mode='wrap')
    return light * np.exp(0.7 * texture / texture.std())


def _colored(light, color, share=1.0):
    """(3, grid, grid) light of a total, in a color."""
    total = light.sum()
    return share / total * light * np.reshape(color, (3, 1, 1)) if total > 0 else \
        np.zeros((3, *light.shape))


def _composite(light, noise, rng):
    """An arcsinh composite with noise; channels are compressed alike (Lupton et al. 2004)."""
    intensity = BRIGHTNESS * light.shape[-1] ** 2 * light
    mean = np.maximum(intensity.mean(axis=0), 1e-9)
    picture = intensity / mean * np.arcsinh(SOFTENING * mean) / WHITE
    # the sky is not black, so that its noise is not cut off
    return np.clip(picture + rng.normal(2.0 * noise, noise, light.shape), 0.0, 1.0)


def _truth(rows):
    kept = 'kind', 'axis_ratio', 'angle', 'n_arms', 'pitch', 'young'
    table = Table({name: [row[name] for row in rows] for name in kept}, masked=True,
                  dtype=[str, float, float, int, float, float])
    for name in ('n_arms', 'pitch'):
        table[name].mask = table['n_arms'].data == 0
    return table
