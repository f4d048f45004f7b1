# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Composites of one band: recognised, and brought to a usual brightness where they are linear."""

import numpy as np

from galvae_affiliated.images.bands import is_band, plan_channels

GREY = 'grey,grey,grey'
LINEAR = 'linear'  # name of the rendering that is no model's own
GREY_LEVELS = 1  # of 255, by which the channels of a grey JPEG may differ
# share of the pixels at the highest level, above which a picture was cut at a percentile: none of
# 1,500 SDSS composites has a third of it, all Euclid VIS cutouts of Galaxy Zoo's kind have twice
CUT_SHARE = 0.005
# r band, nanomaggies per square arcsecond, of SDSS galaxies of Galaxy Zoo 2 (split train): median
# within petroR90, and noise of a pixel of 0.04 petroR90
USUAL_BRIGHTNESS = 1.0
USUAL_NOISE = 0.06
USUAL_BAND = 'r'
MIDDLE = 1  # channel whose band alone a grey image of a colored one shows: r of SDSS's i, r, g
NORMAL = 1.4826  # standard deviation of a normal distribution over its median absolute deviation


def is_grey_picture(pixels):
    """Whether the channels of a (ny, nx, 3) uint8 picture are alike."""
    first = pixels[..., 0].astype(np.int16)
    return all(np.abs(pixels[..., i] - first).max(initial=0) <= GREY_LEVELS for i in (1, 2))


def grey_rows(data):
    """(N,) bool array: rows of (N, 3, ny, nx) composites whose channels are equal."""
    grey = np.ones(len(data), dtype=bool)
    # most colored ones show it in their middle
    for rows in (slice(data.shape[2] // 2, data.shape[2] // 2 + 1), slice(None)):
        some = data[grey][:, :, rows]
        equal = (some == some[:, :1]) | (np.isnan(some) & np.isnan(some[:, :1]))
        grey[grey] = equal.all(axis=(1, 2, 3))
    return grey


def channels_of(bands):
    """What the channels of a grey picture hold, by what its set says of its band."""
    name = bands.strip() if isinstance(bands, str) else ''
    return ','.join([name] * 3) if name and is_band(name) else GREY


def middle_band(images):
    """(N, 3, ny, nx) images, an array or a tensor, with their middle channel in all three."""
    return images[:, [MIDDLE] * 3]


def is_cut(pixels):
    """
    Whether the upper end of a picture's stretch is a percentile of its own pixels.

    Such stretches are linear; composites of surveys have one scale for all galaxies.

    Parameters
    ----------
    pixels : (ny, nx, 3) uint8 array
    """
    return bool((pixels[..., 0] == 255).mean() >= CUT_SHARE)


def as_flux(cutout, frame):
    """
    A linear composite as surface brightness that a model renders.

    Nothing says how bright such a galaxy is: its mean within petroR90 is made that of SDSS
    galaxies, or less, where its noise would be more than theirs.

    Parameters
    ----------
    cutout : (3, grid, grid) float32 array
        On the model's grid; NaN where missing.
    frame : `~galvae_affiliated.cutouts.ModelFrame`

    Returns
    -------
    flux : (3, grid, grid) float32 array
        Nanomaggies per square arcsecond, as a band of `USUAL_BAND` enters the channels.
    rendering : str
        By which it enters.
    """
    names = list(frame.flux_renderings())
    plan = plan_channels([USUAL_BAND], *frame.band_sets())
    middle = (frame.grid - 1) / 2
    far = np.hypot(*(np.mgrid[:frame.grid, :frame.grid] - middle))
    sky = cutout[:, (far > 0.78 * middle) & (far < 0.97 * middle)]
    level = np.nan_to_num(np.nanmedian(sky)) if np.isfinite(sky).any() else 0.0
    noise = NORMAL * np.nanmedian(np.abs(sky - level)) if np.isfinite(sky).any() else 0.0
    inside = cutout[:, far < frame.grid / frame.field_of_view]
    known = np.isfinite(inside)
    mean = np.sum(inside - level, where=known) / max(known.sum(), 1)
    limits = [usual / value for usual, value in
              ((USUAL_BRIGHTNESS, mean), (USUAL_NOISE, noise)) if value > 0]
    gains = np.float32(min(limits, default=1.0)) * np.array(plan.weights, dtype=np.float32)
    return (cutout - np.float32(level)) * gains[:, :, None], names[plan.place]
