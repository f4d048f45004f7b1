# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How a survey's images look, and views of images as another survey would have taken them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from galvae_affiliated._batches import row_slices
from galvae_affiliated.training.networks.noise import noise_level

__all__ = ['ASPECTS', 'SurveyLook', 'imitate', 'measure_look']

ASPECTS = ('seeing', 'light', 'noise')  # what may be imitated

MAX_GALAXIES = 1000  # that a look is measured on
CHUNK = 128
INNER, OUTER = 0.3, 0.4  # radii in sides of the image, of the galaxy's light and of the sky
LOWEST, HIGHEST = 0.03, 0.25  # frequencies, cycles a pixel, in which the seeing is seen
LEAST_POWER = 3.0  # of what the noise has, for a frequency to count
MAX_SIGMA = 4.0  # pixels; the widest kernel that is convolved with
N_FIELDS = 16
LEAST_LEVEL = 1.0 / 255.0


@dataclass(frozen=True)
class SurveyLook:
    """
    What tells the images of a survey from those of another, in the composites of a model.

    Attributes
    ----------
    noise : (3,) float array
        Median standard deviation of the pixels' noise, by channel.
    light : (3,) float array
        Median mean level of a galaxy above its sky, by channel.
    power : (K,) float array
        Mean power of the images by spatial frequency, without that of the noise; NaN where noise
        leaves nothing.
    """

    noise: np.ndarray
    light: np.ndarray
    power: np.ndarray

    def entries(self):
        """dict : Noise and light, as a manifest holds them."""
        return {'noise': [round(float(x), 5) for x in self.noise],
                'light': [round(float(x), 4) for x in self.light]}

    def blur_to(self, other):
        """
        Variance of the Gaussian that makes these images as blurred as the other survey's.

        Parameters
        ----------
        other : `SurveyLook`

        Returns
        -------
        variance : float
            Square pixels; below zero where the other survey is sharper.
        """
        known = np.isfinite(self.power) & np.isfinite(other.power)
        if known.sum() < 3:
            return 0.0
        frequency = _frequencies(len(self.power))[known]
        ratio = np.log(other.power[known] / self.power[known])
        # a Gaussian of this variance v lets exp(-(2 pi f)^2 v) of the power through
        slope = np.polyfit((2.0 * np.pi * frequency) ** 2, ratio, 1)[0]
        return float(-slope)


def measure_look(survey, weights=None, *, random_state=0):
    """
    Measure noise, light and sharpness of a survey's images.

    Parameters
    ----------
    survey : `~galvae_affiliated.training.adapt.images.SurveyImages`
    weights : (N,) array, optional
        How often each galaxy counts: a survey with more spirals is bluer, which is not how it
        looks.
    random_state : int, optional
        Of the galaxies that are drawn from a large set.

    Returns
    -------
    look : `SurveyLook`
    """
    rng = np.random.default_rng(random_state)
    rows = rng.permutation(len(survey))[:MAX_GALAXIES]
    if weights is not None:
        rows = rng.choice(len(survey), min(len(survey), MAX_GALAXIES),
                          p=np.asarray(weights) / np.sum(weights))
    grid = survey.images.shape[1]
    radius = _radii(grid) / grid
    inner = torch.from_numpy(radius < INNER)
    noise, light, power = [], [], 0.0
    for part in row_slices(len(rows), CHUNK):
        image = survey.composites(rows[part])
        sky = _sky_levels(image)
        noise.append(noise_level(image)[:, :, 0, 0])
        light.append(image[:, :, inner].mean(2) - sky)
        power = power + _power(image - sky[..., None, None]) / len(rows)
    noise = torch.cat(noise)
    floor = float((noise ** 2).mean()) * grid ** 2
    left = np.where(power > (1.0 + LEAST_POWER) * floor, power - floor, np.nan)
    light = torch.cat(light).median(0).values.clamp(min=LEAST_LEVEL)
    return SurveyLook(noise.median(0).values.numpy(), light.numpy(), left / np.nansum(left[:2]))


