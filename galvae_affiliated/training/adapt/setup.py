# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What an adaptation knows before its first step: both surveys through the encoder as it is."""

import copy
import functools
import hashlib
import logging
from dataclasses import dataclass

import numpy as np
import torch

from galvae_affiliated.models.engine import Engine
from galvae_affiliated.models.whitening import Whitening
from galvae_affiliated.surveys import kernel_widths, matched_rows, maximum_mean_discrepancy
from galvae_affiliated.training.adapt.answers import (
    answer_vectors,
    effective_size,
    likeness_weights,
)
from galvae_affiliated.training.adapt.images import SurveyImages
from galvae_affiliated.training.adapt.look import ASPECTS, SurveyLook, imitate, measure_look
from galvae_affiliated.training.data.dataset import validation_rows
from galvae_affiliated.training.networks.from_bundle import network_of_bundle
from galvae_affiliated.training.networks.preprocess import Preprocess

__all__ = ['Setup', 'latents_of', 'prepare', 'trainable_copy']

logger = logging.getLogger(__name__)
N_NORMS = 256  # images that give batch normalisations their statistics
BATCH = 128
N_COMPARED = 400  # galaxies on which imitations are tried
LEAST_MATCHED = 25  # held-out galaxies of like kind; fewer show no difference


@dataclass(frozen=True, eq=False)
class Setup:
    """
    Two surveys, and what the encoder said of them before it was adapted.

    Attributes
    ----------
    model : `~galvae_affiliated.ModelBundle`
    engine : `~galvae_affiliated.Engine`
        Of the heads.
    network : `~galvae_affiliated.training.networks.model.GalaxyVAE`
        Of the model; frozen.
    preprocess : `~galvae_affiliated.training.networks.preprocess.Preprocess`
    whitening : `~galvae_affiliated.models.whitening.Whitening`
        Of the source's latents.
    source, target : `~galvae_affiliated.training.adapt.images.SurveyImages`
    source_look, target_look : `~galvae_affiliated.training.adapt.look.SurveyLook`
    to_target, to_source : tuple of str
        Aspects by which views of one survey come nearer to the other; see
        `~galvae_affiliated.training.adapt.look.imitate`.
    source_known, target_known : (N, n_latents), (M, n_latents) arrays
        Latents of the source, and of views of the target that imitate it.
    source_answers, target_answers : (N, A), (M, A) arrays
        Predicted from these, in standard deviations of the source.
    weights : (N,) array
        With which the source that is learnt from has the answers of the target; zero elsewhere.
    held_source, held_target : (N,), (M,) bool arrays
        Galaxies that are measured on.
    matched : tuple of two (K,) int arrays
        Held-out rows of source and target that are of like kind.
    widths : (5,) array
        Of the kernels by which these are compared, before and after.
    pairs : (P, 2) int array
        Rows of source and target that are the same galaxy.
    held_pairs : (P,) bool array
    """

    model: object
    engine: Engine
    network: torch.nn.Module
    preprocess: Preprocess
    whitening: Whitening
    source: SurveyImages
    target: SurveyImages
    source_look: SurveyLook
    target_look: SurveyLook
    to_target: tuple
    to_source: tuple
    source_known: np.ndarray
    target_known: np.ndarray
    source_answers: np.ndarray
    target_answers: np.ndarray
    weights: np.ndarray
    held_source: np.ndarray
    held_target: np.ndarray
    matched: tuple
    widths: np.ndarray
    pairs: np.ndarray
    held_pairs: np.ndarray

    @functools.cached_property
    def fingerprint(self):
        """str: The same for the same model, images and pairs."""
        digest = hashlib.sha256(self.model.sha256.encode())
        for survey in (self.source, self.target):
            digest.update('\n'.join(survey.ids).encode())
            digest.update(np.ascontiguousarray(survey.images))
        digest.update(np.ascontiguousarray(self.pairs))
        return digest.hexdigest()

    @property
    def effective_size(self):
        """float: Source galaxies that say as much as those with their weights do."""
        return effective_size(self.weights[self.weights > 0])


