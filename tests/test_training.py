# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Training end to end on a tiny set: what is learnt, exported, and read through the ordinary door."""

import io
from unittest import mock

import numpy as np
import pytest

torch = pytest.importorskip('torch')
lightning = pytest.importorskip('lightning')

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from PIL import Image  # noqa: E402

from galvae_affiliated import LatentTransformer, get_model  # noqa: E402
from galvae_affiliated.training import dataset, export, losses  # noqa: E402
from galvae_affiliated.training.augment import random_view  # noqa: E402
from galvae_affiliated.training.config import TrainingConfig  # noqa: E402
from galvae_affiliated.training.fit import GuidedTraining, load_trained, train  # noqa: E402
from galvae_affiliated.training.galaxy_zoo import GZ2_QUESTIONS, survey_renderings  # noqa: E402
from galvae_affiliated.training.heads import calibrate  # noqa: E402
from galvae_affiliated.training.networks import GalaxyVAE  # noqa: E402
from galvae_affiliated.training.preprocess import Preprocess, Rendering  # noqa: E402

# Lightning warns of few workers and of a small set, as it should
pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]

GRID = 32
QUESTION = {'how-rounded': ['round', 'cigar']}
TINY = TrainingConfig(
    n_latents=4,
    n_pose=2,
    grid=GRID,
    widths=(8, 16),
    decoder_widths=(16, 8),
    batch_size=8,
    steps=40,
    learning_rate=5e-3,
    max_shift=1.0,
    ema_decay=0.8,
)


def disc(ratio, angle):
    x = np.arange(GRID) - (GRID - 1) / 2
    major = x[None] * np.cos(angle) + x[:, None] * np.sin(angle)
    minor = (x[:, None] * np.cos(angle) - x[None] * np.sin(angle)) / ratio
    return (230 * np.exp(-np.hypot(major, minor) / 4.0))[..., None] * np.array([1.0, 0.8, 0.6])


