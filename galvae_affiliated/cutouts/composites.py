# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Ready colour composites: decoded, recognised, measured, and brought to a model's grid."""

import io

import numpy as np
from PIL import Image

from galvae_affiliated.cutouts._cutter import MIN_RADIUS
from galvae_affiliated.cutouts._resample import resample
from galvae_affiliated.cutouts.stack import empty_flag
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.sources.detection import HOT, find_sources
from galvae_affiliated.sources.petrosian import petrosian_r90

# Galaxy Zoo 2's own composites: 424 pixels of 0.02 petroR90
GZ2_SIDE, GZ2_PIXEL = 424, 0.02
SKY_TOLERANCE = 0.03  # composite levels; a rendering is recognised by the level of its empty sky


def check_composite_rendering(model, name):
    """Raise if the model has no such rendering, or it is one of flux."""
    known = [entry['name'] for entry in model.renderings if entry['kind'] != 'flux']
    if name not in known:
        raise ValueError(f'the model {model.name} has no rendering {name!r} of composites; it has {", ".join(known)}')


def unreadable_cutout(grid):
    return np.full((3, grid, grid), np.nan, np.float32), 'composite', int(GalvaeFlags.UNREADABLE), np.nan, np.nan


def decode_image(image):
    """(3, H, W) float32 composite in [0, 1] of a Parquet row's image: a struct with ``bytes``, or the bytes."""
    content = image['bytes'] if isinstance(image, dict) else image
    with Image.open(io.BytesIO(content)) as opened:
        pixels = np.asarray(opened.convert('RGB'))
    return np.moveaxis(pixels, -1, 0).astype(np.float32) / np.float32(255.0)


def scaled_composite(image, model, rendering):
    """A composite at the model's scale, brought to its grid."""
    side = image.shape[1]
    if side == GZ2_SIDE:
        side = model.field_of_view / GZ2_PIXEL
    cutout = resize_composite(image, side, model.grid)
    return cutout, rendering or recognise_rendering(image, model), empty_flag(cutout), side / model.field_of_view, np.nan


def measured_composite(image, pixel_scale, model, rendering):
    """A composite of known pixel scale: the galaxy in the middle is measured and brought to the model's scale."""
    rendering = rendering or recognise_rendering(image, model)
    radius = composite_radius(image, rendering, model)
    if np.isnan(radius):
        flag = empty_flag(image) or GalvaeFlags.NO_RADIUS
        return np.full((3, model.grid, model.grid), np.nan, np.float32), rendering, int(flag), np.nan, pixel_scale
    cutout = resize_composite(image, model.field_of_view * radius, model.grid)
    flags = empty_flag(cutout) | (GalvaeFlags.SMALL if radius < MIN_RADIUS else 0)
    flags |= GalvaeFlags.EDGE if model.field_of_view * radius > 1.02 * min(image.shape[1:]) else 0
    return cutout, rendering, int(flags), radius, pixel_scale


def resize_composite(image, side, grid):
    """(3, grid, grid) of the middle ``side`` pixels; untouched where nothing has to change."""
    _, height, width = image.shape
    if height == width == grid == side:
        return image
    return resample(image, ((width - 1) / 2, (height - 1) / 2), side / grid, grid)


def recognise_rendering(image, model):
    """Rendering of the model whose empty sky has the level of this image's border; else a composite as it is."""
    border = np.concatenate([image[:, :4].reshape(3, -1), image[:, -4:].reshape(3, -1)], axis=1)
    level = np.median(border, axis=1)
    for entry in model.renderings:
        if entry['kind'] == 'rerender':
            q = entry['softening']
            sky = np.arcsinh(q * entry['offset']) / np.sqrt(q)
            if np.all(np.abs(level - sky) < SKY_TOLERANCE):
                return entry['name']
    return 'composite'


def composite_radius(image, rendering, model):
    """petroR90 in pixels of the galaxy in the middle, on the intensity before it was compressed to a composite."""
    entries = {entry['name']: entry for entry in model.renderings}
    entry = entries[rendering]
    if entry['kind'] == 'composite':
        entry = next(e for e in model.renderings if e['kind'] == 'flux')
    root = np.sqrt(entry['softening'])
    intensity = np.sinh(root * image.mean(axis=0)) / root
    edge = max(4, image.shape[1] // 16)
    border = np.concatenate([intensity[:edge].ravel(), intensity[-edge:].ravel(),
                             intensity[:, :edge].ravel(), intensity[:, -edge:].ravel()])
    intensity = intensity - np.median(border)
    y, x = (intensity.shape[0] - 1) / 2, (intensity.shape[1] - 1) / 2
    labels = find_sources(intensity, HOT, deblend=False)
    own = labels[int(y), int(x)]
    return petrosian_r90(np.where((labels != 0) & (labels != own), np.nan, intensity), x, y)
