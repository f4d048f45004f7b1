# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The TOML file of a training run; none of this needs PyTorch."""

import dataclasses

import pytest
from training_sets import toml

from galvae_affiliated.training import PRESETS, TrainingConfig, read_config


@pytest.fixture
def read(tmp_path):
    """The configuration of some sections, or of a text."""

    def function(text=None, /, **sections):
        path = tmp_path / 'run.toml'
        path.write_text(toml(**sections) if text is None else text)
        return read_config(path)

    return function


def test_an_empty_file_is_the_defaults(read):
    assert read('') == TrainingConfig()


def test_a_file_changes_what_it_names(read):
    config = read(model={'n_latents': 7, 'widths': [8, 16]}, loss={'beta': 2}, data={'scaled': True})
    assert config == TrainingConfig(n_latents=7, widths=(8, 16), beta=2.0, already_scaled=True)
    assert isinstance(config.beta, float)


def test_every_key_of_every_section_can_be_given(read):
    sections = {}
    for field in dataclasses.fields(TrainingConfig):
        if field.default is not None:
            sections.setdefault(field.metadata['section'], {})[field.name] = field.default
    assert read(**sections) == TrainingConfig()


def test_keywords_go_before_the_file(tmp_path):
    path = tmp_path / 'run.toml'
    path.write_text(toml(training={'steps': 5, 'seed': 1}))
    config = read_config(path, steps=9)
    assert (config.steps, config.seed) == (9, 1)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[modle]\nn_latents = 4', r"unknown section 'modle'; expected data, model, loss"),
        ('n_latents = 4', r"unknown section 'n_latents'"),
        ('[model]\nn_latent = 4', r"unknown key 'n_latent' in section 'model'; did you mean 'n_latents'\?"),
        ('[loss]\nn_latents = 4', r"unknown key 'n_latents' in section 'loss'; there are beta, "),
        ('[model]\nn_latents = "4"', r"model\.n_latents is '4'; expected a whole number"),
        ('[model]\nn_latents = 4.5', r'model\.n_latents is 4\.5; expected a whole number'),
        ('[model]\nn_latents = true', r'model\.n_latents is True; expected a whole number'),
        ('[loss]\nbeta = true', r'loss\.beta is True; expected a number'),
        ('[model]\nwidths = 48', r'model\.widths is 48; expected'),
        ('[model]\nwidths = [48.5]', r'model\.widths is \[48\.5\]; expected'),
        ('[data]\nzero_point = "ab"', r"data\.zero_point is 'ab'; expected a number"),
        ('[data]\nquestions = 3', r'data\.questions is 3; expected text or a table'),
        ('[model]\nn_latents = = 4', r'this is not a TOML file'),
    ],
)
def test_what_is_wrong_is_named(read, text, message):
    with pytest.raises(ValueError, match=rf'run\.toml: {message}'):
        read(text)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'preset': 'gan'}, "no preset 'gan'; there are guided, "),
        ({'network': 'resnet'}, "no network 'resnet'"),
        ({'views': 3}, 'views is 3'),
        ({'network': 'light', 'depths': (1, 2)}, r'depths is \[1, 2\] and widths \[48, 96, 192\]'),
        ({'grid': 100}, 'expected a multiple of 16'),
        ({'grid': 48, 'network': 'xu2023'}, 'a grid of 48 does not divide it'),
        ({'n_latents': 0}, '0 latents'),
        ({'n_latents': 3000, 'n_pose': 73, 'grid': 32}, '3000 latents and 73 of pose for the 3072 values of an image'),
        ({'validation_share': 1.5}, 'validation_share is 1.5; expected a number from 0 to 1'),
        ({'ema_decay': -0.1}, 'ema_decay is -0.1'),
        ({'steps': 0}, 'steps is 0; expected a positive number'),
        ({'learning_rate': float('nan')}, 'learning_rate is nan'),
    ],
)
def test_values_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**options)


def test_a_value_that_cannot_be_names_the_file(read):
    with pytest.raises(ValueError, match=r'run\.toml: batch_size is -1'):
        read(training={'batch_size': -1})


def test_a_preset_gives_what_the_file_does_not(read):
    config = read(model={'preset': 'vae', 'views': 2})
    assert config == TrainingConfig.of_preset('vae', views=2)
    assert (config.beta, config.n_pose, config.views) == (1.0, 0, 2)


@pytest.mark.parametrize('preset', PRESETS)
def test_presets(preset):
    config = TrainingConfig.of_preset(preset)
    assert config.preset == preset
    guided = preset in ('guided', 'light')
    assert config.is_guided == guided
    assert config.sample_latents == (preset != 'ae')
    assert (config.n_pose > 0) == (config.views == 2) == guided
    assert (config.beta > 1) == (guided or preset == 'beta-vae')


def test_an_unknown_preset_of_a_file(read):
    with pytest.raises(ValueError, match=r"run\.toml: there is no preset 'wgan'"):
        read(model={'preset': 'wgan'})


def test_paths_are_relative_to_the_file(read, tmp_path):
    elsewhere = str(tmp_path.parent / 'teacher.ecsv')
    config = read(data={'source': 'cubes', 'labels': '../labels.csv', 'teacher': elsewhere}, training={'initial': ''})
    assert config.source == str(tmp_path / 'cubes')
    assert config.labels == str(tmp_path / '../labels.csv')
    assert config.teacher == elsewhere
    assert config.initial == ''


@pytest.mark.parametrize(
    ('name', 'content', 'error'),
    [('none.toml', None, FileNotFoundError), ('.', None, ValueError), ('image.toml', b'\x89PNG\xff', ValueError)],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, error):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match='no such file|not a TOML file') as caught:
        read_config(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
