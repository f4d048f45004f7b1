# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From a trained module to a bundle with its card."""

import platform

import lightning
import numpy as np
import torch

from galvae_affiliated import __version__
from galvae_affiliated.models._sessions import runtime_version
from galvae_affiliated.models.encoder import reduced_chi2
from galvae_affiliated.training.data.degrade import in_grey
from galvae_affiliated.training.data.labels import question_tree
from galvae_affiliated.training.data.rendered import frame_entries
from galvae_affiliated.training.export.graphs import export_bundle
from galvae_affiliated.training.heads.choice import head_estimator
from galvae_affiliated.training.heads.estimators import GuideHeads
from galvae_affiliated.training.heads.labelled import LabelledLatents
from galvae_affiliated.training.heads.votes import fit_votes
from galvae_affiliated.training.networks.inference import encode_rows, posteriors, reconstruct

__all__ = ['build_bundle']

FAINT = 0.04  # composite level below which a pixel is sky
MAX_MEASURED = 2000  # galaxies on which the usual residuals are measured
MAX_COMPARED = 56  # real images on which an exported graph is compared; none is kept


def build_bundle(module, galaxies, *, name, description='', version='1', license='not stated',
                 about=None):
    """
    Calibrate, measure, describe and export a trained module.

    The usual residuals of the decoder are measured on the galaxies held out;
    if there are none, on those that were learnt from. The heads are fitted
    anew, as `~galvae_affiliated.training.heads.votes.fit_votes` does.

    Parameters
    ----------
    module : `~galvae_affiliated.training.objectives.vae.VAEObjective`
    galaxies : `~galvae_affiliated.training.GalaxySet`
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

    Examples
    --------
    After a run whose module is at hand; `~galvae_affiliated.training.train_model` calls it:

    >>> from galvae_affiliated.training import build_bundle
    >>> bundle = build_bundle(module, galaxies, name='mine')  # doctest: +SKIP
    >>> bundle.write('mine.galvae')  # doctest: +SKIP
    """
    config = module.config
    half_weights = config.training.half_weights
    model, preprocess = module.model.eval().cpu(), module.preprocess.cpu()
    rows = galaxies.held_out if len(galaxies.held_out) else galaxies.train
    rows = rows[:MAX_MEASURED]
    encoded = encode_rows(model, preprocess, galaxies.composites(rows))
    seen = reconstruct(model, preprocess, *encoded)
    floor, slope = _residual_variance(*seen)
    fitted = _fitted_heads(module, galaxies)
    questions, heads, heads_entries = {}, None, {}
    if fitted is not None:
        questions = question_tree(config.data.questions)
        heads = fitted.graph(encoded[0][:MAX_COMPARED], half_weights=half_weights)
        heads_entries = fitted.manifest
    chi2 = reduced_chi2(*seen, floor, slope)
    manifest = {
        'name': name, 'version': version, 'license': license, 'description': description,
        **frame_entries(config),
        'latents': {'n_latents': config.model.n_latents, 'n_pose': config.model.n_pose},
        'questions': questions,
        **heads_entries,
        'reconstruction': {'floor': floor, 'slope': slope,
                           'chi2_99': float(np.quantile(chi2, 0.99))},
        'training': {**_describe_training(module, galaxies), **(about or {})},
    }
    return export_bundle(manifest, preprocess, model, heads,
                         extra_images=galaxies.composites(rows[:MAX_COMPARED]),
                         half_weights=half_weights, float16=config.training.float16)


def _describe_training(module, galaxies):
    """What a reader of the card has to know, and what it takes to repeat the run."""
    config, train = module.config, galaxies.train
    n_classes = int((galaxies.classes[train] >= 0).sum()) if config.loss.class_weight else 0
    views = 1 if config.training.distil_from else config.model.views
    return {
        'galaxies': len(train),
        'galaxies with votes': int(galaxies.has_votes[train].sum()),
        'galaxies with a coarse class': n_classes,
        'held out': len(galaxies.held_out),
        'data sha256': galaxies.fingerprint,
        'steps': config.training.steps,
        'random_state': config.training.random_state,
        'views a step': views * config.training.batch_size,
        'diagnostics': module.diagnostics,
        'config': _without_paths(config),
        'versions': {'python': platform.python_version(), 'galvae_affiliated': __version__,
                     'torch': torch.__version__, 'lightning': lightning.__version__,
                     'numpy': np.__version__, 'onnxruntime': runtime_version()},
    }


def _without_paths(config):
    """The options with the names of files in place of their paths, as others get the bundle."""
    options = config.options()
    names = {key: _file_name(options[key]) for key in config.marked('is_path')}
    others = [_file_name(other) if isinstance(other, str) else
              {key: _file_name(value) if key in ('source', 'teacher') else value
               for key, value in dict(other).items()}
              for other in options.get('other_surveys', ())]
    return {**options, **names, 'other_surveys': others}


def _file_name(path):
    return str(path).replace('\\', '/').rsplit('/', 1)[-1]


def _fitted_heads(module, galaxies):
    """Heads for the latents as they are now; None if the model answers no question."""
    model, fit = module.model, module.config.training
    if model.heads is None:
        return None
    known = galaxies.voted
    views = [posteriors(model, module.preprocess, galaxies, known)]
    if module.config.augmentation.grey_share and fit.anchor:
        views.append(posteriors(model, module.preprocess, galaxies, known, change=in_grey))
    data = None
    for latent, error in views:
        one = LabelledLatents(latent, error, *galaxies.vote_tensors(known),
                              torch.from_numpy(galaxies.unselected[known]),
                              torch.from_numpy(np.isin(known, galaxies.held_out)),
                              tuple(galaxies.votes))
        data = one if data is None else data.joined(one)
    heads = GuideHeads(model.heads)
    if fit.n_heads:
        heads = head_estimator(fit.head, n_members=fit.n_heads, steps=fit.head_steps,
                               n_volunteers=fit.n_volunteers, random_state=fit.random_state)
    return fit_votes(data, heads, n_volunteers=fit.n_volunteers)


def _residual_variance(decoded, frame, weight):
    """
    How an image differs from what is decoded of it.

    Parameters
    ----------
    decoded, frame, weight : (N, 3, H, W) arrays

    Returns
    -------
    floor, slope : list of 3 float
        Variance of each channel's residuals at the sky's level, and how it grows with the decoded
        light.
    """
    square = (decoded - frame) ** 2
    faint = weight * (decoded < FAINT)
    everywhere = (weight * square).sum((0, 2, 3)) / weight.sum((0, 2, 3))
    n_faint = faint.sum((0, 2, 3))
    # images without sky, as of a set that is cut close, have one variance
    sky = (faint * square).sum((0, 2, 3)) / np.maximum(n_faint, 1.0)
    floor = np.where(n_faint > 0, sky, everywhere)
    excess = weight * decoded * (square - floor.reshape(1, 3, 1, 1))
    light = np.maximum((weight * decoded ** 2).sum((0, 2, 3)), 1e-9)
    slope = excess.sum((0, 2, 3)) / light
    return [max(float(x), 1e-6) for x in floor], [max(float(x), 0.0) for x in slope]
