# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Training galaxies as images of flux and pictures of other surveys show them."""

import io
import warnings

import numpy as np
from astropy.table import Table

from galvae_affiliated.cutouts._grey import GREY, as_flux, middle_band
from galvae_affiliated.cutouts.maker import open_cutouts
from galvae_affiliated.cutouts.stack import CutoutStack, join_stacks
from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.images.bands import plan_channels
from galvae_affiliated.simulation.templates import unrendered

__all__ = ['LOOKS', 'in_grey', 'known_looks', 'other_look']

LOOKS = ('picture', 'flux', 'two bands', 'one band')
GROUP = 32  # galaxies whose pixels are of one size, and that are seen in the same bands
UNIT = 'nmgy/arcsec2'
MARGIN = 0.15  # of a side, around a galaxy: radii are measured with errors
SKY = (0.78, 0.97)  # radii of the ring of sky in half sides
FWHM = 2.3548  # of a Gaussian, in standard deviations
NORMAL = 1.4826  # standard deviation over the median absolute deviation
# what other surveys differ in: between such limits, evenly or in the logarithm
PIXELS = (4.0, 20.0)  # in petroR90; finer ones are averaged to the model's grid
MAX_FWHM = 0.4  # of a PSF beyond the survey's own, in petroR90; more is flagged UNRESOLVED
NOISE = (0.15, 4.0)  # of a pixel of any size, in units of that of usual images of the band
BRIGHTNESS = (0.15, 2.5)  # in units of the galaxy's own
DETAIL = (0.0, 1.0)  # share of what the decoder does not draw: noise above all
SYMMETRY = (0.0, 1.0)  # share of what is not symmetric, that is taken away: much of it is noise
# and with such standard deviations of the logarithm
TILT, COLOR, BAND_NOISE, RADIUS = 0.3, 0.1, 0.3, 0.1  # the first from red to blue
PLACE = 0.02  # of a position, in petroR90
SKY_ERROR = 0.1  # of its level, in units of the noise of a pixel
CUT_SHARES = (0.005, 0.02)  # of the pixels of a linear picture, that are white
QUALITIES = (75, 96)  # of JPEG


def in_grey(stack, frame):
    """
    Cutouts as the band of their middle channel alone shows them.

    Parameters
    ----------
    stack : `~galvae_affiliated.CutoutStack`
    frame : `~galvae_affiliated.cutouts.ModelFrame`

    Returns
    -------
    stack : `~galvae_affiliated.CutoutStack`
        With this band in all channels, and the flag FEW_BANDS. Flux is scaled as that of a field
        of one band is.
    """
    data, names = middle_band(stack.data), [GREY.split(',')[0]] * len(stack)
    ways = {entry.name: entry for entry in frame.renderings}
    for i, (text, rendering) in enumerate(zip(stack.bands, stack.rendering)):
        names[i] = text.split(',')[1] if text else names[i]
        if ways[rendering].kind == 'flux':
            names[i] = ways[rendering].bands[1]
            plan = plan_channels([names[i]], *frame.band_sets(str(rendering)))
            data[i] *= np.array(plan.weights, dtype=data.dtype)[:, :, None]
    flags = stack.flags | np.where(stack.measured, GalvaeFlags.FEW_BANDS, 0)
    return CutoutStack(data, stack.rendering, flags.astype(np.int32), stack.radius,
                       stack.pixel_scale, stack.resolution,
                       np.array([','.join([name] * 3) for name in names], dtype=str))


def known_looks(frame, *, grey=True):
    """Those of ``LOOKS`` that composites of a model can be given."""
    if not _renderings_of_flux(frame):
        return []
    is_undone = any(entry.kind == 'rerender' for entry in frame.renderings)
    return ['picture'] * is_undone + ['flux', 'two bands'] + ['one band'] * grey


def _renderings_of_flux(frame):
    return [entry for entry in frame.renderings
            if entry.kind == 'flux' and entry.curve and entry.scales]


