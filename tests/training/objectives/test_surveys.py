# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents that hold under the views of other surveys."""

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')
onnx = pytest.importorskip('onnx')

from training_sets import GRID, PARQUET_LABELS, rows, tiny, write_parquet  # noqa: E402

from galvae_affiliated.training.build import build_bundle  # noqa: E402
from galvae_affiliated.training.data.dataset import read_galaxies  # noqa: E402
from galvae_affiliated.training.data.degrade import in_grey  # noqa: E402
from galvae_affiliated.training.data.labels import question_tree  # noqa: E402
from galvae_affiliated.training.data.other_surveys import read_other_surveys  # noqa: E402
from galvae_affiliated.training.fit import fit_model  # noqa: E402
from galvae_affiliated.training.networks.from_bundle import network_of_bundle  # noqa: E402
from galvae_affiliated.training.networks.inference import encode_rows  # noqa: E402
from galvae_affiliated.training.networks.preprocess import Preprocess  # noqa: E402
from galvae_affiliated.training.objectives.alignment import (  # noqa: E402
    LatentMemory,
    weighted_mmd,
)
from galvae_affiliated.training.objectives.surveys import SurveyViews  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]


def latents(model, composites):
    return encode_rows(model.eval(), Preprocess(GRID), composites)[0]


@pytest.fixture(scope='module')
def other(tmp_path_factory):
    return write_parquet(tmp_path_factory.mktemp('other') / 'other.parquet', rows(24))


@pytest.fixture(scope='module')
def config(light_bundle, other):
    return tiny(
        'light',
        n_pose=2,
        anchor=str(light_bundle),
        other_surveys=(str(other),),
        steps=60,
        survey_psf=2.0,
        **PARQUET_LABELS,
    )


@pytest.fixture(scope='module')
def galaxies(config, tiny_parquet, tmp_path_factory):
    return read_galaxies(
        config.replaced(source=str(tiny_parquet)), tmp_path_factory.mktemp('cache')
    )


@pytest.fixture(scope='module')
def module(config, galaxies, tmp_path_factory):
    return fit_model(config, galaxies, tmp_path_factory.mktemp('surveys'), logger=False)


def test_grey_latents_come_nearer_to_those_in_colour(module, config, galaxies):
    assert isinstance(module, SurveyViews)
    composites = galaxies.composites(galaxies.train)
    before = SurveyViews(config, galaxies).model

    def apart(model):
        colour, grey = latents(model, composites), latents(model, in_grey(composites))
        return float(((grey - colour) ** 2).mean() / colour.var(0).mean())

    assert apart(module.model) < 0.7 * apart(before)


def test_latents_stay_those_of_the_anchor(module, galaxies):
    composites = galaxies.composites(galaxies.train)
    found = latents(module.model, composites)
    with torch.no_grad():
        mean = module.anchor[0].eval()(Preprocess(GRID)(composites)[1])[0]
    expected = mean[:, : module.model.n_latents]
    assert ((found - expected) ** 2).mean() < 0.5 * expected.var(0).mean()
    assert not [name for name in module.state_dict() if 'anchor' in name]


def test_the_decoder_settles_on_views_of_surveys(module, config, galaxies, tmp_path):
    """The encoder stays; what is drawn of grey galaxies comes nearer to them."""
    settled = fit_model(
        config.replaced(settling_steps=40, checkpoint_every=60), galaxies, tmp_path, logger=False
    )
    assert settled.config.training.settling_steps == 40
    own, before = settled.model.state_dict(), module.model.state_dict()
    for name, value in own.items():
        if name.startswith('encoder') and 'num_batches' not in name:
            torch.testing.assert_close(value, before[name], msg=name)
    assert any((own[name] != before[name]).any() for name in own if name.startswith('decoder'))


def test_heads_are_calibrated_in_grey_too(module, galaxies):
    bundle = build_bundle(module, galaxies, name='surveys')
    assert bundle.manifest.raw['heads']['galaxies'] == 2 * len(galaxies.voted)
    # names of files alone, as others get the bundle
    assert bundle.manifest.raw['training']['config']['other_surveys'] == ['other.parquet']


