# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What becomes a bundle, and that it gives what PyTorch gives."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')

from training_sets import GRID, is_round  # noqa: E402

from galvae_affiliated import LatentTransformer, get_model  # noqa: E402
from galvae_affiliated.catalog import encode_cutout_set  # noqa: E402
from galvae_affiliated.training import build  # noqa: E402
from galvae_affiliated.training.export import graphs  # noqa: E402
from galvae_affiliated.training.networks.inference import encode_rows  # noqa: E402

# Lightning warns of few workers and of a small set, as it should
pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]


@pytest.fixture(scope='module')
def bundle(trained):
    """In half precision, as the default is, with heads."""
    return get_model(trained.path)


@pytest.fixture(scope='module')
def full(trained_module, tiny_set):
    """The same network in full precision."""
    trained_module.config = trained_module.config.replaced(half_weights=False)
    return build.build_bundle(trained_module, tiny_set, name='full', about={'tiny': 'yes'})


@pytest.fixture(scope='module')
def expected(trained_module, tiny_set):
    """Latents and pose of the set in PyTorch."""
    encoded = encode_rows(
        trained_module.model, trained_module.preprocess, tiny_set.composites(np.arange(48))
    )
    return [part.numpy() for part in encoded[:2]]


def test_a_bundle_encodes_as_torch_does(full, tiny_set, expected):
    full.verify(device='cpu')
    encoding = LatentTransformer(full, device='cpu').encoder.encode(np.array(tiny_set.images))
    np.testing.assert_allclose(encoding.latent, expected[0], atol=1e-3)
    np.testing.assert_allclose(encoding.pose, expected[1], atol=1e-3)


def test_half_the_precision_is_near_the_whole(bundle, full, tiny_set):
    bundle.verify(device='cpu')
    half, whole = (
        LatentTransformer(b, device='cpu').transform(np.array(tiny_set.images))
        for b in (bundle, full)
    )
    assert 0 < np.abs(half - whole).max() < 0.02
    assert bundle.manifest.get('weights').startswith('float16')
    assert full.manifest.get('weights') == 'float32'


def test_half_the_precision_is_half_the_size():
    """Of a network whose weights are most of its file."""
    layer = torch.nn.Linear(256, 256)
    images = {'x': torch.randn(4, 256, generator=torch.Generator().manual_seed(0))}
    sizes = [
        len(graphs.export_graph(layer, images, ['y'], half_weights=half)) for half in (False, True)
    ]
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.05)


def test_what_was_learnt_tells_round_from_cigar(trained, tiny_parquet):
    table = encode_cutout_set(tiny_parquet, trained.path, device='cpu')
    fraction = np.array(table['how-rounded_round_fraction'])
    round_ = np.array([is_round(i) for i in range(48)])
    assert fraction[40:][round_[40:]].min() > fraction[40:][~round_[40:]].max()
    assert np.allclose(fraction + table['how-rounded_cigar_fraction'], 1.0, atol=1e-5)
    assert np.median(table['galvae_recon_chi2']) < 3


def test_a_model_without_questions(trained_cubes, tiny_cubes):
    """No heads, no pose: latents and images, and no vote fractions."""
    bundle = get_model(trained_cubes.path)
    assert bundle.questions == {} and 'heads.onnx' not in bundle.parts
    report = bundle.verify(device='cpu')
    assert 'heads/fractions' not in report and report['encoder/latent_mean'] < 1e-4
    table = encode_cutout_set(
        tiny_cubes, trained_cubes.path, bands='g,r,z', unit='nmgy', pixel_scale=0.262
    )
    assert table['galvae_latent'].shape == (25, 4)
    assert (
        np.isfinite(table['galvae_latent']).all() and np.isfinite(table['galvae_recon_chi2']).all()
    )
    assert not [name for name in table.colnames if name.endswith('_fraction')]
    composite = LatentTransformer(bundle, device='cpu').inverse_transform(
        np.array(table['galvae_latent'])
    )
    assert composite.shape == (25, 3, GRID, GRID)
    assert composite.std(axis=(2, 3)).min() > 0.01


def test_a_manifest_tells_how_to_repeat_the_run(bundle, tiny_set, trained):
    manifest = bundle.manifest.raw
    training = manifest['training']
    assert (manifest['name'], manifest['license'], manifest['description']) == (
        'tiny',
        'CC0-1.0',
        'Round or not',
    )
    assert (training['galaxies'], training['galaxies with votes'], training['held out']) == (
        40,
        26,
        8,
    )
    assert training['data sha256'] == tiny_set.fingerprint
    assert training['random_state'] == 20230 and training['steps'] == 40
    # what the file did not say stands there too
    assert training['config']['beta'] == 35.0 and training['config']['widths'] == [8, 16]
    assert training['config']['preset'] == 'guided'
    assert training['versions']['torch'] == torch.__version__
    assert {'python', 'galvae_affiliated', 'lightning', 'numpy', 'onnxruntime'} < set(
        training['versions']
    )
    assert training['diagnostics']['step'] == 40
    assert 0 <= training['diagnostics']['active latents'] <= 4
    assert training['config']['source'] == 'tiny.parquet'


def test_a_bundle_holds_no_paths_of_the_machine(trained, tiny_parquet, bundle):
    for text in (bundle.manifest.content, *bundle.parts.values()):
        for folder in (trained.run.parent, tiny_parquet.parent, graphs.__file__.rsplit('/', 1)[0]):
            assert str(folder).encode() not in text


def test_what_else_the_card_shall_say(full):
    assert full.manifest.get('training')['tiny'] == 'yes'
    assert full.manifest.license == 'not stated'


def test_the_manifest_tells_how_the_heads_came_about(bundle):
    heads = bundle.manifest.get('heads')
    assert heads['kind'] == 'network'
    assert heads['n_members'] == bundle.manifest.get('training')['config']['n_heads']
    # every third of the 48 galaxies has no votes
    assert heads['galaxies'] == 32 and heads['unselected'] == 0


def test_residuals_of_faint_and_bright_pixels():
    """Variance 1e-4 on the sky, and 0.01 of the light on it."""
    rng = np.random.default_rng(0)
    decoded = np.tile(np.linspace(0.0, 0.8, 64, dtype=np.float32), (40, 3, 64, 1))
    frame = decoded + rng.standard_normal(decoded.shape) * np.sqrt(1e-4 + 0.01 * decoded)
    floor, slope = build._residual_variance(decoded, frame, np.ones_like(decoded))
    assert slope == pytest.approx([0.01] * 3, rel=0.1)
    assert floor == pytest.approx([1e-4 + 0.01 * 0.02] * 3, rel=0.2)


def test_a_graph_that_differs_is_not_exported():
    class Dicey(torch.nn.Module):
        """Gives something else each time."""

        def forward(self, x):
            self.count = getattr(self, 'count', 0) + 1
            return x + self.count

    with pytest.raises(graphs.ParityError, match='differs between PyTorch and ONNX Runtime'):
        graphs.export_graph(Dicey(), {'x': torch.zeros(4, 3)}, ['y'])


def test_weights_that_half_the_precision_cannot_hold_are_told():
    """Weights of a thousand lose 0.2 each of what they hold."""
    layer = torch.nn.Linear(64, 64)
    with torch.no_grad():
        layer.weight.add_(1000.0)
    with pytest.raises(graphs.ParityError, match=r'y of \d rows differs .*, more than 0\.02'):
        graphs.export_graph(layer, {'x': torch.ones(4, 64)}, ['y'], half_weights=True)
