from .adapt.run import adapt_model
from .build import build_bundle
from .config import PRESETS, TrainingConfig, read_config
from .data.dataset import GalaxySet, read_galaxies
from .data.labels import read_labels
from .heads.refit import fit_new_heads, fit_new_quantities
from .run import train_model
from .sweep import sweep_latents

__all__ = [
    'PRESETS',
    'GalaxySet',
    'TrainingConfig',
    'adapt_model',
    'build_bundle',
    'fit_new_heads',
    'fit_new_quantities',
    'read_config',
    'read_galaxies',
    'read_labels',
    'sweep_latents',
    'train_model',
]
