# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents in coordinates that are not correlated: the metric of distances and densities."""

from dataclasses import dataclass

import numpy as np

from galvae_affiliated.exceptions import BundleError

__all__ = ['Whitening', 'check_latents']

# of the mean eigenvalue of the correlation: the narrowest directions of latents hold little but
# noise, and differ first between surveys
FLOOR = 0.01
LEAST_ROWS = 2


@dataclass(frozen=True)
class Whitening:
    """
    A linear map to coordinates of zero mean that are not correlated, and back.

    Attributes
    ----------
    mean : (D,) array
    matrix : (D, D) array
        ``(values - mean) @ matrix`` are the coordinates.
    inverse : (D, D) array

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.models import Whitening
    >>> values = np.random.default_rng(0).normal(3.0, 2.0, (500, 2))
    >>> whitening = Whitening.fit(values)
    >>> np.allclose(whitening.back(whitening(values)), values)
    True
    """

    mean: np.ndarray
    matrix: np.ndarray
    inverse: np.ndarray

    @classmethod
    def fit(cls, values, *, floor=FLOOR):
        """
        The map of some rows.

        Parameters
        ----------
        values : (N, D) array
            Finite.
        floor : float, optional
            Added to the eigenvalues of the correlation matrix, whose mean is one: directions
            that are narrower are not blown up to the width of the others. Zero whitens
            completely.

        Returns
        -------
        whitening : `Whitening`

        Raises
        ------
        ValueError
            If there are fewer than two rows, or they are not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from galvae_affiliated.models import Whitening
        >>> values = np.random.default_rng(0).normal(3.0, 2.0, (500, 2))
        >>> whitening = Whitening.fit(values, floor=0.0)
        >>> np.cov(whitening(values).T).round(6).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        """
        values = check_latents(values, 'values', least=LEAST_ROWS)
        mean, scale = values.mean(axis=0), values.std(axis=0, ddof=1)
        # what does not vary keeps its unit, and the floor alone decides
        scale = np.where(scale > 0.0, scale, 1.0)
        standard = (values - mean) / scale
        eigenvalues, vectors = np.linalg.eigh(standard.T @ standard / (len(values) - 1))
        widths = np.sqrt(np.maximum(eigenvalues, 0.0) + floor)
        widths = np.where(widths > 0.0, widths, 1.0)
        return cls(mean, vectors / scale[:, None] / widths, (vectors * widths).T * scale)

    @classmethod
    def of_arrays(cls, mean, matrix):
        """The map whose matrix is known; `~galvae_affiliated.BundleError` without an inverse."""
        if len(mean) and np.linalg.matrix_rank(matrix) < len(mean):
            raise BundleError('the matrix that whitens has no inverse')
        return cls(mean, matrix, np.linalg.inv(matrix))

    def __call__(self, values):
        """(N, D) coordinates of (N, D) values."""
        return (np.asarray(values, dtype=float) - self.mean) @ self.matrix

    def back(self, coordinates):
        """(N, D) values of (N, D) coordinates."""
        return np.asarray(coordinates, dtype=float) @ self.inverse + self.mean


def check_latents(values, name='latents', *, least=1, n_columns=None):
    """
    Rows of finite numbers, or an error that says what was got.

    Parameters
    ----------
    values : (N, D) array
    name : str, optional
        What the error calls them.
    least : int, optional
        Fewest rows.
    n_columns : int, optional
        D, if it is known.

    Returns
    -------
    values : (N, D) float array

    Raises
    ------
    ValueError
        If the shape is another, there are fewer rows, or any number is not finite.
    """
    values = np.asarray(values, dtype=float)
    width = 'D' if n_columns is None else n_columns
    if values.ndim != 2 or (n_columns is not None and values.shape[1] != n_columns):
        raise ValueError(f'{name} have shape {values.shape}; expected (N, {width})')
    if len(values) < least:
        raise ValueError(f'there are {len(values)} rows of {name}; expected at least {least}')
    if not np.isfinite(values).all():
        n_lost = int((~np.isfinite(values).all(axis=1)).sum())
        raise ValueError(f'{n_lost} rows of {name} are not finite; expected measured rows alone')
    return values
