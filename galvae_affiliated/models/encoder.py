# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts to latents and back, by the graphs of a model alone."""

import functools
import os
from dataclasses import dataclass

import numpy as np

from galvae_affiliated.cutouts.stack import CutoutStack
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.models._devices import BATCH_SIZE, residual_graph
from galvae_affiliated.models._runner import GraphRunner
from galvae_affiliated.models.registry import get_model

__all__ = ['Encoder', 'Encoding', 'reduced_chi2', 'scalar_names']

POSTERIOR = ['latent_mean', 'latent_logvar', 'latent_pose']
LEAST_WEIGHT = 1e-6  # of an image, so that one without a pixel that counts has no residual


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
    def unmeasured(cls, stack, model, *, reconstruction):
        """The `Encoding` of cutouts that nothing is known of yet: NaN in all rows."""
        n = len(stack)
        latent, error = np.full((2, n, model.n_latents), np.nan, dtype=np.float32)
        pose, chi2 = np.full((n, model.n_pose), np.nan, dtype=np.float32), np.full(n, np.nan, dtype=np.float32)
        return cls(latent, error, pose, chi2 if reconstruction else None, stack.flags.copy(),
                   stack.radius.astype(np.float32), stack.pixel_scale.astype(np.float32))

    @classmethod
    def concatenate(cls, parts):
        """One `Encoding` of the rows of several, in their order."""
        def join(name):
            values = [getattr(part, name) for part in parts]
            return None if values[0] is None else np.concatenate(values)

        return cls(**{name: join(name) for name in cls.__dataclass_fields__})


