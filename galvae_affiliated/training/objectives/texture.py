# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How much of each scale a picture holds, and whether pictures scatter as data do."""

import torch

__all__ = ['band_powers', 'energy_score']

BANDS_AN_OCTAVE = 2
N_OCTAVES = 4
SMALLEST = 1e-10  # power of a band that is empty
SMALLEST_SQUARE = 1e-8  # of a distance, whose root has no slope at zero


def band_powers(images):
    """
    Logarithms of the power of images in bands of spatial frequency, and of their colors.

    Parameters
    ----------
    images : (N, 3, H, H) tensor

    Returns
    -------
    powers : (N, 5, n_bands) tensor
        In dex, of the three channels and of the differences of neighboring ones: from four octaves
        below Nyquist's frequency to it in steps of half an octave, and of all that is above it
        along diagonals.
    """
    side = images.shape[-1]
    images = torch.cat([images, images[:, 1:] - images[:, :-1]], dim=1)
    power = torch.fft.rfft2(images, norm='ortho').abs().square().flatten(2)
    return torch.log10(power @ _bands(side).to(power) + SMALLEST)


def _bands(side):
    """(side * (side // 2 + 1), n_bands) weights of the mean over the frequencies of each band."""
    across, along = torch.fft.fftfreq(side), torch.fft.rfftfreq(side)
    radius = torch.hypot(across[:, None], along[None]).flatten()
    steps = torch.arange(N_OCTAVES * BANDS_AN_OCTAVE, -1, -1)
    edges = 0.5 * 2.0 ** (-steps / BANDS_AN_OCTAVE)
    number = torch.bucketize(radius, edges)  # 0 is below the lowest, which no band holds
    weights = torch.nn.functional.one_hot(number, len(edges) + 1)[:, 1:].float()
    # of real images half of the frequencies are kept, those at the ends once and others twice
    twice = torch.full((side, len(along)), 2.0)
    twice[:, [0, -1]] = 1.0
    weights = weights * twice.flatten()[:, None]
    return weights / weights.sum(0).clamp(min=1.0)


def energy_score(one, other, truth):
    """
    How far two draws are from being draws of what the truth was drawn from.

    In the mean it is least where they are (Gneiting & Raftery 2007, equation 21): a draw that is
    always the likeliest value scatters too little and pays for it.

    Parameters
    ----------
    one, other : (N, ...) tensors
        Independent draws for the same conditions.
    truth : (N, ...) tensor

    Returns
    -------
    score : tensor
        Mean over rows, in units of the values: distances are roots of mean squares.

    References
    ----------
    Gneiting, T. & Raftery, A. E. 2007, J. Am. Stat. Assoc. 102, 359.
    """
    def distance(a, b):
        return ((a - b).flatten(1).square().mean(1) + SMALLEST_SQUARE).sqrt().mean()

    return 0.5 * (distance(one, truth) + distance(other, truth) - distance(one, other))
