# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A decoder that draws what latents do not hold."""

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')
onnx = pytest.importorskip('onnx')

from training_sets import GRID, PARQUET_LABELS, tiny  # noqa: E402

from galvae_affiliated import get_model  # noqa: E402
from galvae_affiliated.models import Encoder  # noqa: E402
from galvae_affiliated.training.export.generator import with_generator  # noqa: E402
from galvae_affiliated.training.fit import fit_model  # noqa: E402
from galvae_affiliated.training.networks.generator import Critic, Generator  # noqa: E402
from galvae_affiliated.training.networks.light import LightDecoder  # noqa: E402
from galvae_affiliated.training.objectives.adversarial import AdversarialDecoder  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]


@pytest.fixture(scope='module')
def config(light_bundle):
    return tiny('light', n_pose=2, sharpen=str(light_bundle), n_noise=2, steps=24, **PARQUET_LABELS)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('sharp')


@pytest.fixture(scope='module')
def module(config, tiny_set, folder):
    return fit_model(config, tiny_set, folder, logger=False)


def draw(generator, n=3, seed=0):
    seeds = torch.Generator().manual_seed(seed)
    latent, pose = torch.zeros(n, 4), torch.zeros(n, 2)
    with torch.no_grad():
        return generator.eval()(
            latent, pose, torch.randn(n, *generator.noise_shape, generator=seeds)
        )


def test_it_starts_as_the_smooth_decoder():
    torch.manual_seed(0)
    config = tiny('light', n_pose=2).model
    decoder, generator = LightDecoder(config).eval(), Generator(config, 2)
    generator.load_state_dict(decoder.state_dict(), strict=False)
    with torch.no_grad():
        expected = decoder(torch.zeros(3, 4), torch.zeros(3, 2))
    torch.testing.assert_close(draw(generator), expected)


def test_details_are_of_single_pixels(module):
    """Not of the blocks of 4 x 4 that the decoder's last convolution makes."""
    drawn = draw(module.generator) - draw(module.generator, seed=1)
    blocks = torch.nn.functional.avg_pool2d(drawn, 2)
    within = drawn - torch.nn.functional.interpolate(blocks, scale_factor=2.0)
    assert within.abs().max() > 1e-4


def test_other_random_numbers_draw_another_picture(module):
    assert isinstance(module, AdversarialDecoder)
    generator = module.generator
    torch.testing.assert_close(draw(generator), draw(generator), atol=0, rtol=0)
    assert (draw(generator) - draw(generator, seed=1)).abs().max() > 1e-3


def test_encoder_and_smooth_decoder_stay(module, config, tiny_set):
    before = AdversarialDecoder(config, tiny_set).model.state_dict()
    for name, value in module.model.state_dict().items():
        if 'num_batches' not in name:
            torch.testing.assert_close(value, before[name], msg=name)


def test_a_killed_run_goes_on(module, config, tiny_set, folder, tmp_path):
    """With the critic and its optimiser: the weights are those of an unbroken run."""

    class Killed(Exception):
        pass

    def kill(step, steps):
        if step == 12:
            raise Killed

    every = config.replaced(checkpoint_every=6)
    with pytest.raises(Killed):
        fit_model(every, tiny_set, tmp_path, logger=False, progress=kill)
    again = fit_model(every, tiny_set, tmp_path, logger=False)
    for part in ('generator', 'critic'):
        for (name, one), two in zip(
            getattr(again, part).state_dict().items(), getattr(module, part).state_dict().values()
        ):
            torch.testing.assert_close(one, two, msg=name)


def test_another_run_goes_on_from_its_weights(module, config, tiny_set, folder):
    fresh = AdversarialDecoder(config, tiny_set)
    fresh.take_weights(folder / 'last.ckpt')
    torch.testing.assert_close(draw(fresh.generator), draw(module.generator))


def test_it_becomes_a_part_of_the_bundle(module, light_bundle):
    bundle = with_generator(get_model(light_bundle), module)
    assert bundle.verify(device='cpu')['generator/composite'] < 1e-4
    before = get_model(light_bundle)
    for part in ('encoder.onnx', 'decoder.onnx', 'heads.onnx'):
        assert bundle.parts[part] == before.parts[part]
    encoder = Encoder(bundle, device='cpu')
    latent = torch.zeros(2, 4).numpy()
    one, two = (encoder.draw(latent, random_state=seed) for seed in (1, 2))
    assert one.shape == (2, 3, GRID, GRID)
    assert abs(one - two).max() > 1e-3
    assert (encoder.draw(latent, random_state=1) == one).all()
    # without a sharp decoder, the smooth one draws
    plain = Encoder(before, device='cpu')
    assert (plain.draw(latent, random_state=1) == plain.decode(latent)).all()


def test_the_critic_judges_patches_and_knows_the_galaxy():
    torch.manual_seed(0)
    critic = Critic(4)
    images, smooth = torch.randn(2, 2, 3, GRID, GRID)
    scores, features = critic(images, smooth, torch.zeros(2, 4))
    assert [s.shape[-1] for s in scores] == [GRID // 4, GRID // 16]
    assert [f.shape[-1] for f in features] == [GRID // 2, GRID // 4, GRID // 8, GRID // 16]
    assert not torch.allclose(scores[1], critic(images, smooth, torch.ones(2, 4))[0][1])
    assert not torch.allclose(scores[0], critic(images, images, torch.zeros(2, 4))[0][0])


def test_two_ways_to_start_are_refused(config, light_bundle, tiny_set, tmp_path):
    with pytest.raises(ValueError, match=r'training\.anchor and sharpen are both given'):
        fit_model(config.replaced(anchor=str(light_bundle)), tiny_set, tmp_path)
