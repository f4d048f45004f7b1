# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From an adapted network to a bundle, with all parts of the old one that still hold."""

import logging

import numpy as np
import torch

from galvae_affiliated.cutouts.stack import CutoutStack
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.models.self_test import SELF_TEST, self_test
from galvae_affiliated.training.adapt.fitting import turned
from galvae_affiliated.training.export.graphs import (
    SELF_TEST_ROWS,
    edge_images,
    export_bundle,
    random_latents,
)
from galvae_affiliated.training.objectives.losses import reconstruction_loss

__all__ = ['adapted_bundle', 'settle_decoder']

logger = logging.getLogger(__name__)
# what a manifest says of the encoder that was, or of parts that go with it
OUTDATED = ('scores', 'comparison', 'invariance', 'adapter', 'adapted')
MAX_MEASURED = 2000  # galaxies of each survey whose residuals are measured
MAX_COMPARED = 56  # real images on which an exported graph is compared; none is kept
SETTLING_RATE = 5e-4


def adapted_bundle(setup, network, about, *, name, version='1', description='',
                   with_decoder=False):
    """
    The bundle of a model whose encoder was adapted.

    Heads, quantities, densities and their calibrations are those of the old one, as the latents
    of the source are; what was measured of its encoder is not carried over, nor an adapter of
    latents, which was fitted to the old ones. How large residuals usually are is measured anew.

    Parameters
    ----------
    setup : `~galvae_affiliated.training.adapt.setup.Setup`
    network : `~galvae_affiliated.training.networks.model.GalaxyVAE`
    about : dict
        The entry ``adapted`` of the manifest.
    name, version, description : str, optional
    with_decoder : bool, optional
        The decoder has been learnt too, and is exported.

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle`

    Raises
    ------
    ParityError
        If the exported graphs do not give what PyTorch gives.
    """
    model, raw = setup.model, setup.model.manifest.raw
    parts = ['encoder'] + ['decoder'] * with_decoder
    exported = _exported(setup, network.cpu())
    changed = {file: exported.parts.get(file) for file in {*model.parts, *exported.parts}
               if file.endswith('.onnx') and file.split('.')[0] in parts}
    lost = sorted(file for file, content in changed.items() if content is None)
    if lost:
        logger.warning('%s of %s have to be made anew for the adapted model',
                       ', '.join(lost), model.id)
    if 'adapter.npz' in model.parts:
        changed['adapter.npz'] = None
    manifest = {key: value for key, value in raw.items() if key not in OUTDATED}
    latents = {key: value for key, value in raw['latents'].items() if key != 'same_as'}
    residuals = {key: value for key, value in raw['reconstruction'].items() if key != 'test'}
    manifest.update(name=name, version=version, description=description, latents=latents,
                    reconstruction=residuals, adapted={'from': model.id, **about})
    tested = _self_test(setup, exported, parts)
    bundle = model.replaced(manifest, {**changed, SELF_TEST: tested})
    manifest['reconstruction'] = {**residuals, 'chi2_99': _chi2_99(setup, bundle, with_decoder)}
    return bundle.replaced(manifest)


def _exported(setup, network):
    """A bundle of the networks alone."""
    model, raw = setup.model, setup.model.manifest.raw
    # heads and what else goes with latents are no matter of this export
    plain = {key: raw[key] for key in ('name', 'version', 'input', 'renderings', 'latents',
                                       'reconstruction')}
    return export_bundle({**plain, 'questions': {}}, setup.preprocess.cpu(), network,
                         extra_images=setup.source.composites(slice(MAX_COMPARED)),
                         half_weights=raw.get('weights', '').startswith('float16'),
                         float16='encoder.float16.onnx' in model.parts)


def _self_test(setup, exported, parts):
    """The self-test of the old bundle, with that of the new graphs."""
    model = setup.model
    n = SELF_TEST_ROWS
    rendering = torch.arange(n) % len(model.frame.renderings)
    # half precision keeps the file small
    inputs = {'encoder': {'image': edge_images(model.grid)[:n].half(), 'rendering': rendering},
              'decoder': {'latent': random_latents(n, model.n_latents),
                          'pose': random_latents(n, model.n_pose, random_state=1)}}
    graphs = {part: exported.graph(part) for part in parts}
    return self_test(graphs, {part: inputs[part] for part in parts}, model.parts[SELF_TEST])


def _chi2_99(setup, bundle, with_target):
    """The residual that 99 per cent of the held-out galaxies, each survey as one, are below."""
    surveys = [(setup.source, setup.held_source)]
    surveys += [(setup.target, setup.held_target)] * with_target
    encoder, values, weights = Encoder(bundle, device='cpu'), [], []
    for survey, held in surveys:
        images = survey.images[np.flatnonzero(held)[:MAX_MEASURED]]
        found = encoder.encode(CutoutStack.from_composites(images)).recon_chi2
        found = found[np.isfinite(found)]
        values.append(found)
        weights.append(np.full(len(found), 1.0 / max(len(found), 1)))
    values, weights = np.concatenate(values), np.concatenate(weights)
    order = np.argsort(values)
    place = np.searchsorted(np.cumsum(weights[order]), 0.99 * weights.sum())
    return float(values[order][min(place, len(values) - 1)])


def settle_decoder(setup, network, options, *, progress=None):
    """
    The decoder alone learns to decode the latents of both surveys as they are now.

    Parameters
    ----------
    setup : `~galvae_affiliated.training.adapt.setup.Setup`
    network : `~galvae_affiliated.training.networks.model.GalaxyVAE`
        Its decoder is changed.
    options : `~galvae_affiliated.training.adapt.options.AdaptationOptions`
    progress : callable, optional
        Takes the steps done and all.
    """
    steps, half = options.settling_steps, max(2, options.batch_size // 2)
    network.requires_grad_(False)
    network.decoder.requires_grad_(True)
    optimizer = torch.optim.AdamW(network.decoder.parameters(), SETTLING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    device = next(network.parameters()).device
    learnt = np.flatnonzero(~setup.held_source), np.flatnonzero(~setup.held_target)
    for step in range(steps):
        rng = np.random.default_rng((options.random_state, 1, step))
        images = torch.cat([survey.composites(rng.choice(rows, half)) for survey, rows in
                            zip((setup.source, setup.target), learnt)])
        _, normalised, _ = setup.preprocess(turned(images, rng).to(device))
        normalised = normalised.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            mean, _ = network.encoder(normalised)
        decoded = network.decoder(*mean.tensor_split([network.n_latents], dim=1))
        loss, _ = reconstruction_loss(decoded, normalised, setup.preprocess.aperture)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step + 1, steps)
    network.requires_grad_(False)
