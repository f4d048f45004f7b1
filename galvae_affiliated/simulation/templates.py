# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Composites of a decoder back to light."""

import numpy as np

__all__ = ['flux_rendering', 'surface_brightness', 'unrendered']

EDGE = 0.92  # of the radius of the circle that is decoded: the sky's level is measured outside
LEAST = 1e-6  # of a composite's level


def flux_rendering(model, bands=None):
    """
    The rendering by which a model draws flux of these bands.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    bands : sequence of str, optional
        In any order; None takes those of the first rendering of flux.

    Returns
    -------
    rendering : `~galvae_affiliated.cutouts.ImageRendering`

    Raises
    ------
    ValueError
        If the model has none, as it learnt composites alone.
    """
    known = [entry for entry in model.frame.renderings
             if entry.kind == 'flux' and entry.curve and entry.scales]
    if not known:
        raise ValueError(f'{model.id} states no rendering of flux, so that its composites have no '
                         'flux')
    if bands is None:
        return known[0]
    for entry in known:
        if sorted(entry.bands) == sorted(bands):
            return entry
    there = ' or '.join(','.join(reversed(entry.bands)) for entry in known)
    raise ValueError(f'bands are {",".join(bands)}; {model.id} draws {there}')


def surface_brightness(composites, rendering):
    """
    Light of the galaxies that a decoder draws, above the sky.

    Parameters
    ----------
    composites : (N, 3, grid, grid) array in [0, 1]
        Within a circle, as decoders draw them.
    rendering : `~galvae_affiliated.cutouts.ImageRendering`

    Returns
    -------
    light : (N, 3, grid, grid) float array
        nmgy / arcsec2 above the sky, in the order of the rendering's bands; zero outside the
        circle.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.simulation import surface_brightness
    >>> model = get_model()
    >>> rendering = next(one for one in model.frame.renderings if one.kind == 'flux')
    >>> light = surface_brightness(model.generate(2, random_state=0).images, rendering)
    >>> light.shape, rendering.bands
    ((2, 3, 128, 128), ('i', 'r', 'g'))
    """
    light = unrendered(np.asarray(composites, dtype=float), rendering)
    radius, border = _circle(composites.shape[-1])
    sky = np.median(light[..., border], axis=-1)[..., None, None]
    # to zero at the circle's edge, without a step
    taper = np.clip((1.0 - radius) / (1.0 - EDGE), 0.0, 1.0)
    return taper * (light - sky)


def unrendered(composites, rendering):
    """
    Undo the arcsinh rendering of composites.

    The mean ``c`` of the channels was made of the mean intensity ``I`` of the
    scaled bands by ``c = arcsinh(Q I) / sqrt(Q)``, and all bands were
    compressed by the same factor (Lupton et al. 2004).

    Parameters
    ----------
    composites : (N, 3, ny, nx) float array in [0, 1]
        What was clipped at its ends stays clipped.
    rendering : `~galvae_affiliated.cutouts.ImageRendering`
        That has a curve and scales.

    Returns
    -------
    flux : (N, 3, ny, nx) float array
        nmgy / arcsec2, in the order of the rendering's bands.

    References
    ----------
    Lupton, R. et al. 2004, PASP 116, 133.
    """
    softening, offset = rendering.curve
    level = np.maximum(composites.mean(axis=1, keepdims=True), LEAST)
    intensity = np.sinh(level * softening ** 0.5) / softening
    scales = np.array(rendering.scales, dtype=composites.dtype)[:, None, None]
    return (composites * (intensity / level) - offset) / scales


def _circle(grid):
    """Radius of each pixel in units of the circle's, and the ring at its edge."""
    place = (np.arange(grid) - (grid - 1) / 2) / (grid / 2)
    radius = np.hypot(place, place[:, None])
    return radius, (radius > EDGE - 0.1) & (radius < EDGE)
