# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which galaxies are too small in their images for a morphology."""

import numpy as np

from galvae_affiliated.flags import GalvaeFlags

# petroR90 over that of a star, and in pixels, below which about half is lost of the balanced
# accuracy that answers have above chance: benchmarks/bench_degraded.py with gz2-sdss-v2 on galaxies
# of Galaxy Zoo 2's `train`; docs/resolution.rst has those of `test`
MIN_RESOLUTION = 1.75
MIN_PIXELS = 3.0


def check_fwhm(psf_fwhm):
    """The seeing that was given as a float; ValueError if it is none."""
    if not (np.isfinite(psf_fwhm) and psf_fwhm > 0):
        raise ValueError(f'psf_fwhm is {psf_fwhm}; expected a positive number of arcsec')
    return float(psf_fwhm)


def unresolved(radius, resolution):
    """
    Galaxies whose image cannot show a morphology.

    Parameters
    ----------
    radius : (N,) float array
        petroR90 in pixels.
    resolution : (N,) float array
        petroR90 over that of a star; NaN where it is not known.

    Returns
    -------
    flags : (N,) int array
        `~galvae_affiliated.flags.GalvaeFlags`: UNRESOLVED or zero.
    """
    with np.errstate(invalid='ignore'):
        is_small = (np.asarray(resolution) < MIN_RESOLUTION) | (np.asarray(radius) < MIN_PIXELS)
    return np.where(is_small, GalvaeFlags.UNRESOLVED, 0).astype(np.int32)
