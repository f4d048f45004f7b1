# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galvae train`` and ``galvae sweep``, as they are called from a shell."""

from importlib.util import find_spec

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

pytest.importorskip('torch')
pytest.importorskip('lightning')

from training_sets import PARQUET_LABELS, QUESTIONS, rows, tiny_toml, write_parquet

from galvae_affiliated import get_model
from galvae_affiliated.plotting import elbow

# Lightning warns of few workers and of a small set, as it should
pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]


@pytest.fixture
def train(training_galvae, tmp_path):
    """Call ``galvae train`` on the text of a configuration."""

    def function(text, *words):
        (tmp_path / 'run.toml').write_text(text)
        return training_galvae(
            'train', tmp_path / 'run.toml', '-o', tmp_path / 'model.galvae', *words
        )

    return function


def test_train_on_a_parquet_set_and_encode_with_the_model(
    trained, training_galvae, tiny_parquet, tmp_path
):
    assert trained.code == 0
    assert trained.out == ''
    bundle = get_model(trained.path)
    assert trained.err.startswith(f'galvae: {trained.path}: {bundle.id}; ')
    assert len(trained.err.splitlines()) == 1
    assert bundle.id.startswith('tiny@')
    run = training_galvae(
        'encode', tiny_parquet, '--model', trained.path, '-o', tmp_path / 'out.ecsv'
    )
    assert run.code == 0
    table = Table.read(tmp_path / 'out.ecsv')
    assert table['galvae_latent'].shape == (48, 4)
    assert {'how-rounded_round_fraction', 'how-rounded_cigar_fraction'} < set(table.colnames)
    assert table['galvae_latent'].meta['galvae_model'] == bundle.id


def test_the_folder_of_a_run(trained):
    names = {path.name for path in trained.run.iterdir()}
    assert {'last.ckpt', 'log', 'cache'} <= names
    metrics = Table.read(trained.run / 'log' / 'from-0' / 'metrics.csv')
    assert {'rec', 'kl', 'votes', 'val_mse', 'val_active'} < set(metrics.colnames)


def test_train_on_a_folder_of_fits_cutouts(trained_cubes):
    assert trained_cubes.code == 0
    assert trained_cubes.out == ''
    bundle = get_model(trained_cubes.path)
    assert trained_cubes.err.startswith(f'galvae: {trained_cubes.path}: {bundle.id}; ')
    assert bundle.manifest.get('training')['config']['bands'] == 'g,r,z'


def test_the_card_of_a_model_without_questions(trained_cubes, galvae):
    run = galvae('info', trained_cubes.path)
    assert run.code == 0
    assert 'cubes' in run.out


