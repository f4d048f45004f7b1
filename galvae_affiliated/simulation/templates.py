# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Composites of a decoder back to light."""

import numpy as np

from galvae_affiliated.sources.petrosian import petrosian_r90

__all__ = ['flux_rendering', 'surface_brightness', 'unrendered']

EDGE = 0.92  # of the radius of the circle that is decoded: the sky's level is measured outside
LEAST = 1e-6  # of a composite's level
WINDOW, STEPS = 0.3, 8  # of a centroid, in nominal petroR90: standard deviation; number of steps
CORE = 0.5  # nominal petroR90 within which all light is the galaxy's
# of what is apart from a galaxy: the brightness of its outline, in that of the core, and the radius
# of the smoothing and the width of the wings in the core's
ISLAND_LEVEL, ISLAND_SMOOTHING, ISLAND_WINGS = 0.05, 0.08, 0.25
FARTHEST = 0.4  # nominal petroR90 from the middle of a template: what is farther is no centre


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


def nominal_radius(grid, field_of_view):
    """float : petroR90 in pixels of a template that is at the scale of the training."""
    return grid / field_of_view


def template_centres(light, field_of_view):
    """
    Where the galaxies of templates lie: windowed centroids of the middle band.

    As SExtractor's XWIN_IMAGE, with a Gaussian as wide as the core of a galaxy. Galaxies of the
    training are not all in the middle of their images, and so are those that are drawn.

    Parameters
    ----------
    light : (N, 3, grid, grid) array
        See `surface_brightness`.
    field_of_view : float
        Side of a template in nominal petroR90.

    Returns
    -------
    x, y : (N,) float arrays
        In pixels of the template; its middle where the centroid does not stay near it.
    """
    grid = light.shape[-1]
    radius, middle = nominal_radius(grid, field_of_view), (grid - 1) / 2
    image = np.clip(light[:, light.shape[1] // 2], 0.0, None)
    pixels, place = np.arange(grid), np.full((2, len(light)), middle)
    for _ in range(STEPS):
        # the window as a product of two
        along_x, along_y = (np.exp(-0.5 * ((pixels - centre[:, None]) / (WINDOW * radius)) ** 2)
                            for centre in place)
        columns, rows = (np.einsum('nyx,ny->nx', image, along_y) * along_x,
                         np.einsum('nyx,nx->ny', image, along_x) * along_y)
        total = columns.sum(axis=1)
        total = np.where(total > 0, total, np.inf)
        mean = np.array([(sums * (pixels - centre[:, None])).sum(axis=1) / total
                         for sums, centre in zip((columns, rows), place)])
        place = place + 2.0 * mean
    is_near = np.hypot(*(place - middle)) < FARTHEST * radius
    return np.where(is_near, place, middle)


def template_radii(light, x, y, field_of_view):
    """
    petroR90 that templates have themselves, in the middle band.

    It scatters around the nominal one: that is the catalogue's of the training galaxies.

    Parameters
    ----------
    light : (N, 3, grid, grid) array
        See `surface_brightness`.
    x, y : (N,) float arrays
        See `template_centres`.
    field_of_view : float
        Side of a template in nominal petroR90.

    Returns
    -------
    radius : (N,) float array
        In pixels of the template; NaN where the profile does not fall far enough.
    """
    core = CORE * nominal_radius(light.shape[-1], field_of_view)
    return np.array([own_radius(*one, core) for one in zip(light[:, light.shape[1] // 2], x, y)],
                    dtype=float)


def own_radius(image, x, y, core):
    """
    petroR90 of the galaxy of an image without noise, whatever stands beside it.

    Galaxies of the training have neighbours, and so have some that are drawn.

    Parameters
    ----------
    image : (ny, nx) array
    x, y : float
        Centre of the galaxy, in pixels.
    core : float
        Radius in pixels of what is the galaxy's for sure.

    Returns
    -------
    radius : float
        In pixels; NaN where the profile does not fall far enough.
    """
    from scipy import ndimage

    rows, columns = np.ogrid[:image.shape[0], :image.shape[1]]
    level = image[np.hypot(columns - x, rows - y) < core].mean()
    smooth = ndimage.gaussian_filter(np.asarray(image, dtype=float), ISLAND_SMOOTHING * core)
    islands, n = ndimage.label(smooth > ISLAND_LEVEL * level, np.ones((3, 3)))
    own = islands[round(float(y)), round(float(x))]
    if n > 1 and own:
        others = ndimage.binary_dilation((islands > 0) & (islands != own),
                                         iterations=max(1, round(ISLAND_WINGS * core)))
        image = np.where(others & (islands != own), np.nan, image)
    return petrosian_r90(image, x, y)


def log_brightness(light, field_of_view):
    """
    How bright templates are for their size: all light of the middle band over petroR90 squared.

    Parameters
    ----------
    light : (N, 3, grid, grid) array
        See `surface_brightness`.
    field_of_view : float
        Side of a template in nominal petroR90.

    Returns
    -------
    brightness : (N,) float array
        log10 of nmgy / arcsec2; the same for a galaxy of any distance. NaN without light or
        radius.
    """
    total = light[:, light.shape[1] // 2].sum(axis=(1, 2))
    radius = template_radii(light, *template_centres(light, field_of_view), field_of_view)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.log10(total / radius ** 2)


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