def test_a_teacher_answers_for_galaxies_of_another_survey(config, other, tmp_path):
    ((question, entry),) = question_tree(config.data.questions).items()
    shares = np.linspace(0.1, 0.5, len(entry['answers']))
    shares = (shares / shares.sum()).astype(np.float32)
    names = [f'{question}_{answer}_fraction' for answer in entry['answers']]
    ids = pd.read_parquet(other).id_str.astype(str)
    told = pd.DataFrame({'id_str': ids, **dict(zip(names, shares))})
    told.iloc[1:].to_parquet(tmp_path / 'teacher.parquet')
    asked = config.replaced(
        other_surveys=({'source': str(other), 'teacher': str(tmp_path / 'teacher.parquet')},)
    )
    (survey,) = read_other_surveys(asked, tmp_path)
    votes = survey.votes[question]
    np.testing.assert_allclose(votes.fractions[1:], [shares] * 23, rtol=1e-6)
    assert votes.weight.tolist() == [0.0] + 23 * [asked.data.teacher_weight]
    missing = asked.replaced(other_surveys=({'source': str(other), 'teacher': 'no.parquet'},))
    with pytest.raises(FileNotFoundError, match=r'no\.parquet: there is no such file'):
        read_other_surveys(missing, tmp_path)


def test_gains_follow_the_look_of_the_image(config, galaxies, tmp_path):
    """They start where the network gives what the anchor gives, and are exported and read."""
    own = config.replaced(modulated=True, reconstruction_weight=0.0, steps=30)
    composites = galaxies.composites(galaxies.train)
    before = latents(SurveyViews(config, galaxies).model, composites)
    torch.testing.assert_close(latents(SurveyViews(own, galaxies).model, composites), before)
    module = fit_model(own, galaxies, tmp_path, logger=False)
    encoder = module.model.encoder.eval()
    look = encoder.features[:3](torch.cat([composites[:2], in_grey(composites[:2])]))
    gain = encoder.modulation(look)[0][0]
    assert (gain[:2] - gain[2:]).abs().max() > 1e-4
    bundle = build_bundle(module, galaxies, name='gains')
    again = network_of_bundle(bundle, composites)
    torch.testing.assert_close(latents(again, composites), latents(module.model, composites),
                               atol=2e-2, rtol=2e-2)
    # the decoder had no part in it
    before = SurveyViews(own, galaxies).model.decoder.state_dict()
    for name, value in module.model.decoder.state_dict().items():
        if 'num_batches' not in name and 'running' not in name:
            torch.testing.assert_close(value, before[name], msg=name)


def test_another_frame_is_refused(config, galaxies):
    with pytest.raises(ValueError, match='4 latents and 2 of pose; .* 5 and 2'):
        SurveyViews(config.replaced(n_latents=5), galaxies)


@pytest.mark.parametrize(
    ('other', 'message'),
    [
        ({'rendering': 'composite'}, 'names no source'),
        ({'source': 'a.parquet', 'votes': 3}, "has 'votes'; expected source"),
    ],
)
def test_a_set_that_is_named_wrongly_is_refused(other, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_other_surveys(tiny(other_surveys=(other,)), tmp_path)


def test_discrepancy_tells_distributions_apart_within_kinds():
    generator = torch.Generator().manual_seed(0)
    kinds = torch.eye(2)[torch.randint(2, (600,), generator=generator)]
    latent = torch.randn(600, 3, generator=generator) + 3.0 * kinds[:, :1]
    one, two = (latent[:300], kinds[:300]), (latent[300:], kinds[300:])
    assert abs(weighted_mmd(*one, *two)) < 0.01
    # other shares of the two kinds, each distributed alike, are not apart
    few = torch.cat([torch.where(two[1][:, 0] > 0)[0][:20], torch.where(two[1][:, 0] == 0)[0]])
    mixed = two[0][few], two[1][few]
    equal = torch.ones(300, 1), torch.ones(len(few), 1)
    assert weighted_mmd(*one, *mixed) < 0.2 * weighted_mmd(one[0], equal[0], mixed[0], equal[1])
    # and the same kinds elsewhere are
    assert weighted_mmd(*one, two[0] + 1.0, two[1]) > 0.05


def test_memory_holds_the_newest_without_their_gradient():
    memory = LatentMemory(3)
    for i in range(3):
        new = torch.full((2, 1), float(i), requires_grad=True)
        latent, _ = memory.with_new(new, new)
    assert latent[:, 0].tolist() == [2.0, 2.0, 1.0, 1.0, 0.0]
    latent.sum().backward()
    np.testing.assert_array_equal(new.grad, 1.0)
    assert not memory.kept[0].requires_grad
