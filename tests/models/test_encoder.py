# Licensed under a 3-clause BSD style license - see LICENSE.rst
import importlib.util
import multiprocessing
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import onnx
import pytest

from galvae_affiliated import CutoutStack, DeviceError, GalvaeFlags, get_model
from galvae_affiliated.models import _devices, _runner
from galvae_affiliated.models import engine as engine_module
from galvae_affiliated.models.encoder import Encoder, Encoding, reduced_chi2

GRID = 128
N = 70  # more than a batch, and not a multiple of one


@pytest.fixture
def no_sessions(monkeypatch):
    """As in a process that has encoded nothing yet."""
    monkeypatch.setattr(engine_module, '_RUNNERS', OrderedDict())


def runner_of(encoder, part):
    return encoder.engine.runner(encoder.model, part)


@pytest.fixture(scope='module')
def stack():
    """Inclined discs of different size, colour and noise; three cannot be measured."""
    rng = np.random.default_rng(8)
    x = np.arange(GRID) - (GRID - 1) / 2
    angle, ratio, scale = rng.uniform([[0.0], [0.25], [6.0]], [[np.pi], [1.0], [18.0]], (3, N))[
        :, :, None, None
    ]
    major = x[None, None] * np.cos(angle) + x[None, :, None] * np.sin(angle)
    minor = (x[None, :, None] * np.cos(angle) - x[None, None] * np.sin(angle)) / ratio
    images = rng.uniform(0.3, 0.9, (N, 3, 1, 1)) * np.exp(-np.hypot(major, minor) / scale)[:, None]
    images += 0.02 * rng.standard_normal((N, 3, GRID, GRID))
    images[[3, 40, N - 1]] = np.nan
    images[5, 1, 60:70, 60:70] = np.nan
    return CutoutStack.from_composites(images.clip(0, 1))


@pytest.fixture(scope='module')
def expected(stack):
    """Each galaxy alone."""
    return Encoder(device='cpu', batch_size=1, n_threads=1).encode(stack)


@pytest.mark.parametrize('n_threads', [1, 2])
@pytest.mark.parametrize('batch_size', [1, 7, 64, 1000])
def test_batches_and_threads_change_nothing_and_rows_are_never_swapped(
    stack, expected, batch_size, n_threads
):
    found = Encoder(device='cpu', batch_size=batch_size, n_threads=n_threads).encode(stack)
    for name in ('latent', 'latent_err', 'pose'):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=0, atol=1e-5, err_msg=name
        )
    np.testing.assert_allclose(found.recon_chi2, expected.recon_chi2, rtol=1e-4)
    np.testing.assert_array_equal(found.flags, expected.flags)


def test_no_two_galaxies_have_the_same_latents(expected):
    """Or the test above would not see rows that are swapped."""
    known = expected.latent[expected.measured]
    apart = np.abs(known[:, None] - known[None]).max(axis=-1)
    assert len(known) == N - 3 and (apart[~np.eye(len(known), dtype=bool)] > 1e-2).all()


def test_rows_that_cannot_be_measured_are_not_given_to_the_network(stack, monkeypatch):
    encoder = Encoder(device='cpu', batch_size=25)
    rows, run_batch = [], runner_of(encoder, 'encoder').run_batch
    monkeypatch.setattr(
        runner_of(encoder, 'encoder'),
        'run_batch',
        lambda inputs, outputs: rows.append(len(inputs['image'])) or run_batch(inputs, outputs),
    )
    encoding = encoder.encode(stack, reconstruction=False)
    assert rows == [25, 25, 20]  # 67 rows, the last 17 filled to 20
    np.testing.assert_array_equal(np.flatnonzero(~encoding.measured), [3, 40, N - 1])
    assert (encoding.flags[[3, 40, N - 1]] & GalvaeFlags.NO_DATA).all()
    assert encoding.recon_chi2 is None


def test_the_chi_square_is_that_of_the_decoded_image(stack):
    bundle, encoder, few = get_model(), Encoder(device='cpu'), stack[:3]
    encoding = encoder.encode(few)
    inputs = {'image': few.data, 'rendering': bundle.rendering_index(few.rendering)}
    frame, weight = runner_of(encoder, 'encoder')(inputs, ['frame', 'weight'])
    usual = bundle.manifest
    found = reduced_chi2(
        encoder.decode(encoding.latent, encoding.pose), frame, weight, usual.floor, usual.slope
    )
    np.testing.assert_allclose(encoding.recon_chi2, found, rtol=1e-4)


def images_and_weights(n, random_state=3):
    rng = np.random.default_rng(random_state)
    decoded, frame, weight = rng.random((3, n, 3, 24, 20), dtype=np.float32)
    weight[weight < 0.3] = 0.0
    weight[0] = 0.0
    return decoded, frame, weight, [1e-3, 2e-3, 5e-3], [0.02, 0.01, 0.03]


def chi2_by_definition(decoded, frame, weight, floor, slope):
    decoded, frame, weight = (x.astype(float) for x in (decoded, frame, weight))
    variance = np.reshape(floor, (3, 1, 1)) + np.reshape(slope, (3, 1, 1)) * decoded
    square = (weight * (decoded - frame) ** 2 / variance).sum(axis=(1, 2, 3))
    return square / np.maximum(weight.sum(axis=(1, 2, 3)), 1e-6)


