# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cutouts to latents and back, by the graphs of a model alone."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np

from galvae_affiliated.cutouts.stack import CutoutStack, unreadable_stack
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.models._column import Column
from galvae_affiliated.models.details import draw_composites
from galvae_affiliated.models.engine import Engine
from galvae_affiliated.models.image_statistics import STATISTICS, image_statistics
from galvae_affiliated.models.registry import get_model

__all__ = ['Encoder', 'Encoding', 'reduced_chi2']

POSTERIOR = ['latent_mean', 'latent_logvar', 'latent_pose']
MIN_WEIGHT = 1e-6  # of an image, so that one without a pixel that counts has no residual


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
    resolution : (N,) float32 array
        petroR90 over that of a point source in the image, NaN where it is not known.
    channels : tuple of str
        What the channels of the cutouts hold, in all ways that there are among the rows; see
        ``bands`` of `~galvae_affiliated.CutoutStack`.
    statistics : (N, 19) float array or None
        Numbers of the images as the network saw them, such as their light and asymmetry.
    image_kind : (N,) array of str
        'composite', 'rerender' or 'flux', by the rendering, and of how many bands: 'flux_color',
        'flux_two', 'flux_grey' and so on; empty where it is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.models import Encoder
    >>> images = np.random.default_rng(0).random((2, 3, 128, 128))
    >>> images[1] = 0.25  # nothing is there
    >>> encoding = Encoder().encode(images)
    >>> encoding.measured.tolist(), bool(np.isnan(encoding.latent[1]).all())
    ([True, False], True)
    """

    latent: np.ndarray
    latent_err: np.ndarray
    pose: np.ndarray
    recon_chi2: np.ndarray | None
    flags: np.ndarray
    radius: np.ndarray
    pixel_scale: np.ndarray
    resolution: np.ndarray | None = None
    channels: tuple = ()
    statistics: np.ndarray | None = None
    image_kind: np.ndarray | None = None

    def __post_init__(self):
        if self.image_kind is None:
            object.__setattr__(self, 'image_kind', np.full(len(self.latent), '', dtype='U15'))
        if self.resolution is None:
            unknown = np.full(len(self.latent), np.nan, dtype=np.float32)
            object.__setattr__(self, 'resolution', unknown)

    def __len__(self):
        return len(self.latent)

    @property
    def measured(self):
        """(N,) bool array: rows that have latents."""
        return np.isfinite(self.latent).all(axis=1)

    @property
    def radius_unit(self):
        """
        The one unit of the column of radii.

        Arcsec, but pixels where a measured row has no known pixel scale, or none is measured.
        """
        return unit_of_radii(self.pixel_scale[self.measured])

    def radius_in(self, unit):
        """(N,) float32 array: petroR90 in 'arcsec', or in pixels for any other unit."""
        return self.radius * self.pixel_scale if unit == u.arcsec else self.radius

    @classmethod
    def unmeasured(cls, stack, model, *, reconstruction, statistics=False):
        """The `Encoding` of cutouts that nothing is known of yet: NaN in all rows."""
        n = len(stack)
        latent, error = np.full((2, n, model.n_latents), np.nan, dtype=np.float32)
        pose = np.full((n, model.n_pose), np.nan, dtype=np.float32)
        chi2 = np.full(n, np.nan, dtype=np.float32) if reconstruction else None
        return cls(latent, error, pose, chi2, stack.flags.copy(),
                   stack.radius.astype(np.float32), stack.pixel_scale.astype(np.float32),
                   stack.resolution.astype(np.float32),
                   tuple(np.unique(stack.bands[stack.measured]).tolist()),
                   np.full((n, len(STATISTICS)), np.nan) if statistics else None,
                   image_kinds(stack, model.frame))

    @classmethod
    def concatenate(cls, parts):
        """One `Encoding` of the rows of several, in their order."""
        def join(name):
            values = [getattr(part, name) for part in parts]
            if name == 'channels':
                return tuple(sorted(set().union(*values)))
            return None if values[0] is None else np.concatenate(values)

        return cls(**{name: join(name) for name in cls.__dataclass_fields__})

    def columns(self, *, scalar_columns=False, radius_unit=None):
        """
        What there is to say of the rows.

        Parameters
        ----------
        scalar_columns : bool, optional
            A scalar column a latent in place of vectors.
        radius_unit : `~astropy.units.Unit`, optional
            'pix' or 'arcsec'; None takes `radius_unit`.

        Returns
        -------
        columns : list of `~galvae_affiliated.models._column.Column`
        """
        columns = []
        known = ' or '.join(filter(None, self.channels))
        meta = {'galvae_channels': known} if known else {}
        # many kinds would make a long text, which is in the metadata
        of_what = f' of {known}' if len(self.channels) == 1 and known else ''
        for name, values, description, ucd in (
                ('galvae_latent', self.latent, f'morphology latents{of_what}',
                 'src.morph.param'),
                ('galvae_latent_err', self.latent_err, 'errors of the latents',
                 'stat.stdev;src.morph.param'),
                ('galvae_pose', self.pose, 'pose in the cutout', 'src.morph.param')):
            if not values.shape[1]:
                continue  # several formats cannot hold a column without width
            if scalar_columns:
                names = scalar_names(name, values.shape[1])
                columns += [Column(scalar, values[:, i], f'{description} {i}', ucd, meta=meta)
                            for i, scalar in enumerate(names)]
            else:
                columns.append(Column(name, values, description, ucd, meta=meta))
        if self.recon_chi2 is not None:
            columns.append(Column('galvae_recon_chi2', self.recon_chi2,
                                  'residual of the decoder', 'stat.fit.chi2'))
        unit = self.radius_unit if radius_unit is None else radius_unit
        columns.append(Column('galvae_radius', self.radius_in(unit), 'petroR90 of the cutout',
                              'phys.angSize', unit=unit))
        columns.append(Column('galvae_resolution', self.resolution,
                              'petroR90 over that of a star', 'phys.angSize;arith.ratio'))
        columns.append(Column('galvae_flags', self.flags, 'bits of GalvaeFlags', 'meta.code'))
        return columns


def image_kinds(stack, frame):
    """(N,) array of str: how each cutout enters a model, and of how many bands it is made."""
    ways = {entry.name: entry.kind for entry in frame.renderings}
    numbers = np.array(['', 'grey', 'two', 'color'])[stack.n_bands]
    return np.array([f'{ways.get(name, "")}_{number}' for name, number in
                     zip(stack.rendering.tolist(), numbers.tolist())], dtype='U15')


def unit_of_radii(pixel_scales):
    """Arcsec if each of the (N,) pixel scales of measured rows is known, else pixels."""
    return u.arcsec if len(pixel_scales) and np.isfinite(pixel_scales).all() else u.pix


class Encoder:
    """
    Encode cutouts with a trained model, and decode latents.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model, its name, or its file; None takes the default.
    engine : `~galvae_affiliated.Engine`, optional
        Where and how to compute.
    **options
        Those of `~galvae_affiliated.Engine`, in place of one.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.models import Encoder
    >>> encoder = Encoder(device='cpu', n_threads=1)
    >>> encoding = encoder.encode(get_model().generate(2, random_state=0).images)
    >>> encoder.decode(encoding.latent, encoding.pose).shape
    (2, 3, 128, 128)
    """

    def __init__(self, model=None, engine=None, **options):
        self.model = get_model(model)
        self.engine = engine or Engine(**options)

    def _runners(self, reconstruction, few=False):
        """The runners of encoder, decoder and residuals; only the first without the others."""
        names = ['encoder', 'decoder'] if reconstruction else ['encoder']
        runners = [self.engine.runner(self.model, name) for name in names]
        return [*runners, self.engine.residual_runner(few=few)] if reconstruction else runners

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
        for runner in self._runners(reconstruction):
            runner.warm_up()

    def encode(self, cutouts, *, reconstruction=True, statistics=None):
        """
        All that the model says of cutouts.

        Parameters
        ----------
        cutouts : `~galvae_affiliated.CutoutStack` or (N, 3, grid, grid) array
            An array is taken as composites: 8-bit, or floats in [0, 1]; of one band also
            (N, grid, grid).
        reconstruction : bool, optional
            Decode too, and measure how well the decoder explains each cutout.
        statistics : bool, optional
            Measure numbers of the images, for the applicability of the model; None does so if
            the model can say it, and ``reconstruction`` is true.

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
        stack = _as_stack(cutouts, self.model.grid)
        n_bands = stack.n_bands
        runners = self._runners(reconstruction, bool((n_bands < 3).any()))
        if self.engine.device != 'auto':
            # a device that does not start is an error, whether or not there is a row to encode
            runners[0].start()
        if statistics is None:
            statistics = reconstruction and self.model.manifest.applicability is not None
        encoding = Encoding.unmeasured(stack, self.model, reconstruction=reconstruction,
                                       statistics=statistics)
        mixing = channel_mixing(n_bands) if (n_bands < 3).any() else None
        rows = np.flatnonzero(stack.measured)
        if len(rows):
            self._encode_rows(stack, rows, runners, encoding, mixing)
        _mask_infinite(encoding, rows)
        if reconstruction:
            poor = encoding.recon_chi2 > self.model.manifest.chi2_99
            encoding.flags[poor] |= GalvaeFlags.POOR_FIT
        return encoding

    def _encode_rows(self, stack, rows, runners, encoding, mixing):
        """Fill some rows of an encoding, batch by batch."""
        index = np.zeros(len(stack), dtype=np.int64)
        index[rows] = self.model.rendering_index(stack.rendering[rows])
        inputs = {'image': stack.data, 'rendering': index}
        for runner in runners:
            runner.start()  # by this thread alone
        batches = runners[0].slices(len(rows))
        runners[0].each(lambda some: self._encode_batch(inputs, rows[some], runners, encoding,
                                                        mixing), batches)

    def _encode_batch(self, inputs, rows, runners, encoding, mixing):
        """Fill a batch of rows; images stay on the device, small results come back."""
        n = len(rows)
        encoder, *others = runners
        # rows that follow one another are not copied
        picked = slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == n else rows
        needs_frame = others or encoding.statistics is not None
        wanted = POSTERIOR + (['frame', 'weight'] if needs_frame else [])
        latent, logvar, pose, *seen = encoder.run_batch(encoder.batch(inputs, picked), wanted)
        encoding.latent[rows] = latent.numpy()[:n]
        encoding.latent_err[rows] = np.exp(0.5 * logvar.numpy()[:n])
        encoding.pose[rows] = pose.numpy()[:n]
        if encoding.statistics is not None:
            encoding.statistics[rows] = image_statistics(seen[0].numpy()[:n])
        self._adapt(encoding, rows)
        if not others:
            return
        decoder, residual = others
        decoded, = decoder.run_batch({'latent': latent, 'pose': pose}, ['composite'])
        manifest = self.model.manifest
        images = dict(zip(('decoded', 'frame', 'weight'), (decoded, *seen)))
        variance = {'floor': _of_channels(manifest.floor), 'slope': _of_channels(manifest.slope)}
        if mixing is not None:
            variance |= encoder.batch(dict(zip(('mix', 'share'), mixing)), rows)
        chi2, = residual.run_batch({**images, **variance}, ['chi2'])
        encoding.recon_chi2[rows] = chi2.numpy()[:n]

    def _adapt(self, encoding, rows):
        """Map latents and their errors of rows to the survey of the training."""
        latent_map = self.model.adapter
        if latent_map is not None:
            encoding.latent[rows] = latent_map(encoding.latent[rows])
            encoding.latent_err[rows] = latent_map.errors(encoding.latent_err[rows])

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
        latent, pose = self._code(latent, pose)
        decoder = self.engine.runner(self.model, 'decoder')
        return decoder({'latent': latent, 'pose': pose}, ['composite'])[0]

    def _code(self, latent, pose):
        """Latents and pose of the shapes that decoders take."""
        model = self.model
        latent = np.asarray(latent)
        if latent.ndim != 2 or latent.shape[1] != model.n_latents:
            raise ValueError(f'latents have shape {latent.shape}; '
                             f'expected (N, {model.n_latents})')
        expected = len(latent), model.n_pose
        pose = np.zeros(expected, dtype=np.float32) if pose is None else np.asarray(pose)
        if pose.shape != expected:
            raise ValueError(f'pose has shape {pose.shape}; expected {expected}')
        return latent, pose

    def draw(self, latent, pose=None, *, details='all', random_state=None):
        """
        Sharp composites of latents, with drawn details that latents do not hold.

        Parameters
        ----------
        latent : (N, n_latents) array
        pose : (N, n_pose) array, optional
            See `decode`.
        details : {'all', 'galaxy', 'none'}, optional
            Knots, arms and the texture of the sky, so that composites look like data; knots and
            arms where the galaxy shines, on an even sky; or what `decode` gives.
        random_state : int or `numpy.random.Generator`, optional
            Of the place of knots, and of noise. The same number gives the same composites.

        Returns
        -------
        composites : (N, 3, grid, grid) float32 array
            Red, green, blue in [0, 1]; those of `decode` where the model has no sharp decoder.

        Raises
        ------
        ValueError
            If the arrays do not have these shapes, or for other details.
        """
        latent, pose = self._code(latent, pose)
        rng = np.random.default_rng(random_state)
        return draw_composites(self.model, latent, pose, rng, self.engine, details)

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
        stack = _as_stack(cutouts, self.model.grid)
        inputs = {'image': stack.data, 'rendering': self.model.rendering_index(stack.rendering)}
        return self.engine.runner(self.model, 'encoder')(inputs, ['frame'])[0]


