# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Other quantities that a model was taught, predicted from latents."""

import astropy.units as u
import numpy as np

from galvae_affiliated.models.votes import HEADS_BATCH
from galvae_affiliated.tables.columns import make_column

__all__ = ['quantity_columns']

QUANTITIES = 'targets.onnx'


def quantity_columns(latents, radius, model, *, device='auto'):
    """
    Columns of the quantities that a bundle predicts.

    Parameters
    ----------
    latents : (N, n_latents) array
        NaN in rows that have none.
    radius : (N,) array or None
        petroR90 in the unit that the manifest states at ``targets``; NaN where
        not known. Not used if the targets do without it.
    model : `~galvae_affiliated.ModelBundle`
    device : {'auto', 'cpu', 'cuda'}, optional

    Returns
    -------
    columns : list of `~astropy.table.MaskedColumn`
        ``galvae_<name>`` and ``galvae_<name>_err`` a target, in its unit,
        masked where the latents or the radius are missing; none if the bundle
        has no targets.

    Raises
    ------
    ValueError
        If the targets need radii and there are none, or their number is another than that of the latents.
    """
    about = model.manifest.get('targets')
    if about is None:
        return []
    inputs = {'latent': np.asarray(latents)}
    rows = np.isfinite(inputs['latent']).all(axis=1)
    if about['radius'] is not None:
        if np.shape(radius) != rows.shape:
            raise ValueError(f'the radii have shape {np.shape(radius)}; the targets of {model.id} need {rows.shape}, '
                             f"in '{about['radius']}'")
        inputs['radius'] = np.ma.filled(np.ma.asarray(radius, dtype=float), np.nan)
        rows &= np.isfinite(inputs['radius']) & (inputs['radius'] > 0)
    values, errors = np.full((2, len(rows), len(about['names'])), np.nan)
    if rows.any():
        runner = model.runner('targets', device=device, batch_size=HEADS_BATCH)
        values[rows], errors[rows] = runner({k: v[rows] for k, v in inputs.items()}, ['values', 'errors'])
    columns = []
    for i, name in enumerate(about['names']):
        unit = quantity_unit(about['units'].get(name))
        columns.append(make_column(f'galvae_{name}', values[:, i], f'predicted {name}', 'stat.fit.param', model, unit=unit))
        columns.append(make_column(f'galvae_{name}_err', errors[:, i], f'error of predicted {name}', 'stat.error', model,
                              unit=unit))
    return columns


def quantity_unit(text):
    """The unit that a text or a unit states, None for None; those of photometry are known too."""
    with u.add_enabled_units(u.photometric):
        return None if text is None else u.Unit(text)
