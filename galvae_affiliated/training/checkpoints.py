# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a run writes, so that it goes on where it was killed."""

import lightning
import torch

LAST = 'last.ckpt'


class RunFile(lightning.Callback):
    """
    Writes the configuration into every checkpoint, so that a run is not resumed as another.

    It writes the last step too, and has to come before the average of the weights, which takes
    their place when training ends.
    """

    def __init__(self, config, path):
        self.config = config
        self.path = path

    def on_save_checkpoint(self, trainer, module, checkpoint):
        checkpoint['galvae_config'] = _lasting_options(self.config)

    def on_train_end(self, trainer, module):
        trainer.save_checkpoint(self.path)


def _lasting_options(config):
    """The options that have to be the same in all parts of a run."""
    may_change = config.marked('may_change')
    return {name: value for name, value in config.options().items() if name not in may_change}


def resumed_step(path, config):
    """
    The step of a checkpoint.

    Parameters
    ----------
    path : path
    config : `~galvae_affiliated.training.TrainingConfig`

    Returns
    -------
    step : int

    Raises
    ------
    ValueError
        If it was of another configuration.
    """
    saved = read_checkpoint(path)
    known = saved.get('galvae_config')
    if known is not None:
        lasting = _lasting_options(config)
        other = [name for name in {**lasting, **known} if known.get(name) != lasting.get(name)]
        if other:
            raise ValueError(f'{path}: this run had another configuration '
                             f'({", ".join(other)}); take another folder')
    return checkpoint_step(path, saved)


def checkpoint_step(path, saved):
    """The number of steps that a checkpoint says it has had."""
    step = saved.get('global_step')
    if not isinstance(step, int):
        raise ValueError(f'{path}: this is not a checkpoint of galvae train: global_step is '
                         f'{step!r}')
    return step


def read_checkpoint(path):
    """
    What a checkpoint holds: tensors and plain values, of which nothing is executed.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    saved : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no checkpoint, or holds other things, which only executing it would restore.
    """
    try:
        saved = torch.load(path, map_location='cpu', weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: there is no such file') from None
    except Exception as error:  # a damaged archive raises whatever it meets
        reason = str(error).partition('\n')[0][:200]
        raise ValueError(f'{path}: this is not a checkpoint of galvae train that can be read; one '
                         f'holds nothing but tensors and plain values ({reason})') from None
    if not isinstance(saved, dict) or not isinstance(saved.get('state_dict'), dict):
        raise ValueError(f'{path}: this is not a checkpoint of galvae train')
    return saved