def _mask_infinite(encoding, rows):
    """Take back what a model gave that is no number, as of pixels that are far too bright."""
    values = np.concatenate([getattr(encoding, name)[rows] for name in
                             ('latent', 'latent_err', 'pose')], axis=1)
    lost = rows[~np.isfinite(values).all(axis=1)]
    if len(lost):
        encoding.flags[lost] |= GalvaeFlags.NO_DATA
        for values in (encoding.latent, encoding.latent_err, encoding.pose, encoding.recon_chi2):
            if values is not None:
                values[lost] = np.nan


def scalar_names(name, length):
    """Names of the scalar columns that stand for a vector column."""
    return [f'{name}_{i:02d}' for i in range(length)]


def channel_mixing(n_bands):
    """
    How residuals are taken of images of few bands, whose color nobody saw.

    Of one band the means over the channels of decoded image and frame are compared: the decoder
    draws a color. The noise of equal channels is the same, so that the variance of their mean is
    that of one channel, and no third of it. Of two bands the channel between them counts not.

    Parameters
    ----------
    n_bands : (N,) int array

    Returns
    -------
    mix : (N, 3, 3) float32 array
        By which the channels of residuals and variances are multiplied.
    share : (N, 3, 1, 1) float32 array
        By which their weights are.
    """
    n_bands = np.asarray(n_bands)[:, None, None]
    mix = np.where(n_bands == 1, np.float32(1 / 3), np.eye(3, dtype=np.float32))
    share = np.where(n_bands == 2, np.float32([[1], [0], [1]]), np.float32(1.0))
    return mix, np.broadcast_to(share, (len(n_bands), 3, 1))[..., None]


