# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
An example of every flag: the simulated field, changed so that the package sets it.

    python docs/figures/flags.py FOLDER

Each example is encoded; if its row has not the flag, this is an error.
"""

import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _demo import (
    BANDS,
    FIELD_OF_VIEW,
    PIXEL_SCALE,
    composite,
    field_images,
    out_folder,
    save_tile,
    tiles_page,
    truth,
    window,
)
from astropy.convolution import Gaussian2DKernel, convolve_fft
from astropy.table import Table
from PIL import Image

from galvae_affiliated import (
    GalvaeFlags,
    describe_flags,
    encode_catalog,
    encode_cutout_set,
    flag_meanings,
    get_model,
)

SPIRAL, BARRED = 10, 15  # numbers in the catalogue
SIGMA_TO_FWHM = 2.3548


class Example:
    """What is encoded, what is shown of it, and what was done to it."""

    def __init__(self, about, images, x, y, r90, *, pixel_scale=PIXEL_SCALE, zoom=1.0, **options):
        self.about, self.images, self.x, self.y, self.r90 = about, images, x, y, r90
        self.pixel_scale, self.zoom, self.options = pixel_scale, zoom, options

    def row(self):
        """The encoded row."""
        catalog = Table({'x': [self.x], 'y': [self.y]})
        options = {'unit': 'nmgy', 'pixel_scale': self.pixel_scale, **self.options}
        if self.r90 is not None:
            options['radius'] = np.array([self.r90])
            options['radius_unit'] = 'pix'
        return encode_catalog(self.images, catalog, **options)[0]

    def draw(self, path):
        picture = composite({band: self.images.get(band, self.images['r']) for band in BANDS},
                            self.pixel_scale)
        if len(self.images) == 1:
            picture = np.repeat(picture.mean(axis=-1, keepdims=True), 3, axis=-1)
        r90 = self.r90 if self.r90 and self.r90 > 0 else 20.0
        half = 0.5 * FIELD_OF_VIEW * r90 * self.zoom
        x, y = np.nan_to_num([self.x, self.y], nan=430.0)
        save_tile(window(picture, x, y, max(half, 6)), path)


def galaxy(number):
    """Position and petroR90, all in pixels, of a galaxy of the field."""
    row = truth(number)[0]
    return float(row['x']), float(row['y']), float(row['petro_r90']) / PIXEL_SCALE


def around(images, x, y, half):
    """The images cut to a square, and the position in it."""
    x0, y0 = int(x - half), int(y - half)
    part = slice(y0, y0 + int(2 * half)), slice(x0, x0 + int(2 * half))
    return {band: image[part].copy() for band, image in images.items()}, x - x0, y - y0


def blurred(images, fwhm):
    """The images convolved with a Gaussian of so many pixels."""
    kernel = Gaussian2DKernel(fwhm / SIGMA_TO_FWHM)
    return {band: convolve_fft(image, kernel).astype('f4') for band, image in images.items()}


def binned(images, n):
    """Sums of n by n pixels."""
    return {band: image[:image.shape[0] // n * n, :image.shape[1] // n * n]
            .reshape(image.shape[0] // n, n, -1, n).sum(axis=(1, 3))
            for band, image in images.items()}


def noisy(images, factor):
    """The images with noise added, in units of the field's own."""
    rng = np.random.default_rng(1)
    return {band: image + rng.normal(scale=factor * np.std(image[:40, :200]), size=image.shape)
            .astype('f4') for band, image in images.items()}


def changed():
    """Examples of a known galaxy, by the name of the flag."""
    images = field_images()
    x, y, r90 = galaxy(SPIRAL)
    hole = {band: image.copy() for band, image in images.items()}
    stripe = {band: image.copy() for band, image in images.items()}
    side = 0.55 * FIELD_OF_VIEW * r90
    for band in BANDS:
        hole[band][int(y - side):int(y + side), int(x - side):int(x + side)] = np.nan
        stripe[band][:, int(x + 8):int(x + 16)] = np.nan
    cut, cut_x, cut_y = around(images, x, y, 4 * r90)
    edge = {band: image[:, int(cut_x - 0.6 * r90):] for band, image in cut.items()}
    small = binned(cut, 22)
    flat = {band: np.full((60, 60), 0.02, 'f4') for band in BANDS}
    far = around(images, *galaxy(BARRED)[:2], 3 * galaxy(BARRED)[2])
    return {
        'BAD_POSITION': Example('x and y are NaN', images, np.nan, np.nan, r90),
        'OFF_IMAGE': Example('x is -70, left of the image', images, -70.0, y, r90),
        'NO_DATA': Example('all pixels are NaN', hole, x, y, r90, zoom=1.5),
        'NO_RADIUS': Example('no radius given, in an even image', flat, 30.0, 30.0, None),
        'BAD_RADIUS': Example('the radius is -99', images, x, y, -99.0),
        'EDGE': Example('half a galaxy', edge, 0.6 * r90, cut_y, r90),
        'MISSING_PIXELS': Example('a gap of 8 pixels', stripe, x, y, r90),
        'SMALL': Example('pixels of 5.8 arcsec', small, (cut_x + 0.5) / 22 - 0.5,
                         (cut_y + 0.5) / 22 - 0.5, r90 / 22, pixel_scale=22 * PIXEL_SCALE),
        'FAINT': Example('25 times the noise', noisy(far[0], 25.0), *far[1:],
                         galaxy(BARRED)[2]),
        'SCALE_ESTIMATED': Example('no unit, no zero point', images, x, y, r90, unit=None),
        'FEW_BANDS': Example('the r band alone', {'r': images['r']}, x, y, r90),
        'UNRESOLVED': Example('a seeing of 8 arcsec', blurred(far[0], 8.0 / PIXEL_SCALE), *far[1:],
                              galaxy(BARRED)[2], psf_fwhm=8.0),
    }


