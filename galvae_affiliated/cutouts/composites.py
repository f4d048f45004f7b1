# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Ready colour composites: decoded, recognised, measured, and brought to a model's grid."""

import io
from functools import lru_cache

import numpy as np

from galvae_affiliated.cutouts._cutter import MIN_RADIUS, empty_flags
from galvae_affiliated.cutouts._resample import MIN_OBSERVED, Resampler, from_sums
from galvae_affiliated.cutouts.stack import CutoutStack, unreadable_stack
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.images._windows import overlaps
from galvae_affiliated.images.units import pixel_area
from galvae_affiliated.sources.detection import find_islands
from galvae_affiliated.sources.petrosian import petrosian_r90

# Galaxy Zoo 2's own composites: 424 pixels of 0.02 petroR90
GZ2_SIDE, GZ2_PIXEL = 424, 0.02
PICTURES = ('JPEG', 'PNG', 'GIF', 'WEBP', 'BMP', 'TIFF')
MAX_PIXELS = 1 << 24  # of a picture: a cutout of 4096 pixels a side. Few bytes may declare many
SKY_TOLERANCE = 0.03  # composite levels; a rendering is recognised by the level of its empty sky


class CompositeMaker:
    """
    Ready colour composites to cutouts of a model's frame.

    Parameters
    ----------
    frame : `~galvae_affiliated.cutouts.ModelFrame`
    pixel_scale, already_scaled, rendering : optional
        See `~galvae_affiliated.encode_cutout_set`.
    """

    def __init__(self, frame, *, pixel_scale=None, already_scaled=False, rendering=None):
        if rendering is not None:
            frame.composite_rendering(rendering)
        pixel_area(None, pixel_scale)
        self.frame = frame
        self.pixel_scale = pixel_scale
        self.already_scaled = already_scaled
        self.rendering = rendering
        self._skies = {
            entry.name: np.arcsinh(entry.softening * entry.offset) / np.sqrt(entry.softening)
            for entry in frame.renderings if entry.kind == 'rerender'}

    def stack(self, ids, images, scales):
        """
        Cutouts of N images.

        Parameters
        ----------
        ids : sequence of N object
            For messages.
        images : sequence of N object
            The bytes of a JPEG or PNG, or a dict with ``bytes``.
        scales : sequence of N float or None
            Side of a pixel in arcsec, where one is known and ``pixel_scale`` is not given: the
            galaxy in the middle is measured then; else the image is at the model's scale.

        Returns
        -------
        stack : `CutoutStack`
            With the flag UNREADABLE where there is no image.
        """
        stack = unreadable_stack(len(images), self.frame.grid)
        renderings = list(stack.rendering)
        for i, (name, image, scale) in enumerate(zip(ids, images, scales)):
            try:
                pixels = decode_image(image)
            except Exception:  # a damaged picture raises whatever its decoder meets
                continue
            scale = scale if self.pixel_scale is None else self.pixel_scale
            if self.already_scaled or scale is None or not np.isfinite(scale):
                scale = np.nan
            elif not scale > 0:
                raise ValueError(f'{name}: pixel_scale_arcsec is {scale}; '
                                 'expected a positive number')
            renderings[i] = self.rendering or self._recognise(pixels)
            cutout, radius, flags = self._cutout(pixels, renderings[i], np.isfinite(scale))
            stack.data[i] = cutout
            stack.flags[i] = flags
            stack.radius[i] = radius
            stack.pixel_scale[i] = scale
        return CutoutStack(stack.data, np.array(renderings, dtype=str), stack.flags,
                           stack.radius, stack.pixel_scale)

    def _cutout(self, pixels, rendering, is_measured):
        """Cutout, petroR90 in pixels, and flags of an image."""
        grid, field_of_view = self.frame.grid, self.frame.field_of_view
        if not is_measured:
            side = min(pixels.shape[:2])  # of a picture that is wide or tall, too
            side = field_of_view / GZ2_PIXEL if side == GZ2_SIDE else side
            cutout = resize_composite(pixels, side, grid)
            return cutout, side / field_of_view, _empty_flag(cutout)
        radius = composite_radius(pixels, rendering, self.frame)
        if np.isnan(radius):
            return np.nan, radius, _empty_flag(_planes(pixels)) or GalvaeFlags.NO_RADIUS
        side = field_of_view * radius
        cutout = resize_composite(pixels, side, grid)
        flags = _empty_flag(cutout)
        if radius < MIN_RADIUS:
            flags |= GalvaeFlags.SMALL
        if side > 1.02 * min(pixels.shape[:2]):
            flags |= GalvaeFlags.EDGE
        return cutout, radius, flags

    def _recognise(self, pixels):
        """Rendering whose empty sky has the level of the border; else a composite as it is."""
        border = np.concatenate([pixels[:4], pixels[-4:]]).reshape(-1, 3)
        level = np.median(border, axis=0) / 255.0
        return next((name for name, sky in self._skies.items()
                     if np.all(np.abs(level - sky) < SKY_TOLERANCE)), 'composite')


