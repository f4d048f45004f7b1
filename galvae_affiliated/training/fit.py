# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Train a model on a set of galaxies."""

from pathlib import Path

import lightning
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from galvae_affiliated.training.checkpoints import (
    LAST,
    RunFile,
    checkpoint_step,
    read_checkpoint,
    resumed_step,
)
from galvae_affiliated.training.data.module import GalaxyData
from galvae_affiliated.training.objectives.adversarial import AdversarialDecoder
from galvae_affiliated.training.objectives.distil import Distillation
from galvae_affiliated.training.objectives.flow import FlowDecoder
from galvae_affiliated.training.objectives.settling import DecoderSettling
from galvae_affiliated.training.objectives.surveys import SurveyViews
from galvae_affiliated.training.objectives.vae import VAEObjective

__all__ = ['fit_model', 'load_trained']

OBJECTIVES = {'vae': VAEObjective, 'distil': Distillation, 'surveys': SurveyViews,
              'critic': AdversarialDecoder, 'flow': FlowDecoder, 'settling': DecoderSettling}
# the option that asks for one names the model that it starts from
STARTS = {'surveys': 'anchor', 'sharp': 'sharpen', 'distil': 'distil_from'}


def fit_model(config, galaxies, folder, *, logger=None, progress=False, callbacks=()):
    """
    Train, or go on with a run that was killed.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    galaxies : `~galvae_affiliated.training.GalaxySet`
    folder : str or path
        For checkpoints and logs. A run whose last checkpoint is there goes on from it.
    logger : bool or `lightning.pytorch.loggers.Logger`, optional
        None writes ``metrics.csv`` into a folder ``log/from-STEP`` for each part of a run.
    progress : bool or callable, optional
        True shows a bar; a function is called with the steps done and those to do.
    callbacks : sequence of `lightning.Callback`, optional
        More of them.

    Returns
    -------
    module : `~galvae_affiliated.training.objectives.vae.VAEObjective`
        With the averaged weights, after the decoder has settled.

    Raises
    ------
    ValueError
        If the run in ``folder`` had another configuration.
    """
    folder, fit = Path(folder), config.training
    options = {'logger': logger, 'progress': progress, 'callbacks': callbacks}
    module = _fit_objective(_objective(fit), config, galaxies, folder, fit.initial, **options)
    if fit.settling_steps:
        module = _fit_objective(OBJECTIVES['settling'], config, galaxies, folder / 'settling',
                                folder / LAST, **options)
        module.config = config
    return module


def _objective(fit):
    """What a run minimises."""
    asked = [name for name, option in STARTS.items() if getattr(fit, option)]
    if len(asked) > 1:
        options = ' and '.join(STARTS[name] for name in asked)
        raise ValueError(f'training.{options} are both given; expected one of them')
    kind = asked[0] if asked else 'vae'
    return OBJECTIVES[fit.sharpen_by if kind == 'sharp' else kind]


def _fit_objective(objective, config, galaxies, folder, initial, *, logger, progress, callbacks):
    """One part of a run, from its last checkpoint or from the weights of the ``initial`` one."""
    fit = config.training
    lightning.seed_everything(fit.random_state)
    resume = folder / LAST if (folder / LAST).exists() else None
    start = resumed_step(resume, config) if resume else 0
    module = objective(config, galaxies)
    data = GalaxyData(module.config, galaxies, start=start)
    steps = module.config.training.steps
    if initial and not resume:
        module.take_weights(initial)
    if logger is None:
        # a logger replaces the file of an earlier part, so each part has its own
        logger = CSVLogger(folder, name='log', version=f'from-{start}')
    checkpoints = ModelCheckpoint(folder, filename='{step}', save_last=True,
                                  every_n_train_steps=fit.checkpoint_every,
                                  save_on_train_epoch_end=True, enable_version_counter=False)
    callbacks = [RunFile(config, folder / LAST), EMAWeightAveraging(decay=fit.ema_decay),
                 checkpoints, *callbacks]
    if callable(progress):
        callbacks.append(_Progress(progress, steps))
    trainer = lightning.Trainer(
        accelerator=fit.accelerator, devices=fit.devices, strategy=fit.strategy,
        precision=fit.precision, max_steps=steps, default_root_dir=folder, logger=logger,
        use_distributed_sampler=False, callbacks=callbacks, gradient_clip_val=5.0,
        log_every_n_steps=20, enable_progress_bar=progress is True, enable_model_summary=False,
        num_sanity_val_steps=0, limit_val_batches=1.0 if len(galaxies.held_out) else 0,
        check_val_every_n_epoch=None,
        val_check_interval=min(fit.validate_every, max(steps - start, 1)))
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    if len(galaxies.held_out) and module.diagnostics.get('step') != module.global_step:
        trainer.validate(module, datamodule=data, verbose=False)
    return module


class _Progress(lightning.Callback):
    """Calls a function after every step."""

    def __init__(self, update, steps):
        self.update = update
        self.steps = steps

    def on_train_batch_end(self, trainer, *_):
        self.update(trainer.global_step, self.steps)


def load_trained(checkpoint, config, galaxies):
    """
    The model of a checkpoint, with its averaged weights.

    Parameters
    ----------
    checkpoint : str or path
    config : `~galvae_affiliated.training.TrainingConfig`
    galaxies : `~galvae_affiliated.training.GalaxySet`
        The set that it was trained on, for its questions and classes.

    Returns
    -------
    model : `~galvae_affiliated.training.networks.model.GalaxyVAE`
    step : int
        Optimiser steps that it has had.
    """
    saved = read_checkpoint(checkpoint)
    module = VAEObjective(config, galaxies)
    # an objective may have more than the networks: what it remembers of batches, a critic
    own = module.state_dict()
    module.load_state_dict({name: saved['state_dict'][name] for name in own
                            if name in saved['state_dict']})
    return module.model.eval(), checkpoint_step(checkpoint, saved)
