# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Checks of bench_generation.py beyond single pictures: quantities, conditions, memory, halves."""

import resource
import time

import numpy as np
import torch

from galvae_affiliated import Engine
from galvae_affiliated.models import Encoder
from galvae_affiliated.models.generation import generate_batches
from galvae_affiliated.models.votes import PredictedVotes, predict_votes
from galvae_affiliated.training.density import fit_mixture
from galvae_affiliated.training.evaluate.distributions import distribution_distance
from galvae_affiliated.training.evaluate.images import image_ssim
from galvae_affiliated.training.evaluate.neighbours import halves_test, nearest_distance
from galvae_affiliated.training.evaluate.pictures import (
    frechet_distance,
    kernel_distance,
    told_apart,
)

ASKED = (('smooth-or-featured', 'smooth'), ('disk-edge-on', 'yes'), ('how-rounded', 'round'),
         ('has-spiral-arms', 'yes'), ('bar', 'yes'), ('spiral-arm-count', '2'),
         ('merging', 'merger'))
DETAILS = {'smooth': 'none', 'galaxy': 'galaxy', 'all': 'all'}  # of pictures, by their name here
BATCH = 128
N_BOOT = 200
ROWS_OF_COMPONENT = 3.0  # galaxies of a half, a component and a dimension
MOST_COMPONENTS = 64
FEW, MANY = 1000, 10000  # samples, between which memory is not to grow


def quantity_distances(drawn, data):
    """
    Distances of each quantity of drawn galaxies to those of data, which are of two halves.

    ``drawn`` holds dictionaries of (n,) arrays by name; one half of ``data`` is what each is
    compared with, and the other half stands beside them as the floor.
    """
    half = {name: np.array_split(values, 2) for name, values in data.items()}
    sets = {'halves of the data': {name: one for name, (one, _) in half.items()}}
    sets |= {name: {key: values[:len(half[key][0])] for key, values in its.items()}
             for name, its in drawn.items()}
    return {name: {key: distribution_distance(values, half[key][1], n_boot=N_BOOT)
                   for key, values in its.items()} for name, its in sets.items()}


class Heads:
    """Answers of the heads of a model, from composites."""

    def __init__(self, model, engine):
        self.encoder = Encoder(model, engine)

    def __call__(self, images):
        """`PredictedVotes` of (N, 3, grid, grid) composites."""
        latent = self.encoder.encode(images, reconstruction=False).latent
        return predict_votes(latent, self.encoder.model, self.encoder.engine)


class Supervised:
    """Answers of the network that bench_supervised.py trains on the votes alone."""

    def __init__(self, path, questions):
        from bench_supervised import QUESTIONS, _SupervisedNetwork

        from galvae_affiliated.training.config import TrainingConfig
        from galvae_affiliated.training.networks.preprocess import Preprocess

        config = TrainingConfig.of_preset(source='', questions='gz2').model
        self.answers, self.questions = QUESTIONS, questions
        self.network, self.preprocess = _SupervisedNetwork(config), Preprocess(config.grid)
        self.network.load_state_dict(torch.load(path))
        self.network.eval()

    @torch.inference_mode()
    def __call__(self, images):
        """`PredictedVotes` of (N, 3, grid, grid) composites, without reach."""
        parts = [self.network(self.preprocess(batch)[1])
                 for batch in torch.from_numpy(images).split(BATCH)]
        fractions = {name: torch.cat(some).exp().numpy()
                     for name, some in zip(self.answers, zip(*parts))}
        return PredictedVotes(self.questions, fractions, {})


def conditions(model, engine, readers, unconditioned, stored, n, random_state=0):
    """
    How often readers of pictures give the answer that the pictures were drawn for.

    ``readers`` are by name; ``unconditioned`` pictures, read the same way, tell chance.
    """
    usual = {name: read(unconditioned) for name, read in readers.items()}
    found = {}
    for question, answer in ASKED:
        if answer not in model.questions.get(question, ()):
            continue
        drawn = model.generate(n, random_state=random_state, answers={question: answer},
                               engine=engine)
        pictures = stored(drawn.images)
        row = {'latents': float(np.mean(
            predict_votes(drawn.latent, model, engine).likeliest(question) == answer))}
        for name, read in readers.items():
            row[name] = _agreement(read(pictures), usual[name], question, answer)
        found[f'{question}: {answer}'] = row
    return found


def _agreement(votes, usual, question, answer):
    """Share with the answer, that by chance, and their difference in standard errors."""
    (share, error), (chance, chance_error) = (
        _share(some.likeliest(question) == answer) for some in (votes, usual))
    return {'share': share, 'error': error, 'chance': chance, 'chance error': chance_error,
            'standard errors': (share - chance) / np.hypot(error, chance_error)}


def _share(is_so):
    """A share and its standard error, with half a case of either kind added to that."""
    n, k = len(is_so), int(is_so.sum())
    p = (k + 0.5) / (n + 1.0)
    return k / n, float(np.sqrt(p * (1.0 - p) / n))


def density_halves(latent, held_out, random_state=0):
    """Mixtures of halves of the training latents; see `halves_test`."""
    n = len(latent) // 2 / (ROWS_OF_COMPONENT * latent.shape[1])
    n = int(np.clip(n, 1, MOST_COMPONENTS))
    return {'components': n, **halves_test(
        latent, held_out, lambda values: fit_mixture(values, n, random_state),
        n_samples=len(held_out), random_state=random_state)}


def model_halves(models, latent, pose, data, stored, engine):
    """
    Pictures of two models, trained on halves of the galaxies, of the same latents and noise.

    Models that have learnt the galaxies by heart draw their own; those that have learnt what
    galaxies look like draw nearly the same picture, nearer than any galaxy of the training.
    """
    pictures = [stored(Encoder(model, engine).draw(latent, pose, random_state=1))
                for model in models]
    features = [data.judge(some) / data.scale for some in pictures]
    samples = [stored(model.generate(len(latent), random_state=2, engine=engine).images)
               for model in models]
    drawn = [data.judge(some) / data.scale for some in samples]
    accuracy, auc = told_apart(*drawn)
    return {'models': [model.id for model in models],
            'ssim of the same latents and noise': image_ssim(*pictures),
            'distance of the same latents and noise': float(np.median(
                np.linalg.norm(features[0] - features[1], axis=1))),
            'distance to the nearest training galaxy': float(np.median(
                [nearest_distance(some, data.training) for some in features])),
            'samples: Frechet distance': frechet_distance(*drawn),
            'samples: kernel distance': kernel_distance(*drawn),
            'samples: told apart': {'accuracy': accuracy, 'AUC': auc}}


def rates(decoders, n_threads=None):
    """
    Samples a second, in turns of a batch, and how much memory grows by.

    ``decoders`` is a dict of name to model and details.
    """
    engine = Engine(device='cpu', n_threads=n_threads)
    peak, seconds = [], {}
    for n in (FEW, MANY):
        seconds = dict.fromkeys(decoders, 0.0)
        sources = {}
        for name, (model, details) in decoders.items():
            start = time.perf_counter()
            sources[name] = generate_batches(model, n, random_state=0, details=details,
                                             engine=engine)
            seconds[name] += time.perf_counter() - start
        for _ in range(-(-n // BATCH)):
            for name, source in sources.items():
                start = time.perf_counter()
                next(source)
                seconds[name] += time.perf_counter() - start
        peak.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0)
    return {'samples': MANY, 'samples a second': {name: MANY / s for name, s in seconds.items()},
            'peak memory, MiB': peak[-1], f'growth from {FEW} samples, MiB': peak[1] - peak[0]}
