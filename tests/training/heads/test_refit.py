# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""New heads and quantities for a trained encoder, put into a bundle with ``galvae fit-heads``."""

import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, Table

pytest.importorskip('torch')
pytest.importorskip('lightning')

from head_sets import N_LATENTS, QUICK, N, make

from galvae_affiliated import Engine, ModelBundle, add_morphology, get_model
from galvae_affiliated.training.heads.refit import class_votes, fit_new_heads

pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore::DeprecationWarning'),
]


@pytest.fixture(scope='module')
def data():
    return make()


@pytest.fixture(scope='module')
def encoded(data):
    """A table of latents as ``galvae encode`` writes it."""
    bundle = get_model()
    latent = np.zeros((N, bundle.n_latents), np.float32)
    latent[:, :N_LATENTS] = data.latent
    table = Table({'id_str': [f'galaxy{i}' for i in range(N)]})
    about = {'galvae_model': bundle.id}
    table['galvae_latent'] = MaskedColumn(latent, meta=about)
    table['galvae_latent_err'] = MaskedColumn(np.full_like(latent, 0.05), meta=about)
    radius = np.full(N, 5.0, np.float32)
    table['galvae_radius'] = MaskedColumn(radius, unit='arcsec', meta=about)
    return table


@pytest.fixture(scope='module')
def labels(data):
    """Votes of the first 400 galaxies, backwards; some are missing."""
    frame = pd.DataFrame(data.fractions[0].numpy(), columns=[f'shape_{a}_fraction' for a in 'abc'])
    for name, values in zip(('yes', 'no'), data.fractions[1].numpy().T):
        frame[f'arms_{name}_fraction'] = np.where(data.weights[1] > 0, values, np.nan)
    frame['kind'] = np.array(['round', 'disk'])[(data.latent[:, 0] > 0).int().numpy()]
    frame['mass'] = 10.0 + data.latent[:, 1].numpy()
    frame.index = [f'galaxy{i}' for i in range(N)]
    return frame[399::-1]


TREE = {'shape': ['a', 'b', 'c'], 'arms': {'answers': ['yes', 'no'], 'parent': ['shape', 'a']}}


def test_new_heads_for_an_old_encoder(encoded, labels, data, tmp_path):
    bundle = fit_new_heads(
        'gz2-sdss-v3', labels, encoded, questions=TREE, head='logistic', name='mine', **QUICK
    )
    assert bundle.questions == {'shape': ['a', 'b', 'c'], 'arms': ['yes', 'no']}
    assert bundle.manifest.get('heads')['galaxies'] == 400
    assert 'scores' not in bundle.manifest.raw and bundle.id.startswith('mine@')
    bundle.write(tmp_path / 'mine.galvae')
    again = ModelBundle.read(tmp_path / 'mine.galvae')
    again.verify(device='cpu')
    assert again.parts['encoder.onnx'] == get_model().parts['encoder.onnx']
    heads = Engine(device='cpu').runner(again, 'heads')
    found = heads({'latent': np.ma.getdata(encoded['galvae_latent'])[400:]}, ['fractions'])[0]
    # galaxies that it did not see
    assert np.abs(found[:, :3] - data.fractions[0].numpy()[400:]).mean() < 0.1
    # the latents are the same, so that the table need not be encoded again
    result = add_morphology(encoded, again)
    np.testing.assert_allclose(result['shape_a_fraction'][400:], found[:, 0], atol=1e-5)
    assert result['shape_answer'].meta['galvae_model'] == again.id


def test_classes_become_the_answers_of_a_question(encoded, labels):
    bundle = fit_new_heads(None, labels, encoded, class_column='kind', head='network', **QUICK)
    assert bundle.questions == {'kind': ['disk', 'round']}
    assert bundle.manifest.n_volunteers == 1


def test_missing_classes_are_no_class(labels):
    some = labels.copy()
    some.iloc[:100, some.columns.get_loc('kind')] = None
    _, votes = class_votes(some, 'kind')
    assert (votes['kind'].weight > 0).sum() == 300


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda labels: labels.set_axis([f'x{i}' for i in range(400)]),
            r"no identifier of the labels \('x0', ",
        ),
        (
            lambda labels: labels.head(12),
            '12 galaxies have latents and labels; expected 20 or more',
        ),
        (
            lambda labels: labels.assign(arms_yes_fraction=1.2),
            'arms_yes_fraction is 1.2 for galaxy399; expected 0 to 1',
        ),
        (
            lambda labels: labels.assign(arms_yes_fraction=1.0, arms_no_fraction=0.0),
            "question 'arms' has one answer only",
        ),
        (lambda labels: labels.assign(arms_yes_fraction=np.nan), "question 'arms' has no votes"),
        (lambda labels: labels.drop(columns='shape_c_fraction'), "no column 'shape_c_fraction'"),
    ],
)
def test_labels_that_teach_nothing_are_refused(encoded, labels, change, message):
    with pytest.raises(ValueError, match=message):
        fit_new_heads(None, change(labels), encoded, questions=TREE, head='logistic', **QUICK)


def test_a_single_class_is_refused(labels):
    with pytest.raises(ValueError, match="column 'kind' has the class 'disk' only"):
        class_votes(labels.assign(kind='disk'), 'kind')
    with pytest.raises(ValueError, match="column 'kind' has no class"):
        class_votes(labels.assign(kind=None), 'kind')


@pytest.fixture
def files(encoded, labels, tmp_path):
    encoded.write(tmp_path / 'latents.fits')
    labels.rename_axis('name').reset_index().to_parquet(tmp_path / 'labels.parquet')
    (tmp_path / 'tree.toml').write_text('[questions.shape]\nanswers = ["a", "b", "c"]\n')
    return tmp_path


def fit_command(files, *words):
    return (
        'fit-heads',
        'gz2-sdss-v3',
        files / 'labels.parquet',
        '--latents',
        files / 'latents.fits',
        '--id-column',
        'name',
        '-o',
        files / 'new.galvae',
        *words,
    )


def test_fit_heads_from_a_shell(training_galvae, files):
    result = training_galvae(*fit_command(files, '--class-column', 'kind', '--head', 'logistic'))
    assert result.code == 0 and 'divergence' in result.out
    assert result.err.splitlines()[-1].startswith(f'galvae: {files / "new.galvae"}: new@')
    assert ModelBundle.read(files / 'new.galvae').questions == {'kind': ['disk', 'round']}
    again = training_galvae(*fit_command(files, '--class-column', 'kind'))
    assert again.code == 2 and 'exists; --overwrite replaces it' in again.err


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (
            ('--questions', 'none.toml'),
            "none.toml: there is no such file; --questions takes 'gz2' or a TOML file",
        ),
        ((), "no column 'smooth-or-featured_smooth_fraction'"),
        (('--class-column', 'kind', '--head', 'tree'), "the head is 'tree'"),
        (
            ('--class-column', 'kind', '--split-column', 'kind', '--split', 'lens'),
            "'kind' nowhere says 'lens'",
        ),
        (('--class-column', 'kind', '--quantity', 'mass'), 'one after the other'),
        (('--quantity', 'kind'), "column 'kind' holds"),
    ],
)
def test_wrong_words(training_galvae, files, words, message):
    result = training_galvae(*fit_command(files, *words))
    assert result.code == 2 and message in result.err and result.err.count('\n') == 1
    assert not (files / 'new.galvae').exists()