def decode_image(image):
    """(ny, nx, 3) uint8 array of a JPEG or PNG: its bytes, or a dict with ``bytes``."""
    from PIL import Image

    content = image['bytes'] if isinstance(image, dict) else image
    # not all that Pillow knows: for some of them it starts other programs
    with Image.open(io.BytesIO(content), formats=PICTURES) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise ValueError(f'{opened.width} x {opened.height} pixels; expected at most '
                             f'{MAX_PIXELS} in all')
        return _as_rgb(opened)


def _as_rgb(opened):
    """(ny, nx, 3) uint8 array of an opened picture of any mode; Pillow cuts some at 255."""
    if getattr(opened, 'n_frames', 1) > 1:
        raise ValueError(f'the picture has {opened.n_frames} frames; expected one')
    if opened.mode.startswith('I') or opened.mode == 'F':
        values = np.asarray(opened, dtype=np.float64)
        whole = 1.0 if opened.mode == 'F' else 65535.0
        if not (np.isfinite(values).all() and 0 <= values.min() and values.max() <= whole):
            raise ValueError(f'the picture holds values from {values.min()} to {values.max()}; '
                             f'expected 0 to {whole:g}')
        grey = np.round(values * 255.0 / whole).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if 'A' in opened.getbands() or 'transparency' in opened.info:
        from PIL import Image

        # what is transparent is empty sky, whatever colour it has
        picture = opened.convert('RGBA')
        black = Image.new('RGBA', picture.size, (0, 0, 0, 255))
        return np.asarray(Image.alpha_composite(black, picture).convert('RGB'))
    return np.asarray(opened.convert('RGB'))


def resize_composite(pixels, side, grid):
    """
    The middle of a composite on another grid.

    Parameters
    ----------
    pixels : (ny, nx, 3) uint8 array
    side : float
        Pixels of it to take; those beyond the image are missing.
    grid : int
        Side of the result in its own pixels.

    Returns
    -------
    cutout : (3, grid, grid) float32 array
        In [0, 1]; nothing is resampled where the image has this size already.
    """
    height, width, _ = pixels.shape
    if height == width == grid == side:
        return _planes(pixels)
    resampler, rows, columns, coverage = _resizer(height, width, side, grid)
    planes = _planes(pixels[rows[1], columns[1]])
    if planes.shape[1:] != resampler.shape:
        window = np.zeros((3, *resampler.shape), dtype=np.float32)
        window[:, rows[0], columns[0]] = planes
        planes = window
    cutout = np.empty((3, grid, grid), dtype=np.float32)
    resampler.mean(0, planes, cutout)
    return cutout if coverage is None else from_sums(cutout, coverage)


@lru_cache(maxsize=8)
def _resizer(height, width, side, grid):
    """What images of one size share: `Resampler`, slices of window and image, share observed."""
    x, y, step = (np.array([value]) for value in ((width - 1) / 2, (height - 1) / 2, side / grid))
    resampler = Resampler(x, y, step, grid)
    [rows] = overlaps(resampler.y_start, resampler.shape[0], height)
    [columns] = overlaps(resampler.x_start, resampler.shape[1], width)
    observed = np.zeros((1, *resampler.shape), dtype=np.float32)
    observed[:, rows[0], columns[0]] = 1.0
    coverage = np.empty((1, grid, grid), dtype=np.float32)
    resampler.mean(0, observed, coverage)
    return resampler, rows, columns, coverage if coverage.min() < 2 * MIN_OBSERVED else None


def _planes(pixels):
    """(3, ny, nx) float32 array in [0, 1] of (ny, nx, 3) 8-bit pixels."""
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)) / np.float32(255.0)


def composite_radius(pixels, rendering, frame):
    """
    petroR90 of the galaxy in the middle, on the intensity before it was compressed.

    Parameters
    ----------
    pixels : (ny, nx, 3) uint8 array
    rendering : str
        Name of the composite's rendering.
    frame : `~galvae_affiliated.cutouts.ModelFrame`

    Returns
    -------
    radius : float
        In pixels, NaN where there is none.
    """
    entry = frame.composite_rendering(rendering)
    if entry.kind == 'composite':
        entry = next(e for e in frame.renderings if e.kind == 'flux')
    root = np.sqrt(entry.softening)
    intensity = np.sinh(root * _planes(pixels).mean(axis=0)) / root
    edge = max(4, len(pixels) // 16)
    border = [intensity[:edge], intensity[-edge:], intensity[:, :edge], intensity[:, -edge:]]
    intensity = intensity - np.median(np.concatenate([part.ravel() for part in border]))
    y, x = (intensity.shape[0] - 1) / 2, (intensity.shape[1] - 1) / 2
    labels = find_islands(intensity)
    own = labels[int(y), int(x)]
    return petrosian_r90(np.where((labels != 0) & (labels != own), np.nan, intensity), x, y)


def _empty_flag(cutout):
    """NO_DATA where every pixel of one (3, ny, nx) cutout is missing, or all are equal."""
    return int(empty_flags(cutout[None])[0])
