# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A configuration to a bundle, in one call."""

import logging
from pathlib import Path

import numpy as np
from lightning.pytorch.utilities import rank_zero_only

from galvae_affiliated.training.build import build_bundle
from galvae_affiliated.training.data.dataset import read_galaxies
from galvae_affiliated.training.data.labels import check_votes
from galvae_affiliated.training.fit import fit_model

__all__ = ['quiet_logging', 'train_model']



def train_model(config, run, *, name, stacks=None, cache=None, progress=False, **card):
    """
    Train a model and make its bundle.

    A run that was killed goes on from its last checkpoint when it is called
    again with the same folder, and ends with the same model.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    run : str or path
        Folder of the run: checkpoints, logs, rendered images.
    name : str
        Name of the model, which is written on every column that it makes.
    stacks : iterable of (list of str, `~galvae_affiliated.CutoutStack`), optional
        Identifiers and cutouts to train on, in place of ``config.source``.
    cache : str or path, optional
        Folder of the rendered images, if several runs shall share them.
    progress : bool, optional
        Show a bar.
    **card
        ``description``, ``version``, ``license`` and ``about``, as
        `~galvae_affiliated.training.build.build_bundle` takes them.

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle` or None
        None in all but the first process of a run on several devices.

    Raises
    ------
    ValueError
        Before any training, if the configuration and the data do not fit.
    ParityError
        If the exported graphs do not give what PyTorch gives.
    """
    run = Path(run)
    galaxies = read_galaxies(config, run / 'cache' if cache is None else cache, stacks=stacks)
    if galaxies.votes:
        known = np.concatenate([galaxies.train, galaxies.held_out])
        known = known[galaxies.has_votes[known]]  # a teacher's fractions are no votes
        votes = galaxies.votes.values()
        check_votes(galaxies.votes, [v.fractions[known] for v in votes], [v.weight[known] for v in votes])
    module = fit_model(config, galaxies, run, progress=progress)
    if rank_zero_only.rank:
        return None
    return build_bundle(module, galaxies, name=name, **card)


def quiet_logging():
    """The package's warnings on the standard error stream, and no chatter of the libraries; for the command line."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter('galvae: warning: %(message)s'))
    logging.getLogger('galvae_affiliated').handlers = [handler]
    for name in ('lightning', 'lightning.pytorch', 'lightning.fabric', 'torch.onnx'):
        logging.getLogger(name).setLevel(logging.ERROR)
