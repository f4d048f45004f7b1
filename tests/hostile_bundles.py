# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Bundles that a stranger could make: each has the right hashes, and something wrong in it."""

import copy
import hashlib
import io
import warnings
import zipfile

import numpy as np
import onnx
from onnx import TensorProto, helper

from galvae_affiliated import BundleError, Engine, ModelBundle, Outputs, get_model
from galvae_affiliated.flags import UNMEASURED
from galvae_affiliated.models._archive import DIGEST_SIZE, pack
from galvae_affiliated.models.card import model_card
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.models.self_test import SELF_TEST

FLOAT = TensorProto.FLOAT
SECRET = b'-----BEGIN OPENSSH PRIVATE KEY----- secret'


def sealed(manifest, parts):
    """Bytes of a bundle with the right hashes, whatever is in it."""
    parts = {name: content for name, content in parts.items() if content is not None}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
    if isinstance(manifest, dict):
        manifest = {**manifest, 'parts': hashes}
    return pack(manifest, parts)


def with_part(name, content):
    """The default model with one part in place of its own; None leaves it out."""
    model = get_model()
    return sealed(model.manifest.raw, {**model.parts, name: content})


def changed(place, value):
    """The default manifest with another value at ``place``, a tuple of keys."""
    entries = get_model().manifest.raw
    inner = entries
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return entries


def with_entry(place, value):
    """The default model with another value at ``place`` of its manifest."""
    return sealed(changed(place, value), get_model().parts)


def with_archive(change):
    """The default model in an archive that ``change(archive)`` has added to."""
    model = get_model()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('manifest.json', model.manifest.content)
        for name, content in model.parts.items():
            archive.writestr(name, content)
        change(archive)
        archive.comment = b'galvae-sha256:' + b'0' * DIGEST_SIZE
    return resealed(buffer.getvalue())


def resealed(content):
    """Bytes that end with their own hash."""
    body = content[:-DIGEST_SIZE]
    return body + hashlib.sha256(body).hexdigest().encode()


def encoder():
    return onnx.load_from_string(get_model().parts['encoder.onnx'])


def renamed(model, name, other):
    """Give an output of a graph another name, so that other nodes can make it."""
    for node in model.graph.node:
        if name in node.output:
            node.output[:] = [other if one == name else one for one in node.output]


def external(name='stolen', location='secret.txt', shape=(1, 40)):
    tensor = TensorProto(name=name, data_type=TensorProto.UINT8, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value=location)
    return tensor


def stealing(location='secret.txt', how='initializer'):
    """An encoder whose latents are the bytes of a file."""
    model = encoder()
    renamed(model, 'latent_mean', 'honest')
    stolen = external(location=location)
    graph = model.graph
    if how == 'initializer':
        graph.initializer.append(stolen)
    elif how == 'without a flag':
        stolen.data_location = TensorProto.DEFAULT
        graph.initializer.append(stolen)
    elif how == 'constant':
        graph.node.append(helper.make_node('Constant', [], ['stolen'], value=stolen))
    elif how == 'branch':
        inner = helper.make_graph(
            [helper.make_node('Identity', ['inside'], ['chosen'])],
            'branch',
            [],
            [helper.make_tensor_value_info('chosen', TensorProto.UINT8, [1, 40])],
            [external('inside', location)],
        )
        graph.initializer.append(helper.make_tensor('always', TensorProto.BOOL, [], [True]))
        graph.node.append(
            helper.make_node('If', ['always'], ['stolen'], then_branch=inner, else_branch=inner)
        )
    elif how == 'sparse':
        sparse = graph.sparse_initializer.add()
        sparse.values.CopyFrom(external('stolen', location, (2,)))
        sparse.indices.CopyFrom(helper.make_tensor('i', TensorProto.INT64, [2], [0, 1]))
        sparse.dims[:] = [1, 40]
    elif how == 'function':
        constant = helper.make_node('Constant', [], ['inside'], value=external('v', location))
        opset = [helper.make_opsetid('', 18)]
        model.functions.append(
            helper.make_function('mine', 'Take', [], ['inside'], [constant], opset)
        )
        model.opset_import.append(helper.make_opsetid('mine', 1))
        graph.node.append(helper.make_node('Take', [], ['stolen'], domain='mine'))
    graph.initializer.append(helper.make_tensor('zero', FLOAT, [], [0]))
    graph.node.extend(
        [
            helper.make_node('Cast', ['stolen'], ['as_float'], to=FLOAT),
            helper.make_node('Mul', ['honest', 'zero'], ['nothing']),
            helper.make_node('Add', ['nothing', 'as_float'], ['latent_mean']),
        ]
    )
    return model.SerializeToString()


