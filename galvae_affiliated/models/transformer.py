# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts to latents and back, with scikit-learn's contract of a transformer."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from galvae_affiliated.models._devices import BATCH_SIZE
from galvae_affiliated.models.encoder import Encoder, scalar_names
from galvae_affiliated.models.registry import get_model

__all__ = ['LatentTransformer']

FLAGS = 'galvae_flags'


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
    with_flags : bool, optional
        Whether rows have their flags as one more column, the last one: whole numbers whose bits
        are those of `~galvae_affiliated.GalvaeFlags`. Those that need the decoder (POOR_FIT) are
        not among them.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import LatentTransformer
    >>> images = np.random.default_rng(0).random((2, 3, 128, 128))
    >>> LatentTransformer().fit_transform(images).shape
    (2, 40)

    Flags tell why a row is NaN, and which rows to leave out of a fit:

    >>> images[1] = 0.25
    >>> rows = LatentTransformer(with_flags=True).fit_transform(images)
    >>> rows.shape, rows[:, -1].astype(int).tolist()
    ((2, 41), [0, 4])
    """

    def __init__(self, model=None, *, device='auto', batch_size=BATCH_SIZE, n_threads=None,
                 precision='float32', with_flags=False):
        self.model = model
        self.device = device
        self.batch_size = batch_size
        self.n_threads = n_threads
        self.precision = precision
        self.with_flags = with_flags

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
            An array is taken as composites: 8-bit, or floats in [0, 1]; of one band also
            (N, grid, grid).

        Returns
        -------
        latent : (N, n_latents) float32 array
            NaN in the rows that cannot be measured; with their flags behind the latents, and
            n_latents + 1 columns, if ``with_flags`` is true.
        """
        encoding = self.encoder.encode(X, reconstruction=False)
        if not self.with_flags:
            return encoding.latent
        return np.column_stack([encoding.latent, encoding.flags.astype(np.float32)])

    def inverse_transform(self, X, *, pose=None):
        """
        Composites of latents.

        Parameters
        ----------
        X : (N, n_latents) array
            As `transform` gives them: the column of flags has no effect.
        pose : (N, n_pose) array, optional
            See `~galvae_affiliated.models.Encoding`; None takes the mean pose.

        Returns
        -------
        composites : (N, 3, grid, grid) float32 array
            Red, green, blue in [0, 1].
        """
        latents = np.asarray(X)[:, :-1] if self.with_flags else X
        return self.encoder.decode(latents, pose)

    def get_feature_names_out(self, input_features=None):
        """
        Names of the latents, and of the flags where these are a column.

        Parameters
        ----------
        input_features : object, optional
            Not used.

        Returns
        -------
        names : (n_latents,) or (n_latents + 1,) array of str
        """
        names = scalar_names('galvae_latent', self.bundle.n_latents)
        return np.array([*names, *[FLAGS] * self.with_flags], dtype=object)

    @property
    def bundle(self):
        """`~galvae_affiliated.ModelBundle` : The model that encodes."""
        return get_model(self.model)

    @property
    def encoder(self):
        """`~galvae_affiliated.models.Encoder` : What encodes; its sessions are kept."""
        options = self.get_params(deep=False)
        options.pop('with_flags')
        return Encoder(options.pop('model'), **options)
