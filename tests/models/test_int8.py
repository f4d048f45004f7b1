# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""An encoder in eight bits."""

import numpy as np
import pytest

from galvae_affiliated import Engine, Outputs, get_model
from galvae_affiliated.exceptions import BundleError, DeviceError
from galvae_affiliated.models import Encoder, _devices
from galvae_affiliated.tables.columns import get_latents

pytest.importorskip('onnx')


@pytest.fixture
def with_vnni(monkeypatch):
    monkeypatch.setattr(_devices, 'has_vnni', lambda: True)


@pytest.fixture(scope='module')
def images():
    """Round galaxies of all sizes, with noise."""
    rng = np.random.default_rng(0)
    place = np.arange(128) - 63.5
    radius = np.hypot(place, place[:, None])
    light = np.exp(-radius / rng.uniform(4, 20, (48, 1, 1, 1))) * [[[0.8]], [[0.7]], [[0.5]]]
    return (light + rng.normal(0.02, 0.01, (48, 3, 128, 128))).clip(0, 1).astype('f4')


@pytest.fixture(scope='module')
def model(images):
    from galvae_affiliated.training.export.int8 import with_int8

    return with_int8(get_model(), images[:32])


def test_latents_are_near_and_their_columns_say_so(model, images, with_vnni):
    engine = Engine(device='cpu', precision='int8')
    found = Encoder(model, engine).encode(images)
    expected = Encoder(model, device='cpu').encode(images)
    assert (found.latent != expected.latent).any()
    assert np.sqrt(((found.latent - expected.latent) ** 2).mean()) < 0.3
    columns = Outputs().columns(found, model, engine)
    assert {column.meta['galvae_model'] for column in columns} == {f'{model.id}+int8'}
    assert f'{model.id}+int8]' in columns[0].description


def test_heads_take_such_latents(model, images, with_vnni):
    from astropy.table import Table

    engine = Engine(device='cpu', precision='int8')
    columns = Outputs(morphology=False).columns(Encoder(model, engine).encode(images[:3]), model,
                                                engine)
    assert get_latents(Table(columns), model).shape == (3, model.n_latents)


def test_the_self_test_is_of_the_whole_model(model, with_vnni):
    report = model.verify(device='cpu', precision='int8')
    assert 1e-3 < report['encoder/latent_mean'] <= model.tolerance('cpu', 'int8')
    assert report['decoder/composite'] < 1e-3


def test_without_the_graph_there_is_one_error(with_vnni):
    old = get_model('gz2-sdss-v1')
    with pytest.raises(BundleError, match=r'has no encoder\.int8\.onnx'):
        Engine(device='cpu', precision='int8').runner(old, 'encoder')


def test_a_processor_without_vnni_is_told(monkeypatch, tmp_path):
    path = tmp_path / 'cpuinfo'
    monkeypatch.setattr(_devices, 'PROCESSOR', path)
    for flags, expected in (('sse4_2 avx2', False), ('avx512f avx512_vnni', True)):
        path.write_text(f'processor\t: 0\nflags\t\t: fpu {flags}\n')
        _devices.has_vnni.cache_clear()
        assert _devices.has_vnni() is expected
    monkeypatch.setattr(_devices, 'has_vnni', lambda: False)
    with pytest.raises(DeviceError, match='no VNNI'):
        Engine(precision='int8')


def test_a_gpu_has_none():
    with pytest.raises(ValueError, match='for processors'):
        Engine(device='cuda', precision='int8')
