# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which columns are asked for: their names before the work, and the columns after it."""

from dataclasses import dataclass, replace

import numpy as np

from galvae_affiliated.models.encoder import Encoding
from galvae_affiliated.models.engine import Engine
from galvae_affiliated.models.image_statistics import STATISTICS
from galvae_affiliated.models.quantities import predict_quantities
from galvae_affiliated.models.votes import predict_votes, set_thresholds
from galvae_affiliated.tables.columns import make_columns

__all__ = ['Outputs']


@dataclass(frozen=True)
class Outputs:
    """
    Which columns are asked for.

    Parameters
    ----------
    morphology : bool, optional
        The predicted vote fractions, answers and prediction sets.
    coverage : float or None, optional
        Share of the galaxies whose prediction set holds the most voted answer, from 0.5 to
        0.99; None leaves the sets out.
    n_samples : int, optional
        Latents to draw from each posterior, for intervals of the fractions; 0 leaves these
        out, 32 are enough.
    reconstruction : bool, optional
        ``galvae_recon_chi2``; it costs about half of the time.
    applicability : bool, optional
        How like the training images each one is, with reasons, if the model can say it and
        ``reconstruction`` is true.
    scalar_columns : bool, optional
        A scalar column a latent, for formats without vector columns.

    Examples
    --------
    >>> from galvae_affiliated import Outputs, get_model
    >>> Outputs(morphology=False, reconstruction=False).names(get_model())[:4]
    ['galvae_latent', 'galvae_latent_err', 'galvae_pose', 'galvae_radius']
    """

    morphology: bool = True
    coverage: float | None = 0.9
    n_samples: int = 0
    reconstruction: bool = True
    applicability: bool = True
    scalar_columns: bool = False

    def names(self, model):
        """
        Names of the columns, so that they, and wrong options, can be refused before the work.

        Parameters
        ----------
        model : `~galvae_affiliated.ModelBundle`

        Returns
        -------
        names : list of str

        Raises
        ------
        ValueError
            If the model cannot give what is asked for.
        """
        return [column.name for column in self.columns(self.no_rows(model), model)]

    def no_rows(self, model):
        """An `~galvae_affiliated.models.Encoding` without rows."""
        latent = np.zeros((0, model.n_latents), dtype=np.float32)
        pose = np.zeros((0, model.n_pose), dtype=np.float32)
        none = np.zeros(0, dtype=np.float32)
        flags = np.zeros(0, dtype=np.int32)
        statistics = np.zeros((0, len(STATISTICS))) if self._says_applicability(model) else None
        return Encoding(latent, latent, pose, none if self.reconstruction else None, flags,
                        none, none, statistics=statistics)

    def columns(self, encoding, model, engine=None, *, radius_unit=None):
        """
        All there is to say of some rows.

        Parameters
        ----------
        encoding : `~galvae_affiliated.models.Encoding`
        model : `~galvae_affiliated.ModelBundle`
        engine : `~galvae_affiliated.Engine`, optional
        radius_unit : `~astropy.units.Unit`, optional
            Of the radii; see `~galvae_affiliated.models.Encoding.columns`.

        Returns
        -------
        columns : list of `~astropy.table.MaskedColumn`
        """
        engine = engine or Engine()
        predicted = []
        if self.morphology and model.questions:
            thresholds = set_thresholds(model, self.coverage)
            votes = predict_votes(encoding.latent, model, engine, errors=encoding.latent_err,
                                  n_samples=self.n_samples)
            encoding = replace(encoding, flags=encoding.flags | votes.artifact_flags())
            predicted += votes.columns(thresholds, self.coverage)
        if model.manifest.quantities:
            radius = encoding.radius_in(model.manifest.quantities.radius)
            predicted += predict_quantities(encoding.latent, radius, model, engine).columns()
        if self._says_applicability(model):
            applicability = model.applicability.test(encoding)
            encoding = replace(encoding, flags=encoding.flags | applicability.flags())
            predicted += applicability.columns()
        own = encoding.columns(scalar_columns=self.scalar_columns, radius_unit=radius_unit)
        return make_columns([*own, *predicted], model, engine.precision)

    def _says_applicability(self, model):
        """Whether there are columns of how like the training images each one is."""
        wanted = self.applicability and self.reconstruction
        return wanted and model.manifest.applicability is not None