STEALING = ('initializer', 'without a flag', 'constant', 'branch', 'sparse', 'function')
LOCATIONS = ('secret.txt', '/etc/passwd', '../secret.txt', './link', '*/_ORT_MEM_ADDR_/*')


def _scalar(name, kind, value):
    return helper.make_tensor(name, kind, [], [value])


def endless(operator='Loop'):
    """An encoder with a loop that does not end."""
    model = encoder()
    renamed(model, 'latent_mean', 'honest')
    info = helper.make_tensor_value_info
    if operator == 'Loop':
        body = helper.make_graph(
            [
                helper.make_node('Identity', ['on'], ['on_out']),
                helper.make_node('Identity', ['x'], ['x_out']),
            ],
            'body',
            [info('i', TensorProto.INT64, []), info('on', TensorProto.BOOL, []),
             info('x', FLOAT, None)],
            [info('on_out', TensorProto.BOOL, []), info('x_out', FLOAT, None)],
        )
        model.graph.initializer.extend(
            [
                _scalar('forever', TensorProto.INT64, 2**62),
                _scalar('go_on', TensorProto.BOOL, True),
            ]
        )
        node = helper.make_node('Loop', ['forever', 'go_on', 'honest'], ['latent_mean'], body=body)
    else:
        body = helper.make_graph(
            [helper.make_node('Identity', ['a'], ['b'])],
            'body',
            [info('a', FLOAT, None)],
            [info('b', FLOAT, None)],
        )
        node = helper.make_node('Scan', ['honest'], ['latent_mean'], body=body, num_scan_inputs=1)
    model.graph.node.append(node)
    return model.SerializeToString()


def nested_functions(depth=30, width=4):
    """An encoder whose functions call one another, so that it has width ** depth operators."""
    model = encoder()
    renamed(model, 'latent_mean', 'honest')
    opsets = [helper.make_opsetid('', 18), helper.make_opsetid('mine', 1)]
    for i in range(depth):
        names = ['x', *(f'y{j}' for j in range(width - 1)), 'z']
        called = ('Identity', '') if i == 0 else (f'f{i - 1}', 'mine')
        nodes = [
            helper.make_node(called[0], [a], [b], domain=called[1])
            for a, b in zip(names, names[1:])
        ]
        model.functions.append(helper.make_function('mine', f'f{i}', ['x'], ['z'], nodes, opsets))
    model.opset_import.append(helper.make_opsetid('mine', 1))
    model.graph.node.append(
        helper.make_node(f'f{depth - 1}', ['honest'], ['latent_mean'], domain='mine')
    )
    return model.SerializeToString()


def instead(*nodes, initializers=(), domain=None):
    """An encoder whose latents come from some nodes, which have 'honest' to begin with."""
    model = encoder()
    renamed(model, 'latent_mean', 'honest')
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(initializers)
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return model.SerializeToString()


def _node(name, *inputs, **attributes):
    return helper.make_node(name, list(inputs), ['latent_mean'], **attributes)


