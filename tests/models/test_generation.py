# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies that are drawn: unconditionally, by answers, by quantities, and to files."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from galvae_affiliated import (
    BundleError,
    Engine,
    GalvaeWarning,
    ModelBundle,
    encode_cutout_set,
    get_latents,
    get_model,
)
from galvae_affiliated.models import generate_batches
from galvae_affiliated.models.conditions import Conditions
from galvae_affiliated.models.votes import predict_votes
from galvae_affiliated.tables.generated import write_generated
from galvae_affiliated.training.parts import with_density

ENGINE = Engine(device='cpu', n_threads=1)


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    """A file of the default model, with a density of latents of no galaxies."""
    model, rng = get_model(), np.random.default_rng(0)
    latent = 1.5 * rng.normal(size=(3000, model.n_latents)).astype(np.float32)
    pose = rng.normal(size=(3000, model.n_pose)).astype(np.float32)
    latent[5] = np.nan  # not measured
    size = 3.0 + 0.5 * latent[:, 0]
    model = with_density(model, latent, pose, ENGINE, quantities={'size': size}, n_components=1)
    path = tmp_path_factory.mktemp('density') / 'model.galvae'
    model.write(path)
    return path


@pytest.fixture(scope='module')
def model(path):
    return ModelBundle.read(path)


def test_the_part_has_a_self_test(model):
    assert model.verify(device='cpu')['density/log_density'] < 1e-6
    assert model.manifest.density.n_galaxies == 2999
    assert model.manifest.raw['density']['components'] == 1
    assert model.id != get_model().id


def test_a_seed_gives_the_same_galaxies_however_they_are_batched(model):
    one, again = (model.generate(3, random_state=4, engine=ENGINE) for _ in range(2))
    assert one.images.shape == (3, 3, 128, 128)
    assert one.images.dtype == np.float32
    assert 0.0 <= one.images.min() < one.images.max() <= 1.0
    np.testing.assert_array_equal(one.images, again.images)
    batches = list(generate_batches(model, 130, random_state=4, engine=ENGINE))
    assert [len(batch) for batch in batches] == [128, 2]
    names = [column.name for column in one.columns()]
    assert names == ['galvae_latent', 'galvae_pose']
    assert len(model.generate(0, engine=ENGINE)) == 0


@pytest.mark.parametrize(
    ('question', 'answer'), [('bar', 'yes'), ('how-rounded', 'round'), ('disk-edge-on', 'yes')]
)
def test_the_heads_agree_with_what_was_asked(model, question, answer):
    galaxies = model.generate(
        20, random_state=0, answers={question: answer}, engine=ENGINE, temperature=0.9
    )
    votes = predict_votes(galaxies.latent, model, ENGINE)
    assert (votes.likeliest(question) == answer).all()
    assert votes.applies(question).all()
    assert len(np.unique(galaxies.latent, axis=0)) == 20


@pytest.mark.parametrize(
    ('question', 'answer'), [('bar', 'yes'), ('disk-edge-on', 'yes'), ('odd-feature', 'ring')]
)
def test_the_law_for_rare_answers_stays_among_galaxies(question, answer):
    """Votes for other answers that no galaxy of the kind has led far away, to artefacts."""
    model = get_model()
    _, near = Conditions.parse(model, {question: answer}).prior()
    whitening = model.density.whitening
    distance = [
        np.median(np.linalg.norm(whitening(one.sample(500, 0)), axis=1))
        for one in (near, model.density)
    ]
    assert distance[0] < 2.2 * distance[1]


def test_what_is_rare_is_drawn_with_a_warning_that_counts(model):
    density = model.density
    rare = None
    for question, answers in model.questions.items():
        for place, answer in enumerate(answers):
            if density.count({question: place}) < 50:
                rare = question, answer, density.count({question: place})
    question, answer, n = rare
    with pytest.warns(GalvaeWarning, match=f'^{n} of the 2999 galaxies .* {question}: {answer}'):
        galaxies = model.generate(
            2, random_state=0, answers={question: answer}, engine=ENGINE
        )
    assert len(galaxies) == 2


