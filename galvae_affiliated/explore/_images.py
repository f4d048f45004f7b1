# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents of one image file, whatever its format."""

from pathlib import Path

import numpy as np

from galvae_affiliated.cutouts.sets import FITS_SUFFIXES, FitsFolder
from galvae_affiliated.flags import UNMEASURED, describe_flags
from galvae_affiliated.models.encoder import Encoder

PICTURE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.gif', '.bmp', '.tif', '.tiff')


def is_image(path):
    """Whether a text is the name of a file of an image."""
    name = str(path).lower()
    return name.endswith((*PICTURE_SUFFIXES, *FITS_SUFFIXES)) and Path(path).is_file()


def encode_image(path, model, *, pixel_scale=None, already_scaled=False, rendering=None,
                 bands=None, unit=None, zero_point=None, engine=None):
    """
    Latents of the galaxy in the middle of an image.

    Parameters
    ----------
    path : str or path
        A color picture (JPEG, PNG and the like), or a FITS cutout with three planes.
    model : `~galvae_affiliated.ModelBundle`
    pixel_scale, already_scaled, rendering, bands, unit, zero_point : optional
        See `~galvae_affiliated.encode_cutout_set`.
    engine : `~galvae_affiliated.Engine`, optional

    Returns
    -------
    latent : (n_latents,) float32 array

    Raises
    ------
    ValueError
        If no galaxy could be measured in it, naming what is known against it.
    """
    path = Path(path)
    shared = {'pixel_scale': pixel_scale, 'already_scaled': already_scaled,
              'rendering': rendering, 'bands': bands}
    if path.name.lower().endswith(FITS_SUFFIXES):
        stack = _fits_stack(path, model.frame, unit=unit, zero_point=zero_point, **shared)
    else:
        stack = _picture_stack(path, model.frame, **shared)
    encoding = Encoder(model, engine).encode(stack, reconstruction=False)
    if encoding.flags[0] & UNMEASURED or not np.isfinite(encoding.latent[0]).all():
        raise ValueError(f'{path}: no galaxy could be measured '
                         f'({", ".join(describe_flags(encoding.flags[0]))})')
    return encoding.latent[0]


def _picture_stack(path, frame, **options):
    from galvae_affiliated.cutouts.composites import CompositeMaker

    maker = CompositeMaker(frame, **options)
    return maker.stack([path.stem], [path.read_bytes()], [None], [None])


def _fits_stack(path, frame, **options):
    folder = FitsFolder(path.parent, frame, **options)
    place = [file.name for file in folder.files].index(path.name)
    stack, = folder.stacks([slice(place, place + 1)])
    return stack
