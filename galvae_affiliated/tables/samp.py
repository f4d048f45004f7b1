# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables to other programs on this machine, such as TOPCAT and Aladin, over SAMP."""

import importlib
import tempfile
import warnings
from pathlib import Path

from astropy.utils.exceptions import AstropyDeprecationWarning

from galvae_affiliated import __version__
from galvae_affiliated.tables.files import write_table

__all__ = ['send_table']

MESSAGE = 'table.load.votable'


def send_table(table, *, name='galvae', client=None, timeout=30.0):
    """
    Send a table to the programs that take tables.

    Parameters
    ----------
    table : `~astropy.table.Table`
    name : str, optional
        That the programs show.
    client : str, optional
        Name of the program, without regard to case; None takes all that take tables.
    timeout : float, optional
        Seconds that each may take to load it.

    Returns
    -------
    names : list of str
        The programs that have loaded it.

    Raises
    ------
    RuntimeError
        If no SAMP hub is running, or no program takes the table, or one could not load it.

    Examples
    --------
    With TOPCAT open:

    >>> from astropy.table import Table
    >>> from galvae_affiliated.tables import send_table
    >>> send_table(Table({'ra': [150.1], 'dec': [2.2]}), client='topcat')  # doctest: +SKIP
    ['topcat']
    """
    samp = import_samp()
    own = samp.SAMPIntegratedClient(name='galvae', description='Galaxy morphology as columns',
                               metadata={'galvae.version': __version__}, callable=True,
                               addr='127.0.0.1')
    try:
        own.connect()
    except (samp.SAMPHubError, OSError):
        raise RuntimeError('no SAMP hub is running; TOPCAT and Aladin start one') from None
    try:
        receivers = _receivers(own, client)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'table.vot'
            write_table(table, path)
            message = {'samp.mtype': MESSAGE,
                       'samp.params': {'url': path.as_uri(), 'name': name, 'table-id': name}}
            # the file is there until each has answered
            for number, title in receivers.items():
                _send(own, number, title, message, timeout)
    finally:
        own.disconnect()
    return list(receivers.values())


def import_samp():
    """
    The module of SAMP: of pyvo where that is installed, else of astropy, which moves it there.

    Raises
    ------
    ImportError
        Saying what to install, if neither has it.
    """
    try:
        return importlib.import_module('pyvo.samp')
    except ImportError:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', AstropyDeprecationWarning)
        try:
            return importlib.import_module('astropy.samp')
        except ImportError:
            raise ImportError("sending tables needs pyvo: pip install "
                              "'galvae_affiliated[samp]'") from None


def _receivers(own, client):
    """Number of each program that takes tables, with its name."""
    found = {}
    for number in own.get_subscribed_clients(MESSAGE):
        found[number] = own.get_metadata(number).get('samp.name', number)
    if client is not None:
        found = {number: title for number, title in found.items()
                 if title.lower() == client.lower()}
    if not found:
        what = 'no program that takes tables' if client is None else f'no program {client!r}'
        raise RuntimeError(f'{what} is connected to the SAMP hub')
    return found


def _send(own, number, title, message, timeout):
    try:
        answer = own.call_and_wait(number, message, str(int(timeout)))
    except import_samp().SAMPProxyError as error:
        raise RuntimeError(f'{title} did not load the table: {error}') from None
    if answer.get('samp.status') != 'samp.ok':
        reason = answer.get('samp.error', {}).get('samp.errortxt', 'it does not say why')
        raise RuntimeError(f'{title} did not load the table: {reason}')
