# Licensed under a 3-clause BSD style license - see LICENSE.rst
import copy
import dataclasses
import hashlib
import io
import pickle
from collections import OrderedDict

import numpy as np
import onnx
import pytest

from galvae_affiliated import BundleError, Engine, ModelBundle, get_model, list_models
from galvae_affiliated.models import _runner, engine
from galvae_affiliated.models._archive import pack
from galvae_affiliated.models.manifest import canonical_json
from galvae_affiliated.models.registry import REMOTE, register_model
from galvae_affiliated.models.self_test import SELF_TEST, self_test


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
    manifest = {**bundle.manifest.raw, 'schema_version': 99}
    with pytest.raises(BundleError, match='schema version 99'):
        ModelBundle.read(pack(manifest, bundle.parts))


@pytest.mark.parametrize('key', ['questions', 'latents', 'renderings'])
def test_a_manifest_without_a_key_is_refused(key):
    bundle = get_model()
    manifest = {k: v for k, v in bundle.manifest.raw.items() if k != key}
    with pytest.raises(BundleError, match=key):
        ModelBundle(manifest, bundle.parts)


def test_a_part_that_is_not_the_stated_one_is_refused():
    bundle = get_model()
    with pytest.raises(BundleError, match=r'heads\.onnx does not have the SHA-256'):
        ModelBundle(bundle.manifest.raw, {**bundle.parts, 'heads.onnx': b'other'})


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
    with pytest.raises(dataclasses.FrozenInstanceError):
        bundle.manifest.name = 'other'
    with pytest.raises(TypeError):
        bundle.manifest.questions['bar'] = None
    bundle.manifest.raw['name'] = 'other'
    assert bundle.name == bundle.manifest.raw['name'] != 'other'


def test_the_manifest_is_parsed_once():
    bundle = get_model()
    assert bundle.manifest is bundle.manifest and bundle.frame is bundle.manifest.frame


def test_unknown_entries_are_kept(tmp_path):
    bundle = get_model().replaced(
        {**get_model().manifest.raw, 'from a later version': [1, {'a': 2}]}
    )
    bundle.write(tmp_path / 'model.galvae')
    assert ModelBundle.read(tmp_path / 'model.galvae').manifest.get('from a later version') == [
        1,
        {'a': 2},
    ]


@pytest.mark.parametrize(
    'change',
    [
        {'questions': {'bar': {'parent': None}}},
        {'questions': {'bar': 7}},
        {'latents': {'n_latents': 40}},
        {'latents': {'n_latents': 'many', 'n_pose': 8}},
        {'renderings': [{'kind': 'flux'}]},
        {'reconstruction': {'floor': [1, 1, 1], 'slope': ['a', 1, 1], 'chi2_99': 1.0}},
        {'quantities': {'names': ['mass']}},
    ],
)
def test_an_entry_of_the_wrong_kind_is_refused(change):
    bundle = get_model()
    with pytest.raises(BundleError, match='an entry of the manifest is not as it should be'):
        bundle.replaced({**bundle.manifest.raw, **change})


def test_copies_are_the_same_object_and_pickles_equal():
    bundle = get_model()
    assert copy.deepcopy(bundle) is bundle
    assert pickle.loads(pickle.dumps(bundle)) == bundle


def test_self_test_passes_here():
    report = get_model().verify(device='cpu')
    assert report['device'] == 'cpu'
    encoded = {f'encoder/latent_{name}' for name in ('mean', 'logvar', 'pose')}
    drawn = {'decoder/composite', 'generator/composite'}
    others = {'heads/fractions', 'density/log_density', 'applicability/score', 'applicability/p'}
    assert set(report) == {'device', *encoded, *drawn, *others}


def test_self_test_finds_other_weights():
    bundle = get_model()
    graph = onnx.load_from_string(bundle.parts['heads.onnx'])
    weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.CopyFrom(
        onnx.numpy_helper.from_array(0.5 * onnx.numpy_helper.to_array(weights), weights.name)
    )
    with pytest.raises(BundleError, match='fails its self-test on cpu in float32: heads/fractions'):
        bundle.replaced(parts={'heads.onnx': graph.SerializeToString()}).verify(device='cpu')


@pytest.mark.parametrize('part', ['encoder', 'decoder', 'heads', 'quantities'])
def test_the_self_test_runs_every_part(part):
    """Junk in any of them is found, and so is a part without a test."""
    bundle = with_quantities()
    assert set(bundle.verify(device='cpu')) > {'quantities/values', 'quantities/errors'}
    with pytest.raises(BundleError, match=f'by-hand@.*: {part}.onnx: the graph cannot be run'):
        bundle.replaced(parts={f'{part}.onnx': b'not a graph at all'}).verify(device='cpu')
    vectors = dict(np.load(io.BytesIO(bundle.parts[SELF_TEST])))
    buffer = io.BytesIO()
    np.savez(buffer, **{key: value for key, value in vectors.items() if not key.startswith(part)})
    with pytest.raises(BundleError, match=f'has no self-test of {part}.onnx'):
        bundle.replaced(parts={SELF_TEST: buffer.getvalue()}).verify(device='cpu')


