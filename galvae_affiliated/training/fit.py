# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Train a model on a set of galaxies."""

from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from galvae_affiliated.training.checkpoints import LAST, RunFile, load_weights, resumed_step
from galvae_affiliated.training.objectives.vae import DecoderSettling, VAEObjective

__all__ = ['fit_model', 'load_trained']



def fit_model(config, galaxies, folder, *, logger=None, progress=False, callbacks=()):
    """
    Train, or go on with a run that was killed.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`
    folder : str or path
        For checkpoints and logs. A run whose last checkpoint is there goes on from it.
    logger : bool or `lightning.pytorch.loggers.Logger`, optional
        None writes ``metrics.csv`` into a folder ``log/from-STEP`` for each part of a run.
    progress : bool, optional
        Show a bar.
    callbacks : sequence of `lightning.Callback`, optional
        More of them.

    Returns
    -------
    module : `Training`
        With the averaged weights, after the decoder has settled.

    Raises
    ------
    ValueError
        If the run in ``folder`` had another configuration.
    """
    options = {'logger': logger, 'progress': progress, 'callbacks': callbacks}
    module = fit_part(objective_of(config), config, galaxies, Path(folder), config.initial, **options)
    if config.settling_steps:
        module = fit_part(DecoderSettling, config, galaxies, Path(folder) / 'settling', Path(folder) / LAST, **options)
        module.config = config
    return module


def objective_of(config):
    """The kind of `Training` that a configuration asks for."""
    if not config.distil_from:
        return VAEObjective
    # which is built on this module
    from galvae_affiliated.training.objectives.distil import Distillation

    return Distillation


def fit_part(kind, config, galaxies, folder, initial, *, logger, progress, callbacks):
    """One part of a run, from the last checkpoint in its folder or from the ``initial`` one's weights."""
    lightning.seed_everything(config.random_state)
    resume = folder / LAST if (folder / LAST).exists() else None
    start = resumed_step(resume, config) if resume else 0
    module = kind(config, galaxies, start=start)
    steps = module.config.steps
    if initial and not resume:
        load_weights(module.model, initial)
    if logger is None:
        # a logger replaces the file of an earlier part, so each part has its own
        logger = CSVLogger(folder, name='log', version=f'from-{start}')
    checkpoints = ModelCheckpoint(folder, filename='{step}', every_n_train_steps=config.checkpoint_every,
                                  save_last=True, save_on_train_epoch_end=True, enable_version_counter=False)
    trainer = lightning.Trainer(
        accelerator=config.accelerator, devices=config.devices, strategy=config.strategy, precision=config.precision,
        max_steps=steps, default_root_dir=folder, logger=logger, use_distributed_sampler=False,
        callbacks=[RunFile(config, folder / LAST), EMAWeightAveraging(decay=config.ema_decay), checkpoints, *callbacks],
        gradient_clip_val=5.0, log_every_n_steps=20, enable_progress_bar=progress, enable_model_summary=False,
        num_sanity_val_steps=0, limit_val_batches=1.0 if len(galaxies.held_out) else 0, check_val_every_n_epoch=None,
        val_check_interval=min(config.validate_every, max(steps - start, 1)))
    trainer.fit(module, ckpt_path=resume)
    if len(galaxies.held_out) and module.diagnostics.get('step') != module.global_step:
        trainer.validate(module, verbose=False)
    return module


def load_trained(checkpoint, config, galaxies):
    """
    The model of a checkpoint, with its averaged weights.

    Parameters
    ----------
    checkpoint : str or path
    config : `~galvae_affiliated.training.TrainingConfig`
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`
        The set that it was trained on, for its questions and classes.

    Returns
    -------
    model : `~galvae_affiliated.training.networks.model.GalaxyVAE`
    step : int
        Optimiser steps that it has had.
    """
    saved = torch.load(checkpoint, weights_only=False, map_location='cpu')
    module = VAEObjective(config, galaxies)
    module.load_state_dict(saved['state_dict'])
    return module.model.eval(), int(saved['global_step'])