def other_look(look, composites, decoded, frame, rng):
    """
    Composites as other surveys would show the same galaxies.

    The rendering is undone. Part of what the decoder leaves of each image, and of what is not
    symmetric, which is noise above all, is taken away; the galaxy is blurred, made brighter or
    fainter and of other colors, seen in larger pixels with noise of their own, and cut out of
    these at a radius and a place that are a little wrong.

    Parameters
    ----------
    look : {'picture', 'flux', 'two bands', 'one band'}
        'picture' makes JPEG composites of the surveys whose renderings are undone; the others,
        flux of three, two bands or one, and half of those of one band as linear pictures of 8 bits.
    composites, decoded : (N, 3, grid, grid) arrays
        As the model was trained on, and as its decoder draws them.
    frame : `~galvae_affiliated.cutouts.ModelFrame`
    rng : `numpy.random.Generator`

    Returns
    -------
    stack : `~galvae_affiliated.CutoutStack`
    """
    if look not in LOOKS:
        raise ValueError(f'look is {look!r}; expected one of {", ".join(LOOKS)}')
    known = _renderings_of_flux(frame)
    own = known[0]
    composites = np.where(np.isfinite(composites), composites, decoded).astype(np.float32)
    flux, drawn = (_above_sky(unrendered(images, own), frame) for images in
                   (composites, np.asarray(decoded, dtype=np.float32)))
    noise = np.median(_sky_noise(flux, frame), axis=0)
    share, turned = (rng.uniform(*limits, (len(flux), 1, 1, 1)).astype(np.float32)
                     for limits in (DETAIL, SYMMETRY))
    flux = drawn + share * (flux - drawn)
    flux += 0.5 * turned * (flux[:, :, ::-1, ::-1] - flux)
    flux *= _gains(len(flux), rng)[:, :, None, None]
    stacks = []
    for start in range(0, len(flux), GROUP):
        # surveys are seen in turns
        turn = start // GROUP
        cut = _cut_out(flux[start:start + GROUP], noise, known[turn % len(known)], look, frame,
                       rng)
        if look == 'picture':
            cut = _as_pictures(cut, frame, turn, rng)
        elif look == 'one band' and turn % 2:
            cut = _as_linear(cut, frame, rng)
        stacks.append(cut)
    return join_stacks(stacks, frame.grid)


def _far(frame):
    """(grid, grid) distances from the middle in half sides."""
    x = (np.arange(frame.grid) - (frame.grid - 1) / 2) / (frame.grid / 2)
    return np.hypot(x, x[:, None])


def _sky_pixels(flux, frame):
    far = _far(frame)
    return flux[:, :, (far > SKY[0]) & (far < SKY[1])]


def _above_sky(flux, frame):
    return flux - np.median(_sky_pixels(flux, frame), axis=2)[:, :, None, None]


def _sky_noise(flux, frame):
    """(N, 3) standard deviations of the sky's pixels."""
    return NORMAL * np.median(np.abs(_sky_pixels(flux, frame)), axis=2)


def _gains(n, rng):
    """(n, 3) float32 factors of brightness and color."""
    log = rng.uniform(*np.log(BRIGHTNESS), (n, 1)) + COLOR * rng.standard_normal((n, 3))
    return np.exp(log + TILT * rng.standard_normal((n, 1)) * [1, 0, -1]).astype(np.float32)