@torch.inference_mode()
def latents_of(network, preprocess, survey, rows=slice(None), *, view=None):
    """
    Latents of galaxies of a survey.

    Parameters
    ----------
    network : `~galvae_affiliated.training.networks.model.GalaxyVAE`
    preprocess : `~galvae_affiliated.training.networks.preprocess.Preprocess`
    survey : `~galvae_affiliated.training.adapt.images.SurveyImages`
    rows : slice or (N,) int array, optional
    view : callable, optional
        Changes (N, 3, grid, grid) composites before they are encoded.

    Returns
    -------
    latents : (N, n_latents) float64 array
    """
    device = next(network.parameters()).device
    rows = np.arange(len(survey))[rows]
    parts = [np.empty((0, network.n_latents))]
    for some in np.array_split(rows, 1 + len(rows) // BATCH):
        composites = survey.composites(some)
        composites = composites if view is None else view(composites)
        mean, _ = network.encoder(preprocess(composites.to(device))[1])
        parts.append(mean[:, :network.n_latents].cpu().double().numpy())
    return np.concatenate(parts)


def prepare(model, source, target, pairs, options, *, device='cpu'):
    """
    Encode both surveys, measure how they look, and find out what kinds of galaxies they hold.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    source, target : `~galvae_affiliated.training.adapt.images.SurveyImages`
    pairs : (P, 2) int array
    options : `~galvae_affiliated.training.adapt.options.AdaptationOptions`
    device : str, optional
        Of PyTorch.

    Returns
    -------
    setup : `Setup`

    Raises
    ------
    BundleError
        If the networks of the bundle cannot be rebuilt.
    ValueError
        If too few galaxies are held out.
    """
    network = network_of_bundle(model, source.composites(slice(N_NORMS)))
    network = network.to(device, memory_format=torch.channels_last).requires_grad_(False)
    preprocess, engine = Preprocess(model.grid).to(device), Engine(device='cpu')
    held_source, held_target, held_pairs = _held_out(source, target, pairs,
                                                     options.held_out_share)
    known = [latents_of(network, preprocess, survey) for survey in (source, target)]
    whitening = Whitening.fit(known[0][~held_source])

    def weigh(latents):
        """Standardised answers of both surveys, and weights of the source."""
        answers = _standardised([answer_vectors(values, model, engine) for values in latents])
        weights = np.zeros(len(source))
        weights[~held_source] = likeness_weights(answers[0][~held_source],
                                                 answers[1][~held_target])
        return answers, weights

    _, weights = weigh(known)
    looks = (measure_look(source, weights, random_state=options.random_state),
             measure_look(target[~held_target], random_state=options.random_state))
    views = _Views(network, preprocess, whitening, looks, options.random_state)
    rng = np.random.default_rng(options.random_state)
    drawn = rng.choice(len(source), min(N_COMPARED, len(source)), p=weights)
    learnt = np.flatnonzero(~held_target)[:N_COMPARED]
    to_target = views.best_aspects(source[drawn], known[1][learnt], is_source=True)
    to_source = views.best_aspects(target[learnt], known[0][drawn], is_source=False)
    imitating = views.latents(target, to_source, is_source=False)
    answers, weights = weigh([known[0], imitating])
    matched = _matched(answers, held_source, held_target)
    widths = kernel_widths(*(whitening(values[rows]) for values, rows in zip(known, matched)))
    return Setup(model, engine, network, preprocess, whitening, source, target, *looks,
                 to_target, to_source, known[0], imitating, *answers, weights, held_source,
                 held_target, matched, widths, pairs, held_pairs)


def _held_out(source, target, pairs, share):
    """Bool arrays of the galaxies, and of the pairs, that are measured on."""
    held_source, held_target = (validation_rows(survey.ids, share) for survey in (source, target))
    held_pairs = validation_rows([target.ids[row] for _, row in pairs], share)
    # what is held out of the pairs is held out of the target too
    held_target[pairs[held_pairs, 1]] = True
    held_target[pairs[~held_pairs, 1]] = False
    return held_source, held_target, held_pairs


def _standardised(answers):
    """Answers of both surveys in standard deviations of the source."""
    centre, scale = answers[0].mean(0), np.maximum(answers[0].std(0), 1e-3)
    return [(values - centre) / scale for values in answers]


class _Views:
    """Latents of views of one survey that imitate the other, and which aspects help at all."""

    def __init__(self, network, preprocess, whitening, looks, random_state):
        self.network, self.preprocess, self.whitening = network, preprocess, whitening
        self.looks, self.random_state = looks, random_state

    def latents(self, survey, aspects, *, is_source):
        """(N, n_latents) array of a survey's views."""
        own, other = self.looks if is_source else self.looks[::-1]
        generator = torch.Generator().manual_seed(self.random_state)
        return latents_of(self.network, self.preprocess, survey, view=lambda images: imitate(
            images, own, other, generator, aspects=aspects))

    def best_aspects(self, survey, other_latents, *, is_source):
        """
        The aspects whose imitation brings the latents nearer to those of the other survey.

        None, if each makes it worse: a difference of the images is not always one of the latents.
        """
        other = self.whitening(other_latents)

        def discrepancy(aspects):
            latents = self.whitening(self.latents(survey, aspects, is_source=is_source))
            return maximum_mean_discrepancy(latents, other, n_permutations=0, n_boot=0).value

        chosen, left = (), list(ASPECTS)
        best = discrepancy(chosen)
        while left:
            found = {aspect: discrepancy((*chosen, aspect)) for aspect in left}
            nearest = min(found, key=found.get)
            if found[nearest] >= best:
                break
            best, chosen = found[nearest], (*chosen, nearest)
            left.remove(nearest)
        logger.info('views of %s imitate %s: discrepancy %.4f', 'the source' if is_source else
                    'the target', chosen or 'nothing', best)
        return chosen


def _matched(answers, held_source, held_target):
    """Held-out rows of both surveys that are of like kind; all where no answers are predicted."""
    rows = np.flatnonzero(held_source), np.flatnonzero(held_target)
    places = [np.arange(len(some)) for some in rows]
    if answers[0].shape[1]:
        kinds = [values[some] for values, some in zip(answers, rows)]
        places = matched_rows(*kinds)
        if len(places[0]) < LEAST_MATCHED:
            logger.warning('%d of %d held-out galaxies of the target are predicted to be of a kind '
                           'that the source has: they are compared with the nearest there is',
                           len(places[0]), len(rows[1]))
            places = matched_rows(*kinds, max_distance=np.inf)
    rows = tuple(some[place] for some, place in zip(rows, places))
    if min(map(len, rows)) < LEAST_MATCHED:
        raise ValueError(f'{min(map(len, rows))} galaxies of like kind are held out in both '
                         f'surveys; expected {LEAST_MATCHED} or more, of larger sets')
    return rows


def trainable_copy(network):
    """A copy of a network, to be learnt; its batch normalisations keep their statistics."""
    return copy.deepcopy(network).requires_grad_(True).eval()
