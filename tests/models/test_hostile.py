# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Bundles of strangers: nothing is read but the bundle, nothing runs for ever, one clear error."""

import http.server
import os
import threading
import time
from hashlib import sha256

import hostile_bundles
import numpy as np
import pytest

from galvae_affiliated import BundleError, CutoutStack, ModelBundle, get_model
from galvae_affiliated.flags import describe_flags
from galvae_affiliated.models import registry
from galvae_affiliated.models._graph_check import check_graph
from galvae_affiliated.models._schema import check_model_name
from galvae_affiliated.models._sessions import start_session
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.models.manifest import Manifest
from galvae_affiliated.models.registry import REMOTE, register_model
from galvae_affiliated.models.self_test import SELF_TEST


def assert_held(cases, folder, outcomes=hostile_bundles.HELD):
    failed = {}
    for name, content in cases:
        start = time.monotonic()
        found = hostile_bundles.outcome(content, folder)
        if found not in outcomes or time.monotonic() - start > 10:
            failed[name] = found
    assert failed == {}


@pytest.mark.parametrize('how', hostile_bundles.STEALING)
@pytest.mark.parametrize('location', hostile_bundles.LOCATIONS)
def test_no_file_of_the_user_is_read(how, location, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'secret.txt').write_bytes(hostile_bundles.SECRET)
    graph = hostile_bundles.stealing(location, how)
    with pytest.raises(BundleError, match=r'encoder\.onnx: it takes values from a file outside'):
        ModelBundle.read(hostile_bundles.with_part('encoder.onnx', graph))
    # however the bundle came here, nothing of it runs
    with pytest.raises(BundleError, match='a file outside'):
        start_session(graph, 'cpu', 1)


@pytest.mark.parametrize(
    'name', ['loop', 'scan', 'functions', 'few functions', 'random', 'contrib']
)
def test_operators_that_no_bundle_may_have(name):
    with pytest.raises(BundleError, match='operator|without end'):
        check_graph(hostile_bundles.hostile_encoders()[name])


def test_hostile_graphs(tmp_path):
    graphs = hostile_bundles.hostile_encoders()
    for name in ('petabytes', 'expanded'):  # which would take what memory there is
        graphs.pop(name)
    assert_held(
        [(n, hostile_bundles.with_part('encoder.onnx', g)) for n, g in graphs.items()], tmp_path
    )


def test_graphs_of_the_package_pass():
    for name in ('gz2-sdss-v1', 'gz2-sdss-v2', 'gz2-sdss-v3'):
        get_model(name).check_graphs()


def test_hostile_archives(tmp_path):
    assert_held(hostile_bundles.archives().items(), tmp_path, ['refused', 'used'])


def test_a_bomb_is_refused_before_it_is_unpacked():
    start = time.monotonic()
    with pytest.raises(BundleError, match='once they are unpacked'):
        ModelBundle.read(hostile_bundles.archives()['bomb'])
    assert time.monotonic() - start < 30


def test_hostile_manifests():
    taken = []
    for place, value in hostile_bundles.WRONG_ENTRIES:
        try:
            Manifest.parse(hostile_bundles.changed(place, value))
        except BundleError:
            continue
        taken.append((place, value))
    # these are as good as any, and the graphs are not of these sizes: found when they run
    assert taken == [(('latents', 'n_latents'), 41), (('latents', 'n_pose'), 9)]
    for place, value in taken:
        model = get_model().replaced(hostile_bundles.changed(place, value))
        with pytest.raises(BundleError, match='expected tensor'):
            Encoder(model, device='cpu').encode(np.random.default_rng(0).random((1, 3, 128, 128)))


@pytest.mark.parametrize(
    ('place', 'value', 'message'),
    [
        (('input', 'field_of_view'), float('nan'), r'input\.field_of_view is nan'),
        (('latents', 'n_latents'), 'many', r"latents\.n_latents is 'many'; expected a whole"),
        (('name',), 'a\x1b[2J', 'a control character'),
        (('questions', 'bar', 'parent'), ['bar', 'yes'], 'leads back to the question itself'),
    ],
)
def test_errors_name_the_file_and_the_entry(place, value, message, tmp_path):
    path = tmp_path / 'stranger.galvae'
    path.write_bytes(hostile_bundles.with_entry(place, value))
    with pytest.raises(BundleError, match=rf'stranger\.galvae: an entry .*{message}') as caught:
        ModelBundle.read(path)
    assert '\x1b' not in str(caught.value)


