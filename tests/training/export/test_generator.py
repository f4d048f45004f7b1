# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a sharp decoder is given, and what is read from its pictures."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')
pytest.importorskip('onnx')

from training_sets import PARQUET_LABELS, tiny  # noqa: E402

from galvae_affiliated.models import Encoder  # noqa: E402
from galvae_affiliated.training import run  # noqa: E402
from galvae_affiliated.training.export.generator import code_correction  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]
SIZE = 3  # two latents and one of pose


class Shrinking:
    """Pictures are codes; what is read from one that was drawn is nearer to zero, and off."""

    def __init__(self, share, offset):
        self.config = SimpleNamespace(model=SimpleNamespace(n_latents=2, n_pose=1))
        self.share, self.offset = share, offset

    def eval(self):
        return self

    def preprocess(self, images):
        return images, images, None

    def read(self, picture):
        return picture.tensor_split([2], dim=1)

    def drawn(self, latent, pose):
        code = torch.cat([latent, pose], dim=1)
        return self.share * code + self.offset + 0.01 * torch.randn_like(code)


def galaxies(n):
    codes = torch.randn(n, SIZE, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [1.0, 5.0, 0.2]
    )
    return SimpleNamespace(train=range(n), composites=lambda rows: codes[list(rows)])


@pytest.mark.parametrize('share', [0.8, 1.1])
def test_it_takes_the_rule_off_beforehand(share):
    module = Shrinking(share, torch.tensor([0.1, -0.3, 0.0]))
    correction = code_correction(module, galaxies(500))
    meant = galaxies(50).composites(range(50))
    with torch.no_grad():
        before, after = (
            torch.cat(module.read(module.drawn(*module.read(code))), dim=1) - meant
            for code in (meant, correction(meant))
        )
    # of first order: what is left is the square of the shrinkage
    assert (after.std(0) < 0.3 * before.std(0) + 0.012).all()
    assert after.mean(0).abs().max() < 0.35 * before.mean(0).abs().max()


def test_few_galaxies_tell_no_rule():
    assert code_correction(Shrinking(0.8, torch.zeros(SIZE)), galaxies(20)) is None


def test_a_run_that_sharpens_has_it(light_bundle, tiny_set, tmp_path, monkeypatch):
    """The bundle draws from the corrected code."""
    config = tiny(
        'light', n_pose=2, sharpen=str(light_bundle), n_noise=2, steps=2, **PARQUET_LABELS
    )
    correction = torch.nn.Linear(6, 6)
    made = []
    for fitted in (None, correction):
        monkeypatch.setattr(run, 'code_correction', lambda *_, fitted=fitted: fitted)
        monkeypatch.setattr(run, 'read_galaxies', lambda *_, **__: tiny_set)
        bundle = run.train_model(config, tmp_path, name='sharp')
        latent = torch.ones(2, 4).numpy()
        made.append(Encoder(bundle, device='cpu').draw(latent, random_state=1))
        assert bundle.verify(device='cpu')['generator/composite'] < 1e-4
    assert abs(made[0] - made[1]).max() > 0.01
