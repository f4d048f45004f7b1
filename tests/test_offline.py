# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""No command but a download asks the network for anything, or writes anything but its output."""

import os
import subprocess
import sys

import pytest

# before anything of ours is imported: every name that is looked up, and every connection, is kept
WATCH = """
import socket, sys
asked = []

def refuse(name):
    def function(*args, **options):
        asked.append((name, args[1:2] if name == 'connect' else args[:1]))
        raise OSError('no network here')
    return function

class Socket(socket.socket):
    connect = refuse('connect')
    connect_ex = refuse('connect')
    sendto = refuse('sendto')

socket.socket = Socket
for name in ('getaddrinfo', 'gethostbyname', 'gethostbyname_ex', 'create_connection'):
    setattr(socket, name, refuse(name))
import galvae_affiliated.scripts.main as command
code = command.main(sys.argv[1:])
import os
found = os.environ.get('ORT_DISABLE_TELEMETRY', 'not set') if 'onnxruntime' in sys.modules else ''
print('asked', asked, 'telemetry', found, file=sys.stderr)
sys.exit(code)
"""
# what astropy keeps for itself, and what is told to be elsewhere
OWN = ('.astropy', '.cache/astropy', '.config/astropy', '.config/matplotlib', '.cache/matplotlib')


def watched(folder, *words):
    """What a command wrote to its standard error stream, with its network watched and no home."""
    home = folder / 'home'
    home.mkdir(exist_ok=True)
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('XDG_', 'ORT_', 'MPL'))
    }
    done = subprocess.run(
        [sys.executable, '-c', WATCH, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**env, 'HOME': str(home)},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def files_of(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('command', ['field', 'chunks', 'set', 'models', 'info', 'doctor'])
def test_no_network_and_no_other_file(command, field_files, galaxies, tiny_parquet, tmp_path):
    galaxies[:2].write(tmp_path / 'sources.fits')
    words = ['--catalog', tmp_path / 'sources.fits', '--bands', 'g,r,z', '-o', 'out.fits']
    field = ['encode', *field_files.values(), *words]
    words = {
        'field': field,
        'chunks': [*field, '--chunk-size', 1],
        'set': ['encode', tiny_parquet, '--already-scaled', '-o', 'out.fits'],
    }.get(command, [command])
    before = files_of(tmp_path)
    said = watched(tmp_path, *words)
    assert 'asked [] telemetry' in said
    if command not in ('models', 'info'):
        assert said.strip().endswith('telemetry 1')
    written = files_of(tmp_path) - before
    outputs = {'out.fits'} if 'out.fits' in words else set()
    others = {name for name in written if not name.startswith(tuple(f'home/{o}' for o in OWN))}
    assert others == outputs
    # nothing is said but what came of it, and what we ask
    assert 'encode' not in words or said.count('\n') == 2


@pytest.mark.skipif(not os.path.exists('/usr/bin/strace'), reason='needs strace')
def test_no_library_asks_the_network_either(field_files, galaxies, tmp_path):
    """Telemetry would be sent by threads of C++ that no patch of Python sees."""
    galaxies[:2].write(tmp_path / 'sources.fits')
    (tmp_path / 'home').mkdir()
    words = ['encode', *field_files.values(), '--catalog', tmp_path / 'sources.fits']
    code = (
        'import sys, time\n'
        'from galvae_affiliated.scripts.main import main\n'
        'code = main(sys.argv[1:])\n'
        'time.sleep(3)\n'  # what reports does so after a while
        'sys.exit(code)'
    )
    done = subprocess.run(
        ['strace', '-f', '-e', 'trace=socket,connect,sendto', '-o', tmp_path / 'log',
         sys.executable, '-c', code, *map(str, words), '--bands', 'g,r,z', '-o', 'out.fits'],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, 'HOME': str(tmp_path / 'home')},
    )
    if 'ptrace' in done.stderr or 'Operation not permitted' in done.stderr:
        pytest.skip('strace may not trace here')
    assert done.returncode == 0, done.stderr
    calls = [line for line in (tmp_path / 'log').read_text().splitlines() if 'AF_INET' in line]
    assert calls == []
    assert not list((tmp_path / 'home').rglob('*Microsoft*'))
