# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From a trained module to a bundle with its card."""

import dataclasses
import platform

import lightning
import numpy as np
import torch

from galvae_affiliated import __version__
from galvae_affiliated.models._runner import runtime_version
from galvae_affiliated.models.encoder import reduced_chi2
from galvae_affiliated.training.config import PATHS
from galvae_affiliated.training.data.dataset import model_frame
from galvae_affiliated.training.data.labels import question_tree
from galvae_affiliated.training.export.graphs import export_bundle
from galvae_affiliated.training.heads.networks import LabelledLatents
from galvae_affiliated.training.heads.votes import fit_votes
from galvae_affiliated.training.networks.inference import encode_rows, posteriors, reconstruct

__all__ = ['build_bundle']

FAINT = 0.04  # composite level below which a pixel is sky
MEASURED = 2000  # galaxies on which the usual residuals are measured
COMPARED = 56  # real images on which an exported graph is compared; none is kept


def build_bundle(module, galaxies, *, name, description='', version='1', license='not stated', about=None):
    """
    Calibrate, measure, describe and export a trained module.

    The usual residuals of the decoder are measured on the galaxies held out;
    if there are none, on those that were learnt from. The heads are fitted
    anew, as `~galvae_affiliated.training.heads.votes.fit_votes` does.

    Parameters
    ----------
    module : `~galvae_affiliated.training.objectives.vae.VAEObjective`
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`
    name, description, version, license : str
        For the manifest.
    about : dict, optional
        What else the card shall say of the training.

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle`

    Raises
    ------
    ParityError
        If the exported graphs do not give what PyTorch gives.
    """
    config, model, preprocess = module.config, module.model.eval().cpu(), module.preprocess.cpu()
    rows = galaxies.held_out if len(galaxies.held_out) else galaxies.train
    rows = rows[:MEASURED]
    encoded = encode_rows(model, preprocess, galaxies.composites(rows))
    seen = reconstruct(model, preprocess, *encoded)
    floor, slope = residual_variance(*seen)
    fitted = fitted_heads(module, galaxies)
    heads = None if fitted is None else fitted.graph(encoded[0][:COMPARED], half_weights=config.half_weights)
    manifest = {
        'name': name, 'version': version, 'license': license, 'description': description,
        **model_frame(config).manifest,
        'latents': {'n_latents': config.n_latents, 'n_pose': config.n_pose},
        'questions': {} if fitted is None else question_tree(config.questions),
        **({} if fitted is None else fitted.manifest),
        'reconstruction': {'floor': floor, 'slope': slope,
                           'chi2_99': float(np.quantile(reduced_chi2(*seen, floor, slope), 0.99))},
        'training': {**describe_training(module, galaxies), **(about or {})},
    }
    return export_bundle(manifest, preprocess, model, heads, extra_images=galaxies.composites(rows[:COMPARED]),
                         half_weights=config.half_weights, float16=config.float16)


def describe_training(module, galaxies):
    """What a reader of the card has to know, and what it takes to repeat the run."""
    config = module.config
    train = galaxies.train
    return {
        'galaxies': len(train), 'galaxies with votes': int(galaxies.has_votes[train].sum()),
        'galaxies with a coarse class': int((galaxies.classes[train] >= 0).sum()) if config.class_weight else 0,
        'held out': len(galaxies.held_out), 'data sha256': galaxies.fingerprint,
        'steps': config.steps, 'random_state': config.random_state,
        'views a step': (1 if config.distil_from else config.views) * config.batch_size,
        'diagnostics': module.diagnostics, 'config': without_paths(dataclasses.asdict(config)),
        'versions': {'python': platform.python_version(), 'galvae_affiliated': __version__,
                     'torch': torch.__version__, 'lightning': lightning.__version__, 'numpy': np.__version__,
                     'onnxruntime': runtime_version()},
    }


def without_paths(config):
    """The configuration with the names of files in place of their paths: a bundle is given to others."""
    return {key: str(value).replace('\\', '/').rsplit('/', 1)[-1]
            if key in PATHS else value for key, value in config.items()}


def fitted_heads(module, galaxies):
    """Heads for the latents as they are now; None if the model answers no question."""
    config, model = module.config, module.model
    if model.heads is None:
        return None
    known = np.sort(np.concatenate([galaxies.train, galaxies.held_out]))
    known = known[galaxies.has_votes[known]]
    latent, error = posteriors(model, module.preprocess, galaxies, known)
    data = LabelledLatents(latent, error, *galaxies.vote_tensors(known), torch.from_numpy(galaxies.unselected[known]),
                           torch.from_numpy(np.isin(known, galaxies.held_out)))
    questions = list(question_tree(config.questions))
    return fit_votes(data, questions, config.head if config.n_heads else model.heads, members=config.n_heads,
                     steps=config.head_steps, n_volunteers=config.n_volunteers, random_state=config.random_state)


def residual_variance(decoded, frame, weight):
    """Variance of each channel's residuals at the sky's level, and how it grows with the decoded light."""
    square = (decoded - frame) ** 2
    faint = weight * (decoded < FAINT)
    everywhere = (weight * square).sum((0, 2, 3)) / weight.sum((0, 2, 3))
    n_faint = faint.sum((0, 2, 3))
    # images without sky, as of a set that is cut close, have one variance
    floor = np.where(n_faint > 0, (faint * square).sum((0, 2, 3)) / np.maximum(n_faint, 1.0), everywhere)
    excess = weight * decoded * (square - floor.reshape(1, 3, 1, 1))
    slope = excess.sum((0, 2, 3)) / np.maximum((weight * decoded ** 2).sum((0, 2, 3)), 1e-9)
    return [max(float(x), 1e-6) for x in floor], [max(float(x), 0.0) for x in slope]
