# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What lies nearest: whether a code is kept, and whether training galaxies are repeated."""

import numpy as np

from galvae_affiliated.models.whitening import Whitening

__all__ = ['halves_test', 'nearest_distance', 'own_is_nearest']

BLOCK = 1024  # rows whose distances are in memory


def _squares(points, among):
    """Squared distances of (N, D) and (M, D) arrays in blocks of rows, with the first of each."""
    norm = (among ** 2).sum(axis=1)
    for start in range(0, len(points), BLOCK):
        some = points[start:start + BLOCK]
        yield start, (some ** 2).sum(axis=1)[:, None] + norm - 2.0 * some @ among.T


def nearest_distance(points, among):
    """
    Distance of each point to the nearest of others.

    Parameters
    ----------
    points, among : (N, D), (M, D) arrays

    Returns
    -------
    distance : (N,) array
    """
    points, among = (np.asarray(x, dtype=float) for x in (points, among))
    parts = [square.min(axis=1) for _, square in _squares(points, among)]
    return np.sqrt(np.maximum(np.concatenate([np.zeros(0), *parts]), 0.0))


def own_is_nearest(again, latent):
    """
    Share of latents that, read again, are nearer to themselves than to those of other galaxies.

    Parameters
    ----------
    again, latent : (N, D) arrays
        Of the same galaxies: of reconstructions, and of the images.

    Returns
    -------
    shares : dict of str to float
        ``plain``, by the distance of latents as they are, in which the widest directions count
        most; ``whitened``, by that in which each direction counts alike, those of noise too.
    """
    again, latent = (np.asarray(x, dtype=float) for x in (again, latent))
    whitening = Whitening.fit(latent)
    return {'plain': _own_share(again, latent),
            'whitened': _own_share(whitening(again), whitening(latent))}


def _own_share(points, among):
    hits = sum(int((square.argmin(axis=1) == start + np.arange(len(square))).sum())
               for start, square in _squares(points, among))
    return hits / len(points)


def halves_test(latent, held_out, fit, *, n_samples=2000, random_state=0):
    """
    Densities of two halves of the training latents: does each repeat its own galaxies?

    If the densities have learnt the distribution and not its galaxies, samples of one are as
    likely under the other as galaxies that neither saw, and as near to the half that their own
    density did not see as to the one that it did.

    Parameters
    ----------
    latent : (N, D) array
        Of training galaxies, in any order.
    held_out : (M, D) array
        Of others.
    fit : callable
        (N, D) whitened latents to their density, such as
        `~galvae_affiliated.training.density.fit_mixture` gives.
    n_samples : int, optional
        Drawn of each.
    random_state : int, optional

    Returns
    -------
    figures : dict of str to float
        Log densities, ``median`` and ``mean`` (which the farthest few decide), in latents that
        all of the training latents whiten, of ``training, own half``, ``held out``,
        ``samples, own half`` and ``samples, other half``. Median distances of samples to the
        ``nearest`` galaxy of ``own half`` and ``other half``, and of ``held out`` to that of a
        half. ``nearer to own``, the share of samples whose nearest galaxy is of their own half,
        which is 0.5 where nothing is repeated, with its standard ``error``.

    References
    ----------
    Kadkhodaie, Z. et al. 2024, ICLR (arXiv:2310.02557).
    """
    whitening, rng = Whitening.fit(latent), np.random.default_rng(random_state)
    order = rng.permutation(len(latent))
    halves = [whitening(np.asarray(latent)[rows]) for rows in np.array_split(order, 2)]
    held_out = whitening(held_out)
    fits = [fit(half) for half in halves]
    samples = [density.sample(n_samples, rng)[0] for density in fits]
    near = np.array([[nearest_distance(drawn, half) for half in halves] for drawn in samples])
    own, other = near[[0, 1], [0, 1]].ravel(), near[[0, 1], [1, 0]].ravel()
    share = float((own < other).mean())
    sets = {'training, own half': halves, 'held out': [held_out] * 2,
            'samples, own half': samples, 'samples, other half': samples[::-1]}
    return {'galaxies a half': len(halves[0]),
            **_log_densities(fits, sets),
            'nearest: own half': float(np.median(own)),
            'nearest: other half': float(np.median(other)),
            'nearest: held out': float(np.median([nearest_distance(held_out, half)
                                                  for half in halves])),
            'nearer to own': share,
            'error': float(np.sqrt(share * (1.0 - share) / len(own)))}


def _log_densities(fits, sets):
    """Median and mean log densities of sets of a pair of values, for a pair of densities."""
    logs = {name: np.concatenate([fit.log_density(values) for fit, values in zip(fits, pair)])
            for name, pair in sets.items()}
    return {f'{kind} log density: {name}': float(reduced(values))
            for kind, reduced in (('median', np.median), ('mean', np.mean))
            for name, values in logs.items()}
