# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Columns of the quantities that a model was taught."""

import astropy.units as u

from galvae_affiliated.models.quantities import quantity_columns
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.sources.positions import numeric_column
from galvae_affiliated.tables.columns import get_latents, with_columns

__all__ = ['add_quantities']



def add_quantities(table, model=None, *, overwrite=False, device='auto'):
    """
    Predict the bundle's target quantities from the latents of a table.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        With latents of this bundle, or of the one that the targets were added
        to, and ``galvae_radius`` if the targets need it. Not changed.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
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
    model = get_model(model)
    if 'targets' not in model.manifest:
        raise ValueError(f'the model {model.id} predicts no targets; galvae_affiliated.training.heads.quantities adds them')
    columns = quantity_columns(get_latents(table, model), radius_for(table, model), model, device=device)
    return with_columns(table, columns, overwrite=overwrite)


def radius_for(table, model):
    """(N,) radii of a table in the unit that the targets need, NaN where masked; None if they need none."""
    needed = model.manifest['targets']['radius']
    if needed is None:
        return None
    if 'galvae_radius' not in table.colnames:
        raise KeyError(f'the targets of {model.id} need the column galvae_radius; the table has none')
    if table['galvae_radius'].unit is None:
        raise ValueError(f"column 'galvae_radius' states no unit; expected '{needed}'")
    return numeric_column(table['galvae_radius'], 'galvae_radius', u.Unit(needed))
