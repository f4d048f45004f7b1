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
    hold other galaxies and show the orientation of the camera.

    Parameters
    ----------
    grid : int
        Side of the square image.
    sky, centre, scale : sequence of 3 float
        Level of the empty sky, the mean and the standard deviation of the
        composites' channels.
    """

    def __init__(self, grid, *, sky=(0.020, 0.018, 0.012), centre=(0.070, 0.062, 0.049),
                 scale=(0.12, 0.10, 0.087)):
        super().__init__()
        for name, value in (('sky', sky), ('centre', centre), ('scale', scale)):
            levels = torch.tensor(value, dtype=torch.float32)
            self.register_buffer(name, levels.view(1, 3, 1, 1))
        self.register_buffer('aperture', _soft_circle(grid))

    def forward(self, composite):
        """
        Composite with NaN where pixels are missing -> (frame, normalised, weight).

        ``frame`` is the composite with the missing pixels and the corners at
        the sky's level, ``weight`` the (N, 3, grid, grid) share of each pixel
        that was observed and lies in the circle.
        """
        filled, known = without_missing(composite)
        frame, weight = self.frame(filled, known)
        return frame, self.normalise(frame), weight

    def frame(self, filled, known):
        """Frame and weight of a composite that holds any number where ``known`` is zero."""
        weight = self.aperture * known
        return self.sky + weight * (filled - self.sky), weight

    def normalise(self, frame):
        """Frame -> what the encoder reads."""
        return (frame - self.centre) / self.scale

    def composite(self, normalised):
        """Normalised image -> frame in [0, 1]; sky outside the circle, where nothing was learnt."""
        return self.within(normalised * self.scale + self.centre)

    def within(self, composite):
        """The composite clipped to [0, 1]; outside the circle the sky."""
        return self.sky + self.aperture * (composite.clamp(0.0, 1.0) - self.sky)


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
        self.register_buffer('source', _rendering_table(rows))
        self.register_buffer('target', _rendering_table(targets))

    def forward(self, image, rendering):
        """
        (N, 3, H, W) flux or composite and the (N,) row of each -> (N, 3, H, W) composite.

        The bands of flux run from red to blue, as a composite's channels do.
        """
        filled, known = without_missing(image)
        return torch.where(known > 0, self.render_filled(filled, known, rendering), torch.nan)

    def render_filled(self, filled, known, rendering):
        """The composite of an image of zeros where ``known`` is zero; any number there."""
        is_rerendered = self.is_rerendered[rendering].view(-1, 1, 1, 1)
        is_composite = self.is_composite[rendering].view(-1, 1, 1, 1)
        flux = _if_any(is_rerendered, _unrender_some, filled, is_rerendered,
                       self.source[rendering])
        return _if_any(~is_composite, _render_some, filled, ~is_composite, flux, known,
                       self.target[rendering])


def _if_any(needed, change, image, *others):
    """
    ``change(image, *others)`` if it is needed for any row, else the image.

    An exported graph looks at the rows first: most batches have none whose rendering has to be
    undone, and sets of composites none to render.
    """
    if not torch.compiler.is_exporting():
        return change(image, *others)
    return torch.cond(needed.any(), change, _unchanged, (image, *others))


def _unchanged(image, *_):
    return image.clone()


def _unrender_some(image, is_rerendered, parameters):
    return torch.where(is_rerendered, _unrender(image, parameters), image)


def _render_some(image, is_flux, flux, known, parameters):
    return torch.where(is_flux, _render(flux, known, parameters), image)


def _rendering_table(rows):
    """(R, 5) parameters: the three scales, the offset and Q."""
    parameters = [[*row['scales'], row['offset'], row['softening']] for row in rows]
    return torch.tensor(parameters, dtype=torch.float32)


def without_missing(image):
    """The image with zeros for NaN, and one where a pixel is known, zero where it is missing."""
    missing = torch.isnan(image)
    return torch.where(missing, 0.0, image), 1.0 - missing.to(image.dtype)


def _render(flux, known, parameters):
    scales, offset, q = _split_rendering(parameters)
    # a missing band must not make the others missing
    value = known * (scales * flux + offset)
    intensity = value.clamp(min=0.0).mean(dim=1, keepdim=True).clamp(min=1e-6)
    return (value * (_arcsinh(q * intensity) / (torch.sqrt(q) * intensity))).clamp(0.0, 1.0)


def _arcsinh(x):
    """Of positive numbers, by the logarithm: ONNX Runtime has no fast arcsinh."""
    # what rounding costs is too faint to be seen
    return torch.log(x + torch.sqrt(x * x + 1.0))


def _unrender(composite, parameters):
    scales, offset, q = _split_rendering(parameters)
    compressed = composite.mean(dim=1, keepdim=True).clamp(min=1e-6)
    x = torch.sqrt(q) * compressed
    intensity = 0.5 * (torch.exp(x) - torch.exp(-x)) / q
    return (composite * (intensity / compressed) - offset) / scales


def _split_rendering(parameters):
    p = parameters.view(-1, 5, 1, 1)
    return p[:, :3], p[:, 3:4], p[:, 4:5]


def _soft_circle(grid, edge=6.0):
    """(1, 1, grid, grid) weight: one in the inscribed circle, to zero over ``edge`` pixels."""
    x = torch.arange(grid) - (grid - 1) / 2
    radius = torch.hypot(x[None, :], x[:, None])
    step = ((grid / 2 - radius) / edge).clamp(0.0, 1.0)
    return (0.5 - 0.5 * torch.cos(math.pi * step))[None, None]
