# Licensed under a 3-clause BSD style license - see LICENSE.rst
import copy
import hashlib
import pickle

import numpy as np
import onnx
import pytest

from galvae_affiliated import BundleError, ModelBundle, get_model, list_models
from galvae_affiliated.bundle import canonical_json, pack
from galvae_affiliated.registry import REMOTE, register_model


@pytest.fixture(scope='module')
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp('bundle') / 'model.galvae'
    get_model().write(path)
    return path.read_bytes()


def test_round_trip_keeps_the_model(content):
    bundle = ModelBundle.read(content)
    assert bundle == get_model() and bundle.sha256 == get_model().sha256
    assert bundle.manifest == get_model().manifest
    assert list(bundle.questions) == list(get_model().questions)


def test_writing_twice_gives_the_same_bytes(content, tmp_path):
    ModelBundle.read(content).write(tmp_path / 'again.galvae')
    assert (tmp_path / 'again.galvae').read_bytes() == content


@pytest.mark.parametrize('place', [0.0, 0.1, 0.5, 0.9, 0.999, 1.0])
def test_one_flipped_bit_anywhere_is_found(content, place):
    damaged = bytearray(content)
    damaged[int(place * (len(content) - 1))] ^= 4
    with pytest.raises(BundleError, match='damaged|not a model bundle'):
        ModelBundle.read(bytes(damaged))


@pytest.mark.parametrize('size', [0, 100, -1])
def test_a_bundle_cut_short_is_refused(content, size):
    with pytest.raises(BundleError, match='not a model bundle|damaged'):
        ModelBundle.read(content[:size])


def test_a_text_file_is_refused_by_name(tmp_path):
    path = tmp_path / 'notes.galvae'
    path.write_text('PK is how a ZIP file starts, but this is none')
    with pytest.raises(BundleError, match=r'notes\.galvae: this is not a model bundle'):
        ModelBundle.read(path)


def test_a_later_schema_is_refused():
    bundle = get_model()
    manifest = {**bundle.manifest, 'schema_version': 99}
    with pytest.raises(BundleError, match='schema version 99'):
        ModelBundle.read(pack(manifest, bundle._parts))


@pytest.mark.parametrize('key', ['questions', 'latents', 'renderings'])
def test_a_manifest_without_a_key_is_refused(key):
    bundle = get_model()
    manifest = {k: v for k, v in bundle.manifest.items() if k != key}
    with pytest.raises(BundleError, match=key):
        ModelBundle(manifest, bundle._parts)


def test_a_part_that_is_not_the_stated_one_is_refused():
    bundle = get_model()
    with pytest.raises(BundleError, match=r'heads\.onnx does not have the SHA-256'):
        ModelBundle(bundle.manifest, {**bundle._parts, 'heads.onnx': b'other'})


def test_an_existing_file_is_kept(tmp_path):
    path = tmp_path / 'model.galvae'
    path.write_text('mine')
    with pytest.raises(FileExistsError):
        get_model().write(path)
    assert path.read_text() == 'mine'
    get_model().write(path, overwrite=True)
    assert ModelBundle.read(path) == get_model()


def test_the_manifest_cannot_be_changed_from_outside():
    bundle = get_model()
    bundle.manifest['name'] = 'other'
    assert bundle.name != 'other'


def test_copies_are_the_same_object_and_pickles_equal():
    bundle = get_model()
    assert copy.deepcopy(bundle) is bundle
    assert pickle.loads(pickle.dumps(bundle)) == bundle


def test_self_test_passes_here():
    report = get_model().verify(device='cpu')
    assert report['device'] == 'cpu'
    assert set(report) == {'device', 'encoded', 'logvar', 'encoded_pose', 'decoded', 'fractions'}


def test_self_test_finds_other_weights():
    bundle = get_model()
    graph = onnx.load_from_string(bundle._parts['heads.onnx'])
    weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.CopyFrom(onnx.numpy_helper.from_array(0.5 * onnx.numpy_helper.to_array(weights), weights.name))
    parts = {**bundle._parts, 'heads.onnx': graph.SerializeToString()}
    manifest = bundle.manifest
    manifest['parts']['heads.onnx'] = hashlib.sha256(parts['heads.onnx']).hexdigest()
    with pytest.raises(BundleError, match='fails its self-test'):
        ModelBundle(manifest, parts).verify(device='cpu')


def test_unknown_rendering_is_named():
    with pytest.raises(ValueError, match="no rendering 'kodak'"):
        get_model().rendering_index(np.array(['composite', 'kodak']))


def test_unknown_model_lists_the_known_ones():
    with pytest.raises(ValueError, match=list_models()[0]):
        get_model('no-such-model')


def test_a_registered_model_is_checked_and_read(tmp_path, content, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    path = tmp_path / 'remote.galvae'
    path.write_bytes(content)
    right, wrong = hashlib.sha256(content).hexdigest(), 64 * '0'
    try:
        register_model('right', path.as_uri(), right)
        register_model('wrong', path.as_uri(), wrong)
        assert get_model('right') == get_model()
        with pytest.raises(BundleError, match="not that of the model 'wrong'"):
            get_model('wrong')
        with pytest.raises(ValueError, match='already'):
            register_model('right', path.as_uri(), right)
    finally:
        REMOTE.clear()


def test_canonical_json_keeps_the_order_of_questions():
    assert canonical_json({'b': 1, 'a': 2}).index(b'"b"') < canonical_json({'b': 1, 'a': 2}).index(b'"a"')
