# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Quantities that a bundle predicts from the latents, as columns with errors."""

import astropy.units as u
import numpy as np

from galvae_affiliated.columns import column, get_latents, with_columns
from galvae_affiliated.morphology import HEADS_BATCH
from galvae_affiliated.positions import numbers
from galvae_affiliated.registry import get_model

__all__ = ['add_targets', 'target_columns']

TARGETS = 'targets.onnx'


def add_targets(table, bundle=None, *, overwrite=False, device='auto'):
    """
    Predict the bundle's target quantities from the latents of a table.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        With latents of this bundle, or of the one that the targets were added
        to, and ``galvae_radius`` if the targets need it. Not changed.
    bundle : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    overwrite : bool, optional
        Replace columns of the same names.
    device : {'auto', 'cpu', 'cuda'}, optional

    Returns
    -------
    table : `~astropy.table.Table`
        A new table with the columns of `target_columns`.

    Raises
    ------
    ValueError
        If the bundle has no targets, the radii have another kind of unit than the bundle needs, or the columns exist.
    KeyError
        If there are no latents, or no radii where they are needed.
    ModelMismatchError
        If the latents are of another model.
    """
    bundle = get_model(bundle)
    if 'targets' not in bundle.manifest:
        raise ValueError(f'the model {bundle.id} predicts no targets; galvae_affiliated.training.targets adds them')
    columns = target_columns(get_latents(table, bundle), radius_for(table, bundle), bundle, device=device)
    return with_columns(table, columns, overwrite=overwrite)


def target_columns(latents, radius, bundle, *, device='auto'):
    """
    Columns of the quantities that a bundle predicts.

    Parameters
    ----------
    latents : (N, n_latents) array
        NaN in rows that have none.
    radius : (N,) array or None
        petroR90 in the unit that the manifest states at ``targets``; NaN where
        not known. Not used if the targets do without it.
    bundle : `~galvae_affiliated.ModelBundle`
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
    about = bundle.manifest.get('targets')
    if about is None:
        return []
    inputs = {'latent': np.asarray(latents)}
    rows = np.isfinite(inputs['latent']).all(axis=1)
    if about['radius'] is not None:
        if np.shape(radius) != rows.shape:
            raise ValueError(f'the radii have shape {np.shape(radius)}; the targets of {bundle.id} need {rows.shape}, '
                             f"in '{about['radius']}'")
        inputs['radius'] = np.ma.filled(np.ma.asarray(radius, dtype=float), np.nan)
        rows &= np.isfinite(inputs['radius']) & (inputs['radius'] > 0)
    values, errors = np.full((2, len(rows), len(about['names'])), np.nan)
    if rows.any():
        runner = bundle.runner('targets', device=device, batch_size=HEADS_BATCH)
        values[rows], errors[rows] = runner({k: v[rows] for k, v in inputs.items()}, ['values', 'errors'])
    columns = []
    for i, name in enumerate(about['names']):
        unit = target_unit(about['units'].get(name))
        columns.append(column(f'galvae_{name}', values[:, i], f'predicted {name}', 'stat.fit.param', bundle, unit=unit))
        columns.append(column(f'galvae_{name}_err', errors[:, i], f'error of predicted {name}', 'stat.error', bundle,
                              unit=unit))
    return columns


def target_unit(text):
    """The unit that a text or a unit states, None for None; those of photometry are known too."""
    with u.add_enabled_units(u.photometric):
        return None if text is None else u.Unit(text)


def radius_for(table, bundle):
    """(N,) radii of a table in the unit that the targets need, NaN where masked; None if they need none."""
    needed = bundle.manifest['targets']['radius']
    if needed is None:
        return None
    if 'galvae_radius' not in table.colnames:
        raise KeyError(f'the targets of {bundle.id} need the column galvae_radius; the table has none')
    if table['galvae_radius'].unit is None:
        raise ValueError(f"column 'galvae_radius' states no unit; expected '{needed}'")
    return numbers(table['galvae_radius'], 'galvae_radius', u.Unit(needed))
