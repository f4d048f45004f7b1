# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""All columns of what a model says of cutouts: latents, morphology, and other quantities that it was taught."""

from dataclasses import replace

import numpy as np

from galvae_affiliated.columns import artifact_flags, encoding_columns, morphology_columns
from galvae_affiliated.encoder import Encoding
from galvae_affiliated.morphology import predict_morphology
from galvae_affiliated.targets import target_columns

__all__ = ['planned_names', 'result_columns']


def planned_names(bundle, *, reconstruction, **options):
    """
    Names of the columns that a call will add, so that they, and wrong options, can be refused before the work.

    Parameters
    ----------
    bundle : `~galvae_affiliated.ModelBundle`
    reconstruction : bool
    **options
        Of `result_columns`.

    Returns
    -------
    names : list of str
    """
    latent, pose, none = np.zeros((0, bundle.n_latents)), np.zeros((0, bundle.n_pose)), np.zeros(0)
    flags = np.zeros(0, dtype=np.int32)
    encoding = Encoding(latent, latent, pose, none if reconstruction else None, flags, none, none)
    return [c.name for c in result_columns(encoding, bundle, **options)]


def result_columns(encoding, bundle, *, split, morphology, coverage=0.9, samples=0, device='auto'):
    """
    Columns of an `~galvae_affiliated.encoder.Encoding`.

    Parameters
    ----------
    encoding : `~galvae_affiliated.encoder.Encoding`
    bundle : `~galvae_affiliated.ModelBundle`
    split : bool
        A scalar column a latent.
    morphology : bool
        With the predicted votes.
    coverage, samples, device : optional
        See `~galvae_affiliated.add_morphology`.

    Returns
    -------
    columns : list of `~astropy.table.MaskedColumn`
    """
    # an engine for networks as small as these is not worth its building
    device, predicted = device.replace('tensorrt', 'cuda'), []
    if morphology and bundle.questions:
        votes = predict_morphology(encoding.latent, bundle, errors=encoding.latent_err, samples=samples, device=device)
        encoding = replace(encoding, flags=encoding.flags | artifact_flags(votes, bundle))
        predicted = morphology_columns(votes, bundle, coverage=coverage)
    return [*encoding_columns(encoding, bundle, split=split), *predicted, *targets_of(encoding, bundle, device)]


def targets_of(encoding, bundle, device):
    """Columns of the quantities that a model was taught; none if there are none."""
    needed = bundle.manifest.get('targets', {}).get('radius')
    radius = encoding.radius * encoding.pixel_scale if needed == 'arcsec' else encoding.radius
    return target_columns(encoding.latent, radius, bundle, device=device)