def test_reduced_chi2_is_what_it_says():
    given = images_and_weights(5)
    found = reduced_chi2(*given)
    assert found.shape == (5,) and found.dtype == np.float32 and found[0] == 0
    np.testing.assert_allclose(found, chi2_by_definition(*given), rtol=1e-5)
    strided = [np.repeat(x, 2, axis=-1)[..., ::2] for x in given[:3]]
    np.testing.assert_array_equal(reduced_chi2(*strided, *given[3:]), found)
    assert reduced_chi2(*(x[:0] for x in given[:3]), *given[3:]).shape == (0,)


def test_the_graph_of_the_chi_square_is_the_same_function():
    decoded, frame, weight, floor, slope = given = images_and_weights(4)
    runner = _runner.GraphRunner(_devices.residual_graph(), device='cpu')
    channels = {'floor': np.reshape(floor, (3, 1, 1)), 'slope': np.reshape(slope, (3, 1, 1))}
    images = {'decoded': decoded, 'frame': frame, 'weight': weight}
    values = {name: value.astype(np.float32) for name, value in {**images, **channels}.items()}
    (found,) = runner.run_batch(values, ['chi2'])
    np.testing.assert_allclose(found.numpy(), chi2_by_definition(*given), rtol=1e-5)


def test_the_graph_of_the_chi_square_is_the_one_that_the_tool_makes():
    path = Path(__file__).parents[2] / 'tools' / 'make_residual_graph.py'
    spec = importlib.util.spec_from_file_location('make_residual_graph', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    made, kept = (
        onnx.load_from_string(graph) for graph in (tool.residual_graph(), _devices.residual_graph())
    )
    assert made == kept


def test_no_row_needs_no_session(stack, no_sessions):
    encoder = Encoder()
    encoding = encoder.encode(stack[:0])
    assert len(encoding) == 0 and encoding.latent.shape == (0, encoder.model.n_latents)
    assert runner_of(encoder, 'encoder')._session is None
    with pytest.raises(DeviceError):
        Encoder(device='cuda').encode(stack[:0])


def test_warm_up_starts_the_sessions(no_sessions):
    encoder = Encoder(device='cpu', n_threads=1)
    encoder.warm_up(reconstruction=False)
    assert (
        runner_of(encoder, 'encoder')._session is not None
        and runner_of(encoder, 'decoder')._session is None
    )
    encoder.warm_up()
    assert runner_of(encoder, 'decoder')._session is not None
    assert encoder.engine.residual_runner()._session is not None


def test_a_pickle_has_no_session(stack, expected):
    encoder = Encoder(device='cpu', batch_size=3)
    encoder.warm_up()
    again = pickle.loads(pickle.dumps(encoder))
    assert again.engine == encoder.engine and again.model == encoder.model
    np.testing.assert_allclose(again.encode(stack[:5]).latent, expected.latent[:5], atol=1e-5)


def test_encodings_are_joined_in_their_order(stack, expected):
    encoder = Encoder(device='cpu')
    joined = Encoding.concatenate([encoder.encode(stack[i : i + 4]) for i in (0, 4, 8)])
    assert len(joined) == 12
    np.testing.assert_allclose(joined.latent, expected.latent[:12], atol=1e-5)


def test_sessions_are_kept_for_equal_engines():
    encoders = [Encoder(device='cpu', batch_size=8, n_threads=1) for _ in range(2)]
    assert runner_of(encoders[0], 'encoder') is runner_of(encoders[1], 'encoder')
    assert encoders[0].engine.residual_runner() is encoders[1].engine.residual_runner()
    other = Encoder(device='cpu', batch_size=9, n_threads=1)
    assert runner_of(other, 'encoder') is not runner_of(encoders[0], 'encoder')
    assert runner_of(Encoder('gz2-sdss-v1', encoders[0].engine), 'encoder') is not runner_of(
        encoders[0], 'encoder'
    )


def test_no_more_sessions_are_kept_than_stated(monkeypatch):
    monkeypatch.setattr(engine_module, '_RUNNERS', OrderedDict())
    monkeypatch.setattr(engine_module, 'MAX_RUNNERS', 3)
    runners = [
        runner_of(Encoder(device='cpu', batch_size=size), 'encoder') for size in (1, 2, 3, 4)
    ]
    assert list(engine_module._RUNNERS.values()) == runners[1:]


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='this system does not fork')
@pytest.mark.filterwarnings('ignore:.*multi-threaded, use of fork:DeprecationWarning')
def test_a_child_has_its_own_sessions(stack, expected):
    """Threads of its parent's sessions are not there; it would wait for them for ever."""
    Encoder(device='cpu', n_threads=2).encode(stack[:2])
    with multiprocessing.get_context('fork').Pool(1) as pool:
        latent, chi2 = pool.apply_async(encode_some, [stack[:2]]).get(timeout=120)
    np.testing.assert_allclose(latent, expected.latent[:2], atol=1e-5)
    np.testing.assert_allclose(chi2, expected.recon_chi2[:2], rtol=1e-4)


def encode_some(stack):
    encoding = Encoder(device='cpu', n_threads=2).encode(stack)
    return encoding.latent, encoding.recon_chi2
