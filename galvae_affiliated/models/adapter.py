# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents of one survey to where those of another would lie."""

from dataclasses import dataclass

import numpy as np

from galvae_affiliated.models._archive import checked_arrays, read_arrays

__all__ = ['LatentMap']

ADAPTER = 'adapter.npz'


@dataclass(frozen=True)
class LatentMap:
    """
    A linear map of latents.

    Attributes
    ----------
    matrix : (n_latents, n_latents) array
    offset : (n_latents,) array
        ``latent @ matrix + offset`` are the new latents.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.models import LatentMap
    >>> shift = LatentMap(np.eye(2), np.array([1.0, 0.0]))
    >>> shift([[0.5, 0.5]]).tolist()
    [[1.5, 0.5]]
    """

    matrix: np.ndarray
    offset: np.ndarray

    def __call__(self, latent):
        """(N, n_latents) float32 array of new latents; NaN where they were."""
        return (np.asarray(latent, dtype=float) @ self.matrix + self.offset).astype(np.float32)

    def errors(self, latent_err):
        """
        Standard deviations of the new latents.

        Parameters
        ----------
        latent_err : (N, n_latents) array
            Of the latents, whose errors are independent of one another.

        Returns
        -------
        latent_err : (N, n_latents) float32 array
        """
        square = np.asarray(latent_err, dtype=float) ** 2
        return np.sqrt(square @ self.matrix ** 2).astype(np.float32)

    def evaluate(self, inputs):
        """Outputs of the self-test."""
        return {'adapted': self(inputs['latent']),
                'adapted_err': self.errors(inputs['latent_err'])}

    def arrays(self):
        """dict of str to array : What `read` takes."""
        return {'matrix': np.asarray(self.matrix, dtype=float),
                'offset': np.asarray(self.offset, dtype=float)}

    @classmethod
    def read(cls, content, n_latents):
        """
        The map of a bundle.

        Parameters
        ----------
        content : bytes
            Of the part.
        n_latents : int

        Returns
        -------
        latent_map : `LatentMap`

        Raises
        ------
        BundleError
            If an array is missing or wrong.
        """
        shapes = {'matrix': (n_latents, n_latents), 'offset': (n_latents,)}
        return cls(**checked_arrays(read_arrays(content, len(shapes)), shapes, {}))
