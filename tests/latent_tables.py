# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables with simulated latents that state the default model."""

import numpy as np
from astropy.table import Column, Table

from galvae_affiliated import get_model
from galvae_affiliated.models._column import Column as Values
from galvae_affiliated.tables.columns import make_columns

N_LATENTS = 40
N_INFORMATIVE = 8  # latents that vary by more than their errors


def random_latents(n_rows, seed=0):
    """(N, 40) latents of one Gaussian, and their errors: few of them say something."""
    rng = np.random.default_rng(seed)
    spread = np.where(np.arange(N_LATENTS) < N_INFORMATIVE, 1.0, 0.3)
    error = np.where(np.arange(N_LATENTS) < N_INFORMATIVE, 0.2, 1.0)
    latent = (rng.normal(size=(n_rows, N_LATENTS)) * spread).astype(np.float32)
    return latent, np.tile(error, (n_rows, 1)).astype(np.float32)


def latent_table(latent, error=None, *, flags=None, model=None, **columns):
    """A table with latents of a model, identifiers, and more columns."""
    model = get_model(model)
    made = [Values('galvae_latent', latent, 'latents', 'src.morph.param')]
    if error is not None:
        made.append(Values('galvae_latent_err', error, 'errors', 'stat.stdev;src.morph.param'))
    if flags is not None:
        made.append(Values('galvae_flags', np.asarray(flags, dtype=np.int32), 'flags',
                           'meta.code'))
    table = Table([Column([f'J{i:05}' for i in range(len(latent))], name='id_str')])
    table.add_columns(make_columns(made, model))
    for name, values in columns.items():
        table[name] = values
    return table


def simulated(n_rows=400, seed=0, **more):
    """A table of galaxies that are all alike."""
    return latent_table(*random_latents(n_rows, seed), **more)
