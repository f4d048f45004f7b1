# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Networks that can be trained on, from the graphs of a bundle."""

import numpy as np
import onnx
import torch
from torch import nn

from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.training.config import ModelConfig
from galvae_affiliated.training.networks.model import GalaxyVAE
from galvae_affiliated.training.networks.preprocess import Preprocess

__all__ = ['bundle_config', 'network_of_bundle', 'renew_norms']


def bundle_config(model):
    """
    What the networks of a bundle look like.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`

    Returns
    -------
    config : `~galvae_affiliated.training.config.ModelConfig`

    Raises
    ------
    BundleError
        If the bundle was not made by ``galvae train``.
    """
    told = model.manifest.raw.get('training', {}).get('config')
    if not isinstance(told, dict):
        raise BundleError(f'{model.id}: its networks cannot be trained on, as the manifest does '
                          'not say how they are built; expected a model of galvae train')
    return ModelConfig(**{name: told[name] for name in ModelConfig.model_fields if name in told})


def network_of_bundle(model, composites):
    """
    Encoder and decoder of a bundle as PyTorch has them, with no heads.

    An exported graph holds each batch normalisation within the convolution
    before it. Here every one gets its statistics back, those of some images,
    and gain and offset that undo them: the network gives what the graph
    gives, and learns as a new one would.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    composites : (N, 3, grid, grid) tensor in [0, 1]
        Images of the kind that the model was trained on; a few hundred.

    Returns
    -------
    network : `~galvae_affiliated.training.networks.model.GalaxyVAE`
        For evaluation, as `torch.nn.Module.eval` leaves it.

    Raises
    ------
    BundleError
        If the bundle was not made by ``galvae train``, or its graphs have other weights
        than the networks that the manifest names.
    """
    network = GalaxyVAE(bundle_config(model)).eval()
    preprocess = Preprocess(model.grid)
    for part in ('encoder', 'decoder'):
        weights = {weight.name.removesuffix('.half'): onnx.numpy_helper.to_array(weight)
                   for weight in onnx.load_from_string(model.graph(part)).graph.initializer}
        try:
            _fill(getattr(network, part), part, weights)
            if 'preprocess.scale' not in weights:
                UNFOLD[part](getattr(network, part), preprocess)
        except (KeyError, ValueError, AttributeError) as error:
            raise BundleError(f'{model.id}: {part}.onnx is not the network that the manifest '
                              f'names ({error})') from None
    renew_norms(network, preprocess, composites)
    return network


@torch.no_grad()
def _fill(network, part, weights):
    """Weights of a graph into a network whose batch normalisations then do nothing but shift."""
    before = None
    for name, layer in network.named_modules():
        path = f'{part}.{name}'
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.weight.copy_(_tensor(weights, f'{path}.weight', layer.weight))
            if layer.bias is not None:
                layer.bias.copy_(_tensor(weights, f'{path}.bias', layer.bias))
        elif isinstance(layer, nn.BatchNorm2d) and before is None:
            for key, value in layer.state_dict().items():
                if value.ndim:
                    value.copy_(_tensor(weights, f'{path}.{key}', value))
        elif isinstance(layer, nn.BatchNorm2d):
            layer.weight.fill_(1.0)
            layer.running_mean.zero_()
            layer.running_var.fill_(1.0 - layer.eps)
            folded = f'{before}.bias' if f'{before}.bias' in weights else f'{before}.weight_bias'
            layer.bias.copy_(_tensor(weights, folded, layer.bias))
        if not isinstance(layer, (nn.Sequential, nn.Identity)):
            before = path if isinstance(layer, nn.Conv2d) and layer.bias is None else None


def _tensor(weights, name, like):
    if name not in weights:
        raise KeyError(f'there is no {name}')
    if weights[name].shape != tuple(like.shape):
        raise ValueError(f'{name} is of shape {weights[name].shape}; expected '
                         f'{tuple(like.shape)}')
    return torch.from_numpy(np.array(weights[name], dtype=np.float32))


@torch.no_grad()
def _read_normalised(encoder, preprocess):
    """Undo what `~galvae_affiliated.training.export.folding.reading_frames` did."""
    first, norm = encoder.features[:2]
    norm.bias += (first.weight * preprocess.centre).sum((1, 2, 3))
    first.weight *= preprocess.scale


@torch.no_grad()
def _write_normalised(decoder, preprocess):
    """Undo what `~galvae_affiliated.training.export.folding.writing_frames` did."""
    last, shuffle = decoder.layers[-2:]
    scale, centre = (value.reshape(3).repeat_interleave(shuffle.upscale_factor ** 2)
                     for value in (preprocess.scale, preprocess.centre))
    last.weight /= scale.view(-1, 1, 1, 1)
    last.bias.copy_((last.bias - centre) / scale)


UNFOLD = {'encoder': _read_normalised, 'decoder': _write_normalised}


@torch.no_grad()
def renew_norms(network, preprocess, composites):
    """
    Give batch normalisations the statistics of some images, with no change of what they give.

    Parameters
    ----------
    network : `~galvae_affiliated.training.networks.model.GalaxyVAE`
        Is changed.
    preprocess : `~galvae_affiliated.training.networks.preprocess.Preprocess`
    composites : (N, 3, grid, grid) tensor in [0, 1]
    """
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    seen, hooks = {}, []
    for norm in norms:
        hooks.append(norm.register_forward_pre_hook(
            lambda layer, given: seen.update({layer: torch.var_mean(given[0], (0, 2, 3))})))
    try:
        mean, _ = network.encoder(preprocess(composites)[1])
        network.decoder(*mean.tensor_split([network.n_latents], dim=1))
    finally:
        for hook in hooks:
            hook.remove()
    for norm in norms:
        variance, mean = seen[norm]
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        norm.bias += gain * (mean - norm.running_mean)
        norm.weight.copy_(gain * torch.sqrt(variance + norm.eps))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
