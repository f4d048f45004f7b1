# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Linear maps of latents of one survey onto those of another."""

import numpy as np

__all__ = ['coral_map', 'identity_map', 'paired_ridge_map', 'scaling_map', 'shift_map']

# strengths of the ridge, in galaxies, from which left-out pairs choose
RIDGES = 10.0 ** np.arange(-1.0, 6.0)


def identity_map(n):
    """Matrix and offset of the map that changes nothing."""
    return np.eye(n), np.zeros(n)


def shift_map(source, target):
    """Matrix and offset of the map that gives the target the mean of the source."""
    return np.eye(source.shape[1]), source.mean(axis=0) - target.mean(axis=0)


def scaling_map(source, target):
    """Those of the map that gives each latent of the target the source's mean and width."""
    gain = source.std(axis=0) / np.maximum(target.std(axis=0), np.finfo(float).tiny)
    return np.diag(gain), source.mean(axis=0) - gain * target.mean(axis=0)


def coral_map(source, target, shrinkage=0.1):
    """
    The map that gives the target the mean and the covariance of the source.

    Correlation alignment (Sun et al. 2016, AAAI 30, 2058) with covariance matrices that are
    drawn to a sphere, in place of an added unit matrix.

    Parameters
    ----------
    source, target : (N, D), (M, D) arrays
        Whitened by the source, so that a sphere is no arbitrary shape.
    shrinkage : float, optional
        Share of the sphere in each covariance matrix.

    Returns
    -------
    matrix : (D, D) array
    offset : (D,) array
        ``target @ matrix + offset`` has the mean and the covariance of the source.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.surveys import coral_map
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(300, 3)), rng.normal(0.5, 2.0, (200, 3))
    >>> matrix, offset = coral_map(source, target, shrinkage=0.0)
    >>> np.allclose((target @ matrix + offset).mean(axis=0), source.mean(axis=0))
    True
    """
    narrow = _root(_covariance(target, shrinkage), -0.5)
    matrix = narrow @ _root(_covariance(source, shrinkage), 0.5)
    return matrix, source.mean(axis=0) - target.mean(axis=0) @ matrix


def _covariance(values, shrinkage):
    covariance = np.cov(values.T)
    sphere = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return (1.0 - shrinkage) * covariance + shrinkage * sphere


def _root(matrix, power):
    """Symmetric power of a covariance matrix."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    least = np.finfo(float).eps * eigenvalues.max()
    return (vectors * np.maximum(eigenvalues, least) ** power) @ vectors.T


def paired_ridge_map(source, target):
    """
    The map by which galaxies of the target come nearest to themselves in the source.

    A ridge regression of the difference on the latents of the target: with a strong ridge the
    map is a shift. Its strength is the one whose error of left-out pairs is least, which
    needs no fit without each of them (Allen 1974, Technometrics 16, 125).

    Parameters
    ----------
    source, target : (P, D) arrays
        The same galaxies, row by row, whitened.

    Returns
    -------
    matrix : (D, D) array
    offset : (D,) array
    error : float
        Mean square distance of left-out pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.surveys import paired_ridge_map
    >>> source = np.random.default_rng(0).normal(size=(300, 3))
    >>> matrix, offset, error = paired_ridge_map(source, source + 1.0)
    >>> offset.round(1).tolist()
    [-1.0, -1.0, -1.0]
    """
    mean = target.mean(axis=0)
    centred, difference = target - mean, source - target
    shift = difference.mean(axis=0)
    u, singular, v = np.linalg.svd(centred, full_matrices=False)
    best = None
    for ridge in RIDGES:
        keep = singular ** 2 / (singular ** 2 + ridge)
        fitted = (u * keep) @ (u.T @ (difference - shift))
        leverage = (u ** 2 * keep).sum(axis=1) + 1.0 / len(target)
        residual = (difference - shift - fitted) / (1.0 - leverage)[:, None]
        error = float((residual ** 2).sum(axis=1).mean())
        if best is None or error < best[0]:
            best = error, ridge
    error, ridge = best
    slope = (v.T * (singular / (singular ** 2 + ridge))) @ (u.T @ (difference - shift))
    matrix = np.eye(len(mean)) + slope
    return matrix, shift - mean @ slope, error