def hostile_encoders():
    """Name to graph of encoders that do what none should do."""
    zero = _scalar('zero', FLOAT, 0.0)
    huge = helper.make_tensor('huge', TensorProto.INT64, [3], [2**20, 2**20, 2**10])
    wide = helper.make_tensor('wide', TensorProto.INT64, [2], [1, 41])
    rows = helper.make_tensor('rows', TensorProto.INT64, [2], [3, 40])
    one = helper.make_tensor('one', TensorProto.INT64, [1], [1])
    wrong_type = encoder()
    wrong_type.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    unsorted = encoder()
    nodes = list(unsorted.graph.node)[::-1]
    del unsorted.graph.node[:]
    unsorted.graph.node.extend(nodes)
    later = encoder()
    later.opset_import[0].version = 99
    without = encoder()
    renamed(without, 'latent_logvar', 'gone')
    other_input = encoder()
    other_input.graph.input[0].name = 'picture'
    graphs = {
        'loop': endless('Loop'),
        'scan': endless('Scan'),
        'functions': nested_functions(),
        'few functions': nested_functions(70, 1),
        'nan': instead(_node('Div', 'zero_row', 'zero'), helper.make_node(
            'Mul', ['honest', 'zero'], ['zero_row']), initializers=[zero]),
        'infinite': instead(_node('Exp', 'large'), helper.make_node(
            'Add', ['honest', 'thousand'], ['large']),
            initializers=[_scalar('thousand', FLOAT, 1e4)]),
        'petabytes': instead(_node('ConstantOfShape', 'huge'), initializers=[huge]),
        'expanded': instead(_node('Expand', 'zero', 'huge'), initializers=[zero, huge]),
        '41 latents': instead(_node('ConstantOfShape', 'wide'), initializers=[wide]),
        '3 rows': instead(_node('ConstantOfShape', 'rows'), initializers=[rows]),
        'one column': instead(_node('ReduceMean', 'honest', 'one'), initializers=[one]),
        'double': instead(_node('Cast', 'honest', to=TensorProto.DOUBLE)),
        'integers': instead(_node('Cast', 'honest', to=TensorProto.INT64)),
        'text': instead(_node('Cast', 'honest', to=TensorProto.STRING)),
        'bool': instead(_node('Cast', 'honest', to=TensorProto.BOOL)),
        'random': instead(_node('RandomNormalLike', 'honest')),
        'sequence': instead(_node('SequenceConstruct', 'honest')),
        'contrib': instead(
            _node('Gelu', 'honest', domain='com.microsoft'), domain='com.microsoft'),
        'other domain': instead(_node('Run', 'honest', domain='evil'), domain='evil'),
        'no such operator': instead(_node('Steal', 'honest')),
        'no such input': instead(_node('Identity', 'nowhere')),
        'circle': instead(_node('Add', 'honest', 'latent_mean')),
        'wrong type': wrong_type.SerializeToString(),
        'unsorted': unsorted.SerializeToString(),
        'later opset': later.SerializeToString(),
        'output missing': without.SerializeToString(),
        'other input': other_input.SerializeToString(),
        'empty': b'',
        'no graph': onnx.ModelProto(ir_version=10).SerializeToString(),
        'text file': b'not a graph at all',
        'own format': b'\x08\x00\x00\x00ORTM' + bytes(200),
        'cut short': get_model().parts['encoder.onnx'][:5000],
        'appended': get_model().parts['encoder.onnx'] + b'\xff' * 100,
        'decoder': get_model().parts['decoder.onnx'],
        'heads': get_model().parts['heads.onnx'],
    }
    return graphs


def archives():
    """Name to bytes of containers that are not as they should be."""
    good = pack(get_model().manifest.content, get_model().parts)

    def bomb(size, method=zipfile.ZIP_DEFLATED, name='bomb.onnx'):
        def add(archive):
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, 'w', force_zip64=True) as file:
                for _ in range(size >> 20):
                    file.write(bytes(1 << 20))

        return add

    def many(archive):
        for i in range(200):
            archive.writestr(f'part{i}.onnx', b'')

    def twice(archive):
        archive.writestr('encoder.onnx', b'other')

    result = {
        'bomb': with_archive(bomb(400 << 20)),
        'bzip2': with_archive(bomb(8 << 20, zipfile.ZIP_BZIP2)),
        'lzma': with_archive(bomb(8 << 20, zipfile.ZIP_LZMA)),
        'many entries': with_archive(many),
        'no archive': resealed(b'PK' + bytes(200) + b'galvae-sha256:' + b'0' * 64),
        'path': with_archive(lambda archive: archive.writestr('../../evil.onnx', b'')),
        'absolute path': with_archive(lambda archive: archive.writestr('/etc/evil', b'')),
        'escape': with_archive(lambda archive: archive.writestr('\x1b[2J.onnx', b'')),
        'long name': with_archive(lambda archive: archive.writestr('a' * 60000, b'')),
        'manifest of text': pack(b'{', get_model().parts),
        'manifest of a list': pack(b'[]', get_model().parts),
        'manifest of a number': pack(b'7', get_model().parts),
        'manifest too deep': pack(b'[' * 10**5 + b']' * 10**5, get_model().parts),
        'manifest not UTF-8': pack(b'\xff\xfe{', get_model().parts),
        'manifest with NaN': pack(b'{"schema_version": NaN}', get_model().parts),
        'manifest of digits': pack(b'{"schema_version": ' + b'9' * 10**5 + b'}', {}),
        'manifest alone': pack(get_model().manifest.content, {}),
        'nothing': pack({}, {}),
        'no self-test': with_part(SELF_TEST, None),
        'no encoder': with_part('encoder.onnx', None),
    }
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # zipfile says that a name is there twice
        result['twice'] = with_archive(twice)
    for i, place in enumerate(np.random.default_rng(0).integers(0, len(good) - 64, 60)):
        damaged = bytearray(good)
        damaged[place] ^= 1 << (i % 8)
        result[f'damaged at {place}'] = resealed(bytes(damaged))
    start = good.rindex(b'PK\x05\x06')
    for i in range(4, 22, 2):
        for value in (b'\xff\xff', b'\x00\x00', b'\x01\x80'):
            damaged = bytearray(good)
            damaged[start + i:start + i + 2] = value
            result[f'directory {i} {value.hex()}'] = resealed(bytes(damaged))
    entry = good.index(b'PK\x01\x02')
    for i in range(6, 46, 2):
        damaged = bytearray(good)
        damaged[entry + i:entry + i + 2] = b'\xff\x7f'
        result[f'entry {i}'] = resealed(bytes(damaged))
    return result


