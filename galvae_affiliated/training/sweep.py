# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How many latents does it take? Models of several sizes, measured on galaxies held out."""

from pathlib import Path

import numpy as np
from astropy.table import Table

from galvae_affiliated.training.data.dataset import read_galaxies
from galvae_affiliated.training.evaluate.images import image_mse, image_ssim, noiseless_ssim
from galvae_affiliated.training.evaluate.votes import latent_scores
from galvae_affiliated.training.fit import fit_model
from galvae_affiliated.training.networks.inference import encode_rows, posteriors, reconstruct

__all__ = ['sweep_latents']

MAX_COMPARED = 500  # galaxies whose images are compared
MAX_LEARNT = 5000  # galaxies with votes that a classifier is fitted on


def sweep_latents(config, latents, folder, *, progress=False):
    """
    Train a model for each number of latents and measure it on the galaxies held out.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    latents : sequence of int
    folder : str or path
        Each model's run is in one of its folders, and goes on if it was killed.
    progress : bool or callable, optional
        See `~galvae_affiliated.training.train_model`.

    Returns
    -------
    table : `~astropy.table.Table`
        A row a model: ``n_latents``, ``active`` (latents that hold something),
        ``mse`` (of composites in [0, 1], over the circle that is seen),
        ``ssim``, ``ssim_noiseless`` (what a perfect reconstruction without
        noise would get), and of a logistic regression of the votes on the
        latents ``auc`` and ``balanced_accuracy``, NaN without votes.

    Raises
    ------
    ValueError
        If there are not two numbers of latents, or no galaxy is held out.

    Examples
    --------
    Each model is a run of its own:

    >>> from galvae_affiliated.plotting import draw_sweep
    >>> from galvae_affiliated.training import read_config, sweep_latents
    >>> config = read_config('mine.toml')  # doctest: +SKIP
    >>> table = sweep_latents(config, [8, 16, 32, 64], 'runs')  # doctest: +SKIP
    >>> draw_sweep(table, 'sweep.png')  # doctest: +SKIP
    """
    if len(latents) < 2 or any(n < 1 for n in latents):
        raise ValueError(f'latents is {list(latents)}; expected two numbers or more, each at '
                         'least 1')
    folder = Path(folder)
    configs = [config.replaced(n_latents=n) for n in sorted(set(latents))]
    galaxies = read_galaxies(config, folder / 'cache')
    if not len(galaxies.held_out):
        raise ValueError('no galaxy is held out to measure on; raise data.validation_share')
    compared = galaxies.held_out[:MAX_COMPARED]
    rows, decoded = [], []
    for one in configs:
        run = folder / f'latents-{one.model.n_latents}'
        module = fit_model(one, galaxies, run, progress=progress)
        row, images = _measure_model(module, galaxies, compared)
        rows.append(row)
        decoded.append(images)
    # the largest model's images are the best guess of the galaxies without their noise
    ceiling = noiseless_ssim(decoded[-1], galaxies.composites(compared).numpy())
    return Table([{**row, 'ssim_noiseless': ceiling} for row in rows])


def _measure_model(module, galaxies, compared):
    """The row of one model, and its reconstructions."""
    model, preprocess = module.model.eval(), module.preprocess
    encoded = encode_rows(model, preprocess, galaxies.composites(compared))
    decoded, frame, weight = reconstruct(model, preprocess, *encoded)
    auc, balanced = _vote_scores(model, preprocess, galaxies)
    return {'n_latents': module.config.model.n_latents,
            'active': module.diagnostics['active latents'],
            'mse': image_mse(decoded, frame, weight), 'ssim': image_ssim(decoded, frame),
            'auc': auc, 'balanced_accuracy': balanced}, decoded


def _vote_scores(model, preprocess, galaxies):
    """Area and balanced accuracy of a regression on the latents; NaN without votes."""
    rows = [some[galaxies.has_votes[some]] for some in (galaxies.train, galaxies.held_out)]
    rows[0] = rows[0][:MAX_LEARNT]
    if not len(rows[0]) or not len(rows[1]):
        return np.nan, np.nan
    found = []
    for some in rows:
        found.append(posteriors(model, preprocess, galaxies, some)[0].numpy())
        found.append({name: votes.subset(some) for name, votes in galaxies.votes.items()})
    return latent_scores(*found)