@pytest.mark.parametrize('name', ['gz2-sdss-v2', 'my model', 'Galaxien_ä-1.0+x'])
def test_names_that_tables_give_back(name):
    check_model_name(name)


@pytest.mark.parametrize('name', list(hostile_bundles.self_tests()))
def test_hostile_self_tests(name):
    content = hostile_bundles.self_tests()[name]
    model = get_model().replaced(parts={SELF_TEST: content})
    with pytest.raises(BundleError, match=model.id):
        model.verify(device='cpu')


def test_what_is_no_ordinary_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', '/dev/zero', tmp_path):
        with pytest.raises(BundleError, match='no ordinary file'):
            ModelBundle.read(path)
    with open(tmp_path / 'large.galvae', 'wb') as file:
        file.truncate(20 << 30)
    with pytest.raises(BundleError, match=r'large\.galvae: this is not a model bundle'):
        ModelBundle.read(tmp_path / 'large.galvae')


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of what ``contents`` has, by path; callables write themselves."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))

    class Handler(http.server.BaseHTTPRequestHandler):
        contents, asked = {}, []

        def do_GET(self):
            self.asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            content = self.contents[self.path]
            try:
                content(self.wfile) if callable(content) else self.wfile.write(content)
            except OSError:
                pass  # who asked has given up

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    Handler.address = f'http://127.0.0.1:{running.server_port}'
    yield Handler
    running.shutdown()
    thread.join()
    running.server_close()
    REMOTE.clear()


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp('good') / 'model.galvae'
    get_model().write(path)
    return path.read_bytes()


def test_a_wrong_download_is_not_kept(server, good):
    server.contents['/m'] = b'<html>please log in</html>'
    register_model('mine', f'{server.address}/m', sha256(good).hexdigest())
    with pytest.raises(BundleError, match=r'/m: got 26 bytes; .*not that of the model'):
        get_model('mine')
    server.contents['/m'] = good
    assert get_model('mine') == get_model('mine') == get_model()
    assert server.asked == ['/m', '/m']


def test_junk_of_a_mirror_tries_the_next(server, good):
    server.contents.update({'/a': b'junk', '/b': good})
    urls = [f'{server.address}/{name}' for name in ('a', 'b')]
    register_model('mine', urls, sha256(good).hexdigest())
    assert get_model('mine') == get_model()


def test_what_was_kept_and_then_damaged_is_fetched_again(server, good, tmp_path):
    server.contents['/m'] = good
    register_model('mine', f'{server.address}/m', sha256(good).hexdigest())
    get_model('mine')
    (kept,) = list(tmp_path.rglob('contents'))
    kept.write_bytes(b'damaged')
    assert get_model('mine') == get_model()
    assert server.asked == ['/m', '/m']


def test_slow_and_endless_servers_are_given_up(server, good, monkeypatch):
    def slow(file):
        for _ in range(200):
            file.write(b'x')
            file.flush()
            time.sleep(0.02)

    monkeypatch.setattr(registry, 'SILENCE', 0.5)
    monkeypatch.setattr(registry, 'MAX_FILE', 10**6)
    server.contents.update({'/slow': slow, '/long': lambda file: file.write(bytes(10**7))})
    urls = [f'{server.address}/{name}' for name in ('slow', 'long')]
    register_model('mine', urls, sha256(good).hexdigest())
    start = time.monotonic()
    with pytest.raises(BundleError, match='bytes came in .* seconds; .*more than 1000000 bytes'):
        get_model('mine')
    assert time.monotonic() - start < 10


@pytest.mark.filterwarnings('ignore:overflow')
def test_latents_that_are_no_numbers_are_flagged():
    images = np.full((2, 3, 128, 128), 0.1, np.float32)
    images[0, :, 60:70, 60:70] = 3e38
    images[1, :, 60:70, 60:70] = 0.9
    stack = CutoutStack(
        images, np.full(2, 'composite'), np.zeros(2, int), np.full(2, 9.0), np.full(2, np.nan)
    )
    encoding = Encoder(device='cpu').encode(stack)
    assert np.isnan(encoding.latent[0]).all() and np.isfinite(encoding.latent[1]).all()
    assert describe_flags(encoding.flags[0]) == ['NO_DATA']
    assert 'NO_DATA' not in describe_flags(encoding.flags[1])
