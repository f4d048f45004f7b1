# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How many latents does it take? Models of several sizes on the same galaxies, measured on those held out."""

import dataclasses
from pathlib import Path

import numpy as np
from astropy.table import Table

from galvae_affiliated.training.data.dataset import read_galaxies
from galvae_affiliated.training.evaluate.images import noiseless_ssim, ssim_of
from galvae_affiliated.training.evaluate.votes import morphology_scores
from galvae_affiliated.training.fit import fit_model
from galvae_affiliated.training.networks.inference import encode_rows, reconstruct

__all__ = ['sweep_latents']

COMPARED = 500  # galaxies whose images are compared


def sweep_latents(config, latents, run, *, progress=False):
    """
    Train a model for each number of latents and measure it on the galaxies held out.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    latents : sequence of int
    run : str or path
        A folder; each model's run is in one of its folders, and goes on if it was killed.
    progress : bool, optional

    Returns
    -------
    table : `~astropy.table.Table`
        A row a model: ``n_latents``, ``active`` (latents that say something),
        ``mse`` (of composites in [0, 1], over the circle that is seen),
        ``ssim``, ``ssim_noiseless`` (what a perfect reconstruction without
        noise would get), and of a logistic regression of the votes on the
        latents ``auc`` and ``balanced_accuracy``, NaN without votes.

    References
    ----------
    Wang, Z. et al. 2004, IEEE Trans. Image Processing 13, 600 (SSIM).
    """
    if len(latents) < 2 or any(n < 1 for n in latents):
        raise ValueError(f'latents is {list(latents)}; expected two numbers or more, each at least 1')
    run, latents = Path(run), sorted(set(latents))
    configs = [dataclasses.replace(config, n_latents=n) for n in latents]
    galaxies = read_galaxies(config, run / 'cache')
    if not len(galaxies.held_out):
        raise ValueError('no galaxy is held out to measure on; raise data.validation_share')
    rows, decoded = [], []
    for one in configs:
        folder = run / f'latents-{one.n_latents}'
        module = fit_model(one, galaxies, folder, progress=progress)
        row, images = measure_model(module, galaxies)
        rows.append(row)
        decoded.append(images)
    # the largest model's images are the best guess of the galaxies without their noise
    ceiling = noiseless_ssim(decoded[-1], galaxies.composites(compared_rows(galaxies)).numpy())
    return Table([{**row, 'ssim_noiseless': ceiling} for row in rows])


def compared_rows(galaxies):
    return galaxies.held_out[:COMPARED]


def measure_model(module, galaxies):
    """The row of one model, and its reconstructions."""
    model, preprocess = module.model.eval(), module.preprocess
    images = galaxies.composites(compared_rows(galaxies))
    latent, pose, frame, weight = encode_rows(model, preprocess, images)
    decoded, frame, weight = reconstruct(model, preprocess, latent, pose, frame, weight)
    auc, balanced = morphology_scores(model, preprocess, galaxies)
    ssim = np.mean([ssim_of(a, b) for a, b in zip(decoded, frame)])
    return {'n_latents': module.config.n_latents, 'active': module.diagnostics['active latents'],
            'mse': float((weight * (decoded - frame) ** 2).sum() / weight.sum()), 'ssim': float(ssim),
            'auc': auc, 'balanced_accuracy': balanced}, decoded
