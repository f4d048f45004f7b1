# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A configuration to a bundle, in one call."""

from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from galvae_affiliated.models.registry import get_model
from galvae_affiliated.training.build import build_bundle
from galvae_affiliated.training.data.dataset import read_galaxies
from galvae_affiliated.training.data.labels import check_votes
from galvae_affiliated.training.export.generator import code_correction, with_generator
from galvae_affiliated.training.fit import fit_model

__all__ = ['train_model']


def train_model(config, folder, *, name, stacks=None, cache=None, progress=False, **card):
    """
    Train a model and make its bundle.

    A run that was killed goes on from its last checkpoint when it is called
    again with the same folder, and ends with the same model.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    folder : str or path
        Of the run: checkpoints, logs, rendered images.
    name : str
        Name of the model, which is written on every column that it makes. A model that is
        sharpened keeps its own.
    stacks : iterable of (list of str, `~galvae_affiliated.CutoutStack`), optional
        Identifiers and cutouts to train on, in place of ``config.data.source``.
    cache : str or path, optional
        Folder of the rendered images, if several runs shall share them.
    progress : bool or callable, optional
        True shows a bar; a function is called with the steps done and those to do.
    **card
        ``description``, ``version``, ``license`` and ``about``, as
        `~galvae_affiliated.training.build_bundle` takes them.

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

    Examples
    --------
    A run takes minutes to hours:

    >>> from galvae_affiliated.training import read_config, train_model
    >>> config = read_config('mine.toml')  # doctest: +SKIP
    >>> model = train_model(config, 'run', name='mine', progress=True)  # doctest: +SKIP
    >>> model.write('mine.galvae')  # doctest: +SKIP
    """
    folder = Path(folder)
    galaxies = read_galaxies(config, folder / 'cache' if cache is None else cache, stacks=stacks)
    if galaxies.votes:
        votes = [one.subset(galaxies.voted) for one in galaxies.votes.values()]
        check_votes(galaxies.votes, [v.fractions for v in votes], [v.weight for v in votes])
    module = fit_model(config, galaxies, folder, progress=progress)
    if rank_zero_only.rank:
        return None
    if config.training.sharpen:
        return with_generator(get_model(config.training.sharpen), module.cpu(), card.get('about'),
                              code_correction(module, galaxies))
    return build_bundle(module, galaxies, name=name, **card)
