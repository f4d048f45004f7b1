# Licensed under a 3-clause BSD style license - see LICENSE.rst
import copy
import hashlib
import pickle

import numpy as np
import onnx
import pytest

from galvae_affiliated import BundleError, ModelBundle, get_model, list_models
from galvae_affiliated.models import _runner
from galvae_affiliated.models.bundle import canonical_json, pack
from galvae_affiliated.models.registry import REMOTE, register_model


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


def with_parts(changes, **manifest):
    """The default model without half precision, with other parts and entries of the manifest."""
    bundle = get_model()
    parts = {name: part for name, part in bundle._parts.items() if 'float16' not in name} | changes
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
    return ModelBundle({**bundle.manifest, 'parts': hashes, **manifest}, parts)


def half_graph():
    """Bytes of a graph that halves its input in half precision."""
    float32, float16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    nodes = [
        onnx.helper.make_node('Cast', ['latent'], ['short'], to=float16),
        onnx.helper.make_node('Mul', ['short', 'half'], ['product']),
        onnx.helper.make_node('Cast', ['product'], ['composite'], to=float32),
    ]
    ends = [onnx.helper.make_tensor_value_info(name, float32, ('rows', 2)) for name in ('latent', 'composite')]
    half = onnx.numpy_helper.from_array(np.float16(0.5), 'half')
    graph = onnx.helper.make_graph(nodes, 'half', ends[:1], ends[1:], [half])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 18)], ir_version=8)
    return model.SerializeToString()


@pytest.fixture
def gpu(monkeypatch):
    """A CPU that is taken for a GPU; gives what sessions were started with."""
    started, start_session = [], _runner.start_session

    def start(graph, device, batch_size, precision):
        started.append((graph, precision))
        return start_session(graph, 'cpu', batch_size)

    monkeypatch.setattr(_runner, 'start_session', start)
    return started


def test_half_precision_is_a_part_of_the_bundle(gpu):
    bundle = with_parts({'decoder.float16.onnx': half_graph()})
    runner = bundle.runner('decoder', device='auto', precision='float16')
    (found,) = runner({'latent': np.array([[1.0, 3.0]])}, ['composite'])
    np.testing.assert_array_equal(found, [[0.5, 1.5]])
    assert gpu == [(half_graph(), 'float16')]
    assert ModelBundle.read(pack(bundle.manifest, bundle._parts)) == bundle


def test_half_precision_is_refused_where_there_is_none():
    with pytest.raises(BundleError, match=r'has no encoder\.float16\.onnx; it has encoder\.onnx'):
        get_model('gz2-sdss-v1').runner('encoder', precision='float16')
    with pytest.raises(ValueError, match='float16.*is for GPUs'):
        with_parts({'decoder.float16.onnx': half_graph()}).runner('decoder', device='cpu', precision='float16')
    with pytest.raises(ValueError, match="precision is 'double'"):
        get_model().runner('encoder', precision='double')


def test_the_self_test_has_a_tolerance_for_half_precision(gpu):
    parts = {f'{name}.float16.onnx': get_model()._parts[f'{name}.onnx'] for name in ('encoder', 'decoder')}
    report = with_parts(parts, self_test_tolerance={'float16': 0.1}).verify(precision='float16')
    assert report['encoded'] <= 0.1
    assert [precision for _, precision in gpu] == ['float16', 'float16', 'float32']  # the heads have none
    with pytest.raises(BundleError, match='fails its self-test on cpu in float16'):
        with_parts(parts, self_test_tolerance={'float16': -1.0, 'cpu': 1.0}).verify(precision='float16')
    with pytest.raises(BundleError, match='no tolerance of its self-test for float16'):
        with_parts(parts, self_test_tolerance={'cpu': 1.0}).verify(precision='float16')


def test_tolerances_of_devices():
    bundle = with_parts({}, self_test_tolerance={'cpu': 1.0, 'cuda': 2.0, 'float16': 3.0})
    assert [bundle.tolerance(device) for device in ('cpu', 'cuda', 'tensorrt')] == [1.0, 2.0, 2.0]
    assert bundle.tolerance('tensorrt', 'float16') == 3.0


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
