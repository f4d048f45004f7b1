# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Small pictures: sheets of many for a page, or one at a time."""

import base64
import io
from dataclasses import dataclass

import numpy as np

__all__ = ['Sheets', 'encode_picture', 'make_sheets', 'shrink']

PER_SIDE = 10  # pictures a side of a sheet: so few that a browser decodes one for one picture
# side in pixels and quality of WebP, from the best that a page may have room for
CHOICES = ((128, 80), (96, 75), (64, 70), (48, 60), (48, 45), (48, 30), (32, 50), (32, 30),
           (24, 30))
TRIED = 4  # sheets by which the size of all is judged
MARGIN = 1.08  # of that judgement


@dataclass(frozen=True)
class Sheets:
    """
    Pictures of N points, a hundred a sheet, in their order.

    Attributes
    ----------
    side : int
        Pixels of a picture.
    quality : int
        Of WebP, to 100.
    contents : list of str
        Base64 of WebP, a sheet each.
    """

    side: int
    quality: int
    contents: list


def make_sheets(pictures, n, room, report=None):
    """
    The best pictures that fit.

    Parameters
    ----------
    pictures : callable
        From an (n,) int array of points, and a side or None for the largest, to (n, side, side,
        3) uint8 pictures.
    n : int
        Number of points.
    room : int
        Characters that all sheets may have.
    report : callable, optional
        Called with the number of points done, and ``n``.

    Returns
    -------
    sheets : `Sheets`

    Raises
    ------
    ValueError
        If not even the smallest pictures fit.
    """
    side, quality = _choose(pictures, n, room)
    contents = []
    for points in _sheet_points(n):
        contents.append(_encode_sheet(pictures(points, side), quality))
        if report is not None:
            report(int(points[-1]) + 1, n)
    return Sheets(side, quality, contents)


def _sheet_points(n):
    size = PER_SIDE**2
    return [np.arange(start, min(start + size, n)) for start in range(0, n, size)]


def _choose(pictures, n, room):
    """Side and quality of the first choice that fits, judged by some sheets."""
    everything = _sheet_points(n)
    tried = everything[::max(1, len(everything) // TRIED)][:TRIED]
    originals = [np.moveaxis(pictures(points, None), -1, 1) / np.float32(255)
                 for points in tried]
    for side, quality in CHOICES:
        length = sum(len(_encode_sheet(shrink(some, side), quality)) for some in originals)
        if MARGIN * length / sum(map(len, tried)) * n <= room:
            return side, quality
    raise ValueError(f'pictures of {n} rows do not fit in {room} bytes; show fewer rows')


def shrink(pictures, side):
    """
    Pictures of fewer pixels, each the mean of those that it covers.

    Parameters
    ----------
    pictures : (N, 3, grid, grid) array
        In [0, 1].
    side : int
        At most ``grid``; more leaves them as they are.

    Returns
    -------
    pictures : (N, side, side, 3) uint8 array
    """
    grid = pictures.shape[-1]
    if side < grid:
        edges = np.arange(side + 1) * (grid / side)
        low, high = edges[:-1, None], edges[1:, None]
        place = np.arange(grid)
        # share of each old pixel in each new one
        share = np.clip(np.minimum(high, place + 1) - np.maximum(low, place), 0.0, 1.0)
        share = (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
        pictures = share @ pictures @ share.T
    levels = np.rint(255.0 * np.clip(pictures, 0.0, 1.0)).astype(np.uint8)
    return np.moveaxis(levels, 1, -1)


def _encode_sheet(pictures, quality):
    """Base64 of WebP of up to a hundred pictures, (n, side, side, 3) uint8."""
    n, side = pictures.shape[:2]
    n_lines = -(-n // PER_SIDE)
    sheet = np.zeros((n_lines * PER_SIDE, side, side, 3), dtype=np.uint8)
    sheet[:n] = pictures
    sheet = sheet.reshape(n_lines, PER_SIDE, side, side, 3).swapaxes(1, 2)
    sheet = sheet.reshape(n_lines * side, PER_SIDE * side, 3)
    return base64.b64encode(encode_picture(sheet, quality)).decode('ascii')


def encode_picture(picture, quality=85):
    """
    WebP of one picture.

    Parameters
    ----------
    picture : (ny, nx, 3) uint8 array
    quality : int, optional
        To 100.

    Returns
    -------
    content : bytes
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, 'WEBP', quality=quality, method=4)
    return file.getvalue()