@pytest.fixture(scope='module')
def parquet(tmp_path_factory):
    """48 round and cigar-shaped discs; every third has no votes."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(48):
        round_ = i % 2 == 0
        image = np.clip(disc(1.0 if round_ else 0.2, rng.uniform(0, np.pi)) + rng.normal(0, 3, (GRID, GRID, 1)), 0, 255)
        buffer = io.BytesIO()
        Image.fromarray(image.astype(np.uint8)).save(buffer, 'PNG')
        voted = i % 3 > 0
        rows.append(
            {
                'id_str': f'galaxy{i}',
                'image': {'bytes': buffer.getvalue(), 'path': ''},
                'split': 'test' if i >= 40 else 'train',
                'kind': 'round' if round_ else 'cigar',
                'how-rounded-gz2_reach': 0.9 if voted else None,
                'how-rounded-gz2_round_fraction': float(round_) if voted else None,
                'how-rounded-gz2_cigar_fraction': float(not round_) if voted else None,
            }
        )
    path = tmp_path_factory.mktemp('set') / 'tiny.parquet'
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope='module')
def galaxies(parquet):
    return dataset.read_galaxy_set(
        parquet, QUESTION, cache=parquet.parent / 'cache', grid=GRID, class_column='kind', split='train'
    )


@pytest.fixture(scope='module')
def trained(galaxies, tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    module = train(TINY, galaxies, np.arange(40), folder, accelerator='cpu', logger=False)
    return module, folder


def test_the_set_keeps_galaxies_without_votes(galaxies, parquet):
    assert len(galaxies) == 40 and galaxies.images.shape == (40, GRID, GRID, 3)
    assert galaxies.has_votes.sum() == 26
    unvoted = ~galaxies.has_votes
    assert (galaxies.votes['how-rounded'].weight[unvoted] == 0).all()
    assert np.isfinite(galaxies.votes['how-rounded'].fractions).all()
    assert galaxies.class_names == ['cigar', 'round']


def test_validation_rows_depend_on_the_identifier_alone():
    ids = np.array([f'g{i}' for i in range(2000)])
    chosen = dataset.validation_rows(ids, 0.1)
    assert 0.07 < chosen.mean() < 0.13
    np.testing.assert_array_equal(dataset.validation_rows(ids[::-1], 0.1), chosen[::-1])


def test_batches_have_the_share_that_was_asked_and_can_start_in_the_middle():
    labelled, unlabelled = np.arange(10), np.arange(10, 50)
    options = {'batch_size': 8, 'share': 0.25, 'steps': 30, 'seed': 1}
    batches = list(dataset.MixedSampler(labelled, unlabelled, **options))
    assert all(sum(row < 10 for row in batch) == 2 and len(batch) == 8 for batch in batches)
    assert sorted(row for batch in batches[:5] for row in batch if row < 10) == list(range(10))
    assert list(dataset.MixedSampler(labelled, unlabelled, **options, start=12)) == batches[12:]


def test_without_labels_every_galaxy_is_drawn():
    batches = list(dataset.MixedSampler(np.arange(0), np.arange(8), batch_size=4, share=0.5, steps=2, seed=0))
    assert sorted(sum(batches, [])) == list(range(8))


def test_a_view_is_the_same_for_the_same_seed_and_keeps_the_light():
    image = torch.from_numpy(disc(0.5, 0.3).astype(np.float32) / 255).permute(2, 0, 1)[None].repeat(16, 1, 1, 1)
    still = TrainingConfig(grid=GRID, max_shift=0.0, max_zoom=0.0)
    first, clean = random_view(image, still, torch.Generator().manual_seed(5))
    again, _ = random_view(image, still, torch.Generator().manual_seed(5))
    torch.testing.assert_close(first, again, equal_nan=True)
    # a rotation moves light about; the sum stays
    torch.testing.assert_close(clean.sum((1, 2, 3)), image.sum((1, 2, 3)), rtol=0.05, atol=0)
    assert (clean - image).abs().max() > 0.1


def test_vote_loss_is_least_at_the_voted_fractions():
    voted = [torch.tensor([[0.7, 0.3]])]
    weight = [torch.ones(1)]
    right = losses.vote_loss([torch.log(voted[0])], voted, weight)
    for wrong in ([[0.5, 0.5]], [[0.9, 0.1]]):
        assert losses.vote_loss([torch.log(torch.tensor(wrong))], voted, weight) > right
    assert losses.vote_loss([torch.log(voted[0])], voted, [torch.zeros(1)]) == 0


def test_divergence_of_the_unit_normal_is_the_free_bits():
    mean, logvar = torch.zeros(3, 5), torch.zeros(3, 5)
    assert float(losses.divergence(mean, logvar, 0.0)) == pytest.approx(0.0)
    assert float(losses.divergence(mean, logvar, 0.1)) == pytest.approx(0.5)
    # mean 1: half a nat a dimension
    assert float(losses.divergence(mean + 1, logvar, 0.0)) == pytest.approx(2.5)


def test_rerendering_undoes_another_surveys_rendering():
    rendering = Rendering(survey_renderings(1.5))
    flux = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.2
    entry = survey_renderings(1.5)[3]
    legacy = Rendering([{**entry, 'kind': 'flux', 'target': 0}])
    composite = legacy(flux, torch.zeros(4, dtype=torch.long))
    assert composite.max() < 1.0
    found = rendering(composite, torch.full((4,), 3))
    torch.testing.assert_close(found, rendering(flux, torch.full((4,), 2)), atol=1e-4, rtol=0)


def test_a_missing_band_leaves_the_others():
    flux = torch.ones(1, 3, 4, 4)
    flux[:, 0] = torch.nan
    composite = Rendering(survey_renderings(1.0))(flux, torch.ones(1, dtype=torch.long))
    assert torch.isnan(composite[:, 0]).all() and torch.isfinite(composite[:, 1:]).all()


def test_the_loss_falls(galaxies, trained):
    before = GuidedTraining(TINY, galaxies)
    after = GuidedTraining(TINY, galaxies)
    after.load_state_dict(trained[0].state_dict())
    assert loss_of(after, galaxies) < loss_of(before, galaxies) - 0.1


def loss_of(module, galaxies):
    """The loss of one batch, outside a run."""
    batch = (torch.from_numpy(np.array(galaxies.images)), torch.arange(len(galaxies)))
    with (
        torch.no_grad(),
        mock.patch.object(GuidedTraining, 'global_step', 0),
        mock.patch.object(GuidedTraining, 'log_dict'),
    ):
        return float(module.training_step(batch, 0))


def test_a_resumed_run_ends_as_an_unbroken_one(galaxies, trained, tmp_path):
    class Stop(Exception):
        """The run is killed."""

    def kill(module, *_):
        if module.global_step == 20:
            module.trainer.save_checkpoint(tmp_path / 'killed.ckpt')
            raise Stop

    with mock.patch.object(lightning.LightningModule, 'on_train_batch_end', kill), pytest.raises(Stop):
        train(TINY, galaxies, np.arange(40), tmp_path, accelerator='cpu', logger=False)
    resumed = train(
        TINY, galaxies, np.arange(40), tmp_path, resume=tmp_path / 'killed.ckpt', accelerator='cpu', logger=False
    )
    for name, value in trained[0].model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, atol=1e-4, rtol=1e-4, msg=name)


def manifest():
    return {
        'name': 'tiny',
        'version': '0',
        'input': {'grid': GRID, 'field_of_view': 5.12, 'typical': {}},
        'renderings': survey_renderings(1.0),
        'latents': {'n_latents': 4, 'n_pose': 2},
        'questions': {q: {'answers': a, 'parent': None} for q, a in QUESTION.items()},
        'reconstruction': {'floor': [0.01] * 3, 'slope': [0.0] * 3, 'chi2_99': 1e6},
    }


def test_the_exported_bundle_encodes_through_the_ordinary_door(galaxies, trained, tmp_path):
    module, folder = trained
    model, step = load_trained(folder / 'last.ckpt', TINY, galaxies)
    assert step == TINY.steps
    votes = galaxies.votes['how-rounded']
    images = torch.from_numpy(np.array(galaxies.images)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        latent = model.encoder(Preprocess(GRID)(images)[1])[0][:, :4]
    heads = calibrate(
        model.heads, latent.clone(), [torch.from_numpy(votes.fractions)], [torch.from_numpy(votes.weight)]
    )
    export.export_bundle(manifest(), Preprocess(GRID), model, heads).write(tmp_path / 'tiny.galvae')
    bundle = get_model(tmp_path / 'tiny.galvae')
    bundle.verify(device='cpu')
    found = LatentTransformer(bundle).transform(np.array(galaxies.images))
    np.testing.assert_allclose(found, latent.numpy(), atol=1e-3)
    # round and cigar-shaped discs lie apart
    is_round = galaxies.classes == galaxies.class_names.index('round')
    axis = found[is_round].mean(0) - found[~is_round].mean(0)
    projected = found @ axis
    assert projected[is_round].mean() - projected[~is_round].mean() > 2 * projected[is_round].std()


def test_a_graph_that_differs_is_not_exported():
    class Dicey(torch.nn.Module):
        """Gives something else each time."""

        def forward(self, x):
            self.count = getattr(self, 'count', 0) + 1
            return x + self.count

    with pytest.raises(export.ParityError, match='differs between PyTorch and ONNX Runtime'):
        export.export_graph(Dicey(), {'x': torch.zeros(4, 3)}, ['y'])


def test_the_paper_questions_have_parents_that_exist():
    for question, (parent, answers) in GZ2_QUESTIONS.items():
        assert len(answers) >= 2, question
        assert parent is None or parent[1] in GZ2_QUESTIONS[parent[0]][1]


def test_network_shapes():
    model = GalaxyVAE(TrainingConfig(), [2, 3], n_classes=4).eval()
    with torch.inference_mode():
        mean, logvar = model.encoder(torch.zeros(2, 3, 128, 128))
        assert mean.shape == logvar.shape == (2, 48)
        assert model.decoder(mean[:, :40], mean[:, 40:]).shape == (2, 3, 128, 128)
        assert model.heads(mean[:, :40]).sum(1).tolist() == pytest.approx([2.0, 2.0])
