# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pictures that a decoder draws, in files: strips, films, and images beside their residuals."""

import numpy as np
from astropy.io import fits
from astropy.table import Table

from galvae_affiliated.tables.columns import make_columns

__all__ = ['composite_bytes', 'write_film', 'write_reconstruction', 'write_strip']

GAP = 2  # pixels between pictures
FRAME_TIME = 120  # milliseconds of a film


def write_reconstruction(reconstruction, path, model):
    """
    Write cutouts, what is decoded of them, the residuals and the latents as a FITS file.

    Parameters
    ----------
    reconstruction : `~galvae_affiliated.models.Reconstruction`
        Of N cutouts.
    path : str or path
    model : `~galvae_affiliated.ModelBundle`
        Whose id is in the header and in the metadata of the columns.

    Notes
    -----
    The extensions ``IMAGE``, ``DECODED`` and ``RESIDUAL`` have the axes (N, 3, grid, grid) in
    NumPy's order, the channels red, green, blue; ``LATENTS`` is a table of N rows.
    """
    primary = fits.PrimaryHDU()
    primary.header['MODEL'] = model.id, 'that decoded these cutouts'
    images = [fits.ImageHDU(values, name=name) for name, values in (
        ('IMAGE', reconstruction.frames), ('DECODED', reconstruction.decoded),
        ('RESIDUAL', reconstruction.residual))]
    table = fits.table_to_hdu(Table(make_columns(reconstruction.encoding.columns(), model)))
    table.name = 'LATENTS'
    fits.HDUList([primary, *images, table]).writeto(path, overwrite=True)


def write_strip(pictures, path):
    """
    Write composites side by side as a PNG file.

    Parameters
    ----------
    pictures : (N, 3, ny, nx) array in [0, 1]
    path : str or path
    """
    from PIL import Image

    pictures = composite_bytes(pictures)
    n, height, width, _ = pictures.shape
    strip = np.zeros((height, n * (width + GAP) - GAP, 3), dtype=np.uint8)
    for i, picture in enumerate(pictures):
        strip[:, i * (width + GAP):i * (width + GAP) + width] = picture
    Image.fromarray(strip).save(path, 'PNG')


def write_film(pictures, path):
    """
    Write composites one after another, and back, as a GIF file.

    Parameters
    ----------
    pictures : (N, 3, ny, nx) array in [0, 1]
    path : str or path
    """
    from PIL import Image

    there = composite_bytes(pictures)
    first, *others = map(Image.fromarray, [*there, *there[-2:0:-1]])
    first.save(path, 'GIF', save_all=True, append_images=others, duration=FRAME_TIME, loop=0)


def composite_bytes(pictures):
    """(N, ny, nx, 3) uint8 array of (N, 3, ny, nx) composites in [0, 1]."""
    return np.clip(np.rint(np.moveaxis(pictures, 1, -1) * 255.0), 0, 255).astype(np.uint8)
