# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Size, form, colours and structure of the galaxy in the middle of a composite."""

import warnings

import numpy as np
import sep

__all__ = ['SHAPES', 'STRUCTURE', 'picture_shapes', 'picture_structure']

SHAPES = 'size', 'ellipticity', 'color g - r', 'color r - i'
STRUCTURE = 'concentration', 'asymmetry', 'gini', 'm20'
# of a composite above its sky: the same for all images, or those without noise would be larger
THRESHOLD = 0.03
LEAST_PIXELS = 20
MIDDLE = 0.12  # of the side: how far from the middle the galaxy may be
SKY = 0.65, 0.9  # radii of the ring that the sky's level is measured in, in half sides
LEAST_LIGHT = 1e-6
NOISE = 0.02  # of a composite, where statmorph wants one
FAILED = 4  # statmorph's flag of a galaxy that could not be measured


def picture_shapes(images):
    """
    Size, ellipticity and colours of the galaxy in the middle of each composite.

    The light is the mean of the channels above the sky, and the galaxy is what lies in the middle
    above a threshold that is the same for all (by `sep`).

    Parameters
    ----------
    images : (N, 3, H, W) array
        Square composites in [0, 1]: red, green, blue, of bands i, r, g.

    Returns
    -------
    shapes : dict of str to (N,) array
        ``size``, the radius in pixels of the circle with half of the light; ``ellipticity``, one
        minus the ratio of the axes of the second moments; ``color g - r`` and ``color r - i``, in
        magnitudes of the composite, whose light is stretched. NaN where no galaxy is found.
    """
    rows = np.full((len(images), len(SHAPES)), np.nan)
    for row, image in zip(rows, images):
        found = _galaxy(image)
        if found is not None:
            row[:] = _shape(*found)
    return dict(zip(SHAPES, rows.T))


def picture_structure(images):
    """
    Concentration, asymmetry, Gini's coefficient and M20 of the galaxy in the middle, by statmorph.

    Of the mean of the channels, in the pixels of `picture_shapes`; about five images a second.

    Parameters
    ----------
    images : (N, 3, H, W) array
        As for `picture_shapes`.

    Returns
    -------
    structure : dict of str to (N,) array
        NaN where there is no galaxy, or statmorph could not measure it.

    Raises
    ------
    ModuleNotFoundError
        If statmorph is not installed.

    References
    ----------
    Lotz, J. M. et al. 2004, AJ 128, 163.
    Rodriguez-Gomez, V. et al. 2019, MNRAS 483, 4140.
    """
    try:
        from statmorph import SourceMorphology
    except ModuleNotFoundError:
        raise ModuleNotFoundError('concentration, asymmetry, Gini and M20 need statmorph: '
                                  'pip install statmorph') from None
    rows = np.full((len(images), len(STRUCTURE)), np.nan)
    for row, image in zip(rows, images):
        found = _galaxy(image)
        if found is not None:
            row[:] = _structure(SourceMorphology, *found)
    return dict(zip(STRUCTURE, rows.T))


def _galaxy(image):
    """Channels above their sky, pixels of the galaxy in the middle and of others, its row."""
    side = image.shape[-1]
    radius = _radius(side)
    ring = (radius > SKY[0]) & (radius < SKY[1])
    image = np.asarray(image, dtype=float)
    image = image - np.median(image[:, ring], axis=1)[:, None, None]
    light = np.ascontiguousarray(image.mean(axis=0))
    objects, segments = sep.extract(light, THRESHOLD, minarea=LEAST_PIXELS, segmentation_map=True)
    if not len(objects):
        return None
    away = np.hypot(objects['x'] - 0.5 * (side - 1), objects['y'] - 0.5 * (side - 1))
    nearest = int(away.argmin())
    if away[nearest] > MIDDLE * side:
        return None
    its = segments == nearest + 1
    return image, light, its, (segments > 0) & ~its, objects[nearest]


def _radius(side):
    """(side, side) distances from the middle, in half sides."""
    x = (np.arange(side) + 0.5) * 2.0 / side - 1.0
    return np.hypot(x[:, None], x)


def _shape(image, light, its, others, galaxy):
    x, y, limit = (np.array([value]) for value in (galaxy['x'], galaxy['y'],
                                                   0.5 * SKY[1] * light.shape[-1]))
    (size,), _ = sep.flux_radius(light, x, y, limit, 0.5, mask=others)
    red, green, blue = np.maximum(image[:, its].sum(axis=1), LEAST_LIGHT)
    return (size if size > 0.0 else np.nan, 1.0 - galaxy['b'] / galaxy['a'],
            -2.5 * np.log10(blue / green), -2.5 * np.log10(green / red))


def _structure(measure, image, light, its, others, galaxy):
    hidden = others | (_radius(light.shape[-1]) > SKY[1])  # outside is sky without noise
    with warnings.catch_warnings(), np.errstate(all='ignore'):
        warnings.simplefilter('ignore')  # of its fits, which are not looked at
        found = measure(light, its.astype(int), 1, mask=hidden,
                        weightmap=np.full_like(light, NOISE), sersic_maxiter=1)
    if found.flag >= FAILED:
        return np.nan
    values = np.array([getattr(found, name) for name in STRUCTURE])
    return np.where(values > -99.0, values, np.nan)
