# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Other quantities that a model was taught, predicted from latents."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.units import photometric

from galvae_affiliated.models._column import Column

__all__ = ['PredictedQuantities', 'predict_quantities']


@dataclass(frozen=True)
class PredictedQuantities:
    """
    Predicted quantities of N galaxies; NaN where the latents or the radius are missing.

    Attributes
    ----------
    names : tuple of str
    units : mapping of str to str
    values, errors : (N, n_names) float arrays

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.models import PredictedQuantities
    >>> found = PredictedQuantities(('sersic_n',), {}, np.array([[2.0]]), np.array([[0.4]]))
    >>> [column.name for column in found.columns()]
    ['galvae_sersic_n', 'galvae_sersic_n_err']
    """

    names: tuple
    units: dict
    values: np.ndarray
    errors: np.ndarray

    def columns(self):
        """``galvae_<name>`` and ``galvae_<name>_err`` a quantity, in its unit."""
        columns = []
        for i, name in enumerate(self.names):
            unit = quantity_unit(self.units.get(name))
            columns += [Column(f'galvae_{name}', self.values[:, i], f'predicted {name}',
                               'stat.fit.param', unit),
                        Column(f'galvae_{name}_err', self.errors[:, i],
                               f'error of predicted {name}', 'stat.error', unit)]
        return columns


def predict_quantities(latents, radius, model, engine):
    """
    Predict the quantities that a model was taught.

    Parameters
    ----------
    latents : (N, n_latents) array
        NaN in rows that have none.
    radius : (N,) array or None
        petroR90 in the unit that ``model.manifest.quantities.radius`` states, NaN where
        missing; models whose quantities need no radius do without it.
    model : `~galvae_affiliated.ModelBundle`
        With quantities.
    engine : `~galvae_affiliated.Engine`

    Returns
    -------
    quantities : `PredictedQuantities`

    Raises
    ------
    ValueError
        If radii are needed and there are none, or another number of them than of latents.

    Examples
    --------
    The packaged model was taught no quantities; ``galvae fit-heads`` teaches them:

    >>> from galvae_affiliated import Engine, get_model
    >>> from galvae_affiliated.models import predict_quantities
    >>> model = get_model('with_mass.galvae')  # doctest: +SKIP
    >>> predict_quantities(latents, radius, model, Engine()).columns()  # doctest: +SKIP
    """
    table = model.manifest.quantities
    inputs = {'latent': np.asarray(latents)}
    rows = np.isfinite(inputs['latent']).all(axis=1)
    if table.radius is not None:
        if np.shape(radius) != rows.shape:
            raise ValueError(f'the radii have shape {np.shape(radius)}; the quantities of '
                             f"{model.id} need {rows.shape}, in '{table.radius}'")
        inputs['radius'] = np.ma.filled(np.ma.asarray(radius, dtype=float), np.nan)
        rows &= np.isfinite(inputs['radius']) & (inputs['radius'] > 0)
    values, errors = np.full((2, len(rows), len(table.names)), np.nan)
    if rows.any():
        known = {name: array[rows] for name, array in inputs.items()}
        runner = engine.runner(model, 'quantities')
        values[rows], errors[rows] = runner(known, ['values', 'errors'])
    return PredictedQuantities(table.names, table.units, values, errors)


def quantity_unit(text):
    """The unit that a text or a unit states, None for None; those of photometry are known too."""
    with u.add_enabled_units(photometric):
        return None if text is None else u.Unit(text)
