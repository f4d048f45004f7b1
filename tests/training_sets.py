# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A tiny set of galaxies to train on, as a Parquet file and as a folder of FITS cutouts."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from PIL import Image

from galvae_affiliated.training import TrainingConfig

N, GRID = 48, 32
PIXEL = 0.262  # arcsec, of the FITS cutouts
QUESTIONS = {'how-rounded': {'answers': ['round', 'cigar'], 'parent': None}}
# the smallest networks that learn anything
TINY = {
    'n_latents': 4,
    'n_pose': 2,
    'grid': GRID,
    'widths': (8, 16),
    'depths': (1, 1),
    'decoder_widths': (16, 8),
    'batch_size': 8,
    'steps': 40,
    'learning_rate': 5e-3,
    'max_shift': 1.0,
    'ema_decay': 0.8,
    'n_heads': 2,
    'head_steps': 30,
    'accelerator': 'cpu',
    'precision': '32-true',
    'float16': False,  # another export of each graph
}
PARQUET_LABELS = {
    'questions': QUESTIONS,
    'suffix': '-gz2',
    'class_column': 'kind',
    'split_column': 'split',
    'validation_split': 'test',
}


def tiny(preset='guided', **options):
    """A configuration that trains in a second or two."""
    config = TrainingConfig.of_preset(preset)
    single = {'n_pose': config.model.n_pose} if preset != 'guided' else {}
    return TrainingConfig.of_preset(preset, **{**TINY, **single, **options})


def is_round(i):
    return i % 2 == 0


def has_votes(i):
    """Every third galaxy has none."""
    return i % 3 > 0


def galaxy(i, side=GRID, scale=4.0):
    """(side, side) light of a galaxy, 1 in the middle, at an angle of its own."""
    angle, ratio = 1.7 * i, 1.0 if is_round(i) else 0.3
    x = np.arange(side) - (side - 1) / 2
    major = x[None] * np.cos(angle) + x[:, None] * np.sin(angle)
    minor = (x[:, None] * np.cos(angle) - x[None] * np.sin(angle)) / ratio
    return np.exp(-np.hypot(major, minor) / scale)


def png(i):
    """Bytes of a composite."""
    noise = np.random.default_rng(i).normal(0, 3, (GRID, GRID, 1))
    pixels = np.clip(230 * galaxy(i)[..., None] * np.array([1.0, 0.8, 0.6]) + noise, 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, 'PNG')
    return buffer.getvalue()


def rows(n=N):
    """A row a galaxy, as Galaxy Zoo's Parquet sets have them."""
    return [
        {
            'id_str': f'galaxy{i}',
            'image': {'bytes': png(i), 'path': ''},
            'split': 'test' if i >= 40 else 'train',
            'kind': 'round' if is_round(i) else 'cigar',
            'how-rounded-gz2_reach': 0.9 if has_votes(i) else None,
            'how-rounded-gz2_round_fraction': float(is_round(i)) if has_votes(i) else None,
            'how-rounded-gz2_cigar_fraction': float(not is_round(i)) if has_votes(i) else None,
        }
        for i in range(n)
    ]


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_cube(path, i, side=64, scale=3.0):
    """A FITS cutout of g, r and z in nanomaggies, whose header states none of this."""
    noise = np.random.default_rng(i).normal(0, [[[0.001]], [[0.002]], [[0.005]]], (3, side, side))
    light = galaxy(i, side, scale) * np.array([0.6, 1.0, 1.5])[:, None, None]
    fits.writeto(path, (5.0 * light + noise).astype(np.float32))


def label_table(names):
    """Votes of the cutouts by name; every third galaxy has none."""
    i = np.arange(len(names))
    table = Table({'name': names})
    for answer, share in {'round': i % 2 == 0, 'cigar': i % 2 == 1}.items():
        table[f'how-rounded_{answer}_fraction'] = MaskedColumn(share, mask=i % 3 == 0, dtype=float)
    table['checked'] = i % 4 == 1
    return table


def toml(**sections):
    """Text of a TOML file; a dictionary is a section or, in one, an inline table."""

    def value(x):
        if isinstance(x, bool):
            return str(x).lower()
        if isinstance(x, dict):
            return (
                '{' + ', '.join(f'"{k}" = {value(v)}' for k, v in x.items() if v is not None) + '}'
            )
        if isinstance(x, (list, tuple)):
            return '[' + ', '.join(map(value, x)) + ']'
        return f"'{x}'" if isinstance(x, str) else repr(x)

    lines = []
    for name, options in sections.items():
        lines += [f'[{name}]', *(f'{k} = {value(v)}' for k, v in options.items())]
    return '\n'.join(lines)


def tiny_toml(preset='guided', data=None, **training):
    """Text of a TOML file of `tiny`."""
    single = ('n_pose',) if preset != 'guided' else ()
    model = {
        k: TINY[k]
        for k in ('n_latents', 'n_pose', 'grid', 'widths', 'decoder_widths')
        if k not in single
    }
    training = {
        **{
            k: TINY[k]
            for k in (
                'batch_size',
                'steps',
                'learning_rate',
                'accelerator',
                'precision',
                'ema_decay',
                'float16',
            )
        },
        **training,
    }
    return toml(
        data=data or {},
        model={'preset': preset, **model},
        augmentation={'max_shift': 1.0},
        training=training,
    )