class Encoder:
    """
    Encode cutouts with a trained model, and decode latents.

    Sessions are started when they are first needed, and left out when the
    object is pickled.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model, its name, or its file; None takes the default.
    device : {'auto', 'cpu', 'cuda', 'tensorrt'}, optional
        Where to compute: 'auto' takes CUDA where it starts and the CPU
        otherwise. 'tensorrt' builds engines for minutes the first time.
    batch_size : int, optional
        Cutouts a call of the network.
    n_threads : int, optional
        Batches that run side by side on a CPU; None takes the processors that the process may use.
    precision : {'float32', 'float16'}, optional
        What the network computes in; 'float16' needs a GPU, and a model that was exported with it.
    """

    def __init__(self, model=None, *, device='auto', batch_size=BATCH_SIZE, n_threads=None, precision='float32'):
        self.model = get_model(model)
        self.device, self.batch_size, self.n_threads, self.precision = device, batch_size, n_threads, precision
        self._runners = {}

    def __getstate__(self):
        return {**self.__dict__, '_runners': {}}

    def runner(self, graph):
        """
        The runner of a graph, kept for the next call.

        Parameters
        ----------
        graph : {'encoder', 'decoder', 'residual'}
            'residual' computes `reduced_chi2` where the images are.

        Returns
        -------
        runner : `~galvae_affiliated.models._runner.GraphRunner`
        """
        if graph == 'residual':
            encoder = self.runner('encoder')
            return residual_runner(encoder.device, encoder.batch_size, os.getpid())
        if graph not in self._runners:
            self._runners[graph] = self.model.runner(graph, device=self.device, batch_size=self.batch_size,
                                                      n_threads=self.n_threads, precision=self.precision)
        return self._runners[graph]

    def runners(self, reconstruction):
        """The runners that `encode` needs."""
        return [self.runner(graph) for graph in ['encoder'] + ['decoder', 'residual'] * reconstruction]

    def warm_up(self, *, reconstruction=True):
        """
        Start the sessions and, on a GPU, run a first batch, which takes seconds there.

        To be called while the first cutouts are made.

        Parameters
        ----------
        reconstruction : bool, optional
            See `encode`.

        Raises
        ------
        DeviceError
            If the device does not start.
        """
        for runner in self.runners(reconstruction):
            runner.warm_up()

    def encode(self, cutouts, *, reconstruction=True):
        """
        All that the model says of cutouts.

        Parameters
        ----------
        cutouts : `~galvae_affiliated.CutoutStack` or (N, 3, grid, grid) array
            An array is taken as composites: 8-bit, or floats in [0, 1].
        reconstruction : bool, optional
            Decode too, and tell how well the decoder explains each cutout.

        Returns
        -------
        encoding : `Encoding`

        Raises
        ------
        ValueError, TypeError
            If the cutouts are not of the model's grid, or not numbers.
        DeviceError
            If the device does not start.
        """
        model, stack = self.model, as_stack(cutouts, self.model.grid)
        runner = self.runner('encoder')
        if self.device != 'auto':
            # a device that does not start is an error, whether or not there is a row to encode
            runner.start()
        encoding = Encoding.unmeasured(stack, model, reconstruction=reconstruction)
        rows = np.flatnonzero(stack.measured)
        inputs = {'image': stack.data, 'rendering': np.zeros(len(stack), dtype=np.int64)}
        inputs['rendering'][rows] = model.rendering_index(stack.rendering[rows])
        usual = model.manifest['reconstruction']
        if len(rows):
            for needed in self.runners(reconstruction):
                needed.start()  # by this thread alone
            runner.each(lambda some: self.encode_batch(inputs, rows[some], usual, encoding), runner.slices(len(rows)))
        if reconstruction:
            encoding.flags[encoding.recon_chi2 > usual['chi2_99']] |= GalvaeFlags.POOR_FIT
        return encoding

    def encode_batch(self, inputs, rows, usual, encoding):
        """Fill some rows of an encoding; images stay on the device, small results come back."""
        runner, n, reconstruction = self.runner('encoder'), len(rows), encoding.recon_chi2 is not None
        # rows that follow one another are not copied
        picked = slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == n else rows
        latent, logvar, pose, *seen = runner.run_batch(runner.batch(inputs, picked),
                                                       POSTERIOR + ['frame', 'weight'] * reconstruction)
        encoding.latent[rows] = latent.numpy()[:n]
        encoding.latent_err[rows] = np.exp(0.5 * logvar.numpy()[:n])
        encoding.pose[rows] = pose.numpy()[:n]
        if reconstruction:
            decoded, = self.runner('decoder').run_batch({'latent': latent, 'pose': pose}, ['composite'])
            images = dict(zip(('decoded', 'frame', 'weight'), (decoded, *seen)))
            variance = {name: of_channels(usual[name]) for name in ('floor', 'slope')}
            chi2, = self.runner('residual').run_batch({**images, **variance}, ['chi2'])
            encoding.recon_chi2[rows] = chi2.numpy()[:n]

    def decode(self, latent, pose=None):
        """
        Composites of latents.

        Parameters
        ----------
        latent : (N, n_latents) array
        pose : (N, n_pose) array, optional
            See `Encoding`; None takes the mean pose.

        Returns
        -------
        composites : (N, 3, grid, grid) float32 array
            Red, green, blue in [0, 1].

        Raises
        ------
        ValueError
            If the arrays do not have these shapes.
        """
        model, latent = self.model, np.asarray(latent)
        if latent.ndim != 2 or latent.shape[1] != model.n_latents:
            raise ValueError(f'latents have shape {latent.shape}; expected (N, {model.n_latents})')
        pose = np.zeros((len(latent), model.n_pose), dtype=np.float32) if pose is None else np.asarray(pose)
        if pose.shape != (len(latent), model.n_pose):
            raise ValueError(f'pose has shape {pose.shape}; expected ({len(latent)}, {model.n_pose})')
        return self.runner('decoder')({'latent': latent, 'pose': pose}, ['composite'])[0]

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


@functools.cache
def residual_runner(device, batch_size, process):
    """
    The runner of `residual_graph`, which is the same for all models: a process has one.

    A process that was forked has another, for the threads of its parent's
    sessions are not there, and it would wait for them for ever.
    """
    # an engine of TensorRT for ten sums and products is not worth its building
    device = device.replace('tensorrt', 'cuda')
    return GraphRunner(residual_graph(), device=device, batch_size=batch_size)


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
    floor, slope = of_channels(floor), of_channels(slope)
    square = weight * (decoded - frame) ** 2 / (floor + slope * decoded)
    return square.sum(axis=(1, 2, 3)) / np.maximum(weight.sum(axis=(1, 2, 3)), LEAST_WEIGHT)


def of_channels(values):
    """(3, 1, 1) float32 array of a value a channel."""
    return np.asarray(values, dtype=np.float32).reshape(3, 1, 1)


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
