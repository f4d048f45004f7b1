# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables to other programs: a hub and a receiver of this process."""

import urllib.parse

import pytest
from astropy.table import Table

from galvae_affiliated.tables import send_table
from galvae_affiliated.tables.samp import import_samp

samp = import_samp()
ADDRESS = '127.0.0.1'


@pytest.fixture
def lockfile(tmp_path, monkeypatch):
    path = tmp_path / 'samp'
    monkeypatch.setenv('SAMP_HUB', path.as_uri().replace('file://', 'std-lockurl:file://'))
    with samp.conf.set_temp('use_internet', False):
        yield path


@pytest.fixture
def hub(lockfile):
    hub = samp.SAMPHubServer(web_profile=False, lockfile=str(lockfile), addr=ADDRESS)
    hub.start()
    yield hub
    hub.stop()


class Receiver:
    """A program that takes tables, and keeps them."""

    def __init__(self, name, status='samp.ok'):
        self.client = samp.SAMPIntegratedClient(name=name, callable=True, addr=ADDRESS)
        self.client.connect()
        self.client.bind_receive_call('table.load.votable', self.receive)
        self.status = status
        self.tables = []

    def receive(self, private_key, sender, message_id, mtype, params, extra):
        self.tables.append(Table.read(urllib.parse.urlsplit(params['url']).path))
        answer = {'samp.status': self.status, 'samp.result': {}}
        if self.status != 'samp.ok':
            answer['samp.error'] = {'samp.errortxt': 'no room'}
        self.client.reply(message_id, answer)


@pytest.fixture
def receiver(hub):
    receiver = Receiver('Topcat')
    yield receiver
    receiver.client.disconnect()


def test_a_table_arrives(receiver, galaxies):
    assert send_table(galaxies, name='six') == ['Topcat']
    found, = receiver.tables
    assert len(found) == 6
    assert found['ra'].unit == 'deg'
    assert send_table(galaxies, client='topcat') == ['Topcat']


def test_a_program_that_is_not_there(receiver, galaxies):
    with pytest.raises(RuntimeError, match="no program 'aladin'"):
        send_table(galaxies, client='aladin')
    assert receiver.tables == []


def test_a_program_that_cannot_load_it(receiver, galaxies):
    receiver.status = 'samp.error'
    with pytest.raises(RuntimeError, match='Topcat did not load the table: no room'):
        send_table(galaxies)


def test_nobody_takes_tables(hub, galaxies):
    with pytest.raises(RuntimeError, match='no program that takes tables'):
        send_table(galaxies)


def test_no_hub(lockfile, galaxies, tmp_path, galvae):
    galaxies.write(tmp_path / 't.fits')
    galvae('send', tmp_path / 't.fits').fails(1, 'no SAMP hub is running')
