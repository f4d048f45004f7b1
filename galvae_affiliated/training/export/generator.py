# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A sharp decoder as a part of the bundle whose latents it draws."""

import torch
from torch import nn

from galvae_affiliated.models.self_test import SELF_TEST, self_test
from galvae_affiliated.training.export.graphs import export_graph, random_latents

__all__ = ['with_generator']

COMPARED, KEPT = 8, 2  # rows on which the graph is compared, and those of the self-test


class _GeneratorGraph(nn.Module):
    """Latents, pose and random numbers to a composite, in the frame of the encoder."""

    def __init__(self, preprocess, generator):
        super().__init__()
        self.preprocess, self.generator = preprocess, generator

    def forward(self, latent, pose, noise):
        return self.preprocess.composite(self.generator(latent, pose, noise))


def with_generator(bundle, module, about=None):
    """
    A bundle with a sharp decoder beside the smooth one.

    Parameters
    ----------
    bundle : `~galvae_affiliated.ModelBundle`
        The one that was sharpened; all its other parts stay, to the last bit.
    module : `~galvae_affiliated.training.objectives.adversarial.AdversarialDecoder`
    about : dict, optional
        What the manifest shall say of the training.

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle`

    Raises
    ------
    ParityError
        If the graph does not give what PyTorch gives.

    Examples
    --------
    Of a module that was trained with ``sharpen``:

    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.training.export.generator import with_generator
    >>> sharp = with_generator(get_model('mine.galvae'), module)  # doctest: +SKIP
    >>> sharp.manifest.noise_shape  # doctest: +SKIP
    """
    generator = module.generator.eval().cpu()
    n_noise, side, _ = generator.noise_shape
    draw = torch.Generator().manual_seed(2)
    inputs = {'latent': random_latents(COMPARED, bundle.n_latents),
              'pose': random_latents(COMPARED, bundle.n_pose, random_state=1),
              # as the file has them
              'noise': torch.randn(COMPARED, n_noise, side, side, generator=draw).half().float()}
    fit = module.config.training
    graph = export_graph(_GeneratorGraph(module.preprocess.cpu(), generator), inputs,
                         ['composite'], half_weights=fit.half_weights)
    few = {name: values[:KEPT].numpy() for name, values in inputs.items()}
    few['noise'] = few['noise'].astype('f2')
    tests = self_test({'generator': graph}, {'generator': few}, bundle.parts[SELF_TEST])
    entry = {'n_noise': n_noise, 'side': side,
             'training': {'steps': fit.steps, 'images a step': fit.batch_size,
                          'random_state': fit.random_state, **(about or {})}}
    manifest = {**bundle.manifest.raw, 'generator': entry}
    return bundle.replaced(manifest=manifest, parts={'generator.onnx': graph, SELF_TEST: tests})