SET = {**PARQUET_LABELS, 'source': 'tiny.parquet'}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            tiny_toml(data=SET, step=5),
            "unknown key 'step' in section 'training'; did you mean 'steps'?",
        ),
        (tiny_toml(data=SET, steps='5'), "training.steps is '5'; expected a whole number"),
        (tiny_toml(data=SET, steps=0), 'steps is 0; expected a positive number'),
        (tiny_toml('gan', data=SET), "there is no preset 'gan'"),
        (tiny_toml(data={**SET, 'suffix': ''}), "no column 'how-rounded_round_fraction'"),
        (tiny_toml(data={**SET, 'class_column': 'sort'}), "no column 'sort'"),
        (tiny_toml(data={**SET, 'questions': 'none'}), "data.questions is 'none'"),
        (tiny_toml(data={**SET, 'questions': 'gz3'}), "questions is 'gz3'"),
        (tiny_toml(data={**SET, 'source': 'none.parquet'}), 'none.parquet: there is no such file'),
        (tiny_toml(data={**SET, 'labels': 'none.csv'}), 'none.csv: there is no such file'),
        (tiny_toml(data={**SET, 'source': 'run.toml'}), 'this is not a Parquet file'),
        (tiny_toml(data={**SET, 'train_split': 'all'}), "no galaxy of split 'all'; it has train"),
        (
            tiny_toml(data={'source': '.', 'questions': QUESTIONS}),
            'there is no FITS file in this folder',
        ),
        (tiny_toml('vae', data={}), 'there is no data.source'),
        ('{"steps": 5}', 'this is not a TOML file'),
    ],
    ids=lambda value: value.partition('\n')[0],
)
def test_wrong_use_is_told_in_one_line_before_any_training(train, tmp_path, text, message):
    write_parquet(tmp_path / 'tiny.parquet', rows(4))
    train(text).fails(2, message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['run.toml', 'tiny.parquet']


def test_a_configuration_that_is_not_there(training_galvae, tmp_path):
    run = training_galvae('train', tmp_path / 'none.toml', '-o', tmp_path / 'model.galvae')
    run.fails(2, 'none.toml: there is no such file')


def test_too_many_unreadable_images(train, tmp_path):
    damaged = [
        {**row, 'image': {'bytes': b'', 'path': ''}} if row['id_str'] == 'galaxy2' else row
        for row in rows()
    ]
    write_parquet(tmp_path / 'tiny.parquet', damaged)
    train(tiny_toml(data=SET)).fails(
        2, '1 of 48 images cannot be read, more than the share of 0.01'
    )
    assert not (tmp_path / 'model.galvae').exists()
    assert not list(tmp_path.glob('model.run/*.ckpt'))


def test_a_model_is_not_replaced_unasked(train, tmp_path):
    (tmp_path / 'model.galvae').write_text('mine')
    train(tiny_toml(data=SET)).fails(2, 'model.galvae exists; --overwrite replaces it')
    assert (tmp_path / 'model.galvae').read_text() == 'mine'


def test_a_folder_that_is_not_there(training_galvae, tmp_path):
    (tmp_path / 'run.toml').write_text(tiny_toml(data=SET))
    run = training_galvae('train', tmp_path / 'run.toml', '-o', tmp_path / 'none' / 'model.galvae')
    run.fails(2, 'there is no folder')


def test_another_configuration_in_the_same_folder(train, trained, tiny_parquet, tmp_path):
    text = tiny_toml(data={**PARQUET_LABELS, 'source': str(tiny_parquet)}, random_state=1)
    train(text, '--run', trained.run).fails(
        2, 'another configuration (random_state); take another folder'
    )
    assert not (tmp_path / 'model.galvae').exists()


@pytest.mark.parametrize('command', ['train', 'sweep'])
def test_without_torch_one_line_says_what_to_install(
    training_galvae, monkeypatch, tmp_path, command
):
    def found(name):
        return None if name in ('torch', 'onnx') else find_spec(name)

    monkeypatch.setattr('galvae_affiliated._optional.find_spec', found)
    (tmp_path / 'run.toml').write_text(tiny_toml(data=SET))
    words = {
        'train': ['-o', tmp_path / 'out'],
        'sweep': ['--folder', tmp_path / 'out', '--latents', '2,4'],
    }
    run = training_galvae(command, tmp_path / 'run.toml', *words[command])
    run.fails(1, "training needs torch, onnx: pip install 'galvae_affiliated[train]'")


@pytest.fixture
def sweep(training_galvae, tiny_parquet, tmp_path):
    def function(latents, **data):
        data = {
            'source': str(tiny_parquet),
            'suffix': '-gz2',
            'questions': QUESTIONS,
            'validation_share': 0.5,
            **data,
        }
        (tmp_path / 'run.toml').write_text(tiny_toml('beta-vae', data=data, steps=10))
        return training_galvae(
            'sweep', tmp_path / 'run.toml', '--latents', latents, '--folder', tmp_path / 'sweep'
        )

    return function


def test_sweep(sweep, tmp_path):
    pytest.importorskip('matplotlib')
    run = sweep('8,2')
    assert run.code == 0
    assert run.err.startswith(f'galvae: {tmp_path / "sweep"}: 2 models; ')
    table = Table.read(tmp_path / 'sweep' / 'sweep.ecsv')
    assert set(table.colnames) == {
        'n_latents',
        'active',
        'mse',
        'ssim',
        'ssim_noiseless',
        'auc',
        'balanced_accuracy',
    }
    assert table['n_latents'].tolist() == [2, 8]
    assert np.all(table['active'] <= table['n_latents'])
    assert np.all((table['mse'] > 0) & (table['mse'] < 0.1))
    assert np.all((table['ssim'] < table['ssim_noiseless']) & (table['ssim_noiseless'] < 1))
    for column in ('auc', 'balanced_accuracy'):
        assert np.all((table[column] > 0.3) & (table[column] <= 1))
    with Image.open(tmp_path / 'sweep' / 'sweep.png') as picture:
        assert picture.width > 1000
    assert {path.name for path in (tmp_path / 'sweep').glob('latents-*')} == {
        'latents-2',
        'latents-8',
    }
    assert run.out.splitlines()[-1].startswith(('elbow at ', 'no elbow: '))


@pytest.mark.parametrize(
    ('latents', 'data', 'message'),
    [
        ('2,b', {}, "--latents is '2,b'; expected numbers"),
        ('4', {}, 'latents is [4]; expected two numbers or more'),
        ('0,4', {}, 'latents is [0, 4]; expected two numbers or more, each at least 1'),
        ('4,4000', {}, '4000 latents and 0 of pose for the 3072 values'),
        ('2,4', {'suffix': '-x'}, "no column 'how-rounded-x_round_fraction'"),
        ('2,4', {'validation_share': 0.0}, 'no galaxy is held out to measure on'),
    ],
)
def test_wrong_use_of_sweep(sweep, tmp_path, latents, data, message):
    run = sweep(latents, **data)
    assert run.code == 2
    assert message in run.err.splitlines()[-1]
    assert not (tmp_path / 'sweep' / 'sweep.ecsv').exists()


def test_the_elbow_of_known_curves():
    n = np.array([2, 4, 8, 16, 32, 64])
    # falls to a tenth up to 8 latents, hardly after that
    assert elbow(n, [1.0, 0.5, 0.1, 0.09, 0.08, 0.07]) == 8
    assert elbow(n, [1.0, 0.1, 0.09, 0.08, 0.07, 0.06]) == 4
    assert elbow(n, [1e-3, 8e-4, 6e-4, 4e-4, 5e-5, 4e-5]) == 32


def test_an_error_that_does_not_fall_has_no_elbow():
    assert elbow(np.array([2, 4, 8]), [1.0, 0.5, 1.2]) is None
    assert elbow(np.array([2, 4]), [1.0, 1.0]) is None
