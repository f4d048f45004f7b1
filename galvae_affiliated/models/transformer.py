# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts to latents and back, with scikit-learn's contract of a transformer."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from galvae_affiliated.models._devices import BATCH_SIZE
from galvae_affiliated.models.encoder import Encoder, scalar_names
from galvae_affiliated.models.registry import get_model

__all__ = ['LatentTransformer']



class LatentTransformer(TransformerMixin, BaseEstimator):
    """
    Encode cutouts with a trained model.

    Nothing is learnt from the data that is given to `fit`.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model, its name, or its file; None takes the default when it is first needed.
    device, batch_size, n_threads, precision : optional
        See `~galvae_affiliated.Engine`.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import LatentTransformer
    >>> images = np.random.default_rng(0).random((2, 3, 128, 128))
    >>> LatentTransformer().fit_transform(images).shape
    (2, 40)
    """

    def __init__(self, model=None, *, device='auto', batch_size=BATCH_SIZE, n_threads=None,
                 precision='float32'):
        self.model = model
        self.device = device
        self.batch_size = batch_size
        self.n_threads = n_threads
        self.precision = precision

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X=None, y=None):
        """
        Do nothing.

        Parameters
        ----------
        X, y : object, optional
            Not used.

        Returns
        -------
        self : `LatentTransformer`
        """
        return self

    def transform(self, X):
        """
        Latents of cutouts.

        Parameters
        ----------
        X : `~galvae_affiliated.CutoutStack` or (N, 3, grid, grid) array
            An array is taken as composites: 8-bit, or floats in [0, 1].

        Returns
        -------
        latent : (N, n_latents) float32 array
            NaN in the rows that cannot be measured.
        """
        return self.encoder.encode(X, reconstruction=False).latent

    def inverse_transform(self, X, *, pose=None):
        """
        Composites of latents.

        Parameters
        ----------
        X : (N, n_latents) array
        pose : (N, n_pose) array, optional
            See `~galvae_affiliated.models.Encoding`; None takes the mean pose.

        Returns
        -------
        composites : (N, 3, grid, grid) float32 array
            Red, green, blue in [0, 1].
        """
        return self.encoder.decode(X, pose)

    def get_feature_names_out(self, input_features=None):
        """
        Names of the latents.

        Parameters
        ----------
        input_features : object, optional
            Not used.

        Returns
        -------
        names : (n_latents,) array of str
        """
        return np.array(scalar_names('galvae_latent', self.bundle.n_latents), dtype=object)

    @property
    def bundle(self):
        """`~galvae_affiliated.ModelBundle` : The model that encodes."""
        return get_model(self.model)

    @property
    def encoder(self):
        """`~galvae_affiliated.models.Encoder` : What encodes; its sessions are kept."""
        options = self.get_params(deep=False)
        return Encoder(options.pop('model'), **options)
