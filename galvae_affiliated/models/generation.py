# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies that nobody saw: latents drawn from the density of a model, and decoded."""

from dataclasses import dataclass

import numpy as np

from galvae_affiliated.models._column import Column
from galvae_affiliated.models.conditions import Conditions
from galvae_affiliated.models.details import check_details, draw_composites
from galvae_affiliated.models.engine import Engine

__all__ = ['GeneratedGalaxies', 'draw_latents', 'generate', 'generate_batches']

BLOCK = 4096  # latents that are drawn, and looked at, at a time
LEAST_DRAWS = 32 * BLOCK  # before a condition counts as rare
DRAWS_A_GALAXY = 200  # of many galaxies, the same
IMAGES = 128  # decoded at a time


@dataclass(frozen=True)
class GeneratedGalaxies:
    """
    Galaxies that were drawn.

    Attributes
    ----------
    latent : (N, n_latents) float32 array
    pose : (N, n_pose) float32 array
    images : (N, 3, grid, grid) float32 array
        Composites: red, green, blue in [0, 1].

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> galaxies = get_model().generate(2, random_state=0)
    >>> len(galaxies), galaxies.latent.shape, galaxies.images.shape
    (2, (2, 40), (2, 3, 128, 128))
    """

    latent: np.ndarray
    pose: np.ndarray
    images: np.ndarray

    def __len__(self):
        return len(self.latent)

    def columns(self):
        """``galvae_latent`` and ``galvae_pose``, as tables of measured galaxies have them."""
        columns = [Column('galvae_latent', self.latent, 'drawn latents', 'src.morph.param')]
        if self.pose.shape[1]:
            columns.append(Column('galvae_pose', self.pose, 'drawn pose', 'src.morph.param'))
        return columns


def generate(model, n, *, random_state=None, answers=None, quantities=None, radius=None,
             temperature=1.0, details='all', engine=None):
    """
    Draw galaxies; see `~galvae_affiliated.ModelBundle.generate`.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    n, random_state, answers, quantities, radius, temperature, details, engine : object
        As there.

    Returns
    -------
    galaxies : `GeneratedGalaxies`
    """
    batches = list(generate_batches(model, n, random_state=random_state, answers=answers,
                                    quantities=quantities, radius=radius,
                                    temperature=temperature, details=details, engine=engine))
    return GeneratedGalaxies(*(np.concatenate([getattr(batch, name) for batch in batches])
                               for name in ('latent', 'pose', 'images')))


def generate_batches(model, n, *, random_state=None, answers=None, quantities=None, radius=None,
                     temperature=1.0, details='all', engine=None):
    """
    Draw galaxies, and decode them batch by batch: memory does not grow with their images.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    n, random_state, answers, quantities, radius, temperature, details, engine : object
        See `~galvae_affiliated.ModelBundle.generate`.

    Returns
    -------
    batches : iterator of `GeneratedGalaxies`
        Of 128 galaxies at most; one without any for ``n`` of zero.

    Raises
    ------
    ValueError
        At once, not with the first batch.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.models import generate_batches
    >>> [len(batch) for batch in generate_batches(get_model(), 3, random_state=0)]
    [3]
    """
    check_details(details)
    engine = engine or Engine()
    rng = np.random.default_rng(random_state)
    latent, pose = draw_latents(model, n, rng, answers=answers, quantities=quantities,
                                radius=radius, temperature=temperature, engine=engine)
    return _decoded(model, latent, pose, rng, engine, details)


def _decoded(model, latent, pose, rng, engine, details):
    for start in range(0, max(len(latent), 1), IMAGES):
        rows = slice(start, start + IMAGES)
        images = draw_composites(model, latent[rows], pose[rows], rng, engine, details)
        yield GeneratedGalaxies(latent[rows], pose[rows], images)


def draw_latents(model, n, rng, *, answers=None, quantities=None, radius=None, temperature=1.0,
                 engine=None):
    """
    Draw latents from the density of a model, given answers and quantities.

    Quantities that the density knows condition it in closed form. For answers, latents are
    drawn until the heads of the model give these answers, which are then distributed as those
    of the density are. If that takes too many, the density given typical fractions of the
    answers, in closed form, gives the rest; and if the heads refuse these too, the nearest of
    all are taken.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    n : int
    rng : `numpy.random.Generator`
    answers, quantities, radius, temperature, engine : optional
        See `~galvae_affiliated.ModelBundle.generate`.

    Returns
    -------
    latent : (n, n_latents) float32 array
    pose : (n, n_pose) float32 array

    Raises
    ------
    ValueError
        If the model has no density, or what is asked for is wrong.
    """
    if model.density is None:
        raise ValueError(f'{model.id} has no density of its latents to draw from; '
                         'galvae fit-parts adds one')
    conditions = Conditions.parse(model, answers, quantities, radius)
    density, near = conditions.prior()
    if not conditions.needs_search:
        return density.sample_with_pose(n, rng, temperature)
    search = _Search(conditions, engine or Engine(), rng, n, temperature)
    search.run(density)
    conditions.warn_if_few(search.share)
    if search.n_lacking and near is not None:
        search.run(near)
    return search.result()


class _Search:
    """Latents that are drawn until enough of them agree with the conditions."""

    def __init__(self, conditions, engine, rng, n, temperature):
        self.conditions, self.engine, self.rng = conditions, engine, rng
        self.n, self.temperature = n, temperature
        self.found, self.others = [], []
        self.n_found = self.n_drawn = 0

    @property
    def n_lacking(self):
        return max(self.n - self.n_found, 0)

    @property
    def share(self):
        """Of what was drawn, how much agreed."""
        return self.n_found / max(self.n_drawn, 1)

    def run(self, density):
        """Draw from a density until there are enough, or so many were drawn."""
        n_left = max(LEAST_DRAWS, DRAWS_A_GALAXY * self.n)
        while n_left > 0 and (self.n_lacking or not self.n_drawn):
            latent, pose = density.sample_with_pose(BLOCK, self.rng, self.temperature)
            agrees, score = self.conditions.agreement(latent, self.engine, self.rng)
            both = np.concatenate([latent, pose], axis=1)
            self.found.append(both[agrees])
            best = np.argsort(-score, kind='stable')[:self.n]
            self.others.append((both[best], np.where(agrees, -np.inf, score)[best]))
            self.n_found += int(agrees.sum())
            self.n_drawn += BLOCK
            n_left -= BLOCK

    def result(self):
        """Latents and poses that agree, and where these are too few, the nearest others."""
        if self.n_lacking:
            both, score = (np.concatenate(parts) for parts in zip(*self.others))
            self.found.append(both[np.argsort(-score, kind='stable')[:self.n_lacking]])
        both = np.concatenate(self.found)[:self.n]
        return np.split(both, [self.conditions.model.n_latents], axis=1)
