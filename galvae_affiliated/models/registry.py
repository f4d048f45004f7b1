# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Names of models, and where their bundles are."""

import functools
import hashlib
import os
import tempfile
import time
import warnings
from contextlib import suppress
from importlib import resources
from pathlib import Path

from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models._archive import MAX_FILE, read_file
from galvae_affiliated.models.bundle import ModelBundle

__all__ = ['DEFAULT_MODEL', 'get_model', 'list_models', 'register_model']

DEFAULT_MODEL = 'gz2-sdss-v3'
# in the wheel: name -> file in galvae_affiliated/data
PACKAGED = {name: f'{name}.galvae' for name in (DEFAULT_MODEL, 'gz2-sdss-v2', 'gz2-sdss-v1')}
# elsewhere: name -> (addresses, sha256 of the file)
REMOTE = {}
# of a download: seconds without a byte, and bytes a second that it has to reach by then
SILENCE, MIN_RATE = 20.0, 10_000
BLOCK = 1 << 16
PACKAGE = 'galvae_affiliated'  # whose cache it is, of those that astropy keeps


def list_models():
    """
    Names of the models that `get_model` knows.

    Returns
    -------
    names : list of str
        The default first.

    Examples
    --------
    >>> from galvae_affiliated import list_models
    >>> 'gz2-sdss-v1' in list_models()
    True
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

    Examples
    --------
    >>> from galvae_affiliated import get_model, list_models, register_model
    >>> register_model('my-survey', 'https://example.org/my-survey.galvae', sha256='0' * 64)
    >>> 'my-survey' in list_models()
    True
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
    TypeError
        If it is none of these.
    BundleError
        If the file is not a bundle.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> model = get_model('gz2-sdss-v3')
    >>> model.name, model.n_latents
    ('gz2-sdss-v3', 40)
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
    """
    Downloaded once, from the first address that has the right file.

    The cache does not check what it holds: each reading does, and what is wrong is thrown away.
    """
    urls, sha256 = REMOTE[name]
    failures = []
    for read in (_cached, _download):
        for url in urls:
            try:
                content = read(url)
            except (OSError, ValueError) as error:
                failures.append(f'{url}: {error}')
                continue
            found = None if content is None else hashlib.sha256(content).hexdigest()
            if found == sha256:
                if read is _download:
                    _keep(url, content)
                return ModelBundle.read(content)
            if read is _cached and content is not None:
                _forget(url)
            elif content is not None:
                failures.append(f'{url}: got {len(content)} bytes; their SHA-256 is not that of '
                                f'the model {name!r}')
    raise BundleError('; '.join(failures) or f'there is no address of the model {name!r}')


def _cached(url):
    """Bytes that astropy's cache has of an address, or None."""
    from astropy.utils.data import download_file, is_url_in_cache

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that there is no cache yet
        if not is_url_in_cache(url, pkgname=PACKAGE):
            return None
    return read_file(download_file(url, cache=True, pkgname=PACKAGE))


def _download(url):
    """Bytes of an address; one that is slow, or has no end, is given up."""
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    from astropy.utils.data import conf

    if not conf.allow_internet:
        raise OSError("astropy's configuration says allow_internet = False")
    start, blocks, size = time.monotonic(), [], 0
    try:
        request = Request(url, headers={'User-Agent': PACKAGE})
        with urlopen(request, timeout=SILENCE) as response:
            while block := response.read1(BLOCK):
                blocks.append(block)
                size += len(block)
                seconds = time.monotonic() - start
                if size > MAX_FILE:
                    raise OSError(f'there are more than {MAX_FILE} bytes')
                if seconds > SILENCE and size < MIN_RATE * seconds:
                    raise OSError(f'{size} bytes came in {seconds:.0f} seconds')
    except URLError as error:
        raise OSError(str(error.reason)) from None
    return b''.join(blocks)


def _keep(url, content):
    """Keep in astropy's cache what was found to be right; without a cache it goes on."""
    from astropy.utils.data import import_file_to_cache

    with suppress(OSError), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.galvae'
        path.write_bytes(content)
        import_file_to_cache(url, path, remove_original=True, pkgname=PACKAGE)


def _forget(url):
    from astropy.utils.data import clear_download_cache

    with suppress(OSError):
        clear_download_cache(url, pkgname=PACKAGE)
