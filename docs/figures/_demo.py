# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the figures of the documentation share: the simulated field, its colors, tiles and pages."""

import sys
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from matplotlib.figure import Figure

from galvae_affiliated import get_model

BANDS = 'grz'
PIXEL_SCALE = 0.262  # arcsec
FIELD_OF_VIEW = 5.12  # side of a cutout, in petroR90
MISSING = (0.55, 0.55, 0.6)
TILE = 1.6  # inches
DPI = 120


def out_folder():
    """The folder that the script is told to write to."""
    if len(sys.argv) != 2:
        raise SystemExit(f'usage: {Path(sys.argv[0]).name} FOLDER')
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def field_path():
    return str(files('galvae_affiliated') / 'data' / 'demo_field.fits')


@cache
def field_wcs():
    return WCS(fits.getheader(field_path(), 'r'))


def field_images():
    """A new dict of the bands of the simulated field, in nanomaggies a pixel."""
    with fits.open(field_path()) as hdus:
        return {band: hdus[band].data.astype('f4') for band in BANDS}


def truth(*numbers):
    """Rows of the field's catalogue, by their numbers."""
    table = Table.read(str(files('galvae_affiliated') / 'data' / 'demo_truth.ecsv'))
    return table[[list(table['id']).index(number) for number in numbers]] if numbers else table


def composite(images, pixel_scale=PIXEL_SCALE):
    """
    Image (ny, nx, 3) in [0, 1] in the rendering of the default model; NaN where missing.

    The formula is that of docs/models/graphs.rst.
    """
    entry = next(e for e in get_model().frame.renderings if e.name == 'sdss-grz')
    flux = np.array([images[band] for band in BANDS[::-1]]) / pixel_scale**2
    value = np.array(entry.scales)[:, None, None] * flux + entry.offset
    light = np.nan_to_num(value).clip(0).mean(axis=0).clip(1e-6)
    root = np.sqrt(entry.softening)
    shown = value * np.arcsinh(entry.softening * light) / (root * light)
    return np.moveaxis(shown.clip(0, 1), 0, -1)


def window(picture, x, y, half):
    """A square of a picture around a position, grey where missing or outside."""
    shape = picture.shape[:2]
    offsets = np.arange(-round(half), round(half) + 1)
    rows, columns = round(y) + offsets, round(x) + offsets
    inside = ((rows >= 0) & (rows < shape[0]))[:, None] & ((columns >= 0) & (columns < shape[1]))
    tile = picture[rows.clip(0, shape[0] - 1)[:, None], columns.clip(0, shape[1] - 1)].copy()
    tile[~inside | ~np.isfinite(tile).all(axis=-1)] = MISSING
    return tile


def tile_figure(shape=(1, 1), size=TILE):
    """A figure of square tiles without axes."""
    figure = Figure(figsize=(size * shape[1], size * shape[0]))
    figure.subplots_adjust(0, 0, 1, 1, 0.02, 0.02)
    axes = np.atleast_2d(figure.subplots(*shape))
    for axis in axes.ravel():
        axis.set_axis_off()
    return figure, axes


def save_tile(picture, path, draw=None):
    """One picture as a tile; ``draw(axis)`` adds to it."""
    figure, axes = tile_figure()
    axis = axes[0, 0]
    axis.imshow(picture, origin='lower', interpolation='nearest')
    if draw is not None:
        draw(axis)
    figure.savefig(path, dpi=DPI)


def tiles_page(folder, name, tiles):
    """
    Write the include file of a strip of tiles.

    Parameters
    ----------
    folder : path
        Where the pictures lie.
    name : str
        Of the file, without ``.inc``.
    tiles : list of (picture, alt, lines)
        Below each picture come the lines, in reStructuredText.
    """
    lines = [f'.. made by docs/figures/{Path(sys.argv[0]).name}', '',
             '.. container:: tiles', '']
    for picture, alt, (title, *others) in tiles:
        lines += [f'    .. figure:: /figures/built/{picture}', f'        :alt: {alt}', '',
                  f'        {title}', '', *(f'        | {line}' for line in others), '']
    Path(folder, f'{name}.inc').write_text('\n'.join(lines))
