# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Train models on PyTorch and export them; needs the ``train`` extra."""

from galvae_affiliated.training.config import PRESETS, TrainingConfig, read_config

__all__ = ['PRESETS', 'TrainingConfig', 'read_config']
