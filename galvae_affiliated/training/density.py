# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A mixture of Gaussians fitted to the latents that a model gives its training galaxies."""

import logging
import warnings

import numpy as np
from sklearn import mixture as sklearn_mixture
from sklearn.exceptions import ConvergenceWarning

from galvae_affiliated.models.density import LatentDensity, log_ratios, ratio_names
from galvae_affiliated.models.mixture import GaussianMixture
from galvae_affiliated.models.whitening import Whitening, check_latents

__all__ = ['choose_mixture', 'fit_density', 'fit_mixture']

logger = logging.getLogger(__name__)
N_COMPONENTS = (16, 32, 64)  # from which held-out galaxies choose; more were not better
HELD_OUT = 0.15
LEAST_GALAXIES = 200
# rows a component, below which a full covariance matrix would be that of its own galaxies
LEAST_OF_COMPONENT = 3.0
# variance added to each direction, in whitened coordinates
REGULARISATION = 3e-3
MAX_ITERATIONS, TOLERANCE = 100, 1e-2
# ridge on the slopes of what goes with the latents, in galaxies
SLOPE_RIDGE = 10.0
LEAST_SHARE = 1e-4  # of a component in a galaxy, that counts
LEAST_SCATTER = 1e-3  # variance of log ratios and of quantities in their own standard deviation


def fit_mixture(values, n_components, random_state=0):
    """
    A mixture with full covariance matrices, by expectation maximisation.

    Parameters
    ----------
    values : (N, D) array
        Whitened.
    n_components : int
    random_state : int, optional

    Returns
    -------
    mixture : `~galvae_affiliated.models.GaussianMixture`
    """
    fit = sklearn_mixture.GaussianMixture(
        n_components, reg_covar=REGULARISATION, max_iter=MAX_ITERATIONS, tol=TOLERANCE,
        init_params='k-means++', random_state=random_state)
    with warnings.catch_warnings():
        # the likelihood of other galaxies decides, and not that of these
        warnings.simplefilter('ignore', ConvergenceWarning)
        fit.fit(values)
    return GaussianMixture(fit.weights_, fit.means_, np.linalg.cholesky(fit.covariances_))


def choose_mixture(values, n_components=N_COMPONENTS, random_state=0):
    """
    The mixture whose number of components explains other galaxies best.

    Parameters
    ----------
    values : (N, D) array
        Whitened, in any order.
    n_components : sequence of int, optional
        Numbers to choose from; those with fewer than three rows a dimension are left out.
    random_state : int, optional

    Returns
    -------
    mixture : `~galvae_affiliated.models.GaussianMixture`
        Of all rows.
    held_out : dict of int to float
        Mean log density of the rows left out, by the number of components; empty if there is
        no choice.
    """
    if len(n_components) == 1:
        most = max(1, int(len(values) / (LEAST_OF_COMPONENT * values.shape[1])))
        return fit_mixture(values, min(n_components[0], most), random_state), {}
    order = np.random.default_rng(random_state).permutation(len(values))
    n_out = max(1, int(HELD_OUT * len(values)))
    out, kept = values[order[:n_out]], values[order[n_out:]]
    most = len(kept) / (LEAST_OF_COMPONENT * values.shape[1])
    held_out = {}
    for n in [n for n in sorted(n_components) if n <= most] or [1]:
        fit = fit_mixture(kept, n, random_state)
        held_out[n] = float(fit.log_density(out).mean())
        logger.info('%d components: log density of galaxies left out %.3f', n, held_out[n])
    best = max(held_out, key=held_out.get)
    return fit_mixture(values, best, random_state), held_out