def _cut_out(flux, noise, entry, look, frame, rng):
    """A mosaic of galaxies in a survey's pixels, and what the package cuts out of it."""
    n, grid = len(flux), frame.grid
    r90 = np.exp(rng.uniform(*np.log(PIXELS)))
    pad = int(MARGIN * grid)
    padded = np.pad(flux, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode='reflect')
    side = int(round((grid + 2 * pad) / grid * frame.field_of_view * r90))
    means = _averages(grid + 2 * pad, side)
    # narrow PSFs more often than wide ones
    sigma = MAX_FWHM * rng.uniform(size=n) ** 2 * grid / frame.field_of_view / FWHM
    matrices = np.stack([means @ _blurring(grid + 2 * pad, width) for width in sigma])[:, None]
    stamps = matrices @ padded @ matrices.swapaxes(2, 3)
    noise = [frame.typical.get(band, {}).get('noise', own)
             for band, own in zip(entry.bands, noise)]
    level = noise * np.exp(rng.uniform(*np.log(NOISE), (n, 1))
                           + BAND_NOISE * rng.standard_normal((n, 3)))
    stamps += level[:, :, None, None] * (
        rng.standard_normal(stamps.shape, dtype=np.float32)
        + SKY_ERROR * rng.standard_normal((n, 3, 1, 1)))
    columns = int(np.ceil(np.sqrt(n)))
    mosaic = np.zeros((3, side * -(-n // columns), side * columns), dtype=np.float32)
    place = np.array([divmod(i, columns) for i in range(n)]) * side
    for (row, column), stamp in zip(place, stamps):
        mosaic[:, row:row + side, column:column + side] = stamp
    y, x = (place + (side - 1) / 2 + PLACE * r90 * rng.standard_normal((n, 2))).T
    sources = Table({'x': x, 'y': y, 'r': r90 * np.exp(RADIUS * rng.standard_normal(n))})
    bands = rng.permutation(3)[:{'two bands': 2, 'one band': 1}.get(look, 3)]
    images = {entry.bands[i]: mosaic[i] for i in sorted(bands)}
    with warnings.catch_warnings():
        # a group that is faint or deep looks as if its unit was wrong
        warnings.simplefilter('ignore', GalvaeWarning)
        maker, _ = open_cutouts(images, sources, frame, radius='r', unit=UNIT, pixel_scale=1.0,
                                subtract_sky=False)
        return maker.stack()


def _averages(n_in, n_out):
    """(n_out, n_in) float32 array: share of each pixel in each of others."""
    edges = np.linspace(0, n_in, n_out + 1)
    start = np.arange(n_in)
    overlap = np.minimum(edges[1:, None], start + 1) - np.maximum(edges[:-1, None], start)
    return (np.clip(overlap, 0, 1) / (n_in / n_out)).astype(np.float32)


def _blurring(n, sigma):
    """(n, n) float32 matrix of the convolution with a Gaussian, whose rows have the sum one."""
    x = np.arange(n, dtype=np.float32)
    kernel = np.exp(-0.5 * ((x - x[:, None]) / np.float32(max(sigma, 0.1))) ** 2)
    return kernel / kernel.sum(axis=1, keepdims=True)


def _as_pictures(stack, frame, turn, rng):
    """JPEG composites of flux, in one of the renderings that a model undoes."""
    entries = [entry for entry in frame.renderings if entry.kind == 'rerender']
    entry = entries[turn % len(entries)]
    images = _rendered(np.nan_to_num(stack.data), entry)
    quality = rng.integers(*QUALITIES, len(images))
    data = np.stack([_jpeg(image, int(q)) for image, q in zip(images, quality)])
    return CutoutStack.from_composites(data, rendering=entry.name)


def _rendered(flux, entry):
    """Composites in [0, 1] of flux (Lupton et al. 2004); see `unrendered`."""
    softening, offset = entry.curve
    value = np.reshape(entry.scales, (3, 1, 1)) * flux + offset
    intensity = np.maximum(np.maximum(value, 0.0).mean(axis=1, keepdims=True), 1e-6)
    curve = np.arcsinh(softening * intensity) / (np.sqrt(softening) * intensity)
    return np.clip(value * curve, 0.0, 1.0)


def _jpeg(image, quality):
    """(3, ny, nx) uint8 array of an image in [0, 1], as a JPEG keeps it."""
    from PIL import Image

    buffer = io.BytesIO()
    pixels = np.moveaxis(np.rint(255 * image).astype(np.uint8), 0, -1)
    Image.fromarray(pixels).save(buffer, 'JPEG', quality=quality)
    return np.moveaxis(np.asarray(Image.open(buffer)), -1, 0)


def _as_linear(stack, frame, rng):
    """Flux of one band as pictures of 8 bits, cut off at a percentile, and what becomes of them."""
    data, rendering = stack.data.copy(), stack.rendering.astype('U64')
    for i, image in enumerate(data):
        white = np.nanquantile(image[0], 1.0 - rng.uniform(*CUT_SHARES))
        black = np.nanmin(image[0])
        steps = np.clip((image[:1] - black) / max(white - black, np.finfo(np.float32).tiny), 0, 1)
        picture = np.repeat(np.rint(255 * steps) / np.float32(255.0), 3, axis=0)
        data[i], rendering[i] = as_flux(picture, frame)
    return CutoutStack(data, rendering, stack.flags, stack.radius, stack.pixel_scale,
                       stack.resolution, np.full(len(stack), GREY))
