# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What all that looks at latents begins with: whose they are, which rows count, one metric."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.models.encoder import scalar_names
from galvae_affiliated.models.registry import get_model, list_models
from galvae_affiliated.models.whitening import Whitening
from galvae_affiliated.tables.columns import get_latents, stated_model

# said of all rows of an image: nothing against one of them
OF_THE_IMAGE = int(GalvaeFlags.SCALE_ESTIMATED | GalvaeFlags.FEW_BANDS)
ARTIFACTS = int(GalvaeFlags.ARTIFACT | GalvaeFlags.POINT_SOURCE)
METRICS = ('errors', 'white', 'standard')
MAX_FITTED = 100_000  # rows that means and covariances are estimated from


@dataclass(frozen=True)
class LatentTable:
    """
    Latents of N rows, and which of them may teach something.

    Attributes
    ----------
    model : `~galvae_affiliated.ModelBundle`
        That the latents are of.
    latent : (N, n_latents) float32 array
        NaN in rows that have none.
    flags : (N,) int64 array
        Zero where the table has none.
    error : (N, n_latents) float32 array or None
        Errors of the latents, where the table has them.
    """

    model: object
    latent: np.ndarray
    flags: np.ndarray
    error: np.ndarray | None = None

    def __len__(self):
        return len(self.latent)

    @cached_property
    def measured(self):
        """(N,) bool array : Rows that have latents."""
        return np.isfinite(self.latent).all(axis=1)

    @cached_property
    def clean(self):
        """(N,) bool array : Rows that have latents and no flag: others never fit anything."""
        return self.measured & (self.flags & ~OF_THE_IMAGE == 0)

    @cached_property
    def artifacts(self):
        """(N,) bool array : Rows whose flags say that they may be no galaxy."""
        return self.flags & ARTIFACTS != 0

    def rows(self, rows):
        """The latents of some rows."""
        error = None if self.error is None else self.error[rows]
        return LatentTable(self.model, self.latent[rows], self.flags[rows], error)

    def check_enough(self, n_needed, what):
        """
        Raise if too few rows are without flags.

        Parameters
        ----------
        n_needed : int
        what : str
            That needs them.

        Raises
        ------
        ValueError
            Saying how many there are.
        """
        n_clean = int(self.clean.sum())
        if n_clean < n_needed:
            raise ValueError(f'{n_clean} of {len(self)} rows have latents and no flags; {what} '
                             f'needs {n_needed} of them')


def read_latents(table, model=None):
    """
    Latents and flags of a table.

    Parameters
    ----------
    table : `~astropy.table.Table` or ``pandas.DataFrame``
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        That the latents must be of; None takes the one that the table states. It must be
        named where the table states none.

    Returns
    -------
    latents : `LatentTable`

    Raises
    ------
    KeyError, ModelMismatchError, ValueError
        See `~galvae_affiliated.get_latents`.
    """
    if model is None:
        model = stated_name(table)
    latent = get_latents(table, model)  # which refuses what states no model and is not named
    model = get_model(model)
    names = getattr(table, 'colnames', None) or list(table)
    flags = np.zeros(len(table), dtype=np.int64)
    if 'galvae_flags' in names:
        flags = np.ma.filled(np.ma.asarray(table['galvae_flags']), 0).astype(np.int64)
    return LatentTable(model, latent, flags, _read_errors(table, names, model))


def _read_errors(table, names, model):
    scalar, = scalar_names('galvae_latent_err', 1)
    if 'galvae_latent_err' not in names and scalar not in names:
        return None
    return get_latents(table, model, name='galvae_latent_err')


def join_latents(parts):
    """Rows of several `LatentTable`, one after another."""
    errors = [part.error for part in parts]
    has_errors = all(error is not None for error in errors)
    return LatentTable(parts[0].model, np.concatenate([part.latent for part in parts]),
                       np.concatenate([part.flags for part in parts]),
                       np.concatenate(errors) if has_errors else None)


def stated_name(table):
    """Name of the model that the latents of a table state, if it is known here, else None."""
    for name in ('galvae_latent', *scalar_names('galvae_latent', 1)):
        if name in getattr(table, 'colnames', ()):
            stated = (stated_model(table[name]) or '').partition('@')[0]
            return stated if stated in list_models() else None
    return None


@dataclass(frozen=True)
class Metric:
    """
    A linear map of latents to coordinates, in which distances are Euclidean.

    Attributes
    ----------
    name : str
        See `fit_metric`.
    mean : (n_latents,) array
    matrix : (n_latents, n_coordinates) array
    """

    name: str
    mean: np.ndarray
    matrix: np.ndarray

    def __call__(self, latent):
        """(N, n_coordinates) float32 coordinates of (N, n_latents) latents."""
        return ((latent - self.mean) @ self.matrix).astype(np.float32)


def fit_metric(latents, name=None):
    """
    The metric of the rows without flags.

    Parameters
    ----------
    latents : `LatentTable`
    name : {'errors', 'white', 'standard'}, optional
        'errors' has for unit the root mean square error of each latent: a latent that the
        images do not determine counts little. 'white' gives all directions, and 'standard' all
        latents, the same variance. None takes 'errors' where the table has them, else 'white'.

    Returns
    -------
    metric : `Metric`

    Raises
    ------
    ValueError
        For another name, errors that are not there, or fewer than two rows without flags.
    """
    if name is None:
        name = 'white' if latents.error is None else 'errors'
    if name not in METRICS:
        raise ValueError(f'the metric is {name!r}; expected one of {", ".join(METRICS)}')
    latents.check_enough(2, 'a metric')
    rows = spread(np.flatnonzero(latents.clean), MAX_FITTED)
    values = latents.latent[rows].astype(float)
    if name == 'white':
        whitening = Whitening.fit(values)
        return Metric(name, whitening.mean, whitening.matrix)
    if name == 'standard':
        scale = values.std(axis=0)
    elif latents.error is None:
        raise ValueError("the table has no column galvae_latent_err, which metric='errors' "
                         'needs')
    else:
        scale = np.sqrt(np.nanmean(latents.error[rows].astype(float) ** 2, axis=0))
    scale[~(scale > 0)] = 1.0
    return Metric(name, values.mean(axis=0), np.diag(1.0 / scale))


def spread(rows, n):
    """At most ``n`` of the rows, evenly spaced."""
    if len(rows) <= n:
        return rows
    return rows[np.linspace(0, len(rows) - 1, n).round().astype(int)]