def with_quantities():
    """The default model with two quantities, the first latents times a million; no radius."""
    float32 = onnx.TensorProto.FLOAT
    nodes = [
        onnx.helper.make_node('Slice', ['latent', 'start', 'stop', 'axis'], ['two']),
        onnx.helper.make_node('Mul', ['two', 'million'], ['values']),
        onnx.helper.make_node('Abs', ['values'], ['errors']),
    ]
    numbers = {
        'start': np.array([0]),
        'stop': np.array([2]),
        'axis': np.array([1]),
        'million': np.float32(1e6),
    }
    graph = onnx.helper.make_graph(
        nodes,
        'quantities',
        [onnx.helper.make_tensor_value_info('latent', float32, ['rows', 40])],
        [
            onnx.helper.make_tensor_value_info(name, float32, ['rows', 2])
            for name in ('values', 'errors')
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in numbers.items()],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid('', 18)], ir_version=10
    )
    content, default = model.SerializeToString(), get_model()
    latents = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)
    test = self_test(
        {'quantities': content}, {'quantities': {'latent': latents}}, default.parts[SELF_TEST]
    )
    table = {'names': ['a', 'b'], 'units': {}, 'radius': None, 'report': {}}
    manifest = {**default.manifest.raw, 'name': 'by-hand', 'quantities': table}
    return default.replaced(manifest, {'quantities.onnx': content, SELF_TEST: test})


def with_parts(changes, **manifest):
    """The default model without half precision, with other parts and entries of the manifest."""
    bundle = get_model()
    removed = {name: None for name in bundle.parts if 'float16' in name}
    return bundle.replaced({**bundle.manifest.raw, **manifest}, {**removed, **changes})


def half_graph():
    """Bytes of a graph that halves its input in half precision."""
    float32, float16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    nodes = [
        onnx.helper.make_node('Cast', ['latent'], ['short'], to=float16),
        onnx.helper.make_node('Mul', ['short', 'half'], ['product']),
        onnx.helper.make_node('Cast', ['product'], ['composite'], to=float32),
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, float32, ('rows', 2))
        for name in ('latent', 'composite')
    ]
    half = onnx.numpy_helper.from_array(np.float16(0.5), 'half')
    graph = onnx.helper.make_graph(nodes, 'half', ends[:1], ends[1:], [half])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid('', 18)], ir_version=8
    )
    return model.SerializeToString()


@pytest.fixture
def gpu(monkeypatch):
    """A CPU that is taken for a GPU; gives what sessions were started with."""
    started, start_session = [], _runner.start_session
    monkeypatch.setattr(engine, '_RUNNERS', OrderedDict())

    def start(graph, device, batch_size, precision):
        started.append((graph, precision))
        return start_session(graph, 'cpu', batch_size)

    monkeypatch.setattr(_runner, 'start_session', start)
    return started


def test_half_precision_is_a_part_of_the_bundle(gpu):
    bundle = with_parts({'decoder.float16.onnx': half_graph()})
    runner = Engine(precision='float16').runner(bundle, 'decoder')
    runner.shapes = {}  # it gives no composite
    (found,) = runner({'latent': np.array([[1.0, 3.0]])}, ['composite'])
    np.testing.assert_array_equal(found, [[0.5, 1.5]])
    assert gpu == [(half_graph(), 'float16')]
    assert ModelBundle.read(pack(bundle.manifest.content, bundle.parts)) == bundle


def test_half_precision_is_refused_where_there_is_none():
    with pytest.raises(BundleError, match=r'has no encoder\.float16\.onnx; it has encoder\.onnx'):
        Engine(precision='float16').runner(get_model('gz2-sdss-v1'), 'encoder')
    with pytest.raises(ValueError, match='float16.*is for GPUs'):
        Engine(device='cpu', precision='float16')
    with pytest.raises(ValueError, match="precision is 'double'"):
        get_model().verify(precision='double')


def test_the_self_test_has_a_tolerance_for_half_precision(gpu):
    parts = {
        f'{name}.float16.onnx': get_model().parts[f'{name}.onnx'] for name in ('encoder', 'decoder')
    }
    report = with_parts(parts, self_test_tolerance={'float16': 0.1}).verify(precision='float16')
    assert report['encoder/latent_mean'] <= 0.1
    # the generator and the heads have none
    assert [precision for _, precision in gpu] == 2 * ['float16'] + 2 * ['float32']
    with pytest.raises(BundleError, match='fails its self-test on cpu in float16'):
        with_parts(parts, self_test_tolerance={'float16': -1.0, 'cpu': 1.0}).verify(
            precision='float16'
        )
    with pytest.raises(BundleError, match='no tolerance of its self-test for float16'):
        with_parts(parts, self_test_tolerance={'cpu': 1.0}).verify(precision='float16')


def test_tolerances_of_devices():
    bundle = with_parts({}, self_test_tolerance={'cpu': 1.0, 'cuda': 2.0, 'float16': 3.0})
    assert [bundle.tolerance(device) for device in ('cpu', 'cuda')] == [1.0, 2.0]
    assert bundle.tolerance('cuda', 'float16') == 3.0


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
    assert canonical_json({'b': 1, 'a': 2}).index(b'"b"') < canonical_json({'b': 1, 'a': 2}).index(
        b'"a"'
    )
