# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Names of models, and where their bundles are."""

import functools
import hashlib
import os
from importlib import resources
from pathlib import Path

from astropy.utils.data import download_file

from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models.bundle import ModelBundle

__all__ = ['DEFAULT_MODEL', 'get_model', 'list_models', 'register_model']

DEFAULT_MODEL = 'gz2-sdss-v2'
# in the wheel: name -> file in galvae_affiliated/data
PACKAGED = {DEFAULT_MODEL: 'gz2-sdss-v2.galvae', 'gz2-sdss-v1': 'gz2-sdss-v1.galvae'}
# elsewhere: name -> (addresses, sha256 of the file)
REMOTE = {}


def list_models():
    """
    Names of the models that `get_model` knows.

    Returns
    -------
    names : list of str
        The default first.
    """
    return [*PACKAGED, *REMOTE]


def register_model(name, urls, sha256):
    """
    Make a model known by name.

    It is downloaded when it is first asked for, and kept in astropy's cache.

    Parameters
    ----------
    name : str
    urls : str or list of str
        Addresses, tried in their order; ``file://`` works too.
    sha256 : str
        Of the file, as hexadecimal digits.

    Raises
    ------
    ValueError
        If the name is taken, or ``sha256`` is not one.
    """
    if name in list_models():
        raise ValueError(f'there is a model {name!r} already')
    if len(sha256) != 64 or not set(sha256.lower()) <= set('0123456789abcdef'):
        raise ValueError(f'sha256 is {sha256!r}; expected 64 hexadecimal digits')
    REMOTE[name] = ([urls] if isinstance(urls, str) else list(urls), sha256.lower())


def get_model(model=None):
    """
    A model by name or file.

    Parameters
    ----------
    model : str, path or `~galvae_affiliated.ModelBundle`, optional
        A name of `list_models`, or a bundle's file; None takes the default.

    Returns
    -------
    model : `~galvae_affiliated.ModelBundle`

    Raises
    ------
    ValueError
        If there is neither a model nor a file of this name.
    BundleError
        If the file is not a bundle.
    """
    if isinstance(model, ModelBundle):
        return model
    if not isinstance(model, (str, os.PathLike, type(None))):
        raise TypeError(f'the model is a {type(model).__name__}; expected a name, a file or a '
                        'ModelBundle')
    name = DEFAULT_MODEL if model is None else os.fspath(model)
    if name in PACKAGED:
        return _packaged_model(name)
    if name in REMOTE:
        return _remote_model(name)
    if Path(name).is_file():
        return ModelBundle.read(name)
    raise ValueError(f'there is no model and no file {name!r}; '
                     f'the models are {", ".join(list_models())}')


@functools.cache
def _packaged_model(name):
    file = resources.files('galvae_affiliated').joinpath('data', PACKAGED[name])
    return ModelBundle.read(file.read_bytes())


def _remote_model(name):
    """Downloaded once; the cache does not check what it holds, so each reading checks the hash."""
    urls, sha256 = REMOTE[name]
    path = download_file(urls[0], cache=True, sources=urls, pkgname='galvae_affiliated')
    content = Path(path).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BundleError(f'{urls[0]}: the SHA-256 is not that of the model {name!r}')
    return ModelBundle.read(content)
