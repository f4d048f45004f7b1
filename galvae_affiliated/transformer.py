# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts to latents and back, with scikit-learn's contract of a transformer."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from galvae_affiliated.cutouts import CutoutStack
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.registry import get_model

__all__ = ['Encoding', 'LatentTransformer']


@dataclass(frozen=True)
class Encoding:
    """
    What a model says of N cutouts; rows that cannot be measured are NaN.

    Attributes
    ----------
    latent, latent_err : (N, n_latents) float32 arrays
        Mean and standard deviation of the posterior.
    pose : (N, n_pose) float32 array
        What a rotation, flip, shift or zoom of the image changes.
    recon_chi2 : (N,) float32 array or None
        Mean square residual of the decoded image, over the variance that training images have.
    flags : (N,) int32 array
    radius : (N,) float32 array
        petroR90 in pixels of the image.
    pixel_scale : (N,) float32 array
        Side of a pixel in arcsec, NaN where it is not known.
    """

    latent: np.ndarray
    latent_err: np.ndarray
    pose: np.ndarray
    recon_chi2: np.ndarray | None
    flags: np.ndarray
    radius: np.ndarray
    pixel_scale: np.ndarray

    def __len__(self):
        return len(self.latent)

    @property
    def measured(self):
        """(N,) bool array: rows that have latents."""
        return np.isfinite(self.latent).all(axis=1)

    @classmethod
    def concatenate(cls, parts):
        """One `Encoding` of the rows of several, in their order."""
        def join(name):
            values = [getattr(part, name) for part in parts]
            return None if values[0] is None else np.concatenate(values)

        return cls(**{name: join(name) for name in cls.__dataclass_fields__})


class LatentTransformer(TransformerMixin, BaseEstimator):
    """
    Encode cutouts with a trained model.

    Nothing is learnt from the data that is given to `fit`.

    Parameters
    ----------
    bundle : `~galvae_affiliated.ModelBundle`, optional
        The model; None takes the default when it is first needed.
    device : {'auto', 'cpu', 'cuda'}, optional
        Where to compute.
    batch_size : int, optional
        Cutouts a call of the network.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated import LatentTransformer
    >>> images = np.random.default_rng(0).random((2, 3, 128, 128))
    >>> LatentTransformer().fit_transform(images).shape
    (2, 40)
    """

    def __init__(self, bundle=None, *, device='auto', batch_size=64):
        self.bundle = bundle
        self.device = device
        self.batch_size = batch_size

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
        return self.encode(X, reconstruction=False).latent

    def inverse_transform(self, X, *, pose=None):
        """
        Composites of latents.

        Parameters
        ----------
        X : (N, n_latents) array
        pose : (N, n_pose) array, optional
            See `Encoding`; None takes the mean pose.

        Returns
        -------
        composites : (N, 3, grid, grid) float32 array
            Red, green, blue in [0, 1].
        """
        bundle = self.model
        latent = np.asarray(X)
        if latent.ndim != 2 or latent.shape[1] != bundle.n_latents:
            raise ValueError(f'latents have shape {latent.shape}; expected (N, {bundle.n_latents})')
        pose = np.zeros((len(latent), bundle.n_pose), dtype=np.float32) if pose is None else np.asarray(pose)
        if pose.shape != (len(latent), bundle.n_pose):
            raise ValueError(f'pose has shape {pose.shape}; expected ({len(latent)}, {bundle.n_pose})')
        return self.runner('decoder')({'latent': latent, 'pose': pose}, ['composite'])[0]

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
        return np.array(scalar_names('galvae_latent', self.model.n_latents), dtype=object)

    @property
    def model(self):
        """`~galvae_affiliated.ModelBundle` : The model that encodes."""
        return get_model(self.bundle)

    def runner(self, graph):
        """The runner of a graph, kept for the next call with the same settings."""
        key = (graph, self.model.sha256, self.device, self.batch_size)
        runners = self.__dict__.setdefault('_runners', {})
        if key not in runners:
            runners[key] = self.model.runner(graph, device=self.device, batch_size=self.batch_size)
        return runners[key]

    def encode(self, cutouts, *, reconstruction=True):
        """
        All that the model says of cutouts.

        Parameters
        ----------
        cutouts : `~galvae_affiliated.CutoutStack` or (N, 3, grid, grid) array
        reconstruction : bool, optional
            Decode too, and tell how well the decoder explains each cutout.

        Returns
        -------
        encoding : `Encoding`
        """
        stack, encoder = as_stack(cutouts, self.model.grid), self.runner('encoder')
        if self.device != 'auto':
            # a device that does not start is an error, whether or not there is a row to encode
            encoder.start()
        parts = [self.encode_batch(stack[i:i + self.batch_size], reconstruction)
                 for i in range(0, max(len(stack), 1), self.batch_size)]
        latent, error, pose, chi2, flags = (np.concatenate(p) for p in zip(*parts))
        return Encoding(latent, error, pose, chi2 if reconstruction else None, flags,
                        stack.radius.astype(np.float32), stack.pixel_scale.astype(np.float32))

    def frames(self, cutouts):
        """
        What the network sees of cutouts: composites within the soft circle.

        Parameters
        ----------
        cutouts : `~galvae_affiliated.CutoutStack` or (N, 3, grid, grid) array

        Returns
        -------
        frames : (N, 3, grid, grid) float32 array
            Red, green, blue in [0, 1]; missing pixels are at the sky's level.
        """
        stack = as_stack(cutouts, self.model.grid)
        inputs = {'image': stack.data, 'rendering': self.model.rendering_index(stack.rendering)}
        return self.runner('encoder')(inputs, ['frame'])[0]

    def encode_batch(self, stack, reconstruction):
        """Latents, errors, pose, chi-square and flags of one batch; only measured rows reach the network."""
        bundle, rows = self.model, np.flatnonzero(stack.measured)
        n = len(stack)
        latent, error = (np.full((n, bundle.n_latents), np.nan, dtype=np.float32) for _ in range(2))
        pose, chi2 = np.full((n, bundle.n_pose), np.nan, dtype=np.float32), np.full(n, np.nan, dtype=np.float32)
        flags = stack.flags.copy()
        if len(rows):
            inputs = {'image': stack.data[rows], 'rendering': bundle.rendering_index(stack.rendering[rows])}
            outputs = ['latent_mean', 'latent_logvar', 'latent_pose'] + ['frame', 'weight'] * reconstruction
            latent[rows], logvar, pose[rows], *seen = self.runner('encoder')(inputs, outputs)
            error[rows] = np.exp(0.5 * logvar)
            if reconstruction:
                decoded = self.inverse_transform(latent[rows], pose=pose[rows])
                usual = bundle.manifest['reconstruction']
                chi2[rows] = reduced_chi2(decoded, *seen, usual['floor'], usual['slope'])
                flags[chi2 > usual['chi2_99']] |= GalvaeFlags.POOR_FIT
        return latent, error, pose, chi2, flags


