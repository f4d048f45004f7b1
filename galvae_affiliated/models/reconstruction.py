# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts beside what the decoder makes of their latents."""

from dataclasses import dataclass

import numpy as np

from galvae_affiliated.models.details import check_details
from galvae_affiliated.models.encoder import Encoder, Encoding

__all__ = ['Reconstruction', 'reconstruct']


@dataclass(frozen=True)
class Reconstruction:
    """
    Cutouts and what is decoded of them; rows that could not be measured are NaN.

    Attributes
    ----------
    frames : (N, 3, grid, grid) float32 array
        What the network saw: red, green, blue in [0, 1].
    decoded : (N, 3, grid, grid) float32 array
        Composites of the latents and the pose, with the details that were asked for.
    encoding : `~galvae_affiliated.models.Encoding`

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.models import reconstruct
    >>> found = reconstruct(get_model().generate(2, random_state=0).images)
    >>> found.residual.shape, found.encoding.latent.shape
    ((2, 3, 128, 128), (2, 40))
    """

    frames: np.ndarray
    decoded: np.ndarray
    encoding: Encoding

    def __len__(self):
        return len(self.frames)

    @property
    def residual(self):
        """(N, 3, grid, grid) float32 array: frames less what is decoded."""
        return self.frames - self.decoded


def reconstruct(cutouts, model=None, *, details='none', random_state=None, engine=None):
    """
    Encode cutouts and decode them again.

    Parameters
    ----------
    cutouts : `~galvae_affiliated.CutoutStack` or (N, 3, grid, grid) array
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    details : {'none', 'galaxy', 'all'}, optional
        What is drawn beside what the latents hold, as of `~galvae_affiliated.models.Encoder.draw`.
        Residuals of drawn details are larger: knots are not where the galaxy has them.
    random_state : int or `numpy.random.Generator`, optional
        Of drawn details.
    engine : `~galvae_affiliated.Engine`, optional

    Returns
    -------
    reconstruction : `Reconstruction`

    Raises
    ------
    ValueError, TypeError
        As `~galvae_affiliated.models.Encoder.encode` raises them, and for other details.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.models import reconstruct
    >>> found = reconstruct(get_model().generate(2, random_state=0).images)
    >>> found.frames.shape, found.decoded.shape
    ((2, 3, 128, 128), (2, 3, 128, 128))
    """
    check_details(details)
    encoder = Encoder(model, engine)
    encoding = encoder.encode(cutouts)
    frames = encoder.frames(cutouts)
    decoded = np.full_like(frames, np.nan)
    rows = np.flatnonzero(encoding.measured)
    if len(rows):
        decoded[rows] = encoder.draw(encoding.latent[rows], encoding.pose[rows], details=details,
                                     random_state=random_state)
    frames[~encoding.measured] = np.nan
    return Reconstruction(frames, decoded, encoding)
