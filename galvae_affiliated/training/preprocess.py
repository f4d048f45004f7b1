# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Image to what the encoder reads; training and the exported graph share this module."""

import math

import torch
from torch import nn

__all__ = ['Preprocess', 'Rendering']


class Preprocess(nn.Module):
    """
    Fill missing pixels, cut a soft circle, normalise.

    A circle looks the same however the sky is rotated; the corners of a square
    hold other galaxies and tell the orientation of the camera.

    Parameters
    ----------
    grid : int
        Side of the square image.
    sky, centre, scale : sequence of 3 float
        Level of the empty sky, the mean and the standard deviation of the
        composites' channels.
    """

    def __init__(self, grid, *, sky=(0.020, 0.018, 0.012), centre=(0.070, 0.062, 0.049), scale=(0.12, 0.10, 0.087)):
        super().__init__()
        for name, value in (('sky', sky), ('centre', centre), ('scale', scale)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer('aperture', soft_circle(grid))

    def forward(self, composite):
        """
        Composite with NaN where pixels are missing -> (frame, normalised, weight).

        ``frame`` is the composite with the missing pixels and the corners at
        the sky's level, ``weight`` the (N, 3, grid, grid) share of each pixel
        that was observed and lies in the circle.
        """
        missing = torch.isnan(composite)
        filled = torch.where(missing, self.sky, composite)
        frame = self.sky + self.aperture * (filled - self.sky)
        weight = self.aperture * (1.0 - missing.to(frame.dtype))
        return frame, (frame - self.centre) / self.scale, weight

    def composite(self, normalised):
        """Normalised image -> frame in [0, 1]; outside the circle, where nothing was learnt, the sky."""
        composite = (normalised * self.scale + self.centre).clamp(0.0, 1.0)
        return self.sky + self.aperture * (composite - self.sky)


class Rendering(nn.Module):
    """
    Surface brightness to the composite that the network learnt, in the way of Lupton et al. (2004).

    Each of three bands is scaled, ``v = scale f + offset``; the mean intensity
    ``I`` is compressed to ``arcsinh(Q I) / sqrt(Q)`` and all bands by the same
    factor, so that colours are kept, and clipped to [0, 1].

    Parameters
    ----------
    renderings : sequence of mapping
        A row each: ``kind`` ('composite', 'flux' or 'rerender'), and for the
        other two ``scales`` (3 values, of the red, green and blue channel, for
        nanomaggies per square arcsecond), ``offset``, ``softening`` (Q).
        'rerender' undoes a row's rendering and applies ``target``'s, the index
        of a 'flux' row.

    References
    ----------
    Lupton, R. et al. 2004, PASP 116, 133.
    """

    def __init__(self, renderings):
        super().__init__()
        unit = {'scales': (1.0, 1.0, 1.0), 'offset': 0.0, 'softening': 1.0}
        rows = [{**unit, **row} for row in renderings]
        targets = [rows[row.get('target', i)] for i, row in enumerate(rows)]
        kinds = [row['kind'] for row in rows]
        self.register_buffer('is_composite', torch.tensor([k == 'composite' for k in kinds]))
        self.register_buffer('is_rerendered', torch.tensor([k == 'rerender' for k in kinds]))
        self.register_buffer('source', table(rows))
        self.register_buffer('target', table(targets))

    def forward(self, image, rendering):
        """
        (N, 3, H, W) flux or composite and the (N,) row of each -> (N, 3, H, W) composite.

        The bands of flux run from red to blue, as a composite's channels do.
        """
        is_rerendered = self.is_rerendered[rendering].view(-1, 1, 1, 1)
        is_composite = self.is_composite[rendering].view(-1, 1, 1, 1)
        flux = torch.where(is_rerendered, unrender(image, self.source[rendering]), image)
        return torch.where(is_composite, image, render(flux, self.target[rendering]))


def table(rows):
    """(R, 5) parameters: the three scales, the offset and Q."""
    return torch.tensor([[*row['scales'], row['offset'], row['softening']] for row in rows], dtype=torch.float32)


def render(flux, parameters):
    scales, offset, q = split(parameters)
    value = scales * flux + offset
    # a missing band must not make the others missing
    intensity = torch.nan_to_num(value, nan=0.0).clamp(min=0.0).mean(dim=1, keepdim=True).clamp(min=1e-6)
    return (value * torch.asinh(q * intensity) / (torch.sqrt(q) * intensity)).clamp(0.0, 1.0)


def unrender(composite, parameters):
    scales, offset, q = split(parameters)
    compressed = torch.nan_to_num(composite, nan=0.0).mean(dim=1, keepdim=True).clamp(min=1e-6)
    x = torch.sqrt(q) * compressed
    intensity = 0.5 * (torch.exp(x) - torch.exp(-x)) / q
    return (composite * intensity / compressed - offset) / scales


def split(parameters):
    p = parameters.view(-1, 5, 1, 1)
    return p[:, :3], p[:, 3:4], p[:, 4:5]


def soft_circle(grid, edge=6.0):
    """(1, 1, grid, grid) weight: one inside the inscribed circle, falling to zero over the last ``edge`` pixels."""
    x = torch.arange(grid) - (grid - 1) / 2
    radius = torch.hypot(x[None, :], x[:, None])
    step = ((grid / 2 - radius) / edge).clamp(0.0, 1.0)
    return (0.5 - 0.5 * torch.cos(math.pi * step))[None, None]