def test_quantities_condition_in_closed_form(model):
    galaxies = model.generate(50, random_state=0, quantities={'size': 3.7}, engine=ENGINE)
    assert galaxies.latent[:, 0].mean() == pytest.approx(1.4, abs=0.15)
    assert galaxies.latent[:, 0].std() < 0.3


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'answers': {'arms': 'yes'}}, "no question 'arms'"),
        ({'answers': {'bar': 'maybe'}}, "bar has no answer 'maybe'; it has yes, no"),
        (
            {'answers': {'disk-edge-on': 'yes', 'bar': 'yes'}},
            'bar: yes needs disk-edge-on: no, which contradicts disk-edge-on: yes',
        ),
        (
            {'answers': {'bar': 'yes', 'how-rounded': 'round'}},
            'needs smooth-or-featured: smooth, which contradicts bar: yes',
        ),
        ({'quantities': {'age': 1.0}}, "no quantity 'age'; it has size"),
        ({'quantities': {'size': float('nan')}}, 'finite'),
        ({'quantities': {'size': 900.0}}, 'size is 900; galaxies have'),
        ({'temperature': 0.0}, 'temperature'),
        ({'n': -1}, 'n is -1'),
    ],
)
def test_wrong_calls_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(**{'n': 1, 'engine': ENGINE, **options})


def test_a_model_without_a_density_says_so():
    with pytest.raises(ValueError, match='no density of its latents.*fit-parts'):
        get_model('gz2-sdss-v1').generate(1)


def test_a_part_that_the_manifest_promises_has_to_be_there(model):
    with pytest.raises(BundleError, match=r'lacks density\.npz'):
        model.replaced(parts={'density.npz': None})


def test_the_command_makes_a_sheet(galvae, path, tmp_path):
    output = tmp_path / 'sheet.png'
    words = '-n', 5, '--random-state', 1, '--answers', 'disk-edge-on=yes', '--device', 'cpu'
    run = galvae('generate', '--model', path, '-o', output, *words)
    assert (run.code, run.out) == (0, '') and 'sheet.png: 5 galaxies' in run.err
    assert Image.open(output).size == (3 * 130 - 2, 2 * 130 - 2)
    galvae('generate', '--model', path, '-o', output).fails(2, 'exists; --overwrite')


def test_a_fits_file_has_images_and_latents(model, tmp_path):
    output = tmp_path / 'drawn.fits'
    batches = generate_batches(model, 130, random_state=0, engine=ENGINE)
    write_generated(batches, 130, output, model)
    with fits.open(output) as file:
        file.verify('exception')
        assert file[0].data.shape == (130, 3, 128, 128)
        assert file[0].header['MODEL'] == model.id
        images = np.array(file[0].data[:2])
    table = Table.read(output, hdu=1)
    galaxies = model.generate(130, random_state=0, engine=ENGINE)
    np.testing.assert_array_equal(images, galaxies.images[:2])
    np.testing.assert_array_equal(get_latents(table, model), galaxies.latent)


def test_a_parquet_set_is_read_again(model, tmp_path):
    output = tmp_path / 'drawn.parquet'
    write_generated(generate_batches(model, 4, random_state=0, engine=ENGINE), 4, output, model)
    assert pq.read_table(output)['id_str'].to_pylist() == [f'generated{i}' for i in range(4)]
    table = encode_cutout_set(output, model, already_scaled=True, engine=ENGINE)
    assert np.isfinite(np.asarray(table['galvae_latent'])).all()


def test_wrong_files_and_words_are_refused(galvae, path, tmp_path):
    def fails(*words, message):
        galvae('generate', '--model', path, *words).fails(2, message)

    fails('-o', tmp_path / 'a.jpg', message='ends with .png')
    fails('-o', tmp_path / 'a.png', '-n', 5000, message='4096 at most')
    fails('-o', tmp_path / 'a.png', '-n', 0, message='expected at least 1')
    fails('-o', tmp_path / 'a.png', '--answers', 'bar', message='expected NAME=VALUE')
    fails('-o', tmp_path / 'a.png', '--answers', 'bar=yes,bar=no', message='bar twice')
    fails('-o', tmp_path / 'a.png', '--quantities', 'size=large', message='expected a number')