def scalar_names(name, length):
    """Names of the scalar columns that stand for a vector column."""
    return [f'{name}_{i:02d}' for i in range(length)]


def reduced_chi2(decoded, frame, weight, floor, slope):
    """
    Mean square residual of each image in units of the variance that training images have.

    Parameters
    ----------
    decoded, frame : (N, 3, grid, grid) arrays
        Composites.
    weight : (N, 3, grid, grid) array
        Share of each pixel that counts.
    floor, slope : (3,) sequences
        Variance ``floor + slope * decoded`` of each channel: of the sky, and more where the galaxy is bright.

    Returns
    -------
    chi2 : (N,) array
    """
    floor, slope = (np.asarray(x, dtype=np.float32).reshape(1, 3, 1, 1) for x in (floor, slope))
    square = (decoded - frame) ** 2 / (floor + slope * decoded)
    return (weight * square).sum(axis=(1, 2, 3)) / np.maximum(weight.sum(axis=(1, 2, 3)), 1e-6)


def as_stack(cutouts, grid):
    """A `CutoutStack` of the model's grid, or an error that says what was got."""
    if not isinstance(cutouts, CutoutStack):
        array = np.asarray(cutouts)
        if array.dtype.kind not in 'fiu':
            raise TypeError(f'cutouts are of type {array.dtype}; expected numbers')
        if array.ndim != 4:
            raise ValueError(f'cutouts have shape {array.shape}; expected (N, 3, {grid}, {grid})')
        cutouts = CutoutStack.from_composites(array)
    if cutouts.data.shape[-1] != grid:
        raise ValueError(f'cutouts have {cutouts.data.shape[-1]} pixels a side; this model takes {grid}')
    return cutouts