def _sky_levels(images):
    """(N, 3) medians of the pixels around the galaxies."""
    radius = _radii(images.shape[-1]) / images.shape[-1]
    outer = torch.from_numpy((radius > OUTER) & (radius < 0.5))
    return images[:, :, outer].median(2).values


def _radii(grid):
    x = np.arange(grid) - (grid - 1) / 2
    return np.hypot(x[None], x[:, None])


def _frequencies(n):
    """Middles of the ranges of frequency, cycles a pixel."""
    edges = np.linspace(LOWEST, HIGHEST, n + 1)
    return 0.5 * (edges[1:] + edges[:-1])


def _power(images, n=12):
    """(n,) sums over the images of the mean power in each range of frequency."""
    grid = images.shape[-1]
    # an edge of the sky would be power at all frequencies
    window = torch.hann_window(grid, periodic=False)
    square = torch.fft.fft2(images * torch.outer(window, window)).abs().square().mean(1).sum(0)
    square = square.numpy() / float((window ** 2).mean()) ** 2
    frequency = np.fft.fftfreq(grid)
    place = np.digitize(np.hypot(frequency[None], frequency[:, None]),
                        np.linspace(LOWEST, HIGHEST, n + 1)) - 1
    return np.array([square[place == i].mean() if (place == i).any() else np.nan
                     for i in range(n)])


def imitate(images, own, other, generator, *, aspects=ASPECTS, strength=1.0, spread=0.0):
    """
    Views of a survey's images that look as another survey's do.

    Blurred, coloured and made noisy; nothing makes an image sharper or less noisy, so the worse
    survey is imitated best.

    Parameters
    ----------
    images : (N, 3, H, W) tensor in [0, 1]
    own, other : `SurveyLook`
    generator : `torch.Generator`
    aspects : sequence of str, optional
        Any of 'seeing', 'light' and 'noise'.
    strength : float or (N,) tensor, optional
        0 leaves an image as it is, 1 goes all the way.
    spread : float, optional
        Standard deviation of the logarithm of each view's factors of light and colour.

    Returns
    -------
    views : (N, 3, H, W) tensor
    """
    n = len(images)
    strength = torch.as_tensor(strength, dtype=images.dtype).expand(n).clamp(min=0.0)
    views = images
    if 'seeing' in aspects:
        views = _blurred(images, max(own.blur_to(other), 0.0) * strength)
    sky = _sky_levels(images)[..., None, None]
    gain = torch.from_numpy(np.log(other.light / own.light)).to(images.dtype)
    gain = strength[:, None] * gain * ('light' in aspects)
    if spread:
        gain = gain + spread * (torch.randn(n, 1, generator=generator)
                                + torch.randn(n, 3, generator=generator))
    views = sky + (views - sky) * torch.exp(gain)[..., None, None]
    if 'noise' not in aspects:
        return views.clamp(0.0, 1.0)
    lacking = torch.from_numpy(np.maximum(other.noise ** 2 - own.noise ** 2, 0.0))
    sigma = torch.sqrt(strength[:, None] * lacking.to(images.dtype))
    # normal deviates are the slowest part: a few fields, at each image's own strength
    fields = torch.randn(min(n, N_FIELDS), *images.shape[1:], generator=generator)
    views = views + sigma[..., None, None] * fields[torch.arange(n) % len(fields)]
    return views.clamp(0.0, 1.0)


def _blurred(images, variance):
    """Each image convolved with a Gaussian of its own variance, in groups of like ones."""
    sigma = variance.clamp(min=0.0).sqrt().clamp(max=MAX_SIGMA)
    if float(sigma.max()) < 0.3:  # pixels; a narrower one changes nothing
        return images
    order = torch.argsort(sigma)
    views = images.clone()
    for group in order.tensor_split(min(4, len(order))):
        width = float(sigma[group].mean())
        if width >= 0.3:
            views[group] = _convolved(images[group], width)
    return views


def _convolved(images, sigma):
    reach = max(1, int(np.ceil(3.0 * sigma)))
    x = torch.arange(-reach, reach + 1, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    images = functional.pad(images, (reach, reach, reach, reach), mode='replicate')
    images = functional.conv2d(images, kernel, groups=3)
    return functional.conv2d(images, kernel.transpose(2, 3), groups=3)
