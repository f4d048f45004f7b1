# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A few numbers of the image that a network saw, which cost little beside the network."""

import functools

import numpy as np

__all__ = ['STATISTICS', 'image_statistics']

AT_ONCE = 4  # images
SIDE = 16  # cells a side, that images are averaged in
LEAST = 1e-3  # of composites in [0, 1]: a quarter of a step of 8 bits
LEAST_SQUARE = 1e-7  # of steps between pixels, far below the square of this quarter
# radii in units of half of a side, of which petroR90 is 0.39
CENTRE, BODY, SKY = 0.2, 0.4, (0.65, 0.9)
BOX = 0.2  # side of the square in which the color of the middle is measured; twice that around

STATISTICS = ('sky', 'log_light', 'log_concentration', 'log_brightest', 'asymmetry',
              'log_sky_roughness', 'log_center_roughness', 'log_largest_step', 'log_largest_patch',
              'color_rb', 'color_g', 'color_rb_outside', 'color_g_outside', 'sky_color_rb',
              'sky_color_g', 'noise_color_rb', 'noise_color_g', 'log_color_roughness',
              'log_largest_color_step')


def image_statistics(frame):
    """
    Numbers that images of galaxies have in common, and other images have not.

    Parameters
    ----------
    frame : (N, 3, H, W) float32 array
        Composites as a network sees them: red, green, blue in [0, 1], the galaxy in the middle.

    Returns
    -------
    statistics : (N, 19) float array
        In the order of ``STATISTICS``; the last ten say nothing of grey images, whose channels
        are alike. Roughness is the mean square of the step from a pixel to the next, asymmetry
        that under a turn by half a circle (Conselice 2003, ApJS 147, 1, but in cells of a
        sixteenth of a side), and logarithms are natural.
    """
    # arrays of more images leave the caches, and are given back to the system after each
    with np.errstate(invalid='ignore', over='ignore'):  # of frames that are no numbers
        parts = [_statistics(frame[start:start + AT_ONCE])
                 for start in range(0, len(frame), AT_ONCE)]
    return np.concatenate([np.zeros((0, len(STATISTICS))), *parts])


def _statistics(frame):
    """Those of a few images."""
    light = frame[:, 0] + frame[:, 1]
    light += frame[:, 2]
    light *= np.float32(1 / 3)
    color = frame[:, 0, ::2] - frame[:, 2, ::2]
    to_cells, masks, areas = _cells(*frame.shape[2:])
    cells = _averaged(light, to_cells)
    step = light[:, ::2, 1:] - light[:, ::2, :-1]
    color_step = color[:, :, 1:] - color[:, :, :-1]
    squares, color_squares = (np.multiply(some, some, out=some) for some in (step, color_step))
    rough, color_rough = (_averaged(some, to_cells, 2) for some in (squares, color_squares))
    sky, centre, body = (cells.reshape(len(cells), -1) @ areas).T
    inner, outer = _colors(frame)
    sky_rough, center_rough, _ = (rough.reshape(len(rough), -1) @ areas).T
    body, centre, brightest = _log(np.array([
        body - sky, centre - sky, light.max(axis=(1, 2))]), LEAST)
    sky_rough, center_rough, patch, color_rough = _log(np.array([
        sky_rough, center_rough, rough[:, masks['outside']].max(axis=1),
        color_rough.reshape(len(color_rough), -1) @ areas[:, 0]]), LEAST_SQUARE)
    largest, color_largest = 0.5 * _log(np.array([
        squares.max(axis=(1, 2)), color_squares.max(axis=(1, 2))]), LEAST ** 2)
    return np.column_stack([
        sky, body, centre - body, brightest, _asymmetry(cells, sky, masks['galaxy']),
        sky_rough, center_rough, largest, patch - sky_rough, *inner, *(outer - inner),
        *_sky_colors(frame), color_rough, color_largest]).astype(float)


def _log(values, least):
    return np.log(np.maximum(values, least))


