# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a run writes, so that it goes on where it was killed."""

import lightning
import torch

LAST = 'last.ckpt'
# what may differ between two parts of a run
FREE = ('accelerator', 'devices', 'strategy', 'validate_every', 'checkpoint_every', 'source', 'labels', 'teacher',
        'initial', 'distil_from', 'half_weights', 'float16', 'head', 'n_heads', 'head_steps', 'n_volunteers')


class RunFile(lightning.Callback):
    """
    Writes the configuration into every checkpoint, so that a run is not resumed as another, and the last step too.

    It has to come before the average of the weights, which takes their place when training ends.
    """

    def __init__(self, config, path):
        self.config, self.path = config, path

    def on_save_checkpoint(self, trainer, module, checkpoint):
        checkpoint['galvae_config'] = config_stamp(self.config)

    def on_train_end(self, trainer, module):
        trainer.save_checkpoint(self.path)


def config_stamp(config):
    return {name: value for name, value in vars(config).items() if name not in FREE}


def resumed_step(path, config):
    """The step of a checkpoint, or an error if it was of another configuration."""
    saved = torch.load(path, map_location='cpu', weights_only=False)
    known = saved.get('galvae_config')
    if known is not None and known != config_stamp(config):
        other = [name for name, value in config_stamp(config).items() if known.get(name) != value]
        raise ValueError(f'{path}: this run had another configuration ({", ".join(other)}); take another folder')
    return int(saved['global_step'])


def load_weights(model, path):
    """Take what fits of a checkpoint's weights: all but the heads of other questions."""
    saved = torch.load(path, map_location='cpu', weights_only=False)['state_dict']
    weights = {name.removeprefix('model.'): value for name, value in saved.items() if name.startswith('model.')}
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    if not any(name.startswith('encoder.') for name in fitting):
        raise ValueError(f'{path}: this checkpoint is of another network')
    model.load_state_dict(fitting, strict=False)