def reduced_chi2(decoded, frame, weight, floor, slope, n_bands=None):
    """
    Mean square residual of each image in units of the variance that training images have.

    Parameters
    ----------
    decoded, frame : (N, 3, grid, grid) arrays
        Composites.
    weight : (N, 3, grid, grid) array
        Share of each pixel that counts.
    floor, slope : (3,) sequences
        Variance ``floor + slope * decoded`` of each channel: of the sky, and more where the
        galaxy is bright.
    n_bands : (N,) int array, optional
        Of how many bands each image is, see `channel_mixing`; None takes three.

    Returns
    -------
    chi2 : (N,) array

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.models import reduced_chi2
    >>> decoded = np.zeros((1, 3, 8, 8), dtype='f4')
    >>> weight = np.ones_like(decoded)
    >>> chi2 = reduced_chi2(decoded, decoded + 0.02, weight, [1e-4] * 3, [0.0] * 3)
    >>> chi2.round(2).tolist()
    [4.0]
    """
    residual = decoded - frame
    variance = _of_channels(floor) + _of_channels(slope) * decoded
    if n_bands is not None:
        mix, share = channel_mixing(n_bands)
        residual, variance = (np.einsum('nij,nj...->ni...', mix, values)
                              for values in (residual, variance))
        weight = weight * share
    square = weight * residual ** 2 / variance
    return square.sum(axis=(1, 2, 3)) / np.maximum(weight.sum(axis=(1, 2, 3)), MIN_WEIGHT)


def _of_channels(values):
    """(3, 1, 1) float32 array of a value a channel."""
    return np.asarray(values, dtype=np.float32).reshape(3, 1, 1)


def _as_stack(cutouts, grid):
    """A `CutoutStack` of the model's grid, or an error that says what was got."""
    if not isinstance(cutouts, CutoutStack):
        array = np.asarray(cutouts)
        if array.shape == (0,):  # a list of none
            return unreadable_stack(0, grid)
        if array.dtype.kind not in 'fiu':
            raise TypeError(f'cutouts are of type {array.dtype}; expected numbers')
        if array.ndim not in (3, 4):
            raise ValueError(f'cutouts have shape {array.shape}; expected (N, 3, {grid}, {grid}), '
                             f'or (N, {grid}, {grid}) of one band')
        cutouts = CutoutStack.from_composites(array)
    if cutouts.data.shape[-1] != grid:
        raise ValueError(f'cutouts have {cutouts.data.shape[-1]} pixels a side; '
                         f'this model takes {grid}')
    return cutouts
