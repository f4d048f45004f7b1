# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Errors and warnings of the package."""

from astropy.utils.exceptions import AstropyUserWarning

__all__ = ['AdaptationError', 'BundleError', 'DeviceError', 'GalvaeWarning',
           'ModelMismatchError', 'ParityError', 'TileError']


class GalvaeWarning(AstropyUserWarning):
    """
    Something was assumed that the user may want to say instead.

    Examples
    --------
    Make an error of each, where nothing is to be assumed:

    >>> import warnings
    >>> from galvae_affiliated import GalvaeWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter('error', GalvaeWarning)
    ...     # encode here
    """


class BundleError(ValueError):
    """
    A file is not a model bundle that this version can use.

    Examples
    --------
    >>> from astropy.utils.data import get_pkg_data_filename
    >>> from galvae_affiliated import BundleError, get_model
    >>> path = get_pkg_data_filename('data/demo_truth.ecsv', package='galvae_affiliated')
    >>> try:
    ...     get_model(path)
    ... except BundleError:
    ...     print('this is no model')
    this is no model
    """


class ModelMismatchError(ValueError):
    """
    Latents of one model were given to another.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated import ModelMismatchError, add_latents, get_latents
    >>> image = np.random.default_rng(0).random((1, 3, 128, 128))
    >>> table = add_latents(Table({'id': [1]}), image, 'gz2-sdss-v1')
    >>> try:
    ...     get_latents(table, 'gz2-sdss-v3')
    ... except ModelMismatchError:
    ...     print('these are latents of another model')
    these are latents of another model
    """


class DeviceError(RuntimeError):
    """
    The device that was asked for did not start.

    Examples
    --------
    >>> from galvae_affiliated import DeviceError
    >>> from galvae_affiliated.models import Encoder
    >>> encoder = Encoder(device='cuda')
    >>> try:
    ...     encoder.warm_up()
    ... except DeviceError:
    ...     encoder = Encoder(device='cpu')
    """


class TileError(RuntimeError):
    """
    Some tiles failed; all others were finished first.

    Attributes
    ----------
    errors : dict of str to Exception
        Name of each tile that failed, and why.
    results : list
        What `encode_fields` would have returned, None in place of what failed.

    Examples
    --------
    >>> from galvae_affiliated import TileError
    >>> try:  # as `encode_fields` does
    ...     raise TileError('1 of 2 tiles failed', {'tile 1': OSError('no such file')})
    ... except TileError as error:
    ...     list(error.errors)
    ['tile 1']
    """

    def __init__(self, message, errors=None, results=None):
        super().__init__(message)
        self.errors = errors or {}
        self.results = results or []


class ParityError(RuntimeError):
    """
    The exported graph does not give what the PyTorch module gives.

    Examples
    --------
    >>> from galvae_affiliated import ParityError
    >>> try:  # as `~galvae_affiliated.training.train_model` does
    ...     raise ParityError('latents differ by 0.3')
    ... except ParityError as error:
    ...     print(error)
    latents differ by 0.3
    """


class AdaptationError(RuntimeError):
    """
    A model cannot be made better for another survey; nothing was written.

    Examples
    --------
    >>> from galvae_affiliated.exceptions import AdaptationError
    >>> try:  # as `~galvae_affiliated.training.adapt_model` does
    ...     raise AdaptationError('the surveys cannot be told apart')
    ... except AdaptationError as error:
    ...     print(error)
    the surveys cannot be told apart
    """
