# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Ready colour composites: decoded, recognised, measured, and brought to a model's grid."""

import io
import warnings
from functools import lru_cache

import numpy as np

from galvae_affiliated.cutouts._cutter import MIN_RADIUS, empty_flags
from galvae_affiliated.cutouts._defects import has_defect
from galvae_affiliated.cutouts._grey import LINEAR, as_flux, channels_of, is_cut, is_grey_picture
from galvae_affiliated.cutouts._resample import MIN_OBSERVED, Resampler, from_sums
from galvae_affiliated.cutouts.resolution import check_fwhm, unresolved
from galvae_affiliated.cutouts.stack import CutoutStack, unreadable_stack
from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.flags import UNMEASURED, GalvaeFlags
from galvae_affiliated.images._windows import overlaps
from galvae_affiliated.images.bands import parse_band
from galvae_affiliated.images.planes import split_bands
from galvae_affiliated.images.units import PLAUSIBLE_SCALES, pixel_area
from galvae_affiliated.sources.detection import find_islands, segment
from galvae_affiliated.sources.petrosian import petrosian_r90
from galvae_affiliated.sources.point_sources import psf_from_fwhm

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
    pixel_scale, already_scaled, rendering, bands, psf_fwhm : optional
        See `~galvae_affiliated.encode_cutout_set`.
    """

    def __init__(self, frame, *, pixel_scale=None, already_scaled=False, rendering=None,
                 bands=None, psf_fwhm=None):
        if rendering not in (None, LINEAR):
            frame.composite_rendering(rendering)
        pixel_area(None, pixel_scale)
        names = split_bands(bands)
        if names is not None and len(names) > 1:
            raise ValueError(f'bands are {names}; expected the one band of grey pictures: a '
                             'colored picture does not say which its channels are')
        self.band = None if names is None else parse_band(names[0]).name
        self.psf_r90 = np.nan if psf_fwhm is None else psf_from_fwhm(check_fwhm(psf_fwhm))[1]
        self.is_linear_known = bool(frame.flux_renderings())
        if rendering == LINEAR and not self.is_linear_known:
            raise ValueError(f'the model {frame.name} has no rendering of flux, by which a linear '
                             'picture could enter')
        self._is_warned = False
        self.frame = frame
        self.pixel_scale = pixel_scale
        self.already_scaled = already_scaled
        self.rendering = rendering
        self._skies = {
            entry.name: np.arcsinh(entry.softening * entry.offset) / np.sqrt(entry.softening)
            for entry in frame.renderings if entry.kind == 'rerender'}

    def stack(self, ids, images, scales, bands=None):
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
        bands : sequence of N str or None, optional
            Name of the band of grey images, where one is known.

        Returns
        -------
        stack : `CutoutStack`
            With the flag UNREADABLE where there is no image.
        """
        stack = unreadable_stack(len(images), self.frame.grid)
        renderings, channels = list(stack.rendering), list(stack.bands)
        bands = [None] * len(images) if bands is None else bands
        for i, (name, image, scale) in enumerate(zip(ids, images, scales)):
            try:
                pixels = decode_image(image)
            except Exception:  # a damaged picture raises whatever its decoder meets
                continue
            scale = scale if self.pixel_scale is None else self.pixel_scale
            if self.already_scaled or scale is None or np.isnan(scale):
                scale = np.nan
            elif not PLAUSIBLE_SCALES[0] <= scale <= PLAUSIBLE_SCALES[1]:
                self._warn_of_scale(name, scale)
                stack.flags[i] = GalvaeFlags.BAD_RADIUS
                continue
            is_grey = is_grey_picture(pixels)
            rendering = self.rendering or self._recognise(pixels, is_grey)
            cutout, radius, flags = self._cutout(pixels, rendering, np.isfinite(scale))
            if rendering == LINEAR and not flags & UNMEASURED:
                cutout, rendering = as_flux(cutout, self.frame)
                flags |= GalvaeFlags.SCALE_ESTIMATED
            if not flags & UNMEASURED and has_defect(pixels):
                flags |= GalvaeFlags.ARTIFACT
            if is_grey:
                channels[i] = channels_of(self.band or bands[i])
                flags |= 0 if flags & UNMEASURED else GalvaeFlags.FEW_BANDS
            renderings[i] = 'composite' if rendering == LINEAR else rendering
            stack.data[i] = cutout
            stack.flags[i] = flags
            stack.radius[i] = radius
            stack.pixel_scale[i] = scale
        # seeing is in pixels where these have no known size
        star = self.psf_r90 / np.where(np.isfinite(stack.pixel_scale), stack.pixel_scale, 1.0)
        resolution = stack.radius / star
        doubts = unresolved(stack.radius, resolution)
        flags = stack.flags | np.where(stack.flags & UNMEASURED, 0, doubts)
        return CutoutStack(stack.data, np.array(renderings, dtype=str), flags, stack.radius,
                           stack.pixel_scale, resolution, np.array(channels, dtype=str))

    def _warn_of_scale(self, name, scale):
        """Say once why a row has no radius: how large its galaxy is cannot be known."""
        if not self._is_warned:
            low, high = PLAUSIBLE_SCALES
            warnings.warn(f'{name}: pixel_scale_arcsec is {scale}; expected one of an image of '
                          f'galaxies, from {low:g} to {high:g}; such rows have the flag BAD_RADIUS',
                          GalvaeWarning, stacklevel=2)
        self._is_warned = True

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

    def _recognise(self, pixels, is_grey):
        """Rendering whose empty sky has the level of the border; else a composite as it is."""
        if is_grey:
            return LINEAR if self.is_linear_known and is_cut(pixels) else 'composite'
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
    intensity = _planes(pixels).mean(axis=0)
    if rendering != LINEAR:
        entry = frame.composite_rendering(rendering)
        if entry.kind == 'composite':
            entry = next(e for e in frame.renderings if e.kind == 'flux')
        root = np.sqrt(entry.softening)
        intensity = np.sinh(root * intensity) / root
    edge = max(4, len(pixels) // 16)
    border = [intensity[:edge], intensity[-edge:], intensity[:, :edge], intensity[:, -edge:]]
    intensity = intensity - np.median(np.concatenate([part.ravel() for part in border]))
    y, x = (intensity.shape[0] - 1) / 2, (intensity.shape[1] - 1) / 2
    # where the light is linear, neighbours are told apart as in a field
    labels = segment(intensity)[0] if rendering == LINEAR else find_islands(intensity)
    own = labels[int(y), int(x)]
    return petrosian_r90(np.where((labels != 0) & (labels != own), np.nan, intensity), x, y)


def _empty_flag(cutout):
    """NO_DATA where every pixel of one (3, ny, nx) cutout is missing, or all are equal."""
    return int(empty_flags(cutout[None])[0])
