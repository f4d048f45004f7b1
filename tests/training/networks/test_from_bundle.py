# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Networks from the graphs of a bundle."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')
onnx = pytest.importorskip('onnx')

from galvae_affiliated import Engine, get_model  # noqa: E402
from galvae_affiliated.exceptions import BundleError  # noqa: E402
from galvae_affiliated.training.export.graphs import edge_images  # noqa: E402
from galvae_affiliated.training.networks.from_bundle import network_of_bundle  # noqa: E402
from galvae_affiliated.training.networks.inference import encode_rows, reconstruct  # noqa: E402
from galvae_affiliated.training.networks.preprocess import Preprocess  # noqa: E402


@pytest.fixture(scope='module')
def images():
    images = torch.cat([edge_images(128, i) for i in range(3)])
    return images.nan_to_num(0.0).clamp(0.0, 1.0)


@pytest.mark.parametrize('name', ['gz2-sdss-v3', 'gz2-sdss-v2', 'gz2-sdss-v1'])
def test_the_network_gives_what_the_graphs_give(name, images):
    """Of light and of residual networks, whose graphs fold other things."""
    model = get_model(name)
    network, preprocess = network_of_bundle(model, images), Preprocess(128)
    engine = Engine(device='cpu')
    given = {'image': images.numpy(), 'rendering': np.zeros(len(images), dtype=int)}
    latent, pose = engine.runner(model, 'encoder')(given, ['latent_mean', 'latent_pose'])
    found = encode_rows(network, preprocess, images)
    np.testing.assert_allclose(found[0].numpy(), latent, atol=1e-3)
    np.testing.assert_allclose(found[1].numpy(), pose, atol=1e-3)
    (drawn,) = engine.runner(model, 'decoder')({'latent': latent, 'pose': pose}, ['composite'])
    np.testing.assert_allclose(reconstruct(network, preprocess, *found)[0], drawn, atol=2e-3)


def test_batch_normalisations_have_the_statistics_of_the_images(images):
    """So a network that goes on learning sees, in training, what it saw in evaluation."""
    network = network_of_bundle(get_model('gz2-sdss-v2'), images)
    network.encoder.dropout.p = 0.0
    seen = Preprocess(128)(images)[1]
    with torch.no_grad():
        expected = network.encoder(seen)[0]
        found = network.encoder.train()(seen)[0]
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_a_model_that_was_not_trained_here_is_refused(images):
    model = get_model('gz2-sdss-v2')
    foreign = {key: value for key, value in model.manifest.raw.items() if key != 'training'}
    with pytest.raises(BundleError, match='cannot be trained on'):
        network_of_bundle(model.replaced(manifest=foreign), images)


def test_weights_of_another_network_are_refused(images):
    model = get_model('gz2-sdss-v2')
    raw = model.manifest.raw
    config = {**raw['training']['config'], 'widths': [48, 96, 100]}
    other = model.replaced(manifest={**raw, 'training': {**raw['training'], 'config': config}})
    with pytest.raises(BundleError, match=r'encoder\.onnx is not the network .* of shape'):
        network_of_bundle(other, images)
