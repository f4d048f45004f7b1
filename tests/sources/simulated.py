# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Small fields of galaxies and stars, for the tests of detection."""

import numpy as np

from galvae_affiliated.images.field import FieldImages

PIXEL = 0.262
NOISE = {'g': 0.012, 'r': 0.02, 'z': 0.05}
COLOUR = {'g': 0.6, 'r': 1.0, 'z': 1.5}
SIGMA = 1.7  # pixels, of the point spread function
STAR_R90 = 2.15 * SIGMA  # of a Gaussian


def open_images(arrays, **options):
    typical = {band: {'noise': 0.1, 'flux': 1.0} for band in 'grz'}
    return FieldImages(arrays, band_sets=[('z', 'r', 'g')], typical=typical, unit='nmgy',
                       pixel_scale=PIXEL, **options)


def star(x, y, peak, shape, sigma=SIGMA):
    yy, xx = np.indices(shape)
    return peak * np.exp(-0.5 * ((xx - x) ** 2 + (yy - y) ** 2) / sigma**2)


def galaxy(x, y, peak, scale, shape, flat=1.0):
    """A round exponential disc, or one that is flattened along y, with a smoothed middle."""
    yy, xx = np.indices(shape)
    return peak * np.exp(-np.sqrt((xx - x) ** 2 + ((yy - y) / flat) ** 2 + 1.0) / scale)


def bands(light, seed=0):
    """Band to image of the same light with noise."""
    rng = np.random.default_rng(seed)
    return {band: COLOUR[band] * light + rng.normal(0, noise, light.shape)
            for band, noise in NOISE.items()}


def star_field(shape=(400, 400), n_stars=25, n_galaxies=12, seed=3):
    """Light, and the places of stars and galaxies on a grid that keeps them apart."""
    rng = np.random.default_rng(seed)
    step = 56
    rows, columns = (range(40, length - 20, step) for length in shape)
    places = [(x, y) for y in rows for x in columns]
    rng.shuffle(places)
    places = np.array(places) + rng.uniform(-3, 3, (len(places), 2))
    stars, galaxies = places[:n_stars], places[n_stars:n_stars + n_galaxies]
    light = sum(star(x, y, rng.uniform(0.3, 6.0), shape) for x, y in stars)
    light = light + sum(galaxy(x, y, rng.uniform(1.0, 4.0), rng.uniform(2.5, 4.0), shape)
                        for x, y in galaxies)
    return light, stars, galaxies