def detected():
    """Detected sources of the field that have a flag, and their rows, by its name."""
    images = field_images()
    trail = {band: image.copy() for band, image in images.items()}
    rows, columns = np.arange(860), np.arange(860)
    trail['r'][rows, (0.35 * columns + 300).astype(int).clip(0, 859)] += 0.4
    tables = {'field': (images, encode_catalog(images, None, unit='nmgy', pixel_scale=PIXEL_SCALE)),
              'trail': (trail, encode_catalog(trail, None, unit='nmgy', pixel_scale=PIXEL_SCALE))}
    wanted = {'POOR_FIT': ('field', 'what the decoder cannot draw'),
              'ARTIFACT': ('trail', 'a trail of one band'),
              'RADIUS_UNCERTAIN': ('field', 'a radius that neighbours leave uncertain'),
              'POINT_SOURCE': ('field', 'a star'),
              'BLENDED': ('field', 'a knot of a brighter galaxy')}
    found = {}
    for name, (which, about) in wanted.items():
        shown, table = tables[which]
        row = clearest(table, name, shown['r'])
        found[name] = Example(about, shown, float(row['x_centroid']), float(row['y_centroid']),
                              float(np.asarray(row['galvae_radius'])) / PIXEL_SCALE), row
    return found


def clearest(table, name, image):
    """The row with a flag that has the fewest others, and of these the brightest."""
    flags = np.asarray(table['galvae_flags'])
    rows = np.flatnonzero((flags & GalvaeFlags[name]) != 0)
    if len(rows) == 0:
        raise RuntimeError(f'no detected source has the flag {name}')
    n_flags = [len(describe_flags(flags[row])) for row in rows]
    peaks = image[np.rint(table['y_centroid'][rows]).astype(int),
                  np.rint(table['x_centroid'][rows]).astype(int)]
    return table[int(rows[np.lexsort((-peaks, n_flags))[0]])]


def unreadable():
    """The row of a picture whose file was cut off."""
    content = io.BytesIO()
    Image.new('RGB', (128, 128)).save(content, 'PNG')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'cutouts.parquet')
        pq.write_table(pa.table({'id_str': ['1'], 'image': [content.getvalue()[:60]]}), path)
        return encode_cutout_set(path, already_scaled=True)[0]


def unlike_training():
    """Example and row of what is no galaxy, if the default model can tell; else None."""
    if get_model().manifest.applicability is None:
        return None
    rng = np.random.default_rng(2)
    noise = {band: rng.normal(scale=0.5, size=(200, 200)).astype('f4') for band in BANDS}
    wrong = dict(zip(BANDS, [field_images()[band] for band in reversed(BANDS)]))
    for example in (Example('bands in the wrong order', wrong, *galaxy(SPIRAL)),
                    Example('noise', noise, 100.0, 100.0, 25.0)):
        row = example.row()
        if row['galvae_flags'] & GalvaeFlags.UNLIKE_TRAINING:
            return example, row
    return None


def main():
    folder = out_folder()
    warnings.simplefilter('ignore')  # the examples are what is warned of
    rows, abouts = {}, {}
    for name, example in changed().items():
        rows[name], abouts[name] = example.row(), example.about
        example.draw(folder / f'flag-{name}.png')
    found = detected()
    unlike = unlike_training()
    if unlike is not None:
        found['UNLIKE_TRAINING'] = unlike
    for name, (example, row) in found.items():
        rows[name], abouts[name] = row, example.about
        example.draw(folder / f'flag-{name}.png')
    rows['UNREADABLE'], abouts['UNREADABLE'] = unreadable(), 'a PNG file that is cut off'
    save_tile(np.full((2, 2, 3), 0.6), folder / 'flag-UNREADABLE.png',
              lambda axis: axis.text(0.5, 0.5, '?', ha='center', va='center', fontsize=40))
    tiles = []
    for name in (name for name in flag_meanings() if name in rows):
        flags = describe_flags(rows[name]['galvae_flags'])
        if name not in flags:
            raise RuntimeError(f'the example of {name} has the flags {flags}')
        others = ', '.join(f'``{other}``' for other in flags if other != name)
        text = [f'``{name}``', abouts[name], *[f'also {others}'] * bool(others)]
        tiles.append((f'flag-{name}.png', f'an example of {name}', text))
    tiles_page(folder, 'flags', tiles)


if __name__ == '__main__':
    main()
