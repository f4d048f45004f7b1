# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The decoder's residual of images whose color nobody saw."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest

from galvae_affiliated import CutoutStack, GalvaeFlags, LatentTransformer, get_model
from galvae_affiliated.models import _devices, _runner
from galvae_affiliated.models.encoder import Encoder, Encoding, channel_mixing, reduced_chi2

FLOOR, SLOPE = [1e-3, 2e-3, 5e-3], [0.02, 0.01, 0.03]


def images(n, random_state=4):
    rng = np.random.default_rng(random_state)
    decoded, frame, weight = rng.random((3, n, 3, 24, 20), dtype=np.float32)
    weight[weight < 0.3] = 0.0
    return decoded, frame, weight


def test_three_bands_are_compared_as_they_are():
    given = (*images(4), FLOOR, SLOPE)
    np.testing.assert_allclose(reduced_chi2(*given, [3] * 4), reduced_chi2(*given), rtol=1e-5)


def test_color_that_is_drawn_does_not_count_against_one_band():
    _, frame, weight = images(3)
    frame = frame[:, :1].repeat(3, axis=1)
    tint = np.reshape([0.2, 0.0, -0.2], (3, 1, 1)).astype(np.float32)
    one, three = (reduced_chi2(frame + tint, frame, weight, FLOOR, [0, 0, 0], [n] * 3)
                  for n in (1, 3))  # fmt: skip
    assert one == pytest.approx(0.0, abs=1e-5) and (three > 5).all()
    # two bands are compared where they are known
    middle = np.reshape([0.0, 0.3, 0.0], (3, 1, 1)).astype(np.float32)
    two = reduced_chi2(frame + middle, frame, weight, FLOOR, [0, 0, 0], [2] * 3)
    assert two == pytest.approx(0.0, abs=1e-5)
    assert (reduced_chi2(frame + tint, frame, weight, FLOOR, [0, 0, 0], [2] * 3) > 5).all()


def test_noise_of_equal_channels_is_counted_once():
    """Noise of the variance that is expected has a chi-square of one, whatever the bands."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((8, 1, 64, 64), dtype=np.float32).repeat(3, axis=1)
    decoded = np.full_like(noise, 0.5)
    weight = np.ones_like(noise)
    variance = 4e-4
    frame = decoded + np.sqrt(np.float32(variance)) * noise
    for n in (1, 2, 3):
        chi2 = reduced_chi2(decoded, frame, weight, [variance] * 3, [0] * 3, [n] * 8)
        assert chi2 == pytest.approx(1.0, abs=0.06)


def test_the_graph_is_the_same_function_and_the_one_that_the_tool_makes():
    decoded, frame, weight = images(5)
    n_bands = np.array([1, 3, 2, 1, 2])
    mix, share = channel_mixing(n_bands)
    runner = _runner.GraphRunner(_devices.residual_graph(few=True), device='cpu')
    channels = {'floor': np.reshape(FLOOR, (3, 1, 1)), 'slope': np.reshape(SLOPE, (3, 1, 1))}
    given = {'decoded': decoded, 'frame': frame, 'weight': weight, 'mix': mix, 'share': share}
    values = {name: np.ascontiguousarray(value, dtype=np.float32)
              for name, value in {**given, **channels}.items()}  # fmt: skip
    (found,) = runner.run_batch(values, ['chi2'])
    expected = reduced_chi2(decoded, frame, weight, FLOOR, SLOPE, n_bands)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    path = Path(__file__).parents[2] / 'tools' / 'make_residual_graph.py'
    spec = importlib.util.spec_from_file_location('make_residual_graph', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    made = onnx.load_from_string(tool.residual_graph(few=True))
    assert made == onnx.load_from_string(_devices.residual_graph(few=True))


@pytest.fixture(scope='module')
def stack():
    """Discs of one band, of two, and in color; every third of each kind."""
    rng = np.random.default_rng(5)
    x = np.arange(128) - 63.5
    disc = np.exp(-np.hypot(x, x[:, None]) / rng.uniform(6, 18, (21, 1, 1)))
    data = disc[:, None] * np.array([0.7, 0.6, 0.4])[:, None, None]
    data[::3] = disc[::3, None] * 0.6
    data[1::3, 1] = data[1::3, ::2].mean(axis=1)
    data += 0.01 * rng.standard_normal((21, 1, 128, 128))
    few = np.array([GalvaeFlags.FEW_BANDS, GalvaeFlags.FEW_BANDS, 0] * 7)
    bands = np.array(['r,r,r', 'z,z+g,g', ''] * 7)
    return CutoutStack(data.clip(0, 1).astype('f4'), np.full(21, 'composite'),
                       few.astype('i4'), bands=bands)  # fmt: skip


def test_rows_of_few_bands_among_others(stack):
    encoder = Encoder(device='cpu', batch_size=4, n_threads=2)
    encoding = encoder.encode(stack)
    bundle = get_model()
    inputs = {'image': stack.data, 'rendering': bundle.rendering_index(stack.rendering)}
    runner = encoder.engine.runner(bundle, 'encoder')
    frame, weight = runner(inputs, ['frame', 'weight'])
    decoded = encoder.decode(encoding.latent, encoding.pose)
    usual = bundle.manifest
    expected = reduced_chi2(decoded, frame, weight, usual.floor, usual.slope, stack.n_bands)
    np.testing.assert_allclose(encoding.recon_chi2, expected, rtol=1e-3)
    plain = reduced_chi2(decoded, frame, weight, usual.floor, usual.slope)
    assert (expected[::3] < plain[::3]).all() and np.allclose(expected[2::3], plain[2::3])
    assert encoding.channels == ('', 'r,r,r', 'z,z+g,g')


def test_what_the_columns_say_of_the_channels(stack):
    encoder = Encoder(device='cpu', n_threads=1)
    one, two, three = (encoder.encode(stack[i::3], reconstruction=False) for i in range(3))
    for encoding, text in ((one, 'r,r,r'), (two, 'z,z+g,g')):
        column = encoding.columns()[0]
        assert column.description == f'morphology latents of {text}'
        assert column.meta == {'galvae_channels': text}
        scalars = encoding.columns(scalar_columns=True)
        assert scalars[3].description == f'morphology latents of {text} 3'
    assert three.columns()[0].description == 'morphology latents'
    assert three.columns()[0].meta == {}
    both = Encoding.concatenate([one, two, three])
    assert both.channels == ('', 'r,r,r', 'z,z+g,g')
    assert both.columns()[0].meta == {'galvae_channels': 'r,r,r or z,z+g,g'}


def test_arrays_of_one_band_are_transformed(stack):
    transformer = LatentTransformer(device='cpu')
    grey = stack.data[::3, 0]
    latent = transformer.transform(grey)
    np.testing.assert_allclose(latent, transformer.transform(grey[:, None]), atol=1e-5)
    np.testing.assert_allclose(latent, transformer.transform(stack.data[::3]), atol=1e-5)
    with pytest.raises(ValueError, match=r'expected \(N, 3, 128, 128\), or \(N, 128, 128\)'):
        transformer.transform(grey[0])