@functools.cache
def _cells(height, width):
    """
    Matrices that average rows and columns in cells, and cells by their radius.

    Masks of two regions, and the weights of the means over sky, centre and body.
    """
    def averages(n):
        cell = np.arange(n) * SIDE // n
        matrix = (cell[:, None] == np.arange(SIDE)).astype(np.float32)
        return matrix / np.maximum(matrix.sum(axis=0), 1.0)

    x = (np.arange(SIDE) + 0.5) * 2.0 / SIDE - 1.0
    radius = np.hypot(x[:, None], x)
    masks = {'galaxy': radius < SKY[0], 'outside': (radius > CENTRE) & (radius < SKY[1])}
    regions = (radius > SKY[0]) & (radius < SKY[1]), radius < CENTRE, radius < BODY
    areas = np.stack([region.ravel() / region.sum() for region in regions], axis=1)
    return (averages(height), averages(width), averages(-(-height // 2))), masks, (
        areas.astype(np.float32))


def _averaged(images, to_cells, every=1):
    """
    (N, SIDE, SIDE) means in cells of (N, H, W) images.

    There may be every 2nd row alone, and steps lack the last column, which counts as zero.
    """
    rows = to_cells[0] if every == 1 else to_cells[2]
    return rows.T @ (images @ to_cells[1][:images.shape[2]])


def _mean(cells, mask):
    return cells[:, mask].mean(axis=1)


def _asymmetry(cells, sky, mask):
    """Mean difference from the image turned by half a circle, over the mean light."""
    turned = np.abs(cells - cells[:, ::-1, ::-1])
    return _mean(turned, mask) / np.maximum(_mean(cells, mask) - sky, 10 * LEAST)


def _colors(frame):
    """Colors of the middle, and of what is around it, as (2, N) arrays; see `_color`."""
    n = frame.shape[2]
    low, high = (int(round(n * (0.5 + sign * BOX / 2))) for sign in (-1, 1))
    wide = slice(int(round(n * (0.5 - BOX))), int(round(n * (0.5 + BOX))))
    # every second row, the same ones in both
    rows = slice(wide.start + (low - wide.start) % 2, wide.stop, 2)
    middle, whole = frame[:, :, low:high:2, low:high], frame[:, :, rows, wide]
    share = middle[0, 0].size / whole[0, 0].size
    middle, whole = middle.mean(axis=(2, 3)), whole.mean(axis=(2, 3))
    return _color(middle), _color((whole - share * middle) / (1.0 - share))


def _color(light):
    """Red minus blue, and green minus the mean of both, over the mean of (N, 3) light."""
    red, green, blue = light.T
    mean = np.maximum(light.mean(axis=1), 10 * LEAST)
    return np.array([red - blue, green - 0.5 * (red + blue)]) / mean


def _sky_colors(frame):
    """`_color` differences of the sky's level, and of the logarithm of its noise: four arrays."""
    some = frame[:, :, ::4]
    sky, steps = _sky_shares(*frame.shape[2:])
    step = some[:, :, :, 1:] - some[:, :, :, :-1]
    np.multiply(step, step, out=step)
    level = some[:, :, :, ::4].reshape(*frame.shape[:2], -1) @ sky
    noise = _log(step.reshape(*frame.shape[:2], -1) @ steps, LEAST_SQUARE)
    return [difference for red, green, blue in (level.T, noise.T)
            for difference in (red - blue, green - 0.5 * (red + blue))]


@functools.cache
def _sky_shares(height, width):
    """Weights of every fourth pixel, and of steps in every fourth row, whose sum is the mean."""
    y, x = (np.abs(np.arange(n) - (n - 1) / 2) * 2.0 / n for n in (height, width))
    radius = np.hypot(y[::4, None], x)
    sky = (radius > SKY[0]) & (radius < SKY[1])
    found = []
    for mask in (sky[:, ::4], sky[:, 1:] & sky[:, :-1]):
        found.append((mask / mask.sum()).astype(np.float32).ravel())
    return found
