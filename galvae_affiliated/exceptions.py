# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Errors and warnings of the package."""

from astropy.utils.exceptions import AstropyUserWarning

__all__ = ['AdaptationError', 'BundleError', 'DeviceError', 'GalvaeWarning',
           'ModelMismatchError', 'ParityError', 'TileError']


class GalvaeWarning(AstropyUserWarning):
    """Something was assumed that the user may want to say instead."""


class BundleError(ValueError):
    """A file is not a model bundle that this version can use."""


class ModelMismatchError(ValueError):
    """Latents of one model were given to another."""


class DeviceError(RuntimeError):
    """The device that was asked for did not start."""


class TileError(RuntimeError):
    """
    Some tiles failed; all others were finished first.

    Attributes
    ----------
    errors : dict of str to Exception
        Name of each tile that failed, and why.
    results : list
        What `encode_fields` would have returned, None in place of what failed.
    """

    def __init__(self, message, errors=None, results=None):
        super().__init__(message)
        self.errors = errors or {}
        self.results = results or []


class ParityError(RuntimeError):
    """The exported graph does not give what the PyTorch module gives."""


class AdaptationError(RuntimeError):
    """A model cannot be made better for another survey; nothing was written."""
