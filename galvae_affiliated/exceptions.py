# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Errors and warnings of the package."""

from astropy.utils.exceptions import AstropyUserWarning

__all__ = ['BundleError', 'DeviceError', 'GalvaeWarning', 'ModelMismatchError']


class GalvaeWarning(AstropyUserWarning):
    """Something was assumed that the user may want to say instead."""


class BundleError(ValueError):
    """A file is not a model bundle that this version can use."""


class ModelMismatchError(ValueError):
    """Latents of one model were given to another."""


class DeviceError(RuntimeError):
    """The device that was asked for did not start."""
