# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A decoder that turns noise into details."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')
pytest.importorskip('onnx')

from training_sets import GRID, PARQUET_LABELS, tiny  # noqa: E402

from galvae_affiliated import get_model  # noqa: E402
from galvae_affiliated.models import Encoder  # noqa: E402
from galvae_affiliated.training.export.generator import with_generator  # noqa: E402
from galvae_affiliated.training.fit import fit_model  # noqa: E402
from galvae_affiliated.training.objectives.flow import FlowDecoder  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
    # of PyTorch's own derivatives
    pytest.mark.filterwarnings('ignore:.*torch.jit.script.*:DeprecationWarning'),
]
SCATTER = 0.5  # of the details of the analytic test


@pytest.fixture(scope='module')
def config(light_bundle):
    return tiny(
        'light',
        n_pose=2,
        sharpen=str(light_bundle),
        sharpen_by='flow',
        steps=30,
        learning_rate=4e-3,
        **PARQUET_LABELS,
    )


@pytest.fixture(scope='module')
def module(config, tiny_set, tmp_path_factory):
    return fit_model(config, tiny_set, tmp_path_factory.mktemp('flow'), logger=False)


def draw(generator, seed=0, n_steps=1):
    seeds = torch.Generator().manual_seed(seed)
    generator.n_steps = n_steps
    with torch.no_grad():
        picture = generator.eval()(
            torch.zeros(3, 4),
            torch.zeros(3, 2),
            torch.randn(3, *generator.noise_shape, generator=seeds),
        )
    generator.n_steps = 1
    return picture


def scatter(time):
    """Of details and noise that are mixed at a time."""
    return torch.sqrt((1.0 - time) ** 2 * SCATTER**2 + time**2)


def exact_velocity(x, until, since, code, smooth):
    """Mean velocity where details are normal numbers: their ratio to the scatter stays."""
    way = (since - until).clamp(min=1e-4)
    rate = (1.0 - scatter(since - way) / scatter(since)) / way
    return rate[:, None, None, None] * x


def test_an_exact_mean_velocity_has_no_error(module, monkeypatch):
    monkeypatch.setattr(module.generator, 'velocity', exact_velocity)
    seeds = torch.Generator().manual_seed(3)
    x = torch.randn(5, *module.generator.noise_shape, generator=seeds, dtype=torch.float64)
    since = torch.tensor([0.3, 0.5, 0.7, 0.9, 1.0], dtype=torch.float64)
    until = torch.tensor([0.1, 0.0, 0.6, 0.2, 0.0], dtype=torch.float64)
    at_once = exact_velocity(x, since, since, None, None)
    error = module._leap_error(x, at_once, until, since, None, None)
    assert error.abs().max() < 1e-3
    assert module._leap_error(x, 1.1 * at_once, until, since, None, None).abs().max() > 0.05


def test_one_step_of_an_exact_velocity_has_the_scatter_of_the_details(module, monkeypatch):
    monkeypatch.setattr(module.generator, 'velocity', exact_velocity)
    with torch.no_grad():
        smooth = module.generator.decoder.eval()(torch.zeros(3, 4), torch.zeros(3, 2))
    for n_steps in (1, 4):
        details = (draw(module.generator, n_steps=n_steps) - smooth) / module.generator.scale
        assert details.std().item() == pytest.approx(SCATTER, rel=0.05)


def test_it_learns_the_way(config, tiny_set, tmp_path):
    """A velocity of zero is wrong by the variances of noise and of details, one each."""
    fit_model(config.replaced(steps=60), tiny_set, tmp_path)
    lines = next(tmp_path.glob('log/*/metrics.csv')).read_text().splitlines()
    names, rows = lines[0].split(','), [line.split(',') for line in lines[1:]]
    errors = [float(row[names.index('flow')]) for row in rows if row[names.index('flow')]]
    assert errors[-1] < 1.0
    assert np.isfinite(errors).all()


def test_other_random_numbers_draw_another_picture(module):
    assert isinstance(module, FlowDecoder)
    generator = module.generator
    torch.testing.assert_close(draw(generator), draw(generator), atol=0, rtol=0)
    assert (draw(generator) - draw(generator, seed=1)).abs().max() > 1e-3
    assert (draw(generator) - draw(generator, n_steps=3)).abs().max() > 1e-4


def test_encoder_and_smooth_decoder_stay(module, config, tiny_set):
    before = FlowDecoder(config, tiny_set).model.state_dict()
    for name, value in module.model.state_dict().items():
        if 'num_batches' not in name:
            torch.testing.assert_close(value, before[name], msg=name)


@pytest.mark.parametrize('n_steps', [1, 2])
def test_it_becomes_a_part_of_the_bundle(module, light_bundle, n_steps):
    module.generator.n_steps = n_steps
    bundle = with_generator(get_model(light_bundle), module)
    module.generator.n_steps = 1
    assert bundle.verify(device='cpu')['generator/composite'] < 1e-4
    encoder = Encoder(bundle, device='cpu')
    latent = torch.zeros(2, 4).numpy()
    one, two = (encoder.draw(latent, random_state=seed) for seed in (1, 2))
    assert one.shape == (2, 3, GRID, GRID)
    assert abs(one - two).max() > 1e-3


def test_a_checkpoint_of_another_way_is_refused(module, config, tiny_set, tmp_path, light_bundle):
    by_critic = config.replaced(sharpen_by='critic', steps=2, n_noise=2)
    fit_model(by_critic, tiny_set, tmp_path, logger=False)
    with pytest.raises(ValueError, match='sharpen_by'):
        FlowDecoder(config, tiny_set).take_weights(tmp_path / 'last.ckpt')