def fit_density(latent, pose, fractions=None, quantities=None, *, patterns=None,
                n_components=N_COMPONENTS, random_state=0):
    """
    The density of latents, with the laws of what goes with them.

    Parameters
    ----------
    latent : (N, n_latents) array
        Of the training galaxies, all measured.
    pose : (N, n_pose) array
    fractions : mapping of str to (dict of str to (N,) array), optional
        By question, the vote fractions by answer.
    quantities : mapping of str to (N,) array, optional
        NaN where not known.
    patterns : (N, n_questions) int array, optional
        Places of the likeliest answers, -1 where a question is not asked.
    n_components : int or sequence of int, optional
        A number of components, or those to choose from; see `choose_mixture`.
    random_state : int, optional

    Returns
    -------
    density : `~galvae_affiliated.models.LatentDensity`
    held_out : dict of int to float
        See `choose_mixture`.

    Raises
    ------
    ValueError
        If there are fewer than 200 galaxies, or the latents are not finite.
    """
    latent = check_latents(latent, least=LEAST_GALAXIES)
    pose = check_latents(pose, 'pose', least=len(latent))
    whitenings = Whitening.fit(latent), Whitening.fit(pose)
    values = np.concatenate([whitenings[0](latent), whitenings[1](pose)], axis=1)
    numbers = (n_components,) if np.ndim(n_components) == 0 else n_components
    mixture, held_out = choose_mixture(values, numbers, random_state)
    fractions, quantities = fractions or {}, quantities or {}
    questions = {name: tuple(answers) for name, answers in fractions.items()}
    columns = [np.zeros((len(latent), 0))]
    if fractions:
        columns.append(log_ratios({name: np.column_stack(list(answers.values()))
                                   for name, answers in fractions.items()}))
    columns += [np.asarray(of_one, dtype=float)[:, None] for of_one in quantities.values()]
    given = np.concatenate(columns, axis=1)
    laws = _linear_laws(mixture, values, latent.shape[1], given, len(ratio_names(questions)))
    patterns = np.full((len(latent), len(questions)), -1) if patterns is None else patterns
    patterns, counts = np.unique(patterns, axis=0, return_counts=True)
    density = LatentDensity(*whitenings, mixture, questions, tuple(quantities), *laws, patterns,
                            counts)
    return density, held_out


def _linear_laws(mixture, values, n_latents, given, n_ratios):
    """
    Offsets, slopes and scatter of what goes with the latents, component by component.

    Weighted ridge regressions on the galaxies of which each is known; the slopes of a component
    with few galaxies are drawn to those of all.

    Parameters
    ----------
    mixture : `~galvae_affiliated.models.GaussianMixture`
    values : (N, D) array
        Whitened latents and pose.
    n_latents : int
        Of the columns, those that are latents.
    given : (N, Q) array
        NaN where not known.
    n_ratios : int
        Of these, how many come first that are in units of their own.

    Returns
    -------
    offset, slope, scatter : (K, Q), (K, Q, n_latents), (K, Q, Q) arrays
    """
    n_components, n_given = len(mixture.weights), given.shape[1]
    offset, slope = np.zeros((n_components, n_given)), np.zeros((n_components, n_given, n_latents))
    scatter = np.zeros((n_components, n_given, n_given))
    if not n_given:
        return offset, slope, scatter
    least = np.full(n_given, LEAST_SCATTER)
    least[n_ratios:] *= np.nanvar(given[:, n_ratios:], axis=0)
    shares, means = mixture.responsibilities(values), mixture.means[:, :n_latents]
    values = values[:, :n_latents]
    known = np.isfinite(given)
    for q in range(n_given):
        rows = known[:, q]
        everywhere = _weighted_ridge(values[rows], given[rows, q], np.ones(rows.sum()))
        for k, mean in enumerate(means):
            some = rows & (shares[:, k] > LEAST_SHARE)
            prior = everywhere[0] + mean @ everywhere[1], everywhere[1]
            offset[k, q], slope[k, q] = _weighted_ridge(values[some] - mean, given[some, q],
                                                        shares[some, k], prior)
    for k, mean in enumerate(means):
        some = shares[:, k] > LEAST_SHARE
        weight, its = shares[some, k], known[some]
        predicted = offset[k] + (values[some] - mean) @ slope[k].T
        residual = np.where(its, given[some] - predicted, 0.0) * np.sqrt(weight)[:, None]
        n_pairs = (its * weight[:, None]).T @ its
        scatter[k] = _positive(residual.T @ residual / np.maximum(n_pairs, 1.0), least)
    return offset, slope, scatter


def _weighted_ridge(x, y, weight, prior=None):
    """Offset and slopes; what the prior has not explained is drawn to zero."""
    start = prior or (np.average(y, weights=weight), np.zeros(x.shape[1]))
    residual = y - start[0] - x @ start[1]
    design = np.column_stack([np.ones(len(x)), x])
    square = (design * weight[:, None]).T @ design
    square[np.diag_indices_from(square)] += SLOPE_RIDGE
    change = np.linalg.solve(square, (design * weight[:, None]).T @ residual)
    return start[0] + change[0], start[1] + change[1:]


def _positive(covariance, least):
    """The covariance matrix with variances of at least so much in each direction."""
    scale = np.sqrt(least)
    eigenvalues, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    return (vectors * np.maximum(eigenvalues, 1.0)) @ vectors.T * np.outer(scale, scale)
