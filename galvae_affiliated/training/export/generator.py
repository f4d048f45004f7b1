# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A sharp decoder as a part of the bundle whose latents it draws."""

import numpy as np
import torch
from sklearn.linear_model import Ridge
from torch import nn

from galvae_affiliated.models.self_test import SELF_TEST, self_test
from galvae_affiliated.training.export.graphs import export_graph, random_latents

__all__ = ['code_correction', 'with_generator']

COMPARED, KEPT = 8, 2  # rows on which the graph is compared, and those of the self-test
DRAWN = 4000  # galaxies that are drawn and read again
BATCH = 100
LEAST_DRAWN = 10  # galaxies a number of the code, or their scatter would be learnt
RIDGE = 1e-3  # times the number of galaxies, for numbers of unit variance


class _GeneratorGraph(nn.Module):
    """Latents, pose and random numbers to a composite, in the frame of the encoder."""

    def __init__(self, preprocess, generator, correction=None):
        super().__init__()
        self.preprocess, self.generator, self.correction = preprocess, generator, correction

    def forward(self, latent, pose, noise):
        if self.correction is not None:
            code = self.correction(torch.cat([latent, pose], dim=1))
            latent, pose = code.tensor_split([latent.shape[1]], dim=1)
        return self.preprocess.composite(self.generator(latent, pose, noise))


@torch.no_grad()
def code_correction(module, galaxies, random_state=0):
    """
    What a sharp decoder is to be given, so that the code that is meant is read from its picture.

    The code that the encoder reads from a picture differs from the one that was drawn by chance,
    and in part by a rule: it is nearer to the mean of all galaxies, the more so the less of
    a number can be seen. A linear law of training galaxies tells that part, which
    is taken off beforehand.

    Parameters
    ----------
    module : `~galvae_affiliated.training.objectives.sharpening.Sharpening`
    galaxies : `~galvae_affiliated.training.GalaxySet`
    random_state : int, optional
        Of the pictures.

    Returns
    -------
    correction : `torch.nn.Linear` or None
        Of (N, n_latents + n_pose) codes; None for fewer galaxies than a law needs.

    Examples
    --------
    Of a module that was trained with ``sharpen``:

    >>> from galvae_affiliated.training.export.generator import code_correction
    >>> correction = code_correction(module, galaxies)  # doctest: +SKIP
    """
    size = module.config.model.n_latents + module.config.model.n_pose
    rows = galaxies.train[:: max(len(galaxies.train) // DRAWN, 1)]
    if len(rows) < LEAST_DRAWN * size:
        return None
    torch.manual_seed(random_state)
    code, again = [], []
    module.eval()
    for some in np.array_split(rows, 1 + len(rows) // BATCH):
        _, real, _ = module.preprocess(galaxies.composites(some))
        meant = module.read(real)
        for parts, both in ((code, meant), (again, module.read(module.drawn(*meant)))):
            parts.append(torch.cat(both, dim=1))
    code, again = (torch.cat(parts).double().numpy() for parts in (code, again))
    scale = code.std(axis=0) + 1e-6
    law = Ridge(RIDGE * len(code)).fit(code / scale, again - code)
    correction = nn.Linear(size, size)
    correction.weight.copy_(torch.from_numpy(np.eye(size) - law.coef_ / scale))
    correction.bias.copy_(torch.from_numpy(-law.intercept_))
    return correction


def with_generator(bundle, module, about=None, correction=None):
    """
    A bundle with a sharp decoder beside the smooth one.

    Parameters
    ----------
    bundle : `~galvae_affiliated.ModelBundle`
        The one that was sharpened; all its other parts stay, to the last bit.
    module : `~galvae_affiliated.training.objectives.sharpening.Sharpening`
    about : dict, optional
        What the manifest shall say of the training.
    correction : `torch.nn.Linear`, optional
        Of the code that it is given, by `code_correction`.

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle`

    Raises
    ------
    ParityError
        If the graph does not give what PyTorch gives.

    Examples
    --------
    Of the same module:

    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.training.export.generator import code_correction, with_generator
    >>> correction = code_correction(module, galaxies)  # doctest: +SKIP
    >>> sharp = with_generator(get_model('mine.galvae'), module,
    ...                        correction=correction)  # doctest: +SKIP
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
    graph = export_graph(_GeneratorGraph(module.preprocess.cpu(), generator, correction),
                         inputs, ['composite'], half_weights=fit.half_weights)
    few = {name: values[:KEPT].numpy() for name, values in inputs.items()}
    few['noise'] = few['noise'].astype('f2')
    tests = self_test({'generator': graph}, {'generator': few}, bundle.parts[SELF_TEST])
    entry = {'n_noise': n_noise, 'side': side,
             'training': {'steps': fit.steps, 'images a step': fit.batch_size,
                          'random_state': fit.random_state, **(about or {})}}
    manifest = {**bundle.manifest.raw, 'generator': entry}
    return bundle.replaced(manifest=manifest, parts={'generator.onnx': graph, SELF_TEST: tests})
