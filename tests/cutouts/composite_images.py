# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Colour composites of one galaxy, and Parquet files of them, which tests of cutouts share."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from galvae_affiliated.catalog import encode_cutout_set
from galvae_affiliated.flags import describe_flags

FAST = {'morphology': False, 'reconstruction': False}
R90 = 3.88  # of an exponential, in scale lengths


COLOR = (1.0, 0.95, 0.85)


def composite(side=128, r90=25.0, *, sky=15, shape=None, color=COLOR):
    """8-bit composite (H, W, 3) of an exponential galaxy in the middle."""
    height, width = shape or (side, side)
    y, x = np.mgrid[:height, :width]
    light = 180 * np.exp(-np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) * R90 / r90)
    noise = np.random.default_rng(0).normal(0, 2, (height, width))
    bands = light[..., None] * color + (sky + noise)[..., None]
    return np.clip(bands, 0, 255).astype(np.uint8)


def encoded(pixels, kind='JPEG', **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


GOOD = encoded(composite())


def write(path, images, ids=None, **columns):
    """A Parquet file as Galaxy Zoo's: ``image`` is a struct of bytes and path."""
    images = [None if image is None else {'bytes': image, 'path': None} for image in images]
    kind = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
    ids = [f'galaxy {i}' for i in range(len(images))] if ids is None else ids
    pq.write_table(pa.table({'id_str': ids, 'image': pa.array(images, kind), **columns}), path)
    return path


def encode_in(folder):
    """A function that encodes a list of images as a set."""

    def function(images, columns=None, **options):
        path = write(folder / 'set.parquet', images, **(columns or {}))
        return encode_cutout_set(path, **{**FAST, **options})

    return function


def flags(table):
    return [describe_flags(value) for value in table['galvae_flags']]
