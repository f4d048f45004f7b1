# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""All columns of what a model says of cutouts: latents, morphology, and other quantities that it was taught."""

from dataclasses import replace

import numpy as np

from galvae_affiliated.models.encoder import Encoding
from galvae_affiliated.models.quantities import quantity_columns
from galvae_affiliated.models.votes import predict_votes
from galvae_affiliated.tables.columns import artifact_flags, encoding_columns, vote_columns

__all__ = ['planned_names', 'result_columns']



def planned_names(model, *, reconstruction, **options):
    """
    Names of the columns that a call will add, so that they, and wrong options, can be refused before the work.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    reconstruction : bool
    **options
        Of `result_columns`.

    Returns
    -------
    names : list of str
    """
    latent, pose, none = np.zeros((0, model.n_latents)), np.zeros((0, model.n_pose)), np.zeros(0)
    flags = np.zeros(0, dtype=np.int32)
    encoding = Encoding(latent, latent, pose, none if reconstruction else None, flags, none, none)
    return [c.name for c in result_columns(encoding, model, **options)]


def result_columns(encoding, model, *, split, morphology, coverage=0.9, n_samples=0, device='auto'):
    """
    Columns of an `~galvae_affiliated.models.encoder.Encoding`.

    Parameters
    ----------
    encoding : `~galvae_affiliated.models.encoder.Encoding`
    model : `~galvae_affiliated.ModelBundle`
    split : bool
        A scalar column a latent.
    morphology : bool
        With the predicted votes.
    coverage, n_samples, device : optional
        See `~galvae_affiliated.add_morphology`.

    Returns
    -------
    columns : list of `~astropy.table.MaskedColumn`
    """
    # an engine for networks as small as these is not worth its building
    device, predicted = device.replace('tensorrt', 'cuda'), []
    if morphology and model.questions:
        votes = predict_votes(encoding.latent, model, errors=encoding.latent_err, n_samples=n_samples, device=device)
        encoding = replace(encoding, flags=encoding.flags | artifact_flags(votes, model))
        predicted = vote_columns(votes, model, coverage=coverage)
    return [*encoding_columns(encoding, model, split=split), *predicted, *quantities_of(encoding, model, device)]


def quantities_of(encoding, model, device):
    """Columns of the quantities that a model was taught; none if there are none."""
    needed = model.manifest.get('targets', {}).get('radius')
    radius = encoding.radius * encoding.pixel_scale if needed == 'arcsec' else encoding.radius
    return quantity_columns(encoding.latent, radius, model, device=device)