def _npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def self_tests():
    """Name to bytes of self-tests that hold other things than they should."""
    good = dict(np.load(io.BytesIO(get_model().parts[SELF_TEST])))
    lies = copy.deepcopy(good)
    key = 'encoder/latent_mean'
    lies[key] = lies[key] + 1
    objects = np.array([object], dtype=object)
    with_objects = io.BytesIO()
    np.savez(with_objects, allow_pickle=True, **{**good, key: np.array([{}], dtype=object)})
    huge = io.BytesIO()
    with zipfile.ZipFile(huge, 'w') as archive:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"
        header = header.ljust(117) + b'\n'
        archive.writestr('encoder/image.npy', b'\x93NUMPY\x01\x00' + len(
            header).to_bytes(2, 'little') + header)
    text = io.BytesIO()
    with zipfile.ZipFile(text, 'w') as archive:
        archive.writestr('encoder/image.npy', b'none')
    assert objects.dtype == object
    return {
        'none': b'',
        'text': b'none at all',
        'pickle': b'\x80\x04cos\nsystem\n(S"touch PWNED"\ntR.',
        'objects': with_objects.getvalue(),
        'huge': huge.getvalue(),
        'no array': text.getvalue(),
        'lies': _npz(**lies),
        'no rows': _npz(**{name: value[:0] for name, value in good.items()}),
        'one row too few': _npz(**{**good, key: good[key][:-1]}),
        'broadcast': _npz(**{**good, key: np.zeros((1, 1), np.float32)}),
        'nan': _npz(**{**good, key: np.full_like(good[key], np.nan)}),
        'other shape of images': _npz(**{**good, 'encoder/image': np.zeros((4, 3, 8, 8))}),
        'texts': _npz(**{**good, 'encoder/image': np.full((4, 3, 128, 128), 'a')}),
        'complex': _npz(**{**good, key: good[key] * 1j}),
        'scalar': _npz(**{**good, 'encoder/image': np.float32(1)}),
        'renderings beyond': _npz(**{**good, 'encoder/rendering': np.full(4, 99)}),
        'one part alone': _npz(**{k: v for k, v in good.items() if k.startswith('encoder')}),
        'without inputs': _npz(**{k: v for k, v in good.items() if k != 'encoder/image'}),
        'many arrays': _npz(**{f'a{i}': np.zeros(1) for i in range(500)}),
    }


