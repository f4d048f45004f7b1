# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts of sets and fields that are named on a command line, as NAME=FILE,OPTION=VALUE."""

import numpy as np
import pyarrow.parquet as pq

from galvae_affiliated import make_cutouts
from galvae_affiliated.cutouts.sets import open_cutout_set
from galvae_affiliated.cutouts.stack import join_stacks
from galvae_affiliated.scripts._common import parse_pairs


def split_words(text):
    """'NAME=FILE,OPTION=VALUE' as name, file and options; numbers are read as such."""
    name, _, rest = text.partition('=')
    path, _, words = rest.partition(',')
    options = parse_pairs(words, name)
    for key, value in options.items():
        try:
            options[key] = float(value)
        except ValueError:
            options[key] = {'yes': True, 'no': False}.get(value, value)
    return name, path, options


def set_stack(path, model, n, split=None, random_state=0, **options):
    """Cutouts of ``n`` rows of a Parquet set, at random, of one split."""
    source = open_cutout_set(path, model.frame, **options)
    rows = np.arange(len(source))
    if split is not None:
        its = np.array(pq.read_table(path, columns=['split'])['split'].to_pylist())
        rows = np.flatnonzero(its == split)
    rows = np.sort(np.random.default_rng(random_state).permutation(rows)[:n])
    stacks = list(source.stacks(slice(row, row + 1) for row in rows))
    return join_stacks(stacks, model.grid)


def field_stack(path, model, n, bands=None, **options):
    """Cutouts of the sources of a field, ``n`` at most; files that are joined by + are bands."""
    files = path.split('+')
    bands = None if bands is None else bands.replace('+', ',')
    images = files[0] if len(files) == 1 else files
    return make_cutouts(images, None, model, bands=bands, **options)[:n]