# place in the manifest, and what does not belong there
WRONG_ENTRIES = [
    *(((key,), value) for key in ('input', 'latents', 'questions', 'reconstruction')
      for value in (None, 7, 'x', [], [1], True)),
    *((('renderings',), value) for value in (None, 7, 'x', {}, [], [1], [{}], [{'name': 'a'}])),
    *((('name',), value) for value in (
        None, 7, '', 'a' * 100, 'a[b]', ' a', 'a  b', 'a\nb', '\x1b[2Ja', 'a@b', ['a'])),
    *((('input', 'grid'), value) for value in (0, -1, 1.5, '128', None, 10**9, True)),
    *((('input', 'field_of_view'), value)
      for value in (-1, 0, 1e-9, float('nan'), float('inf'), '5', None)),
    *((('input', 'typical'), value)
      for value in ({'g': 'text'}, {'g': {'noise': 0, 'flux': 1}}, 7, {'g': {}})),
    *((('latents', 'n_latents'), value) for value in (0, -1, 40.5, 'many', None, 10**9, 41)),
    *((('latents', 'n_pose'), value) for value in (-1, 1.5, None, 10**9, 9)),
    *((('latents', 'same_as'), value) for value in (7, 'x', [7], [['a']], ['a', 'a'])),
    *((('reconstruction', 'floor'), value)
      for value in ([1, 1], [0, 0, 0], [-1, 1, 1], ['a', 1, 1], [float('nan')] * 3, None)),
    *((('reconstruction', 'slope'), value) for value in ([1], [-1, 1, 1], 'abc', None)),
    *((('reconstruction', 'chi2_99'), value) for value in (float('nan'), None, 'x', -1)),
    *((('heads', 'n_volunteers'), value) for value in (-1, 'x', None, 1.5)),
    *((('self_test_tolerance', 'cpu'), value)
      for value in (float('inf'), float('nan'), 'x', None, 1e9)),
    *((('questions', 'bar'), value) for value in (
        7, {}, {'answers': []}, {'answers': 'yes'}, {'answers': [1, 2]},
        {'answers': ['yes', 'yes']}, {'answers': ['yes', 'no'], 'parent': 7},
        {'answers': ['yes', 'no'], 'parent': ['nowhere', 'yes']},
        {'answers': ['yes', 'no'], 'parent': ['disk-edge-on', 'perhaps']},
        {'answers': ['yes', 'no'], 'parent': ['bar', 'yes']},
        {'answers': ['a\x1b[2J', 'no']})),
    *((('prediction_sets', 'coverages'), value)
      for value in ([], [0.9, 0.5], ['a'], 7, [float('nan')])),
    *((('prediction_sets', 'questions', 'bar'), value)
      for value in (7, {}, {'thresholds': [1]}, {'thresholds': 'x'})),
    *((('quantities',), value) for value in (
        7, {}, {'names': ['mass']}, {'names': ['m'], 'units': {'m': '10**99999999 Jy'},
                                     'radius': None},
        {'names': ['m'], 'units': {}, 'radius': 'mile'}, {'names': 'm', 'units': {}})),
    *((('renderings', 1, key), value) for key, values in (
        ('kind', ('x', None, 7)), ('name', (None, 7, '', 'composite')),
        ('bands', (7, ['r'], ['r', 'r', 'r'], [1, 2, 3])),
        ('softening', (0, -1, 'x', None, float('nan'))), ('offset', ('x', None)))
      for value in values),
]


# what may become of a bundle: the self-test is run by who asks for it
HELD = ('refused', 'used', 'used, though its self-test fails')


def outcome(content, folder):
    """
    What a file does to who reads it, looks at its card, tests it and encodes two galaxies.

    Returns
    -------
    text : str
        One of `HELD`, or what went wrong: an exception that is none of ours, an error that does
        not name the file, NaN without a flag.
    """
    path = folder / 'stranger.galvae'
    path.write_bytes(content)
    try:
        model = ModelBundle.read(path)
    except BundleError as error:
        return 'refused' if path.name in str(error) else f'the file is not named: {error}'
    except Exception as error:
        return f'{type(error).__name__} when it is read: {error}'
    try:
        model_card(model)
        model.verify(device='cpu')
        verified = True
    except BundleError as error:
        verified = False
        if model.id not in str(error):
            return f'the model is not named: {error}'
    except MemoryError:
        return 'refused'
    except Exception as error:
        return f'{type(error).__name__} in the self-test: {error}'
    return _encoded(model, verified)


def _encoded(model, verified):
    """What two galaxies do, of which the second is of pixels that are far too bright."""
    y, x = np.mgrid[:128, :128] - 63.5
    images = np.full((2, 3, 128, 128), 0.1, np.float32) + np.exp(-np.hypot(x, y) / 9) * 0.5
    try:
        outputs, engine = Outputs(), Engine(device='cpu')
        encoding = Encoder(model, engine).encode(images.astype(np.float32))
        outputs.columns(encoding, model, engine)
    except (BundleError, MemoryError) as error:
        return 'refused' if model.id in str(error) else f'the model is not named: {error}'
    except Exception as error:
        return f'{type(error).__name__} when it encodes: {error}'
    lost = ~np.isfinite(encoding.latent).all(axis=1)
    if (lost & (encoding.flags & UNMEASURED == 0)).any():
        return 'NaN without a flag'
    return 'used' if verified else 'used, though its self-test fails'
